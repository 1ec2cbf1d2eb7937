"""Longer candles and accepted series hold for any minutes."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import groupby, pairwise
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from fsm_trader.core.candles import Candle, candle_fault
from fsm_trader.core.money import Paise
from fsm_trader.market.candles import Aggregator, CandleSeries
from fsm_trader.market.series import Series

OPEN = datetime(2026, 6, 17, 9, 15, tzinfo=ZoneInfo("Asia/Kolkata"))


@st.composite
def minutes(draw: st.DrawFn, *, sound: bool = True) -> list[Candle]:
    numbers = draw(st.lists(st.integers(-10, 120), max_size=30, unique=sound))
    candles = []
    for number in sorted(numbers) if sound else numbers:
        prices = [Paise(draw(st.integers(1 if sound else -1, 40))) for _ in range(4)]
        if sound:
            prices = [prices[0], max(prices), min(prices), prices[3]]
        candles.append(Candle(1, OPEN + timedelta(minutes=number), *prices, draw(st.integers(0, 5))))
    return candles


@given(minutes(), st.sampled_from([1, 3, 5, 10, 15, 30, 60]))
def test_longer_candles_equal_grouping_the_minutes(candles: list[Candle], length: int) -> None:
    aggregator = Aggregator(length * 60)
    built = [done for candle in candles for done in aggregator.add(candle)]

    groups = []
    for number, group in groupby(candles, key=lambda candle: (candle.start - OPEN) // timedelta(minutes=length)):
        part = list(group)
        start = OPEN + number * timedelta(minutes=length)
        prices = (part[0].open, max(c.high for c in part), min(c.low for c in part), part[-1].close)
        groups.append(Candle(1, start, *prices, sum(c.volume for c in part), length * 60))
    if groups and candles[-1].end < groups[-1].end:
        groups.pop()  # still forming
    assert built == groups


@given(minutes(sound=False), st.integers(1, 5))
def test_what_is_accepted_rises_in_time_is_sound_and_never_comes_twice(candles: list[Candle], size: int) -> None:
    series = CandleSeries(1)
    batches = [candles[at : at + size] for at in range(0, len(candles), size)]
    accepted = [candle for batch in batches for candle in series.accept(batch)[0]]

    assert all(earlier.start < later.start for earlier, later in pairwise(accepted))
    assert all(candle_fault(candle) is None for candle in accepted)
    assert set(map(str, accepted)) <= set(map(str, candles))


@given(minutes(), st.integers(1, 4))
def test_reading_the_whole_day_again_gives_nothing_new(candles: list[Candle], times: int) -> None:
    series = CandleSeries(1)
    assert series.accept(candles)[0] == candles

    assert all(series.accept(candles) == ([], []) for _ in range(times))


@given(minutes(), st.integers(-900, 8000), st.integers(0, 3000))
def test_the_price_path_equals_a_search_through_all_points(candles: list[Candle], first_s: int, more_s: int) -> None:
    series = Series(1, tuple(candles))
    after, until = OPEN + timedelta(seconds=first_s), OPEN + timedelta(seconds=first_s + more_s)
    points = []
    for candle in candles:
        middle = (candle.low, candle.high) if candle.close >= candle.open else (candle.high, candle.low)
        for second, price in zip((0, 20, 40, 59), (candle.open, *middle, candle.close), strict=True):
            points.append((candle.start + timedelta(seconds=second), price))
    known = [point for point in points if point[0] <= until]
    expected = [point for point in known if point[0] > after]
    if known and (not expected or known[-1][0] != until):
        expected.append((until, known[-1][1]))

    assert list(series.path(after=after, until=until)) == expected
    seen = series.price(until)
    assert (seen and (seen.at, seen.last)) == (known[-1] if known else None)
    assert series.complete(after=after, now=until) == tuple(
        candle for candle in candles if candle.start > after and candle.end <= until
    )
    assert series.next_end(until) == min((candle.end for candle in candles if candle.end > until), default=None)
