"""Reading the pages: fenced blocks, commands, and excerpts of output that are held against the real thing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
LIMIT_S = 60
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(text: str, *languages: str) -> list[str]:
    """Return the contents of the fenced blocks in these languages, in order."""
    fence = rf"^```(?:{'|'.join(languages)})\n(.*?)^```$"
    return re.findall(fence, text, flags=re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[str]:
    """Return what a reader is told to type, in order."""
    return [line[2:] for block in blocks(text, "console") for line in block.splitlines() if line.startswith("$ ")]


def missing_chunk(excerpt: str, output: str, *, masked: bool = False) -> list[str] | None:
    """Return the first run of lines between two ``...`` that *output* does not hold in order, None when all is there.

    Process numbers never count; *masked* hides all numbers, for what depends on the moment something was stopped.
    """
    lines = [_plain(line, masked=masked) for line in output.splitlines()]
    at = 0
    for chunk in re.split(r"^\.\.\.\n", f"{excerpt.rstrip()}\n", flags=re.MULTILINE):
        wanted = [_plain(line, masked=masked) for line in chunk.splitlines()]
        found = next((n for n in range(at, len(lines) + 1) if lines[n : n + len(wanted)] == wanted), None)
        if found is None:
            return wanted
        at = found + len(wanted)
    return None


def _plain(line: str, *, masked: bool) -> str:
    line = re.sub(r"process \d+( on \S+)?", "process N", line.rstrip())
    if not masked:
        return line
    line = re.sub(r", last [\d.,]*\d", "", line)
    return re.sub(r"-?\d[\d.,:]*", "#", line)


def trade_lines(output: str) -> list[tuple[str, str, str]]:
    """Return contract, quantity and reason of each row of a closing table."""
    row = r"^ (?:\d{8}-\d{3}) +(\S+) +(\d+) +\S+ \S+ +\S+ \S+ +(\w+(?: \w+)*) +-?[\d,]+\.\d\d"
    return re.findall(row, output, flags=re.MULTILINE)


def trader(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program to its end, with further environment variables."""
    command = [sys.executable, "-m", "fsm_trader", *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


@contextmanager
def running(command: list[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a program whose lines are read while it runs; it is ended with the block, and killed when it hangs."""
    with subprocess.Popen(
        command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        watchdog = threading.Timer(LIMIT_S, process.kill)
        watchdog.start()
        try:
            yield process
        finally:
            watchdog.cancel()
            process.kill()


def read_until(process: subprocess.Popen[str], word: str) -> str:
    """Return what a program prints, up to and with the first line that holds *word*."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if word in line:
            return "".join(lines)
    raise AssertionError(f"the output ended without {word!r}:\n{''.join(lines)}")
