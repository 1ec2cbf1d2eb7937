"""Room on the disk that is kept for the day the disk is full: it is given up so that positions can still be left.

It knows a file and how large it is, and nothing of what needs the room.
"""

from __future__ import annotations

import os
from pathlib import Path

BALLAST_BYTES = 1 << 20
_BLOCK = bytes(1 << 16)


class Ballast:
    """A file beside the journal, ``<journal>.ballast``, that holds nothing but room.

    Args:
        journal: the journal's file; its folder exists.
        size: in bytes.
    """

    def __init__(self, journal: Path, size: int) -> None:
        self._path = path_of(journal)
        self._size = size

    def lay(self) -> str:
        """Take the room on the disk, durably, where it is not taken already; say in words why it cannot be had.

        What was taken of it is given back then: little room is better used than kept.
        """
        try:
            if self._path.is_file() and self._path.stat().st_size >= self._size:
                return ""
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                _fill(file, self._size)
                os.fsync(file)
            finally:
                os.close(file)
        except OSError as error:
            self.give_up()
            return (
                f"{self._path}: {self._size:,} bytes could not be set aside: {error.strerror}. Should the disk run "
                "full, nothing is left to leave a position with."
            )
        return ""

    def give_up(self) -> bool:
        """Give the room back; False where there was none."""
        try:
            self._path.unlink()
        except OSError:
            # Without a ballast, or in a folder that cannot be changed, there is no room to be had.
            return False
        return True


def path_of(journal: Path) -> Path:
    """Return where the ballast of a journal file lies."""
    return journal.with_name(journal.name + ".ballast")


def _fill(file: int, size: int) -> None:
    # Written, not only promised: a file with holes takes no room. Where the system can allocate blocks, it does.
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
        return
    for place in range(0, size, len(_BLOCK)):
        os.pwrite(file, _BLOCK[: size - place], place)
