"""The matching engine, example by example: which order fills when and at what price, and which is turned away."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from msgspec.structs import replace

from fsm_trader.broker.paper.matching import Market, Matching, Progress
from fsm_trader.broker.paper.pricing import auto_percent, market_price, protected_limit
from fsm_trader.core.contracts import OptionContract, OptionKind
from fsm_trader.core.money import Paise
from fsm_trader.core.orders import NetPosition, OrderKind, OrderRequest, OrderStatus, Side
from fsm_trader.core.settings import PaperSettings
from fsm_trader.errors import RefusedError, UnavailableError

OPEN = datetime(2026, 6, 17, 9, 15, tzinfo=UTC)
CLOSE = OPEN + timedelta(hours=6)
LOT = 65
CALL = OptionContract(
    exchange="NFO",
    tradingsymbol="NIFTY2662324400CE",
    token=101,
    name="NIFTY",
    expiry=date(2026, 6, 23),
    strike_paise=Paise(2440000),
    kind=OptionKind.CE,
    lot_size=LOT,
    tick_paise=5,
    freeze_quantity=1800,
)
SETTINGS = PaperSettings(
    book=Path("unused"),
    latency=timedelta(seconds=1),
    spread_ticks=1,
    slippage_ticks=2,
    partial_fills=Decimal(0),
    rejects=Decimal(0),
    seed=1,
)
MARKET_BUY = OrderRequest(
    tag="E1",
    exchange="NFO",
    tradingsymbol=CALL.tradingsymbol,
    token=CALL.token,
    side=Side.BUY,
    quantity=LOT,
    product="MIS",
    kind=OrderKind.MARKET,
    market_protection=Decimal(5),
)


def at(seconds: float) -> datetime:
    return OPEN + timedelta(seconds=seconds)


class Script:
    """Prices as a list of (seconds after the open, paise)."""

    def __init__(self, *points: tuple[float, int]) -> None:
        self.points = [(at(seconds), Paise(price)) for seconds, price in points]

    def prices(self, token, *, after, until):
        known = [point for point in self.points if point[0] <= until] if token == CALL.token else []
        return tuple(point for point in known if point[0] > after) or tuple(known[-1:])


def matching(*points: tuple[float, int], **changes) -> Matching:
    market = Market(Script(*points), {CALL.tradingsymbol: CALL}.get, OPEN, CLOSE)
    return Matching(replace(SETTINGS, **changes), market, id_prefix="260617001", progress=Progress(OPEN))


def limit(side: Side, price: int, **changes) -> OrderRequest:
    changes = {"kind": OrderKind.LIMIT, "price_paise": Paise(price), "market_protection": None, **changes}
    return replace(MARKET_BUY, side=side, **changes)


def stop(side: Side, trigger: int, **changes) -> OrderRequest:
    return replace(MARKET_BUY, side=side, kind=OrderKind.STOP, trigger_paise=Paise(trigger), **changes)


def holding(*points: tuple[float, int], lots: int = 1, **changes) -> Matching:
    """A world that bought at second 0 and holds its lots since second 1."""
    world = matching((0, 10000), *points, **changes)
    world.place(replace(MARKET_BUY, tag="HELD", quantity=lots * LOT), at(0))
    world.advance(at(2))
    assert world.positions()[0].quantity == lots * LOT
    return world


def row(world: Matching, tag: str):
    return next(row for row in world.book().orders if row.tag == tag)


def fills(world: Matching, tag: str):
    order_id = row(world, tag).order_id
    return [
        ((fill.at - OPEN).total_seconds(), fill.quantity, fill.price_paise)
        for fill in world.book().fills
        if fill.order_id == order_id
    ]


def test_a_market_buy_fills_after_the_latency_and_pays_spread_and_slippage():
    world = matching((0, 10000), (0.5, 10100))

    world.place(MARKET_BUY, at(0))
    world.advance(at(0.9))
    waiting = row(world, "E1")
    world.advance(at(5))

    assert (waiting.status, waiting.raw_status) == (OrderStatus.WORKING, "OPEN PENDING")
    assert fills(world, "E1") == [(1.0, LOT, 10115)]
    assert (row(world, "E1").raw_status, row(world, "E1").filled_quantity) == ("COMPLETE", LOT)


def test_a_market_sell_gets_less_by_spread_and_slippage():
    world = holding((2.5, 12000))

    world.place(replace(MARKET_BUY, tag="X1", side=Side.SELL), at(3))
    world.advance(at(10))

    assert fills(world, "X1") == [(4.0, LOT, 11985)]
    assert world.positions() == ()


def test_without_latency_an_order_fills_as_it_arrives():
    world = matching((0, 10000), latency=timedelta(0))

    world.place(MARKET_BUY, at(3))

    assert fills(world, "E1") == [(3.0, LOT, 10015)]


def test_slippage_never_goes_beyond_the_protection_band():
    world = matching((0, 10000))

    world.place(replace(MARKET_BUY, market_protection=Decimal("0.1")), at(0))
    world.advance(at(5))

    assert fills(world, "E1") == [(1.0, LOT, 10010)]


def test_what_runs_beyond_the_band_rests_at_the_band_and_fills_when_the_market_comes_back():
    world = matching((0, 10000), (0.5, 10600), (60, 10500), (61, 10490))

    world.place(MARKET_BUY, at(0))
    world.advance(at(60))
    resting = row(world, "E1")
    world.advance(at(100))

    assert (resting.raw_status, resting.filled_quantity) == ("OPEN", 0)
    assert fills(world, "E1") == [(61.0, LOT, 10500)]


def test_a_limit_that_is_marketable_on_arrival_fills_at_the_better_market_price():
    world = matching((0, 10000))

    world.place(limit(Side.BUY, 10200), at(0))
    world.advance(at(2))

    assert fills(world, "E1") == [(1.0, LOT, 10005)]


def test_a_resting_limit_fills_at_its_own_price_when_the_market_comes_to_it():
    world = matching((0, 10000), (30, 9905), (31, 9895), (32, 9000))

    world.place(limit(Side.BUY, 9900), at(0))
    world.advance(at(30))
    unfilled = fills(world, "E1")
    world.advance(at(60))

    assert unfilled == []
    assert fills(world, "E1") == [(31.0, LOT, 9900)]


def test_a_resting_sell_limit_fills_at_its_own_price_when_the_bid_reaches_it():
    world = holding((10, 12000), (11, 12005), (12, 15000))

    world.place(limit(Side.SELL, 12000, tag="X1"), at(3))
    world.advance(at(60))

    assert fills(world, "X1") == [(11.0, LOT, 12000)]


def test_an_ioc_that_cannot_fill_at_once_is_cancelled():
    world = matching((0, 10000), (2, 9000))

    world.place(limit(Side.BUY, 9900, validity="IOC"), at(0))
    world.advance(at(60))

    assert fills(world, "E1") == []
    assert (row(world, "E1").raw_status, row(world, "E1").updated_at) == ("CANCELLED", at(1))


def test_an_ioc_that_fills_in_part_is_cancelled_for_the_rest():
    world = matching((0, 10000), partial_fills=Decimal(1))

    world.place(limit(Side.BUY, 10100, validity="IOC", quantity=3 * LOT), at(0))
    world.advance(at(60))

    assert fills(world, "E1") == [(1.0, 2 * LOT, 10005)]
    assert (row(world, "E1").status, row(world, "E1").filled_quantity) == (OrderStatus.CANCELLED, 2 * LOT)


def test_a_partial_fill_comes_in_two_parts_a_latency_apart_at_the_price_of_each_time():
    world = matching((0, 10000), (1.5, 10200), partial_fills=Decimal(1))

    world.place(replace(MARKET_BUY, quantity=2 * LOT), at(0))
    world.advance(at(1))
    half = row(world, "E1")
    world.advance(at(60))

    assert (half.status, half.raw_status, half.filled_quantity) == (OrderStatus.WORKING, "OPEN", LOT)
    assert fills(world, "E1") == [(1.0, LOT, 10015), (2.0, LOT, 10215)]


def test_one_lot_never_fills_in_parts():
    world = matching((0, 10000), partial_fills=Decimal(1))

    world.place(MARKET_BUY, at(0))
    world.advance(at(60))

    assert fills(world, "E1") == [(1.0, LOT, 10015)]


@pytest.mark.parametrize(
    ("prices", "filled"),
    [
        (((5, 9501), (6, 9499), (7, 9000)), [(6.0, LOT, 9484)]),
        (((5, 9500),), [(5.0, LOT, 9485)]),
        (((5, 9505),), []),
    ],
)
def test_a_sell_stop_waits_for_its_trigger_and_then_sells_at_the_market(prices, filled):
    world = holding(*prices)

    world.place(stop(Side.SELL, 9500, tag="X1"), at(2))
    world.advance(at(4))
    waiting = row(world, "X1")
    world.advance(at(60))

    # 94.99 is off the tick: what is sold at is rounded down to it.
    expected = [(second, quantity, price - price % 5) for second, quantity, price in filled]
    assert waiting.raw_status == "TRIGGER PENDING"
    assert fills(world, "X1") == expected


def test_a_buy_stop_is_triggered_from_below():
    world = matching((0, 10000), (5, 10195), (6, 10200), (7, 10000))

    world.place(stop(Side.BUY, 10200), at(0))
    world.advance(at(60))

    assert fills(world, "E1") == [(6.0, LOT, 10215)]


def test_a_rejected_order_was_accepted_first_and_says_why():
    world = matching((0, 10000), rejects=Decimal(1))

    order_id = world.place(MARKET_BUY, at(0))
    before = row(world, "E1")
    world.advance(at(60))

    assert before.status is OrderStatus.WORKING
    rejected = row(world, "E1")
    assert (rejected.order_id, rejected.raw_status, rejected.filled_quantity) == (order_id, "REJECTED", 0)
    assert rejected.message
    assert world.book().fills == ()


def test_a_cancellation_takes_the_latency_and_ends_a_resting_order():
    world = matching((0, 10000), (9, 9000))
    order_id = world.place(limit(Side.BUY, 9900), at(0))

    world.cancel(order_id, at(5))
    asked = row(world, "E1")
    world.advance(at(60))

    assert (asked.status, asked.raw_status) == (OrderStatus.WORKING, "CANCEL PENDING")
    assert (row(world, "E1").raw_status, row(world, "E1").updated_at) == ("CANCELLED", at(6))
    assert fills(world, "E1") == []


def test_an_order_can_fill_while_its_cancellation_is_under_way():
    world = matching((0, 10000), (5.5, 9000))
    order_id = world.place(limit(Side.BUY, 9900), at(0))

    world.cancel(order_id, at(5))
    world.advance(at(60))

    assert fills(world, "E1") == [(5.5, LOT, 9900)]
    assert row(world, "E1").status is OrderStatus.COMPLETE


def test_asking_again_to_cancel_keeps_the_first_time():
    world = matching((0, 10000))
    order_id = world.place(limit(Side.BUY, 9900), at(0))

    world.cancel(order_id, at(5))
    world.cancel(order_id, at(5.5))
    world.advance(at(60))

    assert row(world, "E1").updated_at == at(6)


@pytest.mark.parametrize("unknown", [False, True])
def test_an_order_that_is_done_or_unknown_cannot_be_cancelled(unknown):
    world = holding()
    before = world.book()

    with pytest.raises(RefusedError, match="no such order" if unknown else "cannot be cancelled"):
        world.cancel("nothing" if unknown else row(world, "HELD").order_id, at(2))

    assert world.book() == before


def test_what_works_at_the_close_is_cancelled_then():
    world = matching((0, 10000), ((CLOSE - OPEN).total_seconds() + 1, 5000))
    world.place(limit(Side.BUY, 9900), at(0))

    world.advance(CLOSE + timedelta(hours=1))

    assert (row(world, "E1").raw_status, row(world, "E1").updated_at) == ("CANCELLED", CLOSE)
    assert "closed" in row(world, "E1").message


UNFIT = {
    "quantity 0": {"quantity": 0},
    "quantity -65": {"quantity": -LOT},
    "quantity 64": {"quantity": 64},
    "freeze quantity of 1800": {"quantity": 28 * LOT},
    "tag ''": {"tag": ""},
    "tag 'AAAAAAAAAAAAAAAAAAAAA' of 21": {"tag": "A" * 21},
    "tag 'A B'": {"tag": "A B"},
    "product 'CNC'": {"product": "CNC"},
    "validity 'GTT'": {"validity": "GTT"},
    "not listed": {"tradingsymbol": "NIFTY2662399999CE"},
    "token 7": {"token": 7},
    "exchange 'BFO'": {"exchange": "BFO"},
    "without market protection": {"market_protection": None},
    "SL-M order without market protection": {
        "kind": OrderKind.STOP,
        "trigger_paise": 9000,
        "market_protection": Decimal(0),
    },
    "market protection -2": {"market_protection": Decimal(-2)},
    "market protection 101": {"market_protection": Decimal(101)},
    "price 99.01": {"kind": OrderKind.LIMIT, "price_paise": 9901},
    "price 0.00": {"kind": OrderKind.LIMIT, "price_paise": 0},
    "price None paise on a LIMIT": {"kind": OrderKind.LIMIT},
    "price 9900 paise on a MARKET": {"price_paise": 9900},
    "trigger 90.01": {"kind": OrderKind.STOP, "trigger_paise": 9001},
    "trigger None paise on a SL-M": {"kind": OrderKind.STOP},
    "margin": {"side": Side.SELL},
}


@pytest.mark.parametrize("reason", UNFIT)
def test_an_unfit_order_is_refused_in_words_and_leaves_no_row(reason):
    world = matching((0, 10000))

    with pytest.raises(RefusedError) as refused:
        world.place(replace(MARKET_BUY, **UNFIT[reason]), at(0))

    assert reason in str(refused.value)
    assert not refused.value.may_pass
    assert world.book().orders == ()
    assert world.unsaved().orders == ()


def test_all_reasons_of_a_refusal_are_named():
    with pytest.raises(RefusedError) as refused:
        matching((0, 10000)).place(replace(MARKET_BUY, quantity=1, product="CNC", tag=""), at(0))

    assert all(word in str(refused.value) for word in ("quantity", "product", "tag"))


def test_an_instrument_without_a_price_cannot_be_traded():
    world = matching((10, 10000))

    with pytest.raises(RefusedError, match="no price yet"):
        world.place(MARKET_BUY, at(9))

    assert world.place(MARKET_BUY, at(10))


@pytest.mark.parametrize("when", [OPEN - timedelta(microseconds=1), CLOSE, CLOSE + timedelta(hours=1)])
def test_outside_the_trading_hours_orders_are_refused(when):
    market = Market(Script((-60, 10000)), {CALL.tradingsymbol: CALL}.get, OPEN, CLOSE)
    world = Matching(SETTINGS, market, id_prefix="1", progress=Progress(OPEN - timedelta(hours=1)))

    with pytest.raises(RefusedError, match="orders are taken from"):
        world.place(MARKET_BUY, when)

    assert world.book().orders == ()


def test_working_sells_count_against_what_may_still_be_sold():
    world = holding(lots=2)
    world.place(limit(Side.SELL, 20000, tag="X1"), at(2))

    with pytest.raises(RefusedError, match="margin"):
        world.place(limit(Side.SELL, 20000, tag="X2", quantity=2 * LOT), at(2))

    assert world.place(limit(Side.SELL, 20000, tag="X3"), at(2))


def test_what_is_held_under_another_product_may_not_be_sold():
    world = holding()

    with pytest.raises(RefusedError, match="under NRML"):
        world.place(replace(MARKET_BUY, tag="X1", side=Side.SELL, product="NRML"), at(3))

    assert world.positions() == (NetPosition("NFO", CALL.tradingsymbol, "MIS", LOT),)


def test_a_cancelled_sell_frees_what_it_promised():
    world = holding()
    order_id = world.place(limit(Side.SELL, 20000, tag="X1"), at(2))
    world.cancel(order_id, at(3))
    world.advance(at(5))

    assert world.place(limit(Side.SELL, 20000, tag="X2"), at(5))


def test_order_ids_begin_with_the_prefix_and_count():
    world = matching((0, 10000))

    assert [world.place(MARKET_BUY, at(0)) for _ in range(2)] == ["260617001000001", "260617001000002"]


def test_a_price_source_that_fails_leaves_nothing_half_done():
    script = Script((0, 10000))
    world = Matching(
        SETTINGS,
        Market(script, {CALL.tradingsymbol: CALL}.get, OPEN, CLOSE),
        id_prefix="1",
        progress=Progress(OPEN),
    )
    world.place(MARKET_BUY, at(0))
    before, points = world.book(), script.points
    script.points = []

    with pytest.raises(UnavailableError, match="no price"):
        world.advance(at(60))
    unchanged = world.book() == before
    script.points = points
    world.advance(at(60))

    assert unchanged
    assert fills(world, "E1") == [(1.0, LOT, 10015)]


def test_at_one_instant_the_price_comes_before_the_order_that_is_due():
    world = matching((0, 10000), (1, 10100))

    world.place(MARKET_BUY, at(0))
    world.advance(at(60))

    assert fills(world, "E1") == [(1.0, LOT, 10115)]


def test_at_one_instant_the_price_comes_before_a_cancellation():
    world = matching((0, 10000), (6, 9000))
    order_id = world.place(limit(Side.BUY, 9900), at(0))

    world.cancel(order_id, at(5))
    world.advance(at(60))

    assert fills(world, "E1") == [(6.0, LOT, 9900)]


def test_a_source_that_repeats_old_prices_changes_nothing():
    class Repeating(Script):
        def prices(self, token, *, after, until):
            return tuple(point for point in self.points if point[0] <= until)

    market = Market(Repeating((-5, 9000), (0, 10000)), {CALL.tradingsymbol: CALL}.get, OPEN, CLOSE)
    world = Matching(SETTINGS, market, id_prefix="1", progress=Progress(OPEN))

    world.place(limit(Side.BUY, 9900), at(0))
    for second in range(1, 9):
        world.advance(at(second))

    assert fills(world, "E1") == []


def test_what_was_handed_in_is_not_saved_again():
    world = holding()
    progress = Progress(world.now, tuple(world._orders.values()), world.book().fills)

    again = Matching(SETTINGS, world._market, id_prefix="260617001", progress=progress)

    assert again.book() == world.book()
    assert again.unsaved() == Progress(world.now)


def test_time_never_goes_back():
    world = matching((0, 10000))
    world.advance(at(60))

    world.place(MARKET_BUY, at(10))

    assert world.now == at(60)
    assert row(world, "E1").updated_at == at(60)


@pytest.mark.parametrize(
    ("last", "percent"), [(5, 5), (999, 5), (1000, 3), (9999, 3), (10000, 2), (49999, 2), (50000, 1)]
)
def test_the_automatic_band_narrows_as_the_premium_grows(last, percent):
    assert auto_percent(Paise(last)) == percent


@pytest.mark.parametrize(
    ("last", "side", "protection", "expected"),
    [
        (10000, Side.BUY, "2", 10200),
        (10000, Side.SELL, "2", 9800),
        (10005, Side.BUY, "2", 10205),
        (10005, Side.SELL, "2", 9805),
        (10000, Side.BUY, "0.01", 10000),
        (10000, Side.SELL, "100", 5),
        (100, Side.BUY, "-1", 110),
        (100, Side.SELL, "-1", 90),
        (10000, Side.SELL, "-1", 9800),
        (5, Side.SELL, "-1", 5),
    ],
)
def test_a_protected_limit_stays_inside_its_band_and_on_the_tick(last, side, protection, expected):
    assert protected_limit(Paise(last), side, protection=Decimal(protection), tick_paise=5) == expected


def test_a_sale_never_brings_less_than_one_tick():
    assert market_price(Paise(5), Side.SELL, ticks=3, tick_paise=5) == 5
