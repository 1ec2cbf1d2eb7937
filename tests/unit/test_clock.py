"""Clocks: virtual time costs nothing and never goes back; a wake ends a real wait from anywhere."""

from __future__ import annotations

import os
import signal
import threading
import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm_trader.core.clock import Clock
from fsm_trader.ops.clock import LEAST_JUMP, ScaledClock, SystemClock, VirtualClock

INDIA = ZoneInfo("Asia/Kolkata")
START = datetime(2026, 6, 17, 9, 15, tzinfo=INDIA)
LONG = timedelta(seconds=30)
BOUND_S = 10.0


@pytest.fixture
def system():
    clock = SystemClock(INDIA)
    yield clock
    clock.close()


def took_s(action) -> float:
    before = time.monotonic()
    action()
    return time.monotonic() - before


def test_every_clock_is_a_clock(system):
    clocks: list[Clock] = [system, VirtualClock(START), ScaledClock(START, 2.0)]

    assert [clock.is_virtual for clock in clocks] == [False, True, True]


def test_virtual_time_moves_only_when_someone_waits():
    clock = VirtualClock(START)
    seen = [clock.now(), clock.now()]

    clock.sleep(1.5)
    seen.append(clock.now())
    clock.wait_until(START + timedelta(hours=6))
    seen.append(clock.now())

    assert seen == [START, START, START + timedelta(seconds=1.5), START + timedelta(hours=6)]


def test_a_virtual_wait_for_the_past_returns_at_once_and_changes_nothing():
    told = []
    clock = VirtualClock(START, told.append)

    clock.wait_until(START - LONG)
    clock.wait_until(START)
    clock.sleep(0)
    clock.sleep(-5)

    assert clock.now() == START
    assert told == []


def test_each_virtual_move_is_told_after_it_was_made():
    told = []
    clock = VirtualClock(START, lambda now: told.append((now, clock.now())))

    clock.sleep(1)
    clock.wait_until(START + LONG)

    assert told == [(START + timedelta(seconds=1),) * 2, (START + LONG,) * 2]


def test_virtual_time_keeps_its_zone_when_asked_to_wait_for_another_zones_moment():
    clock = VirtualClock(START)

    clock.wait_until(datetime(2026, 6, 17, 4, 0, tzinfo=UTC))

    assert clock.now().isoformat() == "2026-06-17T09:30:00+05:30"
    assert clock.now().tzinfo is INDIA


@given(st.lists(st.tuples(st.booleans(), st.integers(-3600, 3600)), max_size=20))
def test_virtual_time_never_goes_back(moves):
    clock = VirtualClock(START)

    for is_sleep, seconds in moves:
        before = clock.now()
        if is_sleep:
            clock.sleep(seconds)
        else:
            clock.wait_until(START + timedelta(seconds=seconds))
        assert clock.now() >= before


@pytest.mark.parametrize("make", [VirtualClock, lambda start: ScaledClock(start, 1.0)])
def test_a_naive_start_is_refused(make):
    with pytest.raises(ValueError, match="no time zone"):
        make(datetime(2026, 6, 17, 9, 15))


@pytest.mark.parametrize("speed", [0.0, -1.0, float("inf"), float("nan")])
def test_a_speed_that_is_not_above_zero_and_finite_is_refused(speed):
    with pytest.raises(ValueError, match="speed"):
        ScaledClock(START, speed)


def test_the_system_clock_shows_the_present_in_its_zone(system):
    before = datetime.now(UTC)  # noqa: TID251 - the clock under test is compared with the machine's.
    shown = system.now()
    after = datetime.now(UTC)  # noqa: TID251 - the clock under test is compared with the machine's.

    assert before <= shown <= after
    assert shown.tzinfo is INDIA


def test_a_system_wait_ends_at_its_moment_and_not_before(system):
    moment = system.now() + timedelta(milliseconds=30)

    system.wait_until(moment)

    assert system.now() >= moment


def test_a_system_wait_for_the_past_returns_at_once(system):
    assert took_s(lambda: system.wait_until(system.now() - LONG)) < 1.0


def test_a_wake_that_came_before_ends_the_next_wait_and_only_that(system):
    system.wake()
    system.wake()

    first_s = took_s(lambda: system.wait_until(system.now() + LONG))
    moment = system.now() + timedelta(milliseconds=30)
    system.wait_until(moment)

    assert first_s < BOUND_S
    assert system.now() >= moment


def test_a_wake_from_another_thread_ends_a_wait(system):
    waker = threading.Timer(0.05, system.wake)
    waker.start()

    lasted_s = took_s(lambda: system.wait_until(system.now() + LONG))

    waker.join()
    assert lasted_s < BOUND_S


def test_a_wake_from_a_signal_handler_ends_a_wait(system):
    before = signal.signal(signal.SIGUSR1, lambda *_: system.wake())
    sender = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
    try:
        sender.start()
        lasted_s = took_s(lambda: system.wait_until(system.now() + LONG))
        sender.join()
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert lasted_s < BOUND_S


def test_more_wakes_than_a_pipe_holds_neither_block_nor_fail(system):
    def wake_often() -> None:
        for _ in range(70_000):
            system.wake()

    assert took_s(wake_often) < BOUND_S
    assert took_s(lambda: system.wait_until(system.now() + LONG)) < BOUND_S


def test_a_wake_does_not_shorten_a_sleep(system):
    system.wake()

    assert took_s(lambda: system.sleep(0.03)) >= 0.03


def test_a_closed_clock_takes_wakes_and_still_waits_its_time():
    clock = SystemClock(INDIA)
    clock.close()
    clock.close()

    clock.wake()
    moment = clock.now() + timedelta(milliseconds=20)
    clock.wait_until(moment)

    assert clock.now() >= moment


def test_scaled_time_passes_faster_than_real_time_by_its_speed():
    told = []
    clock = ScaledClock(START, 3600.0, told.append)
    try:
        lasted_s = took_s(lambda: clock.wait_until(START + timedelta(minutes=3)))
    finally:
        clock.close()

    assert 0.04 <= lasted_s < BOUND_S
    assert told[0] >= START + timedelta(minutes=3)
    assert clock.now() >= told[0]


def test_a_wake_ends_a_scaled_wait():
    clock = ScaledClock(START, 1.0)
    clock.wake()
    try:
        assert took_s(lambda: clock.wait_until(START + LONG)) < BOUND_S
    finally:
        clock.close()


def test_a_scaled_sleep_lets_its_own_time_pass():
    clock = ScaledClock(START, 600.0)
    before = clock.now()
    clock.sleep(12)

    assert clock.now() - before >= timedelta(seconds=12)
    clock.close()


class Machine:
    """A machine whose wall clock is set by hand, while its seconds go on."""

    def __init__(self) -> None:
        self.seconds = 100.0
        self.set_by = timedelta(0)

    def wall(self):
        return self.time().timestamp()

    def time(self):
        return START + timedelta(seconds=self.seconds - 100.0) + self.set_by

    def passes(self, seconds: float, *, by: timedelta = timedelta(0)) -> None:
        self.seconds += seconds
        self.set_by += by


@pytest.fixture
def machine():
    return Machine()


@pytest.fixture
def settable(machine):
    clock = SystemClock(INDIA, wall=machine.wall, seconds=lambda: machine.seconds)
    yield clock
    clock.close()


HOUR = timedelta(hours=1)


def test_a_wall_clock_set_back_lets_no_time_stand_still_or_come_twice(machine, settable):
    machine.passes(5, by=-HOUR)
    shown = [settable.now()]
    for _ in range(3):
        machine.passes(20)
        shown.append(settable.now())

    assert shown == [START + timedelta(seconds=5 + 20 * number) for number in range(4)]
    assert (settable.take_jump(), settable.take_jump()) == (-HOUR, timedelta(0))


def test_a_wall_clock_set_ahead_is_followed_and_told_once(machine, settable):
    machine.passes(5, by=HOUR)

    assert settable.now() == START + HOUR + timedelta(seconds=5)
    assert (settable.take_jump(), settable.take_jump()) == (HOUR, timedelta(0))
    machine.passes(5)
    assert settable.now() == START + HOUR + timedelta(seconds=10)
    assert settable.take_jump() == timedelta(0)


def test_a_wall_clock_that_is_right_again_is_followed_and_that_is_no_jump(machine, settable):
    machine.passes(5, by=-HOUR)
    settable.now()
    settable.take_jump()
    machine.passes(5, by=HOUR)

    assert settable.now() == START + timedelta(seconds=10)
    assert settable.take_jump() == timedelta(0)


def test_a_wall_clock_that_is_set_back_and_then_too_far_ahead_is_followed_and_told(machine, settable):
    machine.passes(5, by=-HOUR)
    settable.now()
    settable.take_jump()
    machine.passes(5, by=2 * HOUR)

    assert settable.now() == START + HOUR + timedelta(seconds=10)
    assert settable.take_jump() == HOUR


def test_two_steps_before_anyone_asks_are_both_told(machine, settable):
    machine.passes(1, by=HOUR)
    settable.now()
    machine.passes(1, by=-2 * HOUR)

    assert settable.now() == START + HOUR + timedelta(seconds=2)
    assert settable.take_jump() == -HOUR


def test_an_hour_that_a_zone_has_twice_is_no_jump():
    machine = Machine()
    # On 25 October 2026 London's clocks go back at one in the morning, universal time.
    before = datetime(2026, 10, 25, 0, 59, 50, tzinfo=UTC)
    london = ZoneInfo("Europe/London")
    clock = SystemClock(
        london, wall=lambda: before.timestamp() + machine.seconds - 100, seconds=lambda: machine.seconds
    )
    machine.passes(20)
    shown = clock.now()
    clock.close()

    assert shown.astimezone(UTC) == before + timedelta(seconds=20)
    assert (shown.hour, shown.tzinfo) == (1, london)
    assert clock.take_jump() == timedelta(0)


def test_a_clock_that_is_slewed_never_goes_back_and_soon_agrees(machine, settable):
    machine.passes(1, by=timedelta(seconds=-1.5))
    before = settable.now()
    machine.passes(1)
    after = settable.now()

    assert before == START
    assert after == machine.time() == START + timedelta(seconds=0.5)
    assert settable.take_jump() == timedelta(0)


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(-7200, 7200)), max_size=20))
def test_whatever_is_done_to_the_wall_clock_time_goes_on_by_the_seconds_at_least_but_for_a_slew(steps):
    machine = Machine()
    clock = SystemClock(INDIA, wall=machine.wall, seconds=lambda: machine.seconds)
    try:
        before = clock.now()
        for seconds, by in steps:
            machine.passes(seconds, by=timedelta(seconds=by))
            shown = clock.now()
            assert shown >= before
            assert shown >= before + timedelta(seconds=seconds) - LEAST_JUMP
            assert shown >= machine.time()
            before = shown
    finally:
        clock.close()
