"""Real processes on a damaged journal: what is gone is told and made up for, what is false is refused."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fsm_trader.core.records import AlarmRaised, OrderAdopted, RunStarted
from fsm_trader.journal.anchor import path_of
from fsm_trader.journal.store import JournalStore
from fsm_trader.ops.lock import holder_of

from .conftest import Desk, assert_book_is_sound, ended


def journal_of(desk: Desk) -> Path:
    return desk.folder / "var" / "fsm_trader.db"


def log_of(desk: Desk) -> Path:
    return desk.folder / "var" / "fsm_trader.db-wal"


def kill_in_a_trade(desk: Desk) -> None:
    desk.run_until_dead("after", "PENDING_ENTRY -> ACTIVE")


def alarms(desk: Desk) -> list[str]:
    """What the newest start was alarmed about."""
    records = [entry.record for entry in desk.entries()]
    start = max(place for place, record in enumerate(records) if isinstance(record, RunStarted))
    return [record.text for record in records[start:] if isinstance(record, AlarmRaised)]


def rows_of(file: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute("SELECT * FROM events ORDER BY seq").fetchall()


def forge_the_fill(file: Path) -> None:
    """Say that the entry was filled at another price."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER events_no_update")
        changed = connection.execute(
            """UPDATE events SET body = replace(body, '"price_paise":', '"price_paise":1') WHERE kind = 'fill_seen'"""
        )
        assert changed.rowcount == 1


def cut_by_a_byte(desk: Desk) -> None:
    content = log_of(desk).read_bytes()
    log_of(desk).write_bytes(content[:-1])


def cut_to_a_half(desk: Desk) -> None:
    content = log_of(desk).read_bytes()
    log_of(desk).write_bytes(content[: len(content) // 2])


def flip_in_the_log(desk: Desk) -> None:
    content = bytearray(log_of(desk).read_bytes())
    content[len(content) * 9 // 10] ^= 1
    log_of(desk).write_bytes(content)


@pytest.mark.parametrize("harm", [cut_by_a_byte, cut_to_a_half, flip_in_the_log])
def test_rows_that_are_gone_are_told_and_the_day_ends_flat_by_what_the_broker_says(desk, harm):
    kill_in_a_trade(desk)
    harm(desk)

    code = desk.run()

    assert code == 0
    assert f"{journal_of(desk)} had come to row" in alarms(desk)[0]
    assert desk.ledger().open_trades == []
    assert_book_is_sound(desk)


def put_back_an_older_copy_with_its_anchor(desk: Desk) -> None:
    """Die twice, and put the files of the first time in the place of those of the second, without a log."""
    desk.run_until_dead("after", "HEALTH_CHECK -> TRADING")
    older = desk.folder / "older.db"
    with closing(sqlite3.connect(journal_of(desk))) as now, closing(sqlite3.connect(older)) as copy:
        now.backup(copy)
    shutil.copyfile(path_of(journal_of(desk)), path_of(older))
    kill_in_a_trade(desk)
    older.replace(journal_of(desk))
    path_of(older).replace(path_of(journal_of(desk)))
    for end in ("-wal", "-shm"):
        Path(f"{journal_of(desk)}{end}").unlink(missing_ok=True)


def test_an_older_copy_put_back_with_its_own_anchor_looks_sound_and_the_broker_tells_what_it_lacks(desk):
    put_back_an_older_copy_with_its_anchor(desk)
    known = len(desk.entries())
    assert ended(desk.start("-m", "fsm_trader", "journal", "verify", "session.yaml")) == 0

    code = desk.run()

    later = [entry.record for entry in desk.entries()[known:]]
    adopted = [record for record in later if isinstance(record, OrderAdopted)]
    assert code == 0
    assert len(adopted) == 1
    assert not any("gone" in text for text in alarms(desk))
    assert desk.ledger().open_trades == []
    assert_book_is_sound(desk)


def empty(file: Path) -> None:
    file.write_bytes(b"")


def cut_in_the_middle(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def cut_in_the_header(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:50])


def overwritten(file: Path) -> None:
    file.write_bytes(b"dear diary, " * 1000)


@pytest.mark.parametrize("harm", [empty, cut_in_the_middle, cut_in_the_header, overwritten])
def test_a_file_that_is_no_journal_any_more_does_not_verify_and_says_why(desk, harm):
    with closing(JournalStore(desk.url)) as store:
        store.append(datetime(2026, 6, 17, 12, tzinfo=UTC), "2026-06-17", [AlarmRaised("look " * 100)] * 40)
    harm(journal_of(desk))
    left = journal_of(desk).read_bytes()

    process = desk.start("-m", "fsm_trader", "journal", "verify", "session.yaml")
    _, said = process.communicate(timeout=30)

    assert process.returncode == 6
    assert said.startswith(f"journal does not verify: {journal_of(desk)} is no journal: ")
    assert "Traceback" not in said
    assert journal_of(desk).read_bytes() == left


def test_a_journal_that_is_not_there_is_no_failed_verification(desk):
    assert ended(desk.start("-m", "fsm_trader", "journal", "verify", "session.yaml")) == 2


def test_a_journal_that_lost_everything_but_its_tables_is_refused_while_the_broker_holds_orders(desk):
    kill_in_a_trade(desk)
    log_of(desk).unlink()

    process = desk.start()
    _, said = process.communicate(timeout=30)

    assert process.returncode == 2
    assert "paper.db" in said


def test_a_false_row_refuses_the_start_with_its_number_and_nothing_is_done(desk):
    kill_in_a_trade(desk)
    forge_the_fill(journal_of(desk))
    rows, anchor = rows_of(journal_of(desk)), path_of(journal_of(desk)).read_text()

    process = desk.start()
    _, said = process.communicate(timeout=30)

    assert process.returncode == 6
    assert "(fill_seen at 2026-06-17T09:42:01.000000+05:30): its hash is" in said
    assert "no position is managed from rows that may be false" in said
    assert rows_of(journal_of(desk)) == rows
    assert path_of(journal_of(desk)).read_text() == anchor
    assert holder_of(journal_of(desk)) is None
    assert ended(desk.start("-m", "fsm_trader", "status", "session.yaml")) == 6
    assert ended(desk.start("-m", "fsm_trader", "journal", "export", "session.yaml", "-o", "rows.jsonl")) == 0


def test_after_a_false_row_a_new_journal_and_a_new_book_begin_the_day_again(desk):
    kill_in_a_trade(desk)
    forge_the_fill(journal_of(desk))
    (desk.folder / "var").rename(desk.folder / "damaged")

    code = desk.run()

    assert code == 0
    assert (alarms(desk), desk.ledger().open_trades) == ([], [])


@pytest.mark.parametrize("suffix", ["", "-wal", ".lock"])
@pytest.mark.parametrize("is_replaced", [True, False], ids=["replaced", "deleted"])
def test_a_process_whose_files_are_changed_under_it_stops_and_the_next_one_ends_the_day_flat(desk, suffix, is_replaced):
    kill_in_a_trade(desk)
    desk.set_speed("120")
    process = desk.start()
    desk.wait_for(process, "SELECT 1 FROM events WHERE kind = 'run_started' AND seq > 1")
    path, aside = (Path(f"{journal_of(desk)}{end}") for end in (suffix, ".aside"))
    path.rename(aside)
    if is_replaced:
        shutil.copyfile(aside, path)

    _, said = process.communicate(timeout=30)
    was = "was replaced by another file" if is_replaced else "cannot be found any more"
    assert process.returncode == 1
    assert f"{path} {was}" in said
    assert "It is not the one writer any more and stops" in said

    if suffix == "":
        aside.replace(path)
    assert desk.run() == 0
    assert desk.ledger().open_trades == []
    assert_book_is_sound(desk)


def test_a_journal_of_a_newer_version_is_refused_and_left_as_it_is(desk):
    kill_in_a_trade(desk)
    with closing(sqlite3.connect(journal_of(desk), isolation_level=None)) as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE key = 'schema'")
    rows = rows_of(journal_of(desk))

    process = desk.start()
    _, said = process.communicate(timeout=30)

    assert process.returncode == 2
    assert "is a journal of schema 99" in said
    assert rows_of(journal_of(desk)) == rows
