"""``sandbox`` as a process of its own: what it says, what it refuses, and a day gone on with after kill -9."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest
from kiteconnect import KiteConnect

from fsm_trader.app.files import settings_of
from fsm_trader.app.sandbox import session_path
from fsm_trader.config.load import load_settings
from fsm_trader.errors import SetupError

from .conftest import LONGEST_S, ROOT, buy


class Process:
    """A running verb and what it said when it was ready."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fsm_trader", "sandbox", str(folder / "session.yaml"), *options],
            env={"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said = json.loads(self.process.stdout.readline() or "{}") if "--json" in options else {}
        self.client: KiteConnect | None = None

    def sign_in(self) -> KiteConnect:
        self.client = KiteConnect(self.said["api_key"], self.said["access_token"], root=self.said["root"], timeout=5)
        self.client.reqsession.trust_env = False
        return self.client

    def now(self) -> datetime:
        clock = self.client.reqsession.get(self.said["clock_url"], timeout=5).json()
        return datetime.fromisoformat(clock["data"]["now"])

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        if self.client is not None:
            self.client.reqsession.close()
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=LONGEST_S)
        return self.process.returncode, out, err


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("session.yaml", "strategies.yaml"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., Process]]:
    running: list[Process] = []

    def begin(*options: str) -> Process:
        running.append(Process(folder, *options))
        return running[-1]

    yield begin
    for each in running:
        each.process.kill()
        each.process.communicate(timeout=LONGEST_S)
        if each.client is not None:
            each.client.reqsession.close()


def _trade_until(sandbox: Process, clock: str) -> None:
    moment = datetime.fromisoformat(f"2026-06-17T{clock}+05:30")
    sandbox.client.profile()
    until = time.monotonic() + LONGEST_S
    while sandbox.now() < moment:
        assert time.monotonic() < until


def test_a_killed_sandbox_goes_on_with_its_orders_its_token_and_where_the_day_stood(start):
    options = ("--json", "--port", "0", "--speed", "300")
    first = start(*options)
    client = first.sign_in()
    _trade_until(first, "09:16:00")
    order_id = buy(client)
    while not client.trades():
        assert first.now() < datetime.fromisoformat("2026-06-17T10:00:00+05:30")
    orders, before = client.orders(), first.now()
    first.end(signal.SIGKILL)

    second = start(*options)

    stood = datetime.fromisoformat(second.said["now"])
    assert second.said["access_token"] == first.said["access_token"]
    assert 0 <= (stood - before).total_seconds() < 60
    assert second.sign_in().orders() == orders
    assert orders[0]["order_id"] == order_id
    assert second.client.positions()["net"][0]["quantity"] == 65
    assert second.end()[0] == 0


def test_with_catch_up_the_day_went_on_meanwhile(start):
    options = ("--json", "--port", "0", "--speed", "300", "--catch-up")
    first = start(*options)
    first.sign_in()
    _trade_until(first, "09:16:00")
    before = first.now()
    first.end(signal.SIGKILL)
    began = time.monotonic()

    second = start(*options)

    stood = datetime.fromisoformat(second.said["now"])
    assert 60 < (stood - before).total_seconds() < 300 * (time.monotonic() - began + 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order_and_it_says_how_to_use_it(start, folder, number):
    sandbox = start("--port", "0", "--redirect-url", "http://127.0.0.1:1/")
    lines: list[str] = []
    while "Ctrl-C" not in (lines or [""])[-1]:
        lines.append(sandbox.process.stdout.readline())
        assert lines[-1]

    code, out, err = sandbox.end(number)

    text = "".join(lines) + out
    assert (code, err) == (0, "")
    assert "generated, not recorded" in text
    assert "export KITE_API_KEY=sandboxkey000001" in text
    assert "    root: http://127.0.0.1:" in text
    assert "stopped at 09:13:00 of 2026-06-17" in text
    assert sorted(path.name for path in (folder / "var").iterdir()) == [
        "sandbox.db",
        "sandbox.db.lock",
        "sandbox.db.tokens",
    ]
    assert (folder / "var" / "sandbox.db.tokens").stat().st_mode & 0o077 == 0


def test_the_session_file_it_writes_leads_to_it(start, folder):
    sandbox = start("--json", "--port", "0", "--write-session", "on.yaml")
    environ = {"KITE_API_KEY": sandbox.said["api_key"], "KITE_ACCESS_TOKEN": sandbox.said["access_token"]}

    written = load_settings(Path(sandbox.said["session"]), environ=environ)

    given = settings_of(folder / "session.yaml")
    assert Path(sandbox.said["session"]) == folder / "on.yaml"
    assert (written.broker.kind, written.broker.kite.root) == ("kite", sandbox.said["root"])
    assert written.broker.kite.access_token.reveal() == sandbox.said["access_token"]
    assert (written.market.recorded, written.market.stream_root) == (None, sandbox.said["stream_root"])
    assert (written.session, written.risk, written.strategies) == (given.session, given.risk, given.strategies)
    assert (written.journal_url, written.log.file) != (given.journal_url, given.log.file)
    assert sandbox.said["access_token"] not in (folder / "on.yaml").read_text()
    # The next start writes it anew: the address may be another one.
    assert session_path(given, "on.yaml") == folder / "on.yaml"


REFUSED = [
    (["--host", "0.0.0.0"], "expected a loopback address"),  # noqa: S104 - it is refused
    (["--host", "example.com"], "expected a loopback address"),
    (["--redirect-url", "http://example.com/"], "expected a loopback address"),
    (["--redirect-url", "file:///etc"], "expected such as http://127.0.0.1:8000/"),
    (["--faults", "absent.yaml"], "absent.yaml: not found"),
    (["--fault", "{kind: nothing}"], "$.kind: was 'nothing'"),
    (["--write-session", "session.yaml"], "which session.yaml itself is or names"),
    (["--write-session", "var/on.yaml"], "expected the name of another file"),
    (["--write-session", ""], "was ''; expected the name of another file"),
    (["--write-session", ".."], "was '..'; expected the name of another file"),
    (["--write-session", "a\nb"], "expected the name of another file"),
    (["--write-session", "x" * 300], "expected the name of another file"),
    (["--write-session", "strategies.yaml"], "which session.yaml itself is or names"),
    (["--write-session", "notes.txt"], "which is there, and no sandbox wrote it"),
    (["--write-session", "pipe"], "which is there, and no sandbox wrote it"),
    (["--write-session", "nowhere"], "which is there, and no sandbox wrote it"),
    (["--write-session", "link.yaml"], "which session.yaml itself is or names"),
]


def test_what_cannot_be_is_refused_before_anything_is_made(folder, capsys, monkeypatch):
    from fsm_trader.cli.main import main

    monkeypatch.chdir(folder)
    (folder / "notes.txt").write_text("# session.yaml on the sandbox: what I saw\n")
    os.mkfifo(folder / "pipe")
    (folder / "nowhere").symlink_to("var/elsewhere.yaml")
    (folder / "link.yaml").symlink_to("strategies.yaml")
    files = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    for options, words in REFUSED:
        assert main(["sandbox", "session.yaml", *options]) == 2, options
        assert words in capsys.readouterr().err, options
    for options in (["--port", "65536"], ["--speed", "0"], ["--speed", "nan"]):
        with pytest.raises(SystemExit) as left:
            main(["sandbox", "session.yaml", *options])
        assert left.value.code == 2
    assert not (folder / "var").exists()
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == files


def test_files_that_a_session_names_are_not_written_over_whatever_they_hold(folder):
    (folder / "mine.toml").write_text("")
    (folder / "trade.yaml").write_text((ROOT / "fsm_trader" / "machines" / "trade.yaml").read_text())
    text = (folder / "session.yaml").read_text().replace("trade: builtin", "trade: trade.yaml")
    text = text.replace("  calendar: NSE", "  calendar_file: mine.toml\n  calendar: NSE")
    (folder / "session.yaml").write_text(text.replace("var/fsm_trader.db", "own.db") + "log: {file: own.log}\n")
    settings = settings_of(folder / "session.yaml")

    for name in ("mine.toml", "trade.yaml", "own.db", "own.log"):
        with pytest.raises(SetupError, match=r"which session.yaml itself is or names"):
            session_path(settings, name)


def test_a_port_and_a_book_in_use_are_refused(start, folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, _, err = _ended(start("--port", str(taken.getsockname()[1])))
    assert code == 2
    assert "cannot be listened at" in err
    running = start("--json", "--port", "0")

    code, _, err = _ended(start("--port", "0"))

    assert code == 2
    assert f"in use by the process with pid {running.process.pid}" in err


def test_another_day_than_the_one_in_play_is_refused(start, folder):
    start("--json", "--port", "0").end()
    path = folder / "session.yaml"
    path.write_text(path.read_text().replace("  recorded: sample", "  recorded: sample\n  day: 2026-06-18\n  #"))

    code, _, err = _ended(start("--port", "0"))

    assert code == 2
    assert "2026-06-17 is being played in the sandbox" in err


def test_without_its_library_it_says_what_to_install(folder):
    code = (
        "import sys; sys.modules['aiohttp'] = None\nfrom fsm_trader.cli.main import main\nsys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "sandbox", str(folder / "session.yaml")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=LONGEST_S,
    )

    assert done.returncode == 2
    assert "pip install 'fsm-trader[sandbox]'" in done.stderr


def _ended(sandbox: Process) -> tuple[int, str, str]:
    out, err = sandbox.process.communicate(timeout=LONGEST_S)
    return sandbox.process.returncode, out, err
