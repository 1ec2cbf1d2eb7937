"""A trader on a bench: real engine, real paper broker, scripted market, virtual clock. A day takes milliseconds."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fsm_trader.broker.paper.book import PaperBook
from fsm_trader.broker.paper.broker import PaperBroker
from fsm_trader.broker.paper.faults import FaultPlan
from fsm_trader.core.candles import Candle
from fsm_trader.core.contracts import OptionContract
from fsm_trader.core.day import plan_day
from fsm_trader.core.events import Event
from fsm_trader.core.ledger import Ledger
from fsm_trader.core.orders import Fill, Role, Side
from fsm_trader.core.records import Entry, Record, RunStarted
from fsm_trader.core.settings import RiskSettings, SessionSettings, StrategySettings
from fsm_trader.core.signals import Signal
from fsm_trader.core.trades import Trade
from fsm_trader.engine import loop
from fsm_trader.engine.act import Effects
from fsm_trader.engine.floor import Floor
from fsm_trader.engine.signals import Seat
from fsm_trader.engine.trader import Trader
from fsm_trader.engine.work import Inbox, InlineWorker
from fsm_trader.journal.memory import MemoryJournal
from fsm_trader.journal.read import JournalReader
from fsm_trader.journal.store import JournalStore
from fsm_trader.machines.load import load_machine, parse_machine
from fsm_trader.machines.run import Machine
from fsm_trader.machines.spec import MachineSpec
from fsm_trader.ops.clock import VirtualClock

from .given import risk, session, settings_of, strategy
from .market import CLOSE, CONTRACTS, DAY, OPEN, ScriptedMarket, at
from .oracles import Killed, Oracles, TappedJournal, WatchedBroker

BUY, EXIT = Signal.BUY, Signal.EXIT
SESSION = DAY.isoformat()
LATEST = at("17:00")
NO_FAULTS = FaultPlan()
DEFAULT_SESSION = session()

Signals = dict[str, Signal]


class NeverEndsError(BaseException):
    """The loop went on long after the day: a test must not wait for ever. Nothing may catch this."""


class ScriptedStrategy:
    """Says what the script has for the start of a candle, and HOLD else."""

    warmup = 0

    def __init__(self, script: Signals) -> None:
        self._script = {at(when): signal for when, signal in script.items()}

    def update(self, candle: Candle) -> Signal:
        return self._script.get(candle.start, Signal.HOLD)


class QuickBook(PaperBook):
    """A book that does not wait for the disk: what was written outlives a killed process, and nobody cuts the power."""

    @contextmanager
    def _durable(self) -> Iterator[sqlite3.Connection]:
        with self._transaction() as connection:
            yield connection


@cache
def _empty_book() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "book.db"
        PaperBook(path).close()
        return path.read_bytes()


class BenchClock(VirtualClock):
    """A virtual clock that stops at planned moments to hand in events, and at LATEST for good."""

    def __init__(self, start: datetime) -> None:
        super().__init__(start)
        self.planned: list[tuple[datetime, Callable[[], None]]] = []
        self.on_wait: Callable[[datetime, datetime], None] = lambda _now, _moment: None

    def plan(self, when: datetime, action: Callable[[], None]) -> None:
        self.planned.append((when, action))
        self.planned.sort(key=lambda plan: plan[0])

    def wait_until(self, moment: datetime) -> None:
        now = self.now()
        if now > LATEST:
            raise NeverEndsError
        self.on_wait(now, moment)
        if self.planned and self.planned[0][0] <= moment:
            when, action = self.planned.pop(0)
            super().wait_until(when)
            action()
        else:
            super().wait_until(moment)


@cache
def builtin(kind: str) -> MachineSpec:
    return load_machine(None, "trade" if kind == "trade" else "session")


def trade_machine(*changes: tuple[str, str]) -> MachineSpec:
    """The built-in trade machine with texts replaced, as a user would edit a copy of it."""
    text = builtin("trade").text
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in trade.yaml"
        text = text.replace(old, new)
    return parse_machine(text, kind="trade", source="my trade.yaml")


class Bench:
    """One journal, one broker's book and one market; any number of processes after each other.

    Attributes:
        breaches: what the oracles saw; ``run`` fails on any.
        entries: everything in the journal, which is in memory unless a URL is given.
    """

    def __init__(
        self,
        folder: Path,
        signals: Signals | dict[str, Signals] | None = None,
        *,
        market: ScriptedMarket | None = None,
        strategies: Sequence[StrategySettings] = (),
        limits: RiskSettings | None = None,
        session: SessionSettings = DEFAULT_SESSION,
        broker: dict[str, Any] | None = None,
        behaviour: dict[str, Any] | None = None,
        faults: FaultPlan = NO_FAULTS,
        contracts: Sequence[OptionContract] = CONTRACTS,
        machine: MachineSpec | None = None,
        why_closed: str | None = None,
        start: str = "09:14",
        journal_url: str | None = None,
    ) -> None:
        self.strategies = tuple(strategies) or (strategy(),)
        scripts: dict[str, Any] = signals or {}
        by_name = any(isinstance(script, dict) for script in scripts.values())
        self.scripts: dict[str, Signals] = scripts if by_name else {self.strategies[0].name: scripts}
        self.market = market or ScriptedMarket()
        self.faults = faults
        self.contracts = contracts
        self.machine = machine or builtin("trade")
        self.settings = settings_of(folder, self.strategies, limits or risk(), session, broker or {}, behaviour or {})
        self.plan = plan_day(session, DAY, why_closed=why_closed)
        self._journal_url = journal_url
        self.journal = TappedJournal(MemoryJournal() if journal_url is None else JournalStore(journal_url))
        self.breaches: list[str] = []
        self.observers: tuple[Any, ...] = ()
        self.clock = BenchClock(at(start))
        self.pid = itertools.count(1)
        self.settings.broker.paper.book.write_bytes(_empty_book())
        self._book: PaperBook = QuickBook(self.settings.broker.paper.book)
        self._book.begin(DAY, OPEN - timedelta(hours=1))
        self.boot()

    @property
    def entries(self) -> list[Entry]:
        if isinstance(self.journal.inner, MemoryJournal):
            return self.journal.inner.entries
        assert self._journal_url is not None
        with JournalReader(self._journal_url) as reader:
            return list(reader.entries())

    def boot(self) -> None:
        """Start a process: everything in memory is built anew from the journal and the broker's book."""
        spec = self.machine
        ledger = Ledger().fold(self.entries)
        self.inbox = Inbox(self.clock)
        inner = PaperBroker(
            settings=self.settings.broker.paper,
            clock=self.clock,
            prices=self.market,
            find_contract={contract.tradingsymbol: contract for contract in self.contracts}.get,
            book=self._book,
            hours=(OPEN, CLOSE),
            faults=self.faults,
        )
        self.broker = WatchedBroker(inner, self.journal, self.breaches)
        replayed = Ledger().fold(self.entries)
        self.oracles = Oracles(ledger, self.plan, replayed=replayed, breaches=self.breaches, contracts=self.contracts)
        self.floor = Floor(
            settings=self.settings,
            plan=self.plan,
            session=SESSION,
            clock=self.clock,
            journal=self.journal,
            ledger=ledger,
            effects=Effects(broker=self.broker, feed=self.market, clock=self.clock),
            worker=InlineWorker(self.inbox),
            session_machine=Machine(builtin("session")),
            trade_machine=Machine(spec),
            trade_machines=self._machines(spec, ledger),
            observers=(*self.observers, self.oracles),
        )
        seats = [Seat(each, ScriptedStrategy(self.scripts.get(each.name, {}))) for each in self.strategies]
        self.trader = Trader(self.floor, feed=self.market, contracts=self.contracts, seats=seats)
        self.clock.on_wait = lambda now, moment: self.oracles.waiting(self.trader, now, moment)

    def reboot(self, **changes: Any) -> Bench:
        """End the process without a word, and start the next one on the same files at the same time."""
        for name, value in changes.items():
            assert hasattr(self, name)
            setattr(self, name, value)
        self._book.close()
        self._book = QuickBook(self.settings.broker.paper.book)
        self.boot()
        return self

    def close(self) -> None:
        self._book.close()
        if isinstance(self.journal.inner, JournalStore):
            self.journal.inner.close()

    def plan_event(self, when: str, event: Event) -> Bench:
        self.clock.plan(at(when), lambda: self.inbox.put(event))
        return self

    def plan_action(self, when: str, action: Callable[[], None]) -> Bench:
        self.clock.plan(at(when), action)
        return self

    def run(self, *, stopped: bool = False, fault: str = "", foreign: bool = False) -> Bench:
        """Run the process until its loop ends, and hold what happened against every invariant.

        Args:
            stopped: whether the loop may end with a trade open.
            fault: defect the engine is expected to have met.
            foreign: somebody else trades on the account too, so that what the broker holds at the end is not only ours.
        """
        self.begin()
        try:
            loop.run(self.trader, inbox=self.inbox, clock=self.clock)
        except NeverEndsError as error:
            open_trades = [(trade.trade_id, trade.state) for trade in self.ledger.open_trades]
            raise AssertionError(f"at {self.clock.now():%H:%M} the loop still runs, open: {open_trades}") from error
        if not stopped and not foreign:
            self._flat()
        assert self.floor.fault == fault
        assert self.breaches == [], self.breaches
        return self

    def let_pass(self, until: str) -> None:
        """Let time go by while no process runs."""
        VirtualClock.wait_until(self.clock, at(until))

    def run_until_killed(self) -> bool:
        """Run the process; True when the journal's plan killed it, False when the day ended before."""
        try:
            self.run()
        except Killed:
            return True
        return False

    def begin(self) -> None:
        self.journal.define(self.machine.digest, "trade", self.machine.text)
        digests = {"trade": self.machine.digest}
        self.floor.commit(RunStarted(SESSION, "test", "settings", digests, next(self.pid)))

    # What a test asks about afterwards.

    @property
    def ledger(self) -> Ledger:
        return self.floor.ledger

    @property
    def trades(self) -> list[Trade]:
        return list(self.ledger.trades.values())

    @property
    def trade(self) -> Trade:
        (trade,) = self.trades
        return trade

    def rows(self, kind: type[Record]) -> list[Any]:
        return [entry.record for entry in self.entries if isinstance(entry.record, kind)]

    def timed(self, kind: type[Record]) -> list[tuple[str, Any]]:
        return [(f"{entry.at:%H:%M:%S}", entry.record) for entry in self.entries if isinstance(entry.record, kind)]

    def fills(self, side: Side) -> list[Fill]:
        """Fills as the broker truly has them."""
        truth = self.broker.truth
        ids = {row.order_id for row in truth.orders if row.side is side}
        return [fill for fill in truth.fills if fill.order_id in ids]

    def orders(self, role: Role) -> int:
        """Order requests of one role that reached the broker's door, sent again ones among them."""
        side = Side.BUY if role is Role.ENTRY else Side.SELL
        return sum(1 for request in self.broker.placed if request.side is side)

    def _flat(self) -> None:
        if self.ledger.open_trades:
            self.breaches.append("I5: the loop ended with a trade open")
        if self.broker.inner._matching.positions():
            self.breaches.append(f"I5: the day ended with {self.broker.inner._matching.positions()} at the broker")
        for side, role in ((Side.BUY, Role.ENTRY), (Side.SELL, Role.EXIT)):
            known = sum(trade.filled(role) for trade in self.trades)
            if role is Role.EXIT:
                known += sum(trade.sold_outside for trade in self.trades)
            if known != sum(fill.quantity for fill in self.fills(side)):
                self.breaches.append(f"I4: the journal knows {known} units of {side}, the broker others")

    def _machines(self, spec: MachineSpec, ledger: Ledger) -> dict[str, Machine]:
        machines = {spec.digest: Machine(spec)}
        for trade in ledger.open_trades:
            text = self.journal.definition(trade.machine)
            assert text is not None
            machines[trade.machine] = Machine(parse_machine(text, kind="trade", source="journal"))
        return machines
