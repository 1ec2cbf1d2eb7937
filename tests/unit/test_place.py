"""A journal whose files are not under their names any more is not written to: rows would go where nobody finds them."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from fsm_trader.core.records import AlarmRaised
from fsm_trader.errors import HaltError
from fsm_trader.journal import place
from fsm_trader.journal.place import LOOK_EVERY_S, Place
from fsm_trader.journal.read import JournalReader
from fsm_trader.journal.store import JournalStore
from fsm_trader.ops.lock import WriterLock, lock_of

from .rows import SESSION, at

NOON = at("12:00")


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def store(file, monkeypatch):
    monkeypatch.setattr(place, "LOOK_EVERY_S", 0.0)
    lock = WriterLock(file)
    with closing(JournalStore(f"sqlite:///{file}", lock=lock_of(file))) as opened:
        opened.append(NOON, SESSION, [AlarmRaised("before")])
        yield opened
    lock.release()


def texts(file: Path) -> list[str]:
    with JournalReader(f"sqlite:///{file}") as reader:
        return [entry.record.text for entry in reader.entries()]


def wal(file: Path) -> Path:
    return file.with_name(file.name + "-wal")


def put_back(path: Path) -> None:
    """Replace a file by a copy of itself, as an editor or a backup does."""
    copy = path.with_name("copy")
    shutil.copyfile(path, copy)
    copy.replace(path)


CHANGES = {
    "journal moved away": (
        lambda file: file.rename(file.with_name("moved.db")),
        lambda file: f"{file} cannot be found any more",
    ),
    "journal replaced": (put_back, lambda file: f"{file} was replaced by another file"),
    "log deleted": (lambda file: wal(file).unlink(), lambda file: f"{wal(file)} cannot be found any more"),
    "log replaced": (lambda file: put_back(wal(file)), lambda file: f"{wal(file)} was replaced by another file"),
    "lock deleted": (lambda file: lock_of(file).unlink(), lambda file: f"{lock_of(file)} cannot be found any more"),
    "lock replaced": (lambda file: put_back(lock_of(file)), lambda file: f"{lock_of(file)} was replaced"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_writer_that_lost_its_place_writes_no_more_and_says_why(store, file, change) -> None:
    harm, words = CHANGES[change]
    before = store.head
    harm(file)

    for _ in range(2):
        with pytest.raises(
            HaltError, match=r"It is not the one writer any more and stops. Nothing of this step was written"
        ) as told:
            store.append(NOON, SESSION, [AlarmRaised("after")])

        assert words(file) in str(told.value)
    assert store.head == before


def test_a_log_that_was_deleted_under_its_writer_costs_no_row(file, monkeypatch) -> None:
    monkeypatch.setattr(place, "LOOK_EVERY_S", 0.0)
    with closing(JournalStore(f"sqlite:///{file}")) as store:
        store.append(NOON, SESSION, [AlarmRaised("before")])
        wal(file).unlink()
        with pytest.raises(HaltError):
            store.append(NOON, SESSION, [AlarmRaised("after")])

    assert texts(file) == ["before"]


def test_a_reader_that_comes_and_goes_changes_nothing_of_the_place(store, file) -> None:
    assert texts(file) == ["before"]

    store.append(NOON, SESSION, [AlarmRaised("after")])

    assert texts(file) == ["before", "after"]


def test_a_burst_is_looked_at_once_and_what_was_found_stays(tmp_path) -> None:
    path = tmp_path / "file"
    path.touch()
    now = [100.0]
    watched = Place(now_s=lambda: now[0])
    watched.watch(path)
    assert watched.fault() == ""
    path.unlink()

    now[0] += LOOK_EVERY_S * 0.9
    in_the_burst = watched.fault()
    now[0] += LOOK_EVERY_S * 0.2
    after = watched.fault()
    path.touch()
    now[0] += LOOK_EVERY_S

    assert in_the_burst == ""
    assert after == watched.fault() == f"{path} cannot be found any more (No such file or directory)"


def test_a_name_under_which_nothing_stands_cannot_be_watched(tmp_path) -> None:
    with pytest.raises(FileNotFoundError):
        Place().watch(tmp_path / "absent")
