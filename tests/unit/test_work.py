"""Jobs are done in line or beside the loop, and what they find reaches the inbox."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

from fsm_trader.core.events import Asked, Event, Noticed, StopAsked
from fsm_trader.engine.work import Inbox, InlineWorker, Job, LaneJob, ThreadWorker
from fsm_trader.ops.clock import VirtualClock

from .rows import at

ENOUGH_S = 20.0


class WakingClock(VirtualClock):
    """A clock that counts how often it was woken; tests wait on it instead of sleeping."""

    def __init__(self) -> None:
        super().__init__(at("09:30"), lambda _now: None)
        self.woken = threading.Semaphore(0)

    def wake(self) -> None:
        self.woken.release()


@pytest.fixture
def clock() -> WakingClock:
    return WakingClock()


@pytest.fixture
def inbox(clock) -> Inbox:
    return Inbox(clock)


@pytest.fixture
def worker(inbox) -> Iterator[ThreadWorker]:
    made = ThreadWorker(inbox, threads=2)
    yield made
    made.close(ENOUGH_S)


def says(text: str) -> Job:
    return lambda: StopAsked(text)


def hangs(on: threading.Event, text: str = "hung") -> Job:
    def job() -> Event:
        assert on.wait(ENOUGH_S)
        return StopAsked(text)

    return job


def test_events_are_taken_in_the_order_they_were_put_and_each_wakes_the_loop(inbox, clock) -> None:
    inbox.put(StopAsked("a"))
    inbox.put(Asked("halt"))

    assert [inbox.take(), inbox.take(), inbox.take()] == [StopAsked("a"), Asked("halt"), None]
    assert clock.woken.acquire(blocking=False)
    assert clock.woken.acquire(blocking=False)
    assert not clock.woken.acquire(blocking=False)


def test_events_of_many_threads_all_arrive(inbox) -> None:
    threads = [
        threading.Thread(target=lambda name=name: [inbox.put(StopAsked(f"{name}-{number}")) for number in range(100)])
        for name in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(ENOUGH_S)

    arrived = [inbox.take() for _ in range(400)]

    assert inbox.take() is None
    for name in range(4):
        own = [event.why for event in arrived if event.why.startswith(f"{name}-")]
        assert own == [f"{name}-{number}" for number in range(100)]


def test_an_inline_job_is_done_before_submit_returns(inbox) -> None:
    worker = InlineWorker(inbox)

    for text in ("a", "b"):
        worker.submit(says(text))
        assert inbox.take() == StopAsked(text)

    worker.close(0)


def test_a_defect_in_an_inline_job_reaches_the_loop(inbox) -> None:
    def broken() -> Event:
        raise KeyError("defect")

    with pytest.raises(KeyError, match="defect"):
        InlineWorker(inbox).submit(broken)

    assert inbox.take() is None


def test_a_reading_begins_when_the_turn_is_over_and_what_is_sent_at_once(inbox, clock, worker) -> None:
    worker.submit(LaneJob("book", says("read")))
    worker.submit(says("read too"))
    worker.submit(LaneJob("entry", says("bought")))

    assert clock.woken.acquire(timeout=ENOUGH_S)
    assert not clock.woken.acquire(timeout=0.05)
    assert [inbox.take(), inbox.take()] == [StopAsked("bought"), None]
    worker.turn_ended()
    assert clock.woken.acquire(timeout=ENOUGH_S)
    assert clock.woken.acquire(timeout=ENOUGH_S)
    assert {inbox.take(), inbox.take()} == {StopAsked("read"), StopAsked("read too")}


def test_a_job_beside_the_loop_does_not_hold_it_up_and_wakes_it_when_done(inbox, clock, worker) -> None:
    go = threading.Event()

    worker.submit(hangs(go))
    worker.turn_ended()
    before = inbox.take()
    go.set()

    assert before is None
    assert clock.woken.acquire(timeout=ENOUGH_S)
    assert inbox.take() == StopAsked("hung")


def test_a_hanging_job_does_not_hold_up_another(inbox, clock, worker) -> None:
    go = threading.Event()
    worker.submit(hangs(go))
    worker.turn_ended()

    worker.submit(says("quick"))
    worker.turn_ended()

    assert clock.woken.acquire(timeout=ENOUGH_S)
    assert inbox.take() == StopAsked("quick")
    go.set()


def test_an_exit_waits_behind_no_reading_and_no_entry_that_hangs(inbox, clock):
    worker = ThreadWorker(inbox, threads=1)
    go = threading.Event()
    for lane in ("market", "book", "entry"):
        worker.submit(LaneJob(lane, hangs(go)))
        worker.turn_ended()

    worker.submit(LaneJob("exit", says("sold")))

    assert clock.woken.acquire(timeout=ENOUGH_S)
    assert inbox.take() == StopAsked("sold")
    go.set()
    worker.close(ENOUGH_S)
    assert [inbox.take() for _ in range(4)] == [StopAsked("hung")] * 3 + [None]


def test_a_job_without_a_lane_is_one_of_the_market(inbox, clock):
    worker = ThreadWorker(inbox, threads=1)
    go = threading.Event()
    worker.submit(LaneJob("market", hangs(go)))
    worker.turn_ended()
    worker.submit(says("later"))
    worker.turn_ended()

    assert not clock.woken.acquire(timeout=0.05)
    go.set()
    worker.close(ENOUGH_S)


def test_a_defect_in_a_job_beside_the_loop_is_told_and_logged_and_costs_no_thread(inbox, clock, caplog):
    worker = ThreadWorker(inbox, threads=1)

    def broken() -> Event:
        raise KeyError("defect")

    for _ in range(3):
        worker.submit(LaneJob("exit", broken))
    worker.submit(LaneJob("exit", says("sold")))

    for _ in range(4):
        assert clock.woken.acquire(timeout=ENOUGH_S)
    told = [inbox.take() for _ in range(4)]
    worker.close(ENOUGH_S)
    assert told[3] == StopAsked("sold")
    assert all(isinstance(event, Noticed) and "unexpected KeyError" in event.text for event in told[:3])
    assert [record.levelname for record in caplog.records] == ["ERROR"] * 3
    assert "defect" in caplog.text


def test_closing_waits_for_what_is_under_way(inbox, worker) -> None:
    go, running = threading.Event(), threading.Event()

    def job() -> Event:
        running.set()
        return hangs(go)()

    worker.submit(job)
    worker.turn_ended()
    assert running.wait(ENOUGH_S)
    helper = threading.Timer(0.05, go.set)
    helper.start()

    worker.close(ENOUGH_S)

    assert inbox.take() == StopAsked("hung")
    helper.join(ENOUGH_S)


def test_closing_waits_no_longer_than_it_was_told(inbox, worker) -> None:
    go, running = threading.Event(), threading.Event()

    def job() -> Event:
        running.set()
        return hangs(go)()

    worker.submit(job)
    worker.turn_ended()
    assert running.wait(ENOUGH_S)
    began = time.monotonic()

    worker.close(timedelta(milliseconds=50).total_seconds())

    took = time.monotonic() - began
    go.set()
    assert 0.04 <= took < ENOUGH_S / 2


def test_closing_drops_what_is_still_queued_and_takes_no_more(inbox, clock, worker) -> None:
    go = threading.Event()
    running = [threading.Event(), threading.Event()]
    for began in running:
        worker.submit(lambda began=began: (began.set(), hangs(go)())[1])
        worker.turn_ended()
    assert all(began.wait(ENOUGH_S) for began in running)
    worker.submit(says("queued"))
    worker.turn_ended()

    worker.close(0)
    with pytest.raises(RuntimeError, match="after shutdown"):
        worker.submit(says("late"))
    go.set()

    for _ in running:
        assert clock.woken.acquire(timeout=ENOUGH_S)
    worker.close(ENOUGH_S)
    assert [inbox.take(), inbox.take(), inbox.take()] == [StopAsked("hung"), StopAsked("hung"), None]


def test_where_the_machine_has_no_further_thread_a_job_waits_for_one_there_is(
    inbox, clock, monkeypatch, caplog
) -> None:
    worker = ThreadWorker(inbox, threads=8)
    go, running = threading.Event(), threading.Event()
    worker.submit(lambda: (running.set(), hangs(go)())[1])
    worker.turn_ended()
    assert running.wait(ENOUGH_S)

    def refuse(_thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    worker.submit(says("read"))
    worker.submit(says("read too"))
    worker.turn_ended()
    worker.submit(LaneJob("exit", says("sold")))

    assert clock.woken.acquire(timeout=ENOUGH_S)
    assert inbox.take() == StopAsked("sold")
    go.set()
    for _ in range(3):
        assert clock.woken.acquire(timeout=ENOUGH_S)
    assert [inbox.take() for _ in range(4)] == [*map(StopAsked, ("hung", "read", "read too")), None]
    assert "no further thread could be started" in caplog.text
    worker.close(ENOUGH_S)
