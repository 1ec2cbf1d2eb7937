"""The trading calendar against the maintained one, and at its edges."""

from __future__ import annotations

import warnings
from datetime import date, time, timedelta

import pytest

from fsm_trader.errors import SetupError
from fsm_trader.market.calendar import calendar_for
from fsm_trader.market.calendar_files import parse_calendar

NSE = calendar_for("NSE")


def test_every_weekday_of_the_covered_years_agrees_with_the_maintained_calendar() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas warns of its own future inside the other package
        import exchange_calendars

        sessions = {stamp.date() for stamp in exchange_calendars.get_calendar("XBOM").sessions}

    days = [NSE.first + timedelta(days=n) for n in range((NSE.last - NSE.first).days + 1)]
    wrong = [day for day in days if day.weekday() < 5 and NSE.is_trading_day(day) != (day in sessions)]

    assert len(days) == 1096
    assert wrong == []


@pytest.mark.parametrize(
    "day", [date(2024, 1, 20), date(2024, 3, 2), date(2024, 5, 18), date(2025, 2, 1), date(2026, 2, 1)]
)
def test_a_special_session_on_a_weekend_is_a_trading_day(day: date) -> None:
    assert day.weekday() >= 5
    assert NSE.is_trading_day(day)
    assert NSE.why_closed(day) is None


def test_an_ordinary_weekend_and_a_holiday_are_closed_and_say_why() -> None:
    assert NSE.why_closed(date(2026, 6, 20)) == "Saturday"
    assert NSE.why_closed(date(2026, 6, 21)) == "Sunday"
    assert NSE.why_closed(date(2026, 1, 26)) == "holiday: Republic Day"
    assert not NSE.is_trading_day(date(2026, 1, 26))


def test_a_muhurat_evening_is_not_traded() -> None:
    assert not NSE.is_trading_day(date(2025, 10, 21))
    assert not NSE.is_trading_day(date(2026, 11, 8))


@pytest.mark.parametrize("day", [date(2023, 6, 5), date(2021, 6, 14), date(2027, 1, 4)])
def test_a_day_out_of_range_is_not_covered_and_never_a_trading_day(day: date) -> None:
    assert not NSE.covers(day)
    assert not NSE.is_trading_day(day)
    assert "not covered" in (NSE.why_closed(day) or "")


def test_hours_change_on_the_day_the_rule_came_into_force() -> None:
    assert NSE.hours(date(2021, 6, 14)) == (time(9, 15), time(15, 30))
    assert NSE.hours(date(2026, 7, 31)) == (time(9, 15), time(15, 30))
    assert NSE.hours(date(2026, 8, 3)) == (time(9, 15), time(15, 40))


def test_hours_that_are_not_confirmed_are_told_but_not_applied() -> None:
    assert NSE.hours(date(2026, 12, 8)) == (time(9, 15), time(15, 40))
    assert "15:45" in (NSE.unconfirmed(date(2026, 12, 8)) or "")
    assert NSE.unconfirmed(date(2026, 12, 6)) is None


def test_a_drill_on_saturday_has_its_own_hours() -> None:
    assert NSE.hours(date(2024, 3, 2)) == (time(9, 15), time(12, 30))


def test_the_test_bench_calendar_trades_every_day() -> None:
    always = calendar_for("always")

    assert all(always.is_trading_day(day) and always.covers(day) for day in (date(2026, 1, 26), date(1999, 1, 2)))


def test_an_unknown_calendar_is_refused() -> None:
    with pytest.raises(SetupError, match="expected NSE or always"):
        calendar_for("BSE")


def test_a_calendar_file_that_contradicts_itself_lists_every_fault() -> None:
    text = """
        covers = {from = 2026-01-01, to = 2026-12-31}
        checked = 2026-01-01
        [[holidays]]
        source = "a"
        days = {2026-01-24 = "on a Saturday", 2027-01-01 = "outside", 2026-02-02 = "and special"}
        [[special]]
        day = 2026-02-02
        open = 15:00:00
        close = 09:00:00
        note = ""
        source = ""
        [[hours]]
        from = 2020-01-01
        open = 09:15:00
        close = 09:00:00
        confirmed = false
        source = ""
    """

    with pytest.raises(SetupError) as caught:
        parse_calendar(text)

    assert len(caught.value.faults) == 6
