"""The minutes of one instrument on one day, as columns, and the path its price takes inside each minute.

Candles do not say how a price moved inside a minute. The path taken here is fixed, so that a day plays the same every
time: open at :00; then low at :20 and high at :40 when the minute closed at or above its open, else high then low;
close at :59. Knows no file and no session.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import datetime, timedelta

from fsm_trader.core.candles import MINUTE, Candle, PriceSeen
from fsm_trader.core.money import Paise

PATH_OFFSETS_S = (0, 20, 40, 59)
_, _SECOND, _THIRD, _LAST = (timedelta(seconds=seconds) for seconds in PATH_OFFSETS_S)


class Series:
    """Candles of one token in time order, with their price path. Written once, then only read.

    Args:
        token: instrument token.
        candles: one-minute candles with rising start times.
    """

    __slots__ = ("_candles", "_prices", "_starts", "_times", "token")

    def __init__(self, token: int, candles: tuple[Candle, ...]) -> None:
        self.token = token
        self._candles = candles
        self._starts = [candle.start for candle in candles]
        self._times: list[datetime] = []
        self._prices: list[Paise] = []
        for candle in candles:
            self._add_path(candle)

    def complete(self, *, after: datetime | None, now: datetime) -> tuple[Candle, ...]:
        """Return the candles that started later than *after* and have ended at *now*."""
        first = 0 if after is None else bisect_right(self._starts, after)
        return self._candles[first : bisect_right(self._starts, now - MINUTE)]

    def next_end(self, now: datetime) -> datetime | None:
        """Return when the candle in progress, or else the next one, ends; None after the last."""
        index = bisect_right(self._starts, now - MINUTE)
        return self._candles[index].end if index < len(self._candles) else None

    def price(self, now: datetime) -> PriceSeen | None:
        """Return the last price at or before *now*, None before the first."""
        index = bisect_right(self._times, now) - 1
        return PriceSeen(self.token, self._prices[index], self._times[index]) if index >= 0 else None

    def path(self, *, after: datetime, until: datetime) -> tuple[tuple[datetime, Paise], ...]:
        """Return the prices in (*after*, *until*], closed by the price that stands at *until*.

        Where the list would not end at *until*, the price that stands then closes it with the time *until*: it is what
        an order would meet. Empty before the first price.
        """
        end = bisect_right(self._times, until)
        if end == 0:
            return ()
        start = min(bisect_right(self._times, after), end)
        points = list(zip(self._times[start:end], self._prices[start:end], strict=True))
        if not points or self._times[end - 1] < until:
            points.append((until, self._prices[end - 1]))
        return tuple(points)

    def _add_path(self, candle: Candle) -> None:
        rising = candle.close >= candle.open
        start = candle.start
        self._times += (start, start + _SECOND, start + _THIRD, start + _LAST)
        self._prices += (
            candle.open,
            candle.low if rising else candle.high,
            candle.high if rising else candle.low,
            candle.close,
        )
