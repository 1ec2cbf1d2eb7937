"""One writer a journal: a lock that the operating system drops with the process, whatever ends it (I7)."""

from __future__ import annotations

import fcntl
import os
import select
import socket
from contextlib import suppress
from pathlib import Path

from fsm_trader.errors import JournalBusyError, SetupError

_TRIES = 5
_TRY_AGAIN_S = 0.05
_ALL_READ = 0o644


class WriterLock:
    """Hold ``<file>.lock`` for the life of the process.

    Raises:
        JournalBusyError: another process holds it; the message says which.
        SetupError: the lock file cannot be made.
    """

    def __init__(self, file: Path) -> None:
        path = lock_of(file)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _ALL_READ)
        except OSError as error:
            raise SetupError.at(str(path), f"the lock file cannot be made: {error.strerror}") from error
        if not self._take():
            holder = os.pread(self._descriptor, 200, 0).decode(errors="replace").strip() or "an unnamed process"
            os.close(self._descriptor)
            raise JournalBusyError(
                f"{file}: held by {holder}; expected to be its only writer. This process did nothing."
            )
        # Other users may see who holds it, whatever the umask; a file that is another user's keeps its mode.
        with suppress(PermissionError):
            os.fchmod(self._descriptor, _ALL_READ)
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


def lock_of(file: Path) -> Path:
    """Return the lock file of a file."""
    return file.with_name(file.name + ".lock")


def holder_of(file: Path) -> str | None:
    """Say which process holds the lock of *file*, None when none does.

    Where this user may not look, nobody can say that none does: the answer tells so.
    """
    path = lock_of(file)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return f"perhaps a process that cannot be seen: {path} cannot be read ({error.strerror})"
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "an unnamed process"
    finally:
        os.close(descriptor)
    return None
