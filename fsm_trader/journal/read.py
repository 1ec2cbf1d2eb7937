"""Reading a journal, also while its writer runs: entries, verification, export. It never writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import msgspec
from sqlalchemy import Select, bindparam, select
from sqlalchemy.exc import DBAPIError

from fsm_trader.core.records import Entry, decode
from fsm_trader.errors import HaltError, SetupError, VerificationError
from fsm_trader.journal import look_up, migrate, tables
from fsm_trader.journal.anchor import Anchored, damage_of, missing, read_anchor
from fsm_trader.journal.chain import GENESIS, Columns, Row, fitting, row_hash
from fsm_trader.journal.commits import words_of
from fsm_trader.journal.files import refuse_absent, why_unreadable
from fsm_trader.journal.store import file_of

# Few enough for a processor's cache: with ten times as many a row takes half as long again.
_BATCH = 200
_MIGRATES = ". The next run brings it there, after a backup"
_NEVER = datetime.min.replace(tzinfo=UTC)


class Verified(msgspec.Struct, frozen=True):
    """What a verification found: rows read, the head's hash, and the first bad row in words (None: all is well).

    *note* says what could not be checked.
    """

    rows: int
    head: str
    fault: str | None = None
    bad_seq: int | None = None
    note: str = ""


class JournalReader:
    """A read-only view of a journal.

    Raises:
        SetupError: there is no journal at *url*, or it cannot be read.
    """

    def __init__(self, url: str) -> None:
        file = self._file = file_of(url)
        self._where = str(file or url.partition("://")[0])
        if file is not None:
            refuse_absent(file)
        with ExitStack() as undo:
            try:
                self._engine = tables.open_engine(url, read_only=True)
                undo.callback(self._engine.dispose)
                self._connection = undo.enter_context(self._engine.connect())
                version = tables.schema_version(self._connection)
            except DBAPIError as error:
                why = "" if file is None else why_unreadable(file)
                raise SetupError.at(self._where, f"cannot be read as a journal: {error.orig}{why}") from error
            if (fault := tables.schema_fault(version)) is not None:
                raise SetupError.at(self._where, f"{fault}{_MIGRATES if _is_migrated(version) else ''}")
            undo.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()
        self._engine.dispose()

    def rows(
        self, *, after: int = 0, trade_id: str | None = None, session: str | None = None, batch_size: int = _BATCH
    ) -> Iterator[Row]:
        """Yield stored rows in order, in batches: memory does not grow with the journal.

        Raises:
            VerificationError: the file is damaged; no row of the batch that cannot be read is yielded.
        """
        columns = tables.events.c
        query: Select[Any] = _all(batch_size)
        if trade_id is not None:
            query = query.where(columns.trade_id == trade_id)
        if session is not None:
            query = query.where(columns.session == session)
        for batch in self._batches(query, after, batch_size):
            for row in batch:
                yield Row(*row)

    def entries(self, *, after: int = 0) -> Iterator[Entry]:
        """Yield decoded entries in order, unchecked.

        Raises:
            VerificationError: a row cannot be read, or not as a record.
        """
        for row in self.rows(after=after):
            yield entry_of(row)

    def checked(
        self, *, after: int = 0, head: str = GENESIS, before: int | None = None, unread: frozenset[str] = frozenset()
    ) -> Iterator[Entry]:
        """Yield decoded entries in order, each once it was held against its hash: what a position is managed from.

        Args:
            after: the row that those begin after.
            head: that row's hash.
            before: the row that they end before, None for all there are.
            unread: kinds of rows that are held against their hashes too, and neither decoded nor yielded.

        Raises:
            VerificationError: a row is missing, does not fit its hash, or cannot be read; none after it is yielded.
        """
        query = _all(_BATCH) if before is None else _all(_BATCH).where(tables.events.c.seq < before)
        written, at = "", _NEVER
        for batch in self._batches(query, after, _BATCH):
            good = fitting(batch, after, head)
            for row in batch[:good]:
                if row[4] in unread:
                    continue
                try:
                    if row[1] != written:
                        # Rows of one commit share their moment.
                        written, at = row[1], datetime.fromisoformat(row[1])
                    record = decode(row[5])
                except (msgspec.MsgspecError, ValueError) as error:
                    raise _unreadable(Row(*row), error) from error
                yield Entry(row[0], at, row[2], record)
            if good:
                after, head = batch[good - 1][0], batch[good - 1][6]
            if good < len(batch):
                raise self._untrue(_fault_of(Row(*batch[good]), after + 1, head))

    def checked_trade(self, trade_id: str, *, before: int, rows: int) -> Iterator[Entry]:
        """Yield a trade's decoded entries before a row, each once it was held against its hash and the one before it.

        What stands between them is not read; that none of them is missing the number of *rows* tells.

        Raises:
            VerificationError: a row does not fit, cannot be read, or there are not as many as there were.
        """
        mine, previous = tables.events, tables.events.alias("previous")
        query = (
            select(*mine.c, previous.c.hash)
            .join(previous, previous.c.seq == mine.c.seq - 1, isouter=True)
            .where(mine.c.trade_id == trade_id, mine.c.seq < before)
            .order_by(mine.c.seq)
        )
        found = self._told(lambda: self._fetch(query), 0)
        if len(found) != rows:
            raise self._untrue(f"trade {trade_id} has {len(found)} rows before row {before}; expected {rows}")
        for columns in found:
            row, head = Row(*columns[:7]), columns[7] or GENESIS
            if row_hash(head, columns[:6]) != row.hash:
                raise self._untrue(_fault_of(row, row.seq, head))
            yield entry_of(row)

    def newest_session(self) -> tuple[Entry, str] | None:
        """Return the row that begins the newest session and the hash before it; None in a journal without rows.

        Raises:
            VerificationError: it does not fit its hash, or cannot be read.
        """
        first = look_up.first_of_newest_session(self._connection)
        if first is None:
            return None
        head = GENESIS if first == 1 else look_up.hash_of(self._connection, first - 1)
        if head is None:
            raise self._untrue(f"row {first - 1} is missing")
        return next(self.checked(after=first - 1, head=head)), head

    def _batches(self, query: Select[Any], after: int, batch_size: int) -> Iterator[Sequence[Columns]]:
        fetch = self._fetcher(query.where(tables.events.c.seq > bindparam("after")))
        while True:
            batch = fetch(after)
            yield batch
            if len(batch) < batch_size:
                return
            after = batch[-1][0]

    def _fetcher(self, query: Select[Any]) -> Callable[[int], Sequence[Any]]:
        """Return what runs a query for rows after one, as often as it is asked."""
        driver = self._connection.connection.dbapi_connection
        if not isinstance(driver, sqlite3.Connection):
            return lambda after: self._told(lambda: self._fetch(query, after), after)
        compiled: Any = query.compile(self._connection)
        text, names, values = str(compiled), compiled.positiontup, compiled.params
        # Straight to the driver, statement by statement: the way through SQLAlchemy costs as much as fifty rows.
        return lambda after: self._told(
            lambda: driver.execute(text, [after if name == "after" else values[name] for name in names]).fetchall(),
            after,
        )

    def _fetch(self, query: Select[Any], after: int = 0) -> Sequence[Any]:
        with self._connection.begin():
            return self._connection.execute(query, {"after": after}).all()

    def _told(self, fetch: Callable[[], Sequence[Any]], after: int) -> Sequence[Any]:
        try:
            return fetch()
        except (DBAPIError, self._engine.dialect.loaded_dbapi.Error) as error:
            raise VerificationError(
                f"journal {self._where}: the file is damaged after row {after}: {words_of(error)}; reading stops here"
            ) from error

    def _untrue(self, fault: str) -> VerificationError:
        return VerificationError(
            f"journal {self._where}: {fault}. Nothing was done: no position is managed from rows that may be false. "
            "Keep the file as it is; docs/reference/journal.md says how to go on."
        )

    def last_session(self) -> str | None:
        """Return the session of the newest row, None when the journal is empty."""
        query = select(tables.events.c.session).order_by(tables.events.c.seq.desc()).limit(1)
        with self._connection.begin():
            found: str | None = self._connection.execute(query).scalar_one_or_none()
        return found

    def newest(self) -> int:
        """Return the number of the newest row, 0 when the journal is empty."""
        query = select(tables.events.c.seq).order_by(tables.events.c.seq.desc()).limit(1)
        with self._connection.begin():
            found: int | None = self._connection.execute(query).scalar_one_or_none()
        return found or 0

    def definitions(self) -> dict[str, str]:
        """Return every kept machine definition: digest to text."""
        with self._connection.begin():
            found = self._connection.execute(select(tables.definitions.c.digest, tables.definitions.c.text)).all()
        return {str(digest): str(text) for digest, text in found}

    def verify(self, read: Callable[[Iterator[Entry]], object] | None = None) -> Verified:
        """Recompute the whole chain, stop at the first row that does not fit, and hold the end against the anchor.

        A copy without its anchor verifies, with a note: it may be a copy of a part.

        Args:
            read: takes every row as well, decoded; what it refuses, or what cannot be decoded, is a fault.
        """
        try:
            # Before the rows: a writer that goes on meanwhile can only add some.
            anchored = None if self._file is None else read_anchor(self._file)
        except VerificationError as error:
            found = self._verify_rows(read)
            return found if found.fault is not None else msgspec.structs.replace(found, fault=str(error))
        found = self._verify_rows(read)
        if self._file is None or found.fault is not None:
            return found
        head = Anchored(found.rows, found.head)
        if anchored is None:
            return msgspec.structs.replace(found, note=missing(self._file, head)) if head.seq else found
        damage = damage_of(self._file, anchored, head, lambda seq: look_up.hash_of(self._connection, seq))
        return msgspec.structs.replace(found, fault=damage or None)

    def _verify_rows(self, read: Callable[[Iterator[Entry]], object] | None) -> Verified:
        if read is None:
            return self._verify_chain()
        last = 0

        def counted() -> Iterator[Entry]:
            nonlocal last
            for entry in self.checked():
                yield entry
                last = entry.seq

        try:
            read(counted())
        except (VerificationError, HaltError) as error:
            # Once more, without reading: a row that does not fit counts before one that cannot be read.
            found = self._verify_chain()
            return found if found.fault is not None else msgspec.structs.replace(found, fault=str(error))
        head = look_up.hash_of(self._connection, last) if last else GENESIS
        return Verified(last, head or GENESIS)

    def _verify_chain(self) -> Verified:
        found = self._verify_from(0, GENESIS, _BATCH)
        # A row that cannot be read hides its whole batch: from there on they are read one by one, to name it.
        return found if found.fault is None else self._verify_from(found.rows, found.head, 1)

    def _verify_from(self, seq: int, head: str, batch_size: int) -> Verified:
        try:
            for batch in self._batches(_all(batch_size), seq, batch_size):
                good = fitting(batch, seq, head)
                if good:
                    seq, head = batch[good - 1][0], batch[good - 1][6]
                if good < len(batch):
                    return Verified(seq, head, _fault_of(Row(*batch[good]), seq + 1, head), batch[good][0])
        except VerificationError as error:
            return Verified(seq, head, str(error), seq + 1)
        return Verified(seq, head)


def _all(batch_size: int) -> Select[Any]:
    return select(tables.events).order_by(tables.events.c.seq).limit(batch_size)


def _is_migrated(version: int | None) -> bool:
    return version is not None and migrate.reaches(version, tables.SCHEMA_VERSION)


def entry_of(row: Row) -> Entry:
    """Decode one row.

    Raises:
        VerificationError: the body is not a record of this version or an earlier one.
    """
    try:
        return Entry(row.seq, datetime.fromisoformat(row.at), row.session, decode(row.body))
    except (msgspec.MsgspecError, ValueError) as error:
        raise _unreadable(row, error) from error


def _unreadable(row: Row, error: Exception) -> VerificationError:
    return VerificationError(f"journal row {row.seq}: {error}; expected a record of kind {row.kind}")


def _fault_of(row: Row, expected_seq: int, head: str) -> str:
    if row.seq != expected_seq:
        return f"row {row.seq} where row {expected_seq} was expected: rows are missing"
    texts = (row.at, row.session, row.trade_id or "", row.kind, row.body, row.hash)
    if not all(isinstance(text, str) for text in texts):
        return f"row {row.seq}: a column of it holds something else than text"
    computed = row_hash(head, (row.seq, row.at, row.session, row.trade_id, row.kind, row.body))
    return f"row {row.seq} ({row.kind} at {row.at}): its hash is {row.hash[:12]}, its contents give {computed[:12]}"
