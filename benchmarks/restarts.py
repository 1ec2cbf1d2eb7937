"""What a long past costs a restart: from the start of the process to the first decision about the open trade."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import past
import processes
from measure import Figure, Sample, Sides, expect

from fsm_trader.journal.read import JournalReader

_LONG, _SHORT = 1_000_000, 1_000
_RESTART = (
    str(Path(__file__).with_name("first_decision.py")),
    *("run", "session.yaml", "--quiet", "--log", "none"),
)
_FOUND = "20260617-001 ACTIVE 65 held"

# Ends the process right after the commit that says that the entry was filled, as a program of its own.
_END_IN_A_TRADE = """
import os, sys
from fsm_trader.cli.main import main
from fsm_trader.core.records import TradeMoved
from fsm_trader.journal.store import JournalStore

append = JournalStore.append

def last(self, at, session, records):
    entries = append(self, at, session, records)
    if any(isinstance(record, TradeMoved) and record.dest == "ACTIVE" for record in records):
        os._exit(0)
    return entries

JournalStore.append = last
sys.exit(main(["run", "session.yaml", "--quiet", "--log", "none"]))
"""


@contextmanager
def restart_sides(folder: Path, long_rows: int = _LONG, short_rows: int = _SHORT) -> Iterator[Sides]:
    processes.play_day(folder)
    day = past.rows_of(folder)
    killed = folder / "killed"
    killed.mkdir()
    processes.lay_out(killed)
    told = processes.run(killed, ("-c", _END_IN_A_TRADE))
    expect(
        told.exit_code == 0, f"the day that ends in a trade: exit code {told.exit_code} and {told.text!r}; expected 0"
    )
    long, short = (past.build(killed, folder / str(rows), day, rows) for rows in (long_rows, short_rows))

    def check() -> None:
        with JournalReader(f"sqlite:///{short / past.JOURNAL}") as reader:
            found = reader.verify()
        expect(found.fault is None, f"the shorter journal: {found}; expected one that verifies")

    yield Sides(lambda: _restart(long), lambda: _restart(short), check)


def _restart(folder: Path) -> Sample:
    return processes.sample_of(folder, _RESTART, expected=_FOUND)


FIGURES = (
    Figure(
        name="restart",
        title="a start with a trade open, 1,000,000 rows",
        against="the same with 1,000 rows",
        unit="s",
        repeats=9,
        sides=restart_sides,
        most_ratio=1.2,
        most_peak_ratio=1.2,
    ),
)
