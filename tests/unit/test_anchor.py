"""The anchor knows how far the journal had come: rows that vanish from its end are missed."""

from __future__ import annotations

import os
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from fsm_trader.core.records import AlarmRaised
from fsm_trader.errors import SetupError, VerificationError
from fsm_trader.journal import anchor as module
from fsm_trader.journal.anchor import Anchor, Anchored, damage_of, path_of, read_anchor
from fsm_trader.journal.chain import GENESIS
from fsm_trader.journal.read import JournalReader, Verified
from fsm_trader.journal.store import JournalStore

from .rows import SESSION, at

NOON = at("12:00")
HASH = "a" * 64


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "journal.db"


def write(file: Path, *texts: str) -> tuple[int, str]:
    """Let a process write rows one commit each, and end in order; return the head."""
    with closing(JournalStore(f"sqlite:///{file}")) as store:
        for text in texts:
            store.append(NOON, SESSION, [AlarmRaised(text)])
        return store.head


def crash(file: Path, *texts: str) -> None:
    """Let a process write rows and die: the files are left as they were in its last moment, log and all."""
    with closing(JournalStore(f"sqlite:///{file}")) as store:
        for text in texts:
            store.append(NOON, SESSION, [AlarmRaised(text)])
        saved = {path: path.read_bytes() for path in file.parent.glob(f"{file.name}*")}
    for path in file.parent.glob(f"{file.name}*"):
        path.unlink()
    for path, content in saved.items():
        path.write_bytes(content)


def damage(file: Path) -> tuple[str, ...]:
    with closing(JournalStore(f"sqlite:///{file}")) as store:
        return store.damage


def verified(file: Path) -> Verified:
    with JournalReader(f"sqlite:///{file}") as reader:
        return reader.verify()


def wal(file: Path) -> Path:
    return file.with_name(file.name + "-wal")


# --- writing -------------------------------------------------------------------------------------------------------


def test_a_new_journal_has_its_anchor_before_its_first_row(file) -> None:
    with closing(JournalStore(f"sqlite:///{file}")):
        assert read_anchor(file) == Anchored(0, GENESIS)


def test_every_commit_is_noted_at_once(file) -> None:
    with closing(JournalStore(f"sqlite:///{file}")) as store:
        for count in (1, 3):
            store.append(NOON, SESSION, [AlarmRaised(str(place)) for place in range(count)])

            assert read_anchor(file) == Anchored(*store.head)
    assert path_of(file).read_text() == f"4 {store.head[1]}".ljust(119) + "\n"


def test_notes_are_flushed_beside_the_commits_and_at_the_end(file, monkeypatch) -> None:
    flushed: list[str] = []
    sync = os.fsync

    def watched(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.name.startswith(path_of(file).name):
            flushed.append(path.read_text().split()[0])
        sync(descriptor)

    if not Path("/proc/self/fd").exists():
        pytest.skip("which file a descriptor belongs to is read from /proc, which is not here")
    monkeypatch.setattr(module.os, "fsync", watched)
    anchor = Anchor(file, Anchored(0, GENESIS))
    for number in range(1, 200):
        anchor.note(number, HASH)
    anchor.close()

    assert flushed[0] == "0"
    assert flushed[-1] == "199"
    assert len(flushed) < 10


def test_an_anchor_gets_its_name_only_once_it_is_whole(file, monkeypatch) -> None:
    renamed: list[str] = []
    replace = os.replace

    def watched(old: Path, new: Path) -> None:
        assert not path_of(file).exists()
        renamed.append(Path(old).read_text())
        replace(old, new)

    monkeypatch.setattr(os, "replace", watched)
    Anchor(file, Anchored(0, GENESIS)).close()

    assert renamed == [path_of(file).read_text()] == [f"0 {GENESIS}".ljust(119) + "\n"]
    assert [path.name for path in file.parent.iterdir()] == [path_of(file).name]


def test_an_anchor_that_is_too_long_is_put_right_by_the_first_commit(file) -> None:
    write(file, "a")
    path_of(file).write_text("mud " * 100)

    head = write(file, "told")

    assert read_anchor(file) == Anchored(*head)


def test_closing_an_anchor_that_noted_nothing_and_closing_it_again_are_harmless(file) -> None:
    anchor = Anchor(file, None)

    anchor.close()
    anchor.close()

    assert not path_of(file).exists()


def full(*_arguments: object) -> int:
    raise OSError(28, "No space left on device")


def test_an_anchor_that_cannot_be_begun_refuses_the_start_in_words_and_leaves_none(file, monkeypatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(module.os, "pwrite", full)
        with pytest.raises(SetupError, match=r"cannot be opened as a journal: .*No space left on device") as refused:
            JournalStore(f"sqlite:///{file}")

    assert str(file) in str(refused.value)
    assert not path_of(file).exists()
    assert damage(file) == ()


def test_a_folder_in_the_anchors_place_is_told_and_the_journal_goes_on(file) -> None:
    path_of(file).mkdir()
    told: list[str] = []

    with closing(JournalStore(f"sqlite:///{file}")) as store:
        store.on_trouble = told.append
        store.append(NOON, SESSION, [AlarmRaised("a")])

        assert "the anchor is damaged: Is a directory" in store.damage[0]
    assert "its anchor cannot be written" in told[0]


def test_an_anchor_that_cannot_be_written_any_more_is_told_once_and_the_journal_goes_on(file, monkeypatch) -> None:
    told: list[str] = []

    with closing(JournalStore(f"sqlite:///{file}")) as store:
        store.on_trouble = told.append
        monkeypatch.setattr(module.os, "pwrite", full)
        for text in "ab":
            store.append(NOON, SESSION, [AlarmRaised(text)])

        assert store.head[0] == 2
    assert len(told) == 1
    assert "its anchor cannot be written: [Errno 28] No space left on device. Rows that get lost" in told[0]


# --- agreement -----------------------------------------------------------------------------------------------------


def test_a_journal_that_ended_in_order_agrees_with_its_anchor(file) -> None:
    head = write(file, "a", "b")

    assert damage(file) == ()
    assert verified(file) == Verified(*head)


def test_a_journal_whose_process_died_agrees_with_its_anchor(file) -> None:
    crash(file, "a", "b")

    assert damage(file) == ()


def test_an_anchor_that_a_power_cut_left_behind_is_no_damage(file) -> None:
    write(file, "a", "b")
    old = path_of(file).read_bytes()
    head = write(file, "c")
    path_of(file).write_bytes(old)

    assert verified(file) == Verified(*head)
    assert damage(file) == ()


def test_a_journal_without_rows_needs_no_anchor(file) -> None:
    write(file)
    path_of(file).unlink()

    assert verified(file) == Verified(0, GENESIS)
    assert damage(file) == ()
    assert read_anchor(file) == Anchored(0, GENESIS)


# --- damage --------------------------------------------------------------------------------------------------------


def cut_log(file: Path) -> None:
    content = wal(file).read_bytes()
    wal(file).write_bytes(content[:-1])


def cut_half_of_the_log(file: Path) -> None:
    content = wal(file).read_bytes()
    wal(file).write_bytes(content[: len(content) // 2])


def flip_a_byte_of_the_log(file: Path) -> None:
    content = bytearray(wal(file).read_bytes())
    content[len(content) // 2] ^= 1
    wal(file).write_bytes(content)


def delete_log(file: Path) -> None:
    wal(file).unlink()


@pytest.mark.parametrize("harm", [cut_log, cut_half_of_the_log, flip_a_byte_of_the_log, delete_log])
def test_committed_rows_that_vanished_with_the_log_are_missed(file, harm) -> None:
    write(file, "a", "b")
    crash(file, *map(str, range(20)))
    harm(file)

    (found,) = damage(file)
    checked = verified(file)

    assert f"{file} had come to row 22 and ends with row {checked.rows}: row" in found
    assert found.endswith("gone")
    assert 2 <= checked.rows < 22
    assert (checked.fault, checked.bad_seq) == (found, None)


def test_an_older_copy_put_back_is_missed(file, tmp_path) -> None:
    write(file, "a", "b")
    shutil.copyfile(file, tmp_path / "old.db")
    write(file, "c")
    shutil.copyfile(tmp_path / "old.db", file)

    assert damage(file) == (f"{path_of(file)}: {file} had come to row 3 and ends with row 2: row 3 is gone",)


def test_another_journal_in_its_place_is_noticed(file, tmp_path) -> None:
    write(file, "a", "b")
    write(tmp_path / "other.db", "a", "x", "c")
    shutil.copyfile(tmp_path / "other.db", file)

    (found,) = damage(file)

    assert "row 2 of" in found
    assert found.endswith("the file was replaced or written anew")


def test_a_journal_that_was_taken_away_is_missed(file) -> None:
    write(file, "a", "b")
    file.unlink()

    assert "had come to row 2 and ends with row 0: rows 1 to 2 are gone" in damage(file)[0]


def test_a_missing_anchor_is_told_by_a_start_and_noted_by_a_verification(file) -> None:
    head = write(file, "a", "b")
    path_of(file).unlink()

    checked = verified(file)
    (found,) = damage(file)

    assert checked == Verified(*head, note=found)
    assert found.startswith(f"{path_of(file)}: there is no anchor: nothing tells whether")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 120,
        b"2",
        b"two " + b"a" * 64,
        b"-2 " + b"a" * 64,
        b"2 " + b"a" * 63,
        b"2 " + b"A" * 64,
        b"\xff\xfe",
        b"2 " + b"a" * 64 + b" " * 200,
    ],
)
def test_an_anchor_that_says_nothing_is_damage(file, content) -> None:
    write(file, "a", "b")
    path_of(file).write_bytes(content)

    (found,) = damage(file)
    checked = verified(file)

    assert found.startswith(f"{path_of(file)}: the anchor is damaged: it holds b")
    assert (checked.rows, checked.fault) == (2, found)
    with pytest.raises(VerificationError):
        read_anchor(file)


def test_a_chain_that_is_broken_is_told_before_what_the_anchor_says(file) -> None:
    write(file, "a", "b")
    path_of(file).write_text("nonsense")
    content = file.read_bytes()
    file.write_bytes(content.replace(b'"text":"b"', b'"text":"c"'))

    assert verified(file).bad_seq == 2


def test_damage_stays_told_until_a_commit_has_told_it(file) -> None:
    write(file, "a", "b", "c")
    file.unlink()

    first, again = damage(file), damage(file)
    write(file, "told")

    assert first == again != ()
    assert damage(file) == ()


def test_a_row_the_journal_does_not_have_is_named_in_words(file) -> None:
    found = damage_of(file, Anchored(2, HASH), Anchored(3, HASH), lambda _seq: None)

    assert f"row 2 of {file} had the hash aaaaaaaaaaaa and has none" in found
