"""Named retry policies, and the one door to ``tenacity``.

An order is never blindly repeated: ``place`` and ``cancel`` call again only where it is proved that nothing happened.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_fixed, wait_random

from fsm_trader.errors import RefusedError, UnavailableError
from fsm_trader.machines.spec import PolicySpec

T = TypeVar("T")


def call(policy: PolicySpec, action: Callable[[], T], *, sleep: Callable[[float], None]) -> tuple[T, int]:
    """Call *action* under *policy* and return its value and the number of calls made.

    Args:
        policy: what is tried again, how often, how far apart.
        action: takes nothing; raises errors of ``fsm_trader.errors``.
        sleep: waits so many seconds, on the session's clock.

    Raises:
        TraderError: the last call's error.
    """
    calls = 0

    def counted() -> T:
        nonlocal calls
        calls += 1
        return action()

    def again(error: BaseException) -> bool:
        if isinstance(error, RefusedError):
            return error.may_pass and "not_done" in policy.on
        return isinstance(error, UnavailableError) and "unavailable" in policy.on

    retrying = Retrying(
        stop=stop_after_attempt(policy.attempts),
        wait=wait_fixed(policy.wait) + wait_random(0, policy.jitter.total_seconds()),
        retry=retry_if_exception(again),
        sleep=sleep,
        reraise=True,
        before_sleep=_say_nothing,
    )
    return retrying(counted), calls


def _say_nothing(state: RetryCallState) -> None:
    """Leave the telling to the journal: the outcome row carries the number of calls."""
