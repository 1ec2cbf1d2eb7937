"""On a clock that others live by, observers are told a moment after a commit: an order does not wait for them."""

from __future__ import annotations

from datetime import datetime
from statistics import median

import pytest

from fsm_trader.core.ledger import Ledger
from fsm_trader.core.records import AlarmRaised, Entry, OrderAnswered, OrderIntended, RunStarted
from fsm_trader.errors import HaltError

from .bench import BUY, Bench, BenchClock

IN = {"09:30": BUY}


class Listener:
    """Notes each row with the time it was told at, and how many orders the broker had by then."""

    def __init__(self) -> None:
        self.day: Bench | None = None
        self.told: list[tuple[Entry, datetime, int]] = []

    def committed(self, entries: tuple[Entry, ...], ledger: Ledger) -> None:
        assert self.day is not None
        assert ledger.seq >= entries[-1].seq
        now, orders = self.day.clock.now(), len(self.day.broker.truth.orders)
        self.told += [(entry, now, orders) for entry in entries]

    def passed(self, now: datetime) -> None:
        """Time alone is no news."""


@pytest.fixture
def listener(bench, monkeypatch):
    """Watch a day with one trade on a clock that is not virtual."""
    monkeypatch.setattr(BenchClock, "is_virtual", False)
    heard = Listener()
    heard.day = bench(IN)
    # Alone: the oracles hold the ledger of each row against the journal, and here it may be ahead.
    heard.day.floor._observers = (heard,)
    return heard


def test_every_row_is_told_once_in_order_and_a_moment_after_its_commit(listener):
    listener.day.run()

    told = [entry.seq for entry, _, _ in listener.told]
    assert told == [entry.seq for entry in listener.day.entries]
    # A few more: on this bench a call that is tried again holds the loop up.
    late = [(at - entry.at).total_seconds() for entry, at, _ in listener.told]
    assert median(late) == 0.005


def test_an_order_is_on_its_way_before_anybody_is_told_of_its_intent(listener):
    listener.day.run()

    first = next(orders for entry, _, orders in listener.told if isinstance(entry.record, OrderIntended))
    assert first == 1


def test_what_was_committed_last_is_told_when_the_loop_ends_by_a_failing_journal(listener, monkeypatch):
    day = listener.day
    append = day.journal.append

    def failing(when, session, records):
        if isinstance(records[0], OrderAnswered):
            raise HaltError("the disk is gone")
        return append(when, session, records)

    monkeypatch.setattr(day.journal, "append", failing)

    with pytest.raises(HaltError):
        day.run()

    assert [entry.seq for entry, _, _ in listener.told] == [entry.seq for entry in day.entries]


def test_outside_the_loop_a_row_is_told_at_once(listener):
    listener.day.begin()
    listener.day.floor.commit(AlarmRaised("look"))

    assert [type(entry.record) for entry, _, _ in listener.told] == [RunStarted, AlarmRaised]
    assert not listener.day.floor.has_untold
