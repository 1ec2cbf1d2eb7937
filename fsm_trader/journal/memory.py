"""A journal in memory: for simulations that throw it away. It keeps the promises of order, not those of durability."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from fsm_trader.core.records import Entry, Record


class MemoryJournal:
    """Keeps entries in a list, definitions in a dict."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._definitions: dict[str, str] = {}

    def append(self, at: datetime, session: str, records: Sequence[Record]) -> tuple[Entry, ...]:
        """Add *records*; see ``journal.protocol.Journal``."""
        start = len(self.entries) + 1
        new = tuple(Entry(start + place, at, session, record) for place, record in enumerate(records))
        self.entries.extend(new)
        return new

    def define(self, digest: str, name: str, text: str) -> None:  # noqa: ARG002 - the protocol names it
        """Keep a definition."""
        self._definitions.setdefault(digest, text)

    def definition(self, digest: str) -> str | None:
        """Return a definition."""
        return self._definitions.get(digest)
