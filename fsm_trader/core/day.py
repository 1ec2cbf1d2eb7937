"""One trading day of a session: its boundaries as aware moments, and which of them lie behind us."""

from __future__ import annotations

from datetime import date, datetime, time
from zoneinfo import ZoneInfo

import msgspec

from fsm_trader.core.settings import SessionSettings


class DayPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The boundaries of one day, in time order.

    *why_closed* is None on a trading day; *closes_at* is when the market takes no more orders, None where unknown.
    """

    day: date
    why_closed: str | None
    health_start: datetime
    health_end: datetime
    trading_start: datetime
    trading_end: datetime
    square_off: datetime
    closes_at: datetime | None = None

    @property
    def boundaries(self) -> tuple[datetime, ...]:
        """All moments at which something may start or end."""
        return (self.health_start, self.health_end, self.trading_start, self.trading_end, self.square_off)

    def next_boundary(self, now: datetime) -> datetime | None:
        """Return the first boundary after *now*, None when all have passed."""
        return next((moment for moment in self.boundaries if moment > now), None)


def plan_day(session: SessionSettings, day: date, *, why_closed: str | None) -> DayPlan:
    """Lay the session's times of day on one date of its time zone."""
    zone = ZoneInfo(session.timezone)

    def at(clock_time: time) -> datetime:
        return datetime.combine(day, clock_time, tzinfo=zone)

    return DayPlan(
        day=day,
        why_closed=why_closed,
        health_start=at(session.health_check.start),
        health_end=at(session.health_check.end),
        trading_start=at(session.trading.start),
        trading_end=at(session.trading.end),
        square_off=at(session.square_off),
    )
