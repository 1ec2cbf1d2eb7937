"""One step of a trade in the making: what it looks at, the rows it comes to, and the jobs to start after the commit."""

from __future__ import annotations

from datetime import datetime

import msgspec

from fsm_trader.core.money import Paise
from fsm_trader.core.records import Record
from fsm_trader.core.trades import Trade, apply
from fsm_trader.engine.work import Job


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """Prices of the trade's contract that are new at one decision, in paise."""

    low: Paise | None = None
    high: Paise | None = None
    last: Paise | None = None


class Effort(msgspec.Struct):
    """What one step comes to: rows to commit, then jobs to start; *tags* are of the orders those jobs send.

    *reason* is said in place of the definition's, where the step is not one the definition could have foreseen.
    """

    trade: Trade
    now: datetime
    records: list[Record] = msgspec.field(default_factory=list)
    jobs: list[Job] = msgspec.field(default_factory=list)
    tags: list[str] = msgspec.field(default_factory=list)
    reason: str = ""

    def note(self, record: Record) -> None:
        """Add a row and fold it in at once, so that what follows sees it."""
        self.records.append(record)
        self.trade = apply(self.trade, record, self.now)
