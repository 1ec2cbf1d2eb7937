"""Streaming strategies against plain references that look at all candles anew, on candles of any shape."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm_trader.core.candles import MINUTE, Candle
from fsm_trader.core.money import price_seen
from fsm_trader.core.signals import Signal
from fsm_trader.strategy.donchian import DonchianBreakout
from fsm_trader.strategy.indicators import RollingExtreme, RollingSum
from fsm_trader.strategy.moving_average import MovingAverageCross
from fsm_trader.strategy.opening_range import OpeningRange
from fsm_trader.strategy.protocol import Strategy

INDEX = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "index"
OPENING = datetime(2024, 1, 1, 9, 15, tzinfo=timezone(timedelta(hours=5, minutes=30)))
# Few distinct prices, so that touching a line exactly and staying level are common.
PRICES = st.integers(1, 6)
BUILDERS: list[Callable[[], Strategy]] = [
    lambda: DonchianBreakout(3, 1),
    lambda: DonchianBreakout(2, 2),
    lambda: MovingAverageCross(2, 4),
    lambda: OpeningRange(3),
]


@st.composite
def candle_lists(draw: st.DrawFn) -> list[Candle]:
    # The size is drawn first: left to itself Hypothesis prefers lists too short to leave the warm-up.
    size = draw(st.integers(0, 45))
    bars = draw(st.lists(st.tuples(PRICES, PRICES, PRICES, PRICES), min_size=size, max_size=size))
    candles = []
    for n, (first, second, third, fourth) in enumerate(bars):
        low, high = min(first, second, third, fourth), max(first, second, third, fourth)
        # Fifteen candles a day: a list may span three days.
        start = OPENING + timedelta(days=n // 15) + (n % 15) * MINUTE
        candles.append(Candle(1, start, first, high, low, fourth))
    return candles


def _said(strategy: Strategy, candles: list[Candle]) -> list[Signal]:
    return [strategy.update(candle) for candle in candles]


def _donchian(candles: list[Candle], length: int, exit_option: int) -> list[Signal]:
    def upper(t: int) -> int:
        return max(candle.high for candle in candles[t - length + 1 : t + 1])

    def line(t: int) -> Fraction:
        lower = min(candle.low for candle in candles[t - length + 1 : t + 1])
        return Fraction(lower) if exit_option == 1 else Fraction(upper(t) + lower, 2)

    said = []
    for t, candle in enumerate(candles):
        if t - 2 < length - 1:
            said.append(Signal.HOLD)
        elif candle.close < line(t - 1) and candles[t - 1].close >= line(t - 2):
            said.append(Signal.EXIT)
        elif candle.close > upper(t - 1) and candles[t - 1].close <= upper(t - 2):
            said.append(Signal.BUY)
        else:
            said.append(Signal.HOLD)
    return said


def _averages(candles: list[Candle], fast: int, slow: int) -> list[Signal]:
    def mean(t: int, length: int) -> Fraction:
        return Fraction(sum(candle.close for candle in candles[t - length + 1 : t + 1]), length)

    said = []
    for t in range(len(candles)):
        if t - 1 < slow - 1:
            said.append(Signal.HOLD)
        elif mean(t, fast) < mean(t, slow) and mean(t - 1, fast) >= mean(t - 1, slow):
            said.append(Signal.EXIT)
        elif mean(t, fast) > mean(t, slow) and mean(t - 1, fast) <= mean(t - 1, slow):
            said.append(Signal.BUY)
        else:
            said.append(Signal.HOLD)
    return said


def _range(candles: list[Candle], minutes: int, exit_option: int) -> list[Signal]:
    said = []
    for t, candle in enumerate(candles):
        day = [other for other in candles[: t + 1] if other.start.date() == candle.start.date()]
        end = day[0].start + timedelta(minutes=minutes)
        opening, after = [other for other in day if other.start < end], [other for other in day if other.start >= end]
        high, low = max(other.high for other in opening), min(other.low for other in opening)
        line = Fraction(low) if exit_option == 1 else Fraction(high + low, 2)
        if not after:
            said.append(Signal.HOLD)
        elif candle.close < line and candles[t - 1].close >= line:
            said.append(Signal.EXIT)
        elif candle.close > high and all(other.close <= high for other in after[:-1]):
            said.append(Signal.BUY)
        else:
            said.append(Signal.HOLD)
    return said


@given(candles=candle_lists(), length=st.integers(2, 6), exit_option=st.sampled_from([1, 2]))
def test_donchian_says_what_its_definition_says(candles: list[Candle], length: int, exit_option: int) -> None:
    assert _said(DonchianBreakout(length, exit_option), candles) == _donchian(candles, length, exit_option)


@given(candles=candle_lists(), fast=st.integers(1, 4), more=st.integers(1, 4))
def test_the_crossing_of_averages_says_what_its_definition_says(candles: list[Candle], fast: int, more: int) -> None:
    assert _said(MovingAverageCross(fast, fast + more), candles) == _averages(candles, fast, fast + more)


@given(candles=candle_lists(), minutes=st.integers(1, 8), exit_option=st.sampled_from([1, 2]))
def test_the_opening_range_says_what_its_definition_says(candles: list[Candle], minutes: int, exit_option: int) -> None:
    assert _said(OpeningRange(minutes, exit_option), candles) == _range(candles, minutes, exit_option)


@pytest.mark.parametrize("builder", BUILDERS)
@given(candles=candle_lists(), data=st.data())
def test_a_restart_anywhere_gives_the_same_signals(
    builder: Callable[[], Strategy], candles: list[Candle], data: st.DataObject
) -> None:
    crash = data.draw(st.integers(0, len(candles)))
    before = _said(builder(), candles[:crash])

    restarted = _said(builder(), candles)

    assert restarted[:crash] == before
    assert restarted == _said(builder(), candles)


@pytest.mark.parametrize("builder", BUILDERS)
@given(candles=candle_lists())
def test_nothing_but_hold_is_said_before_the_warm_up_is_over(
    builder: Callable[[], Strategy], candles: list[Candle]
) -> None:
    strategy = builder()

    said = _said(strategy, candles)

    assert set(said[: strategy.warmup - 1]) <= {Signal.HOLD}


@given(values=st.lists(st.integers(-50, 50), max_size=60), length=st.integers(1, 10))
def test_rolling_indicators_equal_a_look_at_the_whole_window(values: list[int], length: int) -> None:
    total, largest, smallest = (
        RollingSum(length),
        RollingExtreme(length, largest=True),
        RollingExtreme(length, largest=False),
    )

    for n, value in enumerate(values):
        window = values[max(0, n - length + 1) : n + 1]
        expected = (sum(window), max(window), min(window)) if len(window) == length else (None, None, None)
        assert (total.push(value), largest.push(value), smallest.push(value)) == expected


def test_recorded_days_give_the_signals_of_the_definitions() -> None:
    path = INDEX / "nifty50_1min_2024-01-01_2024-06-28.parquet"
    if not path.exists():
        pytest.skip("the recorded index days are not beside this checkout (shared/data/index)")
    tables = pytest.importorskip("pyarrow.parquet")
    rows = tables.read_table(path).slice(0, 5 * 375).to_pylist()
    fields = ("open", "high", "low", "close")
    candles = [Candle(1, row["ts"], *(price_seen(row[field]) for field in fields)) for row in rows]

    donchian, averages, ranges = DonchianBreakout(20, 2), MovingAverageCross(5, 20), OpeningRange(15)

    said = _said(donchian, candles)
    assert {Signal.BUY, Signal.EXIT} <= set(said)
    assert said == _donchian(candles, 20, 2)
    assert _said(averages, candles) == _averages(candles, 5, 20)
    assert _said(ranges, candles) == _range(candles, 15, 1)
