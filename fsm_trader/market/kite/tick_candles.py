"""One-minute candles of one instrument out of its ticks. Pure: times are seconds since 1970 that the caller hands in.

A candle is given only where the ticks of its whole minute were followed without a hole; every other one is history's.
A tick is a snapshot, some one a second: prices between two of them are not seen, in our candles as in anyone's.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime
from zoneinfo import ZoneInfo

from fsm_trader.core.candles import Candle
from fsm_trader.core.money import Paise
from fsm_trader.kite.ticks import Tick

MINUTE_S = 60
_KEPT = 500  # candles of one day
# A time this far ahead of ours is a broken one; it would hide all that comes after it.
_FUTURE_S = 60


class TickCandles:
    """Folds ticks into candles.

    Args:
        token: instrument token of the ticks.
        zone: the one candle starts are given in.
        gap_s: more than this between two ticks of the instrument is a hole.
        settle_s: a minute without a later trade counts as over this long after its end, if a tick came after the end.
    """

    def __init__(self, token: int, zone: ZoneInfo, *, gap_s: float, settle_s: float) -> None:
        self.token = token
        self.covered_from: int | None = None
        """The first minute (since 1970) whose candle comes from here; None before the first tick."""
        self.heard_s = float("-inf")
        """When the last tick came."""
        self._reached_s = float("-inf")
        self._zone = zone
        self._gap_s = gap_s
        self._settle_s = settle_s
        self._done: deque[Candle] = deque(maxlen=_KEPT)
        self._minute = -1
        self._open = self._high = self._low = self._close = 0
        self._is_forming = False
        self._traded_s = 0
        self._volume = self._volume_before = 0

    def take(self, tick: Tick, now_s: float) -> bool:
        """Take the next tick of the instrument, received at *now_s*; True when it completed a candle."""
        if self.covered_from is None or abs(now_s - self.heard_s) > self._gap_s:
            self._begin_anew(max(now_s, tick.exchange_s or 0.0))
        self.heard_s = now_s
        # By both clocks: one that is ahead of the other proves nothing of the time between.
        self._reached_s = now_s if tick.exchange_s is None else min(now_s, tick.exchange_s)
        at_s = tick.traded_s
        if at_s is not None and at_s > now_s + _FUTURE_S:
            self.lose()
            return False
        if at_s is None or at_s < self._traded_s or tick.last <= 0:
            return False
        minute = at_s // MINUTE_S
        is_complete = minute > self._minute and self._finish()
        if minute > self._minute:
            self._minute, self._is_forming = minute, True
            self._open = self._high = self._low = tick.last
            self._volume_before = self._volume if self._traded_s else tick.volume
        else:
            self._high = max(self._high, tick.last)
            self._low = min(self._low, tick.last)
        self._close = tick.last
        self._traded_s = at_s
        self._volume = max(self._volume, tick.volume)
        return is_complete

    def lose(self) -> None:
        """Take note that ticks may have been missed: the connection broke."""
        self.covered_from = None
        self.heard_s = self._reached_s = float("-inf")
        self._done.clear()
        self._is_forming = False

    def covers(self, minute: int, now_s: float) -> bool:
        """Tell whether every candle from *minute* (since 1970) on comes from here, as things are at *now_s*."""
        # A tick may have come a moment after *now* was read: the two threads have one clock, but not one glance at it.
        is_ticking = abs(now_s - self.heard_s) <= self._gap_s
        return is_ticking and self.covered_from is not None and minute >= self.covered_from

    def complete(self, after: datetime | None, now_s: float) -> tuple[Candle, ...]:
        """Return the candles that started later than *after* and are complete at *now_s*, oldest first."""
        end_s = (self._minute + 1) * MINUTE_S
        # A tick from after the end has to say that nothing more was traded; silence may be a dead socket's.
        if self._is_forming and now_s >= end_s + self._settle_s and self._reached_s >= end_s:
            self._finish()
        return tuple(candle for candle in self._done if after is None or candle.start > after)

    def _finish(self) -> bool:
        """Close the forming candle; True when it counts. A later tick of its minute changes nothing any more."""
        was_forming, self._is_forming = self._is_forming, False
        if not was_forming or self.covered_from is None or self._minute < self.covered_from:
            return False
        start = datetime.fromtimestamp(self._minute * MINUTE_S, self._zone)
        prices = (Paise(self._open), Paise(self._high), Paise(self._low), Paise(self._close))
        self._done.append(Candle(self.token, start, *prices, volume=self._volume - self._volume_before))
        return True

    def _begin_anew(self, now_s: float) -> None:
        self.lose()
        # The minute under way began without us.
        self.covered_from = int(now_s) // MINUTE_S + 1
