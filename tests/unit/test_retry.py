"""A policy tries again only what is proved not done, as often, as far apart and as long as it says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm_trader.engine import retry
from fsm_trader.engine.retry import Retries
from fsm_trader.errors import (
    HaltError,
    LoginRequiredError,
    OutcomeUnknownError,
    RefusedError,
    TraderError,
    UnavailableError,
)
from fsm_trader.machines.spec import LONGEST_WAIT, PolicySpec
from fsm_trader.ops.clock import VirtualClock

retrying = retry.Retrying
BUSY = RefusedError("too many requests", may_pass=True)
REFUSED = RefusedError("no margin")
UNAVAILABLE = UnavailableError("no answer")


def policy(*on: str, attempts: int = 3, jitter_s: float = 0.0, backoff: int = 1, within_s: float = 0.0) -> PolicySpec:
    return PolicySpec(
        name="place",
        attempts=attempts,
        wait=timedelta(seconds=3),
        jitter=timedelta(seconds=jitter_s),
        on=on,
        backoff=Decimal(backoff),
        within=timedelta(seconds=within_s) if within_s else None,
    )


class Broker:
    """Answers as it is told, one after the other, and counts the calls."""

    def __init__(self, *answers: str | Exception) -> None:
        self.answers = list(answers)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class SleepCounter(VirtualClock):
    """A clock that remembers how long it was slept on."""

    def __init__(self) -> None:
        super().__init__(datetime(2026, 1, 5, 10, 0, tzinfo=UTC))
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        super().sleep(seconds)


def call(policy: PolicySpec, action: Callable[[], str], clock: SleepCounter, key: str = "tag") -> tuple[str, int]:
    return Retries(clock).call(policy, action, key=key)


@pytest.fixture
def clock() -> SleepCounter:
    return SleepCounter()


def test_an_answer_at_once_is_one_call_and_no_wait(clock) -> None:
    assert call(policy("not_done"), Broker("17"), clock) == ("17", 1)
    assert clock.slept == []


def test_what_is_proved_not_done_is_tried_again_after_the_wait(clock) -> None:
    broker = Broker(BUSY, BUSY, "17")

    assert call(policy("not_done"), broker, clock) == ("17", 3)
    assert clock.slept == [3.0, 3.0]


def test_the_number_of_calls_is_bounded_and_the_last_error_is_raised_as_it_was(clock) -> None:
    last = RefusedError("still busy", may_pass=True)
    broker = Broker(BUSY, BUSY, last, "never")

    with pytest.raises(RefusedError) as refused:
        call(policy("not_done"), broker, clock)

    assert refused.value is last
    assert (broker.calls, clock.slept) == (3, [3.0, 3.0])


@pytest.mark.parametrize(
    "error",
    [
        REFUSED,
        OutcomeUnknownError("timed out"),
        HaltError("an invariant is false"),
        TraderError("of no kind"),
        UNAVAILABLE,
        LoginRequiredError("token expired"),
        ValueError("a defect"),
    ],
)
def test_an_order_is_never_repeated_unless_it_is_proved_not_done(error, clock) -> None:
    broker = Broker(error, "never")

    with pytest.raises(type(error)) as raised:
        call(policy("not_done"), broker, clock)

    assert raised.value is error
    assert (broker.calls, clock.slept) == (1, [])


def test_a_read_is_asked_again_when_it_gave_nothing(clock) -> None:
    assert call(policy("unavailable"), Broker(UNAVAILABLE, "book"), clock) == ("book", 2)
    assert clock.slept == [3.0]


@pytest.mark.parametrize(("on", "error"), [((), BUSY), ((), UNAVAILABLE), (("unavailable",), BUSY)])
def test_a_policy_repeats_nothing_it_does_not_name(on: tuple[str, ...], error, clock) -> None:
    broker = Broker(error, "never")

    with pytest.raises(type(error)):
        call(policy(*on), broker, clock)

    assert (broker.calls, clock.slept) == (1, [])


def test_a_policy_of_one_attempt_calls_once(clock) -> None:
    broker = Broker(BUSY, "never")

    with pytest.raises(RefusedError):
        call(policy("not_done", attempts=1), broker, clock)

    assert (broker.calls, clock.slept) == (1, [])


def test_jitter_lengthens_a_wait_by_no_more_than_it_says(clock) -> None:
    broker = Broker(*[BUSY] * 40, "17")

    call(policy("not_done", attempts=41, jitter_s=0.5), broker, clock)

    assert len(clock.slept) == 40
    assert all(3.0 <= wait <= 3.5 for wait in clock.slept)


def test_waiting_uses_the_clock_that_was_given_and_a_broken_clock_ends_the_call(clock) -> None:
    def stop(_seconds: float) -> None:
        raise HaltError("the clock stands")

    clock.sleep = stop
    broker = Broker(BUSY, "never")

    with pytest.raises(HaltError, match="the clock stands"):
        call(policy("not_done"), broker, clock)

    assert broker.calls == 1


def test_every_call_is_of_the_very_action_that_was_given(clock) -> None:
    seen: list[Callable[[], str]] = []

    def action() -> str:
        seen.append(action)
        if len(seen) < 2:
            raise BUSY
        return "17"

    assert call(policy("not_done"), action, clock) == ("17", 2)
    assert seen == [action, action]


def test_a_dead_token_is_not_asked_again_whatever_a_reading_may_repeat(clock) -> None:
    broker = Broker(LoginRequiredError("token expired"), "never")

    with pytest.raises(LoginRequiredError):
        call(policy("unavailable"), broker, clock)

    assert (broker.calls, clock.slept) == (1, [])


def test_each_pause_is_longer_by_the_backoff_and_never_longer_than_a_minute(clock) -> None:
    call(policy("not_done", attempts=8, backoff=2), Broker(*[BUSY] * 7, "17"), clock)

    assert clock.slept == [3.0, 6.0, 12.0, 24.0, 48.0, 60.0, 60.0]


def test_no_call_begins_after_the_limit_in_time(clock) -> None:
    broker = Broker(*[BUSY] * 9, "never")

    with pytest.raises(RefusedError):
        call(policy("not_done", attempts=10, within_s=7), broker, clock)

    assert (broker.calls, clock.slept) == (3, [3.0, 3.0])


def test_the_time_the_calls_take_counts_against_the_limit(clock) -> None:
    calls = []

    def slow() -> str:
        calls.append(clock.now())
        VirtualClock.sleep(clock, 5)
        raise UNAVAILABLE

    with pytest.raises(UnavailableError):
        call(policy("unavailable", attempts=10, within_s=12), slow, clock)

    # 5 s, a pause of 3 s, 5 s: another pause would end after 16 s.
    assert (len(calls), clock.slept) == (2, [3.0])


def test_the_jitter_is_the_same_for_the_same_order_and_attempt_and_another_for_another(clock) -> None:
    shaken = policy("not_done", attempts=4, jitter_s=0.5)
    waits = []
    for key in ("tag", "tag", "other"):
        one = SleepCounter()
        call(shaken, Broker(BUSY, BUSY, BUSY, "17"), one, key)
        waits.append(one.slept)

    assert waits[0] == waits[1]
    assert waits[0] != waits[2]
    assert len(set(waits[0])) == 3


@given(
    attempts=st.integers(1, 10),
    wait_ms=st.integers(0, 60_000),
    jitter_ms=st.integers(0, 10_000),
    backoff=st.decimals(1, 10, places=2),
    key=st.text(max_size=20),
)
def test_all_pauses_together_never_come_to_more_than_a_policy_says(attempts, wait_ms, jitter_ms, backoff, key) -> None:
    checked = PolicySpec(
        name="read",
        attempts=attempts,
        wait=timedelta(milliseconds=wait_ms),
        jitter=timedelta(milliseconds=jitter_ms),
        on=("unavailable",),
        backoff=backoff,
    )

    pauses = [checked.pause_s(attempt, key) for attempt in range(1, attempts)]

    assert sum(pauses) <= checked.longest_pauses.total_seconds() + 0.001
    assert all(0 <= pause <= LONGEST_WAIT.total_seconds() + jitter_ms / 1000 for pause in pauses)


def test_nothing_is_set_up_for_a_call_that_works_and_it_is_set_up_once_for_those_that_fail(clock, monkeypatch) -> None:
    built: list[object] = []
    monkeypatch.setattr(retry, "Retrying", lambda **kwargs: built.append(kwargs) or retrying(**kwargs))
    retries, rule = Retries(clock), policy("unavailable")

    retries.call(rule, Broker("book"), key="book")
    assert built == []
    for _ in range(3):
        assert retries.call(rule, Broker(UNAVAILABLE, "book"), key="book") == ("book", 2)

    assert len(built) == 1
