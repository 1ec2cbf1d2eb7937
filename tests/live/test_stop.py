"""A live trader is told what to do from another shell, and ends in time whatever the network does."""

from __future__ import annotations

import time

from .conftest import Desk, moves

STAYS = {"09:15": 100}
BUYS = {"09:16": "BUY"}
LONGEST_STOP_S = 6.0


def test_flatten_sells_at_once_and_a_stop_is_in_time_though_every_request_hangs(desk: Desk, monkeypatch, capsys):
    desk.write(prices=STAYS, says={**BUYS, "09:18": "BUY", "09:19": "BUY"}, square_off="09:40")
    desk.serve('{kind: delay, call: any, from: "09:20", delay: 30s}', broker__kite__timeout="20s")
    process = desk.start("--quiet")
    desk.wait_for_state(process, "ACTIVE")

    assert desk.do(monkeypatch, "flatten") == 0
    desk.wait_for_state(process, "CLOSED")
    desk.wait_for(process, "SELECT 1 FROM events WHERE kind = 'session_moved' AND body LIKE '%HALTED%'")
    # By 09:20 each request is held for longer than the test lasts.
    desk.wait_for(process, "SELECT 1 FROM events WHERE at >= '2026-06-17T09:20:20'")
    asked = time.monotonic()
    process.terminate()

    code = desk.ended(process)

    took = time.monotonic() - asked
    assert code == 0
    assert took < LONGEST_STOP_S
    assert [reason for dest, reason in moves(desk) if dest == "PENDING_EXIT"] == ["flatten"]
    assert [trade.state for trade in desk.ledger().session_trades] == ["CLOSED"]
    assert "HALTED" in desk.states()
    capsys.readouterr()
    desk.assert_sound()
