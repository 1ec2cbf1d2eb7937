"""A long past: the journal of one day, with as many copies of a day before it as are asked for, each row chained.

Written in one transaction and past the journal's own door: a million rows in some fifteen seconds.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

from fsm_trader.journal.anchor import Anchor, Anchored, path_of
from fsm_trader.journal.chain import GENESIS, Row, row_hash
from fsm_trader.journal.read import JournalReader

JOURNAL = Path("var") / "fsm_trader.db"
_DAY = date(2026, 6, 17)
_INSERT = "INSERT INTO events (seq, at, session, trade_id, kind, body, hash) VALUES (?, ?, ?, ?, ?, ?, ?)"


def rows_of(folder: Path) -> list[Row]:
    """Return the rows of the session in *folder*."""
    with JournalReader(f"sqlite:///{folder / JOURNAL}") as reader:
        return list(reader.rows())


def build(ended: Path, folder: Path, day: list[Row], least_rows: int) -> Path:
    """Copy a session, and put whole days before it until its journal is long enough.

    Args:
        ended: the folder of that session.
        folder: where the copy goes; it is returned.
        day: rows of a whole day, written again under earlier and earlier dates.
        least_rows: of the journal.
    """
    shutil.copytree(ended, folder)
    file = folder / JOURNAL
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
