"""The paper book: damaged, foreign and shared files are refused; a killed process loses nothing it was told of."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest

from fsm_trader.broker.paper.book import PaperBook
from fsm_trader.broker.paper.broker import PaperBroker
from fsm_trader.broker.paper.matching import Progress
from fsm_trader.core.orders import OrderStatus
from fsm_trader.errors import SetupError, UnavailableError
from fsm_trader.ops.clock import VirtualClock

from .scripted import CLOSE, DAY, LOT, OPEN, Script, find, order, paper_settings

CHILD_BOUND_S = 60
CHILD = Path(__file__).with_name("killed_child.py")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "var" / "paper.db"


def broker_on(book: PaperBook, clock: VirtualClock) -> PaperBroker:
    return PaperBroker(
        settings=paper_settings(Path("unused")),
        clock=clock,
        prices=Script((0, 10000)),
        find_contract=find,
        book=book,
        hours=(OPEN, CLOSE),
    )


def test_a_new_book_is_made_with_its_folder_and_has_no_world(path):
    with PaperBook(path) as book:
        assert book.world is None

    assert path.exists()


def test_plays_are_counted_over_the_life_of_the_book(path):
    with PaperBook(path) as book:
        first = book.begin(DAY, OPEN)
        book.finish(CLOSE)
    with PaperBook(path) as book:
        finished = book.world
        second = book.begin(DAY + timedelta(days=1), OPEN + timedelta(days=1))

        assert (first.play, finished.finished, finished.now, second.play) == (1, True, CLOSE, 2)
        assert (first.id_prefix, second.id_prefix) == ("260617001", "260618002")
        assert not second.finished
        assert book.played_days() == (date(2026, 6, 17),)


def test_the_worlds_time_is_kept_and_never_goes_back(path):
    with PaperBook(path) as book:
        book.begin(DAY, OPEN)
        book.save_now(OPEN + timedelta(minutes=5))
        book.save_now(OPEN)
        book.commit(Progress(OPEN + timedelta(minutes=1)))
    with PaperBook(path) as book:
        assert book.world.now == OPEN + timedelta(minutes=5)


def test_a_commit_is_all_or_nothing(path):
    with PaperBook(path) as book:
        book.begin(DAY, OPEN)
        clock = VirtualClock(OPEN)
        broker = broker_on(book, clock)
        broker.place(order("E1"))
        clock.sleep(5)
        broker.check()
        before = book.load()
        later = Progress(OPEN + timedelta(hours=1), (), before.fills)

        with pytest.raises(UnavailableError, match="UNIQUE"):
            book.commit(later)

        assert book.load() == before


def test_orders_are_flushed_to_the_disk_and_the_clock_alone_is_not(path):
    with PaperBook(path) as book:
        book.begin(DAY, OPEN)
        statements: list[str] = []
        book._connection.set_trace_callback(statements.append)

        book.save_now(OPEN + timedelta(minutes=1))
        (clock_mode,) = book._connection.execute("PRAGMA synchronous").fetchone()
        clock_statements, statements[:] = list(statements), []
        book.commit(Progress(OPEN + timedelta(minutes=2)))

    assert not any("FULL" in statement for statement in clock_statements)
    assert clock_mode == 1
    kept = [statement for statement in statements if statement.startswith(("PRAGMA", "BEGIN", "COMMIT"))]
    assert kept == ["PRAGMA synchronous = FULL", "BEGIN IMMEDIATE", "COMMIT", "PRAGMA synchronous = NORMAL"]


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(path):
    path.parent.mkdir()
    path.write_bytes(b"strategies: {}\n" * 100)

    with pytest.raises(SetupError, match=r"cannot be read.*not a database.*expected a paper book"):
        PaperBook(path)

    assert path.read_bytes() == b"strategies: {}\n" * 100


def test_another_programs_database_is_refused_and_left_as_it_is(path):
    path.parent.mkdir()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE journal (seq INTEGER)")
    other.close()
    before = path.read_bytes()

    with pytest.raises(SetupError, match="another program"):
        PaperBook(path)

    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("statement", "seen"),
    [
        ("PRAGMA user_version = 99", "version 99"),
        ("UPDATE plays SET now = 'soon'", "present play cannot be read"),
        ("DROP TABLE plays", "present play cannot be read"),
    ],
)
def test_a_book_of_another_version_or_with_nonsense_in_it_is_refused(path, statement, seen):
    with PaperBook(path) as book:
        book.begin(DAY, OPEN)
    other = sqlite3.connect(path)
    other.execute(statement)
    other.commit()
    other.close()

    with pytest.raises(SetupError, match=seen):
        PaperBook(path)


def test_a_row_that_cannot_be_read_is_refused_by_name(path):
    with PaperBook(path) as book:
        book.begin(DAY, OPEN)
        broker_on(book, VirtualClock(OPEN)).place(order("E1"))
        book._connection.execute("UPDATE orders SET body = '{}'")

        with pytest.raises(SetupError, match="row of play 1"):
            book.load()


def test_a_truncated_book_is_refused(path):
    with PaperBook(path) as book:
        book.begin(DAY, OPEN)
        book._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])

    with pytest.raises(SetupError, match="expected a paper book"):
        PaperBook(path)


def test_a_folder_in_the_place_of_the_book_is_refused(path):
    path.mkdir(parents=True)

    with pytest.raises(SetupError, match="cannot be opened"):
        PaperBook(path)


def test_a_file_in_the_place_of_the_folder_is_refused(path):
    path.parent.write_text("")

    with pytest.raises(SetupError, match="expected a folder to write in"):
        PaperBook(path)


def test_a_book_in_use_is_refused_and_the_user_named(path):
    with PaperBook(path) as book:
        book.begin(DAY, OPEN)

        with pytest.raises(SetupError, match=rf"in use by the process with pid {os.getpid()}\b"):
            PaperBook(path)

        book.save_now(OPEN + timedelta(minutes=1))
    with PaperBook(path) as book:
        assert book.world.now == OPEN + timedelta(minutes=1)


def test_a_refused_book_is_free_for_the_next_one(path):
    path.parent.mkdir()
    path.write_bytes(b"nonsense" * 1000)
    with pytest.raises(SetupError):
        PaperBook(path)
    path.unlink()

    with PaperBook(path) as book:
        assert book.world is None


def run_and_kill(path: Path, moment: str) -> int:
    """Run the child that kills itself at *moment* and return its pid."""
    child = subprocess.Popen(
        [sys.executable, "-m", f"{__package__}.{CHILD.stem}", str(path), moment],
        cwd=CHILD.parents[len(__package__.split("."))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        _, errors = child.communicate(timeout=CHILD_BOUND_S)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == -signal.SIGKILL, errors.decode()
    return child.pid


@pytest.mark.parametrize(
    ("moment", "tags"),
    [("before_commit", []), ("in_commit", []), ("after_commit", ["E1"]), ("after_place", ["E1"])],
)
def test_an_order_of_a_killed_process_is_in_the_world_exactly_when_it_was_committed(path, moment, tags):
    run_and_kill(path, moment)

    with PaperBook(path) as book:
        clock = VirtualClock(book.world.now, book.save_now)
        broker = broker_on(book, clock)
        found = [row.tag for row in broker.book().orders]
        clock.sleep(5)
        filled = [(row.tag, row.status) for row in broker.book().orders]
        next_id = broker.place(order("E2"))

    assert found == tags
    assert filled == [(tag, OrderStatus.COMPLETE) for tag in tags]
    assert next_id == f"260617001{len(tags) + 1:06d}"


def test_a_fill_that_was_told_survives_the_kill_and_is_not_made_twice(path):
    run_and_kill(path, "after_fill")

    with PaperBook(path) as book:
        clock = VirtualClock(book.world.now, book.save_now)
        broker = broker_on(book, clock)
        found = broker.book()
        clock.sleep(60)

        assert [fill.quantity for fill in found.fills] == [LOT]
        assert broker.book().fills == found.fills
        assert broker.positions()[0].quantity == LOT


def test_the_clock_of_a_killed_process_goes_on_where_it_was(path):
    run_and_kill(path, "after_clock")

    with PaperBook(path) as book:
        assert book.world.now == OPEN + timedelta(seconds=90)
        assert broker_on(book, VirtualClock(book.world.now)).book().fills == ()


def test_a_killed_process_holds_no_lock(path):
    pid = run_and_kill(path, "after_place")

    assert path.with_name("paper.db.lock").read_text() == f"{pid}\n"
    with PaperBook(path):
        assert path.with_name("paper.db.lock").read_text() == f"{os.getpid()}\n"
