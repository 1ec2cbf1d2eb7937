"""The files a session lives on are not written over, forged or shared without a word."""

from __future__ import annotations

import sqlite3
from importlib.resources import files

import pytest

from fsm_trader.app.files import settings_of
from fsm_trader.app.report import verify
from fsm_trader.cli.main import main
from fsm_trader.core.records import LevelsSet
from fsm_trader.errors import SetupError, VerificationError
from fsm_trader.journal.store import JournalStore


@pytest.mark.parametrize("name", ["var/fsm_trader.db", "var/fsm_trader.db-wal", "var/paper.db", "session.yaml"])
def test_an_export_never_writes_over_a_file_the_session_lives_on(session_file, run_day, capsys, name):
    run_day()
    target = session_file.parent / name
    before = target.read_bytes() if target.exists() else None

    code = main(["journal", "export", str(session_file), "-o", str(target)])

    assert code == 2
    assert "is a file this session lives on" in capsys.readouterr().err
    # A reader may leave an empty log behind, which holds nothing.
    assert (target.read_bytes() if target.exists() else None) in (before, before or b"")


def test_an_export_replaces_an_older_one_whole(session_file, run_day):
    run_day()
    target = session_file.with_name("rows.jsonl")
    target.write_text("old")

    assert main(["journal", "export", str(session_file), "-o", str(target)]) == 0
    assert target.read_text().count("\n") > 600
    assert not target.with_name("rows.jsonl.part").exists()


class _Killed(BaseException):
    """The process ends here."""


def _kill_while_held(run_day, monkeypatch) -> None:
    append = JournalStore.append

    def dies(self, at, session, records):
        entries = append(self, at, session, records)
        if any(isinstance(record, LevelsSet) for record in records):
            raise _Killed
        return entries

    with monkeypatch.context() as patched:
        patched.setattr(JournalStore, "append", dies)
        with pytest.raises(_Killed):
            run_day()


def test_a_forged_definition_is_noticed_and_no_trade_is_managed_under_it(session_file, run_day, monkeypatch):
    _kill_while_held(run_day, monkeypatch)
    settings = settings_of(session_file)
    with sqlite3.connect(session_file.parent / "var" / "fsm_trader.db") as forger:
        forger.execute("DROP TRIGGER definitions_no_update")
        forger.execute("UPDATE definitions SET text = replace(text, 'reason: target', 'reason: tampered')")
    forger.close()

    found = verify(settings)

    assert found.fault is not None
    assert "is another text than the one it is named by" in found.fault


def test_two_sessions_do_not_share_one_paper_book(session_file, edit, run_day, monkeypatch):
    _kill_while_held(run_day, monkeypatch)
    edit("session.yaml", "name: nifty-intraday", "name: another")
    edit("session.yaml", "sqlite:///var/fsm_trader.db", "sqlite:///var/other.db")

    with pytest.raises(SetupError, match="orders of another session than another"):
        run_day()

    assert not (session_file.parent / "var" / "other.db").exists()


def test_an_open_trade_is_not_resumed_under_a_forged_definition(session_file, edit, run_day, monkeypatch):
    text = "# mine\n" + files("fsm_trader.machines").joinpath("trade.yaml").read_text()
    session_file.with_name("mine.yaml").write_text(text)
    edit("session.yaml", "trade: builtin", "trade: mine.yaml")
    _kill_while_held(run_day, monkeypatch)
    edit("session.yaml", "trade: mine.yaml", "trade: builtin")
    with sqlite3.connect(session_file.parent / "var" / "fsm_trader.db") as forger:
        forger.execute("DROP TRIGGER definitions_no_update")
        forger.execute("UPDATE definitions SET text = replace(text, 'reason: target', 'reason: tampered')")
    forger.close()

    with pytest.raises(VerificationError, match="its text was changed"):
        run_day()
