"""What a durable transition costs: the journal's append beside SQLite itself writing the same bytes as safely."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

from measure import Figure, Sample, Sides, expect

from fsm_trader.core.orders import OrderKind, OrderRequest, Role, Side
from fsm_trader.core.records import Deadline, OrderIntended, Record, TradeMoved, encode, kind_of, trade_of
from fsm_trader.core.tags import TagParts, make_tag, owner_of
from fsm_trader.journal.chain import GENESIS, row_hash, stamp
from fsm_trader.journal.read import JournalReader
from fsm_trader.journal.store import JournalStore

Row = tuple[int, str, str, str | None, str, str, str]
Step = tuple[Record, ...]

# SQLite moves the log into the file every thousand pages, some two hundred commits: each side pays in each round.
_COMMITS = 200
_DAY = date(2026, 6, 17)
_AT = datetime(2026, 6, 17, 9, 42, tzinfo=ZoneInfo("Asia/Kolkata"))
_SESSION = _DAY.isoformat()
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
    due = Deadline(_AT + timedelta(seconds=20), "entry_overdue")
    return (
        TradeMoved(trade_id, "enter", "IDLE", "PENDING_ENTRY", "signal", due),
        OrderIntended(trade_id, Role.ENTRY, 1, request, "place"),
    )


@contextmanager
def sides_of(folder: Path, commits: int = _COMMITS) -> Iterator[Sides]:
    """Prepare both files; a round makes *commits* transactions in each."""
    steps = [step(1 + place) for place in range(commits)]
    ours_file, reference_file = folder / "ours.db", folder / "reference.db"
    with closing(JournalStore(f"sqlite:///{ours_file}")) as store, closing(_bare(reference_file)) as bare:
        for statement in schema_of(ours_file):
            bare.execute(statement)
        chain = _Chain()

        def ours() -> Sample:
            started = time.perf_counter()
            for records in steps:
                store.append(_AT, _SESSION, records)
            return Sample((time.perf_counter() - started) / commits)

        def reference() -> Sample:
            prepared = [chain.rows(records) for records in steps]
            started = time.perf_counter()
            for rows in prepared:
                bare.execute("BEGIN IMMEDIATE")
                bare.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
                bare.execute("COMMIT")
            return Sample((time.perf_counter() - started) / commits)

        yield Sides(ours, reference, lambda: _check(ours_file, reference_file))


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
            columns = (self._seq, stamp(_AT), _SESSION, trade_of(record), kind_of(record), encode(record))
            self._head = row_hash(self._head, columns)
            rows.append((*columns, self._head))
        return rows


def _bare(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def _check(ours_file: Path, reference_file: Path) -> None:
    with JournalReader(f"sqlite:///{ours_file}") as reader:
        found = reader.verify()
    expect(found.fault is None and found.rows > 0, f"our journal: {found}; expected rows that verify")
    with closing(sqlite3.connect(ours_file)) as ours, closing(sqlite3.connect(reference_file)) as bare:
        same = ours.execute(_ALL).fetchall() == bare.execute(_ALL).fetchall()
    expect(same, "the two files: their rows differ; expected the same bytes in both")


FIGURES = (
    Figure(
        name="commit",
        title="a transition with an intent, durable",
        against="sqlite3, same rows and safety",
        unit="us",
        repeats=41,
        sides=sides_of,
        most_ratio=1.5,
    ),
)
