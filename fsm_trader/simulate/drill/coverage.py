"""What the days of a drill came by: transitions taken, what the broker did, where processes ended. Only sums."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from fsm_trader.core.ledger import Ledger
from fsm_trader.core.records import (
    CancelAnswered,
    Entry,
    EntryBlocked,
    OrderAnswered,
    OrderSeen,
    Reconciled,
    SessionMoved,
    TradeMoved,
)
from fsm_trader.machines.spec import MachineSpec
from fsm_trader.simulate.drill.scenario import EDITED


class Coverage(msgspec.Struct):
    """Counts.

    Args:
        moves: by machine, trigger, source, dest and reason.
        outcomes: what the broker did and what was made of it, by name.
        ends: by the state of the trade (``none`` where none was open) and the boundary at which a process ended.
    """

    moves: Counter[tuple[str, str, str, str, str]] = msgspec.field(default_factory=Counter)
    outcomes: Counter[str] = msgspec.field(default_factory=Counter)
    ends: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)

    def add(self, other: Coverage) -> None:
        """Add the counts of another day."""
        self.moves += other.moves
        self.outcomes += other.outcomes
        self.ends += other.ends

    def read(self, entries: Iterable[Entry]) -> None:
        """Count what the rows of a day tell."""
        for entry in entries:
            record = entry.record
            match record:
                case TradeMoved():
                    self.moves[
                        "trade", record.trigger, record.source, record.dest, record.reason.removesuffix(EDITED)
                    ] += 1
                case SessionMoved():
                    self.moves["session", record.trigger, record.source, record.dest, record.reason] += 1
                case OrderAnswered():
                    self.outcomes[f"answer {record.answer}"] += 1
                case CancelAnswered():
                    self.outcomes[f"cancel answer {record.answer}"] += 1
                case OrderSeen():
                    self.outcomes[f"order {record.report.status}"] += 1
                case Reconciled():
                    self.outcomes.update(f"found {found.rule}" for found in record.findings)
                case EntryBlocked():
                    self.outcomes["entry blocked"] += 1
                case _:
                    pass

    def ended(self, ledger: Ledger, boundary: str) -> None:
        """Count the end of a process."""
        states = {trade.state for trade in ledger.open_trades} or {"none"}
        self.ends.update((state, boundary) for state in states)


def never_taken(coverage: Coverage, spec: MachineSpec) -> list[str]:
    """Name the transitions that leave a state or act, and were never taken; ones that only look leave no row."""
    missing = []
    for move in spec.transitions:
        if move.dest is None and not move.after and not move.before:
            continue
        if spec.kind == "session" and move.dest is None:
            continue  # Rows are written for changes of state only.
        for source in move.sources:
            key = (spec.kind, move.trigger, source, move.dest or source, move.reason)
            if not coverage.moves[key]:
                missing.append(f"{move.trigger}: {source} -> {move.dest or source} ({move.reason or 'no reason'})")
    return missing
