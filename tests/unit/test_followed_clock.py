"""A clock that follows another one's time never goes back, runs as fast as that does, and can be woken."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm_trader.core.clock import Clock
from fsm_trader.ops.followed import FollowedClock

INDIA = ZoneInfo("Asia/Kolkata")
START = datetime(2026, 6, 17, 9, 15, tzinfo=INDIA)
ENOUGH_S = 20.0


class Hand:
    """Real seconds in our hand."""

    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def clock(hand):
    made = FollowedClock(START, 60.0, seconds=hand)
    yield made
    made.close()


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def test_it_is_a_clock_that_others_live_in(clock):
    made: Clock = clock

    assert not made.is_virtual


def test_it_runs_at_its_speed_and_goes_on_from_what_it_is_told(clock, hand):
    hand.s += 2
    before = clock.now()
    clock.follow(at(10), 30.0)
    hand.s += 2

    assert before == at(2)
    assert (clock.now(), clock.speed) == (at(11), 30.0)


def test_a_time_set_back_is_waited_for(clock, hand):
    hand.s += 5
    seen = [clock.now()]
    clock.follow(at(1), 60.0)
    seen.append(clock.now())
    hand.s += 3
    seen.append(clock.now())
    behind = clock.followed
    hand.s += 2
    seen.append(clock.now())

    assert seen == [at(5), at(5), at(5), at(6)]
    assert behind == at(4)


def test_it_keeps_the_zone_it_began_with(clock, hand):
    clock.follow(at(3).astimezone(ZoneInfo("UTC")), 1.0)

    assert clock.now().tzinfo is INDIA
    assert f"{clock.now():%H:%M}" == "09:18"


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan")])
def test_a_speed_that_is_none_is_refused_and_changes_nothing(clock, speed):
    with pytest.raises(ValueError, match="expected a number above zero"):
        clock.follow(at(9), speed)

    assert (clock.now(), clock.speed) == (START, 60.0)


def test_a_start_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="has no time zone"):
        FollowedClock(datetime(2026, 6, 17))


def test_a_wait_ends_at_its_moment_and_a_sleep_takes_its_time():
    clock = FollowedClock(START, 6000.0)
    began_s = time.monotonic()

    clock.wait_until(at(5))
    clock.sleep(300.0)

    took_s = time.monotonic() - began_s
    assert clock.now() >= at(10)
    assert 0.1 <= took_s < ENOUGH_S
    clock.close()


@pytest.mark.parametrize("how", ["wake", "follow"])
def test_a_wait_is_ended_from_another_thread(clock, how):
    ends = {"wake": clock.wake, "follow": lambda: clock.follow(at(600), 60.0)}
    threading.Timer(0.05, ends[how]).start()
    began_s = time.monotonic()

    clock.wait_until(at(100_000 if how == "wake" else 500))

    assert time.monotonic() - began_s < ENOUGH_S


@given(st.lists(st.tuples(st.floats(0, 10), st.none() | st.integers(-30, 30), st.floats(0.5, 900)), max_size=30))
def test_whatever_it_is_told_it_never_goes_back(steps):
    hand = Hand()
    clock = FollowedClock(START, seconds=hand)
    shown = [clock.now()]
    for passed_s, minutes, speed in steps:
        hand.s += passed_s
        if minutes is not None:
            clock.follow(at(minutes), speed)
        shown.append(clock.now())
    clock.close()

    assert shown == sorted(shown)
