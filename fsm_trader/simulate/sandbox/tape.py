"""What one instrument showed up to any moment of the day: price, range, volume, and candles of any length.

A recorded day says what was traded by the minute; here each minute's volume is laid on the four prices of its path
(``market.series``), so that all three grow together. Pure once it is built; it must not know Kite's words.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import groupby

import msgspec

from fsm_trader.core.candles import MINUTE, Candle
from fsm_trader.core.money import Paise
from fsm_trader.simulate.sandbox.day import PlayedDay

_BEFORE = timedelta(seconds=1)
_AFTER = timedelta(minutes=1)


class Shown(msgspec.Struct, frozen=True):
    """One instrument as it stood right after a price.

    Args:
        at: when the price was shown.
        last, open, high, low: paise, of the day so far.
        last_quantity: units traded at that price.
        volume: units traded on the day so far.
        turnover: sum of price times units, for the average price.
    """

    at: datetime
    last: Paise
    open: Paise
    high: Paise
    low: Paise
    last_quantity: int
    volume: int
    turnover: int


class Tape:
    """One instrument's day, written once and then only read."""

    def __init__(self, shown: Iterable[Shown]) -> None:
        self._shown = tuple(shown)
        self._times = [each.at for each in self._shown]

    @classmethod
    def of(cls, day: PlayedDay, token: int) -> Tape:
        """Read the whole day of *token*.

        Raises:
            UnavailableError: the token is not of this day.
        """
        close = day.closes_at
        candles = day.candles(token, after=None, now=close + _AFTER)
        path = day.prices(token, after=day.opens_at - _BEFORE, until=close)
        # At the close the source repeats the price that stands; nothing was traded there.
        return cls(_shown([point for point in path if point[0] < close], candles))

    def at(self, now: datetime) -> Shown | None:
        """Return how it stands at *now*, None before the first price."""
        index = bisect_right(self._times, now)
        return self._shown[index - 1] if index else None

    def between(self, after: datetime, until: datetime, *, most: int) -> tuple[Shown, ...]:
        """Return what was shown in (*after*, *until*], the newest *most* of it."""
        end = bisect_right(self._times, until)
        return self._shown[max(bisect_right(self._times, after), end - most) : end]

    def candles(self, first: datetime, last: datetime, *, now: datetime) -> list[Candle]:
        """Return one-minute candles that start from *first* to *last*, the one in progress at *now* as it stands."""
        end = bisect_right(self._times, now)
        seen = (each for each in self._shown[:end] if first <= _minute(each.at) <= last)
        return [_candle(minute, tuple(group)) for minute, group in groupby(seen, key=lambda each: _minute(each.at))]


def merged(candles: Iterable[Candle], *, minutes: int, opens_at: datetime) -> list[Candle]:
    """Return candles of *minutes* minutes, counted from *opens_at*, built from those of one."""
    length = timedelta(minutes=minutes)

    def bucket(candle: Candle) -> datetime:
        return opens_at + (candle.start - opens_at) // length * length

    merged_: list[Candle] = []
    for start, group in groupby(candles, key=bucket):
        parts = tuple(group)
        merged_.append(
            Candle(
                parts[0].token,
                start,
                parts[0].open,
                max(part.high for part in parts),
                min(part.low for part in parts),
                parts[-1].close,
                sum(part.volume for part in parts),
                minutes * 60,
            )
        )
    return merged_


def _shown(path: Iterable[tuple[datetime, Paise]], candles: Iterable[Candle]) -> Iterator[Shown]:
    volumes = {candle.start: candle.volume for candle in candles}
    first = high = low = None
    volume = turnover = 0
    for minute, group in groupby(path, key=lambda point: _minute(point[0])):
        points = tuple(group)
        for quantity, (at, last) in zip(_parts(volumes.get(minute, 0), len(points)), points, strict=True):
            first = last if first is None else first
            high = last if high is None else max(high, last)
            low = last if low is None else min(low, last)
            volume += quantity
            turnover += quantity * last
            yield Shown(at, last, first, high, low, quantity, volume, turnover)


def _parts(volume: int, count: int) -> list[int]:
    even = volume // count
    return [even] * (count - 1) + [volume - even * (count - 1)]


def _minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)


def _candle(minute: datetime, points: tuple[Shown, ...]) -> Candle:
    prices = [point.last for point in points]
    volume = sum(point.last_quantity for point in points)
    return Candle(0, minute, prices[0], max(prices), min(prices), prices[-1], volume, int(MINUTE.total_seconds()))
