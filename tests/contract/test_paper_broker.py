"""The paper broker keeps the contract, does as its fault plan says, and forgets nothing at a restart."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from fsm_trader.broker.paper.book import PaperBook
from fsm_trader.broker.paper.broker import PaperBroker
from fsm_trader.broker.paper.faults import FaultPlan, OrderFault, ReadFault, order_fault
from fsm_trader.core.orders import OrderStatus, Side
from fsm_trader.errors import LoginRequiredError, OutcomeUnknownError, RefusedError, SetupError, UnavailableError
from fsm_trader.ops.clock import VirtualClock

from .scripted import CLOSE, DAY, LOT, OPEN, Script, find, order, paper_settings
from .suite import ENOUGH_S, FLAT, BrokerContract, bought, rows


class PaperBench:
    """A paper broker on a virtual clock; ``reopen`` is a new process on the same file."""

    def __init__(self, path: Path, *points, partial_fills=False, faults=None) -> None:
        self._path, self._script, self._faults = path, Script(*points), faults
        self._settings = paper_settings(path, partial_fills=partial_fills)
        self.open()

    def open(self) -> None:
        self.book = PaperBook(self._path)
        world = self.book.world or self.book.begin(DAY, OPEN)
        self.clock = VirtualClock(world.now, self.book.save_now)
        self.broker = PaperBroker(
            settings=self._settings,
            clock=self.clock,
            prices=self._script,
            find_contract=find,
            book=self.book,
            hours=(OPEN, CLOSE),
            faults=self._faults,
        )

    def reopen(self) -> None:
        self.broker.close()
        self.open()

    def pass_time(self, seconds: float) -> None:
        self.clock.sleep(seconds)


@pytest.fixture
def bench_of(tmp_path):
    benches = []

    def make(*points, **kwargs) -> PaperBench:
        benches.append(PaperBench(tmp_path / f"paper{len(benches)}.db", *points, **kwargs))
        return benches[-1]

    yield make
    for bench in benches:
        bench.broker.close()


def plan(kind, **kwargs) -> FaultPlan:
    return FaultPlan(orders=(OrderFault(kind=kind, **kwargs),))


class TestPaperBroker(BrokerContract):
    @pytest.fixture
    def make_broker(self, bench_of):
        def make(*points, partial_fills=False, lose_answer_of=None):
            faults = plan("lost_answer", tags=lose_answer_of) if lose_answer_of else None
            return bench_of(*points, partial_fills=partial_fills, faults=faults)

        return make


def test_a_lost_request_leaves_no_order_and_an_unknown_outcome(bench_of):
    bench = bench_of(*FLAT, faults=plan("lost_request"))

    with pytest.raises(OutcomeUnknownError):
        bench.broker.place(order("E1"))
    bench.pass_time(ENOUGH_S)

    assert bench.broker.book().orders == ()


def test_a_busy_broker_takes_the_order_after_the_planned_refusals(bench_of):
    bench = bench_of(*FLAT, faults=plan("busy", attempts=2))

    for _ in range(2):
        with pytest.raises(RefusedError) as refused:
            bench.broker.place(order("E1"))
        assert refused.value.may_pass
        assert bench.broker.book().orders == ()

    assert bench.broker.place(order("E1"))


def test_a_planned_refusal_meets_only_the_tags_it_names(bench_of):
    bench = bench_of(*FLAT, faults=plan("refuse", tags="X*", attempts=9))
    bought(bench)

    with pytest.raises(RefusedError) as refused:
        bench.broker.place(order("X1", Side.SELL))

    assert not refused.value.may_pass
    assert rows(bench.broker, "X1") == []


@pytest.mark.parametrize(("kind", "status"), [("lost_answer", "CANCELLED"), ("lost_request", "WORKING")])
def test_a_cancel_without_an_answer_may_be_done_or_not(bench_of, kind, status):
    bench = bench_of(*FLAT, faults=plan(kind, call="cancel"))
    order_id = bench.broker.place(order("E1", limit=9000))

    with pytest.raises(OutcomeUnknownError):
        bench.broker.cancel(order_id)
    bench.pass_time(ENOUGH_S)

    assert rows(bench.broker, "E1")[0].status == status


def test_even_a_refusal_is_unknown_when_its_answer_is_lost(bench_of):
    bench = bench_of(*FLAT, faults=plan("lost_answer"))

    with pytest.raises(OutcomeUnknownError):
        bench.broker.place(order("E1", Side.SELL))
    with pytest.raises(RefusedError):
        bench.broker.place(order("E1", Side.SELL))

    assert bench.broker.book().orders == ()


@pytest.mark.parametrize(("kind", "error"), [("unavailable", UnavailableError), ("login_required", LoginRequiredError)])
def test_reads_fail_as_planned_and_the_market_goes_on(bench_of, kind, error):
    since = OPEN + timedelta(seconds=1)
    faults = FaultPlan(reads=(ReadFault(kind=kind, since=since, until=since + timedelta(seconds=10)),))
    bench = bench_of(*FLAT, faults=faults)
    bench.broker.place(order("E1"))

    bench.pass_time(1)
    for read in (bench.broker.check, bench.broker.book, bench.broker.positions):
        with pytest.raises(error):
            read()
    bench.pass_time(10)

    assert bench.broker.positions()[0].quantity == LOT


def test_without_a_login_orders_are_refused(bench_of):
    faults = FaultPlan(reads=(ReadFault(kind="login_required", since=OPEN, until=OPEN + timedelta(seconds=9)),))
    bench = bench_of(*FLAT, faults=faults)

    with pytest.raises(RefusedError, match="token"):
        bench.broker.place(order("E1"))
    bench.pass_time(9)

    assert bench.broker.book().orders == ()


def test_the_first_fault_that_fits_counts_and_ends_with_its_attempts():
    faults = FaultPlan(orders=(OrderFault(kind="busy", tags="E*"), OrderFault(kind="refuse", attempts=3)))

    found = [order_fault(faults, call="place", tag=tag, attempt=n) for tag, n in (("E1", 1), ("E1", 2), ("X1", 4))]

    assert found == ["busy", "refuse", None]
    assert order_fault(faults, call="cancel", tag="E1", attempt=1) is None
    assert order_fault(None, call="place", tag="E1", attempt=1) is None


def test_a_restart_finds_the_same_book_and_goes_on_from_the_same_time(bench_of):
    bench = bench_of((0, 10000), (50, 8900))
    bought(bench)
    bench.broker.place(order("E2", limit=9000))
    before = bench.broker.book()
    bench.pass_time(0.1)
    stopped_at = bench.clock.now()

    bench.reopen()
    found = bench.broker.book()
    bench.pass_time(60)

    assert bench.book.world.now >= stopped_at
    assert (found.orders, found.fills) == (before.orders, before.fills)
    assert found.read_at == stopped_at
    assert rows(bench.broker, "E2")[0].status is OrderStatus.COMPLETE
    assert bench.broker.positions()[0].quantity == 2 * LOT


def test_a_new_play_begins_empty_and_its_order_ids_are_new(bench_of):
    bench = bench_of(*FLAT)
    old_id = bought(bench)
    bench.book.finish(CLOSE)
    bench.book.begin(DAY, OPEN)

    bench.reopen()
    empty = bench.broker.book()
    new_id = bench.broker.place(order("E1"))

    assert (empty.orders, empty.fills) == ((), ())
    assert new_id != old_id
    assert bench.book.played_days() == (DAY,)


def test_a_broker_without_a_play_is_refused(tmp_path):
    with PaperBook(tmp_path / "paper.db") as book, pytest.raises(SetupError, match="no play"):
        PaperBroker(
            settings=paper_settings(tmp_path / "paper.db"),
            clock=VirtualClock(OPEN),
            prices=Script(*FLAT),
            find_contract=find,
            book=book,
            hours=(OPEN, CLOSE),
        )


class FullDisk:
    """A book whose next commits fail, as on a full disk."""

    def __init__(self, book: PaperBook, failures: int) -> None:
        self._book, self.left = book, failures

    def __getattr__(self, name):
        return getattr(self._book, name)

    def commit(self, progress) -> None:
        if self.left:
            self.left -= 1
            raise UnavailableError("the disk is full")
        self._book.commit(progress)


def test_an_order_that_could_not_be_saved_is_unknown_and_is_saved_with_the_next_call(bench_of):
    bench = bench_of(*FLAT)
    bench.broker._book = FullDisk(bench.book, failures=1)

    with pytest.raises(OutcomeUnknownError):
        bench.broker.place(order("E1"))
    bench.broker.check()
    bench.reopen()

    assert len(rows(bench.broker, "E1")) == 1


def test_while_the_book_cannot_be_written_nothing_is_told_and_nothing_taken(bench_of):
    bench = bench_of(*FLAT)
    bench.broker.place(order("E1"))
    bench.pass_time(ENOUGH_S)
    bench.broker._book = FullDisk(bench.book, failures=2)

    with pytest.raises(UnavailableError):
        bench.broker.book()
    with pytest.raises(RefusedError) as refused:
        bench.broker.place(order("E2"))

    assert refused.value.may_pass
    assert [row.tag for row in bench.broker.book().orders] == ["E1"]


def test_orders_from_many_threads_are_all_taken_once(bench_of):
    bench = bench_of(*FLAT)
    ids, start = [], threading.Barrier(8)

    def place(name: str) -> None:
        start.wait()
        ids.extend(bench.broker.place(order(f"{name}{n}")) for n in range(5))

    threads = [threading.Thread(target=place, args=(name,)) for name in "ABCDEFGH"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(ids)) == 40
    assert {row.order_id for row in bench.broker.book().orders} == set(ids)
    stored = bench.book.load().orders
    assert msgspec.json.encode([o.order_id for o in stored]) == msgspec.json.encode(sorted(ids))
