"""Trading days and option hours of NSE, from a dated data file of our own.

Holidays can be declared with days of notice, so the data names its range and its sources; a day outside the range is
never a trading day here, and it is the app that may still play a recorded day of it. Knows no clock and no network.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import date, time
from functools import cache
from pathlib import Path
from typing import Literal

from fsm_trader.core.settings import SessionSettings
from fsm_trader.errors import SetupError
from fsm_trader.market.calendar_files import CalendarFile, HoursRow, read_calendar

Kind = Literal["NSE", "always"]


class Calendar:
    """Which days trade, and from when to when. Build one with :func:`calendar_for`.

    *kind* ``NSE`` follows the data; ``always`` (a test bench) takes every day as a trading day, with NSE's hours.
    """

    def __init__(self, kind: Kind, data: CalendarFile) -> None:
        self.kind: Kind = kind
        self.first, self.last = data.covers.first, data.covers.last
        self.checked = data.checked
        self._holidays = {day: name for group in data.holidays for day, name in group.days.items()}
        self._special = {row.day: row for row in data.special if row.traded}
        self._left_out = {row.day: row for row in data.special if not row.traded}
        self._hours = tuple(row for row in data.hours if row.confirmed)
        self._unconfirmed = tuple(row for row in data.hours if not row.confirmed)
        self._since = [row.since for row in self._hours]

    def covers(self, day: date) -> bool:
        """Say whether the data knows *day*; live trading is refused where it does not."""
        return self.kind == "always" or self.first <= day <= self.last

    def is_trading_day(self, day: date) -> bool:
        """Say whether options trade on *day*; False for every day that is not covered."""
        return self.why_closed(day) is None

    def why_closed(self, day: date) -> str | None:
        """Say why *day* is no trading day (``Saturday``, ``holiday: Holi``), None when it is one."""
        if self.kind == "always" or day in self._special:
            return None
        if not self.covers(day):
            return f"not covered: the NSE calendar knows {self.first} to {self.last}"
        left_out = self._left_out.get(day)
        if left_out is not None:
            hours = f"{left_out.opens:%H:%M}-{left_out.closes:%H:%M}"
            return f"{left_out.note} ({hours}): not traded by this program"
        if day.weekday() >= 5:
            return f"{day:%A}"
        name = self._holidays.get(day)
        return None if name is None else f"holiday: {name}"

    def why_not_live(self, day: date) -> str | None:
        """Say why nobody should trade real money by this calendar on *day*, None where it knows the day.

        A holiday of a day that is not covered would be taken for a trading day, and its hours for the last known.
        """
        if self.covers(day):
            return None
        return (
            f"{day} is outside the calendar, which knows {self.first} to {self.last}; expected a newer version, or "
            "the exchange's days of that year in session.calendar_file"
        )

    def hours(self, day: date) -> tuple[time, time]:
        """Return when index options open and close on *day*, local to the exchange.

        Special sessions have their own; other days, covered or not, have the confirmed hours that were in force.
        """
        special = self._special.get(day)
        if special is not None:
            return special.opens, special.closes
        row = self._row(day)
        return row.opens, row.closes

    def auction(self, day: date) -> tuple[time, time] | None:
        """Return the closing auction of the stocks on *day*, None where there is none or none is known.

        From its start on the index is frozen or indicative: a decision on it is one on no price.
        """
        auction = None if day in self._special else self._row(day).auction
        return None if auction is None else (auction.start, auction.end)

    def unconfirmed(self, day: date) -> str | None:
        """Return a note on other hours that may be in force on *day* but are not confirmed, None without one."""
        rows = [row for row in self._unconfirmed if row.since <= day]
        if not rows:
            return None
        row = rows[-1]
        return f"unconfirmed since {row.since}: options trade {row.opens:%H:%M}-{row.closes:%H:%M} ({row.source})"

    @property
    def widest_hours(self) -> tuple[time, time]:
        """The earliest opening and the latest close of any day that is known."""
        rows = [(row.opens, row.closes) for row in (*self._hours, *self._unconfirmed)]
        rows += [(row.opens, row.closes) for row in self._special.values()]
        return min(opens for opens, _ in rows), max(closes for _, closes in rows)

    def _row(self, day: date) -> HoursRow:
        return self._hours[max(0, bisect_right(self._since, day) - 1)]


def calendar_for(name: str, corrections: Path | None = None) -> Calendar:
    """Return the calendar of ``session.calendar``, ``NSE`` or ``always``.

    Args:
        name: which one.
        corrections: a user's file, ``session.calendar_file``; what it says goes before what ships.

    Raises:
        SetupError: no calendar has that name, or the file cannot be used.
    """
    return _shipped(name) if corrections is None else Calendar(_kind(name), read_calendar(corrections))


@cache
def _shipped(name: str) -> Calendar:
    return Calendar(_kind(name), read_calendar())


def _kind(name: str) -> Kind:
    if name == "NSE":
        return "NSE"
    if name == "always":
        return "always"
    raise SetupError.at("session.calendar", f"no calendar {name!r}; expected NSE or always")


def window_notes(calendar: Calendar, session: SessionSettings, day: date) -> tuple[str, ...]:
    """Say how a session's windows differ from what *day* allows; empty where they fit.

    A day that is not traded has one note. What is done about the others is the day plan's (``app.files.day_plan``).
    """
    closed = calendar.why_closed(day)
    if closed is not None and calendar.covers(day):
        return (f"{day} is not traded: {closed}",)
    opens, _ = calendar.hours(day)
    auction, unconfirmed = calendar.auction(day), calendar.unconfirmed(day)
    notes: list[str] = []
    if session.trading.start < opens:
        notes.append(f"on {day} options open at {opens:%H:%M}, after trading.start {session.trading.start:%H:%M}")
    if auction is not None and session.trading.end > auction[0]:
        notes.append(f"on {day} entries end at {auction[0]:%H:%M}: in the closing auction the index shows no price")
    return (*notes, *([unconfirmed] if unconfirmed is not None else []))
