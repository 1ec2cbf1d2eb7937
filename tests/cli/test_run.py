"""A run of the bundled sample day, from two files to a closed and verified journal."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from fsm_trader.core.records import Entry, RunStarted, RunStopped, SessionMoved, TradeMoved, TradeOpened
from fsm_trader.journal.read import JournalReader

EXITS = ("stop loss", "target", "strategy exit", "max hold", "square off")
LOG_LINE = re.compile(r"2026-06-17T\d\d:\d\d:\d\d\.\d{3}\+05:30 (DEBUG|INFO|WARNING|ERROR) +[a-z_]+:\d+ \S.*", re.ASCII)


def _rows(path: Path) -> list[tuple[object, ...]]:
    """Every row but what names the process."""
    with JournalReader(f"sqlite:///{path / 'var' / 'fsm_trader.db'}") as reader:
        return [_nameless(entry) for entry in reader.entries()]


def _nameless(entry: Entry) -> tuple[object, ...]:
    record = entry.record
    if isinstance(record, RunStarted):
        record = msgspec.structs.replace(record, pid=0)
    return entry.seq, entry.at.isoformat(), entry.session, record


def test_two_files_in_an_empty_folder_and_an_empty_environment_are_enough(whole_day):
    said = (whole_day / "out.txt").read_text(encoding="utf-8")

    assert said.splitlines()[-1].startswith("2026-06-17: CLOSED, flat.")


def test_every_kind_of_exit_is_in_the_closing_table(whole_day):
    said = (whole_day / "out.txt").read_text(encoding="utf-8")

    table = said[said.index("Trades of 2026-06-17") :]
    assert [kind for kind in EXITS if kind not in table] == []


def test_the_sums_of_the_closing_table_are_those_of_its_rows(whole_day):
    said = (whole_day / "out.txt").read_text(encoding="utf-8")
    table = said[said.index("Trades of 2026-06-17") :]

    rows = [line.replace(",", "").split() for line in table.splitlines() if line.startswith((" 2026", " sum"))]
    amounts = [[round(float(word) * 100) for word in row[-3:]] for row in rows]
    assert amounts[-1] == [sum(column) for column in zip(*amounts[:-1], strict=True)]
    assert all(gross - charges == net for gross, charges, net in amounts)


def test_the_journal_of_a_run_verifies(played):
    said = played.do("journal verify")

    assert said.code == 0
    assert f"{len(played.entries())} rows, every hash fits" in said.out


def test_the_day_ends_closed_and_flat_with_every_trade_over(played):
    moves = [entry.record for entry in played.rows_of(TradeMoved)]
    last_states = {move.trade_id: move.dest for move in moves}

    assert set(last_states.values()) == {"CLOSED"}
    assert len(last_states) == len(played.rows_of(TradeOpened)) == 8
    assert played.rows_of(SessionMoved)[-1].record.dest == "CLOSED"
    assert played.entries()[-1].record == RunStopped(0, "flat", ())


def test_the_verb_run_may_be_left_out(folder, whole_day, as_process):
    said = as_process("run", "session.yaml", "--quiet", "--log", "none")

    assert said == (0, "", "")
    assert _rows(folder.path) == _rows(whole_day)


def test_a_second_run_plays_the_day_again_as_a_session_of_its_own(played):
    said = played.run("--json")

    report = json.loads(said.out)
    first, second = (
        [
            msgspec.structs.replace(entry.record, trade_id="", number=0)
            for entry in played.rows_of(TradeOpened)
            if entry.session == session
        ]
        for session in ("2026-06-17", "2026-06-17.2")
    )
    assert (said.code, report["session"], report["open_trades"]) == (0, "2026-06-17.2", [])
    assert second == first
    assert report["trades"][0]["trade_id"] == "20260617-009"
    assert played.do("journal verify").code == 0


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Pacific/Kiritimati"])
def test_the_machines_time_zone_changes_nothing(folder, whole_day, as_process, zone):
    said = as_process("session.yaml", "--quiet", "--log", "none", TZ=zone)

    assert said.code == 0
    assert _rows(folder.path) == _rows(whole_day)
    shown = as_process("status", "session.yaml", TZ=zone)
    assert "as of 2026-06-17 15:10:01" in shown.out


def test_the_present_date_is_nowhere_in_a_replayed_day(played):
    log = (played.path / "var" / "fsm_trader.log").read_text(encoding="utf-8")

    assert {f"{entry.at:%Y-%m-%d}" for entry in played.entries()} == {"2026-06-17"}
    assert {line[:10] for line in log.splitlines()} == {"2026-06-17"}


def test_a_reader_who_leaves_does_not_end_the_day(folder):
    command = f"{sys.executable} -m fsm_trader session.yaml --log none | head -1; exit ${{PIPESTATUS[0]}}"

    done = subprocess.run(["bash", "-c", command], cwd=folder.path, capture_output=True, text=True, check=False)

    assert done.stdout == "2026-06-17, the bundled sample day: generated, not recorded\n"
    assert (done.returncode, done.stderr) == (0, "")
    assert folder.entries()[-1].record == RunStopped(0, "flat", ())


@pytest.mark.parametrize("ask", ["list", "export"])
def test_a_reader_who_leaves_a_long_listing_is_no_error(played, ask):
    command = f"{sys.executable} -m fsm_trader journal {ask} session.yaml {'--last 0' * (ask == 'list')}"
    command += " | head -1; exit ${PIPESTATUS[0]}"

    done = subprocess.run(["bash", "-c", command], cwd=played.path, capture_output=True, text=True, check=False)

    assert len(done.stdout.splitlines()) == 1
    assert (done.returncode, done.stderr) == (0, "")


def test_quiet_says_nothing_and_does_everything(folder):
    said = folder.run("--quiet")

    assert said == (0, "", "")
    assert folder.entries()[-1].record == RunStopped(0, "flat", ())


def test_a_level_that_is_asked_for_is_the_least_one_on_standard_error(folder):
    folder.edit("paper\n", "paper\n  paper: {rejects: 100%}\n")

    said = folder.do("run", "--quiet", "--log", "INFO")

    levels = {line.split()[1] for line in said.err.splitlines()}
    assert said.code == 0
    assert levels <= {"INFO", "WARNING", "ERROR"}
    assert "INFO" in levels


def test_the_log_file_is_appended_to_by_the_next_run(played):
    log = played.path / "var" / "fsm_trader.log"
    first = log.read_text(encoding="utf-8")

    played.run("--quiet")

    both = log.read_text(encoding="utf-8")
    assert both.startswith(first)
    assert len(both) > 1.5 * len(first)


def test_log_lines_say_time_level_module_and_line_and_what_they_are_about(played):
    lines = (played.path / "var" / "fsm_trader.log").read_text(encoding="utf-8").splitlines()
    of_trade = next(line for line in lines if "trade_opened" in line)

    assert [line for line in lines if not LOG_LINE.fullmatch(line)] == []
    row = played.rows_of(TradeOpened)[0]
    assert f" session={row.session} trade={row.record.trade_id} seq={row.seq} " in of_trade


def test_the_report_for_programs_is_exact(played):
    report = json.loads(played.run("--json").out)

    trade = report["trades"][0]
    assert (report["exit_code"], report["reason"], report["state"]) == (0, "flat", "CLOSED")
    assert (trade["quantity"], trade["entry_paise"], trade["exit_paise"]) == (65, 18880, 25260)
    assert trade["gross_paise"] == 65 * (25260 - 18880)
    assert trade["net_paise"] == trade["gross_paise"] - trade["charges_paise"]
