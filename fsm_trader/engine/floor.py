"""What every part of the engine stands on: settings, clock, journal, ledger, machines, effects."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from fsm_trader.core.clock import Clock
from fsm_trader.core.day import DayPlan
from fsm_trader.core.ledger import Ledger
from fsm_trader.core.records import Entry, Record
from fsm_trader.core.settings import Settings
from fsm_trader.engine.act import Effects
from fsm_trader.engine.work import Worker
from fsm_trader.errors import HaltError
from fsm_trader.journal.protocol import Journal
from fsm_trader.machines.run import Machine


class Observer(Protocol):
    """Told of what is committed. It must return at once and must not raise."""

    def committed(self, entries: Sequence[Entry], ledger: Ledger) -> None:
        """Take note of committed rows; *ledger* already holds them."""
        ...

    def passed(self, now: datetime) -> None:
        """Take note that the loop has reached *now*."""
        ...


class Floor:
    """The shared ground of the engine's parts.

    Args:
        trade_machines: every machine that may be needed, by definition digest: an open trade keeps its own (I8).
        trade_machine: the one new trades are opened under.

    Attributes:
        leaving: the process was told to end and to flatten first (``on_stop: flatten``).
        fault: a defect that was met, empty while none was; no entry is taken with one.
    """

    def __init__(  # noqa: PLR0913 - the one place where everything meets, all by name
        self,
        *,
        settings: Settings,
        plan: DayPlan,
        session: str,
        clock: Clock,
        journal: Journal,
        ledger: Ledger,
        effects: Effects,
        worker: Worker,
        session_machine: Machine,
        trade_machine: Machine,
        trade_machines: dict[str, Machine],
        observers: Sequence[Observer] = (),
    ) -> None:
        self.settings = settings
        self.plan = plan
        self.session = session
        self.clock = clock
        self.ledger = ledger
        self.effects = effects
        self.worker = worker
        self.session_machine = session_machine
        self.trade_machine = trade_machine
        self._trade_machines = trade_machines
        self._journal = journal
        self._observers = tuple(observers)
        self.leaving = False
        self.fault = ""

    def commit(self, *records: Record) -> None:
        """Write records in one transaction; only then does anything know of them.

        Raises:
            HaltError: the journal cannot be written; nothing of this step happened.
        """
        entries = self._journal.append(self.clock.now(), self.session, records)
        for entry in entries:
            self.ledger.apply(entry)
        for observer in self._observers:
            observer.committed(entries, self.ledger)

    def passed(self, now: datetime) -> None:
        """Tell the observers how far the loop is."""
        for observer in self._observers:
            observer.passed(now)

    def machine_of(self, digest: str) -> Machine:
        """Return the machine with a definition digest.

        Raises:
            HaltError: the journal keeps no such definition.
        """
        machine = self._trade_machines.get(digest)
        if machine is None:
            raise HaltError(
                f"machine {digest[:12]}: no definition is kept under it; expected the journal to hold it. "
                "The trade that runs under it needs a person."
            )
        return machine
