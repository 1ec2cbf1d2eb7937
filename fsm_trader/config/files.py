"""Whether something is there: a path that cannot even be asked about (too long, not ours to see) is not."""

from __future__ import annotations

from pathlib import Path


def is_file(path: Path) -> bool:
    """Return whether *path* is a file that can be seen."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_there(path: Path) -> bool:
    """Return whether *path* is a file or a folder that can be seen."""
    try:
        return path.exists()
    except OSError:
        return False
