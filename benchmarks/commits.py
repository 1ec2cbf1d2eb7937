"""What a durable transition costs: the journal's append beside SQLite itself writing the same bytes as safely."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

from measure import Figure, Sample, Sides, expect

from fsm_trader.core.orders import OrderKind, OrderRequest, Role, Side
from fsm_trader.core.records import Deadline, OrderIntended, Record, TradeMoved, encode, kind_of, trade_of
from fsm_trader.core.tags import TagParts, make_tag, owner_of
from fsm_trader.journal.chain import GENESIS, row_hash, stamp
from fsm_trader.journal.read import JournalReader
from fsm_trader.journal.store import JournalStore

Row = tuple[object, ...]
Step = tuple[Record, ...]

# SQLite moves the log into the file every thousand pages, some two hundred commits: each side pays in each round.
_COMMITS = 200
_DAY = date(2026, 6, 17)
AT = datetime(2026, 6, 17, 9, 42, tzinfo=ZoneInfo("Asia/Kolkata"))
SESSION = _DAY.isoformat()
_ONE_TABLE = ["CREATE TABLE events (seq INTEGER PRIMARY KEY, body TEXT)"]
_ALL = "SELECT seq, at, session, trade_id, kind, body, hash FROM events ORDER BY seq"


def step(number: int) -> Step:
    """Return the rows of one transition with one intent: trade *number* of the day goes to the broker."""
    trade_id = f"{_DAY:%Y%m%d}-{number:03d}"
    request = OrderRequest(
        tag=make_tag(TagParts(_DAY, number, Role.ENTRY, 1, owner_of("nifty-intraday"))),
        exchange="NFO",
        tradingsymbol="NIFTY2662324600CE",
        token=12_345_602,
        side=Side.BUY,
        quantity=65,
        product="MIS",
        kind=OrderKind.MARKET,
        market_protection=Decimal(-1),
    )
    due = Deadline(AT + timedelta(seconds=20), "entry_overdue")
    return (
        TradeMoved(trade_id, "enter", "IDLE", "PENDING_ENTRY", "signal", due),
        OrderIntended(trade_id, Role.ENTRY, 1, request, "place"),
    )


@contextmanager
def sides_of(folder: Path, commits: int = _COMMITS, *, in_one_row: bool = False) -> Iterator[Sides]:
    """Prepare both files; a round makes *commits* transactions in each.

    Args:
        folder: for both files.
        commits: of a round.
        in_one_row: the reference writes all bytes of a transaction as one text, into a table without an index.
    """
    steps = [step(1 + place) for place in range(commits)]
    ours_file, reference_file = folder / "ours.db", folder / "reference.db"
    statement = "INSERT INTO events VALUES (?, ?)" if in_one_row else "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)"
    with closing(JournalStore(f"sqlite:///{ours_file}")) as store, closing(_bare(reference_file)) as bare:
        for each in _ONE_TABLE if in_one_row else schema_of(ours_file):
            bare.execute(each)
        chain = _Chain()

        def ours() -> Sample:
            started = time.perf_counter()
            for records in steps:
                store.append(AT, SESSION, records)
            return Sample((time.perf_counter() - started) / commits)

        def reference() -> Sample:
            prepared = [chain.rows(records) for records in steps]
            if in_one_row:
                prepared = [_joined(rows) for rows in prepared]
            started = time.perf_counter()
            for rows in prepared:
                bare.execute("BEGIN IMMEDIATE")
                bare.executemany(statement, rows)
                bare.execute("COMMIT")
            return Sample((time.perf_counter() - started) / commits)

        yield Sides(ours, reference, lambda: _check(ours_file, reference_file, in_one_row=in_one_row))


def schema_of(file: Path) -> list[str]:
    """Return the journal's own table and indexes, so that both files keep the same ones."""
    query = "SELECT sql FROM sqlite_schema WHERE tbl_name = 'events' AND type IN ('table', 'index') AND sql NOT NULL"
    with closing(sqlite3.connect(file)) as connection:
        return [statement for (statement,) in connection.execute(query)]


class _Chain:
    """Prepares the rows the journal will write, so that the reference writes the same bytes and computes none."""

    def __init__(self) -> None:
        self._seq, self._head = 0, GENESIS

    def rows(self, records: Sequence[Record]) -> list[Row]:
        rows: list[Row] = []
        for record in records:
            self._seq += 1
            columns = (self._seq, stamp(AT), SESSION, trade_of(record), kind_of(record), encode(record))
            self._head = row_hash(self._head, columns)
            rows.append((*columns, self._head))
        return rows


def _bare(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def _joined(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of a transaction as one, which holds the same bytes."""
    return [(rows[0][0], "".join(str(column) for row in rows for column in row))]


def expect_to_verify(file: Path, rows: int) -> None:
    """Refuse a journal that does not verify, or has another number of rows.

    Raises:
        WrongResultError: it is so.
    """
    with JournalReader(f"sqlite:///{file}") as reader:
        found = reader.verify()
    expect(found.fault is None and found.rows == rows, f"our journal: {found}; expected {rows} rows that verify")


def _check(ours_file: Path, reference_file: Path, *, in_one_row: bool) -> None:
    with closing(sqlite3.connect(ours_file)) as ours, closing(sqlite3.connect(reference_file)) as bare:
        written, beside = ours.execute(_ALL).fetchall(), bare.execute("SELECT * FROM events ORDER BY seq").fetchall()
    expect_to_verify(ours_file, len(written))
    if in_one_row:
        pairs = [written[place : place + 2] for place in range(0, len(written), 2)]
        written = [row for rows in pairs for row in _joined(rows)]
    expect(written == beside, "the two files: their rows differ; expected the same bytes in both")


FIGURES = (
    Figure(
        name="commit",
        title="a transition with an intent, durable",
        against="sqlite3, same rows, indexes and safety",
        unit="us",
        repeats=41,
        sides=sides_of,
        most_ratio=1.2,
    ),
    Figure(
        name="commit-row",
        title="a transition with an intent, durable",
        against="sqlite3, same bytes in one row, no index",
        unit="us",
        repeats=41,
        sides=partial(sides_of, in_one_row=True),
    ),
)
