"""A stream that fails is told: once for each fault, seldom where it comes and goes, and never not at all."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fsm_trader.app.live import LiveWorld, Parts
from fsm_trader.app.options_of_day import KnownContracts
from fsm_trader.core.day import DayPlan
from fsm_trader.core.events import Noticed, OrdersMoved, PriceRead
from fsm_trader.engine.work import Inbox
from fsm_trader.market.calendar import calendar_for
from fsm_trader.market.kite.feed import KiteFeed
from fsm_trader.market.kite.instruments import InstrumentStore
from fsm_trader.market.kite.live import LiveTicks

from .kite_market import INDEX, INDIA, OPTION, SetClock, Wire, at, tick

MINUTES = timedelta(minutes=1)


class Tokens:
    """One token that never changes."""

    def changed(self) -> bool:
        return False


class World:
    """A live world on a day without trading, whose stream is what the test says of it."""

    def __init__(self, folder: Path) -> None:
        self.clock = SetClock(at("10:00:00"))
        self.live = LiveTicks(self.clock, INDIA)
        wire = Wire(self.clock)
        store = InstrumentStore(wire, folder=folder, clock_now=self.clock.now, zone=INDIA)
        feed = KiteFeed(wire, store=store, underlying=INDEX, calendar=calendar_for("NSE"), zone=INDIA, live=self.live)
        times = dict.fromkeys(("health_start", "health_end", "trading_start", "trading_end"), at("09:15:00"))
        plan = DayPlan(day=at("09:15:00").date(), why_closed="closed", square_off=at("15:10:00"), **times)
        # What the stream's faults have nothing to do with is left out.
        rest: dict[str, Any] = dict.fromkeys(("kite", "follower", "wire", "broker"))
        market = SimpleNamespace(market=SimpleNamespace(underlying=INDEX, feed="stream"))
        parts: Any = Parts(
            **rest, settings=market, session="s", plan=plan, clock=self.clock, jumped=timedelta, tokens=Tokens(),
            feed=feed, live=self.live, store=store, known=KnownContracts({}),
        )  # fmt: skip
        self.world = LiveWorld(parts, feed.close)
        self.worker = self.world.connect(Inbox(self.clock))

    def told(self) -> list[str]:
        return [event.text.partition(".")[0] for event in self.world.news() if isinstance(event, Noticed)]

    def lose(self, why: str, *, login_required: bool = False) -> None:
        self.live.lost(why, login_required=login_required)


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    assert made.told() == []
    return made


def test_a_stream_that_goes_down_again_soon_after_is_told_when_the_time_between_two_alarms_is_over(world: World):
    world.lose("stream: cut")
    first = world.told()
    world.live.opened()
    world.clock.time += MINUTES
    between = world.told()
    world.lose("stream: cut")

    early = [world.told() for _ in range(3)]
    world.clock.time += 4 * MINUTES
    late = [world.told() for _ in range(3)]

    assert (first, between) == (["stream: cut"], [])
    assert early == [[], [], []]
    assert late == [["stream: cut"], [], []]


def test_a_stream_that_is_back_before_it_was_told_is_not_told(world: World):
    world.lose("stream: cut")
    world.told()
    world.live.opened()
    world.clock.time += MINUTES
    world.lose("stream: silent")
    world.told()
    world.live.opened()

    world.clock.time += 10 * MINUTES

    assert world.told() == []


def test_one_fault_is_told_once_however_long_it_lasts(world: World):
    world.lose("stream: cut")

    told = []
    for _ in range(60):
        told += world.told()
        world.clock.time += MINUTES

    assert told == ["stream: cut"]


def test_a_fault_behind_a_dead_token_is_told_when_it_is_not_the_token_any_more(world: World):
    world.lose("stream: 403", login_required=True)
    dead = world.told()
    world.lose("stream: nobody answers")

    assert dead == []
    assert world.told() == ["stream: nobody answers"]


def test_before_the_stream_was_ever_lost_there_is_nothing_to_tell(world: World):
    assert world.live.fault
    assert world.told() == []


def test_an_order_that_moved_is_told_before_the_prices_that_came_with_it(world: World) -> None:
    world.live.opened()
    world.world.news()
    world.live.watch(OPTION, prices=True)
    world.live.ticks([tick(OPTION, 10_000, world.clock.now())])
    world.live.order_update()

    told = [type(event) for event in world.world.news() if isinstance(event, OrdersMoved | PriceRead)]

    assert told == [OrdersMoved, PriceRead]


def test_a_stream_is_trusted_about_orders_only_where_its_last_word_of_them_was_taken(world: World) -> None:
    feed, now = world.world.feed, world.clock.now()
    assert not feed.hears_orders(now)

    world.live.opened()
    world.live.heard()
    after_connecting = feed.hears_orders(now)
    world.world.news()
    quiet = feed.hears_orders(now)
    world.live.order_update()
    told = feed.hears_orders(now)
    world.world.news()

    assert (after_connecting, quiet, told, feed.hears_orders(now)) == (False, True, False, True)
    assert not feed.hears_orders(now + MINUTES)


def test_a_word_of_an_order_that_comes_while_none_is_being_found_is_not_taken_back(world: World) -> None:
    class Late(LiveTicks):
        """Is told of an order by the stream's thread right after its own was asked whether one moved."""

        @property
        def _has_moved(self) -> bool:
            seen = self.__dict__.get("moved", False)
            if self.__dict__.pop("is_late", False):
                self.order_update()
            return seen

        @_has_moved.setter
        def _has_moved(self, moved: bool) -> None:
            self.__dict__["moved"] = moved

    live = Late(world.clock, INDIA)
    live.__dict__["is_late"] = True

    assert [live.take_moved(), live.take_moved(), live.take_moved()] == [False, True, False]
