"""The Kite broker keeps the contract against the sandbox: its server, its words, its ids, over real HTTP."""

from __future__ import annotations

import asyncio
import threading
from contextlib import ExitStack
from datetime import timedelta

import pytest

from fsm_trader.broker.kite.broker import KiteBroker
from fsm_trader.broker.paper.book import PaperBook
from fsm_trader.core.settings import UnderlyingSettings
from fsm_trader.kite.budgets import Budgets, Limits
from fsm_trader.kite.wire import KiteWire
from fsm_trader.ops.clock import VirtualClock
from fsm_trader.simulate.sandbox.account import Account
from fsm_trader.simulate.sandbox.clock import DayClock
from fsm_trader.simulate.sandbox.day import PlayedDay
from fsm_trader.simulate.sandbox.exchange import Exchange
from fsm_trader.simulate.sandbox.faults import FaultPlan, Faults, PlannedFault
from fsm_trader.simulate.sandbox.kite import Kite
from fsm_trader.simulate.sandbox.server import Server
from fsm_trader.simulate.sandbox.service import Service

from .scripted import CALL, CLOSE, DAY, INDIA, OPEN, Script, find, paper_settings
from .suite import BrokerContract

LONGEST_S = 10.0
INDEX = UnderlyingSettings("NIFTY", "NIFTY 50", "NSE", 256265)
# Waiting for a budget would move the scripted market on.
_ENOUGH = Limits(orders_per_second=1000, orders_per_minute=1000, others_per_second=1000)


class ScriptedDay(Script):
    """The scripted prices as a day that the sandbox can play."""

    day, opens_at, closes_at, label = DAY, OPEN, CLOSE, "scripted"

    def candles(self, token, *, after, now):
        return ()


class Sandbox:
    """A sandbox on a thread of its own; its day is as far as the given clock."""

    def __init__(self, book: PaperBook, clock: VirtualClock, paper, day: ScriptedDay, faults) -> None:
        account = Account(paper.book.with_suffix(".tokens"), play=1, now=OPEN)

        def seconds() -> float:
            return (clock.now() - OPEN).total_seconds()

        day_clock = DayClock(OPEN, CLOSE, 1.0, seconds=seconds)
        day_clock.begin()
        exchange = Exchange(paper, PlayedDay(day, (CALL,), INDEX.token), book)
        kite = Kite(exchange, account, day_clock, INDEX)
        self.service = Service(kite, Faults(FaultPlan(faults=faults)), None, clock.now)
        self.token = account.newest_token()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(),))
        self._thread.start()
        assert self._ready.wait(LONGEST_S)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        await Server(self.service).run(self._stop, self._listening)

    def _listening(self, address: str) -> None:
        self.root = f"http://{address}"
        self._ready.set()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(LONGEST_S)
        assert not self._thread.is_alive()


class SandboxBench:
    """The Kite broker before a sandbox that plays the scripted prices."""

    def __init__(self, stack: ExitStack, path, *points, partial_fills=False, lose_answer_of=None) -> None:
        book = PaperBook(path)
        stack.callback(book.close)
        book.begin(DAY, OPEN)
        self.clock = VirtualClock(OPEN.astimezone(INDIA))
        lost = PlannedFault(kind="reset_after", calls=("place",), tags=lose_answer_of) if lose_answer_of else None
        paper = paper_settings(path, partial_fills=partial_fills)
        sandbox = Sandbox(book, self.clock, paper, ScriptedDay(*points), (lost,) if lost else ())
        stack.callback(sandbox.close)
        wire = KiteWire(
            root=sandbox.root,
            api_key="sandboxkey000001",
            token=lambda: sandbox.token,
            timeout=timedelta(seconds=5),
            clock=self.clock,
            budgets=Budgets(self.clock, _ENOUGH),
            warm_after=None,
        )
        stack.callback(wire.close)
        self.broker = KiteBroker(wire=wire, clock=self.clock, find_contract=find)

    def pass_time(self, seconds: float) -> None:
        self.clock.sleep(seconds)


class TestKiteBrokerOnTheSandbox(BrokerContract):
    @pytest.fixture
    def make_broker(self, tmp_path):
        with ExitStack() as stack:

            def make(*points, **given):
                return SandboxBench(stack, tmp_path / "market.db", *points, **given)

            yield make
