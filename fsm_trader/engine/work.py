"""Where the world is called: in line on a virtual clock, beside the loop on a real one. Answers come as events."""

from __future__ import annotations

import queue
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Protocol

from fsm_trader.core.clock import Clock
from fsm_trader.core.events import Event

Job = Callable[[], Event]


class Inbox:
    """The loop's one queue. Threads and signal handlers put, the loop takes."""

    def __init__(self, clock: Clock) -> None:
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._clock = clock

    def put(self, event: Event) -> None:
        """Add an event and end the loop's wait; safe from any thread and from a signal handler."""
        self._events.put(event)
        self._clock.wake()

    def take(self) -> Event | None:
        """Return the next event, None when there is none."""
        try:
            return self._events.get_nowait()
        except queue.Empty:
            return None


class Worker(Protocol):
    """Carries out jobs; each one's event reaches the inbox."""

    def submit(self, job: Job) -> None:
        """Take a job. A job turns its own failures into events; it never raises."""
        ...

    def close(self, timeout_s: float) -> None:
        """Wait for what is under way, at most *timeout_s* seconds."""
        ...


class InlineWorker:
    """Does a job at once: the same order of events every time, as a virtual clock needs."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    def submit(self, job: Job) -> None:
        """Do the job now."""
        self._inbox.put(job())

    def close(self, timeout_s: float) -> None:
        """Nothing is ever under way."""


class ThreadWorker:
    """Does jobs on a few threads, so that one hanging request never blinds the stop-loss of another trade."""

    def __init__(self, inbox: Inbox, *, threads: int = 8) -> None:
        self._inbox = inbox
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="fsm-work")
        self._under_way: set[Future[None]] = set()

    def submit(self, job: Job) -> None:
        """Queue the job."""
        future = self._pool.submit(lambda: self._inbox.put(job()))
        self._under_way.add(future)
        future.add_done_callback(self._under_way.discard)

    def close(self, timeout_s: float) -> None:
        """Take no more jobs; what is queued is dropped, what runs is waited for and ends by its own time-out."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        wait(self._under_way.copy(), timeout=timeout_s)
