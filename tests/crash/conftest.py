"""A folder to trade in, processes that trade in it, and what the journal and the paper book say afterwards."""

from __future__ import annotations

import os
import select
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsm_trader.broker.paper.book import PaperBook
from fsm_trader.core.ledger import Ledger
from fsm_trader.core.orders import Role, Side
from fsm_trader.core.records import Entry
from fsm_trader.core.results import trade_result
from fsm_trader.core.tags import read_tag
from fsm_trader.core.trades import Trade
from fsm_trader.journal.read import JournalReader

ROOT = Path(__file__).resolve().parents[2]
DYING = Path(__file__).with_name("dying_trader.py")
LONGEST_RUN_S = 30


class Desk:
    """One session folder. Processes started here are ended with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"sqlite:///{folder / 'var' / 'fsm_trader.db'}"
        self._started: list[subprocess.Popen[str]] = []
        for name in ("session.yaml", "strategies.yaml"):
            (folder / name).write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")

    def edit(self, old: str, new: str, name: str = "session.yaml") -> None:
        path = self.folder / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    def set_speed(self, speed: str) -> None:
        """Play at *speed* from the next start on, whatever was said before."""
        lines = (self.folder / "session.yaml").read_text(encoding="utf-8").splitlines(keepends=True)
        lines = [line for line in lines if not line.startswith("  speed:")]
        lines.insert(lines.index("market:\n") + 1, f"  speed: {speed}\n")
        (self.folder / "session.yaml").write_text("".join(lines), encoding="utf-8")

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a trader and go on at once."""
        command = words or ("-m", "fsm_trader", "session.yaml", "--quiet", "--log", "none")
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def run(self) -> int:
        """Start a trader at full speed and let it come to its own end."""
        self.set_speed("max")
        return ended(self.start())

    def run_until_dead(self, moment: str, what: str, nth: int = 1) -> None:
        """Run a trader that kills itself; see ``dying_trader``."""
        words = (moment, what, str(nth), "run", "session.yaml", "--quiet", "--log", "none")
        assert ended(self.start(str(DYING), *words)) == -signal.SIGKILL

    def wait_for(self, process: subprocess.Popen[str], query: str, *values: object) -> None:
        """Return as soon as *query* finds a row in the journal of a running process."""
        deadline = time.monotonic() + LONGEST_RUN_S
        journal = self.folder / "var" / "fsm_trader.db"
        while time.monotonic() < deadline and process.poll() is None:
            if journal.is_file() and _finds(journal, query, values):
                return
            select.select([], [], [], 0.003)
        raise AssertionError(f"the process never came to {query!r}; it ended with {process.poll()}")

    def entries(self) -> list[Entry]:
        if not (self.folder / "var" / "fsm_trader.db").is_file():
            return []
        with JournalReader(self.url) as reader:
            assert reader.verify().fault is None
            return list(reader.entries())

    def ledger(self) -> Ledger:
        return Ledger().fold(self.entries())

    def close(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.wait(LONGEST_RUN_S)
            if process.stderr is not None:
                process.stderr.close()


def ended(process: subprocess.Popen[str]) -> int:
    """Wait for a process's own end; whatever it said on standard error is shown when a test fails."""
    _, said = process.communicate(timeout=LONGEST_RUN_S)
    print(said)
    return process.returncode


def told(trade: Trade) -> tuple[object, ...]:
    """What must be equal for two plays of one day to count as the same trade."""
    result = trade_result(trade)
    return trade.contract.tradingsymbol, result.quantity, result.entry_paise, result.exit_paise, trade.exit_reason


def assert_book_is_sound(desk: Desk) -> None:
    """At most one entry order and one exit fill per trade, nothing sold that was not held, nothing left over."""
    with PaperBook(desk.folder / "var" / "paper.db") as book:
        progress = book.load()
    requests = {order.order_id: order.request for order in progress.orders}
    parts = {order_id: read_tag(request.tag) for order_id, request in requests.items()}
    entries = Counter(part.trade_number for part in parts.values() if part and part.role is Role.ENTRY)
    assert None not in parts.values()
    assert set(entries.values()) <= {1}
    # By contract, not by trade: an order that was taken over is sold under the number of the trade that took it.
    held: Counter[str] = Counter()
    for fill in progress.fills:
        request = requests[fill.order_id]
        held[request.tradingsymbol] += (1 if request.side is Side.BUY else -1) * fill.quantity
        assert held[request.tradingsymbol] >= 0
    assert not any(held.values())


def assert_whole_day(desk: Desk, before: list[Entry]) -> Ledger:
    """The day is over and flat, the journal whole, and it went on in the session and at the time it had come to."""
    after = desk.entries()
    ledger = Ledger().fold(after)
    assert after[: len(before)] == before
    assert not ledger.open_trades
    assert ledger.state == "CLOSED"
    times = [entry.at for entry in after]
    assert times == sorted(times)
    assert {entry.session for entry in after} == {"2026-06-17"}
    assert_book_is_sound(desk)
    return ledger


def _finds(journal: Path, query: str, values: tuple[object, ...]) -> bool:
    try:
        connection = sqlite3.connect(f"file:{journal}?mode=ro", uri=True)
        try:
            return connection.execute(query, values).fetchone() is not None
        finally:
            connection.close()
    except sqlite3.OperationalError:
        # The process is just making the file.
        return False


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


@pytest.fixture(scope="session")
def whole_day(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[object, ...]]:
    """The trades of a day that nobody disturbed."""
    desk = Desk(tmp_path_factory.mktemp("whole"))
    try:
        assert desk.run() == 0
        return [told(trade) for trade in desk.ledger().session_trades]
    finally:
        desk.close()
