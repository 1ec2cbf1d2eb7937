"""What a long past costs a restart: from the start of the process to the first decision about the open trade."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date, timedelta
from pathlib import Path

import processes
from measure import Figure, Sample, Sides, expect

from fsm_trader.journal.anchor import Anchor, Anchored, path_of
from fsm_trader.journal.chain import GENESIS, Row, row_hash
from fsm_trader.journal.read import JournalReader

_LONG, _SHORT = 1_000_000, 1_000
_DAY = date(2026, 6, 17)
_JOURNAL = Path("var") / "fsm_trader.db"
_RESTART = (
    str(Path(__file__).with_name("first_decision.py")),
    *("run", "session.yaml", "--quiet", "--log", "none"),
)
_FOUND = "20260617-001 ACTIVE 65 held"
_INSERT = "INSERT INTO events (seq, at, session, trade_id, kind, body, hash) VALUES (?, ?, ?, ?, ?, ?, ?)"

# Ends the process right after the commit that says that the entry was filled, as a program of its own.
_END_IN_A_TRADE = """
import os, sys
from fsm_trader.cli.main import main
from fsm_trader.core.records import TradeMoved
from fsm_trader.journal.store import JournalStore

append = JournalStore.append

def last(self, at, session, records):
    entries = append(self, at, session, records)
    if any(isinstance(record, TradeMoved) and record.dest == "ACTIVE" for record in records):
        os._exit(0)
    return entries

JournalStore.append = last
sys.exit(main(["run", "session.yaml", "--quiet", "--log", "none"]))
"""


@contextmanager
def restart_sides(folder: Path, long_rows: int = _LONG, short_rows: int = _SHORT) -> Iterator[Sides]:
    processes.play_day(folder)
    with JournalReader(f"sqlite:///{folder / _JOURNAL}") as reader:
        day = list(reader.rows())
    killed = folder / "killed"
    killed.mkdir()
    processes.lay_out(killed)
    told = processes.run(killed, ("-c", _END_IN_A_TRADE))
    expect(
        told.exit_code == 0, f"the day that ends in a trade: exit code {told.exit_code} and {told.text!r}; expected 0"
    )
    long, short = (build(killed, folder / str(rows), day, rows) for rows in (long_rows, short_rows))

    def check() -> None:
        with JournalReader(f"sqlite:///{short / _JOURNAL}") as reader:
            found = reader.verify()
        expect(found.fault is None, f"the shorter journal: {found}; expected one that verifies")

    yield Sides(lambda: _restart(long), lambda: _restart(short), check)


def build(killed: Path, folder: Path, day: list[Row], least_rows: int) -> Path:
    """Copy a session that ended in a trade, and put whole days before it until its journal is long enough.

    Args:
        killed: the folder of that session.
        folder: where the copy goes; it is returned.
        day: rows of a whole day, written again under earlier and earlier dates.
        least_rows: of the journal.
    """
    shutil.copytree(killed, folder)
    file = folder / _JOURNAL
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        end = [Row(*row) for row in connection.execute("SELECT * FROM events ORDER BY seq")]
        days = -(-(least_rows - len(end)) // len(day))
        # A benchmark's file: it is made anew where it does not survive a power cut.
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("BEGIN")
        for statement in ("DROP TRIGGER events_no_delete", "DELETE FROM events"):
            connection.execute(statement)
        chain = _Chain()
        for place in range(days, 0, -1):
            connection.executemany(_INSERT, chain.rows(day, _DAY - timedelta(days=place)))
        connection.executemany(_INSERT, chain.rows(end, _DAY))
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path_of(file).unlink()
    Anchor(file, Anchored(chain.seq, chain.head)).close()
    return folder


class _Chain:
    """Writes rows of one day under another date, each chained to the one before."""

    def __init__(self) -> None:
        self.seq, self.head = 0, GENESIS

    def rows(self, rows: list[Row], day: date) -> Iterator[tuple[object, ...]]:
        plain, short = day.isoformat(), f"{day:%Y%m%d}"
        for row in rows:
            self.seq += 1
            at, session, body = (text.replace(_DAY.isoformat(), plain) for text in (row.at, row.session, row.body))
            trade_id = None if row.trade_id is None else row.trade_id.replace(f"{_DAY:%Y%m%d}", short)
            columns = (self.seq, at, session, trade_id, row.kind, body.replace(f"{_DAY:%Y%m%d}", short))
            self.head = row_hash(self.head, columns)
            yield (*columns, self.head)


def _restart(folder: Path) -> Sample:
    return processes.sample_of(folder, _RESTART, expected=_FOUND)


FIGURES = (
    Figure(
        name="restart",
        title="a start with a trade open, 1,000,000 rows",
        against="the same with 1,000 rows",
        unit="s",
        repeats=9,
        sides=restart_sides,
        most_ratio=1.2,
        most_peak_ratio=1.2,
    ),
)
