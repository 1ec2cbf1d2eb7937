"""Whether the files that are written to are still the ones that stand under their names (I7).

A file that was renamed, deleted or replaced goes on taking writes, "successfully", where nobody will find them. The
device and number of what stands under the name tell. It knows names and nothing of what is in the files.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

# Where a file's times were looked at, current Linux kernels write them anew with the next change, which makes a commit
# a third dearer. A burst of commits, a decision and its answers, is therefore looked at once.
LOOK_EVERY_S = 0.1


class Place:
    """The files of one journal, as they were when each was first looked at.

    Args:
        now_s: seconds of a clock that nobody sets, for how long ago the last look was.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._known: list[tuple[Path, int, int]] = []
        self._now_s = now_s
        self._look_at_s = 0.0
        self._fault = ""
        self._sizes: dict[Path, int] = {}

    def watch(self, path: Path) -> None:
        """Remember what stands under a name now.

        Raises:
            OSError: nothing stands there, or it cannot be seen.
        """
        found = path.stat()
        self._known.append((path, found.st_ino, found.st_dev))

    def fault(self) -> str:
        """Say which file is not under its name any more, or empty; looked at ten times a second at the most.

        What was found once stays: a file that was put back may have missed what was written meanwhile.
        """
        now_s = self._now_s()
        if not self._fault and now_s >= self._look_at_s:
            self._look_at_s = now_s + LOOK_EVERY_S
            self._fault = next(filter(None, map(self._fault_of, self._known)), "")
        return self._fault

    def size(self, path: Path) -> int:
        """Return how many bytes a watched file had when it was last looked at."""
        return self._sizes.get(path, 0)

    def _fault_of(self, known: tuple[Path, int, int]) -> str:
        path, number, device = known
        try:
            found = path.stat()
        except OSError as error:
            return f"{path} cannot be found any more ({error.strerror})"
        self._sizes[path] = found.st_size
        return "" if (found.st_ino, found.st_dev) == (number, device) else f"{path} was replaced by another file"
