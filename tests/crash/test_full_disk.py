"""A disk that runs full under a running trader: nothing more is bought, what is held is sold, and a person is told."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from fsm_trader.core.ledger import Ledger
from fsm_trader.core.records import AlarmRaised, EntryBlocked, TradeOpened
from fsm_trader.journal.read import JournalReader

from .conftest import Desk, assert_book_is_sound


@pytest.fixture
def small_disk(desk: Desk) -> Iterator[None]:
    """Put the journal on a disk of its own, three megabytes large; book and log stay outside of it."""
    place = desk.folder / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small disk of its own needs the right to mount one, which this user does not have")
    desk.edit("sqlite:///var/fsm_trader.db", "sqlite:///disk/fsm_trader.db")
    desk.url = f"sqlite:///{place / 'fsm_trader.db'}"
    yield
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.usefixtures("small_disk")
def test_a_disk_that_runs_full_ends_the_entries_and_not_the_care_of_what_is_held(desk):
    # The log of the journal alone needs more than the disk has left beside the room that was set aside.
    desk.run_until_dead("after", "PENDING_ENTRY -> ACTIVE")
    (desk.folder / "disk" / "other").write_bytes(bytes(1_300_000))

    code = desk.run()

    with JournalReader(desk.url) as reader:
        assert reader.verify().fault is None
        entries = list(reader.entries())
    rows = [entry.record for entry in entries]
    told = next(
        place for place, row in enumerate(rows) if isinstance(row, AlarmRaised) and "the disk is full" in row.text
    )
    assert code == 0
    assert [row for row in rows[told:] if isinstance(row, TradeOpened)] == []
    assert any("the disk is full" in "".join(row.reasons) for row in rows if isinstance(row, EntryBlocked))
    assert Ledger().fold(entries).open_trades == []
    assert_book_is_sound(desk)
