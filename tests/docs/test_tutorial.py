"""The tutorial, walked through in its order: each command is run, each edit made, each output held to the real."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from .conftest import SampleDay
from .pages import (
    ENVIRONMENT,
    LIMIT_S,
    ROOT,
    blocks,
    commands,
    missing_chunk,
    read_until,
    running,
    text_of,
    trade_lines,
)

PAGE = text_of("docs/tutorial.md")
# A minute in a fifth of a second: long enough to catch a trade, and no reader's patience is needed.
SLOW, FASTER = "  speed: 60\n", "  speed: 300\n"


class Shell:
    """A reader's shell: the working folder and the environment stay from one command to the next."""

    def __init__(self, folder: Path, state: Path) -> None:
        self._state = state
        state.write_text(f"cd {shlex.quote(str(folder))}\n", encoding="utf-8")

    def script(self, command: str) -> list[str]:
        """Return the program call for a command that keeps no state."""
        return ["bash", "-c", f". {shlex.quote(str(self._state))}; {command}"]

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        state = shlex.quote(str(self._state))
        keep = f"code=$?; {{ export -p; printf 'cd %q\\n' \"$PWD\"; }} > {state}; exit $code"
        return subprocess.run(
            self.script(f"{command}\n{keep}"),
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
            cwd=ROOT,
        )


class Page:
    """The tutorial's commands, edits and outputs, each to be taken once and in order."""

    def __init__(self) -> None:
        self._commands = iter(commands(PAGE))
        self._edits = iter(blocks(PAGE, "yaml"))
        self._outputs = iter(blocks(PAGE, "text"))

    def command(self, expected: str) -> str:
        assert next(self._commands) == expected
        return expected

    def edit(self) -> str:
        return next(self._edits)

    def output(self) -> str:
        return next(self._outputs)

    def left(self) -> list[str]:
        return [*self._commands, *self._edits, *self._outputs]


RUN = "python -m fsm_trader session.yaml"


def _checkout(tmp_path: Path) -> Path:
    """Make a folder with what the tutorial uses of a checkout, and with this environment as its ``.venv``."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("session.yaml", "strategies.yaml"):
        (folder / name).write_text(text_of(name), encoding="utf-8")
    binaries = folder / ".venv" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "python").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n', encoding="utf-8")
    (binaries / "python").chmod(0o755)
    (binaries / "activate").write_text(f'PATH={shlex.quote(str(binaries))}:"$PATH"\n', encoding="utf-8")
    return folder


def _replace(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1
    file.write_text(text.replace(old, new), encoding="utf-8")


def _recipe(target: str) -> str:
    """Return the last line of what ``make`` would do, without doing it."""
    # The suite itself may run below make, whose flags would make this one talk of folders it enters.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        ["make", "-n", target], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=True
    )
    return done.stdout.splitlines()[-1]


def _well(shell: Shell, command: str) -> str:
    done = shell.run(command)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_the_tutorial_can_be_followed_word_for_word(tmp_path: Path, sample_day: SampleDay) -> None:
    page, shell = Page(), Shell(_checkout(tmp_path), tmp_path / "state")
    folder = tmp_path / "first-day"

    # 1. Run the day
    page.command("make run")
    assert missing_chunk(page.output(), _well(shell, _recipe("run"))) is None

    # 2. A folder of your own
    for command in (
        ". .venv/bin/activate",
        "mkdir ../first-day",
        "cp session.yaml strategies.yaml ../first-day",
        "cd ../first-day",
        "python -m fsm_trader check session.yaml",
        RUN,
        "ls var",
    ):
        printed = _well(shell, page.command(command))
    assert {"fsm_trader.db", "paper.db"} <= set(printed.split())

    # 3. What happened, 4. Look at the machines
    _well(shell, page.command("python -m fsm_trader status session.yaml"))
    told = _well(shell, page.command("python -m fsm_trader journal list session.yaml --trade 20260617-003"))
    assert told.index("intends entry order") < told.index("accepted") < told.index("stop loss")
    verified = _well(shell, page.command("python -m fsm_trader journal verify session.yaml"))
    assert re.fullmatch(r"\d+ rows, every hash fits; \.\.\.\n", page.output())
    assert re.match(r"\d+ rows, every hash fits; ", verified)
    _well(shell, page.command("python -m fsm_trader diagram session.yaml -o pictures"))
    assert (folder / "pictures" / "trade.svg").is_file()

    # 5. Watch it live, 6. Stop it in the middle of a trade, and start it again
    assert page.edit() == SLOW
    _replace(folder / "session.yaml", "market:\n", f"market:\n{FASTER}")
    _well(shell, page.command("rm -r var"))
    with running(shell.script(f"exec {page.command(RUN)}"), folder) as process:
        read_until(process, "run started")
        live = _well(shell, page.command("python -m fsm_trader status session.yaml"))
        read_until(process, "held until")
        process.send_signal(signal.SIGINT)
        farewell = process.stdout.read() if process.stdout is not None else ""
        assert process.wait() == 3
    left = shell.run("python -m fsm_trader status session.yaml").stdout
    watched, _, position = page.output().partition("...\n")
    assert missing_chunk(watched.splitlines()[0], live, masked=True) is None
    assert missing_chunk(position, left, masked=True) is None
    assert missing_chunk(page.output(), farewell) is None
    _replace(folder / "session.yaml", FASTER, "")
    resumed = _well(shell, page.command(RUN))
    assert missing_chunk(page.output(), resumed, masked=True) is None
    assert trade_lines(resumed) == trade_lines(sample_day.done.stdout) != []

    # 7. Change the strategy
    _replace(folder / "strategies.yaml", "    params: {length: 20, exit_option: 2}\n", page.edit())
    _well(shell, page.command("mv var var-20"))
    changed = _well(shell, page.command(RUN))
    assert missing_chunk(page.output(), changed) is None
    assert len(trade_lines(changed)) == 4
    assert len(trade_lines(sample_day.done.stdout)) == 8

    assert page.left() == []
