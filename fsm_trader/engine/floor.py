"""What every part of the engine stands on: settings, clock, journal, ledger, machines, effects."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from types import MappingProxyType
from typing import Protocol

import msgspec

from fsm_trader.core.clock import Clock
from fsm_trader.core.day import DayPlan
from fsm_trader.core.ledger import Ledger
from fsm_trader.core.records import AlarmRaised, Entry, Record
from fsm_trader.core.settings import Settings
from fsm_trader.engine.act import Effects
from fsm_trader.engine.work import Worker
from fsm_trader.errors import HaltError, StuckTradeError
from fsm_trader.journal.protocol import Journal
from fsm_trader.machines.run import Machine

_LOG = logging.getLogger(__name__)
_STUMBLES_MOST = 20
_NET_HOLDS = timedelta(seconds=3)


class Compared(msgspec.Struct, frozen=True):
    """What the newest comparison with the broker's positions said of the open trades.

    Args:
        doubted: those whose position was not shown whole; it may be gone, or shown late.
        unshown: of these, the ones that are held on all the same: the book says that nobody sold them.
        shown: units of those that were found as believed.
    """

    doubted: frozenset[str] = frozenset()
    unshown: frozenset[str] = frozenset()
    shown: Mapping[str, int] = MappingProxyType({})


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
        highest_seen: the highest trade number of this day that any order of ours at the broker carries.
        unreconciled: why the broker has to be asked before an entry is taken, empty once it was.
        fault: a defect that was met, empty while none was; no entry is taken with one.
        logged_out: no token works, by the newest word on our health.
        broker_heard_at: when the broker last gave a whole and good answer, None before the first.
        net_asked_at: when it was last asked for book and net positions, and told both; None before the first time.
        orders_moved_at: when we were last told that an order on the account moved, whoever gave it.
        clock_set_at: when the machine's clock was last set while this process ran: waiting begins anew there.
        compared: what the newest comparison with the broker said of the open trades.
        stale_options: why the options in use are not today's, empty where they are; nothing is bought by them.
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
        self.logged_out = False
        self.broker_heard_at: datetime | None = None
        self.net_asked_at: datetime | None = None
        self.orders_moved_at: datetime | None = None
        self.clock_set_at: datetime | None = None
        self.compared = Compared()
        self.stale_options = ""
        self._began, self._damaged_before = clock.now(), ledger.damaged_at
        self.highest_seen = 0
        self.unreconciled = "the broker was not asked yet"
        self._untold: list[AlarmRaised] = []
        self._late: list[Sequence[Entry]] = []
        self._tells_later = False
        self._stumbles = 0
        self._faults_said: set[str] = set()

    def commit(self, *records: Record) -> None:
        """Write records in one transaction; only then does anything know of them.

        Raises:
            HaltError: the journal cannot be written; nothing of this step happened.
        """
        entries = self._journal.append(self.clock.now(), self.session, records)
        for entry in entries:
            self.ledger.apply(entry)
        self._late.append(entries)
        if not self._tells_later:
            self.tell()
        while self._untold:
            self.commit(self._untold.pop(0))

    @contextmanager
    def telling_later(self) -> Iterator[None]:
        """Tell the observers by ``tell`` alone, until the block ends: an order does not wait for a line in a log.

        On a virtual clock nothing waits for anything, and they are told with each commit.
        """
        self._tells_later = not self.clock.is_virtual
        try:
            yield
        finally:
            self._tells_later = False
            self.tell()

    @property
    def has_untold(self) -> bool:
        """True when something was committed that the observers were not told of."""
        return bool(self._late)

    def tell(self) -> None:
        """Tell the observers what was committed since the last call; the ledger may be ahead of it."""
        late, self._late = self._late, []
        for entries in late:
            self._tell(partial(_committed, entries=entries, ledger=self.ledger))

    def is_net_known(self, since: datetime) -> bool:
        """Tell whether what the broker said of its positions after *since* still holds.

        For some moments it does. For longer only while we would be told of every order on the account: of those that
        people give by hand, and of the broker's own.
        """
        asked, moved, now = self.net_asked_at, self.orders_moved_at, self.clock.now()
        if asked is None or asked < since or (moved is not None and moved >= asked):
            return False
        is_told = self.effects.hears_orders
        return now - asked <= (2 * self.settings.broker.reconcile_interval if is_told else _NET_HOLDS)

    @property
    def sure_from(self) -> datetime | None:
        """When an order whose rows are gone from the journal has shown itself; None where none are gone.

        Time that the machine's clock was set over was not waited, and one that was set back since an earlier process
        found the damage must not hold an exit for longer than the wait itself.
        """
        damaged_at = self.ledger.damaged_at
        if damaged_at is None:
            return None
        if damaged_at == self._damaged_before:
            damaged_at = min(damaged_at, self._began)
        return max(damaged_at, self.clock_set_at or damaged_at) + self.settings.broker.settle

    def next_trade_number(self) -> int:
        """Return the number of the next trade: no tag is used twice, not one of an order this journal never saw."""
        return max(self.ledger.next_trade_number(), self.highest_seen + 1)

    def troubled(self, text: str) -> None:
        """Take note, in the middle of a commit, that the journal is less safe than promised: entries stop."""
        self.fault = text
        self._untold.append(AlarmRaised(f"{text} No entry is taken until a restart; exits go on.", stops_entries=True))

    def remarked(self, text: str) -> None:
        """Take note, in the middle of a commit, of what a person should see to; nothing is less safe for it."""
        self._untold.append(AlarmRaised(f"{text}."))

    def watch(self, observer: Observer) -> None:
        """Tell one more observer from here on."""
        self._observers = (*self._observers, observer)

    def passed(self, now: datetime) -> None:
        """Tell the observers how far the loop is."""
        self._tell(lambda observer: observer.passed(now))

    def guard(self, step: Callable[[], None], *, of: str = "") -> bool:
        """Take one step; True when it worked.

        A defect costs the step it is in and every further entry, never the care of a position (I5): other trades, the
        readings and the clock go on.

        Args:
            step: what is done.
            of: the trade it is done for, for messages.

        Raises:
            HaltError: the journal cannot be written, or nothing works any more.
        """
        try:
            step()
        except HaltError:
            raise
        except Exception as error:  # noqa: BLE001 - the wall between one defect and all other positions, reasons above
            self._stumbled(error, of)
            return False
        self._stumbles = 0
        return True

    def _stumbled(self, error: Exception, of: str) -> None:
        self._stumbles += 1
        _LOG.error("unexpected error, step %d of at most %d", self._stumbles, _STUMBLES_MOST, exc_info=error)
        if self._stumbles >= _STUMBLES_MOST:
            raise HaltError(
                f"engine: {self._stumbles} steps in a row failed, the last with {type(error).__name__}: {error}; "
                "expected them to work. This process stops; the journal is whole, and the next start goes on from it."
            ) from error
        whose = f" of {of}" if of else ""
        fault = f"a step{whose} failed with {type(error).__name__}: {error}"
        if fault not in self._faults_said:
            self._faults_said.add(fault)
            self.fault = self.fault or fault
            words = f"{fault}. No entry is taken until a restart; exits go on."
            self.commit(AlarmRaised(words, of or None, stops_entries=True))

    def _tell(self, call: Callable[[Observer], None]) -> None:
        """Tell the observers; one that fails is left out from then on, because a committed order must still leave."""
        for observer in self._observers:
            try:
                call(observer)
            except Exception:  # noqa: BLE001 - the wall between telling and trading, reasons above
                _LOG.exception("observer %s failed and is told nothing more", type(observer).__name__)
                self._observers = tuple(other for other in self._observers if other is not observer)

    def machine_of(self, digest: str) -> Machine:
        """Return the machine with a definition digest.

        Raises:
            StuckTradeError: the journal keeps no such definition.
        """
        machine = self._trade_machines.get(digest)
        if machine is None:
            raise StuckTradeError(
                f"machine {digest[:12]}: no definition is kept under it; expected the journal to hold it. "
                "The trade that runs under it needs a person."
            )
        return machine


def _committed(observer: Observer, *, entries: Sequence[Entry], ledger: Ledger) -> None:
    observer.committed(entries, ledger)
