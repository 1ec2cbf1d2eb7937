"""A power cut after every single operation on the disk: no acknowledged row is ever lost.

What is real and what is not says ``vfs``; what a power cut may leave says ``vfs_states``. Every state is opened by the
real thing, on the standard library's SQLite: it verifies against its anchor, it holds all that was acknowledged and
nothing by halves, and a journal goes on from it. That these tests can fail shows their control: with
``synchronous=NORMAL`` rows are lost.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from fsm_trader.core.records import AlarmRaised
from fsm_trader.journal import migrate, tables
from fsm_trader.journal.anchor import read_anchor
from fsm_trader.journal.read import JournalReader
from fsm_trader.journal.store import JournalStore

from .vfs import Tape, recorded
from .vfs_states import FATES, State, states

IS_SOAK = "FSM_TRADER_SOAK" in os.environ
SEEDS = 10 if IS_SOAK else 1
NOON = datetime(2026, 6, 17, 12, tzinfo=ZoneInfo("Asia/Kolkata"))
SESSION = "2026-06-17"
JOURNAL = "var/journal.db"
NORMAL = {"PRAGMA synchronous=FULL": "PRAGMA synchronous=NORMAL"}


class Writer:
    """Writes a journal on a tape, and notes there what was acknowledged."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.file = tape.folder / JOURNAL
        self.heads: list[tuple[int, str]] = []
        self.store: JournalStore | None = None

    def open(self, checkpoint_pages: int | None = None) -> None:
        self.store = JournalStore(f"sqlite:///{self.file}")
        assert self.store.damage == ()
        if not self.heads:
            self.heads.append(self.store.head)
        if checkpoint_pages is not None:
            self.store._connection.connection.cursor().execute(f"PRAGMA wal_autocheckpoint={checkpoint_pages}")
        self.tape.acked("opened")

    def append(self, times: int) -> None:
        """Make commits of one to three rows; the length of the rows varies, so that they end anywhere in a page."""
        for _ in range(times):
            number = len(self.heads)
            rows = [AlarmRaised(f"{number}.{row} " + "x" * (37 * number % 400)) for row in range(1 + number % 3)]
            self.store.append(NOON, SESSION, rows)
            self.heads.append(self.store.head)
            self.tape.acked(f"head {len(self.heads) - 1}")

    def define(self, digest: str) -> None:
        self.store.define(digest, "trade", "states: []")
        self.tape.acked(f"definition {digest}")

    def close(self) -> None:
        self.store.close()
        self.tape.acked("closed")


def plain(writer: Writer) -> None:
    writer.open()
    writer.define("d1")
    writer.append(8)
    writer.close()


def checkpoints(writer: Writer) -> None:
    writer.open(checkpoint_pages=6)
    writer.append(12)
    writer.close()


def reopened(writer: Writer) -> None:
    writer.open()
    writer.append(3)
    writer.close()
    writer.open()
    writer.define("d1")
    writer.append(2)
    writer.close()
    writer.open()
    writer.append(1)
    writer.close()


def one_large_step(writer: Writer) -> None:
    """More than fits in a page, and more than SQLite keeps before it writes."""
    writer.open(checkpoint_pages=6)
    writer.append(1)
    writer.store.append(NOON, SESSION, [AlarmRaised(f"{number} " + "y" * 900) for number in range(60)])
    writer.heads.append(writer.store.head)
    writer.tape.acked(f"head {len(writer.heads) - 1}")
    writer.append(1)
    writer.close()


SCENARIOS: dict[str, Callable[[Writer], None]] = {
    "plain": plain,
    "checkpoints": checkpoints,
    "reopened": reopened,
    "one large step": one_large_step,
}


def record(folder: Path, play: Callable[[Writer], None], change: dict[str, str] | None = None) -> Writer:
    (folder / "var").mkdir(parents=True, exist_ok=True)
    writer = Writer(Tape(folder))
    with recorded(writer.tape, change):
        play(writer)
    return writer


def promised(state: State) -> int:
    """The number of the newest head that was acknowledged."""
    return max((int(each.split()[1]) for each in state.acked if each.startswith("head")), default=0)


def found_in(folder: Path, state: State) -> tuple[int, str]:
    """What the real reader finds, chain and anchor verified: number and hash of the newest row."""
    if "opened" not in state.acked:
        # Being made, or brought to a newer schema: a start, and only a start, can tell.
        with closing(JournalStore(f"sqlite:///{folder / JOURNAL}")) as store:
            assert store.damage == ()
            return store.head
    with JournalReader(f"sqlite:///{folder / JOURNAL}") as reader:
        checked = reader.verify()
        assert checked.fault is None
        assert {each.split()[1] for each in state.acked if each.startswith("definition")} <= set(reader.definitions())
    return checked.rows, checked.head


def goes_on(folder: Path, head: tuple[int, str]) -> None:
    """A start finds no damage, takes over the head, and writes the next row."""
    url = f"sqlite:///{folder / JOURNAL}"
    with closing(JournalStore(url)) as store:
        assert (store.damage, store.head) == ((), head)
        store.append(NOON, SESSION, [AlarmRaised("after the power cut")])
        head = store.head
    with JournalReader(url) as reader:
        checked = reader.verify()
    assert (checked.fault, checked.rows, checked.head) == (None, *head)


def nothing_more(_folder: Path, _state: State) -> None:
    """Look at nothing else."""


def try_states(
    writer: Writer, place: Path, *, seeds: int = 1, look: Callable[[Path, State], None] = nothing_more
) -> Counter[str]:
    """Open what is left of a journal after each power cut; return how many states there were and what they were like.

    Every state is read and verified. A start goes on from every fourth, under ``make soak`` from all.
    """
    counts: Counter[str] = Counter()
    for seed in range(seeds):
        for state in states(writer.tape.ops, FATES, seed=seed):
            folder = place / "after"
            state.lay_out(folder)
            try:
                number = promised(state)
                look(folder, state)
                head = found_in(folder, state)
                assert head in writer.heads[number : number + 2], f"row {head[0]}; promised was {writer.heads[number]}"
                anchored = read_anchor(folder / JOURNAL)
                counts["anchor behind"] += anchored is not None and anchored.seq < head[0]
                counts["step kept that was not acknowledged"] += head != writer.heads[number]
                if IS_SOAK or counts["states"] % 4 == 0:
                    goes_on(folder, head)
                    counts["gone on with"] += 1
            except Exception as error:
                error.add_note(f"{state}; seed {seed}")
                raise
            counts["states"] += 1
            shutil.rmtree(folder)
    return counts


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is such a thing: thousands of states are flushed there and thrown away."""
    memory = Path("/dev/shm")  # noqa: S108 - the folder below it is made by tempfile, with a name of its own
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as folder:
        yield Path(folder)


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_power_cut_loses_an_acknowledged_row_or_keeps_half_a_step(place, name):
    writer = record(place / "recorded", SCENARIOS[name])

    counts = try_states(writer, place, seeds=SEEDS)

    print(f"{name}: {len(writer.tape.ops)} operations, {dict(counts)}")
    assert counts["states"] > 300
    # The anchor is flushed beside the commits: that it lost its newest notes is no damage, and does happen here.
    assert counts["anchor behind"] > 0
    assert counts["step kept that was not acknowledged"] > 0


def test_with_synchronous_normal_a_power_cut_does_lose_acknowledged_rows_and_the_anchor_tells(place):
    """The control: the same journal, states and looks, and one PRAGMA less."""
    writer = record(place / "recorded", plain, NORMAL)
    lost = told = tried = 0

    for state in states(writer.tape.ops, ("lost", "prefix"), seed=0):
        if "opened" not in state.acked:
            continue
        state.lay_out(place / "after")
        with closing(JournalStore(f"sqlite:///{place / 'after' / JOURNAL}")) as store:
            is_lost = store.head[0] < writer.heads[promised(state)][0]
            tried, lost, told = tried + 1, lost + is_lost, told + (is_lost and "gone" in "".join(store.damage))
        shutil.rmtree(place / "after")

    print(f"normal: acknowledged rows lost in {lost} of {tried} states, told by the anchor in {told}")
    assert lost > tried / 2
    # Where the anchor's notes were lost as well, it cannot tell.
    assert 0 < told < lost


def rebuild_events(cursor: sqlite3.Cursor) -> None:
    """A step that moves every row, and that cannot be made twice."""
    cursor.execute("ALTER TABLE events ADD COLUMN more INTEGER")
    cursor.execute("CREATE TABLE newer AS SELECT * FROM events ORDER BY seq")
    cursor.execute("DROP TABLE events")
    cursor.execute("ALTER TABLE newer RENAME TO events")
    cursor.execute("CREATE UNIQUE INDEX by_seq ON events (seq)")


def test_no_power_cut_in_a_migration_loses_a_row_and_there_is_a_whole_backup_before_anything_changes(
    place, monkeypatch
):
    folder = place / "recorded"
    with closing(JournalStore(f"sqlite:///{folder / JOURNAL}")) as store:
        for number in range(20):
            store.append(NOON, SESSION, [AlarmRaised(f"{number} " + "z" * 300)])
        head = store.head
    monkeypatch.setattr(migrate, "STEPS", {1: rebuild_events})
    monkeypatch.setattr(tables, "SCHEMA_VERSION", 2)
    seen: Counter[tuple[int, bool]] = Counter()

    def play(writer: Writer) -> None:
        writer.heads.append(head)
        writer.open()
        writer.append(2)
        writer.close()

    def look(after: Path, _state: State) -> None:
        file, backup = after / JOURNAL, after / f"{JOURNAL}.v1.bak"
        found = schema_and_rows(file)
        seen[found[0], backup.is_file()] += 1
        if backup.is_file():
            assert schema_and_rows(backup) == (1, 20)
        assert found[0] == 1 or backup.is_file()
        assert found[1] >= 20

    writer = record(folder, play)
    counts = try_states(writer, place, seeds=SEEDS, look=look)

    print(f"migration: {len(writer.tape.ops)} operations, {dict(counts)}, schema and backup {dict(seen)}")
    assert set(seen) == {(1, False), (1, True), (2, True)}


def schema_and_rows(file: Path) -> tuple[int, int]:
    with closing(sqlite3.connect(file)) as connection:
        (version,) = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
        (rows,) = connection.execute("SELECT count(*) FROM events").fetchone()
    return int(version), rows
