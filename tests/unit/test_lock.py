"""One writer a journal, whatever ends the process that holds the place."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fsm_trader.errors import JournalBusyError, SetupError
from fsm_trader.ops import lock
from fsm_trader.ops.lock import WriterLock, holder_of

WAIT_S = 30.0
HOLD = """
import sys
from pathlib import Path
from fsm_trader.ops.lock import WriterLock
lock = WriterLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""
TAKE = """
import sys
from pathlib import Path
from fsm_trader.errors import JournalBusyError
from fsm_trader.ops.lock import WriterLock
try:
    WriterLock(Path(sys.argv[1]))
except JournalBusyError as error:
    print(error)
    sys.exit(4)
"""

Start = Callable[[], "subprocess.Popen[str]"]


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "var" / "journal.db"


@pytest.fixture
def start_holder(file) -> Iterator[Start]:
    """Start processes that hold the lock until their standard input ends; all are ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        ready, _, _ = select.select([process.stdout], [], [], WAIT_S)
        assert ready, "the holder did not come up"
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait(WAIT_S)
        process.stdin.close()
        process.stdout.close()


def test_a_second_process_is_refused_and_told_who_holds_the_journal(file) -> None:
    held = WriterLock(file)

    second = subprocess.run(
        [sys.executable, "-c", TAKE, str(file)], capture_output=True, text=True, timeout=WAIT_S, check=False
    )
    held.release()
    third = subprocess.run(
        [sys.executable, "-c", TAKE, str(file)], capture_output=True, text=True, timeout=WAIT_S, check=False
    )

    assert (second.returncode, second.stderr) == (4, "")
    assert f"{file}: held by process {os.getpid()} on {socket.gethostname()}" in second.stdout
    assert "This process did nothing" in second.stdout
    assert (third.returncode, third.stdout) == (0, "")


def test_a_refused_process_leaves_the_holders_name_in_place(file, start_holder) -> None:
    holder = start_holder()
    named = holder_of(file)

    for _ in range(2):
        with pytest.raises(JournalBusyError, match=f"held by process {holder.pid} on "):
            WriterLock(file)

    assert holder_of(file) == named == f"process {holder.pid} on {socket.gethostname()}"


def test_the_lock_dies_with_a_killed_holder(file, start_holder) -> None:
    holder = start_holder()

    holder.send_signal(signal.SIGKILL)
    holder.wait(WAIT_S)

    assert holder_of(file) is None
    WriterLock(file).release()


def test_the_place_is_free_again_after_its_holder_ended_in_order(file, start_holder) -> None:
    holder = start_holder()

    holder.stdin.close()

    assert holder.wait(WAIT_S) == 0
    assert holder_of(file) is None


def test_the_name_is_that_of_the_newest_holder_only(file, start_holder) -> None:
    path = file.with_name(file.name + ".lock")
    path.parent.mkdir()
    path.write_text("process 123456789012345 on a-host-with-a-very-long-name\n", encoding="utf-8")

    holder = start_holder()

    assert path.read_text(encoding="utf-8") == f"process {holder.pid} on {socket.gethostname()}\n"


def test_nobody_holds_a_journal_that_was_never_written(file) -> None:
    assert holder_of(file) is None
    assert not file.parent.exists()


def test_looking_who_holds_it_takes_nothing_away(file) -> None:
    held = WriterLock(file)

    looks = {holder_of(file) for _ in range(3)}

    with pytest.raises(JournalBusyError):
        WriterLock(file)
    assert looks == {f"process {os.getpid()} on {socket.gethostname()}"}
    held.release()


def test_a_reader_that_looks_just_then_never_makes_a_writer_fail(file, monkeypatch) -> None:
    WriterLock(file).release()
    reader = os.open(file.with_name(file.name + ".lock"), os.O_RDWR)
    fcntl.flock(reader, fcntl.LOCK_SH)
    waits: list[float] = []

    def reader_is_done(*_nothing: object) -> None:
        waits.append(_nothing[-1])
        os.close(reader)

    monkeypatch.setattr(lock.select, "select", reader_is_done)

    WriterLock(file).release()

    assert len(waits) == 1
    assert 0 < waits[0] <= 0.1


def test_waiting_for_the_place_is_bounded(file, monkeypatch) -> None:
    held = WriterLock(file)
    waits: list[float] = []
    monkeypatch.setattr(lock.select, "select", lambda *arguments: waits.append(arguments[-1]))

    with pytest.raises(JournalBusyError):
        WriterLock(file)

    assert sum(waits) <= 0.5
    held.release()


def test_readers_that_never_stop_looking_do_not_keep_a_writer_out(file, tmp_path) -> None:
    """Two real processes look all the time; the writer gets in each time."""
    WriterLock(file).release()
    script = (
        "import sys\nfrom pathlib import Path\nfrom fsm_trader.ops.lock import holder_of\n"
        "print('looks', flush=True)\n"
        f"while not Path({str(tmp_path / 'stop')!r}).exists():\n    holder_of(Path(sys.argv[1]))\n"
    )
    readers = [
        subprocess.Popen([sys.executable, "-c", script, str(file)], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    try:
        for reader in readers:
            assert reader.stdout.readline() == "looks\n"
        for _ in range(5):
            WriterLock(file).release()
    finally:
        (tmp_path / "stop").touch()
        for reader in readers:
            reader.communicate(timeout=WAIT_S)

    assert [reader.returncode for reader in readers] == [0, 0]


def test_other_users_can_see_who_holds_it_whatever_the_umask(file) -> None:
    before = os.umask(0o077)
    try:
        held = WriterLock(file)
    finally:
        os.umask(before)

    assert file.with_name(file.name + ".lock").stat().st_mode & 0o777 == 0o644
    held.release()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can look through the eyes of another user")
@pytest.mark.parametrize("is_open", [True, False], ids=["may look", "may not look"])
def test_another_user_sees_the_holder_or_is_told_that_it_cannot_be_seen(is_open) -> None:
    # Not in pytest's own folder, which only its owner may enter.
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "journal.db"
        held = WriterLock(file)
        Path(folder).chmod(0o755 if is_open else 0o700)
        os.seteuid(65534)
        try:
            holder = holder_of(file)
        finally:
            os.seteuid(0)
            held.release()

    if is_open:
        assert holder == f"process {os.getpid()} on {socket.gethostname()}"
    else:
        assert holder.startswith("perhaps a process that cannot be seen: ")


def test_a_lock_file_that_cannot_be_made_is_refused_in_words(tmp_path) -> None:
    blocker = tmp_path / "var"
    blocker.write_text("not a folder", encoding="utf-8")

    with pytest.raises(SetupError, match="the lock file cannot be made: File exists"):
        WriterLock(blocker / "journal.db")

    assert blocker.read_text(encoding="utf-8") == "not a folder"


def test_the_lock_is_not_handed_on_to_a_child(file) -> None:
    held = WriterLock(file)
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    try:
        held.release()
        assert holder_of(file) is None
    finally:
        child.communicate(timeout=WAIT_S)
