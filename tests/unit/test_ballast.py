"""A full disk: room that was kept lets the journal go on once, and says so; only without it does the trader stop."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fsm_trader.core.records import AlarmRaised
from fsm_trader.errors import HaltError
from fsm_trader.journal import ballast as module
from fsm_trader.journal.ballast import Ballast, path_of
from fsm_trader.journal.read import JournalReader
from fsm_trader.journal.store import JournalStore

from .rows import SESSION, at

NOON = at("12:00")
ROOM = 1 << 20
MEGABYTES = 4


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A disk of a few megabytes of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", str(place)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small disk of its own needs the right to mount one, which this user does not have")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill_up(place: Path) -> None:
    """Take what room there is, to the last block."""
    with (place / "other").open("ab", buffering=0) as file:
        for size in (1 << 16, 1 << 12):
            try:
                while True:
                    file.write(bytes(size))
            except OSError as error:
                assert error.errno == 28  # noqa: PT017 - every other error fails the test just so


def append(store: JournalStore, text: str) -> None:
    store.append(NOON, SESSION, [AlarmRaised(text)])


def append_until_full(store: JournalStore) -> None:
    for _ in range(2000):
        append(store, "x" * 400)


def texts(file: Path) -> list[str]:
    with JournalReader(f"sqlite:///{file}") as reader:
        assert reader.verify().fault is None
        return [entry.record.text for entry in reader.entries()]


# --- the room itself -----------------------------------------------------------------------------------------------


def test_the_room_is_taken_on_the_disk_and_given_back(tmp_path) -> None:
    ballast = Ballast(tmp_path / "journal.db", ROOM)

    assert ballast.lay() == ""
    held = path_of(tmp_path / "journal.db").stat()
    assert (held.st_size, held.st_blocks * 512 >= ROOM) == (ROOM, True)
    assert ballast.give_up()
    assert not path_of(tmp_path / "journal.db").exists()
    assert not ballast.give_up()


def test_room_that_lies_there_already_is_kept_and_too_little_is_filled_up(tmp_path) -> None:
    path = path_of(tmp_path / "journal.db")
    path.write_bytes(b"x" * ROOM)
    assert Ballast(tmp_path / "journal.db", ROOM).lay() == ""
    assert path.read_bytes() == b"x" * ROOM

    assert Ballast(tmp_path / "journal.db", 2 * ROOM).lay() == ""
    assert path.stat().st_size == 2 * ROOM


def test_where_the_system_cannot_allocate_the_room_is_written(tmp_path, monkeypatch) -> None:
    monkeypatch.delattr(module.os, "posix_fallocate")

    assert Ballast(tmp_path / "journal.db", ROOM + 5).lay() == ""

    held = path_of(tmp_path / "journal.db").stat()
    assert (held.st_size, held.st_blocks * 512 >= ROOM) == (ROOM + 5, True)


def test_room_that_cannot_be_had_is_told_and_what_was_taken_of_it_is_given_back(small_disk) -> None:
    told = Ballast(small_disk / "journal.db", MEGABYTES * 2 * ROOM).lay()

    assert told.startswith(
        f"{small_disk / 'journal.db.ballast'}: 8,388,608 bytes could not be set aside: No space left"
    )
    assert list(small_disk.iterdir()) == []


def test_a_journal_that_is_not_a_running_traders_keeps_no_room(tmp_path) -> None:
    with closing(JournalStore(f"sqlite:///{tmp_path / 'journal.db'}")) as store:
        append(store, "a")

    assert not path_of(tmp_path / "journal.db").exists()


# --- a full disk ---------------------------------------------------------------------------------------------------


@pytest.fixture
def file(small_disk) -> Path:
    return small_disk / "journal.db"


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def store(file, told) -> Iterator[JournalStore]:
    with closing(JournalStore(f"sqlite:///{file}", ballast=ROOM)) as opened:
        opened.on_trouble = told.append
        yield opened


def test_a_full_disk_is_told_once_and_the_journal_goes_on_with_what_a_day_may_still_need(
    store, file, small_disk, told
) -> None:
    append(store, "before")
    fill_up(small_disk)

    for number in range(500):
        append(store, f"{number} {'x' * 400}")

    assert len(told) == 1
    assert "the disk is full. The room that was set aside is in use now" in told[0]
    assert not path_of(file).exists()
    assert texts(file)[:2] == ["before", f"0 {'x' * 400}"]
    assert len(texts(file)) == 501


def test_where_the_room_is_used_up_too_the_step_is_refused_whole_and_the_journal_is_sound(
    store, file, small_disk
) -> None:
    append(store, "before")
    fill_up(small_disk)
    append(store, "the room is in use now")
    fill_up(small_disk)

    with pytest.raises(HaltError, match="could not be written: database or disk is full"):
        append_until_full(store)

    written = store.head[0]
    assert written >= 2
    (small_disk / "other").unlink()
    assert len(texts(file)) == written
    append(store, "room again")
    assert len(texts(file)) == written + 1


def test_without_room_that_was_kept_a_full_disk_stops_the_trader(file, small_disk, told) -> None:
    with closing(JournalStore(f"sqlite:///{file}")) as store:
        store.on_trouble = told.append
        append(store, "before")
        fill_up(small_disk)

        with pytest.raises(HaltError, match="Nothing of this step is in the journal and nothing of it was sent"):
            append_until_full(store)

    assert told == []


def test_a_start_on_a_full_disk_says_that_it_has_no_room_and_goes_on_while_it_can(file, small_disk, told) -> None:
    with closing(JournalStore(f"sqlite:///{file}")) as store:
        append(store, "before")
    (small_disk / "most").write_bytes(bytes((MEGABYTES - 1) * ROOM - (1 << 18)))

    with closing(JournalStore(f"sqlite:///{file}", ballast=2 * ROOM)) as store:
        store.on_trouble = told.append
        append(store, "after")

    assert len(told) == 1
    assert "2,097,152 bytes could not be set aside" in told[0]
    assert texts(file) == ["before", "after"]


def test_the_next_start_sets_room_aside_again(store, file, small_disk) -> None:
    append(store, "before")
    fill_up(small_disk)
    append(store, "x" * 4000)
    append(store, "x" * 4000)
    assert not path_of(file).exists()
    (small_disk / "other").unlink()

    with closing(JournalStore(f"sqlite:///{file}", ballast=ROOM)):
        assert path_of(file).stat().st_size == ROOM


def test_a_machine_definition_is_kept_with_the_room_too(store, small_disk) -> None:
    fill_up(small_disk)

    for number in range(10):
        store.define(f"d{number}", "trade", "states: [] " * 1000)

    assert store.definition("d9") == "states: [] " * 1000


# --- the same without a disk of its own ----------------------------------------------------------------------------


@pytest.mark.parametrize("is_enough", [True, False])
def test_a_database_that_may_not_grow_is_a_full_disk_until_the_room_is_given_up(
    tmp_path, told, monkeypatch, is_enough
) -> None:
    file = tmp_path / "journal.db"
    with closing(JournalStore(f"sqlite:///{file}", ballast=ROOM)) as store:
        store.on_trouble = told.append
        append(store, "before")
        limit_to(store, more=0)
        give_up = Ballast.give_up

        def give_up_and_allow(self: Ballast) -> bool:
            if is_enough:
                limit_to(store, more=100)
            return give_up(self)

        monkeypatch.setattr(Ballast, "give_up", give_up_and_allow)

        if is_enough:
            append(store, "large " * 5000)
        else:
            with pytest.raises(HaltError, match="database or disk is full"):
                append(store, "large " * 5000)

    assert len(told) == is_enough
    assert texts(file) == ["before", "large " * 5000][: 1 + is_enough]


def limit_to(store: JournalStore, *, more: int) -> None:
    cursor = store._connection.connection.cursor()
    (pages,) = cursor.execute("PRAGMA page_count").fetchone()
    cursor.execute(f"PRAGMA max_page_count = {pages + more}")


def test_an_error_that_is_no_full_disk_leaves_the_room_where_it_is(tmp_path, told) -> None:
    file = tmp_path / "journal.db"
    with closing(JournalStore(f"sqlite:///{file}", ballast=ROOM)) as store:
        store.on_trouble = told.append
        with closing(sqlite3.connect(file)) as other:
            other.execute("CREATE TRIGGER refuse BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'no'); END")

        with pytest.raises(HaltError, match="could not be written: no"):
            append(store, "a")

    assert path_of(file).stat().st_size == ROOM
    assert told == []
