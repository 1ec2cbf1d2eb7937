"""Clocks that jump or stop in mid-trade: nothing is lost, nothing doubled, the stop holds, and a person is told."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import timedelta

import pytest

from fsm_trader.core.orders import Role
from fsm_trader.core.records import OrderIntended
from fsm_trader.ops.clock import real_s

from .conftest import SPEED, Desk, moves
from .nursery import Nursery

FALLS = {"09:15": 100, "09:19": 75}
AGAIN = dict.fromkeys(("09:16", "09:17", "09:18"), "BUY")
HOUR_S = 3600.0
BOUGHT = "PENDING_ENTRY -> ACTIVE"
CLOSED = ("PENDING_EXIT -> CLOSED",)


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


def trades_by_its_own_clock(
    desk: Desk, nursery: Nursery, *jumps: tuple[str, float], until: tuple[str, ...] = ()
) -> int:
    """Let a trader trade as with real orders, by the clock of its machine, which goes right until it jumps."""
    desk.write(prices=FALLS, says=AGAIN, square_off="09:40")
    kite = desk.serve(session__calendar="NSE", risk__max_trades_per_day=1).service.kite
    kite.clock.begin()
    machine = {"now": kite.clock.now().isoformat(), "began_s": real_s(), "speed": SPEED, "jumps": jumps}
    return nursery.run(desk, machine=machine, until=until)


def assert_one_way_in_and_out(desk: Desk, *, is_in_time: bool = True) -> None:
    desk.assert_sound(is_in_time=is_in_time)
    (trade,) = desk.ledger().session_trades
    assert [len(trade.orders_of(role)) for role in (Role.ENTRY, Role.EXIT)] == [1, 1]


def test_a_machine_whose_clock_is_set_back_by_an_hour_watches_the_stop_all_the_same(desk: Desk, nursery: Nursery):
    code = trades_by_its_own_clock(desk, nursery, (BOUGHT, -HOUR_S), until=CLOSED)

    assert code == 0
    assert moves(desk)[-2:] == [("PENDING_EXIT", "stop_loss"), ("CLOSED", "")]
    exits = [entry for entry in desk.entries() if getattr(entry.record, "role", None) is Role.EXIT]
    # The price falls at 09:19:20 of the exchange's day.
    assert f"{exits[0].at:%H:%M}" in ("09:19", "09:20")
    assert "the machine's clock was set back by 3600 s" in desk.alarms()
    assert_one_way_in_and_out(desk)


def test_a_machine_whose_clock_jumps_ahead_is_flat_at_once_when_it_believes_the_day_is_over(
    desk: Desk, nursery: Nursery
):
    code = trades_by_its_own_clock(desk, nursery, (BOUGHT, HOUR_S))

    assert code == 0
    assert moves(desk)[-2:] == [("PENDING_EXIT", "max_hold"), ("CLOSED", "")]
    assert desk.ledger().state == "CLOSED"
    assert "the machine's clock jumped ahead by 3600 s" in desk.alarms()
    assert_one_way_in_and_out(desk)


def test_a_clock_that_jumps_ahead_between_intent_and_answer_doubles_no_order(desk: Desk, nursery: Nursery):
    code = trades_by_its_own_clock(desk, nursery, ("intends entry order", HOUR_S))

    assert code == 0
    desk.assert_sound()
    (trade,) = desk.ledger().session_trades
    assert trade.state in ("CLOSED", "FAILED")
    assert len(trade.orders_of(Role.ENTRY)) == 1
    assert len([row for row in desk.rows(OrderIntended) if row.role is Role.EXIT]) <= 1


def test_a_clock_that_is_set_back_between_an_exits_intent_and_its_answer_doubles_no_order(desk: Desk, nursery: Nursery):
    code = trades_by_its_own_clock(desk, nursery, ("intends exit order", -HOUR_S), until=CLOSED)

    assert code == 0
    assert_one_way_in_and_out(desk)


def test_a_sandbox_whose_time_stops_is_waited_for_and_the_stop_holds(desk: Desk, nursery: Nursery):
    desk.write(prices=FALLS, says=AGAIN, square_off="09:40")
    clock = desk.serve(risk__max_trades_per_day=1).service.kite.clock
    nursery.begin(desk, until=CLOSED)
    desk.wait_for_row("SELECT 1 FROM transitions WHERE dest = 'ACTIVE'")
    stopped_s = real_s()
    clock._seconds = lambda: stopped_s
    stood_at = clock.now()
    rows = len(desk.entries())
    desk.wait(1.8)
    while_it_stood = [entry.at for entry in desk.entries()[rows:]]
    lost_s = real_s() - stopped_s
    clock._seconds = lambda: real_s() - lost_s

    code = nursery.ended(desk)

    assert code == 0
    assert moves(desk)[-2:] == [("PENDING_EXIT", "stop_loss"), ("CLOSED", "")]
    # What is followed is read twice a second: until then, and for as long as an answer may be late, time goes on.
    assert all(at - stood_at < timedelta(seconds=1.5 * SPEED) for at in while_it_stood)
    assert_one_way_in_and_out(desk)


def test_a_sandbox_whose_day_jumps_ahead_is_followed_and_the_trader_is_flat_in_time(desk: Desk, nursery: Nursery):
    desk.write(prices=FALLS, says=AGAIN, square_off="09:40")
    clock = desk.serve(risk__max_trades_per_day=1).service.kite.clock
    nursery.begin(desk)
    desk.wait_for_row("SELECT 1 FROM transitions WHERE dest = 'ACTIVE'")
    clock._seconds = lambda: real_s() + timedelta(minutes=25).total_seconds() / SPEED

    code = nursery.ended(desk)

    assert code == 0
    assert desk.ledger().state == "CLOSED"
    assert_one_way_in_and_out(desk)


def test_a_start_after_a_clock_that_was_ahead_is_right_again_finds_rows_of_the_future_and_holds_the_stop(
    desk: Desk, nursery: Nursery
):
    ten_minutes_s = 600.0
    desk.write(prices=FALLS, says=AGAIN, square_off="09:40")
    clock = desk.serve(session__calendar="NSE", risk__max_trades_per_day=1).service.kite.clock
    clock.begin()
    machine = {"now": clock.now().isoformat(), "began_s": real_s(), "speed": SPEED, "jumps": [(BOUGHT, ten_minutes_s)]}
    told = {"commit": True, "words": "jumped ahead", "moment": "after"}
    killed = nursery.run(desk, machine=machine, kill=told)
    ahead = desk.entries()[-1].at - clock.now()

    right = {"now": clock.now().isoformat(), "began_s": real_s(), "speed": SPEED, "jumps": []}
    code = nursery.run(desk, machine=right, until=CLOSED)

    assert (killed, code) == (-signal.SIGKILL, 0)
    assert ahead > timedelta(minutes=5)
    assert moves(desk)[-2:] == [("PENDING_EXIT", "stop_loss"), ("CLOSED", "")]
    exits = [entry for entry in desk.entries() if getattr(entry.record, "role", None) is Role.EXIT]
    assert f"{exits[0].at:%H:%M}" in ("09:19", "09:20")
    assert "one of them is wrong. The session goes by the clock as it is now." in desk.alarms()
    assert_one_way_in_and_out(desk, is_in_time=False)
