"""A session on the bench whose broker is the model, and all that may happen to it, as a Hypothesis state machine."""

from __future__ import annotations

import itertools
from datetime import datetime, time, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from fsm_trader.core.events import Asked
from fsm_trader.core.ledger import Ledger
from fsm_trader.core.money import Paise
from fsm_trader.core.orders import OrderRequest, Side
from fsm_trader.core.records import OperatorAsked
from fsm_trader.core.settings import Window
from fsm_trader.core.signals import Signal
from fsm_trader.engine.act import Effects
from fsm_trader.ops.clock import VirtualClock

from .bench import Bench, NeverEndsError
from .given import exits, risk, session, strategy
from .market import CALL, INDEX, LOT, Outage, ScriptedMarket, at
from .model import CANCEL_FATES, FATES, World
from .oracles import Killed, WatchedBroker

NAMES = ("one", "two")
SHORT = exits(max_hold=timedelta(minutes=8))
SETTLE = timedelta(seconds=90)
# After so long without anything new the trader has compared itself with the broker, twice, and waited out its doubts.
CALM = SETTLE + timedelta(minutes=3)


fates = st.builds(
    lambda first, more: [first, *more], st.sampled_from(FATES), st.lists(st.sampled_from(FATES), max_size=2)
)


class ModelBench(Bench):
    """A bench whose broker is the model, and whose loop stops at a moment and goes on from there."""

    def __init__(self, folder: Path) -> None:
        self.says: dict[str, dict[datetime, Signal]] = {name: {} for name in NAMES}
        self.world: World | None = None
        self.is_running = False
        super().__init__(
            folder,
            market=ScriptedMarket(),
            strategies=[strategy(name, lots=2, exits=SHORT) for name in NAMES],
            session=session(trading=Window(time(9, 20), time(11, 0)), square_off=time(11, 5)),
            limits=risk(max_open_trades=2, max_trades_per_day=100, max_orders_per_day=5000, max_daily_loss_paise=10**9),
        )

    def boot(self) -> None:
        super().boot()
        if self.world is None:
            window = (self.plan.trading_start, self.plan.trading_end)
            self.world = World(self.clock.now, self.price, window)
        # The watched broker looks for the truth where the paper broker keeps it.
        self.world._matching = _Truth(self.world)
        self.broker = Door(self.world, self.journal, self.breaches)
        self.floor.effects = Effects(broker=self.broker, feed=self.market, clock=self.clock)
        for seat in self.trader.candles._seats:
            seat._strategy._script = self.says[seat.settings.name]
        self.is_running = False

    def price(self) -> Paise:
        return Paise(self.market._standing(CALL.token, self.clock.now())[1])

    def run_until(self, moment: datetime) -> None:
        """The loop of the engine, left at *moment* and gone on with by the next call."""
        trader, guard = self.trader, self.floor.guard
        if not self.is_running:
            self.begin()
            guard(trader.start)
            self.is_running = True
        while True:
            self._drain()
            now = self.clock.now()
            guard(partial(trader.on_time, now))
            self._drain()
            if trader.is_over:
                return
            self.floor.passed(now)
            guard(partial(trader.plan_next, self.clock.now()))
            self.oracles.waiting(trader, self.clock.now(), trader.next_moment)
            if trader.next_moment > moment:
                VirtualClock.wait_until(self.clock, moment)
                return
            self.clock.wait_until(trader.next_moment)

    def _drain(self) -> None:
        while (event := self.inbox.take()) is not None:
            self.floor.guard(partial(self.trader.handle, event))


class Door(WatchedBroker):
    """The watched broker, which takes an adopted trade's sales for what they are: its entry has another trade's tag."""

    def _refuse_second(self, request: OrderRequest) -> None:
        known = len(self._breaches)
        super()._refuse_second(request)
        bought = {row.tag[:11] for row in self.truth.orders if row.side is Side.BUY and row.tag}
        if request.side is Side.SELL and request.tag[:11] not in bought:
            self._breaches[known:] = [text for text in self._breaches[known:] if not text.startswith("I3")]


class _Truth:
    """The model under the names of the paper broker's matching engine."""

    def __init__(self, world: World) -> None:
        self.book, self.positions = world.truth, world.net


class Life(RuleBasedStateMachine):
    """A session in which anything may happen at any time."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = TemporaryDirectory()
        self.bench = ModelBench(Path(self._folder.name))
        assert self.bench.world is not None
        self.world = self.bench.world
        self.calm_since = self.bench.clock.now()
        self.words = 0
        self.asked = itertools.count(1)

    # Time.

    def go(self, length: timedelta) -> None:
        """Let time pass; a process that dies on the way is started again at once."""
        until = self.bench.clock.now() + length
        while True:
            try:
                self.bench.run_until(until)
            except Killed:
                self.restart()
            else:
                return

    def restart(self, down: timedelta = timedelta(0)) -> None:
        VirtualClock.wait_until(self.bench.clock, self.bench.clock.now() + down)
        self.bench.journal.kill_before = self.bench.journal.kill_after = None
        self.bench.reboot()
        self.calm_since = self.bench.clock.now()

    @property
    def is_over(self) -> bool:
        return self.bench.ledger.state == "CLOSED"

    @initialize()
    def the_morning_passes(self) -> None:
        self.go(at("09:21") - self.bench.clock.now())

    @rule(seconds=st.integers(1, 40))
    def time_passes(self, seconds: int) -> None:
        self.go(timedelta(seconds=seconds))

    @rule(minutes=st.sampled_from([1, 4]))
    def minutes_pass(self, minutes: int) -> None:
        self.go(timedelta(minutes=minutes))

    def go_past_the_minute(self, seconds: int) -> None:
        now = self.bench.clock.now()
        self.go(now.replace(second=0, microsecond=0) + timedelta(seconds=60 + seconds) - now)

    # The market and the strategies.

    def says(self, name: str, word: Signal) -> None:
        minute = self.bench.clock.now().replace(second=0, microsecond=0)
        self.words += word is Signal.BUY and minute not in self.bench.says[name]
        self.bench.says[name].setdefault(minute, word)

    @rule(names=st.sampled_from([*[(name,) for name in NAMES], NAMES]), fates=fates, seconds=st.integers(0, 30))
    def strategies_say_buy(self, names: tuple[str, ...], fates: list[str], seconds: int) -> None:
        self.world.fates = fates
        for name in names:
            self.says(name, Signal.BUY)
        self.go_past_the_minute(seconds)

    @rule(name=st.sampled_from(NAMES), seconds=st.integers(0, 5))
    def a_strategy_says_buy_and_nothing_is_in_the_way(self, name: str, seconds: int) -> None:
        self.world.bring_back()
        self.a_person_asks("resume", "", 0)
        self.go_past_the_minute(0)
        self.says(name, Signal.BUY)
        self.go_past_the_minute(seconds)

    @precondition(lambda self: self.bench.ledger.open_trades)
    @rule(name=st.sampled_from(NAMES), fates=fates, seconds=st.integers(0, 30))
    def a_strategy_says_exit(self, name: str, fates: list[str], seconds: int) -> None:
        self.says(name, Signal.EXIT)
        self.world.fates = fates
        self.go_past_the_minute(seconds)

    @precondition(lambda self: self.bench.ledger.open_trades)
    @rule(percent=st.sampled_from([60, 79, 90, 100, 110, 131, 150]), fates=fates)
    def the_price_moves(self, percent: int, fates: list[str]) -> None:
        self.bench.market._points[CALL.token].append((self.bench.clock.now(), 100 * percent))
        self.bench.market._built.pop(CALL.token, None)
        self.world.fates = fates
        self.go(timedelta(seconds=6))

    # The broker.

    @precondition(lambda self: self.bench.ledger.open_trades)
    @rule(fates=st.lists(st.sampled_from(CANCEL_FATES), min_size=1, max_size=3))
    def the_next_cancellations_have_fates(self, fates: list[str]) -> None:
        self.world.cancels = fates
        self.go(timedelta(seconds=25))

    @rule(what=st.sampled_from(["broker", "login", "index", "option"]), seconds=st.integers(1, 100))
    def something_fails(self, what: str, seconds: int) -> None:
        now = self.bench.clock.now()
        if what == "broker":
            self.world.silent_until = now + timedelta(seconds=seconds)
        elif what == "login":
            self.world.logged_out_until = now + timedelta(seconds=seconds)
        else:
            token = INDEX if what == "index" else CALL.token
            outage = Outage(token, f"{now:%H:%M:%S.%f}", f"{now + timedelta(seconds=seconds):%H:%M:%S.%f}")
            self.bench.market._outages = (*self.bench.market._outages, outage)

    # People.

    @rule(
        verb=st.sampled_from(["halt", "flatten", "resume"]),
        dies=st.sampled_from(["", "", "kill_before", "kill_after"]),
        seconds=st.integers(0, 100),
    )
    def a_person_asks(self, verb: Any, dies: str, seconds: int) -> None:
        request = f"R{next(self.asked)}"
        if dies:
            self.the_process_will_be_killed_at_a_commit(dies, 1)
        # The file of a request is there until the journal has it.
        while request not in self.bench.ledger.requests and not self.bench.trader.is_over:
            for _ in range(2):
                self.bench.inbox.put(Asked(verb, "somebody", request))
            self.go(timedelta(0))
        self.world.halted = verb != "resume"
        self.go(timedelta(seconds=seconds))

    def what_is_sure(self) -> OrderRequest | None:
        """A position that nothing is being done about: only then a person's sale has one defined answer."""
        trades = self.bench.ledger.open_trades
        sure = trades and not self.world.working and all(trade.state == "ACTIVE" for trade in trades)
        if not sure or any(trade.is_adopted for trade in trades) or self.world.held < LOT:
            return None
        return self.world.orders[0].request

    @precondition(lambda self: self.what_is_sure())
    @rule(lots=st.integers(1, 4), seconds=st.integers(0, 100))
    def a_position_is_sold_by_hand(self, lots: int, seconds: int) -> None:
        request = self.what_is_sure()
        assert request is not None
        self.world.sell_by_hand(request, min(lots * LOT, self.world.held))
        self.go(timedelta(seconds=seconds))

    @precondition(lambda self: self.world.arrived)
    @rule()
    def an_order_is_cancelled_by_hand(self) -> None:
        self.world.cancel_by_hand(self.world.arrived[-1])

    # The process.

    @rule(down=st.sampled_from([0, 0, 3, 100, 400]))
    def the_process_is_killed(self, down: int) -> None:
        was = self.bench.ledger
        self.restart(timedelta(seconds=down))
        assert (self.bench.ledger.trades, self.bench.ledger.state) == (was.trades, was.state)
        assert (self.bench.ledger.halted, self.bench.ledger.order_times) == (was.halted, was.order_times)

    @rule(moment=st.sampled_from(["kill_before", "kill_after"]), commits=st.integers(1, 6))
    def the_process_will_be_killed_at_a_commit(self, moment: str, commits: int) -> None:
        setattr(self.bench.journal, moment, self.bench.journal.commits + commits)

    # What must be true after each of these.

    @invariant()
    def nothing_happened_that_must_not(self) -> None:
        assert self.bench.breaches + self.world.wrongs == [], self.bench.breaches + self.world.wrongs
        assert not (self.world.halted and self.bench.ledger.state == "TRADING"), "a halt is not followed"
        assert self.bench.floor.fault == ""
        assert self.world.held >= 0

    @invariant()
    def what_was_seen_of_an_order_is_what_happened_to_it(self) -> None:
        for trade in self.bench.trades:
            for order in trade.orders:
                assert order.filled <= self.world.filled_of(order.tag)
        bought = [order for order in self.world.orders if order.is_ours and order.request.side is Side.BUY]
        assert len(bought) <= self.words

    @invariant()
    def when_all_is_calm_the_trader_holds_what_the_broker_holds(self) -> None:
        world, now = self.world, self.bench.clock.now()
        ends = [order.arrives for order in world.orders]
        last = max([self.calm_since, world.changed_at, world.silent_until, world.logged_out_until, *ends])
        # While an order may still fill, for all the trader knows, positions of its contract are not judged.
        if world.working or any(trade.has_open_order for trade in self.bench.ledger.open_trades):
            self.calm_since = now
        elif now >= last + CALM and not self.bench.trader.is_over:
            held = sum(trade.held for trade in self.bench.ledger.open_trades)
            assert held == world.held, f"the trader holds {held} units, the broker {world.held}"

    def teardown(self) -> None:
        try:
            self.the_day_ends()
        finally:
            self.close()

    def close(self) -> None:
        self.bench.close()
        self._folder.cleanup()

    def the_day_ends(self) -> None:
        """Let every trouble end and the day run out: flat, and what was bought was sold."""
        self.world.bring_back()
        while not self.bench.trader.is_over:
            try:
                self.bench.run_until(at("17:05"))
            except Killed:
                self.restart()
            except NeverEndsError as error:
                open_trades = [(trade.trade_id, trade.state) for trade in self.bench.ledger.open_trades]
                raise AssertionError(f"the day never ends, open: {open_trades}") from error
        self.nothing_happened_that_must_not()
        ledger = self.bench.ledger
        assert (ledger.state, ledger.open_trades) == ("CLOSED", [])
        assert self.world.held == 0, f"the day ended with {self.world.held} units at the broker"
        known = {order.tag: order.filled for trade in self.bench.trades for order in trade.orders}
        for order in self.world.orders:
            if order.is_ours:
                seen = known.get(order.request.tag)
                assert seen == order.filled, f"{order.order_id} filled {order.filled}, {seen} is known"
        by_hand = sum(order.filled for order in self.world.orders if not order.is_ours)
        assert sum(trade.sold_outside for trade in self.bench.trades) == by_hand
        assert all(trade.held == 0 for trade in self.bench.trades)
        asked = [row.request for row in self.bench.rows(OperatorAsked)]
        assert len(asked) == len(set(asked)), "a request was met twice"
        again = Ledger().fold(self.bench.entries)
        assert (again.trades, again.requests, again.at) == (ledger.trades, ledger.requests, ledger.at)
