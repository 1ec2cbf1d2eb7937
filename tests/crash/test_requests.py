"""flatten, halt and resume from another shell: obeyed by the running trader or the next start, each exactly once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from fsm_trader.cli.main import main
from fsm_trader.core.records import AlarmRaised, EntryBlocked, OperatorAsked, RunStarted, TradeOpened
from fsm_trader.core.trades import Trade

from .conftest import LONGEST_RUN_S, ROOT, Desk, assert_whole_day, ended

Ask = Callable[..., dict[str, object]]
OUT = "SELECT 1 FROM transitions WHERE dest = 'CLOSED' AND machine != 'session'"
BOUGHT = "PENDING_ENTRY -> ACTIVE"


@pytest.fixture
def ask(desk: Desk) -> Ask:
    """Ask from a process of its own, as a person would; returns its answer."""

    def ask(verb: str) -> dict[str, object]:
        done = subprocess.run(
            [sys.executable, "-m", "fsm_trader", verb, "session.yaml", "--json", "--wait", str(LONGEST_RUN_S)],
            cwd=desk.folder,
            env={"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=2 * LONGEST_RUN_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        answer: dict[str, object] = json.loads(done.stdout)
        return answer

    return ask


def hold(desk: Desk) -> subprocess.Popen[str]:
    """Return a slow trader that has just taken over a trade which nothing ends for some real seconds."""
    desk.run_until_dead("after", BOUGHT)
    rows = len(desk.entries())
    desk.set_speed("20")
    process = desk.start()
    desk.wait_for(process, "SELECT 1 FROM events WHERE kind = 'run_started' AND seq > ?", rows)
    return process


def stop(process: subprocess.Popen[str]) -> int:
    process.send_signal(signal.SIGTERM)
    return ended(process)


def asked(desk: Desk) -> list[str]:
    return [entry.record.verb for entry in desk.entries() if isinstance(entry.record, OperatorAsked)]


def opened(desk: Desk) -> int:
    return sum(isinstance(entry.record, TradeOpened) for entry in desk.entries())


def files(desk: Desk) -> list[str]:
    return sorted(path.name for path in (desk.folder / "var" / "fsm_trader.db.requests").iterdir())


def first_trade(desk: Desk) -> Trade:
    return desk.ledger().trades["20260617-001"]


def test_flatten_gets_out_and_stays_out_over_a_restart_until_resume(desk: Desk, ask: Ask, capsys):
    process = hold(desk)

    answer = ask("flatten")

    desk.wait_for(process, OUT)
    trade = first_trade(desk)
    assert (answer["outcome"], answer["running"]) == ("journaled", f"process {process.pid} on {_host(answer)}")
    assert (trade.state, trade.exit_reason) == ("CLOSED", "flatten")
    assert stop(process) == 0
    assert main(["status", str(desk.folder / "session.yaml")]) == 0
    assert "HALTED by a person until resume: everything out" in capsys.readouterr().out

    # The next process runs past the BUY that an undisturbed day follows at 10:18, and past 10:51.
    desk.set_speed("max")
    desk.run_until_dead("after", "says BUY on the candle of 10:50")
    blocked = [entry.record for entry in desk.entries() if isinstance(entry.record, EntryBlocked)]
    assert opened(desk) == 1
    assert all("halted by a person until resume" in row.reasons for row in blocked)
    assert len(blocked) >= 2

    assert ask("resume")["outcome"] == "left"
    assert desk.run() == 0
    ledger = assert_whole_day(desk, [])
    assert opened(desk) > 1
    assert not ledger.halted
    assert asked(desk) == ["flatten", "resume"]
    assert files(desk) == []


def _host(answer: dict[str, object]) -> str:
    return str(answer["running"]).rpartition(" ")[2]


def test_halt_takes_no_entry_and_manages_the_open_trade_as_if_nothing_was_said(desk: Desk, ask: Ask, whole_day):
    process = hold(desk)

    answer = ask("halt")

    assert first_trade(desk).state == "ACTIVE"
    assert answer["outcome"] == "journaled"
    process.kill()
    ended(process)
    assert desk.run() == 0
    (trade,) = assert_whole_day(desk, []).session_trades
    assert trade.exit_reason == whole_day[0][-1] == "target"
    assert asked(desk) == ["halt"]


def test_what_is_asked_while_nothing_runs_is_met_by_the_next_start_in_order(desk: Desk, ask: Ask):
    desk.run_until_dead("after", BOUGHT)

    answers = [ask("halt"), ask("flatten")]

    assert [answer["outcome"] for answer in answers] == ["left", "left"]
    assert [answer["running"] for answer in answers] == [None, None]
    assert len(files(desk)) == 2
    before = desk.entries()
    assert desk.run() == 0
    (trade,) = assert_whole_day(desk, before).session_trades
    assert trade.exit_reason == "flatten"
    assert asked(desk) == ["halt", "flatten"]
    assert files(desk) == []


def test_what_is_asked_before_the_first_session_holds_from_its_first_moment(desk: Desk, ask: Ask):
    assert ask("halt")["outcome"] == "left"

    assert desk.run() == 0

    assert_whole_day(desk, [])
    assert opened(desk) == 0


def test_a_halt_holds_in_the_next_session_too_and_its_start_says_so(desk: Desk, ask: Ask, capsys):
    ask("halt")
    assert desk.run() == 0

    assert desk.run() == 0

    sessions = [entry.record.session for entry in desk.entries() if isinstance(entry.record, RunStarted)]
    assert sessions == ["2026-06-17", "2026-06-17.2"]
    assert opened(desk) == 0
    assert "halted by a person: no entries until resume" in (desk.folder / "var" / "fsm_trader.log").read_text()
    assert main(["status", str(desk.folder / "session.yaml")]) == 0
    assert "HALTED by a person until resume" in capsys.readouterr().out


@pytest.mark.parametrize("moment", ["before", "inside", "after"])
def test_a_kill_around_the_commit_of_a_request_neither_loses_it_nor_meets_it_twice(desk: Desk, ask: Ask, moment):
    desk.run_until_dead("after", BOUGHT)
    ask("flatten")
    desk.run_until_dead(moment, "a person asked for flatten")
    assert len(files(desk)) == 1
    assert asked(desk) == (["flatten"] if moment == "after" else [])
    before = desk.entries()

    assert desk.run() == 0

    (trade,) = assert_whole_day(desk, before).session_trades
    assert trade.exit_reason == "flatten"
    assert asked(desk) == ["flatten"]
    assert files(desk) == []


def test_a_resume_whose_process_died_before_it_could_follow_is_followed_by_the_next(desk: Desk, ask: Ask):
    ask("halt")
    desk.run_until_dead("after", "WAITING -> HALTED")
    ask("resume")
    desk.run_until_dead("after", "a person asked for resume")
    before = desk.entries()

    assert desk.run() == 0

    assert_whole_day(desk, before)
    assert opened(desk) > 1
    assert asked(desk) == ["halt", "resume"]


def test_a_request_that_cannot_be_read_halts_with_an_alarm_and_is_kept(desk: Desk, ask: Ask):
    desk.run_until_dead("after", BOUGHT)
    request = str(ask("flatten")["request"])
    (desk.folder / "var" / "fsm_trader.db.requests" / f"{request}.request.json").write_text("{", encoding="utf-8")

    assert desk.run() == 0

    ledger = assert_whole_day(desk, [])
    alarms = [entry.record.text for entry in desk.entries() if isinstance(entry.record, AlarmRaised)]
    assert [trade.exit_reason for trade in ledger.session_trades] == ["target"]
    assert ledger.halted
    assert any("cannot be read" in text and "taken as halt" in text for text in alarms)
    assert files(desk) == [f"{request}.request.unreadable"]
