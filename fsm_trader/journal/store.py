"""The journal on disk: one writer appends rows in transactions; each row is chained to the one before it.

It knows rows and hashes; it does not know what a trade is.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from datetime import date, datetime
from pathlib import Path

from sqlalchemy import Connection, insert, inspect, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from fsm_trader.core.records import Entry, Record, encode, kind_of, trade_of
from fsm_trader.errors import HaltError, SetupError
from fsm_trader.journal import look_up, migrate, tables
from fsm_trader.journal.anchor import Anchored
from fsm_trader.journal.chain import GENESIS, row_hash, stamp
from fsm_trader.journal.guard import Guard
from fsm_trader.journal.look_up import DaySoFar

_LOG = logging.getLogger(__name__)
_SHORT_LOG_PAGES = 16
_COLUMNS = ("seq", "at", "session", "trade_id", "kind", "body", "hash")


def file_of(url: str) -> Path | None:
    """Return the file of a SQLite journal, None for another database."""
    parsed = make_url(url)
    return Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None


class JournalStore:
    """An append-only journal in a database, held open by its one writer.

    Args:
        url: SQLAlchemy URL; a SQLite file's folder is made when it is missing.
        lock: the lock file that makes this process the one writer, watched along with the journal's own files.
        ballast: bytes of room on the disk to keep for leaving positions, 0 for none.

    Attributes:
        damage: what the anchor says against this journal, in words; empty when they agree. Committed rows may be gone.
        on_trouble: told in words when the journal goes on, though no longer as safely as promised. It must not raise.

    Raises:
        SetupError: the file cannot be opened, is not a journal, or was written by a newer version.
    """

    def __init__(self, url: str, *, lock: Path | None = None, ballast: int = 0) -> None:
        self.on_trouble: Callable[[str], None] = _LOG.error
        self._guard: Guard | None = None
        self._where = str(file_of(url) or make_url(url).render_as_string(hide_password=True))
        with ExitStack() as undo:
            try:
                if (file := file_of(url)) is not None:
                    file.parent.mkdir(parents=True, exist_ok=True)
                self._engine = tables.open_engine(url)
                undo.callback(self._engine.dispose)
                self._connection = undo.enter_context(self._engine.connect())
                _prepare(self._connection, self._where)
                self._seq, self._head = _head(self._connection)
                if file is not None:
                    # The transaction that read the head has made the log; it stays until the last connection closes.
                    self._guard = Guard(file, Anchored(*self.head), self._hash_of, lock=lock, ballast=ballast)
                self.damage = () if self._guard is None else self._guard.damage
            except (DBAPIError, sqlite3.Error, OSError) as error:
                raise SetupError.at(self._where, f"cannot be opened as a journal: {words_of(error)}") from error
            undo.pop_all()
        # Compiled once: the insert is the hot path of every transition.
        self._insert = str(insert(tables.events).values(dict.fromkeys(_COLUMNS)).compile(self._engine))
        self._positional = self._engine.dialect.positional
        self._driver_error = self._engine.dialect.loaded_dbapi.Error

    @property
    def head(self) -> tuple[int, str]:
        """Sequence number and hash of the last row; (0, zeros) when empty."""
        return self._seq, self._head

    def append(self, at: datetime, session: str, records: Sequence[Record]) -> tuple[Entry, ...]:
        """Write *records* in one durable transaction; see ``journal.protocol.Journal``."""
        if not records:
            return ()
        seq, head = self._seq, self._head
        rows: list[tuple[object, ...]] = []
        moment = stamp(at)
        for record in records:
            seq += 1
            columns = (seq, moment, session, trade_of(record), kind_of(record), encode(record))
            head = row_hash(head, columns)
            rows.append((*columns, head))
        self._refuse_lost()
        try:
            self._commit(lambda: self._write_rows(rows))
        except (DBAPIError, self._driver_error) as error:
            raise HaltError(
                f"journal {self._where}: rows {self._seq + 1} to {seq} could not be written: {words_of(error)}. "
                "Nothing of this step is in the journal and nothing of it was sent."
            ) from error
        first = self._seq + 1
        self._seq, self._head = seq, head
        if self._guard is not None:
            self._guard.note(seq, head)
            while self._guard.troubles:
                self.on_trouble(self._guard.troubles.pop(0))
        return tuple(Entry(first + place, at, session, record) for place, record in enumerate(records))

    def define(self, digest: str, name: str, text: str) -> None:
        """Keep a machine definition under its content hash; see ``journal.protocol.Journal``.

        Raises:
            HaltError: the journal can no longer be written.
        """
        if self.definition(digest) is not None:
            return
        kept = insert(tables.definitions).values(digest=digest, name=name, text=text)
        try:
            self._commit(lambda: self._write_in(lambda: self._connection.execute(kept)))
        except (DBAPIError, self._driver_error) as error:
            raise HaltError(
                f"journal {self._where}: the definition of machine {name} could not be written: {words_of(error)}. "
                "No trade is opened under a definition that is not kept."
            ) from error

    def definition(self, digest: str) -> str | None:
        """Return the text kept under *digest*."""
        query = select(tables.definitions.c.text).where(tables.definitions.c.digest == digest)
        with self._connection.begin():
            found: str | None = self._connection.execute(query).scalar_one_or_none()
        return found

    def day_so_far(self, day: date) -> DaySoFar:
        """Return what the journal has of a trading day."""
        return look_up.day_so_far(self._connection, day)

    def count_of(self, trade_id: str) -> int:
        """Return how many rows a trade has."""
        return look_up.count_of(self._connection, trade_id)

    def check(self, at: datetime) -> None:
        """Prove that the journal can be written, durably: ``checked`` in its table ``meta`` becomes *at*.

        Raises:
            HaltError: it cannot.
        """
        self._refuse_lost()
        try:
            self._commit(lambda: self._write_in(lambda: tables.set_checked(self._connection, stamp(at))))
        except (DBAPIError, self._driver_error) as error:
            raise HaltError(
                f"journal {self._where}: cannot be written: {words_of(error)}; expected to write it at any time. "
                "Nothing of it changed."
            ) from error

    def close(self) -> None:
        """Let go of the file; a checkpoint leaves everything in the main file."""
        if self._engine.dialect.name == "sqlite":
            self._checkpoint()
        self._connection.close()
        self._engine.dispose()
        if self._guard is not None:
            self._guard.close()

    def _hash_of(self, seq: int) -> str | None:
        return look_up.hash_of(self._connection, seq)

    def _refuse_lost(self) -> None:
        if self._guard is not None and (fault := self._guard.lost()):
            raise HaltError(
                f"journal {self._where}: {fault}; expected the files this process opened. It is not the one writer any "
                "more and stops. Nothing of this step was written and nothing of it was sent."
            )

    def _commit(self, transaction: Callable[[], object]) -> None:
        """Make one durable transaction; where the disk is full and room was kept for that, once more with the room.

        Raises:
            DBAPIError, sqlite3.Error: nothing of it is in the journal.
        """
        try:
            self._try(transaction)
        except (DBAPIError, self._driver_error) as error:
            if not _is_full(error) or self._guard is None or not self._guard.make_room():
                raise
            # From here on the log is kept short: it would take all the room that there is.
            self._connection.connection.cursor().execute(f"PRAGMA wal_autocheckpoint={_SHORT_LOG_PAGES}")
            self._checkpoint()
            self._try(transaction)

    def _try(self, transaction: Callable[[], object]) -> None:
        try:
            transaction()
        except (DBAPIError, self._driver_error):
            self._let_go()
            raise

    def _checkpoint(self) -> None:
        """Move the log into the file, which makes it short; what cannot be moved now stays in the log."""
        try:
            # Outside a transaction, where alone a checkpoint can empty the log.
            self._connection.connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            # Nothing is lost: what is committed is in the log, and the next start reads it from there.
            _LOG.warning("journal %s: a checkpoint failed: %s", self._where, error)

    def _let_go(self) -> None:
        # A COMMIT that failed leaves its transaction open, and the next one would be refused for it. Where even this
        # fails the connection is lost, and every further write says so.
        with suppress(self._engine.dialect.loaded_dbapi.Error):
            self._connection.connection.rollback()

    def _write_in(self, write: Callable[[], object]) -> None:
        with self._connection.begin():
            write()

    def _write_rows(self, rows: list[tuple[object, ...]]) -> None:
        driver = self._connection.connection.dbapi_connection
        if not isinstance(driver, sqlite3.Connection):
            self._write_in(lambda: self._write(rows))
            return
        # Straight to the driver: the way through SQLAlchemy costs a sixth of a commit.
        driver.execute("BEGIN IMMEDIATE")
        self._write(rows)
        driver.execute("COMMIT")

    def _write(self, rows: list[tuple[object, ...]]) -> None:
        if self._positional:
            self._connection.connection.cursor().executemany(self._insert, rows)
        else:
            self._connection.execute(insert(tables.events), [dict(zip(_COLUMNS, row, strict=True)) for row in rows])


def _prepare(connection: Connection, where: str) -> None:
    names = set(inspect(connection).get_table_names())
    connection.rollback()
    known = {table.name for table in tables.metadata.sorted_tables}
    if names and not {tables.meta.name, tables.events.name} <= names:
        raise SetupError.at(where, f"holds tables {sorted(names)}; expected a journal ({', '.join(sorted(known))})")
    if names:
        _bring_up_to_date(connection, where)
    # Only now: up to here the file may be somebody else's and stays as it was.
    tables.write_ahead(connection)
    if not names:
        _create(connection)


def _bring_up_to_date(connection: Connection, where: str) -> None:
    version = tables.schema_version(connection)
    target = tables.SCHEMA_VERSION
    if version is None or not migrate.reaches(version, target) or connection.dialect.name != "sqlite":
        if (fault := tables.schema_fault(version)) is not None:
            raise SetupError.at(where, fault)
        return
    driver = connection.connection.dbapi_connection
    if not isinstance(driver, sqlite3.Connection):
        raise TypeError(f"the driver of {where} gave {type(driver).__name__}; expected a sqlite3 connection")
    try:
        migrate.migrate(driver, Path(where), version=version, target=target)
    except (sqlite3.Error, OSError) as error:
        raise SetupError.at(
            where, f"could not be brought from schema {version} to {target}: {error}; it is as it was before that step"
        ) from error


def _create(connection: Connection) -> None:
    with connection.begin():
        tables.metadata.create_all(connection)
        connection.execute(insert(tables.meta).values(key="schema", value=str(tables.SCHEMA_VERSION)))
        if connection.dialect.name == "sqlite":
            for statement in (*tables.SQLITE_TRIGGERS, *tables.SQLITE_VIEWS):
                connection.exec_driver_sql(statement)


def _head(connection: Connection) -> tuple[int, str]:
    query = select(tables.events.c.seq, tables.events.c.hash).order_by(tables.events.c.seq.desc()).limit(1)
    with connection.begin():
        row = connection.execute(query).first()
    return (0, GENESIS) if row is None else (row.seq, row.hash)


def _is_full(error: Exception) -> bool:
    # The second is what SQLite says where the index of its log finds no room.
    code = getattr(getattr(error, "orig", error), "sqlite_errorcode", None)
    return code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)


def words_of(error: Exception) -> str:
    """Return what the driver says: SQLAlchemy's own text carries the statement and its values."""
    origin = getattr(error, "orig", None)
    return str(origin if origin is not None else error)
