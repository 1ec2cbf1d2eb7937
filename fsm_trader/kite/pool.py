"""Lines that are lent to calls, and the thread that looks after them. It knows nothing of what is asked over them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

from fsm_trader.kite.line import Line

_IDLE_MOST = 4
_LOOK_EVERY_S = 0.5


class Pool:
    """Lends the line that was used last, so that the warmest connection is used again; makes one when all are lent."""

    def __init__(self, new_line: Callable[[], Line]) -> None:
        self._new_line = new_line
        self._lock = threading.Lock()
        self._free: list[Line] = []
        self._lent: set[Line] = set()
        self._is_closed = False

    @contextlib.contextmanager
    def lend(self) -> Iterator[Line]:
        """Lend a line for one call."""
        with self._lock:
            line = self._free.pop() if self._free else None
            if line is not None:
                self._lent.add(line)
        if line is None:
            line = self._new_line()
            with self._lock:
                self._lent.add(line)
        try:
            yield line
        finally:
            self._take_back(line)

    def _take_back(self, line: Line) -> None:
        with self._lock:
            self._lent.discard(line)
            is_kept = not self._is_closed and len(self._free) < _IDLE_MOST
            if is_kept:
                self._free.append(line)
        if not is_kept:
            line.close()

    def idle_for_s(self, now_s: float) -> float:
        """Return how long the line that would be lent next has not been used; 0 while a call is under way."""
        with self._lock:
            if self._lent:
                return 0.0
            return now_s - self._free[-1].used_at_s if self._free else float("inf")

    def cut_overdue(self, now_s: float) -> None:
        """Cut the lines whose calls have taken too long."""
        with self._lock:
            lent = tuple(self._lent)
        for line in lent:
            line.cut_overdue(now_s)

    def close(self) -> None:
        """Close what is free; what is lent is closed when its call ends."""
        with self._lock:
            self._is_closed = True
            free, self._free = self._free, []
        for line in free:
            line.close()


class Keeper:
    """A thread that cuts overdue calls, and lets a line be used before its connection grows cold.

    It lives on real time, whatever clock the session runs on: connections do.

    Args:
        pools: looked after.
        warm: uses the line of the last pool; it turns its own failures into nothing.
        warm_after: how long that pool may be idle; None: it is never warmed.
    """

    def __init__(self, pools: tuple[Pool, ...], warm: Callable[[], None], warm_after: timedelta | None) -> None:
        self._pools = pools
        self._warm = warm
        self._warm_after_s = None if warm_after is None else warm_after.total_seconds()
        self._tried_at_s = float("-inf")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kite-keeper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; a warming call under way is not waited for longer than a second."""
        self._over.set()
        self._thread.join(timeout=1.0)

    def _run(self) -> None:
        warmer: threading.Thread | None = None
        while not self._over.wait(_LOOK_EVERY_S):
            now_s = time.monotonic()
            for pool in self._pools:
                pool.cut_overdue(now_s)
            # Warming waits for an answer, so it has a thread of its own: cutting must go on meanwhile.
            if self._is_cold(now_s) and (warmer is None or not warmer.is_alive()):
                self._tried_at_s = now_s
                warmer = threading.Thread(target=self._warm, name="kite-warmer", daemon=True)
                warmer.start()
        if warmer is not None:
            warmer.join(timeout=1.0)

    def _is_cold(self, now_s: float) -> bool:
        after_s = self._warm_after_s
        return (
            after_s is not None and now_s - self._tried_at_s >= after_s and self._pools[-1].idle_for_s(now_s) >= after_s
        )
