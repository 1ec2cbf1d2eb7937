"""The pages about live trading, followed as a new user would: their commands and their session file."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from fsm_trader.cli.main import main
from fsm_trader.core.ledger import Ledger
from fsm_trader.journal.read import JournalReader

from .conftest import LONGEST_S, ROOT
from .test_day import told

HOW_TO = ROOT / "docs" / "how-to"
WHOLE_DAY_S = 240


def blocks(page: str, language: str) -> list[str]:
    text = (HOW_TO / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("session.yaml", "strategies.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def test_the_session_file_of_the_page_about_live_trading_passes_its_check(folder: Path, monkeypatch, capsys):
    monkeypatch.setattr("fsm_trader.app.files.live_day", lambda _settings: date(2026, 11, 23))
    for name in ("KITE_API_KEY", "KITE_API_SECRET"):
        monkeypatch.setenv(name, "not-a-real-key-1")
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "123456789:AAExampleExampleExampleExampleExampl")
    monkeypatch.setenv("TELEGRAM_CHAT_ID", "-1001")
    (session,) = blocks("trade-live.md", "yaml")
    (folder / "live.yaml").write_text(session)

    code = main(["check", str(folder / "live.yaml")])

    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    assert "LIVE" in out.upper()
    assert "not-a-real-key-1" not in out
    assert main(["check", str(folder / "live.yaml"), "--json"]) == 0


@pytest.mark.soak
def test_the_page_about_the_sandbox_leads_a_whole_sample_day_to_the_trades_of_the_same_day_on_paper(folder: Path):
    serve, trade, *_ = [block[2:].split() for block in blocks("use-the-sandbox.md", "console")]
    assert (serve[0], trade[0]) == ("python", "python")
    environ = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}

    def run(*words: str, **more: str) -> str:
        done = subprocess.run(
            [sys.executable, *words],
            cwd=folder,
            env={**environ, **more},
            capture_output=True,
            text=True,
            timeout=WHOLE_DAY_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("-m", "fsm_trader", "session.yaml", "--quiet")
    sandbox = subprocess.Popen(
        [sys.executable, *serve[1:], "--port", "0", "--speed", "300"],
        cwd=folder,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    keys: dict[str, str] = {}
    try:
        while len(keys) < 2:
            line = sandbox.stdout.readline()
            assert line
            keys |= dict(re.findall(r"export (KITE_\w+)=(\S+)", line))
        out = run(*trade[1:], **keys)
    finally:
        sandbox.terminate()
        sandbox.communicate(timeout=LONGEST_S)

    trades = []
    for name in ("fsm_trader.db", "on_sandbox.db"):
        with JournalReader(f"sqlite:///{folder / 'var' / name}") as reader:
            trades.append([told(each) for each in Ledger().fold(reader.entries()).session_trades])
    on_paper, on_sandbox = trades
    assert "a sandbox, no real money" in out
    # At this speed a price may come late for an entry; what is traded is traded alike but for the paise of the seconds.
    assert on_sandbox
    assert {each[0] for each in on_sandbox} <= {each[0] for each in on_paper}
