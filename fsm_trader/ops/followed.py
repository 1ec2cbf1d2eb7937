"""A clock that keeps to somebody else's time: of a simulated market, which may run fast, stand still or be set back.

It must not know where that time is read; it is told.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from fsm_trader.ops.clock import LONGEST_WAIT_S, Waker, pause_s, real_s


class FollowedClock:
    """Shows the time it was told last, moved on at the speed it was told, and never goes back.

    When the time it follows is set back (a simulation that was killed and begun again), it stands still until that has
    caught up. One thread at a time may wait; all else is safe from any thread.

    Args:
        start: the first present, aware; nothing earlier is ever shown.
        speed: its seconds in one real second, above zero.
        seconds: real seconds that only go forward.

    Raises:
        ValueError: *start* is naive or *speed* not above zero.
    """

    def __init__(self, start: datetime, speed: float = 1.0, *, seconds: Callable[[], float] = real_s) -> None:
        if start.utcoffset() is None:
            raise ValueError(f"start {start.isoformat()} has no time zone; expected an aware time")
        _check(speed)
        self._seconds = seconds
        self._lock = threading.Lock()
        self._base, self._base_s, self._speed = start, seconds(), speed
        self._shown = start
        self._waker = Waker()

    @property
    def is_virtual(self) -> bool:
        """False: others live in its time, so calls are made beside the loop."""
        return False

    @property
    def speed(self) -> float:
        """Its seconds in one real second."""
        with self._lock:
            return self._speed

    @property
    def followed(self) -> datetime:
        """The time that is followed, as far as it is known; earlier than ``now`` while the clock stands still."""
        with self._lock:
            return self._reckoned()

    def follow(self, now: datetime, speed: float) -> None:
        """Go on from *now* at *speed*; a wait under way is reckoned anew.

        Raises:
            ValueError: *speed* is not above zero.
        """
        _check(speed)
        with self._lock:
            # Adding keeps the zone of the start, whatever zone the moment was given in.
            self._base = self._base + (now - self._base)
            self._base_s, self._speed = self._seconds(), speed
        self._waker.wake()

    def now(self) -> datetime:
        """Return the present."""
        with self._lock:
            self._shown = max(self._shown, self._reckoned())
            return self._shown

    def sleep(self, seconds: float) -> None:
        """Let *seconds* of this clock's time pass, at its speed of now; a wake does not shorten it."""
        pause_s(seconds / self.speed)

    def wait_until(self, moment: datetime) -> None:
        """Return at *moment*, or earlier when woken or told another time."""
        while (left := moment - self.now()) > timedelta(0):
            if self._waker.wait(min(left.total_seconds() / self.speed, LONGEST_WAIT_S)):
                return

    def wake(self) -> None:
        """End the present wait, or else the next one; safe from any thread and from a signal handler."""
        self._waker.wake()

    def close(self) -> None:
        """Give back the file descriptors; a wake that comes later does nothing."""
        self._waker.close()

    def _reckoned(self) -> datetime:
        return self._base + timedelta(seconds=(self._seconds() - self._base_s) * self._speed)


def _check(speed: float) -> None:
    if not speed > 0:
        raise ValueError(f"speed {speed}; expected a number above zero")
