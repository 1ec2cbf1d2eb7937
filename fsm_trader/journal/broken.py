"""Whether a file that should be a journal still is one: a verification says so, where a reader can only refuse."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError

from fsm_trader.errors import SetupError
from fsm_trader.journal.commits import code_of, words_of
from fsm_trader.journal.read import JournalReader
from fsm_trader.journal.store import file_of

# What SQLite says of a file that holds no database, a damaged one, or one without our tables.
_BROKEN = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def broken(url: str) -> str:
    """Say why what stands at *url* is no journal any more, though it is there; empty where it can be opened as one.

    Raises:
        SetupError: there is nothing, or it cannot be opened for a reason that lies outside of it.
    """
    try:
        JournalReader(url).close()
    except SetupError as error:
        cause, file = error.__cause__, file_of(url)
        if not isinstance(cause, DBAPIError) or code_of(cause) & 0xFF not in _BROKEN:
            raise
        is_empty = file is not None and file.stat().st_size == 0
        return f"{file or 'the database'} is no journal: {'it is empty' if is_empty else words_of(cause)}"
    return ""
