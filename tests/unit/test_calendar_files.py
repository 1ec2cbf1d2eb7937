"""A calendar of one's own, what a day does to a session's windows, and the page that tells of both."""

from __future__ import annotations

import os
import re
import shutil
from datetime import date, time
from pathlib import Path

import msgspec
import pytest

from fsm_trader.app.files import check_start, day_plan
from fsm_trader.config.load import load_for_reading, load_settings
from fsm_trader.core.settings import Settings, Window
from fsm_trader.errors import SetupError
from fsm_trader.market.calendar import calendar_for, window_notes
from fsm_trader.market.calendar_files import parse_calendar, read_calendar

from .rows import settings

NSE = calendar_for("NSE")
ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reference" / "calendar.md").read_text(encoding="utf-8")
(EXAMPLE,) = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)

SPECIAL = '[[special]]\nday = 2026-02-07\nopen = 09:15:00\nclose = 11:00:00\nnote = "n"\nsource = "x"\n'
HOURS = '[[hours]]\nfrom = 2026-12-07\nopen = 09:15:00\nclose = 15:00:00\nconfirmed = true\nsource = "x"\n'


def own(folder: Path, text: str) -> Path:
    path = folder / "calendar.toml"
    path.write_text(text, encoding="utf-8")
    return path


def session_with(**changes: object) -> Settings:
    known = settings(Path("nowhere"))
    return msgspec.structs.replace(known, session=msgspec.structs.replace(known.session, **changes))


def test_what_a_calendar_of_ones_own_says_goes_before_what_ships(tmp_path: Path) -> None:
    calendar = calendar_for("NSE", own(tmp_path, EXAMPLE))

    assert calendar.why_closed(date(2026, 12, 30)) == "holiday: declared with a day of notice"
    assert calendar.is_trading_day(date(2026, 12, 25))
    assert calendar.why_closed(date(2027, 1, 26)) == "holiday: Republic Day"
    assert calendar.is_trading_day(date(2027, 1, 27))
    assert calendar.hours(date(2027, 2, 6)) == (time(9, 15), time(12, 30))
    assert calendar.hours(date(2026, 12, 7)) == (time(9, 15), time(15, 45))
    assert calendar.auction(date(2026, 12, 7)) == (time(15, 30), time(15, 40))
    assert calendar.unconfirmed(date(2026, 12, 7)) is None


def test_the_shipped_calendar_stays_as_it_is_beside_a_corrected_one(tmp_path: Path) -> None:
    before = read_calendar()

    calendar = calendar_for("NSE", own(tmp_path, EXAMPLE))

    assert read_calendar() == before
    assert not calendar_for("NSE").covers(date(2027, 1, 4))
    assert calendar.why_closed(date(2026, 11, 24)) == "holiday: Guru Nanak Jayanti"


@pytest.mark.parametrize(
    ("text", "day", "why"),
    [
        ('[[holidays]]\nsource = "x"\ndays = {2026-02-03 = "new"}', date(2026, 2, 3), "holiday: new"),
        ('[[special]]\nday = 2026-02-01\nopen = 10:00:00\nclose = 11:00:00\ntraded = false\nnote = "n"\nsource = "x"',
         date(2026, 2, 1), "n (10:00-11:00): not traded by this program"),
        ('[[special]]\nday = 2026-11-24\nopen = 10:00:00\nclose = 11:00:00\nnote = "n"\nsource = "x"',
         date(2026, 11, 24), None),
        ("open_days = [2026-11-24]", date(2026, 11, 24), None),
    ],
)  # fmt: skip
def test_each_part_of_a_file_of_ones_own_may_stand_alone(tmp_path: Path, text: str, day: date, why: str | None) -> None:
    assert calendar_for("NSE", own(tmp_path, text)).why_closed(day) == why


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("holidays", "is no calendar"),
        ("holiday = []", "unknown field `holiday`"),
        ('covers = {from = 2026-01-01, to = "soon"}', "is no calendar"),
        ("open_days = [2026-11-23]", "2026-11-23 is no holiday"),
        ("covers = {from = 2028-01-01, to = 2028-12-31}", "leaves a gap"),
        ("covers = {from = 2027-01-01, to = 2027-12-31}", "2027 has no holiday"),
        ('[[holidays]]\nsource = "x"\ndays = {2026-02-07 = "Saturday"}', "expected weekdays"),
        ('[[holidays]]\nsource = "x"\ndays = {2027-02-01 = "beyond"}', "outside the covered range"),
        (SPECIAL.replace("09:15", "12:00"), "before it opens"),
        (HOURS + "auction = {from = 15:30:00, to = 15:40:00}", "the auction does not lie inside them"),
    ],
)  # fmt: skip
def test_a_file_that_is_faulty_is_refused_with_its_name(tmp_path: Path, text: str, says: str) -> None:
    path = own(tmp_path, text)

    with pytest.raises(SetupError) as caught:
        calendar_for("NSE", path)

    assert says in str(caught.value)
    assert {fault.where for fault in caught.value.faults} == {str(path)}


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")

    for name in ("nowhere.toml", "binary.toml"):
        with pytest.raises(SetupError, match="cannot be read"):
            calendar_for("NSE", tmp_path / name)


def test_a_session_listed_twice_is_refused() -> None:
    text = f"covers = {{from = 2026-01-01, to = 2026-12-31}}\nchecked = 2026-01-01\n{SPECIAL}{SPECIAL}{HOURS}"

    with pytest.raises(SetupError, match="special session 2026-02-07 is listed twice"):
        parse_calendar(text)


@pytest.mark.parametrize(
    ("day", "hours"),
    [(date(2024, 11, 1), "18:00-19:00"), (date(2025, 10, 21), "13:45-14:45"), (date(2026, 11, 8), "18:15-19:15")],
)
def test_a_muhurat_session_is_known_and_not_traded(day: date, hours: str) -> None:
    assert f"({hours}): not traded by this program" in (NSE.why_closed(day) or "")


def test_the_closing_auction_is_known_from_the_day_it_began() -> None:
    assert NSE.auction(date(2026, 7, 31)) is None
    assert NSE.auction(date(2026, 8, 3)) == (time(15, 15), time(15, 35))
    assert NSE.auction(date(2026, 12, 8)) == (time(15, 15), time(15, 35))
    assert NSE.auction(date(2026, 2, 1)) is None


def test_nobody_trades_live_on_a_day_that_is_not_covered() -> None:
    assert NSE.why_not_live(date(2026, 12, 31)) is None
    assert "knows 2024-01-01 to 2026-12-31" in (NSE.why_not_live(date(2027, 1, 1)) or "")
    assert calendar_for("always").why_not_live(date(2027, 1, 1)) is None


def test_entries_end_with_the_closing_auction_and_exits_go_on() -> None:
    late = session_with(trading=Window(time(9, 20), time(15, 20)), square_off=time(15, 25))

    before, since = day_plan(late, date(2026, 7, 31)), day_plan(late, date(2026, 8, 3))

    assert (before.trading_end.time(), before.square_off.time()) == (time(15, 20), time(15, 25))
    assert (since.trading_end.time(), since.square_off.time()) == (time(15, 15), time(15, 25))


@pytest.mark.parametrize(
    ("day", "changes", "notes"),
    [
        (date(2026, 8, 3), {}, []),
        (date(2026, 11, 24), {}, ["2026-11-24 is not traded: holiday: Guru Nanak Jayanti"]),
        (date(2026, 8, 3), {"trading": Window(time(9, 0), time(15, 20))},
         ["on 2026-08-03 options open at 09:15, after trading.start 09:00",
          "on 2026-08-03 entries end at 15:15: in the closing auction the index shows no price"]),
        (date(2026, 12, 7), {}, ["unconfirmed since 2026-12-07: options trade 09:15-15:45"]),
    ],
)  # fmt: skip
def test_what_a_day_does_to_the_windows_is_said(day: date, changes: dict[str, object], notes: list[str]) -> None:
    found = window_notes(NSE, session_with(**changes).session, day)

    assert [note[: len(start)] for note, start in zip(found, notes, strict=True)] == notes


@pytest.mark.parametrize(
    ("trading", "place", "says"),
    [
        (Window(time(16, 0), time(17, 0)), "$.session.trading.start", "was 16:00; expected before 15:45"),
        (Window(time(8, 0), time(9, 15)), "$.session.trading.end", "was 09:15; expected after 09:15"),
    ],
)
def test_entries_at_hours_at_which_nothing_trades_are_refused(trading: Window, place: str, says: str) -> None:
    with pytest.raises(SetupError) as caught:
        check_start(session_with(trading=trading, square_off=time(18, 0)))

    (fault,) = [fault for fault in caught.value.faults if fault.path == place]
    assert says in fault.message


def test_the_page_shows_the_hours_of_the_file() -> None:
    rows = re.findall(r"^\| (\d{4}-\d\d-\d\d)(, not confirmed)? \| (\S+) \| (\S+) \|", PAGE, flags=re.MULTILINE)
    data = read_calendar()
    shipped = [
        (
            f"{row.since}",
            "" if row.confirmed else ", not confirmed",
            f"{row.opens:%H:%M}-{row.closes:%H:%M}",
            "none" if row.auction is None else f"{row.auction.start:%H:%M}-{row.auction.end:%H:%M}",
        )
        for row in data.hours
    ]

    assert rows == shipped
    assert f"{data.covers.first} to {data.covers.last}" in PAGE
    assert f"last checked on {data.checked}" in PAGE
    for row in data.special:
        assert f"{row.day}" in PAGE
    assert all(f"{row.day} {row.opens:%H:%M}-{row.closes:%H:%M}" in PAGE for row in data.special if not row.traded)


def session_file(folder: Path, value: str) -> Path:
    for name in ("session.yaml", "strategies.yaml"):
        shutil.copy(ROOT / name, folder / name)
    path = folder / "session.yaml"
    text = path.read_text(encoding="utf-8")
    assert text.count("  calendar: NSE") == 1
    path.write_text(text.replace("  calendar: NSE", f"  calendar_file: {value}\n  calendar: NSE"), encoding="utf-8")
    return path


def test_the_key_names_a_file_beside_the_session_and_its_text_counts_as_settings(tmp_path: Path) -> None:
    own(tmp_path, EXAMPLE)
    path = session_file(tmp_path, "calendar.toml")
    loaded = load_settings(path, environ={})
    own(tmp_path, EXAMPLE.replace("Republic Day", "another"))

    assert loaded.session.calendar_file == tmp_path / "calendar.toml"
    assert load_settings(path, environ={}).digest != loaded.digest
    assert load_settings(session_file(tmp_path, "null"), environ={}).session.calendar_file is None


def test_a_faulty_file_is_refused_with_the_session_and_hinders_no_reading(tmp_path: Path) -> None:
    own(tmp_path, "open_days = [2026-11-23]")
    path = session_file(tmp_path, "calendar.toml")

    with pytest.raises(SetupError, match="2026-11-23 is no holiday"):
        load_settings(path, environ={})
    reading, faults = load_for_reading(path, environ={})

    assert reading.session.calendar_file is None
    assert ["is no holiday" in fault.message for fault in faults] == [True]


def test_a_pipe_in_the_place_of_the_calendar_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(SetupError, match=r"calendar_file: .*pipe is no file; expected a calendar in TOML"):
        load_settings(session_file(tmp_path, "pipe"), environ={})


@pytest.mark.parametrize("value", ["7", "''", "[]", "nowhere.toml"])
def test_what_is_no_file_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(SetupError) as caught:
        load_settings(session_file(tmp_path, value), environ={})

    assert len(caught.value.faults) == 1
