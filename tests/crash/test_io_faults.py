"""Every operation on the journal's disk fails once, or from then on: what was said to be written is there.

An append either returned, and its rows survive a power cut; or it raised, in words, and then nothing of it is there,
or the journal is written no more by that process and the next start finds out. The failing disk is that of ``vfs``,
with JournalStore real above it; locks, read-only file systems and whole runs are real.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from fsm_trader.app.files import settings_of
from fsm_trader.app.run import Outcome, run
from fsm_trader.broker.paper.book import PaperBook
from fsm_trader.core.ledger import Ledger
from fsm_trader.core.records import AlarmRaised, Entry, EntryBlocked, OrderIntended
from fsm_trader.errors import HaltError, SetupError
from fsm_trader.journal import guard, tables
from fsm_trader.journal.broken import broken
from fsm_trader.journal.read import JournalReader
from fsm_trader.journal.store import JournalStore

from .conftest import ROOT
from .vfs import KINDS, Fault, Tape, recorded
from .vfs_states import states

IS_SOAK = "FSM_TRADER_SOAK" in os.environ
NOON = datetime(2026, 6, 17, 12, tzinfo=ZoneInfo("Asia/Kolkata"))
SESSION = "2026-06-17"


# --- every operation of the disk -----------------------------------------------------------------------------------


class Try:
    """One process that writes a journal on a failing disk, up to its end.

    Attributes:
        acked: number and hash after each append that returned.
        size: rows of the append that was under way.
        error: what ended it, None where nothing did.
        told: troubles and remarks, as they came.
    """

    def __init__(self, folder: Path, fault: Fault | None, *, ballast: int = 0) -> None:
        self.file = folder / "journal.db"
        self.tape = Tape(folder, fault)
        self.acked: list[tuple[int, str]] = [(0, "0" * 64)]
        self.size = 0
        self.error: SetupError | HaltError | None = None
        self.told: list[str] = []
        self.broken_at: int | None = None
        self._ballast = ballast

    def play(self) -> None:
        with recorded(self.tape):
            try:
                self._write(4)
                self._write(2)
            except (SetupError, HaltError) as error:
                self.error = error

    def _write(self, times: int) -> None:
        self.size = 0
        store = JournalStore(f"sqlite:///{self.file}", ballast=self._ballast)
        store.on_trouble = store.on_remark = self.told.append
        with closing(store):
            # Often, so that the log is moved into the file between the appends as well as at the end.
            store._connection.connection.cursor().execute("PRAGMA wal_autocheckpoint=4")
            try:
                store.define("d", "trade", "states: []")
                for _ in range(times):
                    self._append(store)
            except HaltError as error:
                if "writes no more" in str(error):
                    self.broken_at = len(self.tape.ops)
                    with pytest.raises(HaltError, match="it broke before"):
                        store.append(NOON, SESSION, [AlarmRaised("again")])
                raise

    def _append(self, store: JournalStore) -> None:
        number = len(self.acked)
        self.size = 1 + number % 3
        store.append(NOON, SESSION, [AlarmRaised(f"{number} " + "x" * 300) for _ in range(self.size)])
        self.acked.append(store.head)
        self.size = 0

    def touched_after_it_broke(self) -> set[str]:
        """What was still written or flushed of the journal, though it had broken."""
        names = {op.file: op.name for op in self.tape.ops if op.what in ("create", "there")}
        late = [] if self.broken_at is None else self.tape.ops[self.broken_at :]
        touched = {names[op.file] for op in late if op.what in ("write", "size", "sync", "failed sync")}
        return touched & {"journal.db", "journal.db-wal"}


def holds_what_was_said(attempt: Try, file: Path) -> str:
    """Let a real start open what is left, and say what it found."""
    with closing(JournalStore(f"sqlite:///{file}")) as store:
        assert store.damage == ()
        head = store.head
    with JournalReader(f"sqlite:///{file}") as reader:
        checked = reader.verify()
    assert (checked.fault, checked.rows, checked.head) == (None, *head)
    if head == attempt.acked[-1]:
        return "as acknowledged"
    # Nobody was told that it failed for good: it is there as a whole, and nothing was sent for it.
    assert "The next start finds out what of it is in the journal" in str(attempt.error)
    assert head[0] == attempt.acked[-1][0] + attempt.size
    return "the step under way too"


def faults(counted: dict[str, int], kinds: Sequence[str]) -> Iterator[Fault]:
    """Every operation under ``make soak``; else every flush, and every eighth of the others."""
    for kind in kinds:
        for at in range(0, counted[kind], 1 if IS_SOAK or kind == "EIO on fsync" else 8):
            yield Fault(kind, at, is_sticky=False)
            yield Fault(kind, at, is_sticky=True)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is such a thing: what is written there is flushed and thrown away."""
    memory = Path("/dev/shm")  # noqa: S108 - the folder below it is made by tempfile, with a name of its own
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as folder:
        yield Path(folder)


def test_whatever_operation_fails_what_was_acknowledged_is_there_after_the_end_and_after_a_power_cut(place):
    counts = try_faults(place, tuple(KINDS), ballast=0)

    assert counts["ended by HaltError"] > 0
    assert counts["ended by SetupError"] > 0
    # What fails in moving the log into the file is made up for later.
    assert counts["ended by NoneType"] > 0


def test_a_flush_that_failed_is_not_tried_again_by_this_process_not_even_at_its_end(place):
    tape = Tape(place)
    with recorded(tape):
        store = JournalStore(f"sqlite:///{place / 'journal.db'}")
        append(store, "before")
        tape.fault = Fault("EIO on fsync", tape.counted["EIO on fsync"], is_sticky=False)
        with pytest.raises(HaltError, match=r"rows 2 to 2 could not be written: .*The next start finds out what of it"):
            append(store, "during")
        flushes = tape.counted["EIO on fsync"]
        for call in (lambda: append(store, "again"), lambda: store.definition("d"), lambda: store.check(NOON)):
            with pytest.raises(HaltError, match="it broke before"):
                call()
        store.close()

    assert tape.failed == ["sync journal.db-wal"]
    assert tape.counted["EIO on fsync"] == flushes
    assert texts(place / "journal.db")[:1] == ["before"]
    assert set(texts(place / "journal.db")[1:]) <= {"during"}


def test_where_room_was_kept_a_write_that_finds_no_space_once_is_made_again_and_told(place):
    counts = try_faults(place, ("no space",), ballast=1 << 16)

    assert counts["told"] > 0
    assert counts["halted by a fault that passed"] == 0


def try_faults(place: Path, kinds: Sequence[str], *, ballast: int) -> Counter[str]:
    (place / "sound").mkdir()
    sound = Try(place / "sound", None, ballast=ballast)
    sound.play()
    assert (sound.error, len(sound.acked)) == (None, 7)
    counts: Counter[str] = Counter()
    for fault in faults(sound.tape.counted, kinds):
        folder = place / "tried"
        folder.mkdir()
        attempt = Try(folder, fault, ballast=ballast)
        try:
            attempt.play()
            assert attempt.tape.failed
            assert attempt.touched_after_it_broke() == set()
            for state in states(attempt.tape.ops, ("lost", "kept", "torn"), seed=0, is_at_end=True):
                state.lay_out(place / "cut")
                counts[f"power cut: {holds_what_was_said(attempt, place / 'cut' / 'journal.db')}"] += 1
                shutil.rmtree(place / "cut")
            counts[f"next start: {holds_what_was_said(attempt, attempt.file)}"] += 1
        except Exception as error:
            error.add_note(f"{fault}; failed: {attempt.tape.failed}; ended by {attempt.error!r}")
            raise
        counts["faults"] += 1
        counts["halted by a fault that passed"] += isinstance(attempt.error, HaltError) and not fault.is_sticky
        counts["told"] += "the disk is full" in "".join(attempt.told)
        counts[f"ended by {type(attempt.error).__name__}"] += 1
        shutil.rmtree(folder)
    print(f"faults: {dict(counts)} of {sound.tape.counted}")
    return counts


# --- locked by another program -------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a lock for as many times as ever, and for shorter ones."""
    monkeypatch.setattr(tables, "BUSY_S", 0.05)


class Locked:
    """Another program that holds the journal's write lock until it is told, or for a time."""

    def __init__(self, file: Path, for_s: float | None = None) -> None:
        self._connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False, timeout=10)
        self._connection.execute("BEGIN IMMEDIATE")
        self._timer = None if for_s is None else threading.Timer(for_s, self._let_go)
        if self._timer is not None:
            self._timer.start()

    def _let_go(self) -> None:
        self._connection.execute("ROLLBACK")

    def close(self) -> None:
        if self._timer is not None:
            self._timer.join()
        self._connection.close()


def append(store: JournalStore, text: str) -> None:
    store.append(NOON, SESSION, [AlarmRaised(text)])


def texts(file: Path) -> list[str]:
    with JournalReader(f"sqlite:///{file}") as reader:
        assert reader.verify().fault is None
        return [entry.record.text for entry in reader.entries()]


@pytest.mark.usefixtures("impatient")
def test_a_lock_that_passes_is_waited_for_and_told_and_the_rows_are_written_once(file, monkeypatch, caplog):
    with closing(JournalStore(f"sqlite:///{file}")) as store:
        told: list[str] = []
        store.on_remark = told.append
        store.on_trouble = pytest.fail
        append(store, "before")

        with closing(Locked(file, for_s=0.12)):
            append(store, "during")
        append(store, "after")

    assert texts(file) == ["before", "during", "after"]
    assert "another program had locked it" in told[0]
    assert len(told) == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "Nothing can be decided meanwhile; it is waited for up to" in caplog.text


def test_a_lock_that_is_gone_before_sqlite_gives_up_is_nothing_to_tell(file, caplog):
    with closing(JournalStore(f"sqlite:///{file}")) as store:
        store.on_remark = store.on_trouble = pytest.fail
        with closing(Locked(file, for_s=0.2)):
            append(store, "during")

    assert (texts(file), caplog.records) == (["during"], [])


@pytest.mark.usefixtures("impatient")
def test_a_lock_that_stays_ends_in_words_with_nothing_written_and_the_journal_can_be_gone_on_with(file):
    with closing(JournalStore(f"sqlite:///{file}")) as store:
        append(store, "before")
        with closing(Locked(file)):
            for call in (
                lambda: append(store, "during"),
                lambda: store.define("d", "trade", "states: []"),
                lambda: store.definition("d"),
                lambda: store.count_of("20260617-001"),
                lambda: store.check(NOON),
            ):
                with pytest.raises(HaltError, match=r"journal .*journal\.db: .*database is locked"):
                    call()
        append(store, "after")

    assert texts(file) == ["before", "after"]


@pytest.mark.usefixtures("impatient")
def test_a_start_waits_for_a_lock_that_passes_and_ends_in_words_at_one_that_stays(file, caplog):
    with closing(JournalStore(f"sqlite:///{file}")) as store:
        append(store, "before")

    with closing(Locked(file)), pytest.raises(HaltError, match="another program has kept it locked for 0 s"):
        JournalStore(f"sqlite:///{file}")
    with closing(Locked(file, for_s=0.12)), closing(JournalStore(f"sqlite:///{file}")) as store:
        append(store, "after")

    assert texts(file) == ["before", "after"]
    assert "another program has locked it; it is waited for" in caplog.text


# --- a reader that holds on to the log -----------------------------------------------------------------------------


def test_our_own_reader_does_not_keep_the_log_from_being_started_over(file):
    with closing(JournalStore(f"sqlite:///{file}")) as store:
        for _ in range(20):
            store.append(NOON, SESSION, [AlarmRaised("x" * 400)] * 50)
        with JournalReader(f"sqlite:///{file}") as reader:
            rows = reader.rows(batch_size=10)
            next(rows)
            for _ in range(120):
                store.append(NOON, SESSION, [AlarmRaised("x" * 400)] * 50)
            size = file.with_name("journal.db-wal").stat().st_size
            rows.close()

    assert size < 2 * tables.LOG_BYTES


def test_a_log_that_another_program_holds_on_to_is_told_once_and_loses_nothing_and_is_cut_afterwards(file, monkeypatch):
    monkeypatch.setattr(guard, "LONG_LOG_BYTES", 1 << 20)
    monkeypatch.setattr(tables, "LOG_BYTES", 1 << 18)
    monkeypatch.setattr("fsm_trader.journal.place.LOOK_EVERY_S", 0)
    log = file.with_name("journal.db-wal")
    told: list[str] = []

    with closing(JournalStore(f"sqlite:///{file}")) as store:
        store.on_remark, store.on_trouble = told.append, pytest.fail
        store._connection.connection.cursor().execute("PRAGMA wal_autocheckpoint=20")
        append(store, "first")
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN")
            other.execute("SELECT count(*) FROM events").fetchone()
            for _ in range(60):
                store.append(NOON, SESSION, [AlarmRaised("x" * 400)] * 40)
            held = log.stat().st_size
        for _ in range(3):
            append(store, "last")
        after = log.stat().st_size

    assert held > 1 << 20
    assert after <= 1 << 18
    assert len(told) == 1
    assert "another program keeps reading the journal in one transaction" in told[0]
    assert len(texts(file)) == 1 + 60 * 40 + 3


# --- where nothing may be written ----------------------------------------------------------------------------------


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Callable[[], Path]]:
    """A disk of its own with a journal on it, and what makes it one that cannot be written any more."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount") or "mount"
    command = [mount, "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("a disk of its own needs the right to mount one, which this user does not have")

    def turn() -> Path:
        subprocess.run([mount, "-o", "remount,ro", str(place)], check=True)
        return place

    yield turn
    subprocess.run(["umount", "-l", str(place)], check=True)


def write(file: Path, *, is_killed: bool) -> None:
    """Write a journal, and end in order or leave what a kill leaves."""
    with closing(JournalStore(f"sqlite:///{file}")) as store:
        append(store, "a")
        left = {path: path.read_bytes() for path in file.parent.iterdir()}
    if is_killed:
        for path, content in left.items():
            path.write_bytes(content)


@pytest.mark.parametrize("is_killed", [False, True], ids=["after an orderly end", "after a kill"])
def test_a_journal_on_a_disk_that_cannot_be_written_is_read_and_a_start_is_refused_in_words(
    read_only, tmp_path, is_killed
):
    write(tmp_path / "disk" / "journal.db", is_killed=is_killed)
    file = read_only() / "journal.db"

    assert texts(file) == ["a"]
    with pytest.raises(SetupError, match=r"cannot be opened as a journal: .*(readonly|Read-only|unable to open)"):
        JournalStore(f"sqlite:///{file}")


def test_a_log_without_its_index_on_such_a_disk_is_not_passed_over_in_silence(read_only, tmp_path):
    write(tmp_path / "disk" / "journal.db", is_killed=True)
    (tmp_path / "disk" / "journal.db-shm").unlink()
    file = read_only() / "journal.db"

    with pytest.raises(SetupError, match=r"its log journal\.db-wal can only be read where its folder can be written"):
        JournalReader(f"sqlite:///{file}")


# --- a whole run ---------------------------------------------------------------------------------------------------


class Session:
    """The sample day in a folder, run in this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("session.yaml", "strategies.yaml"):
            (folder / name).write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
        self.journal = folder / "var" / "fsm_trader.db"

    def run(self, *, when_active: Callable[[], None] | None = None) -> Outcome:
        watch = _Watch(when_active)
        return run(settings_of(self.folder / "session.yaml"), watch=lambda *_: (watch,), console_level=None)

    def entries(self) -> list[Entry]:
        if not self.journal.is_file() or _has_no_table(self.journal):
            return []
        with JournalReader(f"sqlite:///{self.journal}") as reader:
            assert reader.verify().fault is None
            return list(reader.entries())

    def assert_no_order_without_its_intent(self) -> None:
        intended = {entry.record.request.tag for entry in self.entries() if isinstance(entry.record, OrderIntended)}
        with PaperBook(self.folder / "var" / "paper.db") as book:
            assert {order.request.tag for order in book.load().orders} <= intended


def _has_no_table(journal: Path) -> bool:
    """Tell whether the process ended before the first table was made."""
    return broken(f"sqlite:///{journal}").endswith(("no such table: meta", "it is empty"))


class _Watch:
    """Does something once, as soon as a trade is held."""

    def __init__(self, what: Callable[[], None] | None) -> None:
        self._what = what

    def committed(self, entries: Sequence[Entry], ledger: Ledger) -> None:
        if self._what is not None and any(trade.held for trade in ledger.open_trades):
            what, self._what = self._what, None
            what()

    def passed(self, now: datetime) -> None:
        pass


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    yield Session(tmp_path)
    logging.getLogger("fsm_trader").handlers.clear()


def test_a_run_waits_for_a_lock_that_passes_and_says_so_and_goes_on_taking_entries(session, monkeypatch):
    monkeypatch.setattr(tables, "BUSY_S", 0.1)
    others: list[Locked] = []

    outcome = session.run(when_active=lambda: others.append(Locked(session.journal, for_s=0.25)))
    others[0].close()

    records = [entry.record for entry in session.entries()]
    alarms = [record.text for record in records if isinstance(record, AlarmRaised)]
    blocked = [reason for record in records if isinstance(record, EntryBlocked) for reason in record.reasons]
    assert (outcome.exit_code, outcome.ledger.open_trades) == (0, [])
    assert len([text for text in alarms if "another program had locked it" in text]) == 1
    assert not [reason for reason in blocked if "lock" in reason]


@pytest.mark.usefixtures("impatient")
def test_a_run_whose_journal_stays_locked_stops_in_words_and_the_next_one_ends_the_day_flat(session):
    others: list[Locked] = []

    with pytest.raises(HaltError, match=r"database is locked\. Nothing of this step is in the journal"):
        session.run(when_active=lambda: others.append(Locked(session.journal)))
    session.assert_no_order_without_its_intent()
    others[0].close()
    outcome = session.run()

    assert (outcome.exit_code, outcome.ledger.open_trades) == (0, [])
    session.assert_no_order_without_its_intent()


@pytest.mark.parametrize("at", range(6, 180, 6) if IS_SOAK else (30, 77))
@pytest.mark.parametrize("kind", ["EIO on fsync", "no space"])
def test_a_run_whose_disk_fails_stops_in_words_and_the_next_one_ends_the_day_flat(session, kind, at):
    """With a position open or not: the second process knows what the first one was sure of, and asks for the rest."""
    (session.folder / "var").mkdir()
    tape = Tape(session.folder / "var", Fault(kind, at, is_sticky=True))

    with recorded(tape, but="paper"), pytest.raises((HaltError, SetupError)) as ended:
        session.run()
    session.assert_no_order_without_its_intent()
    outcome = session.run()

    assert any(words in str(ended.value) for words in ("disk I/O error", "EIO", "no space", "full"))
    assert (outcome.exit_code, outcome.ledger.open_trades) == (0, [])
    session.assert_no_order_without_its_intent()
