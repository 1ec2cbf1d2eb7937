"""A call that hangs: on a real clock the broker is asked beside the loop, so one request never blinds another trade."""

from __future__ import annotations

import threading
from datetime import timedelta

from fsm_trader.broker.paper.broker import PaperBroker
from fsm_trader.core.events import StopAsked
from fsm_trader.core.ledger import Ledger
from fsm_trader.core.orders import OrderRequest, Role
from fsm_trader.core.records import RunStarted
from fsm_trader.engine import loop
from fsm_trader.engine.act import Effects
from fsm_trader.engine.floor import Floor
from fsm_trader.engine.signals import Seat
from fsm_trader.engine.trader import Trader
from fsm_trader.engine.work import Inbox, ThreadWorker
from fsm_trader.machines.run import Machine
from fsm_trader.ops.clock import ScaledClock

from .bench import BUY, SESSION, ScriptedStrategy, builtin
from .given import risk, strategy
from .market import CLOSE, OPEN, ScriptedMarket, at, path

_SPEED = 150.0  # 150 s of the day pass in one.
_LONGEST_HANG_S = 10.0


class HangingBroker:
    """Takes the order of one strategy's trade only once it is let go."""

    def __init__(self, inner: PaperBroker, hangs: str) -> None:
        self.inner = inner
        self.let_go = threading.Event()
        self.hanging = threading.Event()
        self._hangs = hangs

    def place(self, request: OrderRequest) -> str:
        if request.tag[8:12] == self._hangs:
            self.hanging.set()
            assert self.let_go.wait(_LONGEST_HANG_S)
        return self.inner.place(request)

    def __getattr__(self, name: str):
        return getattr(self.inner, name)


class Watcher:
    """Lets the hanging call go once the other trade is over, and ends the run when both are."""

    def __init__(self, broker: HangingBroker, inbox: Inbox) -> None:
        self._broker = broker
        self._inbox = inbox
        self.closed_while_hanging: list[str] = []

    def committed(self, entries, ledger: Ledger) -> None:
        closed = [trade.trade_id for trade in ledger.trades.values() if trade.state == "CLOSED"]
        if closed and not self._broker.let_go.is_set():
            self.closed_while_hanging = closed if self._broker.hanging.is_set() else []
            self._broker.let_go.set()

    def passed(self, now) -> None:
        if now >= at("09:38"):
            self._broker.let_go.set()
            self._inbox.put(StopAsked("the test is over"))


def test_a_stop_loss_is_sold_while_the_order_of_another_trade_hangs(bench):
    pair = [strategy("holds"), strategy("hangs")]
    kept = bench(
        {},
        strategies=pair,
        market=ScriptedMarket(path(("09:33:40", 8000))),
        limits=risk(max_open_trades=2),
        broker={"settle": timedelta(seconds=5)},
    )
    scripts = {"holds": {"09:31": BUY}, "hangs": {"09:32": BUY}}
    clock = ScaledClock(at("09:30:30"), _SPEED)
    inbox = Inbox(clock)
    worker = ThreadWorker(inbox)
    inner = PaperBroker(
        settings=kept.settings.broker.paper,
        clock=clock,
        prices=kept.market,
        find_contract={contract.tradingsymbol: contract for contract in kept.contracts}.get,
        book=kept._book,
        hours=(OPEN, CLOSE),
    )
    broker = HangingBroker(inner, "002E")
    watcher = Watcher(broker, inbox)
    floor = Floor(
        settings=kept.settings,
        plan=kept.plan,
        session=SESSION,
        clock=clock,
        journal=kept.journal,
        ledger=Ledger(),
        effects=Effects(broker=broker, feed=kept.market, clock=clock),
        worker=worker,
        session_machine=Machine(builtin("session")),
        trade_machine=Machine(builtin("trade")),
        trade_machines={builtin("trade").digest: Machine(builtin("trade"))},
        observers=(watcher,),
    )
    seats = [Seat(each, ScriptedStrategy(scripts[each.name])) for each in pair]
    trader = Trader(floor, feed=kept.market, contracts=kept.contracts, seats=seats)
    floor.commit(RunStarted(SESSION, "test", "settings", {}, 1))

    try:
        loop.run(trader, inbox=inbox, clock=clock)
    finally:
        broker.let_go.set()
        worker.close(_LONGEST_HANG_S)
        clock.close()

    assert watcher.closed_while_hanging == ["20260617-001"]
    first, second = floor.ledger.trades.values()
    assert first.exit_reason == "stop_loss"
    # The hanging request was never counted as absent, though it took longer than the settling time, and it arrived.
    assert [order.answer for order in second.orders_of(Role.ENTRY)] == ["accepted"]
    assert second.held > 0
    assert floor.fault == ""
