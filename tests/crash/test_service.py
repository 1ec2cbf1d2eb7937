"""A run under a service manager: what it tells over the manager's socket; being killed and started is enough."""

from __future__ import annotations

import gzip
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import fsm_trader

from .conftest import LONGEST_RUN_S, Desk, assert_whole_day, ended, told

BOUGHT = "PENDING_ENTRY -> ACTIVE"
SAMPLE = Path(fsm_trader.__file__).parent / "market" / "data" / "sample" / "2026-06-17"
# A third of it is 0.1 s: at speed 600 a minute of the day.
WATCHDOG_USEC = "300000"
# What the unit allows with on_stop: leave.
STOP_TIMEOUT_S = 30


class Manager:
    """A service manager's end of the socket, and what came in."""

    def __init__(self, end: socket.socket, address: str) -> None:
        self._end = end
        self.address = address
        self.said: list[str] = []

    def read(self, within_s: float) -> str | None:
        """Return the next datagram, None when none comes within *within_s* real seconds."""
        self._end.settimeout(within_s)
        try:
            text = self._end.recv(4096).decode()
        except TimeoutError:
            return None
        self.said.append(text)
        return text

    def wait_for(self, words: str) -> str:
        """Return the first datagram that holds *words*."""
        deadline = time.monotonic() + LONGEST_RUN_S
        while (left_s := deadline - time.monotonic()) > 0:
            text = self.read(left_s)
            if text is not None and words in text:
                return text
        raise AssertionError(f"{words!r} was never said, only {self.said}")

    def rest(self) -> list[str]:
        """Return what is still there."""
        found: list[str] = []
        while (text := self.read(0.05)) is not None:
            found.append(text)
        return found


@pytest.fixture(params=["path"])
def manager(request, monkeypatch) -> Iterator[Manager]:
    # Short, because the address of a socket is at most 107 bytes long.
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        name = f"{folder}/notify"
        end.bind(name if request.param == "path" else f"\0{name}")
        address = name if request.param == "path" else f"@{name}"
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        monkeypatch.setenv("WATCHDOG_USEC", WATCHDOG_USEC)
        yield Manager(end, address)


def record(desk: Desk, *, day: str = "2026-06-17", until: str = "16:00") -> None:
    """Let the desk play the sample day from files, on another date if need be, with an index that ends early."""
    place = desk.folder / "days" / day
    place.mkdir(parents=True)
    texts = {name: (SAMPLE / name).read_text(encoding="utf-8") for name in ("index.csv", "instruments.csv")}
    texts["options.csv"] = gzip.decompress((SAMPLE / "options.csv.gz").read_bytes()).decode()
    head, *rows = texts["index.csv"].splitlines(keepends=True)
    texts["index.csv"] = head + "".join(row for row in rows if row.partition("T")[2][:5] < until)
    for name, text in texts.items():
        (place / name).write_text(text.replace("2026-06-17T", f"{day}T"), encoding="utf-8")
    desk.edit("recorded: sample", f"recorded: days/{day}")


@pytest.mark.parametrize("manager", ["path", "abstract"], indirect=True)
def test_a_service_tells_that_it_is_ready_how_it_stands_that_it_lives_and_that_it_stops(desk: Desk, manager: Manager):
    desk.run_until_dead("after", BOUGHT)
    manager.rest()
    manager.said.clear()
    desk.set_speed("60")

    process = desk.start()

    ready = manager.wait_for("READY=1")
    status = manager.wait_for("ACTIVE")
    manager.wait_for("WATCHDOG=1")
    manager.wait_for("WATCHDOG=1")
    process.send_signal(signal.SIGTERM)
    stopping = manager.wait_for("STOPPING=1")
    assert ended(process) == 3
    assert "20260617-001 ACTIVE NIFTY2662324600CE" in f"{ready} {status}"
    assert "stop 151.05" in f"{ready} {status}"
    assert stopping.splitlines()[0] == "STOPPING=1"
    assert "20260617-001 ACTIVE" in stopping
    assert manager.said[0].startswith("READY=1")
    assert sum("READY=1" in text for text in manager.said) == 1
    assert manager.rest() == []


def test_without_fresh_candles_there_is_no_sign_of_life(desk: Desk, manager: Manager):
    record(desk, until="09:35")
    desk.set_speed("600")

    process = desk.start()

    manager.wait_for("WATCHDOG=1")
    stale = manager.wait_for("NOT FRESH")
    deadline = time.monotonic() + 1.5
    after: list[str] = []
    while (left_s := deadline - time.monotonic()) > 0:
        after.append(manager.read(left_s) or "")
    process.send_signal(signal.SIGTERM)
    assert ended(process) == 0
    assert "no candle for" in stale
    # Five times the time allowed has passed: a service manager would have ended it.
    assert not any("WATCHDOG" in text for text in after)


def test_a_day_that_is_over_at_once_counts_as_started_and_stopped(desk: Desk, manager: Manager):
    record(desk, day="2026-06-20")

    assert desk.run() == 0

    said = "\n".join(manager.rest())
    assert said.index("READY=1") < said.index("STOPPING=1")


def test_a_manager_that_is_not_there_any_more_changes_nothing(desk: Desk, monkeypatch, tmp_path, whole_day):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    monkeypatch.setenv("WATCHDOG_USEC", WATCHDOG_USEC)

    assert desk.run() == 0

    assert [told(trade) for trade in assert_whole_day(desk, []).session_trades] == whole_day


def supervise(desk: Desk, manager: Manager, *, kills: int) -> list[int]:
    """Start the trader again whenever it fails, as ``Restart=on-failure`` does; kill it that often while it holds.

    Returns:
        How each process ended, a signal as a negative number.
    """
    codes: list[int] = []
    while not codes or codes[-1] != 0:
        assert len(codes) <= kills, codes
        if len(codes) == kills:
            desk.set_speed("max")
        process: subprocess.Popen[str] = desk.start()
        manager.wait_for("READY=1")
        if len(codes) < kills:
            if "ACTIVE" not in manager.said[-1]:
                manager.wait_for("ACTIVE")
            os.kill(process.pid, signal.SIGKILL)
        codes.append(ended(process))
    return codes


def test_a_supervised_process_that_is_killed_again_and_again_ends_the_day_flat(desk: Desk, manager: Manager, whole_day):
    desk.run_until_dead("after", BOUGHT)
    manager.rest()
    before = desk.entries()
    desk.set_speed("20")

    codes = supervise(desk, manager, kills=3)

    ledger = assert_whole_day(desk, before)
    assert codes == [-signal.SIGKILL] * 3 + [0]
    first = ledger.session_trades[0]
    assert told(first)[:3] == whole_day[0][:3]
    assert (first.state, len(ledger.session_trades)) == ("CLOSED", len(whole_day))


def test_a_stop_is_done_within_the_units_time_out_although_telegram_hangs(desk: Desk, monkeypatch):
    monkeypatch.setenv("TOKEN", "123456:made-up")
    with socket.create_server(("127.0.0.1", 0)) as never_answers:
        root = f"http://127.0.0.1:{never_answers.getsockname()[1]}"
        lines = (
            f'notify: {{telegram: {{root: "{root}", token: "${{TOKEN}}", chat_id: "${{TOKEN}}", timeout: 1m}}}}\nrisk:'
        )
        desk.edit("risk:", lines)
        desk.set_speed("60")
        process = desk.start()
        desk.wait_for(process, "SELECT 1 FROM events WHERE kind = 'session_moved'")
        asked = time.monotonic()

        process.send_signal(signal.SIGTERM)

        assert ended(process) == 0
        assert time.monotonic() - asked < STOP_TIMEOUT_S
