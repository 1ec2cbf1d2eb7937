"""The journal's tables and views, and the settings of the database they live in."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Engine, Integer, MetaData, String, Table, Text, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.pool import StaticPool

SCHEMA_VERSION = 1

metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", String(40), nullable=False),
    Column("session", String(40), nullable=False, index=True),
    Column("trade_id", String(40), index=True),
    Column("kind", String(40), nullable=False),
    Column("body", Text, nullable=False),
    Column("hash", String(64), nullable=False),
)

definitions = Table(
    "definitions",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("name", String(40), nullable=False),
    Column("text", Text, nullable=False),
)

# Append-only is a rule of the file itself, not only of this program.
SQLITE_TRIGGERS = tuple(
    f"CREATE TRIGGER IF NOT EXISTS {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
    f"BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END"
    for table in ("events", "definitions")
    for verb in ("UPDATE", "DELETE")
)

SQLITE_VIEWS = (
    """CREATE VIEW IF NOT EXISTS transitions AS
       SELECT seq, at, session, coalesce(trade_id, 'session') AS machine,
              json_extract(body, '$.trigger') AS "trigger", json_extract(body, '$.source') AS source,
              json_extract(body, '$.dest') AS dest, json_extract(body, '$.reason') AS reason
       FROM events WHERE kind IN ('trade_moved', 'session_moved')""",
    """CREATE VIEW IF NOT EXISTS orders AS
       SELECT seq, at, session, trade_id, json_extract(body, '$.role') AS role,
              json_extract(body, '$.request.tag') AS tag, json_extract(body, '$.request.side') AS side,
              json_extract(body, '$.request.quantity') AS quantity,
              json_extract(body, '$.request.tradingsymbol') AS tradingsymbol
       FROM events WHERE kind = 'order_intended'""",
    """CREATE VIEW IF NOT EXISTS fills AS
       SELECT seq, at, session, trade_id, json_extract(body, '$.tag') AS tag,
              json_extract(body, '$.fill.fill_id') AS fill_id, json_extract(body, '$.fill.quantity') AS quantity,
              json_extract(body, '$.fill.price_paise') AS price_paise
       FROM events WHERE kind = 'fill_seen'""",
)


def open_engine(url: str, *, read_only: bool = False) -> Engine:
    """Make the SQLAlchemy engine for a journal URL, with SQLite set up for crash safety.

    WAL with ``synchronous=FULL``: a commit that returned survives a power cut (ADR 0006). Transactions begin
    IMMEDIATE, so that a second writer fails at once and not half-way. One connection, held: a fresh one for each
    commit costs a fifth of the commit.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed)
    if read_only:
        parsed = parsed.set(database=f"file:{parsed.database}", query={"mode": "ro", "uri": "true"})
    engine = create_engine(parsed, poolclass=StaticPool, connect_args={"check_same_thread": False, "timeout": 5.0})

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        if not read_only:
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine
