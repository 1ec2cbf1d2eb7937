"""The page about systemd against the unit that is printed and the code that talks to the manager."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from fsm_trader.ops.systemd import WATCHDOG_S

from .pages import blocks, text_of, trader

PAGE = text_of("docs/how-to/run-under-systemd.md")


@pytest.fixture
def unit(two_files: Path) -> str:
    (two_files / "var").mkdir()
    done = trader("service", "session.yaml", folder=two_files)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_commands_of_the_unit_are_those_of_the_page(unit: str, two_files: Path) -> None:
    typed = [line[2:] for line in "\n".join(blocks(PAGE, "console")).splitlines() if line.startswith("# ")]

    for line in unit.splitlines()[1:3]:
        assert line.removeprefix("#   ").replace(str(two_files), "/srv/fsm_trader") in typed
    assert "fsm-trader-nifty-intraday.service" in unit.splitlines()[0]


def test_the_times_and_exit_codes_of_the_page_are_those_of_the_unit(unit: str) -> None:
    assert f"WatchdogSec={WATCHDOG_S}" in unit
    assert f"every {WATCHDOG_S // 3} seconds (a third of `WatchdogSec`)" in PAGE
    assert f"After {WATCHDOG_S} seconds without" in PAGE
    assert "RestartPreventExitStatus=2 4 5 6" in unit
    assert "| 2, 4, 5, 6 | nothing" in PAGE
    assert "RestartForceExitStatus=3" in unit
    assert "RestartSec=2" in unit
    assert "StartLimitBurst=10" in unit
    assert "StartLimitIntervalSec=600" in unit


def test_every_message_of_the_page_is_one_that_is_sent() -> None:
    source = text_of("fsm_trader/app/service.py")

    for message in re.findall(r"^\| `([A-Z]+=1?)` \|", PAGE, flags=re.MULTILINE):
        assert f'"{message}' in source, message


def test_the_status_line_of_the_page_has_the_form_of_the_real_one() -> None:
    [line] = [block.strip() for block in blocks(PAGE, "text")]

    assert re.fullmatch(r"TRADING; \d{8}-\d{3} ACTIVE \w+ [+-][\d,.]+ stop [\d.]+", line)


def test_systemd_takes_unit_and_timer_as_the_page_gives_them(unit: str, tmp_path: Path) -> None:
    [timer] = blocks(PAGE, "ini")
    files = {"fsm-trader-nifty-intraday.service": unit, "fsm-trader-nifty-intraday.timer": timer}
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")

    try:
        done = subprocess.run(
            ["systemd-analyze", "verify", *(str(tmp_path / name) for name in files)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except FileNotFoundError:
        pytest.skip("systemd-analyze is not installed here")

    assert (done.returncode, done.stderr) == (0, "")
