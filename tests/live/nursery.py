"""Live traders forked off one parent that has imported everything and done nothing else; what befalls each is planned.

Each is a process of its own, with its own connections, that trades on ``on.yaml`` until it dies or its trade is over.
Run as a script it is that parent: a line of JSON says what to run, and a line with the exit code is the answer.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RUN = ["run", "on.yaml", "--quiet", "--log", "none"]
LONGEST_S = 60
SAID = "said.txt"


class Nursery:
    """The parent process, seen from a test."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            text=True,
        )

    def begin(self, desk: Any, **plan: Any) -> None:
        """Let a process trade at *desk* and go on at once; *plan* says what befalls it, see ``Fate``."""
        assert self._process.stdin is not None
        order = {"folder": str(desk.folder), "environ": desk.environ, "plan": plan}
        print(json.dumps(order), file=self._process.stdin, flush=True)

    def ended(self, desk: Any) -> int:
        """Wait for its end and return how it ended."""
        assert self._process.stdout is not None
        code = int(self._process.stdout.readline())
        said = (desk.folder / SAID).read_text(encoding="utf-8")
        desk.said.append(said)
        print(said)
        return code

    def run(self, desk: Any, **plan: Any) -> int:
        self.begin(desk, **plan)
        return self.ended(desk)

    def close(self) -> None:
        self._process.communicate(timeout=LONGEST_S)


class Fate:
    """What befalls one process.

    Args:
        kill: how it dies by SIGKILL, as the crash tests plan it: *commit* and *words*, or *call* and *side* of the
            broker; *moment*, *nth*. Empty: it does not.
        until: it is told to end after a commit whose rows hold one of these texts; none: it ends by itself.
        machine: it trades by a wall clock of its own, as with real orders: *now* at *began_s* real seconds, its
            *speed*, and *jumps*: [words of the row after which it is set, seconds to set it by] each.
        is_loud: every logger of the process is at DEBUG, and Zerodha's client in its debug mode.
    """

    def __init__(
        self,
        *,
        kill: dict[str, Any] | None = None,
        until: tuple[str, ...] = (),
        machine: dict[str, Any] | None = None,
        is_loud: bool = False,
    ) -> None:
        self._kill, self._until, self._machine, self._is_loud = kill, until, machine, is_loud

    def befall(self) -> None:
        from fsm_trader.broker.kite import broker
        from tests.crash import nursery

        if self._is_loud:
            self._speak()
        if self._machine is not None:
            self._have_own_clock(**self._machine)
        if self._until:
            after_commit(tuple(self._until), lambda: os.kill(os.getpid(), signal.SIGTERM))
        if self._kill is not None:
            # The plan kills around calls of the paper broker; here it is Kite's.
            from fsm_trader.broker.paper import broker as paper

            paper.PaperBroker = broker.KiteBroker
            nursery.Plan(**self._kill).befall()

    def _speak(self) -> None:
        from fsm_trader.kite import line

        logging.basicConfig(level=logging.DEBUG, force=True)
        client = line.load_client()

        class Loud(client):
            def __init__(self, *given: Any, **named: Any) -> None:
                super().__init__(*given, **{**named, "debug": True})

        line.load_client = lambda: Loud

    def _have_own_clock(self, *, now: str, began_s: float, speed: float, jumps: list[tuple[str, float]]) -> None:
        from fsm_trader.app import open_live
        from fsm_trader.ops.clock import SystemClock, pause_s, real_s

        start = datetime.fromisoformat(now)
        is_set_by: list[float] = []

        def seconds() -> float:
            return (real_s() - began_s) * speed

        class FastClock(SystemClock):
            """The machine's clock on a machine whose seconds are short."""

            def __init__(self, zone: Any) -> None:
                super().__init__(zone, wall=lambda: start.timestamp() + seconds() + sum(is_set_by), seconds=seconds)

            def sleep(self, seconds: float) -> None:
                pause_s(seconds / speed)

            def wait_until(self, moment: datetime) -> None:
                while (left_s := (moment - self.now()).total_seconds()) > 0:
                    if self._waker.wait(min(left_s, 1.0) / speed):
                        return

        open_live.SystemClock = FastClock  # type: ignore[misc] # the child is thrown away
        # Nobody tells this trader that it is on a sandbox.
        open_live.find_sandbox = lambda _root: None
        for words, by_s in jumps:
            after_commit((words,), lambda by_s=by_s: is_set_by.append(by_s))


def after_commit(texts: tuple[str, ...], act: Any) -> None:
    """Act once, after the commit of a row whose summary holds one of *texts*."""
    from fsm_trader.core.summary import summarise
    from fsm_trader.journal.store import JournalStore

    append, done = JournalStore.append, []

    def acting(journal: Any, at: Any, session: str, records: Any) -> Any:
        entries = append(journal, at, session, records)
        if not done and any(text in summarise(record) for record in records for text in texts):
            done.append(True)
            act()
        return entries

    JournalStore.append = acting  # type: ignore[method-assign] # the child is thrown away


def _live(folder: str, environ: dict[str, str], plan: dict[str, Any]) -> None:
    """Be the child: trade in *folder* as the command line does, with what is planned."""
    from fsm_trader.cli.main import main

    signal.alarm(LONGEST_S)
    os.chdir(folder)
    os.environ.update(environ)
    said = os.open(SAID, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(said, 1)
    os.dup2(said, 2)
    Fate(**plan).befall()
    os._exit(main(RUN))


def _serve() -> None:
    # Imported once for all children.
    for module in ("app.open_live", "app.run", "cli.run", "kite.pool", "kite.line"):
        importlib.import_module(f"fsm_trader.{module}")
    importlib.import_module("tests.crash.nursery")
    sys.modules["fsm_trader.kite.line"].load_client()
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            _live(order["folder"], order["environ"], order["plan"])
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    _serve()
