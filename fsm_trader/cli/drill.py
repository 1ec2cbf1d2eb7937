"""``drill``: kills and faults on the user's own settings and machines, in memory, as a matrix that passes or fails."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from fsm_trader.app.drill import SEEDED, Drill, Tell, Wanted
from fsm_trader.app.files import settings_of
from fsm_trader.core.records import CandlesSeen, Entry
from fsm_trader.errors import SetupError
from fsm_trader.simulate.drill.day import Outcome
from fsm_trader.simulate.drill.matrix import TROUBLES, parse_case
from fsm_trader.simulate.drill.report import DrillReport, Row
from fsm_trader.simulate.drill.scenario import Scenario

_FAILED = 6
_INTERRUPTED = 130
_WIDEST = 150


def call(options: argparse.Namespace) -> int:
    """Play the drill; exit code 6 when an invariant did not hold on any day."""
    # What the engine would log of thousands of days is in their journals, and a failed one is printed again.
    logging.disable(logging.CRITICAL)
    try:
        return _play(options)
    finally:
        logging.disable(logging.NOTSET)


def _play(options: argparse.Namespace) -> int:
    drill = Drill(settings_of(options.file))
    if options.no_matrix and not options.seeds and options.seed is None and options.case is None:
        raise SetupError.at("--seeds", "was 0 beside --no-matrix; expected a day to play")
    if options.seed is not None:
        return _one(drill.scenario(options.seed), drill, options)
    if options.case is not None:
        try:
            scenario = parse_case(options.case).scenario
        except ValueError as error:
            raise SetupError.at("--case", str(error)) from error
        return _one(scenario, drill, options)
    wanted = Wanted(
        matrix=not options.no_matrix, is_double=options.double, first_seed=options.first_seed, seeds=options.seeds
    )
    report = DrillReport()
    code = 0
    try:
        with _progress(is_shown=not options.json) as tell:
            drill.run(wanted, report, tell)
    except KeyboardInterrupt:
        # What was played so far is told all the same.
        code = _INTERRUPTED
    _print(report, drill, options)
    return _FAILED if report.failed else code


def _one(scenario: Scenario, drill: Drill, options: argparse.Namespace) -> int:
    outcome = drill.play(scenario)
    if options.case is not None and outcome.killed < len(scenario.kills):
        raise SetupError.at(
            "--case", f"ends {len(scenario.kills)} processes; this day has the boundaries for {outcome.killed}"
        )
    if options.json:
        print(json.dumps({"ok": not outcome.breaches, "breaches": outcome.breaches, "rows": len(outcome.entries)}))
    else:
        print(scenario)
        for entry in outcome.entries:
            if not isinstance(entry.record, CandlesSeen):
                print(_line(entry))
        _conclude(outcome)
    return _FAILED if outcome.breaches else 0


def _line(entry: Entry) -> str:
    return f"{entry.seq:5} {entry.at:%H:%M:%S.%f} {entry.record}"[: _WIDEST + 50]


def _conclude(outcome: Outcome) -> None:
    for breach in outcome.breaches:
        print(f"breach: {breach}")
    ends = f"{outcome.killed} of {len(outcome.boundaries)} processes were ended"
    held = "every invariant held, and the day ended flat"
    verdict = f"{len(outcome.breaches)} breaches" if outcome.breaches else held
    print(f"{len(outcome.entries)} rows; {ends}; {verdict}.")


@contextmanager
def _progress(*, is_shown: bool) -> Iterator[Tell]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not (is_shown and console.is_terminal)) as bar:
        task = bar.add_task("drill", total=None)

        def tell(report: DrillReport, row: str) -> None:
            bar.update(task, description=f"{row}, {report.failed} failed", completed=report.days)

        yield tell


def _print(report: DrillReport, drill: Drill, options: argparse.Namespace) -> None:
    missing = drill.never_taken(report)
    if options.json:
        print(json.dumps(_data(report, missing), indent=2))
        return
    width = max(len(name) for name in (*TROUBLES, SEEDED))
    print(f"{'':{width}}  {'days':>7}  {'kills':>7}  {'failed':>7}")
    for row in report.rows:
        if row.days:
            verdict = "FAIL" if row.failed else "pass"
            print(f"{row.name:{width}}  {row.days:7,}  {row.ends:7,}  {row.failed:7,}  {verdict}")
    for row in report.rows:
        _failures(row, options)
    _coverage(report, missing)
    said = "" if report.is_whole else " Interrupted: this is what was played so far."
    if report.failed:
        print(f"FAILED on {report.failed:,} of {report.days:,} days.{said}")
    else:
        print(f"{report.days:,} days, all pass.{said}")


def _failures(row: Row, options: argparse.Namespace) -> None:
    for failure in row.failures:
        print(f"\n{row.name}: {failure.breaches[0]}", file=sys.stderr)
        print(f'  again: python -m fsm_trader drill {options.file} {failure.option} "{failure.value}"', file=sys.stderr)


def _coverage(report: DrillReport, missing: list[str]) -> None:
    coverage = report.coverage
    rarest = min(coverage.outcomes.items(), key=lambda item: item[1], default=("nothing", 0))
    print(
        f"\ncoverage: {len(coverage.moves)} transitions, {len(coverage.outcomes)} broker outcomes "
        f"(rarest: {rarest[0]}, {rarest[1]}), {len(coverage.ends)} pairs of a trade's state and the boundary at which "
        "a process ended"
    )
    for name in missing:
        print(f"  never taken: {name}")


def _data(report: DrillReport, missing: list[str]) -> dict[str, object]:
    coverage = report.coverage
    return {
        "ok": report.is_whole and not report.failed,
        "is_whole": report.is_whole,
        "days": report.days,
        "failed": report.failed,
        "rows": [
            {
                "name": row.name,
                "days": row.days,
                "kills": row.ends,
                "failed": row.failed,
                "failures": [msgspec.to_builtins(failure) for failure in row.failures],
            }
            for row in report.rows
        ],
        "coverage": {
            "transitions": {" ".join(key): count for key, count in sorted(coverage.moves.items())},
            "outcomes": dict(sorted(coverage.outcomes.items())),
            "ends": {f"{state} at {boundary}": count for (state, boundary), count in sorted(coverage.ends.items())},
            "never_taken": missing,
        },
    }
