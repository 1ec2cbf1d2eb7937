"""A trade is open when the process ends, and the next start is on the next trading day: it is over, and never sold."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import date

import pytest

from fsm_trader.broker.paper.book import PaperBook
from fsm_trader.core.ledger import Ledger
from fsm_trader.core.orders import Role
from fsm_trader.core.records import AlarmRaised, Entry, OrderIntended, RunStopped, SoldOutside
from fsm_trader.core.tags import read_tag
from fsm_trader.core.trades import Trade

from . import brief_day
from .conftest import Desk, ended
from .nursery import Nursery
from .test_kill_anywhere import KILLED, STATES

NEXT_DAY = "2026-06-18"
STALE = "20260617-001"
BOUGHT = "SELECT 1 FROM transitions WHERE dest = 'ACTIVE'"


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
def brief(desk: Desk) -> Desk:
    brief_day.prepare(desk, days=(brief_day.DAY, NEXT_DAY))
    return desk


def the_night_passes(desk: Desk) -> None:
    """Let the broker end its day without us: what was MIS it squares off, and none of it is in the next day's book."""
    with PaperBook(desk.folder / "var" / "paper.db") as book:
        assert book.world is not None
        assert not book.world.finished
        book.finish(book.world.now.replace(hour=23, minute=59))


def sent_on(desk: Desk, day: str) -> list[str]:
    """Tags of what reached the broker in the newest play, which is of *day*."""
    with PaperBook(desk.folder / "var" / "paper.db") as book:
        assert book.world is not None
        assert (book.world.day, book.world.finished) == (date.fromisoformat(day), True)
        return [order.request.tag for order in book.load().orders]


def assert_over_without_an_order(desk: Desk, before: list[Entry], *, session: str = NEXT_DAY) -> Trade:
    """Yesterday's trade is over, said so, and nothing was sent for it; the new day was traded as any other."""
    after = desk.entries()
    assert after[: len(before)] == before
    rows = [entry for entry in after[len(before) :] if getattr(entry.record, "trade_id", None) == STALE]
    assert {entry.session for entry in rows} == {session}
    assert not any(isinstance(entry.record, OrderIntended) for entry in rows)
    (alarm,) = [entry.record.text for entry in rows if isinstance(entry.record, AlarmRaised)]
    assert f"{STALE} was left" in alarm
    assert "no order is sent" in alarm
    ledger = Ledger().fold(after)
    assert (ledger.session, ledger.state, ledger.open_trades) == (session, "CLOSED", [])
    own = ledger.session_trades
    assert [trade.exit_reason for trade in own] == ["strategy_exit", "stop_loss", "target", "square_off"]
    numbers = {parts.trade_number for tag in sent_on(desk, session[:10]) if (parts := read_tag(tag)) is not None}
    assert numbers == {trade.number for trade in own}
    return ledger.trades[STALE]


def test_a_process_told_to_stop_with_a_trade_open_and_started_on_the_next_day(brief: Desk, nursery: Nursery):
    brief.set_speed("400")
    process = brief.start()
    brief.wait_for(process, BOUGHT)
    process.send_signal(signal.SIGTERM)
    assert ended(process) == 3
    before = brief.entries()
    assert before[-1].record == RunStopped(3, "SIGTERM", (STALE,))
    the_night_passes(brief)
    brief.set_speed("max")

    assert nursery.run(brief.folder) == 0

    left = assert_over_without_an_order(brief, before)
    assert (left.state, left.reason, left.gross_paise()) == ("CLOSED", "day_passed", 0)
    (gone,) = [entry.record for entry in brief.entries() if isinstance(entry.record, SoldOutside)]
    assert (gone.trade_id, gone.quantity, gone.value_paise) == (STALE, 130, None)


@pytest.mark.parametrize("state", STATES)
def test_a_process_killed_in_a_state_and_started_on_the_next_day(brief: Desk, nursery: Nursery, state):
    assert nursery.run(brief.folder, **STATES[state]) == KILLED
    before = brief.entries()
    the_night_passes(brief)

    assert nursery.run(brief.folder) == 0

    left = assert_over_without_an_order(brief, before)
    # Of an entry nobody heard of any more only that is known; held was what was seen filled.
    assert (left.state, left.reason) == ("FAILED" if state == "PENDING_ENTRY" else "CLOSED", "day_passed")
    assert left.filled(Role.EXIT) == 0


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_process_killed_again_while_it_settles_what_yesterday_left(brief: Desk, nursery: Nursery, nth):
    assert nursery.run(brief.folder, **STATES["PENDING_EXIT"]) == KILLED
    the_night_passes(brief)
    assert nursery.run(brief.folder, commit=True, nth=nth, moment="after") == KILLED

    assert nursery.run(brief.folder) == 0

    ledger = Ledger().fold(brief.entries())
    assert (ledger.trades[STALE].state, ledger.trades[STALE].reason) == ("CLOSED", "day_passed")
    assert len(ledger.session_trades) == brief_day.TRADES
    assert len(sent_on(brief, NEXT_DAY)) == 2 * brief_day.TRADES


def test_a_position_that_could_not_be_left_by_the_close_does_not_hold_up_the_next_day(brief: Desk, nursery: Nursery):
    brief.edit("entry_timeout: 20s", "entry_timeout: 20s\n  exit_timeout: 5m")
    assert nursery.run(brief.folder, **STATES["ACTIVE"]) == KILLED
    # Every exit is refused until the market closes.
    assert nursery.run(brief.folder, faults=[["refuse", "place", "FT??????001X*", 9999]]) == 3
    before = brief.entries()
    assert before[-1].record.reason == "the market closed with a position open"

    assert nursery.run(brief.folder) == 0

    assert assert_over_without_an_order(brief, before).reason == "day_passed"


def test_a_recorded_day_that_is_played_again_is_another_day_too(desk: Desk, nursery: Nursery):
    brief_day.prepare(desk)
    assert nursery.run(desk.folder, **STATES["ACTIVE"]) == KILLED
    before = desk.entries()
    the_night_passes(desk)

    assert nursery.run(desk.folder) == 0

    assert assert_over_without_an_order(desk, before, session="2026-06-17.2").reason == "day_passed"


def test_a_position_the_paper_broker_does_not_carry_over_is_seen_to_be_gone(brief: Desk, nursery: Nursery):
    brief.edit("  kind: paper", "  kind: paper\n  product: NRML")
    assert nursery.run(brief.folder, **STATES["ACTIVE"]) == KILLED
    the_night_passes(brief)

    assert nursery.run(brief.folder) == 0

    ledger = Ledger().fold(brief.entries())
    assert (ledger.trades[STALE].state, ledger.trades[STALE].reason) == ("CLOSED", "closed_outside")
    assert not any(tag[8:11] == "001" and tag[2:8] == "260617" for tag in sent_on(brief, NEXT_DAY))


def test_while_no_process_runs_it_is_never_midnight_for_the_paper_broker(brief: Desk, nursery: Nursery):
    assert nursery.run(brief.folder, **STATES["ACTIVE"]) == KILLED

    assert nursery.run(brief.folder) == 0

    ledger = Ledger().fold(brief.entries())
    assert ledger.session == brief_day.DAY
    assert [trade.state for trade in ledger.session_trades] == ["CLOSED"] * brief_day.TRADES


def test_without_the_book_a_trade_was_left_in_nothing_is_started(brief: Desk, nursery: Nursery):
    assert nursery.run(brief.folder, **STATES["ACTIVE"]) == KILLED
    before = brief.entries()
    for file in (brief.folder / "var").glob("paper.db*"):
        file.unlink()

    assert nursery.run(brief.folder) == 2

    assert "expected the book they were traded in" in (brief.folder / "stderr").read_text(encoding="utf-8")
    assert brief.entries() == before
