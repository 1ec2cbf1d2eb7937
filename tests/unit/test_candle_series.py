"""Which candles of a feed are taken, and what is said of the others."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest

from fsm_trader.core.candles import Candle
from fsm_trader.core.money import Paise
from fsm_trader.market.candles import Aggregator, CandleSeries

ZONE = ZoneInfo("Asia/Kolkata")
OPEN = datetime(2026, 6, 17, 9, 15, tzinfo=ZONE)


def minute(number: int, *, close: int = 105, **changes: object) -> Candle:
    start = OPEN + timedelta(minutes=number)
    candle = Candle(7, start, Paise(100), Paise(110), Paise(90), Paise(close), 3)
    return msgspec.structs.replace(candle, **changes)


def test_candles_are_taken_in_time_order_whatever_the_order_of_the_batch() -> None:
    accepted, reasons = CandleSeries(7).accept([minute(2), minute(0), minute(1)])

    assert [candle.start.minute for candle in accepted] == [15, 16, 17]
    assert reasons == []


def test_a_repeated_candle_is_passed_over_without_a_word() -> None:
    series = CandleSeries(7)
    series.accept([minute(0), minute(1)])

    assert series.accept([minute(0), minute(1), minute(1), minute(2)]) == ([minute(2)], [])


def test_a_revised_candle_is_told_once_and_the_first_is_kept() -> None:
    series = CandleSeries(7)
    series.accept([minute(0)])

    first = series.accept([minute(0, close=106)])
    again = series.accept([minute(0, close=106)])

    assert first[0] == []
    assert "other values" in first[1][0]
    assert again == ([], [])
    assert series.last == minute(0)


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (minute(1, open=Paise(0)), "above zero"),
        (minute(1, low=Paise(-5)), "above zero"),
        (minute(1, high=Paise(99)), "do not enclose"),
        (minute(1, low=Paise(101)), "do not enclose"),
        (minute(1, close=float("nan")), "whole paise"),
        (minute(1, start=OPEN + timedelta(seconds=70)), "on a minute"),
        (minute(1, start=datetime(2026, 6, 17, 9, 16)), "no time zone"),
        (minute(1, token=8), "token 8"),
        (minute(1, interval_s=180), "180 s"),
    ],
)
def test_an_unusable_candle_is_skipped_with_a_reason_and_the_others_are_taken(bad: Candle, told: str) -> None:
    series = CandleSeries(7)

    accepted, reasons = series.accept([minute(0), bad])

    assert accepted == [minute(0)]
    assert len(reasons) == 1
    assert told in reasons[0]
    assert series.last == minute(0)


def test_a_candle_older_than_the_last_is_skipped() -> None:
    series = CandleSeries(7)
    series.accept([minute(0), minute(5)])

    accepted, reasons = series.accept([minute(3)])

    assert accepted == []
    assert "older than the newest accepted one" in reasons[0]


def test_a_gap_is_told_and_the_candle_after_it_is_taken() -> None:
    series = CandleSeries(7)
    series.accept([minute(0)])

    accepted, reasons = series.accept([minute(3)])

    assert accepted == [minute(3)]
    assert "2 missing minutes" in reasons[0]


def test_a_night_is_no_gap() -> None:
    series = CandleSeries(7)
    series.accept([minute(374)])

    assert series.accept([minute(24 * 60)])[1] == []


def test_a_bad_candle_told_at_every_read_gives_one_reason() -> None:
    series = CandleSeries(7)
    bad = minute(1, open=Paise(0))

    told = [reason for _ in range(50) for reason in series.accept([minute(0), bad])[1]]

    assert len(told) == 1


def test_a_longer_candle_is_complete_when_its_last_minute_arrives() -> None:
    aggregator = Aggregator(180)

    assert aggregator.add(minute(0, open=Paise(95))) == []
    assert aggregator.add(minute(1, high=Paise(130))) == []
    assert aggregator.add(minute(2, close=99, low=Paise(80))) == [
        Candle(7, OPEN, Paise(95), Paise(130), Paise(80), Paise(99), 9, 180)
    ]


def test_a_later_minute_proves_that_a_candle_has_ended() -> None:
    aggregator = Aggregator(180)
    aggregator.add(minute(0))

    done = aggregator.add(minute(5))

    assert [(candle.start.minute, candle.volume) for candle in done] == [(15, 3), (18, 3)]


def test_hours_are_counted_from_the_open() -> None:
    aggregator = Aggregator(3600)

    done = [candle for number in range(121) for candle in aggregator.add(minute(number))]

    assert [f"{candle.start:%H:%M}" for candle in done] == ["09:15", "10:15"]


def test_minutes_out_of_order_are_refused_and_change_nothing() -> None:
    aggregator = Aggregator(180)
    aggregator.add(minute(0))
    aggregator.add(minute(1))

    with pytest.raises(ValueError, match="time order"):
        aggregator.add(minute(1))

    assert aggregator.add(minute(2))[0].volume == 9


@pytest.mark.parametrize("interval_s", [0, 59, 90, -60])
def test_an_interval_that_is_no_whole_number_of_minutes_is_refused(interval_s: int) -> None:
    with pytest.raises(ValueError, match="whole number of minutes"):
        Aggregator(interval_s)
