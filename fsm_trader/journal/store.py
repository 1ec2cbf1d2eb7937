"""The journal on disk: one writer appends rows in transactions; each row is chained to the one before it.

It knows rows and hashes; it does not know what a trade is.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import date, datetime
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, insert, inspect, select
from sqlalchemy.exc import DBAPIError

from fsm_trader.core.records import Entry, Record, encode, kind_of, trade_of
from fsm_trader.errors import HaltError, SetupError
from fsm_trader.journal import commits, look_up, migrate, tables
from fsm_trader.journal.anchor import Anchored
from fsm_trader.journal.chain import GENESIS, row_hash, stamp
from fsm_trader.journal.commits import Commits, words_of
from fsm_trader.journal.files import make_folder
from fsm_trader.journal.guard import Guard
from fsm_trader.journal.look_up import DaySoFar

_LOG = logging.getLogger(__name__)
_Found = TypeVar("_Found")
_COLUMNS = ("seq", "at", "session", "trade_id", "kind", "body", "hash")


def file_of(url: str) -> Path | None:
    """Return the file of a SQLite journal, None for another database.

    Raises:
        SetupError: *url* is none.
    """
    parsed = tables.parse(url)
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
        on_remark: told in words of what a person should see to and what takes no safety away. It must not raise.

    Raises:
        SetupError: the file cannot be opened, is not a journal, or was written by a newer version.
        HaltError: another program keeps it locked.
    """

    def __init__(self, url: str, *, lock: Path | None = None, ballast: int = 0) -> None:
        self.on_trouble: Callable[[str], None] = _LOG.error
        self.on_remark: Callable[[str], None] = _LOG.warning
        self._guard: Guard | None = None
        self._where = str(file_of(url) or tables.parse(url).render_as_string(hide_password=True))
        for past in range(commits.BUSY_TRIES):
            try:
                self._open(url, lock, ballast)
                break
            except (DBAPIError, sqlite3.Error, OSError) as error:
                self._refuse_unless_busy(error, past)
        self._commits = Commits(self._connection, url=url, where=self._where, make_room=self._make_room)
        self._commits.on_wait = self._remark
        # Compiled once: the insert is the hot path of every transition.
        self._insert = str(insert(tables.events).values(dict.fromkeys(_COLUMNS)).compile(self._engine))
        driver: object = self._connection.connection.dbapi_connection
        # Straight to the driver where it is SQLite's: the way through SQLAlchemy costs a sixth of a commit.
        self._driver = driver if isinstance(driver, sqlite3.Connection) else None

    def _open(self, url: str, lock: Path | None, ballast: int) -> None:
        with ExitStack() as undo:
            if (file := file_of(url)) is not None:
                make_folder(file.parent)
            self._engine = tables.open_engine(url)
            undo.callback(self._engine.dispose)
            self._connection = undo.enter_context(self._engine.connect())
            _prepare(self._connection, self._where)
            self._seq, self._head = _head(self._connection)
            if file is not None:
                # The transaction that read the head has made the log; it stays until the last connection closes.
                self._guard = Guard(file, Anchored(*self.head), self._hash_of, lock=lock, ballast=ballast)
            self.damage = () if self._guard is None else self._guard.damage
            undo.pop_all()

    def _refuse_unless_busy(self, error: Exception, past: int) -> None:
        if not commits.is_busy(error):
            raise SetupError.at(self._where, f"cannot be opened as a journal: {words_of(error)}") from error
        if past + 1 == commits.BUSY_TRIES:
            raise HaltError(
                f"journal {self._where}: {words_of(error)}: another program has kept it locked for "
                f"{commits.BUSY_TRIES * tables.BUSY_S:.0f} s; expected to write it at any time. Nothing was started."
            ) from error
        _LOG.warning("journal %s: another program has locked it; it is waited for", self._where)

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
        self._commits.commit(
            lambda: self._write_rows(rows),
            fault=f"rows {self._seq + 1} to {seq} could not be written",
            unless="Nothing of this step is in the journal and nothing of it was sent.",
        )
        first = self._seq + 1
        self._seq, self._head = seq, head
        if self._guard is not None:
            self._guard.note(seq, head)
            while self._guard.troubles:
                self.on_trouble(self._guard.troubles.pop(0))
            while self._guard.remarks:
                self.on_remark(self._guard.remarks.pop(0))
        return tuple(Entry(first + place, at, session, record) for place, record in enumerate(records))

    def define(self, digest: str, name: str, text: str) -> None:
        """Keep a machine definition under its content hash; see ``journal.protocol.Journal``.

        Raises:
            HaltError: the journal can no longer be written.
        """
        if self.definition(digest) is not None:
            return
        kept = insert(tables.definitions).values(digest=digest, name=name, text=text)
        self._commits.commit(
            lambda: self._write_in(lambda: self._connection.execute(kept)),
            fault=f"the definition of machine {name} could not be written",
            unless="No trade is opened under a definition that is not kept.",
        )

    def definition(self, digest: str) -> str | None:
        """Return the text kept under *digest*.

        Raises:
            HaltError: the journal cannot be read.
        """
        return self._read(lambda: look_up.definition(self._connection, digest))

    def day_so_far(self, day: date) -> DaySoFar:
        """Return what the journal has of a trading day.

        Raises:
            HaltError: the journal cannot be read.
        """
        return self._read(lambda: look_up.day_so_far(self._connection, day))

    def count_of(self, trade_id: str) -> int:
        """Return how many rows a trade has.

        Raises:
            HaltError: the journal cannot be read.
        """
        return self._read(lambda: look_up.count_of(self._connection, trade_id))

    def check(self, at: datetime) -> None:
        """Prove that the journal can be written, durably: ``checked`` in its table ``meta`` becomes *at*.

        Raises:
            HaltError: it cannot.
        """
        self._refuse_lost()
        self._commits.commit(
            lambda: self._write_in(lambda: tables.set_checked(self._connection, stamp(at))),
            fault="cannot be written; expected to write it at any time",
            unless="Nothing of it changed.",
            # A trial must not hold up the loop for longer than it takes to know.
            tries=1,
        )

    def close(self) -> None:
        """Let go of the file; a checkpoint leaves everything in the main file, unless the journal broke."""
        self._commits.close(self._engine.dispose)
        if self._guard is not None:
            self._guard.close()

    def _read(self, ask: Callable[[], _Found]) -> _Found:
        found: list[_Found] = []
        self._commits.commit(lambda: found.append(ask()), fault="cannot be read", unless="Nothing of it changed.")
        return found[-1]

    def _remark(self, text: str) -> None:
        self.on_remark(text)

    def _make_room(self) -> bool:
        return self._guard is not None and self._guard.make_room()

    def _hash_of(self, seq: int) -> str | None:
        return look_up.hash_of(self._connection, seq)

    def _refuse_lost(self) -> None:
        if self._guard is not None and (fault := self._guard.lost()):
            raise HaltError(
                f"journal {self._where}: {fault}; expected the files this process opened. It is not the one writer any "
                "more and stops. Nothing of this step was written and nothing of it was sent."
            )

    def _write_in(self, write: Callable[[], object]) -> None:
        with self._connection.begin():
            write()

    def _write_rows(self, rows: list[tuple[object, ...]]) -> None:
        if self._driver is None:
            self._write_in(lambda: self._write(rows))
            return
        self._driver.execute("BEGIN IMMEDIATE")
        self._write(rows)
        self._driver.execute("COMMIT")

    def _write(self, rows: list[tuple[object, ...]]) -> None:
        if self._driver is not None:
            self._driver.executemany(self._insert, rows)
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
