"""Processes that trade until they are killed, forked off one parent that has imported everything and done nothing else.

Each is a process of its own with its own memory, files and locks, and ends by a real SIGKILL; it only need not import.
Run as a script it is that parent: a line of JSON says what to run, and a line with the exit code is the answer.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RUN = ["run", "session.yaml", "--quiet", "--log", "none"]


class Nursery:
    """The parent process, seen from a test."""

    def __init__(self) -> None:
        # The errors are kept in a file of the child's folder: nobody reads a pipe here.
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            text=True,
        )

    def run(self, folder: Path, **plan: Any) -> int:
        """Let a process trade in *folder* and return how it ended; *plan* says what befalls it, see ``Plan``."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps({"folder": str(folder), "plan": plan}), file=self._process.stdin, flush=True)
        code = int(self._process.stdout.readline())
        print((folder / "stderr").read_text(encoding="utf-8"))
        return code

    def close(self) -> None:
        self._process.communicate(timeout=30)


def _live(folder: str, plan: dict[str, Any]) -> None:
    """Be the child: trade in *folder* as the command line does, with what is planned."""
    from fsm_trader.cli.main import main

    os.chdir(folder)
    errors = os.open("stderr", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(errors, 2)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(0, 1)
    Plan(**plan).befall()
    os._exit(main(RUN))


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Plan:
    """What befalls one process.

    Args:
        commit: dies around the *nth* commit whose rows hold *words* in their summary.
        call: dies around the *nth* call of this name: of the broker, or of the feed (``candles``, ``price``).
        side: of the orders that count, where the call is ``place``.
        moment: ``before`` or ``after`` it, or ``inside`` a commit.
        faults: what the broker does wrong: [kind, call, pattern of tags, attempts] each.
    """

    def __init__(
        self,
        *,
        commit: bool = False,
        words: str = "",
        call: str = "",
        side: str = "",
        moment: str = "before",
        nth: int = 1,
        faults: list[list[Any]] | None = None,
    ) -> None:
        self._commit, self._words, self._call, self._side = commit, words, call, side
        self._moment = moment
        self._left = nth
        self._faults = faults or []

    def befall(self) -> None:
        if self._faults:
            self._plan_faults()
        if self._commit:
            self._die_around_commit()
        if self._call:
            self._die_around_call()

    def _is_time(self) -> bool:
        self._left -= 1
        return self._left == 0

    def _plan_faults(self) -> None:
        from fsm_trader.broker.paper.broker import PaperBroker
        from fsm_trader.broker.paper.faults import FaultPlan, OrderFault

        names = ("kind", "call", "tags", "attempts")
        faults = FaultPlan(orders=tuple(OrderFault(**dict(zip(names, each, strict=True))) for each in self._faults))
        begin = PaperBroker.__init__

        def begin_badly(broker: PaperBroker, **parts: Any) -> None:
            begin(broker, **{**parts, "faults": faults})

        PaperBroker.__init__ = begin_badly  # type: ignore[method-assign] # the child is thrown away

    def _die_around_commit(self) -> None:
        from fsm_trader.core.summary import summarise
        from fsm_trader.journal.store import JournalStore

        append, write = JournalStore.append, JournalStore._write

        def dying(journal: Any, at: Any, session: str, records: Any) -> Any:
            seen = not self._words or any(self._words in summarise(record) for record in records)
            if not seen or not self._is_time():
                return append(journal, at, session, records)
            if self._moment == "before":
                _die()
            if self._moment == "inside":
                JournalStore._write = lambda self, rows: (write(self, rows), _die())
            entries = append(journal, at, session, records)
            _die()
            return entries

        JournalStore.append = dying  # type: ignore[method-assign] # the child is thrown away

    def _die_around_call(self) -> None:
        from fsm_trader.broker.paper.broker import PaperBroker
        from fsm_trader.market.recorded import RecordedDay

        whose: type = RecordedDay if self._call in ("candles", "price") else PaperBroker
        call = getattr(whose, self._call)

        def dying(owner: Any, *args: Any, **named: Any) -> Any:
            if (self._side and args[0].side != self._side) or not self._is_time():
                return call(owner, *args, **named)
            if self._moment == "before":
                _die()
            call(owner, *args, **named)
            return _die()

        setattr(whose, self._call, dying)


def _serve() -> None:
    import fsm_trader.app.run
    import fsm_trader.cli.run  # noqa: F401 - imported once for all children

    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            _live(order["folder"], order["plan"])
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    _serve()
