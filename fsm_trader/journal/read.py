"""Reading a journal, also while its writer runs: entries, verification, export. It never writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import msgspec
from sqlalchemy import Select, select
from sqlalchemy.exc import DBAPIError

from fsm_trader.core.records import Entry, decode
from fsm_trader.errors import SetupError, VerificationError
from fsm_trader.journal import tables
from fsm_trader.journal.chain import GENESIS, Row, row_hash
from fsm_trader.journal.store import file_of

_BATCH = 1000


class Verified(msgspec.Struct, frozen=True):
    """What a verification found: rows read, the head's hash, and the first bad row in words (None: all is well)."""

    rows: int
    head: str
    fault: str | None = None
    bad_seq: int | None = None


class JournalReader:
    """A read-only view of a journal.

    Raises:
        SetupError: there is no journal at *url*, or it cannot be read.
    """

    def __init__(self, url: str) -> None:
        file = file_of(url)
        self._where = str(file or url.partition("://")[0])
        if file is not None and not file.is_file():
            raise SetupError.at(str(file), "no journal here yet; expected the file a run writes")
        with ExitStack() as undo:
            try:
                self._engine = tables.open_engine(url, read_only=True)
                undo.callback(self._engine.dispose)
                self._connection = undo.enter_context(self._engine.connect())
                fault = tables.schema_fault(self._connection)
            except DBAPIError as error:
                raise SetupError.at(self._where, f"cannot be read as a journal: {error.orig}") from error
            if fault is not None:
                raise SetupError.at(self._where, fault)
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
        query: Select[Any] = select(tables.events).order_by(columns.seq).limit(batch_size)
        if trade_id is not None:
            query = query.where(columns.trade_id == trade_id)
        if session is not None:
            query = query.where(columns.session == session)
        while True:
            batch = self._fetch(query.where(columns.seq > after), after)
            for row in batch:
                yield Row(*tuple(row))
            if len(batch) < batch_size:
                return
            after = batch[-1].seq

    def _fetch(self, query: Select[Any], after: int) -> Sequence[Any]:
        try:
            with self._connection.begin():
                return self._connection.execute(query).fetchall()
        except DBAPIError as error:
            raise VerificationError(
                f"journal {self._where}: the file is damaged after row {after}: {error.orig}; reading stops here"
            ) from error

    def entries(self, *, after: int = 0) -> Iterator[Entry]:
        """Yield decoded entries in order.

        Raises:
            VerificationError: a row cannot be read, or not as a record.
        """
        for row in self.rows(after=after):
            yield entry_of(row)

    def last_session(self) -> str | None:
        """Return the session of the newest row, None when the journal is empty."""
        query = select(tables.events.c.session).order_by(tables.events.c.seq.desc()).limit(1)
        with self._connection.begin():
            found: str | None = self._connection.execute(query).scalar_one_or_none()
        return found

    def definitions(self) -> dict[str, str]:
        """Return every kept machine definition: digest to text."""
        with self._connection.begin():
            found = self._connection.execute(select(tables.definitions.c.digest, tables.definitions.c.text)).all()
        return {str(digest): str(text) for digest, text in found}

    def verify(self) -> Verified:
        """Recompute the whole chain and stop at the first row that does not fit."""
        try:
            return self._verify(Verified(0, GENESIS), batch_size=_BATCH)
        except VerificationError:
            # One unreadable row hides its whole batch: read one by one, to name it.
            return self._verify(Verified(0, GENESIS), batch_size=1)

    def _verify(self, good: Verified, *, batch_size: int) -> Verified:
        try:
            for row in self.rows(after=good.rows, batch_size=batch_size):
                fault = _fault_of(row, good.rows + 1, good.head)
                if fault is not None:
                    return Verified(good.rows, good.head, fault, row.seq)
                good = Verified(row.seq, row.hash)
        except VerificationError as error:
            if batch_size == 1:
                return Verified(good.rows, good.head, str(error), good.rows + 1)
            raise
        return good


def entry_of(row: Row) -> Entry:
    """Decode one row.

    Raises:
        VerificationError: the body is not a record of this version or an earlier one.
    """
    try:
        return Entry(row.seq, datetime.fromisoformat(row.at), row.session, decode(row.body))
    except (msgspec.MsgspecError, ValueError) as error:
        raise VerificationError(f"journal row {row.seq}: {error}; expected a record of kind {row.kind}") from error


def _fault_of(row: Row, expected_seq: int, head: str) -> str | None:
    if row.seq != expected_seq:
        return f"row {row.seq} where row {expected_seq} was expected: rows are missing"
    computed = row_hash(head, (row.seq, row.at, row.session, row.trade_id, row.kind, row.body))
    if computed != row.hash:
        return f"row {row.seq} ({row.kind} at {row.at}): its hash is {row.hash[:12]}, its contents give {computed[:12]}"
    return None
