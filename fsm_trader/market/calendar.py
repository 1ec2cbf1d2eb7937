"""Trading days and option hours of NSE, from a dated data file of our own.

Holidays can be declared with days of notice, so the data names its range and its sources; a day outside the range is
never a trading day here, and it is the app that may still play a recorded day of it. Knows no clock and no network.
"""

from __future__ import annotations

import tomllib
from bisect import bisect_right
from datetime import date, time
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import msgspec

from fsm_trader.errors import Fault, SetupError

Kind = Literal["NSE", "always"]


class _Hours(msgspec.Struct, frozen=True, rename={"since": "from", "opens": "open", "closes": "close"}):
    since: date
    opens: time
    closes: time
    confirmed: bool
    source: str


class _Special(msgspec.Struct, frozen=True, rename={"opens": "open", "closes": "close"}):
    day: date
    opens: time
    closes: time
    note: str
    source: str


class _Holidays(msgspec.Struct, frozen=True):
    source: str
    days: dict[date, str]


class _Range(msgspec.Struct, frozen=True, rename={"first": "from", "last": "to"}):
    first: date
    last: date


class _CalendarFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    covers: _Range
    checked: date
    holidays: tuple[_Holidays, ...]
    special: tuple[_Special, ...]
    hours: tuple[_Hours, ...]


class Calendar:
    """Which days trade, and from when to when. Build one with :func:`calendar_for`.

    *kind* ``NSE`` follows the data; ``always`` (a test bench) takes every day as a trading day, with NSE's hours.
    """

    def __init__(self, kind: Kind, data: _CalendarFile) -> None:
        self.kind: Kind = kind
        self.first, self.last = data.covers.first, data.covers.last
        self._holidays = {day: name for group in data.holidays for day, name in group.days.items()}
        self._special = {special.day: special for special in data.special}
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
        if day.weekday() >= 5:
            return f"{day:%A}"
        name = self._holidays.get(day)
        return None if name is None else f"holiday: {name}"

    def hours(self, day: date) -> tuple[time, time]:
        """Return when index options open and close on *day*, local to the exchange.

        Special sessions have their own; other days, covered or not, have the confirmed hours that were in force.
        """
        special = self._special.get(day)
        if special is not None:
            return special.opens, special.closes
        row = self._hours[max(0, bisect_right(self._since, day) - 1)]
        return row.opens, row.closes

    def unconfirmed(self, day: date) -> str | None:
        """Return a note on other hours that may be in force on *day* but are not confirmed, None without one."""
        rows = [row for row in self._unconfirmed if row.since <= day]
        if not rows:
            return None
        row = rows[-1]
        return f"unconfirmed since {row.since}: options trade {row.opens:%H:%M}-{row.closes:%H:%M} ({row.source})"


@cache
def calendar_for(name: str) -> Calendar:
    """Return the calendar of ``session.calendar``: ``NSE`` or ``always``.

    Raises:
        SetupError: no calendar has that name.
    """
    data = _read(files("fsm_trader.market").joinpath("data", "nse_calendar.toml").read_text(encoding="utf-8"))
    if name == "NSE":
        return Calendar("NSE", data)
    if name == "always":
        return Calendar("always", data)
    raise SetupError.at("session.calendar", f"no calendar {name!r}; expected NSE or always")


def _read(text: str) -> _CalendarFile:
    raw: dict[str, Any] = tomllib.loads(text)
    # TOML keys are text; the dates among them are checked here like every other date.
    data = msgspec.convert(raw, _CalendarFile, strict=False)
    faults = [*_holiday_faults(data), *_special_faults(data), *_hours_faults(data)]
    if faults:
        raise SetupError([Fault("nse_calendar.toml", "", fault) for fault in faults])
    return data


def _holiday_faults(data: _CalendarFile) -> list[str]:
    days = [day for group in data.holidays for day in group.days]
    faults = [f"holiday {day} is listed twice; expected once" for day in sorted({d for d in days if days.count(d) > 1})]
    faults += [f"holiday {day} is a {day:%A}; expected weekdays" for day in days if day.weekday() >= 5]
    outside = [day for day in days if not data.covers.first <= day <= data.covers.last]
    return [*faults, *(f"holiday {day} is outside the covered range" for day in outside)]


def _special_faults(data: _CalendarFile) -> list[str]:
    days = {day for group in data.holidays for day in group.days}
    return [f"special session {row.day} is also a holiday" for row in data.special if row.day in days] + [
        f"special session {row.day} closes before it opens" for row in data.special if row.opens >= row.closes
    ]


def _hours_faults(data: _CalendarFile) -> list[str]:
    since = [row.since for row in data.hours]
    faults = [] if since == sorted(set(since)) else ["hours are not in order of their dates"]
    if not data.hours or not data.hours[0].confirmed:
        faults.append("the first hours are missing or not confirmed")
    return faults + [f"hours from {row.since} close before they open" for row in data.hours if row.opens >= row.closes]
