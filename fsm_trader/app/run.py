"""Puts a session together, runs the loop, and says how it ended."""

from __future__ import annotations

import hashlib
import io
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import date, timedelta

import msgspec

from fsm_trader import __version__
from fsm_trader.app.files import check_start, machines_of, refuse_other_broker
from fsm_trader.app.outside import Outside
from fsm_trader.app.recall import inherited, recall
from fsm_trader.app.requests import RequestObserver, heeding, requests_of
from fsm_trader.app.service import serving
from fsm_trader.app.stops import StopSignals
from fsm_trader.app.world import open_world
from fsm_trader.broker.paper.book import PaperBook
from fsm_trader.core.day import DayPlan
from fsm_trader.core.ledger import Ledger
from fsm_trader.core.records import AlarmRaised, DamageFound, InputRefused, RunStarted, RunStopped
from fsm_trader.core.settings import Settings
from fsm_trader.engine import loop
from fsm_trader.engine.act import Effects
from fsm_trader.engine.floor import Floor, Observer
from fsm_trader.engine.signals import Seat
from fsm_trader.engine.tell import LogObserver, NoticeObserver
from fsm_trader.engine.trader import Trader
from fsm_trader.engine.work import Inbox, Worker
from fsm_trader.errors import HaltError, VerificationError
from fsm_trader.journal.ballast import BALLAST_BYTES
from fsm_trader.journal.look_up import DaySoFar
from fsm_trader.journal.read import JournalReader
from fsm_trader.journal.store import JournalStore, file_of
from fsm_trader.machines.caution import warnings_of
from fsm_trader.machines.load import parse_machine
from fsm_trader.machines.run import Machine
from fsm_trader.machines.spec import MachineSpec
from fsm_trader.notify.both import Notifiers
from fsm_trader.notify.log import LogNotifier
from fsm_trader.notify.protocol import Notice, Notifier
from fsm_trader.ops.lock import WriterLock, lock_of
from fsm_trader.ops.logs import prove_log, setup_logging
from fsm_trader.ops.requests import Requests
from fsm_trader.strategy import registry

DONE, STOPPED_OPEN, LOGGED_OUT = 0, 3, 5
_NOTICES_CLOSE_S = 10.0
_CALLS_CLOSE_S = 2.0
_LOG = logging.getLogger(__name__)
_ASK_FIRST = "No entry is taken until the broker was asked about everything; exits go on."

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


def run(
    settings: Settings,
    *,
    watch: Watch,
    console_level: str | None,
    console: io.TextIOBase | None = None,
    stops: StopSignals | None = None,
) -> Outcome:
    """Run one session to its end.

    Args:
        settings: what was asked for.
        watch: makes further observers, once the day and its label are known.
        console_level: least level of log lines on standard error, None for none.
        console: takes those lines in place of standard error.
        stops: has heard signals from before on; None: they are heard from here to the end.

    Raises:
        SetupError: nothing was started.
        JournalBusyError: another process runs this session.
        HaltError: the journal cannot be written, or an invariant is false; the journal is kept.
    """
    check_start(settings)
    specs = machines_of(settings)
    with ExitStack() as stack:
        stops = stops or stack.enter_context(StopSignals())
        journal, ledger = _known_journal(settings, stack)
        # What may still be refused comes before the world begins: a day that was begun must be played.
        prove_log(settings.log)
        notifier = _notifier(settings, specs[0])
        stack.callback(notifier.close, 0.0)
        requests = requests_of(settings)
        if requests is not None:
            requests.prepare()
        world = _open_outside(settings, ledger, journal, stack)
        logs = setup_logging(settings.log, clock=world.clock, console_level=console_level, stream=console)
        stack.callback(logs.close)
        past = Past(journal or _open_journal(settings, stack), ledger)
        stack.callback(notifier.close, _NOTICES_CLOSE_S)
        observers = (*_observers(settings, notifier, requests), *watch(world.label, world.plan))
        inbox = Inbox(world.clock)
        # Closed again here, before the log is: what it tells until then is heard.
        stack.callback(world.close)
        worker = world.connect(inbox)
        stack.callback(worker.close, _CALLS_CLOSE_S)
        floor = _floor(settings, world, past, specs, observers=observers, worker=worker)
        past.journal.on_trouble = floor.troubled
        past.journal.on_remark = floor.remarked
        trader = _trader(floor, world)
        for fault in (fault for spec in specs for fault in warnings_of(spec)):
            _LOG.warning("%s", fault)
        _begin(floor, past.journal, specs, world)
        with (
            stops.heard_by(inbox.put),
            heeding(requests, ledger, inbox.put),
            serving(floor, past.journal, os.environ, second=world.second) as longest_wait,
        ):
            _trade(trader, world, inbox, notifier, longest_wait)
        return _end(floor, trader, world)


def _observers(settings: Settings, notifier: Notifier, requests: Requests | None) -> tuple[Observer, ...]:
    """Return those that are told of each commit in every run: log, notices, and the files of requests."""
    notices = NoticeObserver(notifier, underlying=settings.market.underlying.symbol)
    return (LogObserver(), notices, *([] if requests is None else [RequestObserver(requests)]))


def _trade(trader: Trader, world: Outside, inbox: Inbox, notifier: Notifier, longest_wait: timedelta | None) -> None:
    """Run the loop to the end of the session, and call a person where it ends before that."""
    try:
        wait = min(filter(None, (longest_wait, world.second)), default=None)
        loop.run(trader, inbox=inbox, clock=world.clock, longest_wait=wait, news=world.news)
    except HaltError as error:
        _call_a_person(notifier, trader.floor, error)
        raise


def _open_outside(settings: Settings, ledger: Ledger, journal: JournalStore | None, stack: ExitStack) -> Outside:
    history = _nothing_so_far if journal is None else journal.day_so_far
    if settings.broker.kind == "kite":
        from fsm_trader.app.open_live import open_live_world  # noqa: PLC0415 - a paper session needs none of it

        live = open_live_world(settings, ledger, history)
        stack.callback(live.close)
        return live
    refuse_other_broker(settings, ledger, "")
    book = PaperBook(settings.broker.paper.book)
    stack.callback(book.close)
    return open_world(settings, ledger, book, history)


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
        return journal, recall(reader)


def _nothing_so_far(_day: date) -> DaySoFar:
    return DaySoFar()


def _open_journal(settings: Settings, stack: ExitStack) -> JournalStore:
    file = file_of(settings.journal_url)
    lock = None if file is None else lock_of(file)
    journal = JournalStore(settings.journal_url, lock=lock, ballast=BALLAST_BYTES)
    stack.callback(journal.close)
    return journal


def _floor(
    settings: Settings,
    world: Outside,
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
        effects=Effects(broker=world.broker, feed=world.feed, clock=world.clock, session_machine=session_spec),
        worker=worker,
        session_machine=Machine(session_spec),
        trade_machine=machines[trade_spec.digest],
        trade_machines=machines,
        observers=observers,
    )


def _trader(floor: Floor, world: Outside) -> Trader:
    seats = [Seat(each, registry.build(each.class_name, each.params)) for each in floor.settings.strategies]
    return Trader(floor, feed=world.feed, contracts=world.contracts, seats=seats)


def _trade_machines(spec: MachineSpec, past: Past) -> dict[str, Machine]:
    """Build the machine of new trades, and of every open trade the one it was opened under (I8)."""
    machines = {spec.digest: Machine(spec)}
    for trade in past.ledger.open_trades:
        text = None if trade.machine in machines else past.journal.definition(trade.machine)
        if text is not None:
            if hashlib.sha256(text.encode()).hexdigest() != trade.machine:
                raise VerificationError(
                    f"journal definition {trade.machine[:12]}: its text was changed; expected the one trade "
                    f"{trade.trade_id} was opened under. Nothing was started."
                )
            kept = parse_machine(text, kind="trade", source=f"journal definition {trade.machine[:12]}")
            machines[trade.machine] = Machine(kept)
    return machines


def _notifier(settings: Settings, session_spec: MachineSpec) -> Notifier:
    log = LogNotifier(logging.getLogger("fsm_trader.notify"))
    if settings.telegram is None:
        return log
    from fsm_trader.notify.telegram import (  # noqa: PLC0415 - requests is imported only where used
        TelegramNotifier,
        rule_of,
    )

    policy = session_spec.policies[session_spec.calls["tell"]]
    return Notifiers(log, TelegramNotifier(settings.telegram, rule=rule_of(policy)))


def _begin(floor: Floor, journal: JournalStore, specs: tuple[MachineSpec, MachineSpec], world: Outside) -> None:
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
            inherits=inherited(floor.ledger, journal, journal.day_so_far(floor.plan.day)) if is_new else None,
            broker=world.kind,
        ),
        *(AlarmRaised(f"{damage}. {_ASK_FIRST}") for damage in journal.damage),
        *([DamageFound(journal.damage)] if journal.damage else []),
        *(InputRefused("recorded data", reason) for reason in world.skipped if is_new),
    )
    if journal.damage:
        floor.unreconciled = f"the journal is damaged and the broker was not asked yet: {'; '.join(journal.damage)}"


def _found(ledger: Ledger) -> str:
    trades = [f"{trade.trade_id} {trade.state}, {trade.held} units held" for trade in ledger.open_trades]
    return f"session {ledger.state}; {'; '.join(trades) if trades else 'no trade is open'}"


def _call_a_person(notifier: Notifier, floor: Floor, error: HaltError) -> None:
    """Say past the journal, which may be what failed, that nobody looks after what is open."""
    left = ", ".join(f"{trade.trade_id} {trade.state} ({trade.held} units)" for trade in floor.ledger.open_trades)
    text = f"{floor.session}: this process stops: {error}\nOpen: {left or 'nothing'}"
    _LOG.critical("%s", text)
    notifier.tell(Notice(f"{floor.session}/halt/{floor.ledger.seq}", text, critical=True))


def _end(floor: Floor, trader: Trader, world: Outside) -> Outcome:
    still_open = tuple(trade.trade_id for trade in floor.ledger.open_trades)
    code = STOPPED_OPEN if still_open else LOGGED_OUT if trader.ended_logged_out else DONE
    floor.commit(RunStopped(code, trader.stop_reason, still_open))
    # A day whose market closed with a position open is over too: nothing can be sold in it, and the next start has to
    # find another day, or a position that was left once would be left for ever.
    now, closes_at = floor.clock.now(), floor.plan.closes_at
    if (closes_at is not None and now >= closes_at) if still_open else trader.session.is_over:
        world.over(now)
    return Outcome(code, trader.stop_reason, floor.ledger)
