"""Calls that are waited for until a deadline and no longer. It knows nothing of what is asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from typing import TypeVar

from fsm_trader.errors import TraderError, UnavailableError

T = TypeVar("T")
_MOST = 12


class Deadline:
    """A moment in real time, for connections live in it.

    Args:
        within: how far ahead it lies.
    """

    def __init__(self, within: timedelta) -> None:
        self.within = within
        self._at_s = time.monotonic() + within.total_seconds()

    @property
    def left(self) -> timedelta:
        """How long until then, nothing once it has passed."""
        return timedelta(seconds=max(0.0, self._at_s - time.monotonic()))


class Hurry:
    """Makes calls on threads of their own, so that whoever waits for one can stop waiting at any moment.

    A name that is being looked up cannot be interrupted, and an overdue call is cut only at the keeper's next look. A
    call that nobody waits for any more ends by its own time-outs; there are at most twelve at a time.
    """

    def __init__(self) -> None:
        self._places = threading.BoundedSemaphore(_MOST)

    def start(self, what: str, call: Callable[[], T]) -> Future[T]:
        """Begin a call, which raises errors of this program only.

        Raises:
            UnavailableError: too many are under way.
        """
        if not self._places.acquire(blocking=False):
            raise UnavailableError(
                f"Kite, {what}: {_MOST} calls in a hurry have no answer yet; nothing was sent, it is asked again"
            )
        answer: Future[T] = Future()

        def run() -> None:
            try:
                answer.set_result(call())
            except TraderError as error:
                answer.set_exception(error)
            finally:
                self._places.release()

        threading.Thread(target=run, name="kite-hurry", daemon=True).start()
        return answer
