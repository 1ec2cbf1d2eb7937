"""An alarm that lasts is told further and further apart, and what it may mean is said with it."""

from __future__ import annotations

from datetime import datetime
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm_trader.core.records import AlarmRaised, Entry, Record, TradeMoved
from fsm_trader.engine.tell import NoticeObserver
from fsm_trader.kite.tokens import INDIA
from fsm_trader.notify.protocol import Notice
from fsm_trader.notify.spacing import Spacing

AT = datetime(2026, 6, 17, 10, 0, tzinfo=INDIA)
TOLD = [1, 2, 3, 5, 8, 13, 21, 34, 55, 89]


class Heard:
    """Keeps the notices of an observer whose trade T1 is in a state."""

    def __init__(self, state: str) -> None:
        self.notices: list[Notice] = []
        self.ledger = SimpleNamespace(trades={"T1": SimpleNamespace(state=state)})
        self._observer = NoticeObserver(self, underlying="NIFTY 50")

    def tell(self, notice: Notice) -> None:
        self.notices.append(notice)

    def close(self, timeout_s: float) -> None:
        """Nothing waits here."""

    def of(self, *records: Record) -> list[str]:
        self.notices.clear()
        entries = [Entry(number, AT, "2026-06-17", record) for number, record in enumerate(records, start=1)]
        self._observer.committed(entries, self.ledger)
        return [notice.text for notice in self.notices]


def alarm(level: int, trade_id: str | None = "T1") -> AlarmRaised:
    return AlarmRaised("entry unclear", trade_id, level)


@pytest.mark.parametrize("state", ["PENDING_ENTRY", "PENDING_EXIT"])
def test_an_alarm_of_a_trade_that_is_raised_all_day_is_told_at_growing_distances(state):
    heard = Heard(state)

    texts = heard.of(*(alarm(level) for level in range(1, 101)))

    assert [int(text.split(")")[0].removeprefix("ALARM (level ")) for text in texts] == TOLD
    assert all(notice.critical for notice in heard.notices)


def test_an_alarm_in_a_new_state_is_told_at_once_and_so_is_another_that_is_no_louder():
    heard = Heard("PENDING_EXIT")
    heard.of(*(alarm(level) for level in range(1, 7)))

    quiet, other = heard.of(alarm(7)), heard.of(alarm(1))
    anew = heard.of(TradeMoved("T1", "check", "ACTIVE", "PENDING_EXIT"), alarm(4))

    assert (len(quiet), len(other), len(anew)) == (0, 1, 1)


def test_a_step_that_keeps_the_state_begins_nothing_anew():
    heard = Heard("PENDING_EXIT")
    heard.of(*(alarm(level) for level in range(1, 7)))

    assert heard.of(TradeMoved("T1", "exit_overdue", "PENDING_EXIT", "PENDING_EXIT"), alarm(7)) == []


def test_an_alarm_of_no_trade_is_told_each_time():
    assert len(Heard("ACTIVE").of(*(alarm(level, None) for level in (9, 9, 4, 7)))) == 4


def test_while_an_entry_is_unclear_the_alarm_says_that_a_position_may_be_held_without_a_stop():
    (unclear,) = Heard("PENDING_ENTRY").of(alarm(1))
    (leaving,) = Heard("PENDING_EXIT").of(alarm(1))

    assert unclear.endswith("\nA position may be held WITHOUT A STOP. Look at the account.")
    assert "WITHOUT A STOP" not in leaving


@given(st.lists(st.integers(1, 200), min_size=1, max_size=30, unique=True).map(sorted))
def test_whatever_levels_are_left_out_the_loudest_is_never_twice_as_loud_as_what_was_told(levels):
    spacing = Spacing()

    told = [level for level in levels if spacing.is_due("T1", level)]

    assert told[0] == levels[0]
    assert levels[-1] < 2 * told[-1]
