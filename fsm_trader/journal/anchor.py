"""A witness outside the journal: the newest row's number and hash, in a file of its own (I10).

A chain cannot show that its newest rows are gone: what is left of it still fits. Cut a write-ahead log, damage one byte
of it, or put an older copy of the file back, and committed rows vanish without any check of the database noticing. The
anchor remembers how far the journal had come. It knows numbers and hashes, and nothing of rows or databases.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from fsm_trader.errors import VerificationError
from fsm_trader.journal.files import sync_folder

_LOG = logging.getLogger(__name__)
# Always rewritten whole and in place, within one sector: neither a full disk nor a power cut leaves half a note.
_LENGTH = 120
_FLUSH_EVERY_S = 1.0
_CLOSE_WITHIN_S = 10.0


class Anchored(msgspec.Struct, frozen=True):
    """How far the journal was known to have come: number and hash of a row; (0, zeros) for a journal without rows."""

    seq: int
    head: str


class Anchor:
    """The anchor of one journal file, ``<journal>.anchor``; written by the journal's one writer.

    A note reaches the operating system at once, which survives the process. A thread of its own brings notes to the
    disk, at most once a second and when the anchor is closed, so that no order waits for a second flush. After a power
    cut the anchor may therefore be behind the journal, which is no damage; it is never ahead of it.

    Args:
        journal: the journal's file; its folder exists.
        start: what is noted at once, durably, where there is no anchor yet; None leaves the file as it is until the
            first note, which puts a new one in its place.

    Raises:
        OSError: the file cannot be made or written.
    """

    def __init__(self, journal: Path, start: Anchored | None) -> None:
        self._path = path_of(journal)
        self._file: int | None = None
        self._noted = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        if start is not None:
            if self._path.exists():
                self._file = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
            else:
                self._begin(start)

    def note(self, seq: int, head: str) -> None:
        """Remember the journal's newest row.

        Raises:
            OSError: the file cannot be written.
        """
        if self._file is None:
            self._begin(Anchored(seq, head))
        else:
            self._write(Anchored(seq, head))
        if self._thread is None:
            self._thread = threading.Thread(target=self._flush, name="journal anchor", daemon=True)
            self._thread.start()
        self._noted.set()

    def close(self) -> None:
        """Bring the last note to the disk and let go, within seconds whatever the disk does."""
        self._stop.set()
        self._noted.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_WITHIN_S)
        if self._file is not None and (self._thread is None or not self._thread.is_alive()):
            os.close(self._file)
        self._file = None

    def _begin(self, start: Anchored) -> None:
        """Put a new anchor in its place, whole and on the disk: one that is empty would be told as damaged."""
        part = self._path.with_name(self._path.name + ".part")
        try:
            self._file = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            self._write(start)
            os.fsync(self._file)
            part.replace(self._path)
            # Its name too: one that a power cut takes away would be told as a missing anchor.
            sync_folder(self._path.parent)
        except OSError:
            if self._file is not None:
                os.close(self._file)
            self._file = None
            part.unlink(missing_ok=True)
            raise

    def _write(self, what: Anchored) -> None:
        if self._file is None:
            raise OSError(f"{self._path} is closed")
        os.pwrite(self._file, f"{what.seq} {what.head}".ljust(_LENGTH - 1).encode() + b"\n", 0)

    def _flush(self) -> None:
        is_told = False
        while not self._stop.wait(_FLUSH_EVERY_S):
            self._noted.wait()
            self._noted.clear()
            is_told = _flushed(self._sync, self._path, is_told=is_told)
        _flushed(self._sync, self._path, is_told=is_told)

    def _sync(self) -> None:
        if self._file is not None:
            os.fsync(self._file)


def path_of(journal: Path) -> Path:
    """Return where the anchor of a journal file stands."""
    return journal.with_name(journal.name + ".anchor")


def read_anchor(journal: Path) -> Anchored | None:
    """Return what the anchor says, None where there is none.

    Raises:
        VerificationError: the file cannot be read, or holds no number and hash.
    """
    path = path_of(journal)
    try:
        with path.open("rb") as file:
            content = file.read(_LENGTH + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, error.strerror or "it cannot be read") from error
    seq, _, head = content.decode("ascii", "replace").strip().partition(" ")
    if len(content) > _LENGTH or not _is_number(seq) or not _is_hash(head):
        raise _unreadable(path, f"it holds {content[:40]!r}; expected a row's number and its hash")
    return Anchored(int(seq), head)


def damage_of(journal: Path, anchored: Anchored, head: Anchored, hash_of: Callable[[int], str | None]) -> str:
    """Hold a journal against its anchor, and return what is wrong in words; empty when they agree.

    An anchor that is behind is none: the last notes before a power cut may not have reached the disk.

    Args:
        journal: the journal's file.
        anchored: what its anchor says, read before *head* was.
        head: the newest row the journal has.
        hash_of: looks up the hash of a row by its number, None where there is no such row.
    """
    where = path_of(journal)
    if head.seq < anchored.seq:
        gone = (
            f"row {anchored.seq} is" if head.seq + 1 == anchored.seq else f"rows {head.seq + 1} to {anchored.seq} are"
        )
        return f"{where}: {journal} had come to row {anchored.seq} and ends with row {head.seq}: {gone} gone"
    found = hash_of(anchored.seq) if anchored.seq else anchored.head
    if found == anchored.head:
        return ""
    now = "has none" if found is None else f"now has {found[:12]}"
    return (
        f"{where}: row {anchored.seq} of {journal} had the hash {anchored.head[:12]} and {now}: the file was replaced "
        "or written anew"
    )


def missing(journal: Path, head: Anchored) -> str:
    """Say that a journal with rows has no anchor."""
    return (
        f"{path_of(journal)}: there is no anchor: nothing tells whether {journal} had more than its {head.seq} rows, "
        "or others"
    )


def _unreadable(path: Path, why: str) -> VerificationError:
    return VerificationError(f"{path}: the anchor is damaged: {why}: nothing tells whether the newest rows are gone")


def _flushed(sync: Callable[[], None], path: Path, *, is_told: bool = False) -> bool:
    """Flush, and return whether a failure has been told: it is told once, and tried again with the next note."""
    try:
        sync()
    except OSError as error:
        # A flush that failed says nothing of the journal, whose own flush is checked with every commit.
        if not is_told:
            _LOG.warning("anchor %s: it could not be brought to the disk: %s", path, error)
        return True
    return is_told


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18


def _is_hash(text: str) -> bool:
    return len(text) == 64 and all(digit in "0123456789abcdef" for digit in text)
