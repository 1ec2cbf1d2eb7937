"""What a service manager is told, and that a sign of life is given only while candles, broker and journal are fresh."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from fsm_trader.app.service import ServiceObserver, stop_timeout_s, written_folders
from fsm_trader.core.candles import Candle
from fsm_trader.core.money import Paise
from fsm_trader.core.records import CandlesSeen, HealthSeen, LevelsSet, OperatorAsked, SessionMoved
from fsm_trader.core.status import one_line
from fsm_trader.errors import HaltError
from fsm_trader.journal.read import JournalReader
from fsm_trader.journal.store import JournalStore
from fsm_trader.ops.systemd import ServiceSocket

from .rows import CONTRACT, SESSION, Story, at, bought, run_started, settings, sold, trading

BEAT_S = 10.0


class Desk:
    """An observer on a bench: a real socket, a story, and real seconds that a test moves on."""

    def __init__(self, folder: Path, end: socket.socket, address: str) -> None:
        self.end = end
        self.story = Story()
        self.story.tell("09:14", run_started())
        self.real_s = 0.0
        self.checks = 0
        self.journal_fault = ""
        self.floor = SimpleNamespace(
            ledger=self.story.ledger, settings=settings(folder), broker_heard_at=None, logged_out=False
        )
        usec = str(int(3 * BEAT_S * 1_000_000))
        self.manager = ServiceSocket({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": usec})
        self.observer = ServiceObserver(self.manager, self.floor, check_journal=self.check, now_s=lambda: self.real_s)

    def check(self, _at) -> None:
        self.checks += 1
        if self.journal_fault:
            raise HaltError(self.journal_fault)

    def tell(self, clock: str, *records) -> None:
        self.story.tell(clock, *records)
        self.observer.committed((), self.story.ledger)

    def candle(self, ends: str) -> CandlesSeen:
        paise, token = Paise(2_440_000), self.floor.settings.market.underlying.token
        return CandlesSeen((Candle(token, at(ends) - timedelta(minutes=1), paise, paise, paise, paise),))

    def turn(self, clock: str, *, real_s: float = BEAT_S) -> str:
        """Let real time pass, turn the loop once, and return all that was said."""
        self.real_s += real_s
        self.observer.passed(at(clock))
        return self.said()

    def said(self) -> str:
        said: list[str] = []
        while True:
            try:
                said.append(self.end.recv(4096).decode())
            except BlockingIOError:
                return "\n".join(said)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(f"{folder}/notify")
        end.setblocking(False)
        desk = Desk(tmp_path, end, f"{folder}/notify")
        yield desk
        desk.manager.close()


@pytest.fixture
def watching(desk: Desk) -> Desk:
    """A session that trades since 09:30, with everything fresh."""
    desk.tell("09:30", trading(), desk.candle("09:30"))
    desk.floor.broker_heard_at = at("09:30")
    desk.turn("09:30", real_s=0)
    return desk


def test_ready_is_said_once_with_the_first_turn_of_the_loop(desk: Desk) -> None:
    desk.tell("09:14", HealthSeen())
    before = desk.said()

    first, second = desk.turn("09:14", real_s=0), desk.turn("09:14", real_s=0)

    assert (before, first, second) == ("", "READY=1\nSTATUS=WAITING; no trade is open", "")


def test_a_status_is_told_when_it_changes_and_at_most_once_a_second(watching: Desk) -> None:
    watching.real_s += 5
    watching.tell("09:31", *bought(1, 18880))
    opened = watching.said()
    watching.tell("09:31", LevelsSet("20260617-001", 15105, 24545, None))
    at_once, later = watching.said(), watching.turn("09:31", real_s=1.0)

    assert opened == "STATUS=TRADING; 20260617-001 ACTIVE " + CONTRACT.tradingsymbol + " -29.97 no stop"
    assert at_once == ""
    assert later == "STATUS=TRADING; 20260617-001 ACTIVE " + CONTRACT.tradingsymbol + " -29.97 stop 151.05"
    assert watching.turn("09:31", real_s=1.0) == ""


def test_a_sign_of_life_comes_at_a_third_of_the_time_allowed(watching: Desk) -> None:
    said = [watching.turn("09:30", real_s=BEAT_S / 4) for _ in range(8)]

    assert [place for place, words in enumerate(said) if words == "WATCHDOG=1"] == [3, 7]


def test_before_the_market_is_watched_neither_candles_nor_broker_are_wanted(desk: Desk) -> None:
    assert desk.turn("04:00").startswith("READY=1")
    assert desk.turn("09:14") == "WATCHDOG=1"


def test_stale_candles_end_the_signs_of_life_and_fresh_ones_bring_them_back(watching: Desk) -> None:
    watching.floor.broker_heard_at = at("09:32:30")
    fresh, stale = watching.turn("09:32:30"), watching.turn("09:32:31")
    watching.tell("09:33", watching.candle("09:33"))
    back = watching.turn("09:33")

    assert fresh == "WATCHDOG=1"
    assert stale == "STATUS=TRADING; no trade is open; NOT FRESH: no candle for 151 s"
    assert "WATCHDOG=1" in back
    assert "STATUS=TRADING; no trade is open" in back


def test_where_a_person_must_log_in_a_restart_would_not_help_and_signs_of_life_go_on(watching: Desk) -> None:
    watching.floor.logged_out = True

    logged_out = watching.turn("10:30")
    watching.floor.logged_out = False
    back, later = watching.turn("10:30:30"), watching.turn("10:33:01")

    assert logged_out == "WATCHDOG=1"
    assert back == "WATCHDOG=1"
    assert "NOT FRESH: no candle for 151 s" in later


def test_a_restart_is_given_the_time_a_first_candle_needs(desk: Desk) -> None:
    desk.tell("11:00", trading(), desk.candle("10:00"))
    desk.floor.broker_heard_at = at("11:00")

    said = [desk.turn(clock) for clock in ("11:00", "11:02:30", "11:02:31")]

    assert ["WATCHDOG=1" in words for words in said] == [True, True, False]


def test_while_squaring_off_candles_decide_nothing(watching: Desk) -> None:
    watching.tell("15:10", SessionMoved("clock", "TRADING", "SQUARING_OFF", "square_off"))
    watching.floor.broker_heard_at = at("15:10")

    assert "WATCHDOG=1" in watching.turn("15:10")


def test_a_broker_that_does_not_answer_ends_the_signs_of_life(watching: Desk) -> None:
    limit = timedelta(minutes=2) + 2 * watching.floor.settings.session.health_interval
    last, late = at("09:30") + limit, at("09:30") + limit + timedelta(seconds=1)
    watching.tell("09:30", watching.candle(f"{late:%H:%M:%S}"))

    fresh, stale = watching.turn(f"{last:%H:%M:%S}"), watching.turn(f"{late:%H:%M:%S}")

    assert "WATCHDOG=1" in fresh
    assert "WATCHDOG=1" not in stale
    assert "NOT FRESH: no good answer of the broker for" in stale


def test_a_journal_that_is_quiet_is_checked_and_one_that_was_just_written_is_not(watching: Desk) -> None:
    said = [watching.turn("09:30:10"), watching.turn("09:30:20")]
    checks = watching.checks
    watching.real_s += BEAT_S
    watching.tell("09:30:30", watching.candle("09:30"))
    said.append(watching.turn("09:30:30", real_s=0))

    assert ["WATCHDOG=1" in words for words in said] == [True, True, True]
    assert (checks, watching.checks) == (2, 2)


def test_a_journal_that_cannot_be_written_ends_the_signs_of_life(watching: Desk) -> None:
    watching.journal_fault = "journal: disk is full"
    stale = watching.turn("09:30:10")
    watching.journal_fault = ""
    back = watching.turn("09:30:20")

    assert "WATCHDOG=1" not in stale
    assert "NOT FRESH: journal: disk is full" in stale
    assert "WATCHDOG=1" in back


def test_a_journal_is_proved_writable_without_a_row(tmp_path) -> None:
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    store = JournalStore(url)
    store.append(at("09:14"), SESSION, [run_started()])

    for clock in ("09:15", "09:16"):
        store.check(at(clock))

    assert store.head[0] == 1
    store.close()
    with JournalReader(url) as reader:
        assert (reader.verify().rows, reader.verify().fault) == (1, None)


def test_a_journal_whose_file_was_taken_away_fails_the_check(tmp_path) -> None:
    store = JournalStore(f"sqlite:///{tmp_path / 'journal.db'}")
    (tmp_path / "journal.db").replace(tmp_path / "elsewhere.db")

    with pytest.raises(HaltError):
        store.check(at("09:15"))

    store.close()


def test_one_line_tells_state_halt_result_and_stop() -> None:
    story = Story()
    story.tell("09:14", run_started(), trading())
    idle = one_line(story.ledger)
    story.tell("09:30", *bought(1, 18880), LevelsSet("20260617-001", 15105, None, None))
    paise = Paise(21305)
    story.tell("09:31", CandlesSeen((Candle(CONTRACT.token, at("09:30"), paise, paise, paise, paise),)))
    rising = one_line(story.ledger)
    story.tell("09:32", OperatorAsked("halt"), *sold(1, 21305))

    assert idle == "TRADING; no trade is open"
    assert rising.startswith(f"TRADING; 20260617-001 ACTIVE {CONTRACT.tradingsymbol} +1,")
    assert rising.endswith(" stop 151.05")
    assert one_line(story.ledger) == "TRADING (halted by a person); no trade is open"


def test_a_stop_that_flattens_is_given_the_time_its_exits_may_take(tmp_path) -> None:
    leaves = settings(tmp_path)
    flattens = replace(leaves, session=replace(leaves.session, on_stop="flatten"))
    waits = 3 * leaves.broker.exit_timeout + leaves.broker.settle

    assert stop_timeout_s(leaves) == 30
    assert stop_timeout_s(flattens) == 30 + waits.total_seconds()


def test_the_folders_that_are_written_are_those_of_journal_book_and_log(tmp_path) -> None:
    known = settings(tmp_path)
    apart = replace(
        known,
        journal_url=f"sqlite:///{tmp_path / 'a' / 'journal.db'}",
        broker=replace(known.broker, paper=replace(known.broker.paper, book=tmp_path / "b" / "book.db")),
        log=replace(known.log, file=tmp_path / "a" / "log"),
    )

    assert written_folders(apart) == (tmp_path / "a", tmp_path / "b")
