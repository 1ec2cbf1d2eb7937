"""The way to a service manager, over real sockets, and the unit it is given."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from fsm_trader.errors import SetupError
from fsm_trader.ops.systemd import ServiceSocket, Unit

UNIT = Unit(
    session_file=Path("/srv/fsm_trader/session.yaml"),
    name="fsm-trader-nifty",
    python=Path("/srv/fsm_trader/.venv/bin/python"),
    user="fsm_trader",
    written=(Path("/srv/fsm_trader/var"), Path("/var/log/fsm_trader")),
    secrets=("TELEGRAM_BOT_TOKEN", "TELEGRAM_CHAT_ID"),
    stop_timeout_s=30,
)


@pytest.fixture(params=["path", "abstract"])
def manager(request) -> Iterator[tuple[str, socket.socket]]:
    """A service manager's end: its address as NOTIFY_SOCKET names it, and its socket."""
    # Short, because the address of a socket is at most 107 bytes long.
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.settimeout(10)
        name = f"{folder}/notify"
        end.bind(name if request.param == "path" else f"\0{name}")
        yield (name if request.param == "path" else f"@{name}"), end


def test_what_is_said_arrives_as_one_datagram_of_lines(manager) -> None:
    address, end = manager
    service = ServiceSocket({"NOTIFY_SOCKET": address})

    assert service.is_there
    assert service.say("READY=1", "STATUS=two\nlines")
    service.close()

    assert end.recv(4096) == b"READY=1\nSTATUS=two lines"
    assert not service.say("WATCHDOG=1")


def test_a_manager_that_reads_nothing_holds_nobody_up(manager) -> None:
    address, end = manager
    service = ServiceSocket({"NOTIFY_SOCKET": address})

    sent = [service.say("WATCHDOG=1") for _ in range(2000)]

    assert sent[0]
    assert not sent[-1]
    assert end.recv(4096) == b"WATCHDOG=1"
    service.close()


@pytest.mark.parametrize("address", ["", "nowhere", "vsock:2:1234"])
def test_without_an_address_of_a_manager_nothing_is_said(address) -> None:
    service = ServiceSocket({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "60000000"})

    assert (service.is_there, service.watchdog_s, service.say("READY=1")) == (False, None, False)


def test_a_manager_that_is_gone_is_no_reason_to_stop(tmp_path) -> None:
    service = ServiceSocket({"NOTIFY_SOCKET": str(tmp_path / "gone")})

    assert not service.say("READY=1")
    service.close()


@pytest.mark.parametrize(
    ("environ", "watchdog_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "9" * 5000}, None),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
    ],
)
def test_the_watchdog_is_that_of_this_process_or_none(environ, watchdog_s) -> None:
    service = ServiceSocket({"NOTIFY_SOCKET": "/nowhere", **environ})

    assert service.watchdog_s == watchdog_s
    service.close()


def test_the_unit_says_what_it_runs_as_whom_and_what_it_may_write() -> None:
    lines = UNIT.text().splitlines()

    for line in (
        "Type=notify",
        "ExecStart=/srv/fsm_trader/.venv/bin/python -m fsm_trader run /srv/fsm_trader/session.yaml --quiet",
        "WorkingDirectory=/srv/fsm_trader",
        "User=fsm_trader",
        "ProtectSystem=strict",
        "ReadWritePaths=/srv/fsm_trader/var /var/log/fsm_trader",
        "LoadCredential=TELEGRAM_BOT_TOKEN:/etc/fsm_trader/TELEGRAM_BOT_TOKEN",
        "LoadCredential=TELEGRAM_CHAT_ID:/etc/fsm_trader/TELEGRAM_CHAT_ID",
        "WatchdogSec=60",
        "Restart=on-failure",
        "TimeoutStopSec=30",
    ):
        assert lines.count(line) == 1, line


def test_a_session_without_secrets_loads_no_credential() -> None:
    assert "LoadCredential" not in replace(UNIT, secrets=()).text()


@pytest.mark.parametrize("user", ["root", "0", "me you", ""])
def test_a_user_that_is_root_or_no_name_is_refused(user) -> None:
    with pytest.raises(SetupError, match="expected"):
        replace(UNIT, user=user).text()


@pytest.mark.parametrize("folder", ["/srv/my trader", "/srv/100%", "/srv/a'b", "/srv/$HOME", "/srv/a\nUser=root"])
def test_a_path_with_a_meaning_of_its_own_in_a_unit_is_refused(folder) -> None:
    with pytest.raises(SetupError) as refused:
        replace(UNIT, session_file=Path(folder) / "session.yaml", written=(Path(folder),)).text()

    assert len(refused.value.faults) == 2


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, timeout=60, check=False)
    except FileNotFoundError:
        pytest.skip("systemd-analyze is not installed here")


@pytest.fixture
def unit_file(tmp_path) -> Path:
    """The unit, with an interpreter and folders that exist, as systemd wants to see them."""
    (tmp_path / "var").mkdir()
    unit = replace(
        UNIT,
        session_file=tmp_path / "session.yaml",
        python=Path("/bin/true"),
        written=(tmp_path / "var",),
    )
    file = tmp_path / "fsm-trader.service"
    file.write_text(unit.text(), encoding="utf-8")
    return file


def test_systemd_finds_nothing_wrong_with_the_unit(unit_file) -> None:
    done = analyze("verify", str(unit_file))

    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")


def test_systemd_would_find_a_wrong_line(unit_file) -> None:
    unit_file.write_text(unit_file.read_text(encoding="utf-8").replace("Restart=on-failure", "Restart=now-and-then"))

    assert "now-and-then" in analyze("verify", str(unit_file)).stderr


def test_the_unit_is_hardened_by_systemds_own_measure(unit_file) -> None:
    done = analyze("security", "--offline=true", "--no-pager", str(unit_file))
    if done.returncode != 0 and "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze cannot look at a unit that is not loaded")

    [level] = re.findall(r"exposure level for \S+: (\d+\.\d)", done.stdout)
    # 10 is a unit without any of it; what is left is the network and the owner's own files.
    assert float(level) <= 2.0
