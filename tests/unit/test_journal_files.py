"""A journal's files on their file system: names that are brought to the disk, and places that cannot be written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fsm_trader.errors import SetupError
from fsm_trader.journal.files import is_still, make_folder, refuse_absent, why_unreadable


@pytest.fixture
def flushed(monkeypatch) -> list[Path]:
    """Folders that were brought to the disk, in order."""
    if not Path("/proc/self/fd").exists():
        pytest.skip("which folder a descriptor belongs to is read from /proc, which is not here")
    found: list[Path] = []
    sync = os.fsync

    def watched(descriptor: int) -> None:
        found.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    return found


def test_a_new_folder_is_brought_to_the_disk_with_every_one_that_was_made_for_it(tmp_path, flushed) -> None:
    make_folder(tmp_path / "a" / "b")

    assert (tmp_path / "a" / "b").is_dir()
    assert flushed == [tmp_path / "a", tmp_path]


def test_a_folder_that_is_there_is_left_alone(tmp_path, flushed) -> None:
    make_folder(tmp_path)

    assert flushed == []


@pytest.mark.parametrize("path", ["absent.db", "absent/journal.db", "file/journal.db", "."])
def test_where_no_file_is_there_is_no_journal(tmp_path, path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(SetupError, match="no journal here yet"):
        refuse_absent(tmp_path / path)


def test_a_name_that_no_file_can_have_is_refused_in_words(tmp_path) -> None:
    with pytest.raises(SetupError, match="cannot be looked for: File name too long; expected a journal"):
        refuse_absent(tmp_path / ("a" * 300))


def test_a_journal_that_can_be_written_is_neither_still_nor_unreadable(tmp_path) -> None:
    assert not is_still(tmp_path / "journal.db")
    assert why_unreadable(tmp_path / "journal.db") == ""


@pytest.mark.parametrize(
    ("log", "index", "still", "words"),
    [
        (None, False, True, ""),
        (0, False, True, ""),
        (32, True, False, ""),
        (32, False, False, "its log journal.db-wal"),
    ],
)
def test_where_nothing_can_be_written_the_log_decides(tmp_path, monkeypatch, log, index, still, words) -> None:
    if log is not None:
        (tmp_path / "journal.db-wal").write_bytes(bytes(log))
    if index:
        (tmp_path / "journal.db-shm").write_bytes(bytes(32))
    # Root may write everywhere, so that a folder's mode would tell nothing.
    monkeypatch.setattr(os, "access", lambda *_: False)

    assert is_still(tmp_path / "journal.db") is still
    assert words in why_unreadable(tmp_path / "journal.db")
    assert bool(why_unreadable(tmp_path / "journal.db")) is bool(words)
