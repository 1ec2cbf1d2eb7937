"""The paper broker's own file: a world that outlives the trader, with its orders, fills and clock.

Orders are safe on the disk before anyone is told of them; the clock alone is saved more cheaply and survives the end of
the process, though perhaps not a power cut. It must not know matching or faults, and nothing of the trader's journal.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Self

import msgspec

from fsm_trader.broker.paper.matching import Progress
from fsm_trader.broker.paper.order import PaperOrder
from fsm_trader.core.orders import Fill
from fsm_trader.errors import SetupError, UnavailableError

SCHEMA_VERSION = 1
_APPLICATION_ID = 0x46535442  # "FSTB": marks the file as a paper book of ours.
_BUSY_TIMEOUT_S = 5.0
_SCHEMA = """
CREATE TABLE plays (
    play INTEGER PRIMARY KEY,
    day TEXT NOT NULL,
    now TEXT NOT NULL,
    finished INTEGER NOT NULL CHECK (finished IN (0, 1))
);
CREATE TABLE orders (
    order_id TEXT PRIMARY KEY,
    play INTEGER NOT NULL REFERENCES plays,
    number INTEGER NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (play, number)
);
CREATE TABLE fills (
    fill_id TEXT PRIMARY KEY,
    play INTEGER NOT NULL REFERENCES plays,
    order_id TEXT NOT NULL REFERENCES orders,
    body BLOB NOT NULL
);
"""


class World(msgspec.Struct, frozen=True):
    """Where the present play stands.

    Args:
        play: number of the play, from 1, over the whole life of the book.
        day: the trading day that is played.
        now: the world's present, aware; read back from the file it has a fixed offset instead of a named zone.
        finished: True once the day was played to its end.
    """

    play: int
    day: date
    now: datetime
    finished: bool

    @property
    def id_prefix(self) -> str:
        """What the order ids of this play begin with: the day and the play's number."""
        return f"{self.day:%y%m%d}{self.play:03d}"


class PaperBook:
    """The file of a paper broker; one process at a time. Safe to call from several threads.

    Args:
        path: SQLite file; it and its folder are made when absent, and ``<path>.lock`` beside it.

    Raises:
        SetupError: the file is damaged, of another program or of another version, cannot be opened, or is in use by
            another process, which is named.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._lock_fd = _take_lock(path)
        try:
            self._connection = _open(path)
            self._world = self._read_world()
        except BaseException:
            os.close(self._lock_fd)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    @property
    def world(self) -> World | None:
        """The present play, None in a new book."""
        with self._lock:
            return self._world

    def begin(self, day: date, now: datetime) -> World:
        """Begin the next play, with no orders, and return its world. Durable on return.

        Raises:
            UnavailableError: the file cannot be written; nothing changed.
        """
        with self._lock:
            play = self._world.play + 1 if self._world else 1
            world = World(play, day, now, finished=False)
            with self._durable() as connection:
                connection.execute(
                    "INSERT INTO plays (play, day, now, finished) VALUES (?, ?, ?, 0)",
                    (play, day.isoformat(), now.isoformat()),
                )
            self._world = world
            return world

    def load(self) -> Progress:
        """Return the orders and fills of the present play and how far it has come.

        Raises:
            SetupError: no play was begun, or a row cannot be read.
        """
        with self._lock:
            world = self._begun()
            try:
                orders = self._rows("SELECT body FROM orders WHERE play = ? ORDER BY number", world.play)
                fills = self._rows("SELECT body FROM fills WHERE play = ? ORDER BY rowid", world.play)
                return Progress(
                    world.now,
                    tuple(msgspec.json.decode(body, type=PaperOrder) for body in orders),
                    tuple(msgspec.json.decode(body, type=Fill) for body in fills),
                )
            except (sqlite3.Error, msgspec.MsgspecError) as error:
                raise _unusable(self._path, f"a row of play {world.play} cannot be read ({error})") from error

    def commit(self, progress: Progress) -> None:
        """Save changed orders, new fills and the world's present in one transaction. Durable on return.

        Raises:
            UnavailableError: the file cannot be written; nothing of this call is in it.
        """
        with self._lock:
            world = self._moved(progress.now)
            orders = [
                (order.order_id, world.play, order.number, msgspec.json.encode(order)) for order in progress.orders
            ]
            fills = [(fill.fill_id, world.play, fill.order_id, msgspec.json.encode(fill)) for fill in progress.fills]
            with self._durable() as connection:
                connection.executemany(
                    "INSERT INTO orders (order_id, play, number, body) VALUES (?, ?, ?, ?) "
                    "ON CONFLICT (order_id) DO UPDATE SET body = excluded.body",
                    orders,
                )
                connection.executemany("INSERT INTO fills (fill_id, play, order_id, body) VALUES (?, ?, ?, ?)", fills)
                _write_world(connection, world)
            self._world = world

    def save_now(self, now: datetime) -> None:
        """Save the world's present alone; cheap, and survives the end of the process. It never goes back.

        Raises:
            UnavailableError: the file cannot be written.
        """
        with self._lock:
            if now <= self._begun().now:
                return
            world = self._moved(now)
            with self._transaction() as connection:
                _write_world(connection, world)
            self._world = world

    def finish(self, now: datetime) -> None:
        """Note that the day was played to its end. Durable on return.

        Raises:
            UnavailableError: the file cannot be written; nothing changed.
        """
        with self._lock:
            world = msgspec.structs.replace(self._moved(now), finished=True)
            with self._durable() as connection:
                _write_world(connection, world)
            self._world = world

    def played_days(self) -> tuple[date, ...]:
        """Return the days that were played to their end, each once, oldest first."""
        with self._lock:
            rows = self._connection.execute("SELECT DISTINCT day FROM plays WHERE finished = 1 ORDER BY day").fetchall()
        return tuple(date.fromisoformat(day) for (day,) in rows)

    def close(self) -> None:
        """Close the file and let others have it; closing again does nothing."""
        with self._lock:
            if self._lock_fd < 0:
                return
            self._connection.close()
            os.close(self._lock_fd)
            self._lock_fd = -1

    def _rows(self, query: str, play: int) -> list[bytes]:
        return [body for (body,) in self._connection.execute(query, (play,))]

    def _read_world(self) -> World | None:
        try:
            row = self._connection.execute(
                "SELECT play, day, now, finished FROM plays ORDER BY play DESC LIMIT 1"
            ).fetchone()
            if row is None:
                return None
            world = World(row[0], date.fromisoformat(row[1]), datetime.fromisoformat(row[2]), bool(row[3]))
        except (sqlite3.Error, ValueError, TypeError) as error:
            self._connection.close()
            raise _unusable(self._path, f"the present play cannot be read ({error})") from error
        return world

    def _begun(self) -> World:
        if self._world is None:
            raise _unusable(self._path, "no play was begun in it")
        return self._world

    def _moved(self, now: datetime) -> World:
        world = self._begun()
        return msgspec.structs.replace(world, now=max(world.now, now))

    @contextmanager
    def _durable(self) -> Iterator[sqlite3.Connection]:
        with self._reported():
            self._connection.execute("PRAGMA synchronous = FULL")
        try:
            with self._transaction() as connection:
                yield connection
        finally:
            with self._reported():
                self._connection.execute("PRAGMA synchronous = NORMAL")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection
        with self._reported():
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise UnavailableError(
                f"paper book {self._path}: {error}; expected a file that can be written; nothing of this step was saved"
            ) from error


def _write_world(connection: sqlite3.Connection, world: World) -> None:
    connection.execute(
        "UPDATE plays SET now = ?, finished = ? WHERE play = ?", (world.now.isoformat(), world.finished, world.play)
    )


def _unusable(path: Path, seen: str) -> SetupError:
    return SetupError.at(
        str(path), f"{seen}; expected a paper book of version {SCHEMA_VERSION} (move the file away to begin a new one)"
    )


def _take_lock(path: Path) -> int:
    lock_path = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock_fd = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise SetupError.at(
            str(lock_path), f"cannot be opened ({error.strerror}); expected a folder to write in"
        ) from error
    try:
        # The system lets go of the lock when the process ends, however it ends.
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(lock_fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(lock_fd)
        raise SetupError.at(str(path), f"in use by the process with pid {holder}; expected no other user") from error
    os.ftruncate(lock_fd, 0)
    os.pwrite(lock_fd, f"{os.getpid()}\n".encode(), 0)
    return lock_fd


def _open(path: Path) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise _unusable(path, f"cannot be opened ({error})") from error
    try:
        _prepare(path, connection)
    except sqlite3.Error as error:
        connection.close()
        raise _unusable(path, f"cannot be read ({error})") from error
    except SetupError:
        connection.close()
        raise
    return connection


def _prepare(path: Path, connection: sqlite3.Connection) -> None:
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables == 0:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(
            f"BEGIN; {_SCHEMA} PRAGMA application_id = {_APPLICATION_ID}; "
            f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        )
    elif owner != _APPLICATION_ID:
        raise _unusable(path, f"a database of another program (application id {owner:#x})")
    elif version != SCHEMA_VERSION:
        raise _unusable(path, f"a paper book of version {version}")
    (health,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if health != "ok":
        raise _unusable(path, f"a damaged database ({health})")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = NORMAL")
    # A short log: on a full disk it would eat what is set aside for the journal.
    connection.execute("PRAGMA wal_autocheckpoint = 64")
