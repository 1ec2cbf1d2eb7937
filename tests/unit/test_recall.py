"""A start that reads only what is needed knows what one that reads everything knows, whatever the journal holds."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fsm_trader.app.recall import inherited, recall, replay
from fsm_trader.core.candles import Candle
from fsm_trader.core.ledger import PASSING, Ledger, trade_from
from fsm_trader.core.money import Paise
from fsm_trader.core.orders import Role
from fsm_trader.core.records import (
    AlarmRaised,
    CandlesSeen,
    Carried,
    EntryBlocked,
    HealthSeen,
    Inherited,
    OperatorAsked,
    Record,
    RunStopped,
    SignalSeen,
)
from fsm_trader.errors import HaltError, VerificationError
from fsm_trader.journal.chain import row_hash
from fsm_trader.journal.look_up import DaySoFar
from fsm_trader.journal.read import JournalReader
from fsm_trader.journal.store import JournalStore

from .rows import (
    DAY,
    INDEX_TOKEN,
    SESSION,
    Story,
    at,
    bought,
    intended,
    moved,
    opened,
    picture,
    run_started,
    sold,
    trading,
)

NEXT = "2026-06-18"
ASKS = ("halt", "flatten", "resume")


class Trader:
    """Writes a journal as the trader does: it knows only the ledger, and begins sessions with what they inherit."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.store = JournalStore(url)
        self.ledger = Ledger()
        self.sessions: list[str] = []
        self.asked = 0
        self.numbers: set[int] = set()

    def commit(self, *records: Record) -> None:
        self.ledger.fold(self.store.append(at("12:00"), self.sessions[-1], records))

    def begin(self, session: str) -> None:
        said = self.said()
        self.sessions.append(session)
        day = self.store.day_so_far(date.fromisoformat(session[:10]))
        row = run_started(session)
        self.commit(msgspec.structs.replace(row, inherits=inherited(self.ledger, self.store, day)))
        assert self.said() == said

    def said(self) -> tuple[bool, bool, list[str]]:
        """What a person said: it holds over sessions."""
        return self.ledger.halted, self.ledger.flatten_asked, list(self.ledger.requests)[-50:]

    def number(self) -> int:
        number = self.ledger.next_trade_number()
        assert number not in self.numbers
        self.numbers.add(number)
        return number

    def play_again(self) -> None:
        plays = [session for session in self.sessions if session.startswith(SESSION)]
        self.begin(f"{SESSION}.{len(plays) + 1}" if plays else SESSION)

    def next_day(self) -> None:
        self.begin(f"2026-07-{len(self.sessions):02d}")

    def next_day_of_0_1_0(self) -> None:
        """Begin a session without a word of what it inherits."""
        self.sessions.append(f"2026-07-{len(self.sessions):02d}")
        self.commit(run_started(self.sessions[-1]))

    def restart(self) -> None:
        self.commit(RunStopped(3, "SIGTERM"))
        self.commit(run_started(self.sessions[-1]))

    def buy(self) -> None:
        if self.sessions[-1].startswith(SESSION):
            self.commit(*bought(self.number(), 10000))

    def intend(self) -> None:
        if self.sessions[-1].startswith(SESSION):
            number = self.number()
            self.commit(opened(number), moved(number, "IDLE", "PENDING_ENTRY"), intended(number, Role.ENTRY))

    def settle(self) -> None:
        """End the oldest open trade."""
        for trade in self.ledger.open_trades[:1]:
            if trade.state == "ACTIVE":
                self.commit(*sold(trade.number, 12000))
            else:
                self.commit(moved(trade.number, "PENDING_ENTRY", "FAILED", reason="entry_absent"))

    def alarm(self) -> None:
        of = [trade.trade_id for trade in self.ledger.open_trades]
        self.commit(AlarmRaised("look", of[0] if of else None))

    def ask(self) -> None:
        self.asked += 1
        self.commit(OperatorAsked(ASKS[self.asked % 3], "a person", f"request {self.asked}"))

    def look(self) -> None:
        price = Paise(2441235)
        candle = Candle(INDEX_TOKEN, at("09:29"), price, price, price, price)
        self.commit(
            trading(),
            HealthSeen(("late",)),
            CandlesSeen((candle,)),
            SignalSeen("donchian_ce", -1, at("09:29"), price),
            EntryBlocked("donchian_ce", at("09:29"), ("why not",)),
        )


STEPS = (
    Trader.play_again,
    Trader.next_day,
    Trader.next_day_of_0_1_0,
    Trader.restart,
    Trader.buy,
    Trader.buy,
    Trader.intend,
    Trader.settle,
    Trader.settle,
    Trader.alarm,
    Trader.ask,
    Trader.look,
)


def of_the_day(ledger: Ledger) -> dict[str, object]:
    """All that is known, trade numbers of other days left out: those are asked of the journal when one is begun."""
    known = picture(ledger)
    known["_numbers"] = ledger.next_trade_number()
    return known


@example(steps=[Trader.ask, Trader.buy, Trader.look, Trader.next_day_of_0_1_0])
@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.sampled_from(STEPS), max_size=30))
def test_what_a_start_recalls_is_what_the_whole_journal_tells_and_what_the_last_process_knew(steps) -> None:
    with TemporaryDirectory() as folder:
        trader = Trader(f"sqlite:///{folder}/journal.db")
        with closing(trader.store):
            trader.play_again()
            for step in steps:
                step(trader)
            with JournalReader(trader.url) as reader:
                recalled, whole = recall(reader), Ledger().fold(reader.checked())
                replayed = replay(reader, *(reader.newest_session() or ()))

    assert of_the_day(recalled) == of_the_day(whole) == of_the_day(trader.ledger)
    assert list(recalled.trades) == list(replayed.trades) == list(whole.trades)
    assert picture(replayed) == picture(whole)


# --- what is read, and what is not ---------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def trader(file):
    writer = Trader(f"sqlite:///{file}")
    with closing(writer.store):
        writer.play_again()
        yield writer


@pytest.fixture
def carried(trader) -> Trader:
    """Two trades, of which one is closed; the other is carried into the session of another day."""
    trader.buy()
    trader.settle()
    trader.buy()
    trader.look()
    trader.next_day()
    trader.look()
    return trader


def recalled(file: Path) -> Ledger:
    with JournalReader(f"sqlite:///{file}") as reader:
        return recall(reader)


def forge(file: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        assert connection.execute(statement, values).rowcount == 1


def test_an_empty_journal_is_recalled_as_nothing(file) -> None:
    with closing(JournalStore(f"sqlite:///{file}")):
        assert picture(recalled(file)) == picture(Ledger())


def test_a_carried_trade_is_known_whole_and_a_closed_one_of_an_earlier_session_is_not_read(carried, file) -> None:
    forge(file, "UPDATE events SET body = '{}' WHERE kind = 'trade_opened' AND trade_id = '20260617-001'")

    ledger = recalled(file)

    (trade,) = ledger.trades.values()
    assert (trade.trade_id, trade.state, trade.held) == ("20260617-002", "ACTIVE", 75)
    with JournalReader(f"sqlite:///{file}") as reader:
        assert reader.verify().bad_seq == 2


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE events SET body = replace(body, '10000', '10001') WHERE seq = 20", r"row 20 \(fill_seen at"),
        ("DELETE FROM events WHERE seq = 20", "trade 20260617-002 has 6 rows before row 27; expected 7"),
        ("DELETE FROM events WHERE seq = 15", "trade 20260617-002 has 6 rows before row 27; expected 7"),
        ("UPDATE events SET trade_id = '20260617-001' WHERE seq = 20", "has 6 rows before row 27; expected 7"),
        ("UPDATE events SET body = replace(body, 'inherits', 'inherit_') WHERE seq = 27", r"row 27 \(run_started at"),
        ("UPDATE events SET body = replace(body, '20260617-002', '20260617-001') WHERE seq = 27", r"row 27 \("),
        ("DELETE FROM events WHERE seq = 26", "row 26 is missing"),
        ("DELETE FROM events WHERE seq = 29", "row 30 where row 29 was expected"),
        ("UPDATE events SET body = replace(body, 'late', 'well') WHERE seq = 29", r"row 29 \(health_seen at"),
        ("UPDATE events SET body = CAST(body AS BLOB) WHERE seq = 29", "row 29: a column of it holds something else"),
    ],
)
def test_a_false_or_missing_row_that_is_needed_is_refused(carried, file, statement, words) -> None:
    forge(file, statement)

    with pytest.raises(VerificationError, match=words):
        recalled(file)


@pytest.mark.parametrize("seq", [4, 6, 22])
def test_a_row_that_is_not_decoded_in_a_replay_is_held_against_its_hash_all_the_same(carried, file, seq) -> None:
    with JournalReader(f"sqlite:///{file}") as reader:
        begun = reader.newest_session()
        kinds = {row.seq: row.kind for row in reader.rows()}
        assert begun is not None
        assert replay(reader, *begun).seq == max(kinds)
    passing = [number for number, kind in kinds.items() if kind in PASSING]
    forge(file, "UPDATE events SET body = '{}' WHERE seq = ?", passing[seq % len(passing)])

    with JournalReader(f"sqlite:///{file}") as reader, pytest.raises(VerificationError, match="its contents give"):
        replay(reader, *begun)


def test_a_row_of_the_day_that_was_lost_does_not_give_its_number_again(trader, file) -> None:
    trader.buy()
    trader.settle()
    trader.next_day()

    assert trader.store.day_so_far(DAY) == DaySoFar(sessions=1, last_number=1)
    assert trader.store.day_so_far(date(2030, 1, 1)) == DaySoFar()
    trader.play_again()
    assert recalled(file).next_trade_number() == 2


def test_numbers_of_trades_are_numbers_and_no_text(trader) -> None:
    trader.commit(opened(999), moved(999, "IDLE", "FAILED"), opened(1000), moved(1000, "IDLE", "FAILED"))

    assert trader.store.day_so_far(DAY).last_number == 1000


def test_a_session_that_does_not_say_what_it_inherits_is_recalled_from_every_row(file) -> None:
    with closing(JournalStore(f"sqlite:///{file}")) as store:
        story = Story()
        for session, rows in (
            (SESSION, [run_started(), *bought(1, 10000), OperatorAsked("halt")]),
            (NEXT, [run_started(NEXT), trading()]),
        ):
            store.append(at("12:00"), session, rows)
            story.tell("12:00", *rows, session=session)

    assert picture(recalled(file)) == picture(story.ledger)
    assert recalled(file).halted


def test_a_session_that_says_what_it_inherits_follows_one_that_did_not(file) -> None:
    trader = Trader(f"sqlite:///{file}")
    with closing(trader.store):
        trader.sessions.append(SESSION)
        trader.commit(run_started(), *bought(1, 10000))
        trader.play_again()
        trader.buy()

    assert of_the_day(recalled(file)) == of_the_day(trader.ledger)
    assert [trade.trade_id for trade in recalled(file).open_trades] == ["20260617-001", "20260617-002"]


def test_a_session_that_carries_other_trades_than_those_that_are_open_is_refused_and_nothing_changes() -> None:
    story = Story()
    story.tell("09:14", run_started(), *bought(1, 10000))
    before = picture(story.ledger)

    for carried in ((), (Carried("20260617-002", 7),), (Carried("20260617-001", 7), Carried("20260617-002", 7))):
        row = msgspec.structs.replace(run_started(NEXT), inherits=Inherited(carried=carried))
        with pytest.raises(HaltError, match="expected those that are open"):
            Ledger().fold(story.journal.entries).fold(story.journal.append(at("09:14"), NEXT, [row]))
        story.journal.entries.pop()

    assert picture(story.ledger) == before


def test_a_trade_is_not_folded_from_rows_that_begin_in_its_middle() -> None:
    story = Story()
    story.tell("09:14", run_started(), *bought(1, 10000))

    with pytest.raises(HaltError, match="row 3 is of a trade that was never opened"):
        trade_from(story.journal.entries[2:])
    with pytest.raises(HaltError, match="no row of a trade"):
        trade_from([])


def test_of_the_requests_that_were_met_the_newest_are_inherited(trader, file) -> None:
    for _ in range(60):
        trader.ask()
    trader.next_day()

    assert list(recalled(file).requests) == [f"request {number}" for number in range(11, 61)]


def test_a_long_past_is_not_read(carried, file, monkeypatch) -> None:
    read: list[int] = []
    batches = JournalReader._batches

    def watched(self, query, after, batch_size):
        for batch in batches(self, query, after, batch_size):
            read.extend(row[0] for row in batch)
            yield batch

    monkeypatch.setattr(JournalReader, "_batches", watched)
    recalled(file)

    assert min(read) == 27


def test_a_chain_written_anew_after_a_lost_row_is_still_one_row_short(carried, file) -> None:
    with closing(sqlite3.connect(file)) as connection:
        columns = connection.execute(
            "SELECT seq, at, session, trade_id, kind, body FROM events WHERE seq = 21"
        ).fetchone()
        (head,) = connection.execute("SELECT hash FROM events WHERE seq = 19").fetchone()
    forge(file, "DELETE FROM events WHERE seq = 20")
    forge(file, "UPDATE events SET seq = 20, hash = ? WHERE seq = 21", row_hash(head, (20, *columns[1:])))

    with pytest.raises(VerificationError, match="trade 20260617-002 has 6 rows"):
        recalled(file)
