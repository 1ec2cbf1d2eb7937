"""``service`` prints a unit for the session file it is given, and needs no secret to do so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Folder


def test_the_unit_runs_this_session_with_this_interpreter(folder: Folder):
    said = folder.do("service")

    lines = said.out.splitlines()
    assert (said.code, said.err) == (0, "")
    assert lines[0] == f"# fsm-trader-nifty-intraday.service: the session of {folder.session}"
    assert f"ExecStart={sys.executable} -m fsm_trader run {folder.session} --quiet" in lines
    assert f"ReadWritePaths={folder.path / 'var'}" in lines
    assert "User=fsm_trader" in lines
    assert "LoadCredential" not in said.out
    folder.assert_nothing_was_started()


def test_secrets_are_named_as_credentials_and_need_not_be_there(folder: Folder, monkeypatch):
    monkeypatch.delenv("TELEGRAM_BOT_TOKEN", raising=False)
    monkeypatch.setenv("TELEGRAM_CHAT_ID", "4242424242")
    folder.edit("# notify: ", "notify: ")
    folder.edit("#   telegram:", "  telegram:")

    said = folder.do("service")

    assert said.code == 0, said.err
    for name in ("TELEGRAM_BOT_TOKEN", "TELEGRAM_CHAT_ID"):
        assert said.out.count(f"LoadCredential={name}:/etc/fsm_trader/{name}\n") == 1
    assert "4242424242" not in said.out


def test_the_unit_can_be_written_to_a_file_and_its_name_is_said(folder: Folder, tmp_path):
    printed = folder.do("service")

    said = folder.do("service", "-o", str(tmp_path / "my.service"))
    refused = folder.do("service", "-o", str(tmp_path / "nowhere" / "my.service"))

    assert (tmp_path / "my.service").read_text(encoding="utf-8") == printed.out
    assert "/etc/systemd/system/fsm-trader-nifty-intraday.service" in said.out
    assert refused.code == 2
    assert "cannot be written" in refused.err


def test_a_journal_elsewhere_is_written_where_its_url_says(folder: Folder, tmp_path, monkeypatch):
    folder.edit('url: "sqlite:///var/fsm_trader.db"', 'url: "${JOURNAL}"')
    monkeypatch.setenv("JOURNAL", f"sqlite:///{tmp_path}/elsewhere/journal.db")

    said = folder.do("service")

    assert said.code == 0, said.err
    assert f"ReadWritePaths={tmp_path / 'elsewhere'} {folder.path / 'var'}\n" in said.out
    assert "LoadCredential=JOURNAL:" in said.out


@pytest.mark.parametrize(
    ("edit", "options", "words"),
    [
        (("kind: paper", "kind: papper"), (), "papper"),
        (None, ("--user", "root"), "expected a user without power"),
        (None, ("--user", "me; rm"), "a meaning of its own"),
    ],
)
def test_what_makes_no_unit_is_refused_and_nothing_is_printed(folder: Folder, edit, options, words):
    if edit is not None:
        folder.edit(*edit)

    said = folder.do("service", *options)

    assert (said.code, said.out) == (2, "")
    assert words in said.err


def test_systemd_takes_the_unit_as_it_is_printed(folder: Folder, tmp_path: Path):
    (folder.path / "var").mkdir()
    unit = tmp_path / "fsm-trader.service"
    unit.write_text(folder.do("service").out, encoding="utf-8")

    try:
        done = subprocess.run(
            ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60, check=False
        )
    except FileNotFoundError:
        pytest.skip("systemd-analyze is not installed here")

    assert (done.returncode, done.stderr) == (0, "")
