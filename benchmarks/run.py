"""Measures the figures and prints them as a table: ``python benchmarks/run.py`` (``make bench``).

Exit codes: 0 every bound holds, 1 a bound is missed, 2 the arguments are wrong.
"""

from __future__ import annotations

import argparse
import os
import platform
import sqlite3
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import commits
import drills
import durable
import fires
import msgspec
import processes
import replays
import restarts
import ticks
import wire
from measure import Figure, NotMeasuredError, Result, Spread, Unit, measure
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

FIGURES: tuple[Figure, ...] = (
    *processes.FIGURES,
    *commits.FIGURES,
    *durable.FIGURES,
    *replays.FIGURES,
    *restarts.FIGURES,
    *fires.FIGURES,
    *drills.FIGURES,
    *wire.FIGURES,
    *ticks.FIGURES,
)
_PACKAGES = ("fsm_trader", "msgspec", "SQLAlchemy", "transitions")
# On the checkout's own disk, where a journal would be too: the system's temporary folder may be memory only.
_BUILD = processes.ROOT / "build"
_PIPE_WIDTH = 150


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the figures were measured; *load* is the machine's average of the last minute before they were."""

    python: str
    system: str
    cores: int
    load: float
    sqlite: str
    packages: dict[str, str]


class Report(msgspec.Struct, frozen=True):
    """What ``--json`` writes. All times are seconds, memory is bytes; *unmeasured* says why by the figure's name."""

    surroundings: Surroundings
    results: tuple[Result, ...]
    unmeasured: dict[str, str] = {}


def main(arguments: Sequence[str]) -> int:
    """Measure what *arguments* ask for, print it, and return the exit code."""
    options = _parser().parse_args(arguments)
    asked = [figure for figure in FIGURES if not options.only or figure.name in options.only]
    # A pipe has no width of its own; one that holds the whole table serves a reader best.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    surroundings = look_around()
    results, unmeasured = _measured(asked, console)
    console.print(table_of(results))
    for name, why in unmeasured.items():
        console.print(f"{name}: not measured: {why}")
    console.print(_words(surroundings))
    if options.json is not None:
        report = msgspec.json.encode(Report(surroundings, tuple(results), unmeasured))
        options.json.write_bytes(msgspec.json.format(report, indent=2) + b"\n")
    missed = [f"{result.name}: {bound}" for result in results for bound in result.missed]
    if missed:
        console.print(f"Missed: {'; '.join(missed)}.")
    return 1 if missed else 0


def table_of(results: Sequence[Result]) -> Table:
    """Lay out *results*: median [least-greatest] each, and what is compared below them."""
    table = Table(box=SIMPLE_HEAD, caption=_legend(results), caption_justify="left", caption_style="")
    for heading in ("figure", "ours", "reference", "unit", "ratio of times", "peak (reference)", "bound"):
        table.add_column(heading, overflow="fold")
    for result in results:
        table.add_row(
            result.name,
            shown(result.ours_s, result.unit),
            shown(result.reference_s, result.unit),
            result.unit,
            f"{result.ratio.median:.2f} [{result.ratio.least:.2f}-{result.ratio.most:.2f}]",
            _memory(result),
            _bound(result),
        )
    return table


def shown(taken: Spread, unit: Unit) -> str:
    """Write a spread of seconds in *unit*; a rate's least is what the longest time gives."""
    if unit in ("s", "us"):
        scale, digits = (1.0, 3) if unit == "s" else (1e6, 0)
        median, least, most = (f"{value * scale:.{digits}f}" for value in (taken.median, taken.least, taken.most))
    else:
        median, least, most = (f"{1 / value:,.0f}" for value in (taken.median, taken.most, taken.least))
    return f"{median} [{least}-{most}]"


def look_around() -> Surroundings:
    """Note what the figures depend on."""
    return Surroundings(
        python=f"{platform.python_implementation()} {platform.python_version()}",
        system=f"{platform.system()} {platform.machine()}",
        cores=os.cpu_count() or 1,
        load=os.getloadavg()[0],
        sqlite=sqlite3.sqlite_version,
        packages={name: version(name) for name in _PACKAGES},
    )


def _measured(figures: Sequence[Figure], console: Console) -> tuple[list[Result], dict[str, str]]:
    results: list[Result] = []
    unmeasured: dict[str, str] = {}
    _BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=_BUILD) as root:
        for figure in figures:
            folder = Path(root) / figure.name
            folder.mkdir()
            with console.status(f"{figure.name}: {figure.title}"):
                try:
                    results.append(measure(figure, folder))
                except NotMeasuredError as why:
                    unmeasured[figure.name] = str(why)
    return results, unmeasured


def _legend(results: Sequence[Result]) -> str:
    return "\n".join(f"{result.name:10} {result.title}, beside {result.against}" for result in results)


def _memory(result: Result) -> str:
    if result.peak_bytes is None or result.reference_peak_bytes is None:
        return ""
    return f"{result.peak_bytes / 1e6:.0f} MB ({result.reference_peak_bytes / 1e6:.0f})"


def _bound(result: Result) -> str:
    return ", ".join(f"{bound} {'MISSED' if bound in result.missed else 'ok'}" for bound in result.bounds)


def _words(here: Surroundings) -> str:
    packages = ", ".join(f"{name} {number}" for name, number in here.packages.items())
    return f"{here.python}, {here.system}, {here.cores} cores, load {here.load:.1f}, SQLite {here.sqlite}, {packages}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python benchmarks/run.py",
        description="Measure each figure beside its reference; see docs/reference/benchmarks.md.",
        epilog="example:\n  python benchmarks/run.py --only commit --json build/bench.json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round to a file as well")
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        choices=[figure.name for figure in FIGURES],
        help=f"measure this figure alone, may be repeated: {', '.join(figure.name for figure in FIGURES)}",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
