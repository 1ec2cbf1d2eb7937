"""The screen is for people: whatever becomes of it, the day is traded to its end."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import select
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from fsm_trader.cli.view import View
from fsm_trader.core.ledger import Ledger
from fsm_trader.core.records import AlarmRaised, Entry, LevelsSet, RunStopped, SessionMoved

from .conftest import LONGEST_RUN_S, ROOT, Folder

WHOLE = RunStopped(0, "flat", ())


@pytest.fixture
def unread() -> Iterator[int]:
    """The writing end of a pipe of one page that nobody reads."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    yield writer
    os.close(writer)
    os.close(reader)


def start(folder: Folder, *options: str, out: int, err: int, **env: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "fsm_trader", "session.yaml", *options],
        cwd=folder.path,
        env={"PYTHONPATH": str(ROOT), **env},
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
    )


def ended(process: subprocess.Popen[bytes], code: int) -> bytes:
    """Wait for the process's own end, which a trader that waits for its reader never comes to; return its errors."""
    try:
        _, said = process.communicate(timeout=LONGEST_RUN_S)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == code, said
    return said


def assert_whole_day(folder: Folder) -> None:
    assert folder.entries()[-1].record == WHOLE
    assert folder.rows_of(SessionMoved)[-1].record.dest == "CLOSED"


@pytest.mark.parametrize(
    ("options", "is_out", "is_err"),
    [
        pytest.param(("--log", "INFO"), True, True, id="both"),
        pytest.param(("--log", "none"), True, False, id="standard output"),
        pytest.param(("--quiet", "--log", "INFO"), False, True, id="standard error"),
    ],
)
def test_a_pipe_that_nobody_reads_stops_no_trade(folder, unread, options, is_out, is_err):
    nobody = subprocess.DEVNULL
    process = start(folder, *options, out=unread if is_out else nobody, err=unread if is_err else nobody)

    ended(process, 0)
    assert_whole_day(folder)
    log = (folder.path / "var" / "fsm_trader.log").read_text(encoding="utf-8")
    assert ("could not be shown on the console" in log) is is_err


def test_lines_nobody_read_are_counted_on_standard_error(folder, unread):
    process = start(folder, "--log", "none", out=unread, err=subprocess.PIPE)

    said = ended(process, 0)
    assert b"lines that could not be shown: " in said


def test_a_terminal_that_was_stopped_stops_no_trade(folder):
    terminal, screen = pty.openpty()
    os.write(terminal, b"\x13")  # Ctrl-S

    process = start(folder, out=screen, err=screen, TERM="xterm")

    ended(process, 0)
    os.close(terminal)
    os.close(screen)
    assert_whole_day(folder)


def test_a_terminal_that_is_read_shows_bar_lines_and_table(folder):
    terminal, screen = pty.openpty()
    process = start(folder, "--log", "ERROR", out=screen, err=screen, TERM="xterm", COLUMNS="120")
    os.close(screen)

    shown = b""
    while part := _read(terminal):
        shown += part
    os.close(terminal)

    ended(process, 0)
    assert b"IDLE -> PENDING_ENTRY" in shown
    assert b"%" in shown
    assert b"Trades of 2026-06-17" in shown


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536) if select.select([terminal], [], [], LONGEST_RUN_S)[0] else b""
    except OSError:  # The other side is closed.
        return b""


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_what_others_wrote_is_shown_as_it_stands_and_can_break_nothing(monkeypatch, encoding):
    screen = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")
    monkeypatch.setattr(sys, "stdout", screen)
    at = datetime(2026, 6, 17, 9, 30, tzinfo=UTC)
    written = r"C:\[/red] :smile: [bold ₹ 5"

    view = View(quiet=False)
    with view.showing():
        view.committed([Entry(1, at, "2026-06-17", AlarmRaised(written))], Ledger())

    said = screen.buffer.getvalue().decode(encoding)
    assert said == f"09:30:00  session      ALARM level 1: {written}\n".replace(
        "₹", "\\u20b9" if encoding == "ascii" else "₹"
    )


def test_a_row_that_cannot_be_shown_disturbs_neither_the_others_nor_the_caller(capsys):
    at = datetime(2026, 6, 17, 9, 30, tzinfo=UTC)
    broken = LevelsSet("20260617-001", None, None, "soon")  # what a defect of ours might hand over

    view = View(quiet=False)
    with view.showing():
        for record in (broken, AlarmRaised("seen")):
            view.committed([Entry(1, at, "2026-06-17", record)], Ledger())

    said = capsys.readouterr()
    assert said.out == "09:30:00  session      ALARM level 1: seen\n"
    assert "lines that could not be shown: 1;" in said.err
