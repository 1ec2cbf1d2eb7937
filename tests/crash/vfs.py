"""A disk that remembers every operation: what JournalStore writes is recorded, or made to fail, at any one of them.

Real here are JournalStore and everything under it down to the driver: its guard, anchor and migrations, the statements
SQLAlchemy makes of its tables, its PRAGMAs, transactions, rows and hashes, and a SQLite that writes real files. Two
things are not. The driver is a thin face over ``apsw``, since the standard library's driver cannot be given a file
system of one's own, so the SQLite that writes is the one in ``apsw`` (the one that reads what is left is the standard
library's). And the names that ``os`` gives to files are recorded as they pass, not at the system call.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import apsw
import pytest

_AUTOCHECKPOINT_PAGES = 1000
_NAMES = iter(range(1 << 30))


class Op(NamedTuple):
    """One operation on the disk, or a note among them (``acked``)."""

    what: str  # there, create, write, size, sync, sync folder, failed sync, delete, rename, acked
    file: int = 0
    at: int = 0
    data: bytes = b""
    name: str = ""
    other: str = ""


class Fault(NamedTuple):
    """Which operation fails, and how; counted from 0 over those that ``kind`` concerns."""

    kind: str
    at: int
    is_sticky: bool

    def __str__(self) -> str:
        return f"{self.kind}, operation {self.at}{', and all after it' if self.is_sticky else ''}"


# What fails, on which operations, with which answer of SQLite's own file system.
KINDS: dict[str, tuple[frozenset[str], type[apsw.Error], int]] = {
    "no space": (frozenset({"write"}), apsw.FullError, apsw.SQLITE_FULL),
    "EIO on write": (frozenset({"write", "size"}), apsw.IOError, apsw.SQLITE_IOERR_WRITE),
    "EIO on fsync": (frozenset({"sync"}), apsw.IOError, apsw.SQLITE_IOERR_FSYNC),
    "EIO on read": (frozenset({"read"}), apsw.IOError, apsw.SQLITE_IOERR_READ),
    "no open": (frozenset({"open"}), apsw.CantOpenError, apsw.SQLITE_CANTOPEN),
}


class Tape:
    """What happened to the files of one folder, in order.

    Attributes:
        fault: the operation that fails, None for none.
        failed: what failed so far, in words.
    """

    def __init__(self, folder: Path, fault: Fault | None = None) -> None:
        self.folder = folder
        self.ops: list[Op] = []
        self.fault = fault
        self.failed: list[str] = []
        self.counted = dict.fromkeys(KINDS, 0)
        self.files: dict[str, int] = {}
        self._next = 0
        for path in sorted(folder.rglob("*")):
            # What is there before the recording is safe on the disk.
            if path.is_file() and not path.name.endswith("-shm"):
                self._next += 1
                self.files[self.name_of(str(path))] = self._next
                self.ops.append(Op("there", self._next, data=path.read_bytes(), name=self.name_of(str(path))))

    def holds(self, path: str) -> bool:
        return str(path).startswith(f"{self.folder}{os.sep}")

    def name_of(self, path: str) -> str:
        return os.path.relpath(path, self.folder)

    def file_of(self, path: str, *, is_new: bool) -> int:
        name = self.name_of(path)
        if is_new:
            self._next += 1
            self.files[name] = self._next
            self.ops.append(Op("create", self._next, name=name))
        return self.files[name]

    def deleted(self, path: str) -> None:
        name = self.name_of(path)
        if self.files.pop(name, None) is not None:
            self.ops.append(Op("delete", name=name))

    def renamed(self, path: str, other: str) -> None:
        name, new = self.name_of(path), self.name_of(other)
        self.files[new] = self.files.pop(name)
        self.ops.append(Op("rename", name=name, other=new))

    def acked(self, what: str) -> None:
        self.ops.append(Op("acked", name=what))

    def step(self, what: str, name: str) -> None:
        """Count an operation, and fail where it is its turn."""
        for kind, (whats, error, code) in KINDS.items():
            if what not in whats:
                continue
            number = self.counted[kind]
            self.counted[kind] += 1
            fault = self.fault
            if fault is None or fault.kind != kind:
                continue
            if number == fault.at or (fault.is_sticky and number > fault.at):
                self.failed.append(f"{what} {name}")
                broken = error(fault.kind)
                broken.extendedresult = code
                raise broken


class _Vfs(apsw.VFS):
    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.name = f"tape{next(_NAMES)}"
        super().__init__(self.name, "unix")

    def xOpen(self, name, flags):  # noqa: N802 - apsw's name
        return _File(self.tape, name, flags)

    def xDelete(self, name, syncdir):  # noqa: N802 - apsw's name
        super().xDelete(name, syncdir)
        self.tape.deleted(name)
        if syncdir:
            self.tape.ops.append(Op("sync folder"))


class _File(apsw.VFSFile):
    def __init__(self, tape, name, flags):
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        # A file without a name is SQLite's own scratch paper: no start will ever look at it.
        self.tape = tape if path else None
        self.path = path
        is_new = bool(path) and bool(flags[0] & apsw.SQLITE_OPEN_CREATE) and not Path(path).exists()
        if path:
            tape.step("open", tape.name_of(path))
        super().__init__("unix", name, flags)
        if path:
            self.label = tape.name_of(path)
            self.file = tape.file_of(path, is_new=is_new)
            kinds = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL
            # SQLite's unix file system brings the name of a new log to the disk with the log's first flush.
            self.is_name_unsynced = is_new and bool(flags[0] & kinds)

    def xRead(self, amount, offset):  # noqa: N802 - apsw's name
        if self.tape:
            self.tape.step("read", self.label)
        return super().xRead(amount, offset)

    def xWrite(self, data, offset):  # noqa: N802 - apsw's name
        if self.tape:
            self.tape.step("write", self.label)
        super().xWrite(data, offset)
        if self.tape:
            self.tape.ops.append(Op("write", self.file, offset, bytes(data)))

    def xTruncate(self, size):  # noqa: N802 - apsw's name
        if self.tape:
            self.tape.step("size", self.label)
        super().xTruncate(size)
        if self.tape:
            self.tape.ops.append(Op("size", self.file, size))

    def xSync(self, flags):  # noqa: N802 - apsw's name
        if self.tape:
            try:
                self.tape.step("sync", self.label)
            except apsw.Error:
                self.tape.ops.append(Op("failed sync", self.file))
                raise
        super().xSync(flags)
        if self.tape:
            self.tape.ops.append(Op("sync", self.file))
            if self.is_name_unsynced:
                self.tape.ops.append(Op("sync folder"))
                self.is_name_unsynced = False


class _Cursor:
    """A cursor as the standard library's driver has it, over one of ``apsw``."""

    arraysize = 1

    def __init__(self, connection: _Connection) -> None:
        self.connection = connection
        self.description: tuple[tuple[object, ...], ...] | None = None
        self.rowcount = -1
        self.lastrowid = None
        self._rows: list[tuple[object, ...]] = []

    def execute(self, statement: str, values: Sequence[object] = ()) -> _Cursor:
        return self._do(lambda cursor: cursor.execute(statement, tuple(values)), statement)

    def executemany(self, statement: str, rows: Sequence[Sequence[object]]) -> _Cursor:
        return self._do(lambda cursor: cursor.executemany(statement, rows), statement)

    def _do(self, call: Callable[[apsw.Cursor], apsw.Cursor], statement: str) -> _Cursor:
        self._rows, self.description = self.connection.do(call, statement)
        is_change = statement.lstrip()[:6].upper() in ("INSERT", "UPDATE", "DELETE")
        self.rowcount = self.connection.apsw.changes() if is_change else -1
        return self

    def fetchall(self) -> list[tuple[object, ...]]:
        rows, self._rows = self._rows, []
        return rows

    def fetchone(self) -> tuple[object, ...] | None:
        return self._rows.pop(0) if self._rows else None

    def fetchmany(self, size: int = 1) -> list[tuple[object, ...]]:
        rows, self._rows = self._rows[:size], self._rows[size:]
        return rows

    def __iter__(self) -> Iterator[tuple[object, ...]]:
        return iter(self.fetchall())

    def close(self) -> None:
        self._rows = []


class _Connection(sqlite3.Connection):
    """The standard library's connection to anyone who asks; what it is told goes to ``apsw``."""

    def __init__(self, vfs: _Vfs, database: str, *, uri: bool, timeout: float, change: dict[str, str]) -> None:
        super().__init__(":memory:", check_same_thread=False, isolation_level=None)
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | (apsw.SQLITE_OPEN_URI if uri else 0)
        self._change = change
        with _as_drivers():
            self.apsw = apsw.Connection(str(database), flags=flags, vfs=vfs.name)
        self.apsw.set_busy_timeout(int(timeout * 1000))
        self._is_committed = False
        self._limit = _AUTOCHECKPOINT_PAGES
        self.apsw.set_wal_hook(self._committed)

    def _committed(self, connection: apsw.Connection, schema: str, pages: int) -> int:
        # What SQLite's own hook does, which ignores what comes of it. It is done here, so that what fails in it does
        # not reach the caller as an exception of the commit that has been made.
        self._is_committed = True
        if self._limit and pages >= self._limit:
            with suppress(apsw.Error):
                connection.wal_checkpoint(schema)
        return apsw.SQLITE_OK

    def do(self, call: Callable[[apsw.Cursor], apsw.Cursor], statement: str):
        statement = statement.strip()
        if (other := self._change.get(statement)) is not None:
            return self.do(lambda cursor: cursor.execute(other), other)
        described: list[tuple[tuple[object, ...], ...]] = []

        def trace(cursor: apsw.Cursor, _statement: str, _values: object) -> bool:
            described.append(cursor.get_description())
            return True

        cursor = self.apsw.cursor()
        cursor.exec_trace = trace
        with _as_drivers():
            rows = list(call(cursor))
        if statement.startswith("PRAGMA wal_autocheckpoint="):
            self._limit = int(statement.partition("=")[2])
            self.apsw.set_wal_hook(self._committed)
        columns = described[0] if described else ()
        return rows, tuple((name, *[None] * 6) for name, _kind in columns) or None

    @property
    def in_transaction(self) -> bool:
        return self.apsw.in_transaction

    def cursor(self, *_: object) -> _Cursor:
        return _Cursor(self)

    def execute(self, statement: str, values: Sequence[object] = ()) -> _Cursor:
        return _Cursor(self).execute(statement, values)

    def executemany(self, statement: str, rows: Sequence[Sequence[object]]) -> _Cursor:
        return _Cursor(self).executemany(statement, rows)

    def commit(self) -> None:
        if self.in_transaction:
            self.execute("COMMIT")

    def rollback(self) -> None:
        if self.in_transaction:
            self.execute("ROLLBACK")

    def close(self) -> None:
        # What fails in the last checkpoint is nobody's business any more, as with the standard library's driver.
        with suppress(apsw.Error):
            self.apsw.close()
        super().close()


_DRIVERS: tuple[tuple[type[apsw.Error], type[sqlite3.Error]], ...] = (
    (apsw.ConstraintError, sqlite3.IntegrityError),
    (apsw.CorruptError, sqlite3.DatabaseError),
    (apsw.NotADBError, sqlite3.DatabaseError),
    (apsw.Error, sqlite3.OperationalError),
)


@contextmanager
def _as_drivers() -> Iterator[None]:
    try:
        yield
    except apsw.Error as error:
        kind = next(ours for theirs, ours in _DRIVERS if isinstance(error, theirs))
        told = kind(str(error))
        told.sqlite_errorcode = getattr(error, "extendedresult", apsw.SQLITE_ERROR)
        raise told from error


@contextmanager
def recorded(tape: Tape, change: dict[str, str] | None = None, *, but: str = "") -> Iterator[None]:
    """Let everything that SQLite and the journal's own files write in the tape's folder pass through the tape.

    Args:
        tape: what is recorded to.
        change: statements that are given to SQLite in place of others.
        but: a database that is left out, by a part of its name.
    """
    vfs = _Vfs(tape)
    real = sqlite3.connect

    def connect(database, timeout: float = 5.0, *, uri: bool = False, **more) -> sqlite3.Connection:
        if but and but in str(database):
            return real(database, timeout, uri=uri, **more)
        return _Connection(vfs, database, uri=uri, timeout=timeout, change=change or {})

    with pytest.MonkeyPatch.context() as patched:
        for module in (sqlite3, sqlite3.dbapi2):
            patched.setattr(module, "connect", connect)
        _watch_names(tape, patched)
        yield
    vfs.unregister()


def _watch_names(tape: Tape, patched: pytest.MonkeyPatch) -> None:
    opened: dict[int, int] = {}
    real_open, real_pwrite, real_fsync, real_close = os.open, os.pwrite, os.fsync, os.close
    real_replace, real_unlink = os.replace, os.unlink
    folder = 0

    def open_(path, flags, *more, **named) -> int:
        path = str(path)
        is_new = bool(flags & os.O_CREAT) and not Path(path).exists()
        descriptor = real_open(path, flags, *more, **named)
        if tape.holds(path) or path == str(tape.folder):
            opened[descriptor] = folder if Path(path).is_dir() else tape.file_of(path, is_new=is_new)
            if flags & os.O_TRUNC:
                tape.ops.append(Op("size", opened[descriptor], 0))
        return descriptor

    def pwrite(descriptor: int, data: bytes, at: int) -> int:
        done = real_pwrite(descriptor, data, at)
        if descriptor in opened:
            tape.ops.append(Op("write", opened[descriptor], at, bytes(data)))
        return done

    def fsync(descriptor: int) -> None:
        real_fsync(descriptor)
        # The anchor's own thread flushes when it likes. Without its flushes the states are always the same ones, and
        # more of them: a flush only takes states away.
        if descriptor in opened and threading.current_thread() is threading.main_thread():
            file = opened[descriptor]
            tape.ops.append(Op("sync folder") if file == folder else Op("sync", file))

    def close(descriptor: int) -> None:
        opened.pop(descriptor, None)
        real_close(descriptor)

    def replace(path, other) -> None:
        real_replace(path, other)
        if tape.holds(path):
            tape.renamed(str(path), str(other))

    def unlink(path, **named) -> None:
        real_unlink(path, **named)
        if tape.holds(path):
            tape.deleted(str(path))

    for name, watched in (
        ("open", open_),
        ("pwrite", pwrite),
        ("fsync", fsync),
        ("close", close),
        ("replace", replace),
        ("unlink", unlink),
    ):
        patched.setattr(os, name, watched)
