"""Budgets of Kite requests: never more than allowed in any stretch of time, exits last to wait."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm_trader.errors import RefusedError, UnavailableError
from fsm_trader.kite.budgets import Budgets, Limits
from fsm_trader.ops.clock import VirtualClock

from .kite_wires import NINE, virtual_clock

SECOND = timedelta(seconds=1)
LIMITS = Limits(
    orders_per_second=4,
    kept_per_second=2,
    orders_per_minute=10,
    kept_per_minute=3,
    orders_per_day=40,
    kept_per_day=10,
    others_per_second=3,
    historical_per_second=2,
)


def most_within(times, length) -> int:
    return max((sum(1 for other in times if start <= other < start + length) for start in times), default=0)


def test_kites_own_limits_are_above_every_default():
    limits = Limits()

    assert limits.orders_per_second < 10
    assert limits.orders_per_minute < 400
    assert limits.orders_per_day < 5000
    assert limits.quotes_per_second / (SECOND + limits.margin).total_seconds() < 1
    assert limits.historical_per_second / (SECOND + limits.margin).total_seconds() < 3
    assert limits.others_per_second < 10


def spaced(kind) -> float:
    """How long one more read than Kite allows in a second takes to leave."""
    clock = virtual_clock()
    budgets = Budgets(clock)
    for _ in range({"quote": 2, "historical": 4}[kind]):
        budgets.take_read(kind)
    return (clock.now() - NINE).total_seconds()


@pytest.mark.parametrize("kind", ["quote", "historical"])
def test_quotes_and_candles_keep_a_distance_that_a_slow_network_may_shorten(kind):
    assert spaced(kind) == 1.1


@given(st.lists(st.tuples(st.sampled_from(["quote", "historical", "other"]), st.integers(0, 700)), max_size=60))
def test_no_stretch_of_a_second_holds_more_reads_than_its_class_allows(asked):
    clock = VirtualClock(NINE)
    budgets = Budgets(clock, LIMITS)
    times = {"quote": [], "historical": [], "other": []}
    for kind, wait_ms in asked:
        clock.sleep(wait_ms / 1000)
        budgets.take_read(kind)
        times[kind].append(clock.now())

    allowed = {"quote": 1, "historical": 2, "other": 3}
    assert all(most_within(moments, SECOND) <= allowed[kind] for kind, moments in times.items())


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3000)), max_size=60))
def test_no_stretch_holds_more_orders_than_allowed_and_exits_never_wait_for_entries(asked):
    clock = VirtualClock(NINE)
    budgets = Budgets(clock, LIMITS)
    sent, entries = [], []
    for is_exit, wait_ms in asked:
        clock.sleep(wait_ms / 1000)
        try:
            (budgets.take_exit if is_exit else budgets.take_entry)()
        except RefusedError:
            continue
        sent.append(clock.now())
        if not is_exit:
            entries.append(clock.now())

    assert most_within(sent, SECOND) <= 4
    assert most_within(sent, 60 * SECOND) <= 10
    assert most_within(entries, SECOND) <= 2
    assert most_within(entries, 60 * SECOND) <= 7
    assert len(sent) <= 40
    assert budgets.orders_today == len(sent)


def test_a_look_before_an_exit_does_not_queue_behind_polls():
    clock = virtual_clock()
    budgets = Budgets(clock)
    polls = [threading.Thread(target=budgets.take_read, args=("other",)) for _ in range(20)]
    for poll in polls:
        poll.start()
    for poll in polls:
        poll.join()
    began = clock.now()
    for _ in range(3):
        budgets.take_read("prompt")

    assert clock.now() == began


def test_looks_use_what_polls_leave_and_never_more_than_all():
    clock = virtual_clock()
    budgets = Budgets(clock)
    times = []
    for number in range(24):
        budgets.take_read("prompt" if number % 2 else "other")
        times.append(clock.now())
    alone = Budgets(clock := virtual_clock())
    for _ in range(8):
        alone.take_read("prompt")

    assert most_within(times, SECOND) <= 8
    assert clock.now() == NINE


def test_a_read_in_a_hurry_fails_rather_than_wait_for_its_budget():
    clock = virtual_clock()
    budgets = Budgets(clock)
    budgets.take_read("quote")

    with pytest.raises(UnavailableError, match="at most 1 s"):
        budgets.take_read("quote", SECOND)

    assert clock.now() == NINE


def test_an_entry_does_not_wait_and_an_exit_does():
    clock = virtual_clock()
    budgets = Budgets(clock, LIMITS)
    budgets.take_entry()
    budgets.take_entry()

    with pytest.raises(RefusedError) as refused:
        budgets.take_entry()
    for _ in range(3):
        budgets.take_exit()

    assert refused.value.may_pass
    assert clock.now() - NINE == SECOND


def test_a_wait_that_would_be_too_long_is_none():
    clock = virtual_clock()
    budgets = Budgets(clock, LIMITS)
    for _ in range(10):
        budgets.take_exit()
    before = clock.now()

    with pytest.raises(RefusedError) as refused:
        budgets.take_exit()

    assert refused.value.may_pass
    assert clock.now() == before
    assert budgets.orders_today == 10


def test_a_read_fails_rather_than_wait_for_long():
    clock = virtual_clock()
    budgets = Budgets(clock, LIMITS)
    budgets.too_many("quote", retry_after_s=20)

    with pytest.raises(UnavailableError, match=r"20\.0 s"):
        budgets.take_read("quote")

    assert clock.now() == NINE


def test_the_days_last_requests_are_kept_for_exits_and_the_next_day_is_new():
    clock = virtual_clock()
    budgets = Budgets(clock, LIMITS, orders_today=30)

    with pytest.raises(RefusedError) as refused:
        budgets.take_entry()
    for _ in range(10):
        budgets.take_exit()
        clock.sleep(60)
    clock.sleep(24 * 3600)
    budgets.take_entry()

    assert not refused.value.may_pass
    assert budgets.orders_today == 1


def test_our_own_number_of_a_day_stops_no_exit_and_is_told_once(caplog):
    clock = virtual_clock()
    budgets = Budgets(clock, LIMITS, orders_today=39)
    told = []
    for _ in range(4):
        budgets.take_exit()
        told.append(len(caplog.records))
        clock.sleep(60)

    assert told == [0, 1, 1, 1]
    assert "41 order requests today" in caplog.text
    assert budgets.orders_today == 43
    with pytest.raises(RefusedError):
        budgets.take_entry()


@pytest.mark.parametrize("asked", ["quote", "historical", "other"])
def test_a_429_to_a_read_pauses_reads_of_its_kind_only(asked):
    clock = virtual_clock()
    budgets = Budgets(clock, LIMITS)
    budgets.too_many(asked)

    budgets.take_entry()
    budgets.take_exit()
    for other in {"quote", "historical", "other"} - {asked}:
        budgets.take_read(other)
    assert clock.now() == NINE
    budgets.take_read(asked)
    assert clock.now() == NINE + SECOND


def test_many_429s_of_quotes_leave_the_order_book_in_sight():
    clock = virtual_clock()
    budgets = Budgets(clock, LIMITS)
    for _ in range(4):
        budgets.too_many("quote")

    budgets.take_read("other")
    budgets.take_read("prompt")
    assert clock.now() == NINE


@pytest.mark.parametrize("kind", ["other", "prompt"])
def test_the_order_book_is_never_out_of_sight_for_more_than_two_seconds(kind):
    clock = virtual_clock()
    budgets = Budgets(clock, LIMITS)
    for _ in range(5):
        budgets.too_many("other", retry_after_s=30)

    budgets.take_read(kind)
    assert clock.now() == NINE + 2 * SECOND


def test_a_429_to_an_order_pauses_entries_longer_than_exits_and_no_read():
    clock = virtual_clock()
    budgets = Budgets(clock, LIMITS)
    for _ in range(3):
        budgets.too_many("order")

    budgets.take_read("other")
    assert clock.now() == NINE
    with pytest.raises(RefusedError, match=r"4\.0 s"):
        budgets.take_entry()
    budgets.take_exit()
    assert clock.now() == NINE + SECOND


def test_pauses_grow_while_the_answer_stays_429_up_to_half_a_minute_and_are_forgotten():
    clock = virtual_clock()
    budgets = Budgets(clock, Limits(longest_wait=60 * SECOND))
    waits = []
    for _ in range(7):
        budgets.too_many("quote")
        before = clock.now()
        budgets.take_read("quote")
        waits.append((clock.now() - before).total_seconds())
    clock.sleep(180)
    budgets.too_many("quote")
    before = clock.now()
    budgets.take_read("quote")

    assert waits == [1, 2, 4, 8, 16, 30, 30]
    assert clock.now() - before == SECOND


class _Jumping(VirtualClock):
    def __init__(self) -> None:
        super().__init__(NINE)
        self.back = timedelta(0)

    def now(self):
        return super().now() - self.back


def test_a_wall_clock_that_is_set_back_blocks_nothing():
    clock = _Jumping()
    budgets = Budgets(clock, LIMITS)
    budgets.take_exit()
    budgets.take_read("quote")
    budgets.too_many("order")
    budgets.too_many("quote")
    clock.back = timedelta(hours=1)

    budgets.take_read("quote")
    budgets.take_exit()
    budgets.take_entry()

    assert clock.now() == NINE - timedelta(hours=1)


def test_threads_share_one_budget():
    clock = virtual_clock()
    budgets = Budgets(clock, Limits(orders_per_second=50, kept_per_second=0, orders_per_minute=50, kept_per_minute=0))
    let, lock = [], threading.Lock()

    def ask():
        for _ in range(20):
            try:
                budgets.take_entry()
            except RefusedError:
                continue
            with lock:
                let.append(1)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(let) == 50
