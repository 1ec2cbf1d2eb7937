"""How fast a journal is read back: the fold a start begins with, and the check of the hash chain."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import date, timedelta
from pathlib import Path

import processes
from measure import Figure, Sample, Sides, expect

from fsm_trader.core.ledger import Ledger
from fsm_trader.core.records import Record, decode
from fsm_trader.journal.chain import Row
from fsm_trader.journal.read import JournalReader, entry_of
from fsm_trader.journal.store import JournalStore

_ROWS = 50_000
_DAY = date(2026, 6, 17)
_QUERY = "SELECT seq, at, session, trade_id, kind, body FROM events ORDER BY seq"


def build(folder: Path, least_rows: int) -> tuple[Path, int]:
    """Play the sample day, and write it day after day, under new dates and ids, until a journal is long enough.

    Returns:
        The journal, and its number of rows: whole days, at least *least_rows*.
    """
    processes.play_day(folder)
    with JournalReader(f"sqlite:///{folder / 'var' / 'fsm_trader.db'}") as reader:
        rows = list(reader.rows())
    file = folder / "long.db"
    days = -(-least_rows // len(rows))
    with closing(JournalStore(f"sqlite:///{file}")) as store:
        for place in range(days):
            _write(store, rows, _DAY + timedelta(days=place))
    return file, days * len(rows)


def sessions_of(file: Path) -> dict[str, int]:
    """Return the rows of each session in a journal, folded: a journal that does not fold has none."""
    with JournalReader(f"sqlite:///{file}") as reader:
        entries = list(reader.entries())
    ledger = Ledger().fold(entries)
    expect(ledger.seq == len(entries), f"the fold: row {ledger.seq}; expected {len(entries)}")
    return dict(Counter(entry.session for entry in entries))


@contextmanager
def replay_sides(folder: Path, least_rows: int = _ROWS) -> Iterator[Sides]:
    file, rows = build(folder, least_rows)
    ledgers: list[Ledger] = []

    def fold() -> int:
        with JournalReader(f"sqlite:///{file}") as reader:
            ledger = Ledger().fold(reader.checked())
        ledgers[:] = [ledger]
        return ledger.seq

    def parse() -> int:
        return _each(file, lambda row: json.loads(row[5]))

    def check() -> None:
        ledger = ledgers[0]
        states = {trade.state for trade in ledger.session_trades}
        expect(
            (ledger.seq, ledger.state, states, len(ledger.session_trades)) == (rows, "CLOSED", {"CLOSED"}, 8),
            f"the fold: row {ledger.seq}, {ledger.state}, {len(ledger.session_trades)} trades in {sorted(states)}; "
            f"expected row {rows}, CLOSED and 8 trades CLOSED",
        )

    yield _sides(rows, ours=fold, reference=parse, check=check)


@contextmanager
def verify_sides(folder: Path, least_rows: int = _ROWS) -> Iterator[Sides]:
    file, rows = build(folder, least_rows)

    def verify() -> int:
        with JournalReader(f"sqlite:///{file}") as reader:
            found = reader.verify()
        expect(found.fault is None, f"the journal: {found.fault}; expected one that verifies")
        return found.rows

    def digest() -> int:
        return _each(file, lambda row: hashlib.sha256(row[5].encode()).hexdigest())

    yield _sides(rows, ours=verify, reference=digest, check=lambda: None)


def _write(store: JournalStore, rows: list[Row], day: date) -> None:
    entries = [entry_of(row) for row in rows]
    # One commit a day: how the rows are grouped leaves no trace in them.
    moved = [_moved(row, day) for row in rows]
    store.append(entries[-1].at + (day - _DAY), day.isoformat(), moved)


def _moved(row: Row, day: date) -> Record:
    """Return a row's record as it would read on another day: session, trade ids and times all carry the date."""
    body = row.body.replace(_DAY.isoformat(), day.isoformat())
    return decode(body.replace(f"{_DAY:%Y%m%d}", f"{day:%Y%m%d}"))


def _each(file: Path, take: Callable[[tuple[str, ...]], object]) -> int:
    count = 0
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        for row in connection.execute(_QUERY):
            take(row)
            count += 1
    return count


def _sides(rows: int, *, ours: Callable[[], int], reference: Callable[[], int], check: Callable[[], None]) -> Sides:
    return Sides(lambda: _timed(ours, rows), lambda: _timed(reference, rows), check)


def _timed(read: Callable[[], int], rows: int) -> Sample:
    started = time.perf_counter()
    seen = read()
    taken_s = time.perf_counter() - started
    expect(seen == rows, f"rows read: {seen}; expected {rows}")
    return Sample(taken_s / rows)


FIGURES = (
    Figure(
        name="replay",
        title="replay into a ledger, the chain verified",
        against="sqlite3 rows and json.loads",
        unit="rows/s",
        repeats=9,
        sides=replay_sides,
    ),
    Figure(
        name="verify",
        title="verify the hash chain",
        against="sqlite3 rows and one SHA-256",
        unit="rows/s",
        repeats=9,
        sides=verify_sides,
    ),
)
