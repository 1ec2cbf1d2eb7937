"""Clocks: the machine's own, a virtual one that costs no time, and a scaled one for watching a recorded day.

The only module that reads the machine's time; everything else is handed a ``fsm_trader.core.clock.Clock``. It must not
know who waits or for what.
"""

from __future__ import annotations

import math
import os
import selectors
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo

LONGEST_WAIT_S = 1.0
"""Longest unchecked wait in seconds: the wall clock is looked at this often, so that a jump of it is noticed."""

LEAST_JUMP = timedelta(seconds=2)
"""A wall clock that differs by more than this from the seconds that have passed was set, or the machine slept."""

_LEAST_JUMP_S = LEAST_JUMP.total_seconds()

OnAdvance = Callable[[datetime], None]


def real_s() -> float:
    """Return real seconds that only go forward: for what is about this machine and not about the session's time."""
    return time.monotonic()


class SystemClock:
    """The machine's wall clock, shown in one time zone; it never goes back.

    A wall clock that is set back would leave all that is due undone until it has come to its time again, and a position
    unwatched: this clock goes on by its own seconds until the wall clock is not behind it any more. One that is set
    ahead is followed, for a machine that slept is set ahead too.

    One thread at a time may wait; ``wake`` may come from any thread and from a signal handler. A wake that comes while
    nobody waits ends the next wait at once, so none is lost; several are one.

    Args:
        zone: time zone that ``now`` is shown in.
        wall: returns the machine's time in seconds of 1970: a zone's own hours may go back.
        seconds: real seconds that only go forward.
    """

    def __init__(
        self,
        zone: tzinfo,
        *,
        wall: Callable[[], float] = time.time,  # noqa: TID251 - this module is where the clock reads the machine.
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._zone = zone
        self._wall = wall
        self._seconds = seconds
        self._lock = threading.Lock()
        self._shown, self._shown_s = wall(), seconds()
        self._is_behind = False
        self._jump_s = 0.0
        self._waker = Waker()

    @property
    def is_virtual(self) -> bool:
        """False: waiting costs real time."""
        return False

    def now(self) -> datetime:
        """Return the machine's present time in the clock's zone, or what it would be had it not been set back."""
        with self._lock:
            wall, seconds = self._wall(), self._seconds()
            own = self._shown + seconds - self._shown_s
            off_s = wall - own
            is_behind = off_s < -_LEAST_JUMP_S
            if off_s > _LEAST_JUMP_S or (is_behind and not self._is_behind):
                self._jump_s += off_s
            self._is_behind = is_behind
            shown = self._shown = own if is_behind else max(self._shown, wall)
            self._shown_s = seconds
        return datetime.fromtimestamp(shown, self._zone)

    def take_jump(self) -> timedelta:
        """Return by how much the wall clock was set since the last call, below zero where back; zero where it was not.

        Less than ``LEAST_JUMP`` at a time is no jump.
        """
        with self._lock:
            jump_s, self._jump_s = self._jump_s, 0.0
        return timedelta(seconds=jump_s)

    def sleep(self, seconds: float) -> None:
        """Let *seconds* of real time pass; a wake does not shorten it, zero or less returns at once."""
        pause_s(seconds)

    def wait_until(self, moment: datetime) -> None:
        """Return once this clock shows *moment*, or earlier when woken."""
        while (left_s := (moment - self.now()).total_seconds()) > 0:
            if self._waker.wait(min(left_s, LONGEST_WAIT_S)):
                return

    def wake(self) -> None:
        """End the present wait, or else the next one; safe from any thread and from a signal handler."""
        self._waker.wake()

    def close(self) -> None:
        """Give back the file descriptors; a wake that comes later does nothing."""
        self._waker.close()


class VirtualClock:
    """A clock that moves only when someone sleeps or waits, never goes back and costs no real time.

    Args:
        start: the first present, aware.
        on_advance: told the new present after each move, with no lock held.

    Raises:
        ValueError: *start* is naive.
    """

    def __init__(self, start: datetime, on_advance: OnAdvance | None = None) -> None:
        self._now = _aware(start)
        self._on_advance = on_advance
        self._lock = threading.Lock()

    @property
    def is_virtual(self) -> bool:
        """True: waiting costs nothing."""
        return True

    def now(self) -> datetime:
        """Return the virtual present."""
        with self._lock:
            return self._now

    def sleep(self, seconds: float) -> None:
        """Move the present *seconds* on; zero or less changes nothing."""
        self._advance(lambda now: now + timedelta(seconds=seconds))

    def wait_until(self, moment: datetime) -> None:
        """Move the present to *moment*; one in the past changes nothing."""
        self._advance(lambda _now: moment)

    def wake(self) -> None:
        """Do nothing: a virtual wait is over before anyone could end it."""

    def _advance(self, to: Callable[[datetime], datetime]) -> None:
        with self._lock:
            moment = to(self._now)
            if moment <= self._now:
                return
            # Adding keeps the zone of the start, whatever zone the moment was given in.
            self._now = self._now + (moment - self._now)
            now = self._now
        if self._on_advance is not None:
            self._on_advance(now)


class ScaledClock:
    """Virtual time that passes at a fixed multiple of real time; jumps of the wall clock do not move it.

    Args:
        start: the first present, aware.
        speed: virtual seconds in one real second; above zero and finite.
        on_advance: told the present after each sleep or wait, with no lock held.

    Raises:
        ValueError: *start* is naive or *speed* out of bounds.
    """

    def __init__(self, start: datetime, speed: float, on_advance: OnAdvance | None = None) -> None:
        if not (math.isfinite(speed) and speed > 0):
            raise ValueError(f"speed {speed}; expected a finite number above zero")
        self._start = _aware(start)
        self._speed = speed
        self._began_s = time.monotonic()
        self._on_advance = on_advance
        self._waker = Waker()

    @property
    def is_virtual(self) -> bool:
        """True: its time is not real time."""
        return True

    def now(self) -> datetime:
        """Return the scaled present."""
        return self._start + timedelta(seconds=(time.monotonic() - self._began_s) * self._speed)

    def sleep(self, seconds: float) -> None:
        """Let *seconds* of virtual time pass; a wake does not shorten it, zero or less returns at once."""
        pause_s(seconds / self._speed)
        self._tell()

    def wait_until(self, moment: datetime) -> None:
        """Return once the scaled present reaches *moment*, or earlier when woken."""
        while (left_s := (moment - self.now()).total_seconds() / self._speed) > 0:
            if self._waker.wait(min(left_s, LONGEST_WAIT_S)):
                break
        self._tell()

    def wake(self) -> None:
        """End the present wait, or else the next one; safe from any thread and from a signal handler."""
        self._waker.wake()

    def close(self) -> None:
        """Give back the file descriptors; a wake that comes later does nothing."""
        self._waker.close()

    def _tell(self) -> None:
        if self._on_advance is not None:
            self._on_advance(self.now())


class Waker:
    """A self-pipe: writing one byte ends a wait.

    A Condition or an Event takes a lock, and a signal handler that runs while its own thread holds that lock would
    wait for ever; writing to a pipe takes none.
    """

    def __init__(self) -> None:
        self._read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._read_fd, False)
        os.set_blocking(self._write_fd, False)

    def wait(self, timeout_s: float) -> bool:
        """Wait for a wake, at most *timeout_s* seconds of monotonic time, and say whether one came."""
        if self._read_fd < 0:
            # Closed: nobody can end this wait any more, so it is the whole of its time.
            pause_s(timeout_s)
            return False
        with selectors.DefaultSelector() as selector:
            selector.register(self._read_fd, selectors.EVENT_READ)
            return bool(selector.select(timeout_s)) and self._drain()

    def wake(self) -> None:
        """End the present wait, or else the next one."""
        if self._write_fd < 0:
            return
        try:
            os.write(self._write_fd, b"\0")
        except BlockingIOError:
            # The pipe is full of wakes that were not used yet: one more would say nothing new.
            return

    def close(self) -> None:
        """Give back both ends; a wake that comes later does nothing."""
        ends = (self._read_fd, self._write_fd)
        self._read_fd = self._write_fd = -1
        for end in ends:
            if end >= 0:
                os.close(end)

    def _drain(self) -> bool:
        try:
            # A pipe holds 64 KiB on Linux; what is left of more than that ends the next wait, which is harmless.
            return bool(os.read(self._read_fd, 65536))
        except BlockingIOError:
            # Another waiting thread took the wake; ours goes on.
            return False


def pause_s(seconds: float) -> None:
    """Let real seconds pass; zero or less is none."""
    if seconds > 0:
        time.sleep(seconds)  # noqa: TID251 - this module is where waiting through the clock ends up.


def _aware(moment: datetime) -> datetime:
    if moment.utcoffset() is None:
        raise ValueError(f"start {moment.isoformat()} has no time zone; expected an aware time")
    return moment
