"""Named retry policies, and the one door to ``tenacity``.

An order is never blindly repeated: ``place`` and ``cancel`` call again only where it is proved that nothing happened.
A first call that works costs no more than the call: nothing is set up until one fails. What is set up then is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Generic, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from tenacity.stop import stop_base

from fsm_trader.core.clock import Clock
from fsm_trader.errors import LoginRequiredError, RefusedError, TraderError, UnavailableError
from fsm_trader.machines.spec import PolicySpec

T = TypeVar("T")


class Retries:
    """Calls what may be called again. Safe to use from several threads; one for each clock.

    Args:
        clock: what is waited on, and what a limit in time is counted by.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Two threads may make the same entry; both are equal.
        self._kept: dict[PolicySpec, Retrying] = {}

    def call(self, policy: PolicySpec, action: Callable[[], T], *, key: str) -> tuple[T, int]:
        """Call *action* under *policy* and return its value and the number of calls made.

        Args:
            policy: what is tried again, how often, how far apart, how long.
            action: takes nothing; raises errors of ``fsm_trader.errors``.
            key: what is called, such as an order's tag: the jitter is drawn from it.

        Raises:
            TraderError: the last call's error.
        """
        # A limit in time counts from before the first call, which may have been what took the time.
        began = None if policy.within is None else self._clock.now()
        try:
            return action(), 1
        except TraderError as error:
            if policy.attempts == 1 or not _may_repeat(policy, error):
                raise
            first = error
        attempts = _Attempts(action, first, key, began)
        return self._retrying(policy)(attempts), attempts.made

    def _retrying(self, policy: PolicySpec) -> Retrying:
        kept = self._kept.get(policy)
        if kept is None:
            kept = self._kept[policy] = Retrying(
                stop=stop_after_attempt(policy.attempts) | _TooLate(policy, self._clock),
                wait=lambda state: policy.pause_s(state.attempt_number, _attempts_of(state).key),
                retry=retry_if_exception(lambda error: _may_repeat(policy, error)),
                sleep=self._clock.sleep,
                reraise=True,
            )
        return kept


class _TooLate(stop_base):
    """Ends the asking where the next call would begin later than the policy allows, by the session's clock.

    The framework's own limits in time count by the machine's clock, which on a recorded day says nothing.
    """

    def __init__(self, policy: PolicySpec, clock: Clock) -> None:
        self._within = policy.within
        self._clock = clock

    def __call__(self, retry_state: RetryCallState) -> bool:
        began = _attempts_of(retry_state).began
        if self._within is None or began is None:
            return False
        passed = self._clock.now() - began
        return passed.total_seconds() + retry_state.upcoming_sleep > self._within.total_seconds()


class _Attempts(Generic[T]):
    """The calls of one action. The first was made already and failed; it is shown to ``tenacity`` as it was."""

    def __init__(self, action: Callable[[], T], first: TraderError, key: str, began: datetime | None) -> None:
        self._action = action
        self._first: TraderError | None = first
        self.key = key
        self.began = began
        self.made = 1

    def __call__(self) -> T:
        if self._first is not None:
            error, self._first = self._first, None
            raise error
        self.made += 1
        return self._action()


def _attempts_of(state: RetryCallState) -> _Attempts[object]:
    attempts = state.fn
    if not isinstance(attempts, _Attempts):
        raise TypeError(f"{attempts!r} is called under a retry policy; expected what Retries.call makes")
    return attempts


def _may_repeat(policy: PolicySpec, error: BaseException) -> bool:
    if isinstance(error, RefusedError):
        return error.may_pass and "not_done" in policy.on
    if isinstance(error, LoginRequiredError):
        return False  # A dead token is as dead in a second: it takes a person.
    return isinstance(error, UnavailableError) and "unavailable" in policy.on
