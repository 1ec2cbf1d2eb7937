"""A day on the sandbox, driven as a user would drive it, comes to the trades of the same day on paper."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta

from fsm_trader.core.ledger import Ledger
from fsm_trader.core.records import TradeOpened
from fsm_trader.core.results import trade_result
from fsm_trader.journal.read import JournalReader

from . import day
from .conftest import LONGEST_S, ROOT, Desk

FAST = 150


def told(trade):
    """What the two plays must have alike; times differ, because live candles are believed some seconds later."""
    result = trade_result(trade)
    return trade.contract.tradingsymbol, result.quantity, result.entry_paise, result.exit_paise, trade.exit_reason


def paper_day(desk: Desk) -> list[tuple[object, ...]]:
    done = subprocess.run(
        [sys.executable, "-m", "fsm_trader", "session.yaml", "--quiet", "--log", "none"],
        cwd=desk.folder,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    with JournalReader(f"sqlite:///{desk.folder / 'var' / 'paper_day.db'}") as reader:
        return [told(trade) for trade in Ledger().fold(reader.entries()).session_trades]


def test_a_day_of_two_processes_comes_to_the_trades_of_the_same_day_on_paper(desk: Desk):
    desk.write(prices=day.FOUR_TRADES, says=day.FOUR_SIGNALS)
    on_paper = paper_day(desk)
    command = [sys.executable, "-m", "fsm_trader", "sandbox", "session.yaml", "--json", "--port", "0"]
    sandbox = subprocess.Popen(
        [*command, "--speed", str(FAST), "--no-limits", "--write-session", "on.yaml"],
        cwd=desk.folder,
        env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        ready = json.loads(sandbox.stdout.readline())
        desk.environ["KITE_ACCESS_TOKEN"] = ready["access_token"]

        code = desk.ended(desk.start())

    finally:
        sandbox.terminate()
        sandbox.communicate(timeout=LONGEST_S)
    assert code == 0
    assert [reason for *_, reason in on_paper] == ["strategy_exit", "stop_loss", "target", "square_off"]
    assert [told(trade) for trade in desk.ledger().session_trades] == on_paper
    assert desk.states() == ["HEALTH_CHECK", "TRADING", "SQUARING_OFF", "CLOSED"]
    assert "a sandbox, no real money" in desk.said[-1]
    desk.assert_sound()


def test_by_the_stream_a_candle_is_decided_on_at_its_end_and_a_dead_stream_is_told_and_done_without(desk: Desk):
    desk.write(prices={"09:15": 100, "09:20": 75}, says={"09:17": "BUY"}, square_off="09:40")
    desk.serve('{kind: closed_stream, from: "09:19"}', begins="09:14:50", market__feed="stream")
    process = desk.start()
    desk.wait_for_state(process, "CLOSED")
    process.terminate()

    code = desk.ended(process)

    (opened,) = [entry for entry in desk.entries() if isinstance(entry.record, TradeOpened)]
    (trade,) = desk.ledger().session_trades
    assert code == 0
    # Polled, a candle is believed 15 s after its end.
    assert opened.at - opened.record.candle_start < timedelta(seconds=60 + 15)
    assert (trade.exit_reason, trade.exit_reason) == ("stop_loss", "stop_loss")
    assert "stream: " in desk.alarms()
    assert "Prices and candles are asked for until it is back." in desk.alarms()
    desk.assert_sound()


def test_a_day_of_the_sandbox_that_was_played_to_its_end_is_begun_anew_as_a_session_of_its_own(desk: Desk):
    desk.write(prices=day.FOUR_TRADES, says={})
    first = desk.serve(begins="09:41:50")
    codes = [desk.ended(desk.start("--quiet"))]
    codes.append(desk.ended(desk.start("--quiet")))
    sessions = [desk.ledger().session]
    first.service.kite.exchange.finish()
    first.close()

    desk.serve(begins="09:41:20")
    codes.append(desk.ended(desk.start("--quiet")))

    sessions.append(desk.ledger().session)
    assert codes == [0, 0, 0]
    # While its day goes on, a session that is over stays over.
    assert sessions == ["2026-06-17", "2026-06-17.2"]
    assert desk.ledger().state == "CLOSED"
