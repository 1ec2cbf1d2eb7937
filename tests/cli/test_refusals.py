"""What cannot be used is refused before anything starts: exit code 2, and each fault with its file and place."""

from __future__ import annotations

import os
import shutil
from importlib.resources import files

import pytest

from fsm_trader.core.records import RunStarted
from fsm_trader.ops.lock import holder_of

TRADE_MACHINE = files("fsm_trader.machines").joinpath("trade.yaml").read_text(encoding="utf-8")

FAULTS = [
    pytest.param(
        "session.yaml", "  name: nifty-intraday", "  name: [nifty", "session.yaml:6:", "expected", id="malformed"
    ),
    pytest.param("session.yaml", "  timezone:", "\ttimezone:", "session.yaml:6:1", "tab", id="tab"),
    pytest.param(
        "session.yaml", "max_open_trades", "max_open_trade", "session.yaml:27:8", "max_open_trades", id="unknown"
    ),
    pytest.param("session.yaml", "settle: 90s", "settle: 90", "$.broker.settle", "90", id="duration"),
    pytest.param("session.yaml", '"15:10"', '"14:10"', "$.session.square_off", "15:00", id="square-off too early"),
    pytest.param("session.yaml", '"15:10"', "15:10", "$.session.square_off", "quotes", id="time without quotes"),
    pytest.param("session.yaml", "[donchian_ce]", "[donchian]", "$.strategies.active", "donchian_ce", id="active"),
    pytest.param(
        "session.yaml", "strategies.yaml, active", "mine.yaml, active", "mine.yaml", "", id="no strategies file"
    ),
    pytest.param("session.yaml", "sqlite:///var", "sqlite:var", "$.journal.url", "SQLAlchemy URL", id="journal url"),
    pytest.param(
        "strategies.yaml", "DonchianBreakout", "DonchianBreakot", "strategies.yaml:4:", "DonchianBreakout", id="class"
    ),
    pytest.param("strategies.yaml", "length: 20", "length: 0", "strategies.yaml:4:12", "length: was 0", id="parameter"),
    pytest.param("strategies.yaml", "stop_loss: 20%", "stop_loss: 20", "strategies.yaml:9:", "stop_loss", id="percent"),
]


@pytest.mark.parametrize(("name", "old", "new", "place", "words"), FAULTS)
def test_a_fault_is_told_with_its_place_and_nothing_is_started(folder, name, old, new, place, words):
    text = (folder.path / name).read_text(encoding="utf-8")
    (folder.path / name).write_text(text.replace(old, new, 1), encoding="utf-8")
    assert old in text

    said = folder.run()

    assert (said.code, said.out) == (2, "")
    assert place in said.err
    assert words in said.err
    assert said.err.endswith("Nothing was started.\n")
    assert not (folder.path / "var").exists()
    assert folder.do("check") == said


@pytest.mark.parametrize("kind", ["postgres", "oracle"])
def test_a_journal_in_a_database_nobody_here_can_speak_to_is_refused(folder, kind):
    folder.edit("sqlite:///var/fsm_trader.db", f"{kind}://journal.example/trader")

    said = folder.run()

    assert (said.code, said.out) == (2, "")
    assert f"journal.url: is of kind {kind}" in said.err
    assert not (folder.path / "var" / "paper.db").exists()


def test_faults_of_two_files_are_told_together(folder):
    folder.edit("max_open_trades", "max_open_trade")
    folder.edit("lots: 1", "lots: 0", "strategies.yaml")

    said = folder.run()

    lines = said.err.splitlines()
    assert said.code == 2
    assert sum("session.yaml:" in line for line in lines) == 1
    assert sum("strategies.yaml:8:" in line for line in lines) == 1
    folder.assert_nothing_was_started()


def test_a_missing_session_file_is_named(folder):
    folder.session.unlink()

    said = folder.run()

    assert said.code == 2
    assert str(folder.session) in said.err


def test_a_missing_strategies_file_is_named(folder):
    (folder.path / "strategies.yaml").unlink()

    said = folder.run()

    assert said.code == 2
    assert "strategies.yaml" in said.err
    folder.assert_nothing_was_started()


def test_a_machine_file_with_a_misspelt_guard_is_refused_with_its_line(folder):
    (folder.path / "mine.yaml").write_text(TRADE_MACHINE.replace("conditions: stop_hit", "conditions: stop_hot", 1))
    folder.edit("trade: builtin", "trade: mine.yaml")
    line = 1 + TRADE_MACHINE[: TRADE_MACHINE.index("conditions: stop_hit")].count("\n")

    said = folder.run()

    assert said.code == 2
    assert f"mine.yaml:{line}:" in said.err
    assert "stop_hot" in said.err
    assert "stop_hit" in said.err
    folder.assert_nothing_was_started()


def test_a_live_broker_without_its_secrets_is_refused_for_them(folder):
    folder.edit("kind: paper", "kind: kite")
    folder.edit("recorded: sample", "recorded: null")

    said = folder.run()

    assert said.code == 2
    assert "api_key is missing" in said.err
    folder.assert_nothing_was_started()


def test_an_unknown_underlying_is_refused_with_those_there_are(folder):
    folder.edit("name: NIFTY,", "name: NIFTI,")

    said = folder.run()

    assert said.code == 2
    assert "'NIFTI'" in said.err
    assert "NIFTY" in said.err.replace("NIFTI", "")
    folder.assert_nothing_was_started()


def test_a_refused_start_does_not_hold_the_next_one_to_its_day(folder):
    folder.edit("name: NIFTY,", "name: NIFTI,")
    assert folder.run().code == 2
    folder.edit("name: NIFTI,", "name: NIFTY,")
    folder.record("2026-06-16")

    said = folder.run("--quiet")

    assert said.code == 0
    assert {entry.session for entry in folder.entries()} == {"2026-06-16"}


@pytest.mark.parametrize("content", [b"this is no database", b"SQLite format 3\0 but damaged", b"\0" * 4096])
def test_a_journal_file_that_is_no_journal_is_refused_and_left_as_it_was(folder, content):
    folder.journal.parent.mkdir()
    folder.journal.write_bytes(content)

    said = folder.run()

    assert said.code == 2
    assert str(folder.journal) in said.err
    assert folder.journal.read_bytes() == content
    assert holder_of(folder.journal) is None


def test_the_paper_brokers_book_named_as_the_journal_is_refused(played):
    shutil.copyfile(played.path / "var" / "paper.db", played.path / "var" / "copy.db")
    book = (played.path / "var" / "copy.db").read_bytes()
    played.edit("var/fsm_trader.db", "var/copy.db")

    said = played.run()

    assert said.code == 2
    assert "expected a journal" in said.err
    assert (played.path / "var" / "copy.db").read_bytes() == book


def test_a_folder_that_cannot_be_made_is_refused_with_its_place(folder):
    (folder.path / "var").write_text("a file where a folder is needed")

    said = folder.run()

    assert said.code == 2
    assert f"{folder.path / 'var'}" in said.err
    assert (folder.path / "var").read_text() == "a file where a folder is needed"


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unwritable for root")
def test_a_folder_that_may_not_be_written_is_refused_with_its_place(folder):
    (folder.path / "var").mkdir(mode=0o500)

    said = folder.run()

    assert said.code == 2
    assert f"{folder.path / 'var'}" in said.err


def test_a_log_that_cannot_be_opened_is_refused_before_the_journal_is_made(folder):
    (folder.path / "var").mkdir()
    (folder.path / "var" / "fsm_trader.log").mkdir()

    said = folder.run()

    assert said.code == 2
    assert "fsm_trader.log" in said.err
    folder.assert_nothing_was_started()


def test_a_refused_start_leaves_an_old_journal_as_it_was(played):
    before = played.entries()
    played.edit("recorded: sample", "recorded: nowhere")

    said = played.run()

    assert said.code == 2
    assert f"{played.path / 'nowhere'} does not exist" in said.err
    assert played.entries() == before
    assert len(played.rows_of(RunStarted)) == 1
    assert holder_of(played.journal) is None
