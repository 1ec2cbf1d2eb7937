"""A live trader is halted and let go again from another shell, by a person whose word outlives the process."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from fsm_trader.core.orders import Role
from fsm_trader.core.records import OperatorAsked

from .conftest import Desk, blocks, moves
from .nursery import Nursery

FALLS = {"09:15": 100, "09:23": 75}
BUYS = {f"09:{minute}": "BUY" for minute in range(16, 22)}


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


def test_a_halt_holds_over_a_kill_until_resume_and_a_second_one_leaves_the_open_trade_its_stop(
    desk: Desk, nursery: Nursery, monkeypatch, capsys
):
    desk.write(prices=FALLS, says=BUYS, square_off="09:40")
    desk.serve(risk__max_trades_per_day=1)
    nursery.begin(desk, kill={"commit": True, "words": "a person asked for halt", "moment": "after"})
    desk.wait_for_row("SELECT 1 FROM transitions WHERE dest = 'TRADING'")
    # It dies with the word in its journal and nothing done about it yet.
    halted = desk.do(monkeypatch, "halt")
    killed = nursery.ended(desk)

    nursery.begin(desk, until=("PENDING_EXIT -> CLOSED",))
    desk.wait_for_row("SELECT 1 FROM events WHERE kind = 'entry_blocked' AND body LIKE '%until resume%'")
    before = desk.ledger()
    resumed = desk.do(monkeypatch, "resume")
    desk.wait_for_row("SELECT 1 FROM transitions WHERE dest = 'ACTIVE'")
    again = desk.do(monkeypatch, "halt")
    code = nursery.ended(desk)

    out, err = capsys.readouterr()
    desk.said.append(out + err)
    assert (halted, killed, resumed, again, code) == (0, -signal.SIGKILL, 0, 0, 0)
    assert before.halted
    assert not before.trades
    assert "halted by a person until resume" in blocks(desk)
    assert [row.verb for row in desk.rows(OperatorAsked)] == ["halt", "resume", "halt"]
    assert moves(desk)[-2:] == [("PENDING_EXIT", "stop_loss"), ("CLOSED", "")]
    (trade,) = desk.ledger().session_trades
    assert [len(trade.orders_of(role)) for role in (Role.ENTRY, Role.EXIT)] == [1, 1]
    assert desk.ledger().halted
    desk.assert_sound()
