"""Where a process may end: every boundary between the trader and the world, counted, and the journal's part of them.

It must not know what a boundary means for a trade; it counts, and ends the life that was told to end there.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from fsm_trader.core.records import Entry, OrderIntended, Record
from fsm_trader.journal.memory import MemoryJournal


class Killed(BaseException):
    """The process ends here as SIGKILL would end it: nothing may catch this but the drill."""


class Boundaries:
    """Counts the boundaries one process crosses, and ends it at the planned one.

    Args:
        die_at: number of the boundary, from 1, at which the process ends; below zero: of those crossed while a trade
            is open; None: at none.

    Attributes:
        count: boundaries crossed so far.
        last: name of the newest one.
        is_in_trade: whether a trade is open now.
    """

    def __init__(self, die_at: int | None) -> None:
        self._die_at = die_at
        self._in_trade = 0
        self.count = 0
        self.last = ""
        self.is_in_trade = False

    def cross(self, name: str) -> None:
        """Take note of a boundary.

        Raises:
            Killed: this is where the process was to end.
        """
        self.count += 1
        self.last = name
        self._in_trade += self.is_in_trade
        if self._die_at is not None and self._die_at == (self.count if self._die_at > 0 else -self._in_trade):
            raise Killed(name)


class LifeJournal:
    """The journal as one process has it: the rows outlive the process, this hold on them does not.

    Args:
        rows: what is kept.
        boundaries: of the process.
        commits: number of rows after each commit, over all processes.
        tags: of every order whose intent is committed, over all processes.
        breaches: where a dead process that writes is noted (I7).
    """

    def __init__(
        self,
        rows: MemoryJournal,
        boundaries: Boundaries,
        *,
        commits: list[int],
        tags: set[str],
        breaches: list[str],
    ) -> None:
        self._rows = rows
        self._boundaries = boundaries
        self.commits = commits
        self._tags = tags
        self._breaches = breaches
        self.is_dead = False

    def append(self, at: datetime, session: str, records: Sequence[Record]) -> tuple[Entry, ...]:
        """Add rows; a process that ends before the commit leaves none of them."""
        if self.is_dead:
            self._breaches.append(f"I7: a process that had ended wrote {records[0]!r}")
        self._boundaries.cross("journal begin")
        entries = self._rows.append(at, session, records)
        self.commits.append(len(self._rows.entries))
        self._tags |= {record.request.tag for record in records if isinstance(record, OrderIntended)}
        self._boundaries.cross("journal commit")
        return entries

    def define(self, digest: str, name: str, text: str) -> None:
        """Keep a definition."""
        self._rows.define(digest, name, text)

    def definition(self, digest: str) -> str | None:
        """Return a definition."""
        return self._rows.definition(digest)
