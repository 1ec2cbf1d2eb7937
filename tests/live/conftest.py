"""A folder to trade in, a sandbox served from this process, traders as processes of their own, and what came of it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import select
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from fsm_trader.app.files import settings_of
from fsm_trader.app.sandbox import Ready, Wishes, _ready, open_service, session_for
from fsm_trader.broker.paper.book import PaperBook
from fsm_trader.cli.main import main
from fsm_trader.core.ledger import Ledger
from fsm_trader.core.orders import Role, Side
from fsm_trader.core.records import AlarmRaised, Entry, EntryBlocked, SessionMoved, TradeMoved
from fsm_trader.core.tags import read_tag
from fsm_trader.journal.read import JournalReader
from fsm_trader.simulate.sandbox.account import API_KEY, API_SECRET
from fsm_trader.simulate.sandbox.clock import DayClock
from fsm_trader.simulate.sandbox.fault_file import read_plan
from fsm_trader.simulate.sandbox.server import Server

from . import day

ROOT = Path(__file__).resolve().parents[2]
LONGEST_S = 40
SPEED = 60.0


class Sandbox:
    """The sandbox in a thread of this process; its day begins where a test says, with the first good request."""

    def __init__(self, folder: Path, *, begins: str, faults: tuple[str, ...], speed: float, port: int = 0) -> None:
        settings = settings_of(folder / "session.yaml")
        self.book = PaperBook(folder / "var" / "sandbox.db")
        wishes = Wishes(plan=read_plan(None, faults), speed=speed, limits=False)
        self.service = open_service(settings, wishes, self.book)
        kite = self.service.kite
        start = max(kite.clock.now(), datetime.fromisoformat(f"{day.DAY}T{begins}+05:30"))
        kite.clock = DayClock(start, kite.exchange.day.closes_at + timedelta(minutes=30), speed)
        kite.exchange.advance(start)
        self.settings = settings
        self._port = port
        self._up = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(),))
        self._thread.start()
        assert self._up.wait(LONGEST_S)

    @property
    def ready(self) -> Ready:
        return _ready(self.service, self.address)

    def request_token(self) -> str:
        """Go to the login page as a person would."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://{self.address}/connect/login?api_key={API_KEY}", timeout=5) as page:
            return re.search(r"<code>(\w+)", page.read().decode())[1]

    def close(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(LONGEST_S)
            assert not self._thread.is_alive()
        self.book.close()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()

        def listening(address: str) -> None:
            self.address = address
            self._up.set()

        await Server(self.service, port=self._port).run(self._stop, listening)


class Desk:
    """One session folder on one sandbox. What is started here is ended with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = folder / "var" / "on_sandbox.db"
        self.session = folder / "on.yaml"
        self.environ = {"KITE_API_KEY": API_KEY, "KITE_API_SECRET": API_SECRET}
        self.said: list[str] = []
        self.secrets = [API_KEY, API_SECRET]
        self._started: list[subprocess.Popen[str]] = []
        self._sandboxes: list[Sandbox] = []

    def write(self, **given: Any) -> None:
        day.write(self.folder, **given)

    def serve(
        self, *faults: str, begins: str = "09:16:20", speed: float = SPEED, logs_in: bool = False, **changes: Any
    ) -> Sandbox:
        """Start a sandbox and write the session file that trades on it, with *changes* of single keys."""
        sandbox = Sandbox(self.folder, begins=begins, faults=faults, speed=speed)
        self._sandboxes.append(sandbox)
        tree = yaml.safe_load(session_for(sandbox.settings, sandbox.ready))
        kite = tree["broker"]["kite"]
        kite["timeout"] = "2s"
        if logs_in:
            del kite["access_token"]
            kite["api_secret"] = "${KITE_API_SECRET}"  # noqa: S105 - a name, not a secret
        for path, value in changes.items():
            *sections, key = path.split("__")
            place = tree
            for section in sections:
                place = place[section]
            place[key] = value
        # JSON is YAML, and quotes its times.
        self.session.write_text(json.dumps(tree), encoding="utf-8")
        self.environ["KITE_ACCESS_TOKEN"] = sandbox.ready.access_token or ""
        return sandbox

    def serve_again(self, port: int) -> None:
        """Start the sandbox again at the same address, where its day stood."""
        self._sandboxes.append(Sandbox(self.folder, begins="09:15:00", faults=(), speed=SPEED, port=port))

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a trader and go on at once."""
        process = subprocess.Popen(
            [sys.executable, "-m", "fsm_trader", str(self.session), *words],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **self.environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._started.append(process)
        return process

    def ended(self, process: subprocess.Popen[str], within_s: float = LONGEST_S) -> int:
        """Wait for a trader's own end; what it said is shown when a test fails."""
        said, _ = process.communicate(timeout=within_s)
        self.said.append(said)
        print(said)
        return process.returncode

    def do(self, monkeypatch: pytest.MonkeyPatch, verb: str, *options: str) -> int:
        """Run a verb in this process, as from another shell."""
        for name, value in self.environ.items():
            monkeypatch.setenv(name, value)
        return main([verb, str(self.session), *options])

    def wait_for(self, process: subprocess.Popen[str], query: str, *values: object) -> None:
        """Return as soon as *query* finds a row in the journal of a running trader."""
        until_s = time.monotonic() + LONGEST_S
        while time.monotonic() < until_s and process.poll() is None:
            if self.journal.is_file() and _finds(self.journal, query, values):
                return
            select.select([], [], [], 0.01)
        if process.poll() is None:
            process.kill()
        self.ended(process)
        raise AssertionError(f"the trader never came to {query!r} {values}; it ended with {process.returncode}")

    def wait_for_row(self, query: str, *values: object) -> None:
        """Return as soon as *query* finds a row in the journal, whoever writes it."""
        until_s = time.monotonic() + LONGEST_S
        while time.monotonic() < until_s:
            if self.journal.is_file() and _finds(self.journal, query, values):
                return
            self.wait(0.01)
        raise AssertionError(f"nobody came to {query!r} {values}")

    @staticmethod
    def wait(seconds: float) -> None:
        """Let real time pass."""
        select.select([], [], [], seconds)

    def wait_for_state(self, process: subprocess.Popen[str], state: str) -> None:
        self.wait_for(process, "SELECT 1 FROM transitions WHERE dest = ?", state)

    def entries(self) -> list[Entry]:
        with JournalReader(f"sqlite:///{self.journal}") as reader:
            assert reader.verify().fault is None
            return list(reader.entries())

    def ledger(self) -> Ledger:
        return Ledger().fold(self.entries())

    def rows(self, kind: type) -> list[Any]:
        return [entry.record for entry in self.entries() if isinstance(entry.record, kind)]

    def states(self) -> list[str]:
        """The session's states, in order."""
        return [row.dest for row in self.rows(SessionMoved) if row.source != row.dest]

    def alarms(self) -> str:
        return "\n".join(row.text for row in self.rows(AlarmRaised))

    def assert_sound(self, *, is_in_time: bool = True) -> None:
        """Each order had its intent, each trade one entry; nothing was sold that was not held, or left, or told."""
        for sandbox in self._sandboxes:
            sandbox.close()
        intended = {order.tag: order.request for trade in self.ledger().trades.values() for order in trade.orders}
        with PaperBook(self.folder / "var" / "sandbox.db") as book:
            progress = book.load()
        requests = {order.order_id: order.request for order in progress.orders}
        held: Counter[str] = Counter()
        entries: Counter[int] = Counter()
        for request in requests.values():
            parts = read_tag(request.tag)
            assert parts is not None
            entries[parts.trade_number] += parts.role is Role.ENTRY
            asked = intended[request.tag]
            assert (asked.tradingsymbol, asked.side, asked.quantity) == (
                request.tradingsymbol,
                request.side,
                request.quantity,
            )
        assert set(entries.values()) <= {1}
        for fill in sorted(progress.fills, key=lambda fill: fill.at):
            request = requests[fill.order_id]
            held[request.tradingsymbol] += (1 if request.side is Side.BUY else -1) * fill.quantity
            assert held[request.tradingsymbol] >= 0
        assert not any(held.values())
        assert not self.ledger().open_trades
        times = [entry.at for entry in self.entries()]
        assert not is_in_time or times == sorted(times)
        self.assert_no_secret_is_told()

    def assert_no_secret_is_told(self) -> None:
        """Neither key nor secret nor token is in any file that was made, or in anything a trader said."""
        tokens = re.findall(r'"value":"(\w+)"', (self.folder / "var" / "sandbox.db.tokens").read_text())
        secrets = [*self.secrets, *tokens]
        assert tokens
        said = "\n".join(self.said)
        for secret in secrets:
            assert secret not in said
        for path in self.folder.rglob("*"):
            if path.is_file() and not path.name.startswith(("sandbox.db", "kite_token.json")):
                data = path.read_bytes()
                assert not [secret for secret in secrets if secret.encode() in data], path

    def close(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.communicate(timeout=LONGEST_S)
        for sandbox in self._sandboxes:
            sandbox.close()


def _finds(journal: Path, query: str, values: tuple[object, ...]) -> bool:
    try:
        connection = sqlite3.connect(f"file:{journal}?mode=ro", uri=True)
        try:
            return connection.execute(query, values).fetchone() is not None
        finally:
            connection.close()
    except sqlite3.OperationalError:
        # The trader is just making the file.
        return False


def moves(desk: Desk) -> list[tuple[str, str]]:
    """The trades' changes of state and why, in order."""
    return [(row.dest, row.reason) for row in desk.rows(TradeMoved) if row.source != row.dest]


def blocks(desk: Desk) -> str:
    return "\n".join(reason for row in desk.rows(EntryBlocked) for reason in row.reasons)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.close()


Starts = Callable[..., subprocess.Popen[str]]
