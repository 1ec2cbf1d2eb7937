"""The journal's tables and views, and the settings of the database they live in."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import (
    URL,
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    insert,
    select,
    update,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.pool import StaticPool

from fsm_trader.errors import SetupError
from fsm_trader.journal.files import is_still

SCHEMA_VERSION = 1
# How long SQLite itself waits for another program's lock.
BUSY_S = 5.0
# What the log comes to in ordinary use: SQLite moves it into the file every 1,000 pages of 4,096 bytes.
LOG_BYTES = 8 << 20

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

    Opening alone changes nothing in the file: it may turn out to be somebody else's. Transactions begin IMMEDIATE, so
    that a second writer fails at once and not half-way. One connection, held: a fresh one for each commit costs a
    fifth of the commit.

    Raises:
        SetupError: *url* is none, or nothing installed here speaks to that kind of database.
    """
    parsed = parse(url)
    if parsed.get_backend_name() != "sqlite":
        return _other_engine(parsed)
    if read_only:
        file = parsed.database or ""
        # Where nobody can write, SQLite could not make the index of a log that is not there either.
        still = {"immutable": "1"} if is_still(Path(file)) else {}
        parsed = parsed.set(database=f"file:{quote(file)}", query={"mode": "ro", "uri": "true", **still})
    engine = create_engine(parsed, poolclass=StaticPool, connect_args={"check_same_thread": False, "timeout": BUSY_S})

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        if not read_only:
            cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        # Straight to the driver: the way through SQLAlchemy costs a tenth of a commit. Its error stays SQLAlchemy's.
        try:
            connection.connection.dbapi_connection.execute(begin)
        except connection.dialect.loaded_dbapi.Error as error:
            raise OperationalError(begin, None, error) from error

    return engine


def parse(url: str) -> URL:
    """Take an SQLAlchemy URL apart.

    Raises:
        SetupError: it is none. It is not shown, because it may hold a password.
    """
    try:
        return make_url(url)
    except (ArgumentError, ValueError) as error:
        raise SetupError.at(
            "journal.url", "is not an SQLAlchemy URL (not shown); expected one such as sqlite:///var/fsm_trader.db"
        ) from error


def _other_engine(url: URL) -> Engine:
    try:
        return create_engine(url)
    except (ArgumentError, ImportError) as error:
        raise SetupError.at(
            "journal.url",
            f"is of kind {url.drivername}, and no driver for it is installed ({error}); expected sqlite, or a kind "
            "whose driver is",
        ) from error


def write_ahead(connection: Connection) -> None:
    """Keep a SQLite journal in WAL mode; nothing to do for another database.

    With ``synchronous=FULL`` a commit that returned survives a power cut, and readers never wait (ADR 0006).
    """
    if connection.dialect.name == "sqlite":
        cursor = connection.connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        # A log that a reader kept from being started over is cut to this once it is.
        cursor.execute(f"PRAGMA journal_size_limit={LOG_BYTES}")


def schema_version(connection: Connection) -> int | None:
    """Return the version of a journal's schema, None where it does not say one."""
    with connection.begin():
        found = connection.execute(select(meta.c.value).where(meta.c.key == "schema")).scalar_one_or_none()
    return int(found) if found is not None and found.isdecimal() else None


def schema_fault(version: int | None) -> str | None:
    """Say why a journal of that schema is none that this version reads, or None when it is one."""
    if version == SCHEMA_VERSION:
        return None
    seen = "unknown" if version is None else str(version)
    return f"is a journal of schema {seen}; expected {SCHEMA_VERSION}, which this version reads"


def set_checked(connection: Connection, at: str) -> None:
    """Write when the journal was last proved to be writable, inside a transaction of the caller's."""
    done = connection.execute(update(meta).where(meta.c.key == "checked").values(value=at))
    if done.rowcount == 0:
        connection.execute(insert(meta).values(key="checked", value=at))
