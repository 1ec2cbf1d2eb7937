"""How fast a journal is read back: the fold a start begins with, and the check of the hash chain."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import past
import processes
from measure import Figure, Sample, Sides, expect

from fsm_trader.app.recall import replay
from fsm_trader.core.ledger import Ledger
from fsm_trader.journal.read import JournalReader

_ROWS = 50_000
_QUERY = "SELECT seq, at, session, trade_id, kind, body FROM events ORDER BY seq"


def build(folder: Path, least_rows: int) -> tuple[Path, int]:
    """Play the sample day, and put whole days before it until its journal is long enough.

    Returns:
        The journal, and its number of rows: at least *least_rows*.
    """
    processes.play_day(folder)
    file = past.build(folder, folder / "long", past.rows_of(folder), least_rows) / past.JOURNAL
    with JournalReader(f"sqlite:///{file}") as reader:
        return file, reader.newest()


def sessions_of(file: Path) -> dict[str, int]:
    """Return the rows of each session in a journal, folded: a journal that does not fold has none."""
    with JournalReader(f"sqlite:///{file}") as reader:
        entries = list(reader.entries())
    ledger = Ledger().fold(entries)
    expect(ledger.seq == len(entries), f"the fold: row {ledger.seq}; expected {len(entries)}")
    return dict(Counter(entry.session for entry in entries))


@contextmanager
def replay_sides(folder: Path, least_rows: int = _ROWS) -> Iterator[Sides]:
    """Prepare the replay to the present: what a session that is over said of itself alone is not decoded."""

    def replayed(reader: JournalReader) -> Ledger:
        begun = reader.newest_session()
        return Ledger() if begun is None else replay(reader, *begun)

    yield _folded(*build(folder, least_rows), replayed)


@contextmanager
def fold_sides(folder: Path, least_rows: int = _ROWS) -> Iterator[Sides]:
    """Prepare what ``journal verify`` does: every row is decoded and folded."""

    def verified(reader: JournalReader) -> Ledger:
        ledger = Ledger()
        found = reader.verify(ledger.fold)
        expect(found.fault is None and found.rows == ledger.seq, f"the journal: {found}; expected one that verifies")
        return ledger

    yield _folded(*build(folder, least_rows), verified)


def _folded(file: Path, rows: int, read: Callable[[JournalReader], Ledger]) -> Sides:
    ledgers: list[Ledger] = []

    def fold() -> int:
        with JournalReader(f"sqlite:///{file}") as reader:
            ledger = read(reader)
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

    return _sides(rows, ours=fold, reference=parse, check=check)


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
        title="a replay to the present, the chain verified",
        against="sqlite3 rows and json.loads",
        unit="rows/s",
        repeats=11,
        sides=replay_sides,
        least_rate=300_000,
    ),
    Figure(
        name="fold",
        title="every row verified, decoded and folded",
        against="sqlite3 rows and json.loads",
        unit="rows/s",
        repeats=11,
        sides=fold_sides,
        most_ratio=1.2,
    ),
    Figure(
        name="verify",
        title="verify the hash chain",
        against="sqlite3 rows and one SHA-256",
        unit="rows/s",
        repeats=11,
        sides=verify_sides,
        least_rate=300_000,
    ),
)
