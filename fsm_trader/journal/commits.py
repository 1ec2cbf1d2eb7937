"""One durable transaction at a time: a lock is waited for, a full disk is given room, a failed flush is the end.

It knows what a driver may say to a COMMIT, and nothing of rows.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, suppress

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from fsm_trader.errors import HaltError
from fsm_trader.journal import tables

_LOG = logging.getLogger(__name__)
# Each of these waits for ``tables.BUSY_S``, so that another program's lock is waited for half a minute in all.
BUSY_TRIES = 6
_SHORT_LOG_PAGES = 16
_UNKNOWN = "The next start finds out what of it is in the journal; nothing of it was sent. This process writes no more."


class Commits:
    """Makes the transactions of the one writer.

    Args:
        connection: held, and used by nobody else to write.
        url: of the journal, to be read once more when it broke.
        where: the journal, for messages.
        make_room: gives up room that was kept for a full disk; False where there is none.

    Attributes:
        on_wait: told in words that a commit had to wait for another program, once it was made. It must not raise.
    """

    def __init__(self, connection: Connection, *, url: str, where: str, make_room: Callable[[], bool]) -> None:
        self._connection = connection
        self._url = url
        self._where = where
        self._make_room = make_room
        self._driver_error = connection.dialect.loaded_dbapi.Error
        self._broken = ""
        self.on_wait: Callable[[str], None] = _LOG.warning

    def commit(self, transaction: Callable[[], object], *, fault: str, unless: str, tries: int | None = None) -> None:
        """Make one durable transaction.

        A lock of another program is waited for; where the disk is full and room was kept for that, the transaction is
        made once more with the room. A flush that failed is never tried again: what it left on the disk nobody knows.

        Args:
            transaction: begins, writes and commits.
            fault: what it means that this failed: ``rows 3 to 5 could not be written``.
            unless: what may be relied on where it failed and nothing of it is in the journal.
            tries: how often a lock is waited for, each time ``tables.BUSY_S``; ``BUSY_TRIES`` where it is not said.

        Raises:
            HaltError: it was not made, or nobody can say whether it was.
        """
        if self._broken:
            raise HaltError(f"journal {self._where}: {fault}: {self._broken}")
        try:
            self._patiently(transaction, BUSY_TRIES if tries is None else tries)
        except (DBAPIError, self._driver_error) as error:
            if _is_broken(error):
                self._broken = f"it broke before: {words_of(error)}"
                unless = _UNKNOWN
            raise HaltError(f"journal {self._where}: {fault}: {words_of(error)}. {unless}") from error

    def _patiently(self, transaction: Callable[[], object], tries: int) -> None:
        for past in range(tries):
            try:
                self._with_room(transaction)
            except (DBAPIError, self._driver_error) as error:
                if not is_busy(error) or past + 1 == tries:
                    raise
                if past == 0:
                    _LOG.warning(
                        "journal %s: another program has locked it. Nothing can be decided meanwhile; it is waited for "
                        "up to %.0f s",
                        self._where,
                        tries * tables.BUSY_S,
                    )
            else:
                if past:
                    self.on_wait(
                        f"journal {self._where}: another program had locked it for {past * tables.BUSY_S:.0f} s and "
                        "more. Nothing could be decided meanwhile"
                    )
                return

    def _with_room(self, transaction: Callable[[], object]) -> None:
        try:
            self._try(transaction)
        except (DBAPIError, self._driver_error) as error:
            if not _is_full(error) or not self._make_room():
                raise
            # From here on the log is kept short: it would take all the room that there is.
            self._connection.connection.cursor().execute(f"PRAGMA wal_autocheckpoint={_SHORT_LOG_PAGES}")
            self.checkpoint()
            self._try(transaction)

    def _try(self, transaction: Callable[[], object]) -> None:
        try:
            transaction()
        except (DBAPIError, self._driver_error):
            # A COMMIT that failed leaves its transaction open, and the next one would be refused for it. Where even
            # this fails the connection is lost, and every further write says so.
            with suppress(self._driver_error):
                self._connection.connection.rollback()
            raise

    def checkpoint(self) -> None:
        """Move the log into the file, which makes it short; what cannot be moved now stays in the log."""
        try:
            # Outside a transaction, where alone a checkpoint can empty the log.
            self._connection.connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            # Nothing is lost: what is committed is in the log, and the next start reads it from there.
            _LOG.warning("journal %s: a checkpoint failed: %s", self._where, error)

    def close(self, engine_dispose: Callable[[], object]) -> None:
        """Let go of the file; a checkpoint leaves everything in the main file, unless the journal broke."""
        is_sqlite = self._connection.dialect.name == "sqlite"
        with ExitStack() as after:
            if is_sqlite and self._broken:
                self._hold_back(after)
            elif is_sqlite:
                self.checkpoint()
            self._connection.close()
            engine_dispose()

    def _hold_back(self, after: ExitStack) -> None:
        """Keep SQLite from moving a broken log into the file, as the last connection does that closes.

        That would flush it once more, and this time it would seem to work. A reader that closes later is the last one,
        and may not write.
        """
        try:
            reader = tables.open_engine(self._url, read_only=True)
            after.callback(reader.dispose)
            connection = after.enter_context(reader.connect())
            with connection.begin():
                connection.exec_driver_sql("SELECT count(*) FROM meta").all()
        except (DBAPIError, self._driver_error) as error:
            _LOG.warning("journal %s: it cannot be read any more: %s", self._where, words_of(error))


def is_busy(error: Exception) -> bool:
    """Tell whether another program's lock was in the way."""
    return code_of(error) & 0xFF == sqlite3.SQLITE_BUSY


def _is_full(error: Exception) -> bool:
    # The second is what SQLite says where the index of its log finds no room.
    return code_of(error) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)


def _is_broken(error: Exception) -> bool:
    # Any other failure SQLite rolls back by itself, and says so truthfully.
    return code_of(error) & 0xFF in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT) and not _is_full(error)


def code_of(error: Exception) -> int:
    """Return SQLite's extended code of an error of the driver, 0 where it has none."""
    code = getattr(getattr(error, "orig", error), "sqlite_errorcode", None)
    return code if isinstance(code, int) else 0


def words_of(error: Exception) -> str:
    """Return what the driver says: SQLAlchemy's own text carries the statement and its values."""
    origin = getattr(error, "orig", None)
    return str(origin if origin is not None else error)
