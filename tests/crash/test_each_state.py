"""The command of the README, killed from outside in each state and given again: one entry, one exit, flat."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing

import msgspec
import pytest

from fsm_trader.broker.paper.order import PaperOrder, State

from . import brief_day
from .conftest import Desk, assert_whole_day, ended

COMMAND = ("-m", "fsm_trader", "session.yaml")
# What the journal shows when a state has come and its order was taken.
CAUGHT = {
    "PENDING_ENTRY": "SELECT 1 FROM events WHERE kind = 'order_answered'",
    "ACTIVE": "SELECT 1 FROM transitions WHERE dest = 'ACTIVE'",
    "PENDING_EXIT": "SELECT 1 FROM events WHERE kind = 'order_answered' LIMIT 1 OFFSET 1",
}


@pytest.fixture
def brief(desk: Desk) -> Desk:
    """A desk with one trade in its day, whose orders take long enough for a signal to come in between."""
    brief_day.prepare(desk)
    desk.edit('"09:40"', '"09:20"')
    desk.edit('"09:42"', '"09:30"')
    desk.edit("latency: 300ms", "latency: 1m")
    desk.edit("entry_timeout: 20s", "entry_timeout: 2m\n  exit_timeout: 2m")
    return desk


def orders_in_book(desk: Desk) -> list[PaperOrder]:
    """Read the broker's file with nothing but sqlite3."""
    with closing(sqlite3.connect(f"file:{desk.folder / 'var' / 'paper.db'}?mode=ro", uri=True)) as book:
        bodies = book.execute("SELECT body FROM orders ORDER BY number").fetchall()
    return [msgspec.json.decode(body, type=PaperOrder) for (body,) in bodies]


@pytest.mark.parametrize("state", CAUGHT)
def test_the_command_killed_in_a_state_and_given_again_ends_with_one_entry_and_one_exit(brief: Desk, state):
    # The minute an order takes is a fifth of a second here.
    brief.set_speed("300")
    process = brief.start(*COMMAND)
    brief.wait_for(process, CAUGHT[state])

    process.send_signal(signal.SIGKILL)

    assert ended(process) == -signal.SIGKILL
    before = brief.entries()
    (caught,) = brief.ledger().open_trades
    assert caught.state == state
    brief.set_speed("max")
    assert ended(brief.start(*COMMAND)) == 0
    (trade,) = assert_whole_day(brief, before).session_trades
    assert trade.trade_id == caught.trade_id
    assert (trade.state, trade.exit_reason) == ("CLOSED", "strategy_exit")
    placed = [(order.request.side, order.request.quantity, order.state) for order in orders_in_book(brief)]
    assert placed == [("BUY", 130, State.COMPLETE), ("SELL", 130, State.COMPLETE)]
