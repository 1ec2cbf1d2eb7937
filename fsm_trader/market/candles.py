"""Which incoming candles are usable and new, and longer candles built from minutes. Knows no feed and no clock."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from fsm_trader.core.candles import MINUTE, Candle, candle_fault
from fsm_trader.core.money import Paise

_OPEN_MINUTE = 9 * 60 + 15  # 09:15, the first minute of a session
_REMEMBERED = 3_000  # minutes kept to recognise repeats; a day has 375 to 390


class CandleSeries:
    """The accepted one-minute candles of one token, in time order.

    Feeds repeat, revise and reorder; the first usable telling of a minute counts, because decisions may have been made
    on it. A reason is given once for each offending candle, however often the feed repeats it.

    Args:
        token: instrument token of the candles.
    """

    def __init__(self, token: int) -> None:
        self.token = token
        self._accepted: dict[datetime, Candle] = {}
        self._told: dict[tuple[datetime, str], None] = {}
        self._last: Candle | None = None

    @property
    def last(self) -> Candle | None:
        """The newest accepted candle."""
        return self._last

    def accept(self, candles: Iterable[Candle]) -> tuple[list[Candle], list[str]]:
        """Take what a feed gave, in any order.

        Returns:
            The new usable candles, oldest first, and a sentence for each that was skipped and for each gap (the candle
            after a gap is accepted). A candle told again with the same values is passed over without a word.
        """
        zoned, reasons = _with_zone(candles)
        accepted: list[Candle] = []
        for candle in sorted(zoned, key=lambda candle: candle.start):
            if self._accepted.get(candle.start) == candle:
                continue
            reason = self._refusal(candle)
            if reason is not None:
                self._tell(reasons, candle.start, reason)
                continue
            gap = self._gap(candle)
            if gap:
                self._tell(reasons, candle.start, gap)
            self._keep(candle)
            accepted.append(candle)
        return accepted, reasons

    def _refusal(self, candle: Candle) -> str | None:
        fault = _shape_fault(candle, self.token) or _number_fault(candle) or candle_fault(candle)
        if fault is not None:
            return f"{fault}; skipped"
        first = self._accepted.get(candle.start)
        if first is not None:
            return f"came again with other values {_values(candle)}; the first {_values(first)} is kept"
        if self._last is not None and candle.start < self._last.start:
            # Without the newest one's time: the sentence would be another one each minute, and be told each time.
            return "is older than the newest accepted one; skipped"
        return None

    def _gap(self, candle: Candle) -> str | None:
        if self._last is None or self._last.start.date() != candle.start.date():
            return None
        missing = (candle.start - self._last.start) // MINUTE - 1
        return f"follows a gap of {missing} missing minute{'s' * (missing > 1)}; accepted" if missing > 0 else None

    def _keep(self, candle: Candle) -> None:
        self._accepted[candle.start] = candle
        self._last = candle
        if len(self._accepted) > _REMEMBERED:
            del self._accepted[next(iter(self._accepted))]

    def _tell(self, reasons: list[str], start: datetime, reason: str) -> None:
        if (start, reason) in self._told:
            return
        self._told[start, reason] = None
        if len(self._told) > _REMEMBERED:
            del self._told[next(iter(self._told))]
        reasons.append(f"candle {start:%Y-%m-%d %H:%M:%S} of token {self.token}: {reason}")


class Aggregator:
    """Builds longer candles from the one-minute candles of one token.

    Intervals are counted in minutes from 09:15 of the candle's own local day, so 60-minute candles start at 09:15,
    10:15 and so on. A candle is complete when its last minute arrives, or when a later minute proves that it ended;
    minutes without a trade are simply not part of it. The last candle of a day may stay incomplete.

    Args:
        interval_s: length of the built candles in seconds; a whole number of minutes, at least 60.

    Raises:
        ValueError: *interval_s* is not a whole number of minutes.
    """

    def __init__(self, interval_s: int) -> None:
        if interval_s < 60 or interval_s % 60:
            raise ValueError(f"interval {interval_s} s; expected a whole number of minutes")
        self.interval_s = interval_s
        self._minutes = interval_s // 60
        self._open: Candle | None = None
        self._taken_to: datetime | None = None

    def add(self, candle: Candle) -> list[Candle]:
        """Take the next accepted minute and return the candles that are now complete, oldest first (0 to 2).

        Raises:
            ValueError: the minute starts before the end of the one added last.
        """
        if self._taken_to is not None and candle.start < self._taken_to:
            raise ValueError(f"minute {candle.start} was added after {self._taken_to}; expected time order")
        self._taken_to = candle.end
        if self._minutes == 1:
            return [candle]
        start = self._interval_start(candle.start)
        done: list[Candle] = []
        if self._open is not None and start > self._open.start:
            done.append(self._open)
            self._open = None
        self._open = self._joined(start, candle)
        if candle.end >= self._open.end:
            done.append(self._open)
            self._open = None
        return done

    def _interval_start(self, start: datetime) -> datetime:
        since_open = start.hour * 60 + start.minute - _OPEN_MINUTE
        return start - timedelta(minutes=since_open % self._minutes)

    def _joined(self, start: datetime, candle: Candle) -> Candle:
        open_ = self._open
        return Candle(
            token=candle.token,
            start=start,
            open=candle.open if open_ is None else open_.open,
            high=candle.high if open_ is None else Paise(max(open_.high, candle.high)),
            low=candle.low if open_ is None else Paise(min(open_.low, candle.low)),
            close=candle.close,
            volume=candle.volume + (0 if open_ is None else open_.volume),
            interval_s=self.interval_s,
        )


def _with_zone(candles: Iterable[Candle]) -> tuple[list[Candle], list[str]]:
    zoned: list[Candle] = []
    reasons: list[str] = []
    for candle in candles:
        if candle.start.utcoffset() is None:
            reasons.append(f"candle {candle.start} of token {candle.token} has no time zone; skipped")
        else:
            zoned.append(candle)
    return zoned, reasons


def _shape_fault(candle: Candle, token: int) -> str | None:
    if candle.token != token:
        return f"is of token {candle.token}; expected {token}"
    if candle.interval_s != 60:
        return f"is {candle.interval_s} s long; expected 60"
    if candle.start.second or candle.start.microsecond:
        return "does not start on a minute"
    return None


def _number_fault(candle: Candle) -> str | None:
    prices: tuple[object, ...] = (candle.open, candle.high, candle.low, candle.close)
    if all(type(price) is int for price in prices):
        return None
    # A record built without decoding may carry anything: NaN compares false with every bound and would pass them.
    return f"has prices {prices}; expected whole paise"


def _values(candle: Candle) -> str:
    return f"{candle.open}/{candle.high}/{candle.low}/{candle.close} volume {candle.volume}"
