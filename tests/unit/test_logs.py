"""The log of a run, with real files and streams."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest

from fsm_trader.core.settings import LogSettings, Secret
from fsm_trader.core.signals import Signal
from fsm_trader.errors import SetupError
from fsm_trader.ops.logs import Logs, setup_logging, step

LOG = logging.getLogger("fsm_trader.test_logs")
FULL_DISK = Path("/dev/full")


class StoppedClock:
    """Shows one time of a session long past."""

    is_virtual = True

    def __init__(self) -> None:
        self.time = datetime(2026, 6, 17, 10, 31, 4, 250_000, tzinfo=timezone(timedelta(hours=5, minutes=30)))

    def now(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)

    def wait_until(self, moment: datetime) -> None:
        self.time = moment

    def wake(self) -> None:
        pass


@pytest.fixture(autouse=True)
def _leave_no_handlers() -> Iterator[None]:
    root = logging.getLogger("fsm_trader")
    before, level = list(root.handlers), root.level
    yield
    assert (root.handlers, root.level) == (before, level), "the test left its handlers behind"


def settings(file: Path, **changes: object) -> LogSettings:
    return LogSettings(**{"file": file, "level": "INFO", "max_bytes": 0, "backups": 0} | changes)


def open_logs(file: Path, **changes: object) -> tuple[Logs, io.StringIO]:
    console = io.StringIO()
    return setup_logging(settings(file, **changes), clock=StoppedClock(), stream=console), console


def test_console_and_file_get_the_line_with_session_time_level_module_and_line_number(tmp_path):
    file = tmp_path / "var" / "trader.log"
    logs, console = open_logs(file)

    LOG.warning("price %s", 42)
    number = sys._getframe().f_lineno - 1
    logs.close()

    line = f"2026-06-17T10:31:04.250+05:30 WARNING  test_logs:{number} price 42\n"
    assert file.read_text() == line
    assert console.getvalue() == line


def test_a_restart_appends_to_the_log(tmp_path):
    file = tmp_path / "trader.log"

    for run in ("first run", "second run"):
        logs, _ = open_logs(file)
        LOG.info(run)
        logs.close()

    assert [line.rsplit(" ", 2)[1] for line in file.read_text().splitlines()] == ["first", "second"]


def test_console_and_file_have_their_own_least_level(tmp_path):
    console = io.StringIO()
    debug = settings(tmp_path / "trader.log", level="DEBUG")
    logs = setup_logging(debug, clock=StoppedClock(), console_level="ERROR", stream=console)

    LOG.debug("detail")
    LOG.error("trouble")
    logs.close()

    assert "detail" in debug.file.read_text()
    assert "detail" not in console.getvalue()
    assert "trouble" in console.getvalue()


def test_without_a_console_level_only_the_file_is_written(tmp_path, capsys):
    file = tmp_path / "trader.log"
    logs = setup_logging(settings(file), clock=StoppedClock(), console_level=None)

    LOG.info("quiet")
    logs.close()

    assert "quiet" in file.read_text()
    assert capsys.readouterr() == ("", "")


def test_a_full_log_is_rotated_and_only_so_many_are_kept(tmp_path):
    logs, _ = open_logs(tmp_path / "trader.log", max_bytes=200, backups=2)

    for number in range(20):
        LOG.info("entry number %d", number)
    logs.close()

    assert sorted(path.name for path in tmp_path.iterdir()) == ["trader.log", "trader.log.1", "trader.log.2"]
    assert "entry number 19" in (tmp_path / "trader.log").read_text()


def test_setting_up_again_replaces_the_log_before(tmp_path):
    first, old_console = open_logs(tmp_path / "first.log")
    second, console = open_logs(tmp_path / "second.log")

    LOG.info("once")
    second.close()
    first.close()

    assert "once" not in (tmp_path / "first.log").read_text() + old_console.getvalue()
    assert console.getvalue().count("once") == 1


def test_a_log_that_cannot_be_opened_is_refused_and_the_log_before_goes_on(tmp_path):
    logs, console = open_logs(tmp_path / "trader.log")
    (tmp_path / "file").write_text("")

    with pytest.raises(SetupError, match=r"\$\.log\.file: the log cannot be opened \(.*\); expected a file this user"):
        open_logs(tmp_path / "file" / "trader.log")

    LOG.info("still here")
    logs.close()
    assert "still here" in console.getvalue()


def test_a_console_level_that_is_none_changes_nothing(tmp_path):
    with pytest.raises(ValueError, match="LOUD"):
        setup_logging(settings(tmp_path / "var" / "x.log"), clock=StoppedClock(), console_level="LOUD")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not FULL_DISK.exists(), reason="this system has no /dev/full to stand for a full disk")
def test_a_full_disk_is_said_once_and_stops_nothing(capsys):
    logs, console = open_logs(FULL_DISK)

    for number in range(3):
        LOG.info("line %d", number)
    logs.close()

    said = capsys.readouterr().err
    assert said.count("log /dev/full: OSError: [Errno 28]") == 1
    assert "trading goes on" in said
    assert said.count("\n") == 1
    assert logs.lost_lines >= 3
    assert console.getvalue().count("line") == 3


def test_a_console_that_is_gone_stops_neither_the_file_nor_the_caller(tmp_path, monkeypatch):
    file = tmp_path / "trader.log"
    logs, console = open_logs(file)
    console.close()
    monkeypatch.setattr(sys, "stderr", None)

    LOG.info("first")
    LOG.info("second")
    logs.close()

    lines = file.read_text().splitlines()
    assert [line.rsplit(" ", 1)[1] for line in lines[:2]] == ["first", "second"]
    assert lines[2].endswith("shown on the console: 2; they were not read in time, or could not be written")
    assert len(lines) == 3
    assert logs.lost_lines == 2


def test_a_message_cannot_forge_another_line(tmp_path):
    logs, console = open_logs(tmp_path / "trader.log")

    LOG.info("broker says: %s", "no\n2026-06-17 CRITICAL\r\x1b[2J\u2028x")
    logs.close()

    assert len(console.getvalue().splitlines()) == 1
    assert r"no\n2026-06-17 CRITICAL\r\x1b[2J\u2028x" in console.getvalue()


def test_a_traceback_follows_its_line(tmp_path):
    logs, console = open_logs(tmp_path / "trader.log")

    try:
        {}["missing"]
    except KeyError:
        LOG.exception("unexpected")
    logs.close()

    lines = console.getvalue().splitlines()
    assert lines[0].endswith("unexpected")
    assert lines[-1] == "KeyError: 'missing'"


def test_a_step_is_one_line_of_pairs_that_names_its_caller(tmp_path):
    logs, console = open_logs(tmp_path / "trader.log")

    step(
        LOG,
        "order 100% intended",
        session="nifty",
        trade="T-260617-003",
        seq=17,
        signal=Signal.BUY,
        stop=Decimal("0.20"),
        at=StoppedClock().time,
        token=Secret("hidden", "KITE_ACCESS_TOKEN"),
        why='said "no"',
        blank="",
        equation="a=b",
        nothing=None,
    )
    logs.close()

    line = console.getvalue()
    assert " test_logs:" in line
    assert line.endswith(
        "order 100% intended session=nifty trade=T-260617-003 seq=17 signal=1 stop=0.20 "
        'at=2026-06-17T10:31:04.250000+05:30 token="Secret(from KITE_ACCESS_TOKEN)" why="said \\"no\\"" blank="" '
        'equation="a=b" nothing=None\n'
    )


def test_a_step_leaves_out_what_it_does_not_belong_to_and_obeys_its_level(tmp_path):
    logs, console = open_logs(tmp_path / "trader.log")

    step(LOG, "waiting", session="two words")
    step(LOG, "detail", session="nifty", level=logging.DEBUG)
    logs.close()

    assert console.getvalue().endswith('waiting session="two words"\n')
    assert "detail" not in console.getvalue()
