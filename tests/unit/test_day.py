"""A day's boundaries are moments in the session's own time zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest

from fsm_trader.core.day import plan_day

from .rows import DAY, PLAN, SESSION_SETTINGS, at


def test_the_times_of_day_are_laid_on_the_date_in_the_sessions_zone() -> None:
    assert PLAN.boundaries == tuple(at(clock) for clock in ("09:15", "09:20", "09:20", "15:00", "15:10"))
    assert PLAN.trading_start.astimezone(UTC) == datetime(2026, 6, 17, 3, 50, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "following"),
    [("00:00", "09:15"), ("09:15", "09:20"), ("09:20", "15:00"), ("15:00", "15:10"), ("15:09:59.999999", "15:10")],
)
def test_the_next_boundary_is_the_first_that_lies_ahead(now, following) -> None:
    assert PLAN.next_boundary(at(now)) == at(following)


@pytest.mark.parametrize("now", ["15:10", "23:59"])
def test_nothing_lies_ahead_after_the_square_off(now) -> None:
    assert PLAN.next_boundary(at(now)) is None


def test_a_closed_day_says_why() -> None:
    assert PLAN.why_closed is None
    assert plan_day(SESSION_SETTINGS, DAY, why_closed="Muharram").why_closed == "Muharram"


def test_a_zone_with_summer_time_keeps_the_time_of_day() -> None:
    abroad = msgspec.structs.replace(SESSION_SETTINGS, timezone="America/New_York")

    winter, summer = (plan_day(abroad, day, why_closed=None) for day in (date(2026, 3, 6), date(2026, 3, 9)))

    assert winter.square_off.utcoffset() == timedelta(hours=-5)
    assert summer.square_off.utcoffset() == timedelta(hours=-4)
    assert winter.square_off.time() == summer.square_off.time() == SESSION_SETTINGS.square_off
