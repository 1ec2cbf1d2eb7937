"""What stands guard over the file of a journal: that it is still there, whole at its end, and has room to go on.

It knows files, numbers and hashes; it does not know rows or databases.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fsm_trader.errors import VerificationError
from fsm_trader.journal.anchor import Anchor, Anchored, damage_of, missing, read_anchor
from fsm_trader.journal.ballast import Ballast
from fsm_trader.journal.place import Place

# Where SQLite cannot start its log over, a reader holds on to what is in it.
LONG_LOG_BYTES = 64 << 20


class Guard:
    """Watches one journal file for its one writer.

    Args:
        file: the journal, opened: its log is there.
        head: its newest row.
        hash_of: looks up the hash of a row, None where there is no such row.
        lock: the lock file that makes this process the one writer, None where there is none.
        ballast: bytes of room to keep, 0 for none.

    Attributes:
        damage: what the anchor says against the journal, in words; empty when they agree.
        troubles: what made the journal less safe than promised, in words; whoever tells it takes it out.
        remarks: what a person should see to, though nothing is less safe for it; likewise.

    Raises:
        OSError: a file cannot be seen, made or written.
    """

    def __init__(
        self, file: Path, head: Anchored, hash_of: Callable[[int], str | None], *, lock: Path | None, ballast: int
    ) -> None:
        self._file = file
        self._place = Place()
        self._log = file.with_name(file.name + "-wal")
        for path in (file, self._log, *([] if lock is None else [lock])):
            self._place.watch(path)
        self.damage = _damage(file, head, hash_of)
        # Where rows may be gone nothing is claimed before the first commit has told so.
        self._anchor = Anchor(file, None if self.damage else head)
        self._is_anchor_behind = False
        self._ballast = Ballast(file, ballast) if ballast else None
        why_none = "" if self._ballast is None else self._ballast.lay()
        self.troubles = [why_none] if why_none else []
        self.remarks: list[str] = []
        self._is_log_long = False

    def lost(self) -> str:
        """Say why this process is not the one writer any more, or empty."""
        return self._place.fault()

    def note(self, seq: int, head: str) -> None:
        """Remember the journal's newest row outside of it."""
        try:
            self._anchor.note(seq, head)
        except OSError as error:
            if not self._is_anchor_behind:
                self.troubles.append(
                    f"journal {self._file}: its anchor cannot be written: {error}. Rows that get lost from here on "
                    "would not be missed."
                )
            self._is_anchor_behind = True

        self._look_at_log()

    def _look_at_log(self) -> None:
        is_long = self._place.size(self._log) > LONG_LOG_BYTES
        if is_long and not self._is_log_long:
            self.remarks.append(
                f"journal {self._file}: its log has grown to {self._place.size(self._log):,} bytes, because another "
                "program keeps reading the journal in one transaction. No row is in danger, but the disk may run full: "
                "end that program"
            )
        self._is_log_long = is_long

    def make_room(self) -> bool:
        """Give the ballast up because the disk is full; False where there is none to give."""
        if self._ballast is None or not self._ballast.give_up():
            return False
        self._ballast = None
        self.troubles.append(
            f"journal {self._file}: the disk is full. The room that was set aside is in use now, to leave positions "
            "with; free some, and start again."
        )
        return True

    def close(self) -> None:
        """Let go of the files."""
        self._anchor.close()


def _damage(file: Path, head: Anchored, hash_of: Callable[[int], str | None]) -> tuple[str, ...]:
    try:
        anchored = read_anchor(file)
    except VerificationError as error:
        return (str(error),)
    if anchored is None:
        return (missing(file, head),) if head.seq else ()
    found = damage_of(file, anchored, head, hash_of)
    return (found,) if found else ()
