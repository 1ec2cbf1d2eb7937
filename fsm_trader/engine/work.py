"""Where the world is called: in line on a virtual clock, beside the loop on a real one. Answers come as events."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Literal, Protocol, get_args

import msgspec

from fsm_trader.core.clock import Clock
from fsm_trader.core.events import Event, Noticed

Job = Callable[[], Event]
Lane = Literal["exit", "entry", "book", "market"]

_SENDING: frozenset[Lane] = frozenset({"exit", "entry"})
# An order has left by then: so long the loop stands back, and does the rest of its turn afterwards.
_LETS_GO_S = 1e-3
_LOG = logging.getLogger(__name__)


class LaneJob(msgspec.Struct, frozen=True):
    """A job that waits only behind others of its lane; one without a lane is of ``market``."""

    lane: Lane
    job: Job

    def __call__(self) -> Event:
        """Do the job."""
        return self.job()


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

    def turn_ended(self) -> None:
        """Begin what was put off to the end of the loop's turn."""
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

    def turn_ended(self) -> None:
        """Nothing is ever put off."""

    def close(self, timeout_s: float) -> None:
        """Nothing is ever under way."""


class ThreadWorker:
    """Does jobs on a few threads in lanes, so that one hanging request never blinds the stop-loss of another trade.

    Exits and cancellations have a lane, entries another, the order book and the account a third, candles and prices
    the last one: nothing that is sent waits behind a reading, and no exit behind an entry. What is sent begins at once;
    readings begin at the end of the loop's turn, because a turn that asks for them may be about to decide on an order,
    and the interpreter does one thing at a time. The threads are daemons: a request that hangs keeps no process from
    ending. All but ``close`` is called by the loop's thread.

    Args:
        inbox: where the events go.
        threads: the most of each lane; the first is made at once, the others when they are needed. Where the machine
            gives no more, jobs wait for those there are.

    Raises:
        RuntimeError: the machine has no thread to give.
    """

    def __init__(self, inbox: Inbox, *, threads: int = 8) -> None:
        self._inbox = inbox
        self._lanes: dict[Lane, _Threads] = {
            lane: _Threads(f"fsm-{lane}", threads, self._do) for lane in get_args(Lane)
        }
        self._put_off: list[tuple[Lane, Job]] = []
        self._is_closed = False

    def submit(self, job: Job) -> None:
        """Queue the job in its lane, a reading for the end of the turn.

        Raises:
            RuntimeError: the worker was closed.
        """
        if self._is_closed:
            raise RuntimeError("a job was submitted after shutdown")
        lane: Lane = job.lane if isinstance(job, LaneJob) else "market"
        if lane not in _SENDING:
            self._put_off.append((lane, job))
            return
        self._lanes[lane].put(job)
        # Its thread needs the interpreter, which the loop would take for the rest of its turn.
        time.sleep(_LETS_GO_S)  # noqa: TID251 - of real threads, whatever time the session lives in

    def turn_ended(self) -> None:
        """Begin the readings."""
        put_off, self._put_off = self._put_off, []
        for lane, job in put_off:
            self._lanes[lane].put(job)

    def close(self, timeout_s: float) -> None:
        """Take no more jobs; what is queued is dropped, what runs is waited for and ends by its own time-out."""
        self._is_closed = True
        until_s = time.monotonic() + timeout_s
        for lane in self._lanes.values():
            lane.stop()
        for lane in self._lanes.values():
            lane.join(until_s)

    def _do(self, job: Job) -> None:
        try:
            event = job()
        except Exception as error:  # noqa: BLE001 - a defect in one job must not end the thread of all others unsaid
            _LOG.exception("a job beside the loop failed in a way nobody planned for")
            event = Noticed(f"a call beside the loop gave nothing: unexpected {type(error).__name__}: {error}.")
        self._inbox.put(event)


class _Threads:
    """Daemon threads that share one queue. Its length is bounded by who asks: nothing is asked twice at a time."""

    def __init__(self, name: str, most: int, do: Callable[[Job], None]) -> None:
        self._name = name
        self._most = most
        self._do = do
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []
        self._start()
        self._idle.release()

    def put(self, job: Job) -> None:
        self._jobs.put(job)
        if not self._idle.acquire(blocking=False) and len(self._threads) < self._most:
            try:
                self._start()
            except RuntimeError:
                # The machine has no more to give. The job waits for a thread that there is.
                _LOG.error("%s: no further thread could be started; what is asked waits for %d", self._name, len(self))

    def __len__(self) -> int:
        return len(self._threads)

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name=f"{self._name}-{len(self)}", daemon=True)
        thread.start()
        self._threads.append(thread)

    def stop(self) -> None:
        try:
            while True:
                self._jobs.get_nowait()
        except queue.Empty:
            for _ in self._threads:
                self._jobs.put(None)

    def join(self, until_s: float) -> None:
        for thread in self._threads:
            thread.join(max(0.0, until_s - time.monotonic()))

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._do(job)
            self._idle.release()
