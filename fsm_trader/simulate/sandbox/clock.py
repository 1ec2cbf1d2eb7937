"""The time of a played day: it waits at the day's dawn, runs at a fixed speed once begun, and stands still at the end.

It must not know the market or the server; real seconds are handed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Literal

from fsm_trader.ops.clock import real_s

DayState = Literal["waiting", "running", "over"]


class DayClock:
    """Virtual time between two moments.

    Args:
        start: where it waits until ``begin``, aware.
        end: where it stops.
        speed: virtual seconds in one real second; above zero and finite.
        seconds: real seconds that only go forward.

    Raises:
        ValueError: *speed* is out of bounds.
    """

    def __init__(self, start: datetime, end: datetime, speed: float, *, seconds: Callable[[], float] = real_s) -> None:
        if not (math.isfinite(speed) and speed > 0):
            raise ValueError(f"speed {speed}; expected a finite number above zero")
        self.speed = speed
        self._start = start
        self._end = max(start, end)
        self._seconds = seconds
        self._began_s: float | None = None

    @property
    def state(self) -> DayState:
        """Where the day stands: nobody came yet, it is played, or it is over."""
        if self.now() >= self._end:
            return "over"
        return "waiting" if self._began_s is None else "running"

    def begin(self) -> bool:
        """Let time run from now on; True the first time, later calls change nothing."""
        if self._began_s is not None:
            return False
        self._began_s = self._seconds()
        return True

    def now(self) -> datetime:
        """Return the day's present, never beyond its end."""
        if self._began_s is None:
            return self._start
        passed = timedelta(seconds=(self._seconds() - self._began_s) * self.speed)
        return min(self._start + passed, self._end)
