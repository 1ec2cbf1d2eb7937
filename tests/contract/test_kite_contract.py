"""The Kite broker keeps the contract, over real HTTP, on the matching engine of the paper broker."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta

import pytest

from fsm_trader.broker.kite.broker import KiteBroker
from fsm_trader.broker.paper.book import PaperBook
from fsm_trader.broker.paper.broker import PaperBroker
from fsm_trader.broker.paper.faults import FaultPlan, OrderFault
from fsm_trader.kite.budgets import Budgets, Limits
from fsm_trader.kite.wire import KiteWire
from fsm_trader.ops.clock import VirtualClock

from .kite_over_paper import kite_over
from .scripted import CLOSE, DAY, OPEN, Script, find, paper_settings
from .suite import BrokerContract

# Waiting for a budget would move the scripted market on.
_ENOUGH = Limits(orders_per_second=1000, orders_per_minute=1000, others_per_second=1000)


class KiteBench:
    """The Kite broker and, behind a port, the market it trades in. Both live on one virtual clock."""

    def __init__(self, stack: ExitStack, path, *points, partial_fills=False, lose_answer_of=None) -> None:
        book = PaperBook(path)
        world = book.begin(DAY, OPEN)
        self.clock = VirtualClock(world.now, book.save_now)
        paper = PaperBroker(
            settings=paper_settings(path, partial_fills=partial_fills),
            clock=self.clock,
            prices=Script(*points),
            find_contract=find,
            book=book,
            hours=(OPEN, CLOSE),
            faults=FaultPlan(orders=(OrderFault(kind="lost_answer", tags=lose_answer_of),)) if lose_answer_of else None,
        )
        stack.callback(paper.close)
        root = stack.enter_context(kite_over(paper))
        wire = KiteWire(
            root=root,
            api_key="key",
            token=lambda: "token",
            timeout=timedelta(seconds=5),
            clock=self.clock,
            budgets=Budgets(self.clock, _ENOUGH),
            warm_after=None,
        )
        stack.callback(wire.close)
        self.broker = KiteBroker(wire=wire, clock=self.clock, find_contract=find)

    def pass_time(self, seconds: float) -> None:
        self.clock.sleep(seconds)


class TestKiteBroker(BrokerContract):
    @pytest.fixture
    def make_broker(self, tmp_path):
        with ExitStack() as stack:

            def make(*points, **given):
                return KiteBench(stack, tmp_path / "market.db", *points, **given)

            yield make
