"""The broker contract: what the trader relies on, whichever adapter is behind the protocol.

An adapter joins with a subclass of ``BrokerContract`` whose fixture ``make_broker`` builds a bench: the broker under
test over a market that shows the given prices, and a way to let time pass there.
"""

from __future__ import annotations

from typing import Protocol

import pytest
from msgspec.structs import replace

from fsm_trader.broker.protocol import Broker
from fsm_trader.core.orders import NetPosition, OrderReport, OrderStatus, Side
from fsm_trader.errors import OutcomeUnknownError, RefusedError

from .scripted import CALL, LOT, order

ENOUGH_S = 5.0
FLAT = ((0, 10000),)


class Bench(Protocol):
    """A broker under test and its market."""

    broker: Broker

    def pass_time(self, seconds: float) -> None: ...


class MakeBroker(Protocol):
    """Builds a bench: prices as (seconds after the open, paise), beginning at the open."""

    def __call__(
        self, *points: tuple[float, int], partial_fills: bool = False, lose_answer_of: str | None = None
    ) -> Bench: ...


def rows(broker: Broker, tag: str) -> list[OrderReport]:
    return [row for row in broker.book().orders if row.tag == tag]


def bought(bench: Bench, tag: str = "E1", *, lots: int = 1) -> str:
    order_id = bench.broker.place(order(tag, lots=lots))
    bench.pass_time(ENOUGH_S)
    assert rows(bench.broker, tag)[0].status is OrderStatus.COMPLETE
    return order_id


class BrokerContract:
    """The tests; collected through subclasses only."""

    @pytest.fixture
    def make_broker(self) -> MakeBroker:
        raise NotImplementedError("an adapter's subclass builds its bench here")

    def test_a_healthy_account_passes_the_check(self, make_broker: MakeBroker):
        assert make_broker(*FLAT).broker.check() is None

    def test_an_accepted_order_has_an_id_and_shows_in_the_book_by_its_tag(self, make_broker: MakeBroker):
        broker = make_broker(*FLAT).broker

        order_id = broker.place(order("E1"))

        [row] = rows(broker, "E1")
        assert isinstance(order_id, str)
        assert row.order_id == order_id
        assert (row.exchange, row.tradingsymbol, row.token) == (CALL.exchange, CALL.tradingsymbol, CALL.token)
        assert (row.side, row.product, row.quantity, row.filled_quantity) == (Side.BUY, "MIS", LOT, 0)
        assert row.status is OrderStatus.WORKING

    def test_a_market_order_fills_and_its_fill_is_told(self, make_broker: MakeBroker):
        bench = make_broker(*FLAT)

        order_id = bought(bench)

        [fill] = bench.broker.book().fills
        assert (fill.order_id, fill.quantity) == (order_id, LOT)
        assert fill.price_paise >= 10000
        assert rows(bench.broker, "E1")[0].filled_quantity == LOT

    def test_times_are_aware(self, make_broker: MakeBroker):
        bench = make_broker(*FLAT)
        bought(bench)

        book = bench.broker.book()

        times = [book.read_at, book.orders[0].updated_at, book.fills[0].at]
        assert all(time.utcoffset() is not None for time in times)

    def test_ids_of_orders_and_fills_are_unique(self, make_broker: MakeBroker):
        bench = make_broker(*FLAT)

        ids = {bought(bench, tag) for tag in ("E1", "E2", "E3")}

        assert len(ids) == 3
        assert len({fill.fill_id for fill in bench.broker.book().fills}) == 3

    def test_buys_and_sells_net_to_a_position_and_a_closed_one_is_gone(self, make_broker: MakeBroker):
        bench = make_broker(*FLAT)

        bought(bench, lots=2)
        held = bench.broker.positions()
        bench.broker.place(order("X1", Side.SELL))
        bench.pass_time(ENOUGH_S)
        less = bench.broker.positions()
        bench.broker.place(order("X2", Side.SELL))
        bench.pass_time(ENOUGH_S)

        key = (CALL.exchange, CALL.tradingsymbol, "MIS")
        assert held == (NetPosition(*key, 2 * LOT),)
        assert less == (NetPosition(*key, LOT),)
        assert bench.broker.positions() == ()

    def test_a_resting_limit_order_is_cancelled_on_request(self, make_broker: MakeBroker):
        bench = make_broker(*FLAT)
        order_id = bench.broker.place(order("E1", limit=9000))
        bench.pass_time(ENOUGH_S)
        resting = rows(bench.broker, "E1")[0].status

        bench.broker.cancel(order_id)
        bench.pass_time(ENOUGH_S)

        [row] = rows(bench.broker, "E1")
        assert resting is OrderStatus.WORKING
        assert (row.status, row.filled_quantity) == (OrderStatus.CANCELLED, 0)
        assert bench.broker.positions() == ()

    def test_a_limit_order_never_fills_worse_than_its_limit(self, make_broker: MakeBroker):
        bench = make_broker((0, 10000), (20, 9800))
        bench.broker.place(order("E1", limit=9900))
        bench.pass_time(30)

        [fill] = bench.broker.book().fills
        assert fill.price_paise <= 9900

    def test_cancelling_a_done_order_is_refused_and_changes_nothing(self, make_broker: MakeBroker):
        bench = make_broker(*FLAT)
        order_id = bought(bench)
        before = bench.broker.book()

        with pytest.raises(RefusedError):
            bench.broker.cancel(order_id)

        assert bench.broker.book() == before

    def test_cancelling_an_unknown_order_is_refused(self, make_broker: MakeBroker):
        with pytest.raises(RefusedError):
            make_broker(*FLAT).broker.cancel("no-such-order")

    @pytest.mark.parametrize(
        "unfit",
        [
            replace(order("E1"), quantity=1),
            replace(order("E1"), quantity=28 * LOT),
            replace(order("E1"), market_protection=None),
            replace(order("E1"), tradingsymbol="NIFTY2662399999CE"),
            replace(order("E1"), product="GTT"),
            order("E1", limit=9901),
            order("A" * 21),
        ],
        ids=["lot", "freeze", "protection", "symbol", "product", "tick", "tag"],
    )
    def test_a_refused_order_leaves_no_row(self, make_broker: MakeBroker, unfit):
        bench = make_broker(*FLAT)

        with pytest.raises(RefusedError) as refused:
            bench.broker.place(unfit)
        bench.pass_time(ENOUGH_S)

        assert not refused.value.may_pass
        assert bench.broker.book().orders == ()
        assert bench.broker.positions() == ()

    def test_selling_more_than_is_held_is_refused(self, make_broker: MakeBroker):
        bench = make_broker(*FLAT)
        bought(bench)

        with pytest.raises(RefusedError):
            bench.broker.place(order("X1", Side.SELL, lots=2))

        assert rows(bench.broker, "X1") == []
        assert bench.broker.positions()[0].quantity == LOT

    def test_an_order_whose_answer_was_lost_is_found_by_its_tag(self, make_broker: MakeBroker):
        bench = make_broker(*FLAT, lose_answer_of="E1")

        with pytest.raises(OutcomeUnknownError):
            bench.broker.place(order("E1"))
        bench.pass_time(ENOUGH_S)

        [row] = rows(bench.broker, "E1")
        assert row.status is OrderStatus.COMPLETE
        assert bench.broker.positions()[0].quantity == LOT

    def test_partial_fills_sum_to_the_order(self, make_broker: MakeBroker):
        bench = make_broker(*FLAT, partial_fills=True)

        order_id = bought(bench, lots=3)

        parts = [fill.quantity for fill in bench.broker.book().fills if fill.order_id == order_id]
        assert len(parts) > 1
        assert sum(parts) == rows(bench.broker, "E1")[0].filled_quantity == 3 * LOT

    def test_fills_never_disappear_and_done_orders_stay_as_they_are(self, make_broker: MakeBroker):
        bench = make_broker((0, 10000), (30, 12000), (60, 8000), partial_fills=True)
        seen_fills, done = set(), {}
        bench.broker.place(order("E1", lots=2))
        for _ in range(20):
            bench.pass_time(4)
            book = bench.broker.book()
            assert seen_fills <= set(book.fills)
            assert all(row == done.get(row.order_id, row) for row in book.orders)
            seen_fills |= set(book.fills)
            done |= {row.order_id: row for row in book.orders if row.status.is_terminal}

        assert len(seen_fills) == 2
        assert len(done) == 1

    def test_two_reads_are_equal_while_time_stands_still(self, make_broker: MakeBroker):
        bench = make_broker(*FLAT)
        bought(bench)
        bench.broker.place(order("E2", limit=9000))

        first = (bench.broker.book(), bench.broker.positions())

        assert (bench.broker.book(), bench.broker.positions()) == first
