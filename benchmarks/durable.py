"""A durable transition beside a durable step of DBOS, each holding the same bytes: what durability costs elsewhere."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import commits
from measure import Figure, NotMeasuredError, Sample, Sides, expect

from fsm_trader.core.records import encode
from fsm_trader.journal.store import JournalStore

_STEPS = 100
_PROGRAM = Path(__file__).with_name("dbos_steps.py")
_ENDS_WITHIN_S = 120.0


@contextmanager
def sides_of(folder: Path, steps: int = _STEPS, *, journal_mode: str = "delete") -> Iterator[Sides]:
    """Prepare both; a round makes *steps* commits of ours, and a workflow of as many steps of DBOS.

    Args:
        folder: for the files of both.
        steps: of a round.
        journal_mode: of DBOS's SQLite file; ``delete`` is what DBOS makes itself.

    Raises:
        NotMeasuredError: DBOS is not installed.
    """
    if find_spec("dbos") is None:
        raise NotMeasuredError("dbos is not installed")
    records = [commits.step(1 + place) for place in range(steps)]
    file = folder / "ours.db"
    with closing(JournalStore(f"sqlite:///{file}")) as store, _dbos(folder, steps, journal_mode) as dbos:
        rounds = [0, 0]

        def ours() -> Sample:
            started = time.perf_counter()
            for each in records:
                store.append(commits.AT, commits.SESSION, each)
            rounds[0] += 1
            return Sample((time.perf_counter() - started) / steps)

        def reference() -> Sample:
            rounds[1] += 1
            return Sample(float(_ask(dbos)) / steps)

        def check() -> None:
            commits.expect_to_verify(file, rounds[0] * steps * len(records[0]))
            done, _ = dbos.communicate(timeout=_ENDS_WITHIN_S)
            seen, expected = done.strip(), f"{rounds[1] * steps} {journal_mode}"
            expect(seen == expected, f"DBOS has the results {seen!r} on the disk; expected {expected!r}")

        yield Sides(ours, reference, check)


@contextmanager
def _dbos(folder: Path, steps: int, journal_mode: str) -> Iterator[subprocess.Popen[str]]:
    said = folder / "dbos.txt"
    with said.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            [sys.executable, str(_PROGRAM), str(folder), str(steps), journal_mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
        )
    watch = threading.Timer(_ENDS_WITHIN_S, process.kill)
    watch.start()
    with process:
        try:
            payload = "".join(encode(record) for record in commits.step(1))
            told = _ask(process, payload)
            expect(
                told == "ready", f"DBOS said {told!r} and {said.read_text(encoding='utf-8')[-500:]!r}; expected ready"
            )
            yield process
        finally:
            watch.cancel()
            process.kill()


def _ask(process: subprocess.Popen[str], line: str = "") -> str:
    if process.stdin is None or process.stdout is None:
        raise TypeError("the process was started without pipes; expected both")
    process.stdin.write(line + "\n")
    process.stdin.flush()
    answer = process.stdout.readline().strip()
    expect(answer != "", "DBOS: it ended, or was ended after two minutes; expected an answer")
    return answer


FIGURES = (
    Figure(
        name="dbos",
        title="a transition with an intent, durable",
        against="a DBOS step of the same bytes, as shipped",
        unit="us",
        repeats=9,
        sides=sides_of,
        most_ratio=0.1,
    ),
    Figure(
        name="dbos-wal",
        title="a transition with an intent, durable",
        against="the same, DBOS's file in WAL mode",
        unit="us",
        repeats=9,
        sides=partial(sides_of, journal_mode="wal"),
    ),
)
