"""The clock as everyone sees it: aware times, handed in, never read from the machine."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Where time comes from; implementations live in ``fsm_trader.ops.clock``."""

    @property
    def is_virtual(self) -> bool:
        """True when waiting costs no real time or time is scaled: calls are then made in line, one at a time."""
        ...

    def now(self) -> datetime:
        """Return the present, aware, in the session's time zone."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let *seconds* of this clock's time pass."""
        ...

    def wait_until(self, moment: datetime) -> None:
        """Return at *moment*, or earlier when woken (real clocks only)."""
        ...

    def wake(self) -> None:
        """End a wait early; safe from any thread and from a signal handler."""
        ...
