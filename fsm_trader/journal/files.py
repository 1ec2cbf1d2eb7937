"""The files of a journal and what their file system lets be done with them. It knows names, and nothing of contents."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from fsm_trader.errors import SetupError


def is_still(journal: Path) -> bool:
    """Tell whether a journal lies where this process cannot write, without a log: the file alone is all there is."""
    return not os.access(journal.parent, os.W_OK) and not _has_log(journal)


def why_unreadable(journal: Path) -> str:
    """Say why a journal that is there and whole may not be readable, or empty."""
    index = journal.with_name(journal.name + "-shm")
    if os.access(journal.parent, os.W_OK) or not _has_log(journal) or index.exists():
        return ""
    log = journal.name + "-wal"
    return f"; its log {log} can only be read where its folder can be written: copy both files to one of your own"


def _has_log(journal: Path) -> bool:
    try:
        return journal.with_name(journal.name + "-wal").stat().st_size > 0
    except OSError:
        return False


def refuse_absent(journal: Path) -> None:
    """Refuse to read where no file is.

    Raises:
        SetupError: there is none, or that cannot be seen.
    """
    try:
        is_there = stat.S_ISREG(journal.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        is_there = False
    except OSError as error:
        raise SetupError.at(str(journal), f"cannot be looked for: {error.strerror}; expected a journal") from error
    if not is_there:
        raise SetupError.at(str(journal), "no journal here yet; expected the file a run writes")


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they are missing, in such a way that a power cut leaves them there.

    Raises:
        OSError: one cannot be made, or not be brought to the disk.
    """
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        sync_folder(each.parent)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk.

    Raises:
        OSError: that failed.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
