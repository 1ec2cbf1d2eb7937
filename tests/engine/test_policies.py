"""Which policy stands behind which call: a reading is asked for again as the session's definition says."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from fsm_trader.core.events import BookRead, CandlesRead, HealthRead, PriceRead, ReadFailed, StandingRead
from fsm_trader.core.orders import OrderBook
from fsm_trader.engine.act import Effects
from fsm_trader.engine.work import Inbox, ThreadWorker
from fsm_trader.errors import LoginRequiredError, UnavailableError
from fsm_trader.machines.load import builtin_session
from fsm_trader.ops.clock import ScaledClock, VirtualClock

from .market import CALL, INDEX, PUT, ScriptedMarket, at


class Failing:
    """A broker or a feed that gives no answer for the first *failures* calls of each name."""

    def __init__(self, inner: object, failures: int, error: type[UnavailableError] = UnavailableError) -> None:
        self._inner = inner
        self._failures = failures
        self._error = error
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        def called(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            if self.calls.count(name) <= self._failures:
                raise self._error("no answer")
            return getattr(self._inner, name)(*args, **kwargs)

        return called


class Account:
    """A broker that holds nothing."""

    def check(self) -> None:
        pass

    def book(self) -> OrderBook:
        return OrderBook((), (), at("09:31"))

    def positions(self) -> tuple[()]:
        return ()


def with_attempts(**attempts: int):
    """The built-in session machine with other numbers of attempts."""
    spec = builtin_session()
    changed = {name: replace(policy, attempts=attempts.get(name, 1)) for name, policy in spec.policies.items()}
    return replace(spec, policies=changed)


def effects(failures: int, *, clock=None, error=UnavailableError, machine=None) -> tuple[Effects, Failing, Failing]:
    broker, feed = Failing(Account(), failures, error), Failing(ScriptedMarket(), failures, error)
    made = Effects(broker=broker, feed=feed, clock=clock or VirtualClock(at("09:31")), session_machine=machine)
    return made, broker, feed


READINGS = {
    "book": ("lookup", lambda made: made.read_book(), BookRead),
    "candles": ("read", lambda made: made.read_candles(INDEX, None), CandlesRead),
    "price": ("read", lambda made: made.read_price(CALL.token), PriceRead),
}


@pytest.mark.parametrize("what", READINGS)
def test_a_reading_is_asked_for_again_under_its_own_policy_and_no_other(what):
    policy, job_of, answer = READINGS[what]
    other = "read" if policy == "lookup" else "lookup"

    good, *_ = effects(2, machine=with_attempts(**{policy: 3}))
    bad, *_ = effects(2, machine=with_attempts(**{other: 3}))

    assert isinstance(job_of(good)(), answer)
    assert isinstance(job_of(bad)(), ReadFailed)


def test_a_comparison_with_the_broker_reads_the_book_as_a_lookup_and_the_positions_as_a_reading():
    made, broker, _ = effects(2, machine=with_attempts(lookup=3, read=3))
    without, silent, _ = effects(2, machine=with_attempts(lookup=3))

    assert isinstance(made.read_standing()(), StandingRead)
    assert broker.calls == ["book"] * 3 + ["positions"] * 3
    assert isinstance(without.read_standing()(), ReadFailed)
    assert silent.calls == ["book"] * 3 + ["positions"]


def test_a_reading_waits_on_the_sessions_clock_and_says_when_it_gives_up():
    clock = VirtualClock(at("09:31"))
    made, _, feed = effects(9, clock=clock)

    assert made.read_price(CALL.token)() == ReadFailed("price", "no answer", CALL.token)
    assert (len(feed.calls), clock.now()) == (2, at("09:31:01"))


def test_a_dead_token_is_told_at_once():
    clock = VirtualClock(at("09:31"))
    made, broker, _ = effects(9, clock=clock, error=LoginRequiredError)

    assert made.read_book()() == ReadFailed("book", "no answer", None, login_required=True)
    assert (broker.calls, clock.now()) == (["book"], at("09:31"))


def test_a_health_check_goes_under_the_policy_of_its_action():
    made, broker, feed = effects(1, machine=with_attempts(read=1))
    policy = builtin_session().policy_of("check_health")

    answer = made.check_health(INDEX, timedelta(seconds=150), policy)()
    assert isinstance(answer, HealthRead)
    assert answer.faults == ()
    assert (broker.calls, feed.calls) == (["check", "check", "book", "book"], ["candles", "candles"])


def test_a_reading_that_is_asked_for_again_keeps_no_other_waiting():
    clock = ScaledClock(at("09:31"), 1.0)
    inbox, answered, fails = Inbox(clock), threading.Event(), threading.Event()
    market = ScriptedMarket()

    class Feed:
        def price(self, token, now):
            if token == PUT.token:
                fails.set()
                raise UnavailableError("no answer")
            answered.set()
            return market.price(token, now)

    worker = ThreadWorker(inbox)
    made = Effects(broker=Account(), feed=Feed(), clock=clock)
    try:
        worker.submit(made.read_price(PUT.token))
        worker.turn_ended()
        assert fails.wait(5)
        worker.submit(made.read_price(CALL.token))
        worker.turn_ended()

        assert answered.wait(0.5), "the price of one trade waits for the pause of another"
    finally:
        worker.close(5)
        clock.close()
