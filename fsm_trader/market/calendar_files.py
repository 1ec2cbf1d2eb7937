"""The calendar's data: the file that ships with the program, and a user's own that corrects it.

Both have one form. Everything wrong with a file is told at once; a calendar with a fault is not used at all.
"""

from __future__ import annotations

import tomllib
from datetime import date, time, timedelta
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from fsm_trader.errors import Fault, SetupError

SHIPPED = "nse_calendar.toml"
_DAY = timedelta(days=1)
_Kind = TypeVar("_Kind", "CalendarFile", "Corrections")


class Auction(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"start": "from", "end": "to"}):
    """The closing auction of the stocks in the index; *start* is inside, *end* is not."""

    start: time
    end: time


class HoursRow(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    rename={"since": "from", "opens": "open", "closes": "close"},
):
    """The hours of index options from a date on."""

    since: date
    opens: time
    closes: time
    confirmed: bool
    source: str
    auction: Auction | None = None


class SpecialRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"opens": "open", "closes": "close"}):
    """A session on a day that would be closed, or at other hours; *traded* False: known, and left out."""

    day: date
    opens: time
    closes: time
    note: str
    source: str
    traded: bool = True


class HolidaysRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Weekdays without a session, and what they are called."""

    source: str
    days: dict[date, str]


class Range(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"first": "from", "last": "to"}):
    """The days a calendar knows, both ends among them."""

    first: date
    last: date


class CalendarFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole of a calendar file."""

    covers: Range
    checked: date
    holidays: tuple[HolidaysRow, ...] = ()
    special: tuple[SpecialRow, ...] = ()
    hours: tuple[HoursRow, ...] = ()


class Corrections(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A user's file: what it says goes before what ships.

    Args:
        covers: the days that are known together with it; only ever more than without it.
        open_days: holidays of the shipped file on which there is a session after all.
        holidays, special, hours: further ones, or others for the same day.
    """

    covers: Range | None = None
    open_days: tuple[date, ...] = ()
    holidays: tuple[HolidaysRow, ...] = ()
    special: tuple[SpecialRow, ...] = ()
    hours: tuple[HoursRow, ...] = ()


def read_calendar(corrections: Path | None = None) -> CalendarFile:
    """Return the shipped calendar, corrected by a user's file where one is named.

    Raises:
        SetupError: the file cannot be read, is not of that form or contradicts itself or the shipped one.
    """
    data = _shipped()
    if corrections is None:
        return data
    where = str(corrections)
    try:
        text = corrections.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError.at(where, f"cannot be read ({error}); expected a calendar in TOML") from error
    own = _parsed(text, where, Corrections)
    _refuse(where, _correction_faults(own, data))
    corrected = _corrected(data, own)
    _refuse(where, calendar_faults(corrected))
    return corrected


def parse_calendar(text: str, where: str = SHIPPED) -> CalendarFile:
    """Return a whole calendar from its text.

    Raises:
        SetupError: the text is not of that form or contradicts itself.
    """
    data = _parsed(text, where, CalendarFile)
    _refuse(where, calendar_faults(data))
    return data


@cache
def _shipped() -> CalendarFile:
    return parse_calendar(files("fsm_trader.market").joinpath("data", SHIPPED).read_text(encoding="utf-8"))


def _parsed(text: str, where: str, kind: type[_Kind]) -> _Kind:
    try:
        raw: dict[str, Any] = tomllib.loads(text)
        # TOML keys are text; the dates among them are checked here like every other date.
        return msgspec.convert(raw, kind, strict=False)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise SetupError.at(where, f"is no calendar: {error}; expected the form of {SHIPPED}") from error


def _refuse(where: str, faults: list[str]) -> None:
    if faults:
        raise SetupError([Fault(where, "", fault) for fault in faults])


def _corrected(data: CalendarFile, own: Corrections) -> CalendarFile:
    mine = {day for group in own.holidays for day in group.days}
    gone = {*own.open_days, *(row.day for row in own.special), *mine}
    holidays = [HolidaysRow(row.source, {d: n for d, n in row.days.items() if d not in gone}) for row in data.holidays]
    days = {*(row.day for row in own.special), *mine}
    special = [row for row in data.special if row.day not in days]
    since = {row.since for row in own.hours}
    hours = [*(row for row in data.hours if row.since not in since), *own.hours]
    covers = own.covers or data.covers
    return CalendarFile(
        covers=Range(min(covers.first, data.covers.first), max(covers.last, data.covers.last)),
        checked=data.checked,
        holidays=(*holidays, *own.holidays),
        special=(*special, *own.special),
        hours=tuple(sorted(hours, key=lambda row: row.since)),
    )


def _correction_faults(own: Corrections, data: CalendarFile) -> list[str]:
    listed = {day for group in data.holidays for day in group.days}
    faults = [
        f"open_days: {day} is no holiday; expected one of the shipped calendar"
        for day in own.open_days
        if day not in listed
    ]
    if own.covers is None:
        return faults
    first, last = data.covers.first, data.covers.last
    if own.covers.first > last + _DAY or own.covers.last < first - _DAY:
        faults.append(f"covers: {own.covers.first} to {own.covers.last} leaves a gap beside {first} to {last}")
    # A year with no holiday of its own was hardly looked up: it would be traded on Diwali.
    years = {day.year for group in own.holidays for day in group.days}
    new = [*range(own.covers.first.year, first.year), *range(last.year + 1, own.covers.last.year + 1)]
    return faults + [
        f"covers: {year} has no holiday; expected those of the exchange" for year in new if year not in years
    ]


def calendar_faults(data: CalendarFile) -> list[str]:
    """Say what in a calendar contradicts itself."""
    return [*_holiday_faults(data), *_special_faults(data), *_hours_faults(data)]


def _holiday_faults(data: CalendarFile) -> list[str]:
    days = [day for group in data.holidays for day in group.days]
    faults = [f"holiday {day} is listed twice; expected once" for day in sorted({d for d in days if days.count(d) > 1})]
    faults += [f"holiday {day} is a {day:%A}; expected weekdays" for day in days if day.weekday() >= 5]
    outside = [day for day in days if not data.covers.first <= day <= data.covers.last]
    return [*faults, *(f"holiday {day} is outside the covered range" for day in outside)]


def _special_faults(data: CalendarFile) -> list[str]:
    days = {day for group in data.holidays for day in group.days}
    rows = [row.day for row in data.special]
    faults = [f"special session {row.day} is also a holiday" for row in data.special if row.traded and row.day in days]
    faults += [f"special session {day} is listed twice" for day in sorted({d for d in rows if rows.count(d) > 1})]
    return faults + [
        f"special session {row.day} closes before it opens" for row in data.special if row.opens >= row.closes
    ]


def _hours_faults(data: CalendarFile) -> list[str]:
    since = [row.since for row in data.hours]
    faults = [] if since == sorted(set(since)) else ["hours are not in order of their dates"]
    if not data.hours or not data.hours[0].confirmed:
        faults.append("the first hours are missing or not confirmed")
    faults += [f"hours from {row.since} close before they open" for row in data.hours if row.opens >= row.closes]
    return faults + [
        f"hours from {row.since}: the auction does not lie inside them"
        for row in data.hours
        if row.auction is not None and not row.opens < row.auction.start < row.auction.end <= row.closes
    ]
