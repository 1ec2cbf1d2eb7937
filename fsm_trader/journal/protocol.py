"""The Journal protocol: what the engine writes to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from fsm_trader.core.records import Entry, Record


class Journal(Protocol):
    """An append-only record. One writer."""

    def append(self, at: datetime, session: str, records: Sequence[Record]) -> tuple[Entry, ...]:
        """Write *records* in one transaction; durable on return, all or none.

        Raises:
            HaltError: the journal can no longer be written; nothing of this call is in it.
        """
        ...

    def define(self, digest: str, name: str, text: str) -> None:
        """Keep a machine definition under its content hash; keeping it again changes nothing."""
        ...

    def definition(self, digest: str) -> str | None:
        """Return the text kept under *digest*."""
        ...
