"""A live session as ``app`` puts it together, on a stub of Kite: its loop in a thread, its ticks from whoever measures.

Two things are not as in a live session: its clock is stepped from minute to minute, and the bytes of its ticks do not
come by a socket. Journal, log, notices, threads, budgets, wire and client are what a session has.
"""

from __future__ import annotations

import http.client
import logging
import queue
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import msgspec
import processes
from measure import WrongResultError
from msgspec.structs import replace

from fsm_trader.app.files import calendar_of, machines_of, settings_of
from fsm_trader.broker.kite.broker import KiteBroker
from fsm_trader.core.candles import Candle
from fsm_trader.core.contracts import OptionContract, OptionKind
from fsm_trader.core.day import plan_day
from fsm_trader.core.events import Event, OrdersMoved, PriceRead, StopAsked
from fsm_trader.core.ledger import Ledger
from fsm_trader.core.money import Paise
from fsm_trader.core.records import AlarmRaised, Entry, EntryBlocked, OrderAnswered, Record, RunStarted, TradeMoved
from fsm_trader.core.settings import KiteSettings, Secret, Settings
from fsm_trader.core.signals import Signal
from fsm_trader.engine import loop
from fsm_trader.engine.act import Effects
from fsm_trader.engine.floor import Floor
from fsm_trader.engine.signals import Seat
from fsm_trader.engine.tell import LogObserver, NoticeObserver
from fsm_trader.engine.trader import Trader
from fsm_trader.engine.work import Inbox, ThreadWorker
from fsm_trader.journal.store import JournalStore
from fsm_trader.kite.budgets import Budgets, Limits
from fsm_trader.kite.ticks import parse_message
from fsm_trader.kite.wire import KiteWire
from fsm_trader.machines.run import Machine
from fsm_trader.market.kite.feed import KiteFeed
from fsm_trader.market.kite.instruments import InstrumentStore
from fsm_trader.market.kite.live import LiveTicks
from fsm_trader.notify.log import LogNotifier
from fsm_trader.ops.clock import pause_s
from fsm_trader.ops.followed import FollowedClock
from fsm_trader.ops.logs import setup_logging
from fsm_trader.strategy.donchian import DonchianBreakout

KEY, TOKEN = "benchbenchbench1", "benchbenchbenchbenchbenchbench12"
SPOT, STRIKE = 2_440_000, 5_000
PRICE, STOPPED = 10_000, 7_995
"""What an option costs, and a price below a stop of a fifth; paise, as the two above."""
_ZONE = ZoneInfo("Asia/Kolkata")
_START = datetime(2026, 6, 17, 9, 14, 0, 200_000, tzinfo=_ZONE)
_TRADES_FROM = datetime(2026, 6, 17, 9, 21, tzinfo=_ZONE)
_STEP = timedelta(seconds=5)  # After ten seconds without a tick an instrument counts as silent.
_STUB = Path(__file__).with_name("kite_stub.py")
_WITHIN_S = 10.0
_ANY = 100_000
_TICKS_EVERY_S = 0.25
REST_S = 0.01
"""How long everything is left alone before what is timed; the reference has the same rest."""


class Way(msgspec.Struct, frozen=True):
    """An order's way: seconds from a tick in this process to the whole request at the stub, and of these in commits."""

    taken_s: float
    commits_s: float


class Server:
    """The stub's process, and a connection to ask things by.

    Args:
        arguments: of the program ``kite_stub``.
    """

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(_STUB), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        if self._process.stdout is None:
            raise WrongResultError("the stub has no output; no figure is told")
        self.port = int(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=_WITHIN_S)


class Asked(msgspec.Struct, frozen=True):
    """What the stub has seen."""

    connections: int
    orders: int


class _Answer(msgspec.Struct, frozen=True):
    data: Asked


@contextmanager
def serving(*arguments: str) -> Iterator[Server]:
    """Run the stub."""
    server = Server(*arguments)
    try:
        yield server
    finally:
        server.close()


class _TimedJournal(JournalStore):
    """Notes when each commit began and ended, in nanoseconds."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.spans: list[tuple[int, int]] = []

    def append(self, at: datetime, session: str, records: Sequence[Record]) -> tuple[Entry, ...]:
        began = time.perf_counter_ns()
        entries = super().append(at, session, records)
        self.spans.append((began, time.perf_counter_ns()))
        return entries


class _Ear:
    """Hears what is committed, for whoever measures to wait for."""

    def __init__(self) -> None:
        self.told: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        self.troubles: list[str] = []

    def committed(self, entries: Sequence[Entry], ledger: Ledger) -> None:
        del ledger
        for entry in entries:
            record = entry.record
            if isinstance(record, OrderAnswered) and record.answer == "accepted":
                self.told.put(("order", record.order_id or ""))
            elif isinstance(record, TradeMoved) and record.source != record.dest:
                self.told.put(("state", record.dest))
            elif isinstance(record, EntryBlocked | AlarmRaised | OrderAnswered):
                self.troubles.append(str(record))

    def passed(self, now: datetime) -> None:
        del now

    def wait(self, what: str, expected: str = "") -> str:
        """Return the next of *what*, and refuse a result where it does not come."""
        try:
            while True:
                kind, text = self.told.get(timeout=_WITHIN_S)
                if kind == what and expected in text:
                    return text
        except queue.Empty:
            raise WrongResultError(
                f"no {what} {expected} within {_WITHIN_S:g} s; {self.troubles[-3:]}; no figure is told"
            ) from None


class _Strategy:
    """Does the bundled strategy's work, and says BUY where it was told to."""

    def __init__(self) -> None:
        self._work = DonchianBreakout(length=20, exit_option=2)
        self.says = Signal.HOLD

    def update(self, candle: Candle) -> Signal:
        self._work.update(candle)
        said, self.says = self.says, Signal.HOLD
        return said


class _NoSocket:
    """Stands where the websocket is: whoever measures hands the messages in."""

    def start(self) -> None:
        pass

    def watch(self, tokens: Iterable[int]) -> None:
        del tokens

    def close(self, timeout_s: float = 0.0) -> None:
        del timeout_s


class Desk:
    """A session with its loop in a thread. Close it.

    Args:
        folder: for its journal and its log.
        port: the stub's.
        trades: how many may be open at a time; each has a strategy of its own.
        trust: verifies the stub, which then speaks TLS.
        warm_after: an order connection that was idle this long is used for a small read.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        *,
        trades: int = 1,
        trust: ssl.SSLContext | None = None,
        warm_after: timedelta | None = None,
    ) -> None:
        self._stub = (
            http.client.HTTPConnection("127.0.0.1", port, timeout=_WITHIN_S)
            if trust is None
            else http.client.HTTPSConnection("127.0.0.1", port, timeout=_WITHIN_S, context=trust)
        )
        self._trust, self._warm_after = trust, warm_after
        self.settings = _settings(folder, f"{'http' if trust is None else 'https'}://127.0.0.1:{port}", trades)
        self._strategies = [_Strategy() for _ in self.settings.strategies]
        self._ear = _Ear()
        self._time = _START
        self.clock = FollowedClock(_START)
        self.live = LiveTicks(self.clock, _ZONE)
        self._volume = 0
        self.contracts: list[OptionContract] = []
        self._turns = self._quiet_turn = 0
        self.prices_taken = 0
        with ExitStack() as undo:
            undo.callback(self.clock.close)
            undo.callback(self._stub.close)
            undo.callback(setup_logging(self.settings.log, clock=self.clock, console_level=None).close)
            self._build(folder, undo)
            self._undo = undo.pop_all()
        self.live.opened()
        self._until(_TRADES_FROM)

    def close(self) -> None:
        """End the session and give everything back."""
        self.inbox.put(StopAsked("measured"))
        self._loop.join(_WITHIN_S)
        self._undo.close()

    def seen(self) -> Asked:
        """Ask the stub what it has seen."""
        return msgspec.json.decode(self._ask("/seen"), type=_Answer).data

    def buy(self, strategy: int = 0) -> Way:
        """Let the next candle's end be a BUY, and return the entry's way; the trade is open afterwards."""
        contract = option_at(SPOT + strategy * STRIKE)
        if contract not in self.contracts:
            self.contracts.append(contract)
            if strategy:
                # The session looks ahead by itself for an index that stands where it stood.
                self.feed.watch(contract, self.clock.now())
        end = self._time.replace(second=0, microsecond=200_000) + timedelta(minutes=1)
        self._until(end - _STEP, SPOT + strategy * STRIKE)
        self._step_to(end)
        self._options()
        self._ask("/set?" + urlencode({"at": f"{end:%Y-%m-%d %H:%M:%S}", "price": PRICE / 100}))
        self._strategies[strategy].says = Signal.BUY
        way = self._timed(self._index_message(SPOT + strategy * STRIKE))
        self._order_moved("ACTIVE")
        return way

    def stop(self) -> Way:
        """Let a tick cross the stop of the newest trade, and return the exit's way; the trade is closed afterwards."""
        # A second hint within a second of the first is kept for later.
        self._step_to(self._time + timedelta(seconds=2))
        now = self.clock.now()
        self._ask("/set?" + urlencode({"at": f"{now:%Y-%m-%d %H:%M:%S}", "price": STOPPED / 100}))
        way = self._timed(message([self.packet(self.contracts[-1], STOPPED)]))
        self._order_moved("CLOSED")
        self._options()
        return way

    def idle(self, for_s: float) -> None:
        """Let real time go by in which nothing is ordered, and the index ticks as it does."""
        until_s = time.monotonic() + for_s
        while time.monotonic() < until_s:
            pause_s(_TICKS_EVERY_S)
            self._step_to(self._time + timedelta(seconds=_TICKS_EVERY_S))
            self.take(self._index_message(SPOT))

    def packet(self, contract: OptionContract, price: int) -> bytes:
        """Return a full packet of Kite's websocket with a trade of now."""
        now_s = int(self.clock.now().timestamp())
        self._volume += 65
        head = (contract.token, price, 65, price, self._volume, 0, 0, PRICE, PRICE, PRICE, PRICE)
        return struct.pack(">16I120x", *head, now_s, 0, 0, 0, now_s)

    def take(self, data: bytes) -> None:
        """Do what the stream's thread does with a message."""
        ticks, _ = parse_message(data)
        self.live.ticks(ticks)

    def settle(self) -> None:
        """Return when the session has nothing left to do about any price that came before this call."""
        turn = self._turns + 1
        until_s = time.monotonic() + _WITHIN_S
        while self._quiet_turn < turn:
            self.clock.wake()
            pause_s(REST_S / 20)
            if time.monotonic() > until_s:
                raise WrongResultError(f"prices were left after {_WITHIN_S:g} s; no figure is told")

    def _timed(self, data: bytes) -> Way:
        pause_s(REST_S)
        self.journal.spans.clear()
        began = time.perf_counter_ns()
        self.take(data)
        came = int(self._ear.wait("order"))
        on_way = [end - begin for begin, end in self.journal.spans if begin >= began and end <= came]
        return Way((came - began) / 1e9, sum(on_way) / 1e9)

    def _order_moved(self, state: str) -> None:
        self.live.order_update()
        self._ear.wait("state", state)

    def _until(self, moment: datetime, spot: int = SPOT) -> None:
        """Let time pass with a tick of everything every five seconds."""
        while self._time < moment:
            self._step_to(min(self._time + _STEP, moment))
            self.take(self._index_message(spot))
            self._options()
            pause_s(REST_S / 5)

    def _step_to(self, moment: datetime) -> None:
        self._time = moment
        self.clock.follow(max(moment, self.clock.now()), 1.0)

    def _options(self) -> None:
        if self.contracts:
            self.take(message([self.packet(contract, PRICE) for contract in self.contracts]))

    def _index_message(self, spot: int) -> bytes:
        token, now_s = self.settings.market.underlying.token, int(self.clock.now().timestamp())
        return message([struct.pack(">6I4xI", token, spot, spot, spot, spot, spot, now_s)])

    def _ask(self, path: str) -> bytes:
        self._stub.request("GET", path)
        return self._stub.getresponse().read()

    def _build(self, folder: Path, undo: ExitStack) -> None:
        settings, kite = self.settings, self.settings.broker.kite
        if kite is None:
            raise WrongResultError("no settings of Kite; no figure is told")
        wire = self.wire = KiteWire(
            root=kite.root,
            api_key=KEY,
            token=lambda: TOKEN,
            timeout=kite.timeout,
            clock=self.clock,
            # The minutes between two orders pass in no time here, and what is read in them must not be waited for.
            budgets=Budgets(self.clock, Limits(others_per_second=_ANY, orders_per_day=_ANY)),
            trust=self._trust,
            warm_after=self._warm_after,
        )
        undo.callback(wire.close)
        self.feed = KiteFeed(
            wire,
            store=InstrumentStore(wire, folder=folder, clock_now=self.clock.now, zone=_ZONE),
            underlying=settings.market.underlying,
            calendar=calendar_of(settings),
            zone=_ZONE,
            live=self.live,
        )
        self.feed.start(_NoSocket())
        self.feed.know(*CONTRACTS)
        for tell in (self.feed.on_price, self.feed.on_candle):
            tell(self.clock.wake)
        self.feed.on_order_update(self.clock.wake)
        self.journal = _TimedJournal(settings.journal_url)
        undo.callback(self.journal.close)
        self.inbox = Inbox(self.clock)
        worker = ThreadWorker(self.inbox)
        undo.callback(worker.close, _WITHIN_S)
        by_symbol = {contract.tradingsymbol: contract for contract in CONTRACTS}
        self.trader = self._trader(worker, KiteBroker(wire=wire, clock=self.clock, find_contract=by_symbol.get))
        self._loop = threading.Thread(target=self._run, name="loop", daemon=True)
        self._loop.start()

    def _trader(self, worker: ThreadWorker, broker: KiteBroker) -> Trader:
        settings = self.settings
        session_spec, trade_spec = machines_of(settings)
        notifier = LogNotifier(logging.getLogger("fsm_trader.notify"))
        machine = Machine(trade_spec)
        floor = Floor(
            settings=settings,
            plan=plan_day(settings.session, _START.date(), why_closed=None),
            session=_START.date().isoformat(),
            clock=self.clock,
            journal=self.journal,
            ledger=Ledger(),
            effects=Effects(broker=broker, feed=self.feed, clock=self.clock, session_machine=session_spec),
            worker=worker,
            session_machine=Machine(session_spec),
            trade_machine=machine,
            trade_machines={trade_spec.digest: machine},
            observers=(LogObserver(), NoticeObserver(notifier, underlying="NIFTY 50"), self._ear),
        )
        self.journal.define(trade_spec.digest, trade_spec.kind, trade_spec.text)
        floor.commit(RunStarted(floor.session, "bench", settings.digest, {}, 1, broker="kite"))
        seats = [Seat(each, strategy) for each, strategy in zip(settings.strategies, self._strategies, strict=True)]
        return Trader(floor, feed=self.feed, contracts=CONTRACTS, seats=seats)

    def _run(self) -> None:
        second = timedelta(seconds=1)
        loop.run(self.trader, inbox=self.inbox, clock=self.clock, longest_wait=second, news=self._news)

    def _news(self) -> list[Event]:
        self._turns += 1
        prices = self.feed.new_prices()
        self.prices_taken += len(prices)
        moved: list[Event] = [OrdersMoved()] if self.feed.orders_moved() else []
        events = [*moved, *map(PriceRead, prices)]
        if not events:
            self._quiet_turn = self._turns
        return events


def message(packets: Sequence[bytes]) -> bytes:
    """Return packets as one message of Kite's websocket."""
    return struct.pack(">H", len(packets)) + b"".join(struct.pack(">H", len(each)) + each for each in packets)


def option_at(strike: int) -> OptionContract:
    """Return the contract of a strike, in paise of a point."""
    return _BY_STRIKE[strike]


def _contract(strike: int) -> OptionContract:
    # The last byte of a token is its segment, 2 for options.
    return OptionContract(
        "NFO",
        f"NIFTY26618{strike // 100}CE",
        2 + 256 * strike // 100,
        "NIFTY",
        date(2026, 6, 18),
        Paise(strike),
        OptionKind.CE,
        65,
        5,
        1800,
    )


CONTRACTS = tuple(_contract(strike) for strike in range(2_000_000, 3_000_000, STRIKE))
_BY_STRIKE = {int(contract.strike_paise): contract for contract in CONTRACTS}


def _settings(folder: Path, root: str, trades: int) -> Settings:
    bundled = settings_of(processes.ROOT / "session.yaml")
    kite = KiteSettings(
        root=root,
        api_key=Secret(KEY, "bench"),
        access_token=Secret(TOKEN, "bench"),
        token_file=None,
        timeout=timedelta(seconds=7),
        order_type="market",
        market_protection=Decimal(-1),
    )
    (strategy,) = bundled.strategies
    many = 1_000_000
    return replace(
        bundled,
        session=replace(bundled.session, calendar="always"),
        broker=replace(bundled.broker, kind="kite", kite=kite),
        market=replace(bundled.market, recorded=None, feed="stream"),
        risk=replace(
            bundled.risk,
            max_open_trades=trades,
            max_trades_per_day=many,
            max_orders_per_day=many,
            max_daily_loss_paise=many * many,
        ),
        strategies=tuple(
            replace(strategy, name=f"s{number}", exits=replace(strategy.exits, max_hold=None))
            for number in range(trades)
        ),
        journal_url=f"sqlite:///{folder / 'desk.db'}",
        log=replace(bundled.log, file=folder / "desk.log"),
    )
