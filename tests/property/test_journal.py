"""What holds of the journal whatever is written, and whatever is changed behind its back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import example, given, settings
from hypothesis import strategies as st

from fsm_trader.core.records import AlarmRaised, Entry, InputRefused, OperatorAsked, Record, RunStopped
from fsm_trader.journal.chain import fitting, row_hash, stamp
from fsm_trader.journal.memory import MemoryJournal
from fsm_trader.journal.read import JournalReader, Verified
from fsm_trader.journal.store import JournalStore

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(datetime(2015, 1, 1), datetime(2035, 1, 1), timezones=ZONES)
RECORDS: st.SearchStrategy[Record] = st.one_of(
    st.builds(AlarmRaised, TEXT, st.none() | TEXT, st.integers(1, 9)),
    st.builds(InputRefused, TEXT, TEXT),
    st.builds(OperatorAsked, st.sampled_from(["halt", "resume", "flatten"]), TEXT),
    st.builds(RunStopped, st.integers(0, 9), TEXT, st.lists(TEXT, max_size=3).map(tuple)),
)
STEPS = st.lists(st.tuples(MOMENTS, TEXT, st.lists(RECORDS, max_size=4)), max_size=5)
# Signs that also stand between the parts, so that a part that ends early would be noticed.
TRICKY = st.text("01:-", max_size=4)
ROWS = st.tuples(st.integers(1, 20), TRICKY, TRICKY, st.none() | TRICKY, TRICKY, TRICKY)


@contextmanager
def journal_of(steps) -> Iterator[tuple[Path, tuple[int, str]]]:
    """A file with these steps in it, and its head."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "journal.db"
        with closing(JournalStore(f"sqlite:///{file}")) as store:
            for at, session, records in steps:
                store.append(at, session, records)
            head = store.head
        yield file, head


# Pairs that would give the same text if the length of their first differing part were left out.
@example(one=(1, "", "1:x", None, "", ""), other=(1, "3:", "x", None, "", ""), previous="0" * 64)
@example(one=(1, "", "", "1:x", "", ""), other=(1, "", "3:", "x", "", ""), previous="0" * 64)
@example(one=(1, "", "", "", "1:x", ""), other=(1, "", "", "3:", "x", ""), previous="0" * 64)
@example(one=(1, "", "", None, "", "1:x"), other=(1, "", "", None, "3:", "x"), previous="0" * 64)
@example(one=(1, "", "", None, "", ""), other=(1, "", "", "-", "", ""), previous="0" * 64)
@given(one=ROWS, other=ROWS, previous=st.sampled_from(["0" * 64, "1" * 64]))
def test_two_different_rows_never_share_a_hash(one, other, previous) -> None:
    assert (row_hash(previous, one) == row_hash(previous, other)) == (one == other)


@given(row=ROWS)
def test_the_hash_covers_the_one_before(row) -> None:
    assert row_hash("0" * 64, row) != row_hash("0" * 63 + "1", row)


@given(
    columns=st.lists(st.tuples(TRICKY, TRICKY, st.none() | TRICKY, TRICKY, TEXT), max_size=8),
    place=st.integers(0, 7),
    column=st.integers(0, 6),
    damage=st.sampled_from([None, 3, 2.5, b"1:-", "", "-", "0" * 64]),
)
def test_rows_fit_up_to_the_first_that_was_changed(columns, place, column, damage) -> None:
    rows: list[tuple] = []
    head = "1" * 64
    for seq, row in enumerate(columns, 5):
        head = row_hash(head, (seq, *row))
        rows.append((seq, *row, head))
    changed = list(rows)
    if place < len(rows):
        changed[place] = (*rows[place][:column], damage, *rows[place][column + 1 :])

    assert fitting(rows, 4, "1" * 64) == len(rows)
    assert fitting(changed, 4, "1" * 64) == (len(rows) if changed == rows else place)
    assert not rows or fitting(rows, 3, "1" * 64) == fitting(rows, 4, "2" * 64) == 0


@given(moment=MOMENTS)
def test_a_moment_is_stored_to_the_microsecond_with_its_offset(moment) -> None:
    found = datetime.fromisoformat(stamp(moment))

    assert found == moment
    assert found.utcoffset() == moment.utcoffset()
    assert len(stamp(moment)) <= 40


@settings(max_examples=15, deadline=None)
@given(steps=STEPS)
def test_what_is_written_to_a_file_is_read_back_in_order_and_verifies(steps) -> None:
    memory = MemoryJournal()
    for at, session, records in steps:
        memory.append(at, session, records)

    with journal_of(steps) as (file, head), JournalReader(f"sqlite:///{file}") as reader:
        found: list[Entry] = list(reader.entries())
        checked = reader.verify()

    assert found == memory.entries
    assert checked == Verified(*head)


@settings(max_examples=25, deadline=None)
@given(
    texts=st.lists(TEXT, min_size=1, max_size=6),
    column=st.sampled_from(["at", "session", "trade_id", "kind", "body", "hash"]),
    value=TEXT,
    data=st.data(),
)
def test_any_change_of_any_column_is_found_in_its_row(texts, column, value, data) -> None:
    seq = data.draw(st.integers(1, len(texts)))
    at = datetime(2026, 6, 17, tzinfo=UTC)
    with journal_of([(at, "day", [AlarmRaised(text) for text in texts])]) as (file, _):
        connection = sqlite3.connect(file, isolation_level=None)
        with closing(connection):
            connection.execute("DROP TRIGGER events_no_update")
            before = connection.execute(f"SELECT {column} FROM events WHERE seq = ?", (seq,)).fetchone()[0]  # noqa: S608 - a column of this list
            connection.execute(f"UPDATE events SET {column} = ? WHERE seq = ?", (value, seq))  # noqa: S608 - likewise
        with JournalReader(f"sqlite:///{file}") as reader:
            found = reader.verify()

    assert found.bad_seq == (None if value == before else seq)
