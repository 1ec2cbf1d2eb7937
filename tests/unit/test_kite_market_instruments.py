"""The day's instrument dump: fetched once, kept for its owner, and refused when it is cut, stale or odd."""

from __future__ import annotations

import errno
import gzip
import logging
import os
import stat
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest

from fsm_trader.core.contracts import OptionKind
from fsm_trader.errors import LoginRequiredError, UnavailableError
from fsm_trader.market.calendar import calendar_for
from fsm_trader.market.instruments import COLUMNS
from fsm_trader.market.kite.dump import DumpLimits
from fsm_trader.market.kite.feed import KiteFeed
from fsm_trader.market.kite.instruments import InstrumentStore, Known

from .kite_market import INDEX, INDIA, SetClock, Wire, at

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "instruments"
MONDAY = date(2026, 11, 23)
EXPIRIES = ("2026-11-23", "2026-12-01", "2026-12-29")
LIMITS = DumpLimits(least_rows=50)


def line(number: int, expiry: str, strike: int, kind: str, *, name: str = "NIFTY", lot: int = 65) -> str:
    symbol = f"{name}{expiry.replace('-', '')[2:]}{strike}{kind}"
    return f"{number * 256 + 2},{number},{symbol},{name},0.0,{expiry},{strike}.0,0.05,{lot},{kind},NFO-OPT,NFO\n"


def dump(
    expiries: tuple[str, ...] = EXPIRIES, *, strikes: int = 20, kinds: tuple[str, ...] = ("CE", "PE"), lot: int = 65
) -> bytes:
    wanted = [(expiry, 24_000 + 50 * step, kind) for expiry in expiries for step in range(strikes) for kind in kinds]
    rows = [line(1_000 + number, *each, lot=lot) for number, each in enumerate(wanted)]
    others = [line(90_000 + n, "2026-11-24", 50_000 + 100 * n, "CE", name="BANKNIFTY", lot=30) for n in range(30)]
    return (",".join(COLUMNS) + "\n" + "".join([*rows, *others])).encode()


class Store:
    """A store with its wire and clock; a new one on the same folder is a restart."""

    def __init__(self, folder: Path, now: str = "09:00:00", day: str = "2026-11-23") -> None:
        self.clock = SetClock(at(now, day))
        self.wire = Wire(self.clock)
        self.wire.dump = dump()
        self.folder = folder / "instruments"
        self.store = InstrumentStore(self.wire, folder=self.folder, clock_now=self.clock.now, zone=INDIA, limits=LIMITS)

    def contracts(self, day: date = MONDAY) -> Known:
        return self.store.contracts("NIFTY", day)

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("*")) if self.folder.exists() else []


def test_the_dump_is_fetched_once_a_day_over_restarts_too(tmp_path: Path) -> None:
    first, again = Store(tmp_path), Store(tmp_path, "11:00:00")

    known = first.contracts()
    first.contracts()
    after_restart = again.contracts()

    assert len(known.contracts) == 120
    assert known.note == ""
    assert after_restart.contracts == known.contracts
    assert len(first.wire.asked) == 1
    assert again.wire.asked == []


def test_what_is_kept_is_for_its_owner_alone(tmp_path: Path) -> None:
    store = Store(tmp_path)
    mask = os.umask(0)
    try:
        store.contracts()
    finally:
        os.umask(mask)

    (file,) = store.files
    assert file == "NFO-20261123T090000.csv.gz"
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((store.folder / file).stat().st_mode) == 0o600


def test_terms_come_from_the_dump_and_the_freeze_quantity_from_the_dated_table(tmp_path: Path) -> None:
    contract = Store(tmp_path).contracts().contracts[0]

    assert (contract.lot_size, contract.tick_paise, contract.freeze_quantity) == (65, 5, 1800)
    assert (contract.expiry, contract.kind) == (MONDAY, OptionKind.CE)


def test_an_expiry_moved_by_a_holiday_is_the_dumps(tmp_path: Path) -> None:
    # 2026-11-24 is a Tuesday and a holiday: the week's contracts expire on Monday.
    expiries = {contract.expiry for contract in Store(tmp_path).contracts().contracts}

    assert calendar_for("NSE").why_closed(date(2026, 11, 24)) == "holiday: Guru Nanak Jayanti"
    assert min(expiries) == MONDAY


PUT = line(1_005, "2026-11-23", 24_100, "PE").encode()


def cut_in_a_line(data: bytes) -> bytes:
    return data[: len(data) // 2 + 7]


def cut_between_lines(data: bytes) -> bytes:
    return b"".join(data.splitlines(keepends=True)[:40])


FAULTY: list[tuple[Callable[[bytes], bytes], str]] = [
    (lambda _: b"", "is empty"),
    (lambda _: b"<html>Bad gateway</html>\n", "no column instrument_token"),
    (lambda _: b"\xff\xfe" * 500, "is not UTF-8"),
    (cut_in_a_line, "the dump is cut off"),
    (cut_between_lines, "expected at least 50: the dump looks cut"),
    (lambda data: data.replace(b",lot_size,", b",lots,"), "no column lot_size"),
    (lambda data: data.replace(b",65,CE", b",0,CE", 1), "lot_size '0'"),
    (lambda data: data.replace(b",24000.0,", b",nan,", 1), "strike 'nan'"),
    (lambda data: data.replace(b",65,CE", b",75,CE", 1), "lot sizes [65, 75] within expiry"),
    (lambda _: dump(("2026-11-17", "2026-11-10")), "expected one on or after 2026-11-23: the dump is stale"),
    (lambda _: dump(("2026-12-01",)), "1 expiries; expected at least 2"),
    (lambda _: dump(("2027-03-30", "2027-06-29")), "the nearest expiry is 2027-03-30"),
    (lambda _: dump(strikes=4), "4 strikes with call and put"),
    (lambda data: data.replace(PUT, b""), "1 strikes of the nearest expiry"),
    (lambda data: data.replace(b"NIFTY,0.0", b"FINNIFTY,0.0"), "no options on 'NIFTY'"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "says"), FAULTY, ids=[says for _, says in FAULTY])
def test_a_dump_that_is_cut_malformed_stale_or_odd_is_refused_and_not_kept(
    tmp_path: Path, spoil: Callable[[bytes], bytes], says: str
) -> None:
    store = Store(tmp_path)
    store.wire.dump = spoil(store.wire.dump)

    with pytest.raises(UnavailableError) as caught:
        store.contracts()

    assert says in str(caught.value)
    assert store.files == []


def test_a_lot_that_is_not_what_the_settings_say_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    limits = DumpLimits(least_rows=50, lot_size=75)
    strict = InstrumentStore(store.wire, folder=tmp_path, clock_now=store.clock.now, zone=INDIA, limits=limits)

    with pytest.raises(UnavailableError, match=r"lot sizes \[65\]; market.lot_size says 75"):
        strict.contracts("NIFTY", MONDAY)


def yesterday(folder: Path) -> Store:
    """Return a store that kept Friday's dump."""
    store = Store(folder, day="2026-11-20")
    store.contracts(date(2026, 11, 20))
    return store


def test_a_dump_with_less_than_half_of_the_rows_of_the_one_before_is_refused(tmp_path: Path) -> None:
    yesterday(tmp_path)
    store = Store(tmp_path)
    store.wire.dump = dump(strikes=8)

    known = store.contracts()

    assert "48 NIFTY; expected at least half of the 120" in known.note
    assert known.fetched_at == at("09:00:00", "2026-11-20")
    assert store.files == ["NFO-20261120T090000.csv.gz"]


def test_yesterdays_dump_serves_when_todays_cannot_be_had_and_it_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    yesterday(tmp_path)
    store = Store(tmp_path)
    store.wire.fails = LoginRequiredError("no token")

    with caplog.at_level(logging.WARNING):
        known = store.contracts()

    says = "the dump of 2026-11-20 09:00 is used for 2026-11-23: today's cannot be had (no token)"
    assert known.note == says
    assert says in caplog.text
    assert len(known.contracts) == 120


def test_todays_dump_is_used_as_soon_as_it_can_be_had(tmp_path: Path) -> None:
    yesterday(tmp_path)
    store = Store(tmp_path)
    store.wire.fails = UnavailableError("down")
    store.contracts()

    store.wire.fails = None

    assert store.contracts().note == ""


def test_what_expired_since_is_not_in_yesterdays_dump_any_more(tmp_path: Path) -> None:
    yesterday(tmp_path)
    store = Store(tmp_path, day="2026-11-25")
    store.wire.fails = UnavailableError("down")

    known = store.contracts(date(2026, 11, 25))

    assert min(contract.expiry for contract in known.contracts) == date(2026, 12, 1)


@pytest.mark.parametrize(("day", "is_used"), [("2026-11-25", True), ("2026-11-26", False)])
def test_a_dump_of_more_than_five_days_ago_is_never_used(tmp_path: Path, day: str, *, is_used: bool) -> None:
    yesterday(tmp_path)
    store = Store(tmp_path, day=day)
    store.wire.fails = UnavailableError("down")

    if is_used:
        assert store.contracts(date.fromisoformat(day)).note
    else:
        with pytest.raises(UnavailableError, match="down"):
            store.contracts(date.fromisoformat(day))


def test_a_dump_fetched_before_kite_made_it_is_said_to_be_early_and_fetched_anew(tmp_path: Path) -> None:
    store = Store(tmp_path, "07:45:00")
    early = store.contracts()
    store.clock.sleep(3600)

    known = store.contracts()

    assert early.note == "the dump was fetched at 2026-11-23 07:45, before Kite makes the dump of 2026-11-23 (08:30)"
    assert known.note == ""
    assert len(store.wire.asked) == 2


def test_a_dump_that_lists_what_has_expired_is_said_to_be_an_older_one(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.wire.dump = dump(("2026-11-17", "2026-11-23", "2026-12-01"))

    known = store.contracts()

    assert known.note == "the dump still lists NIFTY of 2026-11-17: made before 2026-11-23"
    assert min(contract.expiry for contract in known.contracts) == MONDAY


def quoted(data: bytes) -> bytes:
    """Return the dump with a header in quotes, as a CSV writer may write it."""
    header, rest = data.split(b"\n", 1)
    return b",".join(b'"' + cell + b'"' for cell in header.split(b",")) + b"\n" + rest


def test_a_dump_with_a_quoted_header_is_read_like_any_other(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.wire.dump = quoted(dump())

    known = store.contracts()

    assert (len(known.contracts), known.note) == (120, "")


def test_an_expired_contract_is_seen_behind_quotes_and_commas_too(tmp_path: Path) -> None:
    store = Store(tmp_path)
    data = dump(("2026-11-17", "2026-11-23", "2026-12-01"))
    store.wire.dump = quoted(data.replace(b",NIFTY,0.0,2026-11-17", b',"NIFTY","0,0","2026-11-17"'))

    assert store.contracts().note == "the dump still lists NIFTY of 2026-11-17: made before 2026-11-23"


@pytest.mark.parametrize("damage", [lambda data: data[:-20], lambda data: b"", lambda _: gzip.compress(b"x\n")])
def test_a_kept_dump_that_was_damaged_is_fetched_again(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    store = Store(tmp_path)
    store.contracts()
    (file,) = store.folder.glob("*")
    file.write_bytes(damage(file.read_bytes()))
    again = Store(tmp_path, "09:30:00")

    assert again.contracts().note == ""
    assert len(again.wire.asked) == 1


def test_a_folder_that_cannot_be_written_costs_the_keeping_and_not_the_day(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "instruments").write_text("a file where the folder should be")
    store = Store(tmp_path)

    known = store.contracts()

    assert len(known.contracts) == 120
    assert "cannot be kept" in caplog.text


def test_the_five_newest_are_kept_and_strangers_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "instruments"
    folder.mkdir()
    (folder / "NFO-notes.csv.gz").write_bytes(b"mine")
    for n in range(7):
        day = MONDAY + timedelta(days=n)
        Store(tmp_path, day=day.isoformat()).contracts(day)

    assert (folder / "NFO-notes.csv.gz").exists()
    assert len(list(folder.glob("NFO-2*"))) == 5
    assert not list(folder.glob("*.part"))


def test_the_feed_says_what_is_not_as_it_should_be_and_knows_what_the_contracts_are_called(tmp_path: Path) -> None:
    store = Store(tmp_path, "07:45:00")
    feed = KiteFeed(store.wire, store=store.store, underlying=INDEX, calendar=calendar_for("NSE"), zone=INDIA)

    contracts = feed.contracts("NIFTY", MONDAY)
    feed.contracts("NIFTY", MONDAY)

    assert len(feed.notes) == 1
    with pytest.raises(UnavailableError, match=f"quote of NFO:{contracts[0].tradingsymbol}"):
        feed.price(contracts[0].token, store.clock.now())


@pytest.mark.skipif(not REAL.is_dir(), reason="no folder of real instrument dumps beside the checkout")
def test_a_real_dump_is_taken_whole_and_refused_when_half_of_it_is_missing(tmp_path: Path) -> None:
    data = gzip.decompress((REAL / "kite_instruments_nfo_2026-08_a.csv.gz").read_bytes())
    day = date(2026, 8, 14)
    store = Store(tmp_path, day="2026-08-13")
    store.wire.dump = data
    store.contracts(date(2026, 8, 13))
    halves = data.splitlines(keepends=True)
    later = Store(tmp_path, day="2026-08-14")
    later.wire.dump = b"".join(halves[: len(halves) // 3])

    known = later.contracts(day)
    later.wire.dump = data

    assert "today's cannot be had" in known.note
    assert later.contracts(day).note == ""
    assert {contract.lot_size for contract in known.contracts} == {65}


def test_a_full_disk_leaves_no_half_of_a_dump_and_the_day_goes_on(tmp_path: Path, monkeypatch, caplog) -> None:
    store = Store(tmp_path)

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    known = store.contracts()

    assert len(known.contracts) == 120
    assert store.files == []
    assert "cannot be kept" in caplog.text
