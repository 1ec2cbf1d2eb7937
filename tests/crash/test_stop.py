"""A trader told to end does so at once, says what it leaves open, and the next start goes on with it."""

from __future__ import annotations

import json
import signal
import time

import pytest

from fsm_trader.cli.main import main
from fsm_trader.core.money import rupees
from fsm_trader.core.records import RunStarted, RunStopped

from .conftest import Desk, assert_whole_day, ended

HOLDS = "SELECT 1 FROM transitions WHERE dest = 'ACTIVE'"
FLAT_AGAIN = "SELECT 1 FROM transitions WHERE dest = 'CLOSED' AND machine != 'session'"
SIGNALS = [signal.SIGTERM, signal.SIGINT]
LONGEST_STOP_S = 5.0


def stop(desk: Desk, number: signal.Signals, once: str) -> int:
    """Run slowly until *once* is in the journal, send the signal, and return the exit code."""
    # Far from its target a trade stays open long enough to be caught.
    desk.edit("target: 30%", "target: 300%", "strategies.yaml")
    desk.set_speed("1000")
    process = desk.start()
    desk.wait_for(process, once)
    asked = time.monotonic()
    process.send_signal(number)
    code = ended(process)
    assert time.monotonic() - asked < LONGEST_STOP_S
    return code


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_stop_leaves_the_open_trade_to_the_next_start(desk: Desk, capsys, number):
    code = stop(desk, number, HOLDS)

    before = desk.entries()
    (left,) = desk.ledger().open_trades
    assert code == 3
    assert before[-1].record == RunStopped(3, number.name, (left.trade_id,))
    assert main(["status", str(desk.folder / "session.yaml")]) == 0
    screen = capsys.readouterr().out
    assert "not running" in screen
    assert f"{left.trade_id} ACTIVE" in screen
    assert f"stop at {rupees(left.stop_paise)}, target at {rupees(left.target_paise)}" in screen
    assert f"out at {left.hold_until:%H:%M:%S} at the latest" in screen

    assert desk.run() == 0
    ledger = assert_whole_day(desk, before)
    started = desk.entries()[len(before)].record
    assert isinstance(started, RunStarted)
    assert left.trade_id in started.found
    assert ledger.trades[left.trade_id].state == "CLOSED"


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_stop_with_flatten_gets_out_first(desk: Desk, number):
    desk.edit("on_stop: leave", "on_stop: flatten")

    code = stop(desk, number, HOLDS)

    before = desk.entries()
    ledger = desk.ledger()
    assert code == 0
    assert before[-1].record == RunStopped(0, number.name, ())
    assert [(trade.state, trade.exit_reason) for trade in ledger.session_trades] == [("CLOSED", "flatten")]
    assert ledger.state == "TRADING"
    assert desk.run() == 0
    assert len(assert_whole_day(desk, before).session_trades) > 1


def test_a_stop_while_flat_ends_with_zero(desk: Desk):
    code = stop(desk, signal.SIGTERM, FLAT_AGAIN)

    before = desk.entries()
    assert code == 0
    assert before[-1].record == RunStopped(0, "SIGTERM", ())
    assert desk.run() == 0
    assert_whole_day(desk, before)


def test_a_second_process_is_refused_and_told_who_holds_the_journal(desk: Desk, capsys):
    desk.set_speed("600")
    first = desk.start()
    desk.wait_for(first, "SELECT 1 FROM events")

    code = main(["run", str(desk.folder / "session.yaml"), "--quiet", "--log", "none"])

    said = capsys.readouterr()
    assert code == 4
    assert f"process {first.pid}" in said.err
    assert said.out == ""
    assert main(["status", str(desk.folder / "session.yaml"), "--json"]) == 0
    assert f"process {first.pid}" in json.loads(capsys.readouterr().out)["running"]
    first.send_signal(signal.SIGTERM)
    assert ended(first) == 0
    assert sum(isinstance(entry.record, RunStarted) for entry in desk.entries()) == 1
