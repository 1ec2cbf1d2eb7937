"""Killed at any commit, around any call, in any state with any fault, and again while it recovers: it ends flat."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from fsm_trader.core.orders import Role
from fsm_trader.core.records import OrderIntended

from . import brief_day
from .conftest import Desk, assert_whole_day
from .nursery import Nursery

KILLED = -signal.SIGKILL
# A brief day has a few more; its last ones only end it.
COMMITS = 76
MOMENTS = ("before", "inside", "after")

BOUGHT = {"commit": True, "words": "PENDING_ENTRY -> ACTIVE", "moment": "after"}
STATES = {
    "PENDING_ENTRY": {"call": "place", "side": "BUY", "moment": "after"},
    "ACTIVE": BOUGHT,
    "PENDING_EXIT": {"call": "place", "side": "SELL", "moment": "after"},
}


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
def brief(desk: Desk) -> Desk:
    brief_day.prepare(desk)
    return desk


def slow_orders(desk: Desk) -> None:
    """Let orders rest so long that each is overdue and cancelled."""
    desk.edit("latency: 300ms", "latency: 25s")


def ends_flat(desk: Desk, nursery: Nursery, *, least: int = brief_day.TRADES - 1, **plan: Any) -> None:
    """Start once more and hold the whole day against what must be true of it; a kill costs one entry at most."""
    before = desk.entries()

    code = nursery.run(desk.folder, **plan)

    ledger = assert_whole_day(desk, before)
    assert code == 0
    assert least <= len(ledger.session_trades) <= brief_day.TRADES + 1
    assert all(trade.held == 0 for trade in ledger.session_trades)
    intended = [entry.record for entry in desk.entries() if isinstance(entry.record, OrderIntended)]
    entries = [row.trade_id for row in intended if row.role is Role.ENTRY]
    assert len(entries) == len(set(entries))


def test_an_undisturbed_brief_day_has_four_trades_with_four_ways_out(brief: Desk, nursery: Nursery):
    assert nursery.run(brief.folder) == 0

    trades = assert_whole_day(brief, []).session_trades
    assert [trade.exit_reason for trade in trades] == ["strategy_exit", "stop_loss", "target", "square_off"]


@pytest.mark.parametrize("nth", range(1, COMMITS + 1, 6))
def test_a_process_killed_at_a_commit(brief: Desk, nursery: Nursery, nth):
    assert nursery.run(brief.folder, commit=True, nth=nth, moment=MOMENTS[nth // 6 % 3]) == KILLED

    ends_flat(brief, nursery)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(("side", "nth"), [("BUY", 1), ("SELL", 1), ("SELL", 2)])
def test_a_process_killed_around_the_sending_of_an_order(brief: Desk, nursery: Nursery, side, nth, moment):
    assert nursery.run(brief.folder, call="place", side=side, nth=nth, moment=moment) == KILLED

    ends_flat(brief, nursery)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("nth", [1, 2])
def test_a_process_killed_around_a_cancellation(brief: Desk, nursery: Nursery, nth, moment):
    slow_orders(brief)

    assert nursery.run(brief.folder, call="cancel", nth=nth, moment=moment) == KILLED

    ends_flat(brief, nursery, least=0)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    ("call", "nth"), [("book", 8), ("positions", 9), ("check", 10), ("candles", 11), ("price", 12)]
)
def test_a_process_killed_around_a_reading(brief: Desk, nursery: Nursery, call, nth, moment):
    assert nursery.run(brief.folder, call=call, nth=nth, moment=moment) == KILLED

    ends_flat(brief, nursery)


@pytest.mark.parametrize("kind", ["lost_answer", "lost_request", "busy", "refuse"])
@pytest.mark.parametrize("state", ["PENDING_ENTRY", "PENDING_EXIT"])
def test_a_process_killed_in_a_state_that_a_fault_led_into(brief: Desk, nursery: Nursery, state, kind):
    role = "E" if state == "PENDING_ENTRY" else "X"
    faults = [[kind, "place", f"FT??????00[13]{role}01*", 2]]
    # The row that tells what became of sending the first order of this role.
    words = {"lost_answer": "unknown", "lost_request": "unknown", "busy": "accepted", "refuse": "refused"}[kind]
    nth = 2 if (state, kind) == ("PENDING_EXIT", "busy") else 1

    killed = nursery.run(brief.folder, commit=True, words=f" {words}", nth=nth, moment="after", faults=faults)

    assert killed == KILLED
    ends_flat(brief, nursery, faults=faults)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_process_killed_when_half_of_an_order_was_filled(brief: Desk, nursery: Nursery, nth, moment):
    brief.edit("latency: 300ms", "latency: 2s, partial_fills: 100%")

    assert nursery.run(brief.folder, commit=True, words="filled 65 at", nth=nth, moment=moment) == KILLED

    ends_flat(brief, nursery)


@pytest.mark.parametrize("again", [1, 2, 4, 6])
@pytest.mark.parametrize("state", STATES)
def test_a_process_killed_in_a_state_and_its_follower_while_it_recovers(brief: Desk, nursery: Nursery, state, again):
    assert nursery.run(brief.folder, **STATES[state]) == KILLED
    assert nursery.run(brief.folder, commit=True, nth=again, moment=MOMENTS[again % 3]) == KILLED
    assert nursery.run(brief.folder, call="book", nth=again, moment="after") == KILLED

    ends_flat(brief, nursery)
