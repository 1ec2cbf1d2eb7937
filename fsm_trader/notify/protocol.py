"""The Notifier protocol: told of committed facts only, and never able to delay or stop trading."""

from __future__ import annotations

from typing import Protocol

import msgspec


class Notice(msgspec.Struct, frozen=True):
    """One message to a person.

    Args:
        key: unique for the fact it tells of (journal sequence and kind); a key is told once.
        text: plain text, a few lines.
        critical: True for what needs a person now.
    """

    key: str
    text: str
    critical: bool = False


class Notifier(Protocol):
    """Takes notices; returns at once."""

    def tell(self, notice: Notice) -> None:
        """Queue a notice. Never blocks and never raises; what is dropped is counted and said in the log."""
        ...

    def close(self, timeout_s: float) -> None:
        """Deliver what is queued, for at most *timeout_s* seconds, and stop."""
        ...
