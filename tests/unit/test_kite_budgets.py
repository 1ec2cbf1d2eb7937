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
    assert (limits.quotes_per_second, limits.historical_per_second) == (1, 3)
    assert limits.others_per_second < 10


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
    budgets.too_many(of_orders=False, retry_after_s=20)

    with pytest.raises(UnavailableError, match=r"20\.0 s"):
        budgets.take_read("other")

    assert clock.now() == NINE


def test_the_days_last_requests_are_kept_for_exits_and_the_next_day_is_new():
    clock = virtual_clock()
    budgets = Budgets(clock, LIMITS, orders_today=30)

    with pytest.raises(RefusedError) as refused:
        budgets.take_entry()
    for _ in range(10):
        budgets.take_exit()
        clock.sleep(60)
    with pytest.raises(RefusedError, match="by hand"):
        budgets.take_exit()
    clock.sleep(24 * 3600)
    budgets.take_entry()

    assert not refused.value.may_pass
    assert budgets.orders_today == 1


def test_a_429_to_a_read_pauses_reads_only():
    clock = virtual_clock()
    budgets = Budgets(clock, LIMITS)
    budgets.too_many(of_orders=False)

    budgets.take_entry()
    budgets.take_exit()
    assert clock.now() == NINE
    budgets.take_read("quote")
    assert clock.now() == NINE + SECOND


def test_a_429_to_an_order_pauses_reads_and_entries_longer_than_exits():
    clock = virtual_clock()
    budgets = Budgets(clock, LIMITS)
    for _ in range(3):
        budgets.too_many(of_orders=True)

    with pytest.raises(RefusedError, match=r"4\.0 s"):
        budgets.take_entry()
    budgets.take_exit()
    assert clock.now() == NINE + SECOND
    budgets.take_read("other")
    assert clock.now() == NINE + 4 * SECOND


def test_pauses_grow_while_the_answer_stays_429_up_to_half_a_minute_and_are_forgotten():
    clock = virtual_clock()
    budgets = Budgets(clock, Limits(longest_wait=60 * SECOND))
    waits = []
    for _ in range(7):
        budgets.too_many(of_orders=False)
        before = clock.now()
        budgets.take_read("other")
        waits.append((clock.now() - before).total_seconds())
    clock.sleep(180)
    budgets.too_many(of_orders=False)
    before = clock.now()
    budgets.take_read("other")

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
    budgets.too_many(of_orders=True)
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
