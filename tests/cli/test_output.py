"""The exit code is the verb's own, whoever still reads what it prints."""

from __future__ import annotations

import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fsm_trader.cli.journal import _write
from fsm_trader.cli.steady import steady_output
from fsm_trader.core.records import RunStopped
from fsm_trader.journal.chain import Row

from .conftest import LONGEST_RUN_S, ROOT, Folder

FULL_DISK = Path("/dev/full")


@pytest.fixture
def gone() -> Iterator[int]:
    """The writing end of a pipe whose reader has left."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


def start(folder: Folder, *words: str, out: int, err: int = subprocess.PIPE, **env: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "fsm_trader", *words],
        cwd=folder.path,
        env={"PYTHONPATH": str(ROOT), **env},
        stdout=out,
        stderr=err,
    )


def ended(process: subprocess.Popen[bytes]) -> tuple[int, bytes | None]:
    try:
        _, said = process.communicate(timeout=LONGEST_RUN_S)
    finally:
        process.kill()
        process.communicate()
    return process.returncode, said


@pytest.fixture
def spoilt(played: Folder) -> Folder:
    with closing(sqlite3.connect(played.journal)) as connection, connection:
        connection.execute("DROP TRIGGER events_no_update")
        connection.execute("UPDATE events SET body = replace(body, 'run_started', 'run_stopped') WHERE seq = 1")
    return played


@pytest.mark.parametrize("buffering", [{}, {"PYTHONUNBUFFERED": "1"}], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("json", [(), ("--json",)], ids=["text", "json"])
def test_a_bad_journal_is_told_by_the_exit_code_when_nobody_reads(spoilt, gone, json, buffering):
    process = start(spoilt, "journal", "verify", "session.yaml", *json, out=gone, err=gone, **buffering)

    assert ended(process) == (6, None)


@pytest.mark.parametrize("verb", ["status", "check", "journal list", "journal export"])
def test_a_verb_that_only_prints_ends_with_zero_when_nobody_reads(played, gone, verb):
    assert ended(start(played, *verb.split(), "session.yaml", out=gone, PYTHONUNBUFFERED="1")) == (0, b"")


def test_a_refusal_is_told_by_the_exit_code_when_nobody_reads(folder, gone):
    folder.edit("settle: 90s", "settle: 90")

    assert ended(start(folder, "check", "session.yaml", out=gone, err=gone)) == (2, None)


@pytest.mark.parametrize("json", [(), ("--json",)], ids=["text", "json"])
def test_a_stop_with_an_open_trade_ends_with_three_when_nobody_reads(folder, gone, json):
    # Far from its target a trade stays open long enough to be caught.
    folder.edit("target: 30%", "target: 300%", "strategies.yaml")
    folder.edit("recorded: sample", "speed: 1000\n  recorded: sample")
    process = start(folder, "session.yaml", "--log", "INFO", *json, out=gone, PYTHONUNBUFFERED="1")
    assert process.stderr is not None
    for line in process.stderr:
        if b"dest=ACTIVE" in line or b"-> ACTIVE" in line:
            break

    process.send_signal(signal.SIGTERM)

    assert ended(process)[0] == 3
    assert isinstance(folder.entries()[-1].record, RunStopped)
    assert folder.entries()[-1].record.exit_code == 3


@pytest.mark.parametrize("options", [("--help",), ("status", "--help"), ("--version",), ()])
def test_help_for_nobody_is_no_error(folder, gone, options):
    assert ended(start(folder, *options, out=gone)) == (0, b"")


@pytest.mark.skipif(not FULL_DISK.exists(), reason="this system has no /dev/full to stand for a full disk")
def test_output_that_a_full_disk_swallowed_is_said_and_is_no_success(played):
    with FULL_DISK.open("wb") as disk:
        code, said = ended(start(played, "journal", "export", "session.yaml", out=disk.fileno()))

    assert code == 1
    assert said == b"standard output: cannot be written (No space left on device); what was to be said there is lost\n"


def test_a_screen_that_knows_only_ascii_gets_the_rest_as_escapes(monkeypatch):
    screen = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", screen)

    with steady_output():
        print("₹ 100")

    assert screen.buffer.getvalue() == b"\\u20b9 100\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_exported_rows_are_json_in_every_encoding(encoding):
    screen = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    body = json.dumps({"text": "é ₹ 😀"}, ensure_ascii=False)

    _write(iter([Row(1, "2026-06-17T09:30:00+05:30", "2026-06-17", None, "alarm_raised", body, "0")]), screen)
    screen.flush()

    assert json.loads(screen.buffer.getvalue().decode(encoding))["body"] == {"text": "é ₹ 😀"}
