"""One writer a journal: a lock that the operating system drops with the process, whatever ends it (I7)."""

from __future__ import annotations

import fcntl
import os
import select
import socket
from pathlib import Path

from fsm_trader.errors import JournalBusyError, SetupError

_TRIES = 5
_TRY_AGAIN_S = 0.05


class WriterLock:
    """Hold ``<file>.lock`` for the life of the process.

    Raises:
        JournalBusyError: another process holds it; the message says which.
        SetupError: the lock file cannot be made.
    """

    def __init__(self, file: Path) -> None:
        self._path = file.with_name(file.name + ".lock")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SetupError.at(str(self._path), f"the lock file cannot be made: {error.strerror}") from error
        if not self._take():
            holder = os.pread(self._descriptor, 200, 0).decode(errors="replace").strip() or "an unnamed process"
            os.close(self._descriptor)
            raise JournalBusyError(
                f"{file}: held by {holder}; expected to be its only writer. This process did nothing."
            )
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)

    def _take(self) -> bool:
        for _ in range(_TRIES):
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                # A reader that looks who holds the lock holds it for an instant itself.
                select.select([], [], [], _TRY_AGAIN_S)
            else:
                return True
        return False

    def release(self) -> None:
        """Let the next process in."""
        os.close(self._descriptor)


def holder_of(file: Path) -> str | None:
    """Say which process holds the lock of *file*, None when none does."""
    path = file.with_name(file.name + ".lock")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "an unnamed process"
    finally:
        os.close(descriptor)
    return None
