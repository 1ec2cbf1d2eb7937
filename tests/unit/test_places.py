"""Whether a file could be written is found out without leaving a trace."""

from __future__ import annotations

import os

import pytest

from fsm_trader.ops.places import why_not_writable


def test_a_file_that_is_there_or_could_be_made_with_its_folders_is_writable_and_nothing_is_made(tmp_path):
    there = tmp_path / "there.log"
    there.write_text("kept")

    assert why_not_writable(there) is None
    assert why_not_writable(tmp_path / "new.log") is None
    assert why_not_writable(tmp_path / "new" / "deep" / "new.log") is None
    assert [path.name for path in tmp_path.iterdir()] == ["there.log"]
    assert there.read_text() == "kept"


def test_a_folder_and_a_file_below_a_file_are_not(tmp_path):
    (tmp_path / "file").write_text("")

    assert why_not_writable(tmp_path) == "it is a folder"
    assert why_not_writable(tmp_path / "file" / "deep" / "x.log") == f"{tmp_path / 'file'} is no folder"


def test_a_pipe_is_not_because_it_waits_for_a_reader(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    assert why_not_writable(tmp_path / "pipe") == "it is a pipe"


def test_a_name_that_no_disk_takes_is_not(tmp_path):
    assert why_not_writable(tmp_path / ("x" * 300)) == "it cannot be looked at: File name too long"


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unwritable for root")
def test_what_this_user_may_not_write_is_not(tmp_path):
    closed, file = tmp_path / "closed", tmp_path / "file"
    closed.mkdir(mode=0o500)
    file.touch(mode=0o400)

    assert why_not_writable(closed / "x.log") == f"{closed} may not be written by this user"
    assert why_not_writable(file) == f"{file} may not be written by this user"
