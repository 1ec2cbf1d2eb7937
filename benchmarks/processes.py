"""Figures of whole processes, as a person at a shell meets them: ``--help``, ``status`` and the day itself.

Every child runs with a byte-code cache of its own, filled in the round that is dropped, so that what is measured is the
second call of a command and not the compiler.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from measure import Figure, Sample, Sides, expect

ROOT = Path(__file__).resolve().parents[1]
_LAUNCH = Path(__file__).with_name("launch.py")
_PASS = ("-c", "pass")
_TIMEOUT_S = 120.0
_DAY = ("-m", "fsm_trader", "session.yaml", "--log", "none")

# Runs a quiet day and writes what it imported, in order, as a program of its own.
_TRACE = """
import sys
from fsm_trader.cli.main import main

code = main(["session.yaml", "--quiet", "--log", "none"])
names = [
    name
    for name, module in list(sys.modules.items())
    if name != "__main__" and getattr(module, "__spec__", None) is not None and module.__spec__.name == name
]
with open("imports.py", "w", encoding="utf-8") as file:
    file.write("from importlib import import_module\\n\\n")
    file.writelines(f"import_module({name!r})\\n" for name in names)
sys.exit(code)
"""


class Told(msgspec.Struct, frozen=True):
    """What a finished command left: its sample, exit code and everything it printed."""

    sample: Sample
    exit_code: int
    text: str


def run(folder: Path, arguments: Sequence[str]) -> Told:
    """Run the interpreter with *arguments* in *folder* and measure the process.

    Raises:
        WrongResultError: it could not be started or measured.
        subprocess.TimeoutExpired: it did not end within two minutes.
    """
    output = folder / "output.txt"
    launcher = subprocess.Popen(
        [sys.executable, "-I", "-S", str(_LAUNCH), str(output), sys.executable, *arguments],
        cwd=folder,
        env=_environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with launcher:
        try:
            measured, complaint = launcher.communicate(timeout=_TIMEOUT_S)
        except BaseException:
            # The command is the launcher's child: neither may outlive this call.
            os.killpg(launcher.pid, signal.SIGKILL)
            raise
    expect(launcher.returncode == 0, f"{' '.join(arguments)[:60]}: {complaint.strip()}; expected it to start")
    taken_ns, peak_bytes, exit_code = (int(word) for word in measured.split())
    return Told(Sample(taken_ns / 1e9, peak_bytes), exit_code, output.read_text(encoding="utf-8"))


def sample_of(folder: Path, arguments: Sequence[str], *, expected: str = "") -> Sample:
    """Run the interpreter as ``run`` does and take its sample.

    Raises:
        WrongResultError: the exit code is not 0, or *expected* is not in what was printed.
    """
    told = run(folder, arguments)
    expect(
        told.exit_code == 0 and expected in told.text,
        f"{' '.join(arguments)}: exit code {told.exit_code} and {told.text[-300:]!r}; expected 0 and {expected!r}",
    )
    return told.sample


def lay_out(folder: Path) -> None:
    """Put the bundled session into *folder*."""
    for name in ("session.yaml", "strategies.yaml"):
        shutil.copy(ROOT / name, folder)


def play_day(folder: Path) -> None:
    """Put the bundled session into *folder*, its day played to the end; figures beside each other share the playing."""
    finished = folder.parent / "finished"
    if not finished.exists():
        finished.mkdir()
        lay_out(finished)
        told = run(finished, (*_DAY, "--quiet"))
        expect(told.exit_code == 0, f"the sample day: exit code {told.exit_code} and {told.text!r}; expected 0")
    shutil.copytree(finished, folder, dirs_exist_ok=True)


@contextmanager
def help_sides(folder: Path) -> Iterator[Sides]:
    yield _beside_bare(folder, ("-m", "fsm_trader", "--help"), expected="exit codes:")


@contextmanager
def status_sides(folder: Path) -> Iterator[Sides]:
    play_day(folder)
    yield _beside_bare(folder, ("-m", "fsm_trader", "status", "session.yaml"), expected="8 closed")


@contextmanager
def day_sides(folder: Path) -> Iterator[Sides]:
    lay_out(folder)
    traced = run(folder, ("-c", _TRACE))
    expect(traced.exit_code == 0, f"the traced day: exit code {traced.exit_code} and {traced.text!r}; expected 0")

    def day() -> Sample:
        shutil.rmtree(folder / "var", ignore_errors=True)
        return sample_of(folder, _DAY, expected="CLOSED, flat. Flat.")

    def imports() -> Sample:
        return sample_of(folder, ("imports.py",))

    def check() -> None:
        told = run(folder, ("-m", "fsm_trader", "journal", "verify", "session.yaml"))
        expect(told.exit_code == 0, f"the day's journal: {told.text!r}; expected one that verifies")

    yield Sides(day, imports, check)


def _beside_bare(folder: Path, arguments: Sequence[str], *, expected: str) -> Sides:
    # Each round proves its own work by what it printed; nothing is left to check at the end.
    return Sides(
        lambda: sample_of(folder, arguments, expected=expected), lambda: sample_of(folder, _PASS), lambda: None
    )


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    # The checkout beside this file is what is measured, whatever is installed.
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": str(folder.parent / "bytecode")}


FIGURES = (
    Figure(
        name="help",
        title="--help",
        against="python -c pass",
        unit="s",
        repeats=15,
        sides=help_sides,
        most_s=0.25,
    ),
    Figure(
        name="status",
        title="status after the sample day",
        against="python -c pass",
        unit="s",
        repeats=11,
        sides=status_sides,
        most_s=0.5,
    ),
    Figure(
        name="day",
        title="the sample day, start to closing table",
        against="the same imports alone",
        unit="s",
        repeats=9,
        sides=day_sides,
        most_s=5.0,
        most_bytes=200_000_000,
    ),
)
