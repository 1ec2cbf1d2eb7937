"""A policy tries again only what is proved not done, as often and as far apart as it says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from fsm_trader.engine.retry import call
from fsm_trader.errors import (
    HaltError,
    LoginRequiredError,
    OutcomeUnknownError,
    RefusedError,
    TraderError,
    UnavailableError,
)
from fsm_trader.machines.spec import PolicySpec

BUSY = RefusedError("too many requests", may_pass=True)
REFUSED = RefusedError("no margin")
UNAVAILABLE = UnavailableError("no answer")


def policy(*on: str, attempts: int = 3, jitter_s: float = 0.0) -> PolicySpec:
    return PolicySpec(
        name="place",
        attempts=attempts,
        wait=timedelta(seconds=3),
        jitter=timedelta(seconds=jitter_s),
        on=on,
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


@pytest.fixture
def slept() -> list[float]:
    return []


def test_an_answer_at_once_is_one_call_and_no_wait(slept) -> None:
    assert call(policy("not_done"), Broker("17"), sleep=slept.append) == ("17", 1)
    assert slept == []


def test_what_is_proved_not_done_is_tried_again_after_the_wait(slept) -> None:
    broker = Broker(BUSY, BUSY, "17")

    assert call(policy("not_done"), broker, sleep=slept.append) == ("17", 3)
    assert slept == [3.0, 3.0]


def test_the_number_of_calls_is_bounded_and_the_last_error_is_raised_as_it_was(slept) -> None:
    last = RefusedError("still busy", may_pass=True)
    broker = Broker(BUSY, BUSY, last, "never")

    with pytest.raises(RefusedError) as refused:
        call(policy("not_done"), broker, sleep=slept.append)

    assert refused.value is last
    assert (broker.calls, slept) == (3, [3.0, 3.0])


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
def test_an_order_is_never_repeated_unless_it_is_proved_not_done(error, slept) -> None:
    broker = Broker(error, "never")

    with pytest.raises(type(error)) as raised:
        call(policy("not_done"), broker, sleep=slept.append)

    assert raised.value is error
    assert (broker.calls, slept) == (1, [])


def test_a_read_is_asked_again_when_it_gave_nothing(slept) -> None:
    assert call(policy("unavailable"), Broker(UNAVAILABLE, "book"), sleep=slept.append) == ("book", 2)
    assert slept == [3.0]


@pytest.mark.parametrize(("on", "error"), [((), BUSY), ((), UNAVAILABLE), (("unavailable",), BUSY)])
def test_a_policy_repeats_nothing_it_does_not_name(on: tuple[str, ...], error, slept) -> None:
    broker = Broker(error, "never")

    with pytest.raises(type(error)):
        call(policy(*on), broker, sleep=slept.append)

    assert (broker.calls, slept) == (1, [])


def test_a_policy_of_one_attempt_calls_once(slept) -> None:
    broker = Broker(BUSY, "never")

    with pytest.raises(RefusedError):
        call(policy("not_done", attempts=1), broker, sleep=slept.append)

    assert (broker.calls, slept) == (1, [])


def test_jitter_lengthens_a_wait_by_no_more_than_it_says(slept) -> None:
    broker = Broker(*[BUSY] * 40, "17")

    call(policy("not_done", attempts=41, jitter_s=0.5), broker, sleep=slept.append)

    assert len(slept) == 40
    assert all(3.0 <= wait <= 3.5 for wait in slept)


def test_waiting_uses_the_clock_that_was_given_and_a_broken_clock_ends_the_call() -> None:
    def stop(_seconds: float) -> None:
        raise HaltError("the clock stands")

    broker = Broker(BUSY, "never")

    with pytest.raises(HaltError, match="the clock stands"):
        call(policy("not_done"), broker, sleep=stop)

    assert broker.calls == 1


def test_every_call_is_of_the_very_action_that_was_given(slept) -> None:
    seen: list[Callable[[], str]] = []

    def action() -> str:
        seen.append(action)
        if len(seen) < 2:
            raise BUSY
        return "17"

    assert call(policy("not_done"), action, sleep=slept.append) == ("17", 2)
    assert seen == [action, action]
