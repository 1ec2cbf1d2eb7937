"""An older journal is brought to the present schema after a backup, whole or not at all, wherever the process ends."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from fsm_trader.core.records import AlarmRaised
from fsm_trader.errors import SetupError
from fsm_trader.journal import migrate, tables
from fsm_trader.journal.read import JournalReader
from fsm_trader.journal.store import JournalStore

from .rows import SESSION, at, bought, run_started

NOON = at("12:00")
ROOT = Path(__file__).resolve().parents[2]


def add_trade_ids(cursor: sqlite3.Cursor) -> None:
    """From a made-up schema 0, whose events do not say which trade they are of, to schema 1."""
    cursor.execute("ALTER TABLE events RENAME TO old")
    cursor.execute(
        "CREATE TABLE events (seq INTEGER NOT NULL PRIMARY KEY, at VARCHAR(40) NOT NULL, session VARCHAR(40) NOT NULL, "
        "trade_id VARCHAR(40), kind VARCHAR(40) NOT NULL, body TEXT NOT NULL, hash VARCHAR(64) NOT NULL)"
    )
    cursor.execute(
        "INSERT INTO events SELECT seq, at, session, json_extract(body, '$.trade_id'), kind, body, hash FROM old"
    )
    cursor.execute("DROP TABLE old")
    cursor.execute("CREATE INDEX ix_events_session ON events (session)")
    cursor.execute("CREATE INDEX ix_events_trade_id ON events (trade_id)")


def to_schema_0(file: Path) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for kind in ("trigger", "view"):
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = ?", (kind,)).fetchall()
            for (name,) in names:
                connection.execute(f"DROP {kind} {name}")
        connection.execute("DROP INDEX ix_events_trade_id")
        connection.execute("ALTER TABLE events DROP COLUMN trade_id")
        connection.execute("UPDATE meta SET value = '0' WHERE key = 'schema'")


@pytest.fixture
def old(tmp_path) -> Path:
    file = tmp_path / "journal.db"
    with closing(JournalStore(f"sqlite:///{file}")) as store:
        store.append(NOON, SESSION, [run_started(), *bought(1, 10000), AlarmRaised("look")])
    to_schema_0(file)
    return file


@pytest.fixture
def steps(monkeypatch):
    def set_to(*functions: migrate.Step) -> None:
        monkeypatch.setattr(migrate, "STEPS", dict(enumerate(functions)))
        monkeypatch.setattr(tables, "SCHEMA_VERSION", len(functions))

    set_to(add_trade_ids)
    return set_to


def backup_of(file: Path, version: int = 0) -> Path:
    return file.with_name(f"{file.name}.v{version}.bak")


def version_of(file: Path) -> str:
    with closing(sqlite3.connect(file)) as connection:
        return str(connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()[0])


def bodies(file: Path) -> list[tuple[int, str, str]]:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute("SELECT seq, body, hash FROM events ORDER BY seq").fetchall()


def schema_of(file: Path) -> set[tuple[str, str]]:
    with closing(sqlite3.connect(file)) as connection:
        return set(connection.execute("SELECT type, name FROM sqlite_schema").fetchall())


def opened(file: Path) -> None:
    JournalStore(f"sqlite:///{file}").close()


def test_an_older_journal_is_migrated_after_a_backup_and_its_chain_still_holds(old, steps, tmp_path) -> None:
    before = bodies(old)
    opened(tmp_path / "fresh.db")

    with closing(JournalStore(f"sqlite:///{old}")) as store:
        assert store.damage == ()
        store.append(NOON, SESSION, [AlarmRaised("after")])

    with JournalReader(f"sqlite:///{old}") as reader:
        found = reader.verify()
        trades = [row.trade_id for row in reader.rows()]
    assert (found.fault, found.rows, found.note) == (None, 10, "")
    assert trades == [None, *["20260617-001"] * 7, None, None]
    assert (version_of(old), bodies(old)[:9]) == ("1", before)
    assert schema_of(old) == schema_of(tmp_path / "fresh.db")
    assert (version_of(backup_of(old)), bodies(backup_of(old))) == ("0", before)


def test_a_migrated_journal_is_append_only_again(old, steps) -> None:
    opened(old)

    with closing(sqlite3.connect(old)) as connection, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute("DELETE FROM events")


def test_a_journal_of_the_present_schema_is_neither_migrated_nor_backed_up(old, steps) -> None:
    opened(old)
    backup_of(old).unlink()

    opened(old)

    assert not backup_of(old).exists()


def test_a_reader_migrates_nothing_and_says_what_will(old, steps) -> None:
    before = old.read_bytes()

    with pytest.raises(SetupError, match=r"schema 0; expected 1.*The next run brings it there, after a backup"):
        JournalReader(f"sqlite:///{old}")

    assert old.read_bytes() == before
    assert not backup_of(old).exists()


@pytest.mark.parametrize("version", ["0", "7", "x"])
def test_a_schema_from_which_no_steps_lead_here_is_refused_and_left_as_it_is(old, version) -> None:
    with closing(sqlite3.connect(old)) as connection, connection:
        connection.execute("UPDATE meta SET value = ? WHERE key = 'schema'", (version,))
    before = old.read_bytes()
    seen = "unknown" if version == "x" else version

    with pytest.raises(SetupError, match=f"is a journal of schema {seen}; expected 1") as refused:
        opened(old)

    assert "next run" not in str(refused.value)
    assert old.read_bytes() == before
    assert not backup_of(old).exists()


def test_several_steps_are_taken_in_order_with_one_backup(old, steps) -> None:
    def add_table(cursor: sqlite3.Cursor) -> None:
        cursor.execute("CREATE TABLE further (x)")
        cursor.execute("INSERT INTO further SELECT count(*) FROM events WHERE trade_id IS NOT NULL")

    steps(add_trade_ids, add_table)

    opened(old)

    with closing(sqlite3.connect(old)) as connection:
        assert connection.execute("SELECT x FROM further").fetchall() == [(7,)]
    assert (version_of(old), version_of(backup_of(old))) == ("2", "0")
    assert not backup_of(old, 1).exists()


def test_a_step_that_fails_leaves_the_journal_as_it_was_before_it(old, steps) -> None:
    def broken(cursor: sqlite3.Cursor) -> None:
        cursor.execute("DROP TABLE definitions")
        cursor.execute("SELECT nonsense")

    before = bodies(old)
    steps(add_trade_ids, broken)

    with pytest.raises(SetupError, match="could not be brought from schema 0 to 2: no such column: nonsense; it is as"):
        opened(old)

    assert (version_of(old), bodies(old)) == ("1", before)
    assert ("table", "definitions") in schema_of(old)
    steps(add_trade_ids, lambda _cursor: None)
    opened(old)
    assert (version_of(old), version_of(backup_of(old, 1))) == ("2", "1")


def test_a_backup_that_cannot_be_made_changes_nothing(old, steps) -> None:
    before = old.read_bytes()
    backup_of(old).with_name(backup_of(old).name + ".part").mkdir()

    with pytest.raises(SetupError, match="could not be brought from schema 0 to 1: "):
        opened(old)

    assert old.read_bytes() == before


def test_a_backup_that_is_not_whole_changes_nothing(old, steps, monkeypatch) -> None:
    before = bodies(old)
    real = sqlite3.connect

    def short(path, *args, **named):
        connection = real(path, *args, **named)
        if str(path).endswith(".part"):
            connection.execute("DELETE FROM events WHERE seq > 3")
        return connection

    monkeypatch.setattr(migrate.sqlite3, "connect", short)
    with pytest.raises(SetupError, match=r"holds 3 rows; expected a whole copy of .* It was not migrated"):
        opened(old)

    monkeypatch.undo()
    assert (version_of(old), bodies(old)) == ("0", before)
    assert not backup_of(old).exists()


DYING = """
import os, sqlite3, sys
from pathlib import Path
from fsm_trader.journal import migrate
from fsm_trader.journal.store import JournalStore

moment, file = sys.argv[1], sys.argv[2]
exec(Path(sys.argv[3]).read_text(encoding="utf-8"))

def die(*_arguments):
    os._exit(9)

def step(cursor):
    if moment == "before the step":
        die()
    add_trade_ids(cursor)
    if moment == "after the step":
        die()

sync = migrate._sync

def dying_sync(path):
    if moment == "before the backup is on the disk" and path.name.endswith(".part"):
        die()
    if moment == "before the name of the backup is on the disk" and not path.name.endswith(".part"):
        die()
    sync(path)

migrate._sync = dying_sync
migrate.STEPS = {0: step}
if moment == "after the migration":
    migrate._LOG.info = die
JournalStore(f"sqlite:///{file}")
os._exit(0)
"""


@pytest.mark.parametrize(
    ("moment", "left"),
    [
        ("before the backup is on the disk", "0"),
        ("before the name of the backup is on the disk", "0"),
        ("before the step", "0"),
        ("after the step", "0"),
        ("after the migration", "1"),
        ("never", "1"),
    ],
)
def test_a_process_that_dies_in_a_migration_leaves_the_old_schema_or_the_new_one(
    old, steps, tmp_path, moment, left
) -> None:
    before = bodies(old)
    step = tmp_path / "step.py"
    step.write_text(_source_of_the_step(), encoding="utf-8")

    died = subprocess.run(
        [sys.executable, "-c", DYING, moment, str(old), str(step)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
        timeout=30,
    )

    assert died.returncode == (0 if moment == "never" else 9)
    assert (version_of(old), bodies(old)) == (left, before)
    opened(old)
    with JournalReader(f"sqlite:///{old}") as reader:
        assert (reader.verify().fault, reader.verify().rows) == (None, 9)
    assert bodies(backup_of(old)) == before


def _source_of_the_step() -> str:
    text = Path(__file__).read_text(encoding="utf-8")
    return "import sqlite3\n" + text[text.index("def add_trade_ids") : text.index("def to_schema_0")]
