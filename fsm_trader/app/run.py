"""Puts a session together, runs the loop, and says how it ended."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType

import msgspec

from fsm_trader import __version__
from fsm_trader.app.files import machines_of
from fsm_trader.app.report import fold_of
from fsm_trader.app.world import PaperWorld, open_world
from fsm_trader.broker.paper.book import PaperBook
from fsm_trader.core.day import DayPlan
from fsm_trader.core.events import StopAsked
from fsm_trader.core.ledger import Ledger
from fsm_trader.core.records import InputRefused, RunStarted, RunStopped
from fsm_trader.core.settings import Settings
from fsm_trader.engine import loop
from fsm_trader.engine.act import Effects
from fsm_trader.engine.floor import Floor, Observer
from fsm_trader.engine.signals import Seat
from fsm_trader.engine.tell import LogObserver, NoticeObserver
from fsm_trader.engine.trader import Trader
from fsm_trader.engine.work import Inbox, InlineWorker, Worker
from fsm_trader.errors import SetupError
from fsm_trader.journal.read import JournalReader
from fsm_trader.journal.store import JournalStore, file_of
from fsm_trader.machines.load import parse_machine
from fsm_trader.machines.run import Machine
from fsm_trader.machines.spec import MachineSpec
from fsm_trader.notify.both import Notifiers
from fsm_trader.notify.log import LogNotifier
from fsm_trader.notify.protocol import Notifier
from fsm_trader.ops.lock import WriterLock
from fsm_trader.ops.logs import setup_logging
from fsm_trader.strategy import registry

DONE, STOPPED_OPEN = 0, 3
_NOTICES_CLOSE_S = 10.0

Watch = Callable[[str, DayPlan], Sequence[Observer]]


class Past(msgspec.Struct, frozen=True):
    """The journal that is written to, and what it told when it was opened."""

    journal: JournalStore
    ledger: Ledger


class Outcome(msgspec.Struct, frozen=True):
    """What a run came to: the exit code, why it ended, and the ledger as it stands."""

    exit_code: int
    reason: str
    ledger: Ledger


def run(settings: Settings, *, watch: Watch, console_level: str | None) -> Outcome:
    """Run one session to its end.

    Args:
        settings: what was asked for.
        watch: makes further observers, once the day and its label are known.
        console_level: least level of log lines on standard error, None for none.

    Raises:
        SetupError: nothing was started.
        JournalBusyError: another process runs this session.
        HaltError: the journal cannot be written, or an invariant is false; the journal is kept.
    """
    _refuse_live(settings)
    specs = machines_of(settings)
    with ExitStack() as stack:
        journal, ledger = _known_journal(settings, stack)
        book = PaperBook(settings.broker.paper.book)
        stack.callback(book.close)
        world = open_world(settings, ledger, book)
        stack.callback(setup_logging(settings.log, clock=world.clock, console_level=console_level).close)
        past = Past(journal or _open_journal(settings, stack), ledger)
        notifier = _notifier(settings)
        stack.callback(notifier.close, _NOTICES_CLOSE_S)
        observers: tuple[Observer, ...] = (
            LogObserver(),
            NoticeObserver(notifier, underlying=settings.market.underlying.symbol),
            *watch(world.recorded.label, world.plan),
        )
        inbox = Inbox(world.clock)
        floor = _floor(settings, world, past, specs, observers=observers, worker=InlineWorker(inbox))
        trader = _trader(floor, world)
        _begin(floor, past.journal, specs, world)
        with _signals(inbox):
            loop.run(trader, inbox=inbox, clock=world.clock)
        return _end(floor, trader, book)


def _refuse_live(settings: Settings) -> None:
    if settings.broker.kind != "paper":
        raise SetupError.at(
            str(settings.source),
            f"was {settings.broker.kind}; expected paper: this version has no live broker",
            "$.broker.kind",
        )


def _known_journal(settings: Settings, stack: ExitStack) -> tuple[JournalStore | None, Ledger]:
    """Become the journal's one writer, and return it with what it tells; None where there is none yet.

    A new journal is made only when nothing else can be wrong any more: a start that is refused leaves none behind.
    """
    file = file_of(settings.journal_url)
    if file is not None:
        stack.callback(WriterLock(file).release)
        if not file.is_file():
            return None, Ledger()
    journal = _open_journal(settings, stack)
    with JournalReader(settings.journal_url) as reader:
        return journal, fold_of(reader)


def _open_journal(settings: Settings, stack: ExitStack) -> JournalStore:
    journal = JournalStore(settings.journal_url)
    stack.callback(journal.close)
    return journal


def _floor(
    settings: Settings,
    world: PaperWorld,
    past: Past,
    specs: tuple[MachineSpec, MachineSpec],
    *,
    observers: Sequence[Observer],
    worker: Worker,
) -> Floor:
    session_spec, trade_spec = specs
    machines = _trade_machines(trade_spec, past)
    return Floor(
        settings=settings,
        plan=world.plan,
        session=world.session,
        clock=world.clock,
        journal=past.journal,
        ledger=past.ledger,
        effects=Effects(broker=world.broker, feed=world.recorded, clock=world.clock),
        worker=worker,
        session_machine=Machine(session_spec),
        trade_machine=machines[trade_spec.digest],
        trade_machines=machines,
        observers=observers,
    )


def _trader(floor: Floor, world: PaperWorld) -> Trader:
    seats = [Seat(each, registry.build(each.class_name, each.params)) for each in floor.settings.strategies]
    return Trader(floor, feed=world.recorded, contracts=world.contracts, seats=seats)


def _trade_machines(spec: MachineSpec, past: Past) -> dict[str, Machine]:
    """Build the machine of new trades, and of every open trade the one it was opened under (I8)."""
    machines = {spec.digest: Machine(spec)}
    for trade in past.ledger.open_trades:
        text = None if trade.machine in machines else past.journal.definition(trade.machine)
        if text is not None:
            kept = parse_machine(text, kind="trade", source=f"journal definition {trade.machine[:12]}")
            machines[trade.machine] = Machine(kept)
    return machines


def _notifier(settings: Settings) -> Notifier:
    log = LogNotifier(logging.getLogger("fsm_trader.notify"))
    if settings.telegram is None:
        return log
    from fsm_trader.notify.telegram import TelegramNotifier  # noqa: PLC0415 - requests is imported only where used

    return Notifiers(log, TelegramNotifier(settings.telegram))


def _begin(floor: Floor, journal: JournalStore, specs: tuple[MachineSpec, MachineSpec], world: PaperWorld) -> None:
    for spec in specs:
        journal.define(spec.digest, spec.kind, spec.text)
    is_new = floor.ledger.session != floor.session
    floor.commit(
        RunStarted(
            session=floor.session,
            version=__version__,
            settings_digest=floor.settings.digest,
            machines={spec.kind: spec.digest for spec in specs},
            pid=os.getpid(),
            found="" if is_new else _found(floor.ledger),
        ),
        *(InputRefused("recorded data", reason) for reason in world.recorded.skipped if is_new),
    )


def _found(ledger: Ledger) -> str:
    trades = [f"{trade.trade_id} {trade.state}, {trade.held} units held" for trade in ledger.open_trades]
    return f"session {ledger.state}; {'; '.join(trades) if trades else 'no trade is open'}"


def _end(floor: Floor, trader: Trader, book: PaperBook) -> Outcome:
    still_open = tuple(trade.trade_id for trade in floor.ledger.open_trades)
    code = STOPPED_OPEN if still_open else DONE
    floor.commit(RunStopped(code, trader.stop_reason, still_open))
    if trader.session.is_over and not still_open:
        book.finish(floor.clock.now())
    return Outcome(code, trader.stop_reason, floor.ledger)


@contextmanager
def _signals(inbox: Inbox) -> Iterator[None]:
    """Turn SIGTERM and SIGINT into events while the loop runs."""

    def told(number: int, _frame: FrameType | None) -> None:
        inbox.put(StopAsked(signal.Signals(number).name))

    before = {number: signal.signal(number, told) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
