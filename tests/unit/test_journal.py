"""The journal on a real file: all or nothing, append-only, and every damage is noticed."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fsm_trader.core.orders import Role
from fsm_trader.core.records import AlarmRaised, Entry
from fsm_trader.errors import HaltError, SetupError, VerificationError
from fsm_trader.journal.chain import GENESIS, row_hash, stamp
from fsm_trader.journal.memory import MemoryJournal
from fsm_trader.journal.read import JournalReader, Verified
from fsm_trader.journal.store import JournalStore, file_of
from fsm_trader.journal.tables import SCHEMA_VERSION

from .rows import SESSION, at, bought, filled, intended, run_started, sold, tag_of, trading

NOON = at("12:00")


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "var" / "journal.db"


@pytest.fixture
def store(file):
    with closing(JournalStore(f"sqlite:///{file}")) as opened:
        yield opened


def raw(file: Path) -> closing[sqlite3.Connection]:
    """Another program's way into the file."""
    return closing(sqlite3.connect(file, isolation_level=None))


def unprotected(file: Path) -> closing[sqlite3.Connection]:
    """Somebody who takes the file's own protection off first."""
    connection = sqlite3.connect(file, isolation_level=None)
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    return closing(connection)


def alarms(*texts: str) -> list[AlarmRaised]:
    return [AlarmRaised(text) for text in texts]


def verified(file: Path) -> Verified:
    with JournalReader(f"sqlite:///{file}") as reader:
        return reader.verify()


def entries(file: Path) -> list[Entry]:
    with JournalReader(f"sqlite:///{file}") as reader:
        return list(reader.entries())


# --- writing -------------------------------------------------------------------------------------------------------


def test_append_returns_the_entries_it_wrote_and_a_reader_finds_the_same(store, file) -> None:
    rows = (run_started(), *bought(1, 10000))

    written = store.append(NOON, SESSION, rows)

    assert written == tuple(Entry(place, NOON, SESSION, row) for place, row in enumerate(rows, 1))
    assert entries(file) == list(written)


def test_the_journal_in_memory_gives_the_same_entries(store) -> None:
    memory = MemoryJournal()

    for rows in (alarms("a", "b"), [], alarms("c")):
        assert memory.append(NOON, SESSION, rows) == store.append(NOON, SESSION, rows)

    assert [entry.seq for entry in memory.entries] == [1, 2, 3]


def test_appending_nothing_writes_nothing(store) -> None:
    assert store.append(NOON, SESSION, []) == ()
    assert store.head == (0, GENESIS)


def test_a_journal_goes_on_where_the_last_process_left_it(file) -> None:
    with closing(JournalStore(f"sqlite:///{file}")) as first:
        first.append(NOON, SESSION, alarms("a", "b"))
        head = first.head

    with closing(JournalStore(f"sqlite:///{file}")) as second:
        found = second.head
        second.append(NOON, SESSION, alarms("c"))

    assert found == head
    assert verified(file) == Verified(3, second.head[1])


def test_the_writer_waits_for_the_disk_and_readers_never_block_it(store) -> None:
    pragmas = {
        name: store._connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
        for name in ("journal_mode", "synchronous", "foreign_keys")
    }

    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_a_reader_sees_what_is_committed_while_the_writer_goes_on(store, file) -> None:
    store.append(NOON, SESSION, alarms("a", "b"))

    with JournalReader(f"sqlite:///{file}") as reader:
        rows = reader.entries()
        first = next(rows)
        store.append(NOON, SESSION, alarms("c"))
        seen_then = [first, *rows]
        seen_now = list(reader.entries())

    assert [entry.seq for entry in seen_then] == [1, 2]
    assert [entry.seq for entry in seen_now] == [1, 2, 3]


# --- all or none ---------------------------------------------------------------------------------------------------


def goes_on(store: JournalStore, file: Path, before: tuple[int, str]) -> None:
    """After a refused write: nothing of it is in the file, and the next one continues number and chain."""
    assert store.head == before
    assert verified(file) == Verified(*before)
    (entry,) = store.append(NOON, SESSION, alarms("after"))
    assert entry.seq == before[0] + 1
    assert verified(file) == Verified(*store.head)


def test_a_full_disk_halts_and_leaves_nothing_of_the_step(store, file) -> None:
    store.append(NOON, SESSION, alarms("before"))
    before = store.head
    pages = store._connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    store._connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    store._connection.rollback()

    with pytest.raises(HaltError, match=r"rows 2 to 4 could not be written: database or disk is full"):
        store.append(NOON, SESSION, alarms("small", "large " * 5000, "small"))

    store._connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 1000}")
    store._connection.rollback()
    goes_on(store, file, before)


def test_a_row_the_database_refuses_takes_its_whole_step_along(store, file) -> None:
    store.append(NOON, SESSION, alarms("before"))
    before = store.head
    with raw(file) as other:
        other.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON events WHEN NEW.body LIKE '%bad%' "
            "BEGIN SELECT RAISE(ABORT, 'not this one'); END"
        )

    with pytest.raises(HaltError, match=r"rows 2 to 4 could not be written: not this one.*Nothing of this step"):
        store.append(NOON, SESSION, alarms("good", "bad", "good"))

    goes_on(store, file, before)


def test_a_commit_that_fails_leaves_nothing_and_no_transaction_open(store, file) -> None:
    store.append(NOON, SESSION, alarms("before"))
    before = store.head
    with raw(file) as other:
        other.executescript(
            "CREATE TABLE parent (id INTEGER PRIMARY KEY);"
            "CREATE TABLE child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED);"
            "CREATE TRIGGER late AFTER INSERT ON events WHEN NEW.body LIKE '%bad%' "
            "BEGIN INSERT INTO child VALUES (99); END;"
        )

    for _ in range(2):
        with pytest.raises(HaltError, match="FOREIGN KEY constraint failed"):
            store.append(NOON, SESSION, alarms("good", "bad"))

    goes_on(store, file, before)


def test_a_second_writer_that_got_in_is_noticed_at_the_next_row(store, file) -> None:
    store.append(NOON, SESSION, alarms("before"))
    with closing(JournalStore(f"sqlite:///{file}")) as intruder:
        intruder.append(NOON, SESSION, alarms("theirs"))
    before = store.head

    with pytest.raises(HaltError, match="UNIQUE constraint failed"):
        store.append(NOON, SESSION, alarms("ours"))

    assert store.head == before
    assert [entry.record.text for entry in entries(file)] == ["before", "theirs"]


def test_a_machine_definition_that_cannot_be_kept_halts(store, file) -> None:
    with raw(file) as other:
        other.execute("CREATE TRIGGER refuse BEFORE INSERT ON definitions BEGIN SELECT RAISE(ABORT, 'no'); END")

    with pytest.raises(HaltError, match="definition of machine trade could not be written: no"):
        store.define("d1", "trade", "states: []")

    assert store.definition("d1") is None
    assert store.append(NOON, SESSION, alarms("after"))[0].seq == 1


# --- append-only ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET body = '{}' WHERE seq = 1",
        "DELETE FROM events WHERE seq = 1",
        "DELETE FROM events",
        "UPDATE definitions SET text = 'x'",
        "DELETE FROM definitions",
    ],
)
def test_the_file_itself_refuses_changes_and_deletions(store, file, statement) -> None:
    store.append(NOON, SESSION, alarms("a"))
    store.define("d1", "trade", "states: []")

    with raw(file) as other, pytest.raises(sqlite3.IntegrityError, match="the journal is append-only"):
        other.execute(statement)

    assert verified(file) == Verified(*store.head)
    assert store.definition("d1") == "states: []"


# --- verification --------------------------------------------------------------------------------------------------


@pytest.fixture
def written(file) -> Path:
    with closing(JournalStore(f"sqlite:///{file}")) as store:
        store.append(NOON, SESSION, [run_started(), *bought(1, 10000)])
        store.append(at("12:10"), SESSION, sold(1, 12000))
    return file


@pytest.fixture
def long(file) -> Path:
    with closing(JournalStore(f"sqlite:///{file}")) as store:
        store.append(NOON, SESSION, [run_started(), *bought(1, 10000)])
        store.append(NOON, SESSION, alarms(*map(str, range(2484))))
        store.append(NOON, "2026-06-18", [*sold(1, 9000), trading(), trading()])
    return file


def test_an_untouched_journal_verifies_to_its_head(written) -> None:
    found = verified(written)

    assert (found.rows, found.fault, found.bad_seq) == (14, None, None)
    assert len(found.head) == 64


def test_an_empty_journal_verifies(store, file) -> None:
    assert verified(file) == Verified(0, GENESIS)


@pytest.mark.parametrize(
    ("change", "bad", "words"),
    [
        ("UPDATE events SET body = replace(body, '10000', '10001') WHERE seq = 7", 7, r"row 7 \(fill_seen at"),
        ("UPDATE events SET hash = 'f' || substr(hash, 2) WHERE seq = 5 AND hash NOT LIKE 'f%'", 5, "its hash is"),
        ("UPDATE events SET at = replace(at, '12:00', '12:01') WHERE seq = 3", 3, "its contents give"),
        ("UPDATE events SET kind = 'order_seen' WHERE seq = 4", 4, "row 4"),
        ("UPDATE events SET session = '2026-06-18' WHERE seq = 1", 1, "row 1"),
        ("UPDATE events SET trade_id = NULL WHERE seq = 2", 2, "row 2"),
        ("UPDATE events SET trade_id = '20260617-002' WHERE seq = 14", 14, "row 14"),
        ("DELETE FROM events WHERE seq = 6", 7, "row 7 where row 6 was expected: rows are missing"),
        ("DELETE FROM events WHERE seq = 1", 2, "row 2 where row 1 was expected"),
    ],
)
def test_any_change_of_a_row_is_found_and_the_row_is_named(written, change, bad, words) -> None:
    with unprotected(written) as connection:
        assert connection.execute(change).rowcount == 1

    found = verified(written)

    expected_good = bad - 1 if "DELETE" not in change else bad - 2
    assert (found.bad_seq, found.rows) == (bad, expected_good)
    assert re.search(words, found.fault or "")


def test_two_rows_that_changed_places_are_found(written) -> None:
    with unprotected(written) as connection:
        for old, new in ((4, 100), (5, 4), (100, 5)):
            connection.execute("UPDATE events SET seq = ? WHERE seq = ?", (new, old))

    assert verified(written).bad_seq == 4


def test_a_row_that_was_put_in_with_a_hash_of_its_own_is_found(written) -> None:
    with raw(written) as connection:
        columns = (15, stamp(NOON), SESSION, None, "alarm_raised", '{"kind":"alarm_raised","text":"x"}')
        connection.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", (*columns, row_hash(GENESIS, columns)))

    assert verified(written).bad_seq == 15


@pytest.mark.parametrize("flip", [0x01, 0x80])
def test_a_byte_that_flipped_on_disk_is_found_in_its_row(written, flip) -> None:
    content = bytearray(written.read_bytes())
    place = content.index(b'"fill_id":"1-exit-1-a"') + 4
    content[place] ^= flip
    written.write_bytes(bytes(content))

    found = verified(written)

    assert (found.bad_seq, found.rows) == (13, 12)


def test_a_row_that_is_no_text_any_more_stops_reading_in_words(written) -> None:
    with unprotected(written) as connection:
        connection.execute("UPDATE events SET body = CAST(x'ff' AS TEXT) WHERE seq = 3")

    with pytest.raises(VerificationError, match=r"the file is damaged after row 0: .*decode"):
        entries(written)


def test_a_row_of_an_unknown_kind_is_refused_when_it_is_read(written) -> None:
    with unprotected(written) as connection:
        connection.execute("""UPDATE events SET body = '{"kind":"moon_seen"}' WHERE seq = 3""")

    with pytest.raises(VerificationError, match=r"journal row 3: .*moon_seen.*expected a record of kind trade_moved"):
        entries(written)


def checked(file: Path, after: int = 0, head: str = GENESIS) -> list[Entry]:
    with JournalReader(f"sqlite:///{file}") as reader:
        return list(reader.checked(after=after, head=head))


def hash_of(file: Path, seq: int) -> str:
    with raw(file) as connection:
        return str(connection.execute("SELECT hash FROM events WHERE seq = ?", (seq,)).fetchone()[0])


def test_a_checked_reading_gives_what_an_unchecked_one_does(long) -> None:
    assert checked(long) == entries(long)


def test_a_checked_reading_may_begin_after_any_row_whose_hash_is_known(written) -> None:
    assert checked(written, 5, hash_of(written, 5)) == entries(written)[5:]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE events SET body = replace(body, '10000', '10001') WHERE seq = 7", r"row 7 \(fill_seen at .*give"),
        ("DELETE FROM events WHERE seq = 6", "row 7 where row 6 was expected: rows are missing"),
        ("UPDATE events SET hash = replace(hash, 'a', 'b') WHERE seq = 6", "row 6 .* its hash is"),
    ],
)
def test_a_checked_reading_stops_before_the_row_that_does_not_fit(written, change, words) -> None:
    good = entries(written)
    with unprotected(written) as connection:
        assert connection.execute(change).rowcount == 1

    with JournalReader(f"sqlite:///{written}") as reader, pytest.raises(VerificationError, match=words) as told:
        list(reader.checked())

    assert str(written) in str(told.value)
    assert "no position is managed from rows that may be false" in str(told.value)
    with JournalReader(f"sqlite:///{written}") as reader:
        some = reader.checked()
        assert [next(some) for _ in range(5)] == good[:5]


def test_a_checked_reading_that_begins_with_another_hash_is_refused(written) -> None:
    with pytest.raises(VerificationError, match=r"row 6 \("):
        checked(written, 5, hash_of(written, 4))


def test_a_row_of_an_unknown_kind_that_fits_its_hash_is_refused_when_it_is_read(written) -> None:
    columns = (15, stamp(NOON), SESSION, None, "moon_seen", '{"kind":"moon_seen"}')
    with raw(written) as connection:
        row = (*columns, row_hash(hash_of(written, 14), columns))
        connection.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    with pytest.raises(VerificationError, match=r"journal row 15: .*moon_seen.*expected a record of kind moon_seen"):
        checked(written)


def test_a_file_cut_short_is_never_believed(written) -> None:
    content = written.read_bytes()
    written.write_bytes(content[: len(content) // 2])

    with pytest.raises((SetupError, VerificationError), match=r"malformed|damaged"):
        entries(written)


# --- whose file ----------------------------------------------------------------------------------------------------


def foreign(path: Path) -> None:
    with raw(path) as connection:
        connection.execute("CREATE TABLE accounts (name TEXT)")
        connection.execute("INSERT INTO accounts VALUES ('savings')")


def same_names(path: Path) -> None:
    with raw(path) as connection:
        for table in ("events", "definitions", "meta"):
            connection.execute(f"CREATE TABLE {table} (x)")


def unnumbered(path: Path) -> None:
    with closing(JournalStore(f"sqlite:///{path}")):
        pass
    with raw(path) as connection:
        connection.execute("DELETE FROM meta")


def newer(path: Path) -> None:
    with closing(JournalStore(f"sqlite:///{path}")):
        pass
    with raw(path) as connection:
        connection.execute("UPDATE meta SET value = ? WHERE key = 'schema'", (str(SCHEMA_VERSION + 1),))


def text(path: Path) -> None:
    path.write_text("dear diary, " * 100, encoding="utf-8")


WRITER_WORDS = {
    foreign: "holds tables .*accounts.*expected a journal",
    same_names: "no such column",
    unnumbered: "schema unknown; expected 1",
    newer: "schema 2; expected 1",
    text: "file is not a database",
}
READER_WORDS = WRITER_WORDS | {foreign: "cannot be read as a journal: no such table"}


@pytest.mark.parametrize("make", WRITER_WORDS)
def test_a_file_that_is_no_journal_of_ours_is_refused_in_words_and_left_as_it_was(tmp_path, make) -> None:
    path = tmp_path / "theirs.db"
    make(path)
    before = path.read_bytes()
    names = {other.name for other in tmp_path.iterdir()}

    with pytest.raises(SetupError, match=WRITER_WORDS[make]) as write:
        JournalStore(f"sqlite:///{path}")
    with pytest.raises(SetupError, match=READER_WORDS[make]) as read:
        JournalReader(f"sqlite:///{path}")

    assert path.read_bytes() == before
    # SQLite's own reader of a WAL file may leave its shared index (-shm) behind; that holds nothing.
    assert {other.name for other in tmp_path.iterdir() if other.stat().st_size} - {"theirs.db-shm"} == names
    assert str(path) in str(write.value)
    assert str(path) in str(read.value)
    with raw(path) as connection:
        if make is not text:
            # Whoever owns the file is not kept out of it by a connection left open.
            connection.execute("BEGIN EXCLUSIVE")


def test_a_folder_in_place_of_the_file_is_refused(tmp_path) -> None:
    with pytest.raises(SetupError, match="cannot be opened as a journal: unable to open"):
        JournalStore(f"sqlite:///{tmp_path}")

    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_folder_is_refused_and_left_as_it_was(tmp_path) -> None:
    blocker = tmp_path / "var"
    blocker.write_text("not a folder", encoding="utf-8")

    with pytest.raises(SetupError, match=r"cannot be opened as a journal: .*File exists"):
        JournalStore(f"sqlite:///{blocker}/journal.db")

    assert blocker.read_text(encoding="utf-8") == "not a folder"


def test_reading_where_no_journal_is_says_so_and_makes_none(file) -> None:
    with pytest.raises(SetupError, match="no journal here yet"):
        JournalReader(f"sqlite:///{file}")

    assert not file.parent.exists()


def test_an_empty_file_becomes_a_journal(file) -> None:
    file.parent.mkdir()
    file.touch()

    with closing(JournalStore(f"sqlite:///{file}")) as store:
        store.append(NOON, SESSION, alarms("a"))

    assert verified(file).rows == 1


def test_a_path_with_signs_that_mean_something_in_a_url_is_read_where_it_was_written(tmp_path) -> None:
    path = tmp_path / "100% mine #1.db"
    with closing(JournalStore(f"sqlite:///{path}")) as store:
        store.append(NOON, SESSION, alarms("a"))

    assert path.is_file()
    assert len(entries(path)) == 1


def test_the_file_of_a_journal_is_known_from_its_url() -> None:
    assert file_of("sqlite:///var/journal.db") == Path("var/journal.db")
    assert file_of("sqlite://") is None
    assert file_of("postgresql://user:secret@host/db") is None


# --- reading -------------------------------------------------------------------------------------------------------


def test_a_long_journal_is_read_in_order_over_several_batches(long) -> None:
    with JournalReader(f"sqlite:///{long}") as reader:
        numbers = [row.seq for row in reader.rows()]
        late = [entry.seq for entry in reader.entries(after=2498)]

    assert numbers == list(range(1, 2501))
    assert late == [2499, 2500]


def test_rows_are_read_by_trade_and_by_session_over_several_batches(long) -> None:
    with JournalReader(f"sqlite:///{long}") as reader:
        of_trade = [row.seq for row in reader.rows(trade_id="20260617-001", batch_size=5)]
        of_session = [row.seq for row in reader.rows(session="2026-06-18")]
        both = [row.seq for row in reader.rows(trade_id="20260617-001", session="2026-06-18", after=2494)]
        of_none = list(reader.rows(trade_id="20260617-009"))

    assert of_trade == [*range(2, 9), *range(2493, 2499)]
    assert of_session == list(range(2493, 2501))
    assert both == [2495, 2496, 2497, 2498]
    assert of_none == []


def test_the_newest_row_tells_the_session(long) -> None:
    with JournalReader(f"sqlite:///{long}") as reader:
        assert reader.last_session() == "2026-06-18"


def test_an_empty_journal_has_no_session(store, file) -> None:
    with JournalReader(f"sqlite:///{file}") as reader:
        assert reader.last_session() is None
        assert list(reader.entries()) == []


def test_definitions_are_kept_by_hash_and_the_first_text_stays(store, file) -> None:
    memory = MemoryJournal()
    for journal in (store, memory):
        journal.define("d1", "trade", "states: []")
        journal.define("d2", "session", "states: [A]")
        journal.define("d1", "trade", "something else")

        assert journal.definition("d1") == "states: []"
        assert journal.definition("d3") is None

    with JournalReader(f"sqlite:///{file}") as reader:
        assert reader.definitions() == {"d1": "states: []", "d2": "states: [A]"}


def test_the_views_show_transitions_orders_and_fills(written) -> None:
    with raw(written) as connection:
        moves = connection.execute("SELECT machine, source, dest, reason FROM transitions ORDER BY seq").fetchall()
        orders = connection.execute("SELECT trade_id, role, tag, side, quantity, tradingsymbol FROM orders").fetchall()
        fills = connection.execute("SELECT fill_id, quantity, price_paise, tag FROM fills").fetchall()

    trade, symbol = "20260617-001", intended(1, Role.ENTRY).request.tradingsymbol
    assert moves == [
        (trade, "IDLE", "PENDING_ENTRY", None),
        (trade, "PENDING_ENTRY", "ACTIVE", None),
        (trade, "ACTIVE", "PENDING_EXIT", "target"),
        (trade, "PENDING_EXIT", "CLOSED", None),
    ]
    entry, leave = tag_of(1, Role.ENTRY), tag_of(1, Role.EXIT)
    assert orders == [(trade, "entry", entry, "BUY", 75, symbol), (trade, "exit", leave, "SELL", 75, symbol)]
    assert fills == [
        (filled(1, Role.ENTRY, 75, 10000).fill.fill_id, 75, 10000, entry),
        (filled(1, Role.EXIT, 75, 12000).fill.fill_id, 75, 12000, leave),
    ]


def test_the_sessions_own_moves_are_shown_as_such(store, file) -> None:
    store.append(NOON, SESSION, [trading()])

    with raw(file) as connection:
        assert connection.execute("SELECT machine, dest FROM transitions").fetchall() == [("session", "TRADING")]
