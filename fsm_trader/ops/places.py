"""Whether a file could be written, found out without writing anything."""

from __future__ import annotations

import os
from pathlib import Path


def why_not_writable(path: Path) -> str | None:
    """Say why a file can be neither opened for writing nor made with its folders, None where nothing speaks against it.

    A disk that is full, or changes that others make meanwhile, are seen only by writing.
    """
    try:
        if path.exists():
            if path.is_fifo():
                return "it is a pipe"  # Whoever opens it for writing waits for a reader.
            return "it is a folder" if path.is_dir() else _why_not(path, os.W_OK)
        there = next(folder for folder in path.absolute().parents if folder.exists())
        return _why_not(there, os.W_OK | os.X_OK) if there.is_dir() else f"{there} is no folder"
    except OSError as error:
        return f"it cannot be looked at: {error.strerror or error}"


def _why_not(path: Path, wanted: int) -> str | None:
    return None if os.access(path, wanted) else f"{path} may not be written by this user"
