"""From an older schema to the present one: forward only, a backup first, each step with its number in one transaction.

It must not change what a row's hash covers: the chain of a migrated journal is the chain it had.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

from fsm_trader.errors import SetupError
from fsm_trader.journal import tables

_LOG = logging.getLogger(__name__)

Step = Callable[[sqlite3.Cursor], None]
# From a version to the next one. Schema 1 is the first there was, so there is nothing to migrate from yet.
STEPS: Mapping[int, Step] = {}


def reaches(version: int, target: int) -> bool:
    """Tell whether ``STEPS`` lead from an older version to *target*."""
    return version < target and all(each in STEPS for each in range(version, target))


def migrate(connection: sqlite3.Connection, file: Path, *, version: int, target: int) -> Path:
    """Bring a journal to a newer schema and return its backup.

    A process that ends anywhere in this leaves a journal of the old version, of the new one, or of one between them;
    the next start goes on from there.

    Args:
        connection: to the journal, outside of any transaction, which the caller alone writes.
        file: the journal's file; the backup goes beside it, ``<file>.v<version>.bak``.
        version: the schema it has.
        target: the schema it is to have.

    Raises:
        SetupError: the backup is not whole; nothing was changed.
        sqlite3.Error, OSError: a step failed; the journal is as it was before that step.
    """
    backup = _back_up(connection, file, version)
    cursor = connection.cursor()
    for each in range(version, target):
        cursor.execute("BEGIN IMMEDIATE")
        try:
            for name in _names(cursor, "trigger"):
                # Append-only is a rule for everyone else; it is put back with the last step.
                cursor.execute(f'DROP TRIGGER "{name}"')
            for name in _names(cursor, "view"):
                cursor.execute(f'DROP VIEW "{name}"')
            STEPS[each](cursor)
            cursor.execute("UPDATE meta SET value = ? WHERE key = 'schema'", (str(each + 1),))
            if each + 1 == target:
                for statement in (*tables.SQLITE_TRIGGERS, *tables.SQLITE_VIEWS):
                    cursor.execute(statement)
            cursor.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                cursor.execute("ROLLBACK")
            raise
        _LOG.info("journal %s: schema %d is now schema %d; the backup is %s", file, each, each + 1, backup)
    return backup


def _back_up(connection: sqlite3.Connection, file: Path, version: int) -> Path:
    backup = file.with_name(f"{file.name}.v{version}.bak")
    part = backup.with_name(backup.name + ".part")
    # What an earlier try left is no backup: it gets its name only once it is whole and on the disk.
    part.unlink(missing_ok=True)
    cursor = connection.cursor()
    cursor.execute("VACUUM INTO ?", (str(part),))
    with closing(sqlite3.connect(part)) as copy:
        copied, there = (each.execute("SELECT count(*), max(seq) FROM events").fetchone() for each in (copy, cursor))
    if copied != there:
        raise SetupError.at(str(part), f"holds {copied[0]} rows; expected a whole copy of {file}. It was not migrated.")
    _sync(part)
    part.replace(backup)
    _sync(backup.parent)
    return backup


def _names(cursor: sqlite3.Cursor, kind: str) -> list[str]:
    return [name for (name,) in cursor.execute("SELECT name FROM sqlite_master WHERE type = ?", (kind,)).fetchall()]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
