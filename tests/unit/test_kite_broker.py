"""Kite as a broker: what it checks before sending, how its book grows, and what a market order may become."""

from __future__ import annotations

import logging
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fsm_trader.broker.kite.broker import KiteBroker
from fsm_trader.broker.kite.pricing import marketable_limit
from fsm_trader.broker.paper.pricing import protected_limit
from fsm_trader.broker.protocol import PromptBroker
from fsm_trader.core.contracts import OptionContract, OptionKind
from fsm_trader.core.money import Paise
from fsm_trader.core.orders import NetPosition, OrderStatus, Role, Side
from fsm_trader.core.tags import TagParts, make_tag, owner_of
from fsm_trader.errors import LoginRequiredError, RefusedError, UnavailableError

from .kite_wires import NINE, virtual_clock
from .test_kite_shapes import REQUEST, order_row, trade_row

CALL = OptionContract(
    exchange="NFO",
    tradingsymbol="NIFTY2662324400CE",
    token=14531074,
    name="NIFTY",
    expiry=NINE.date() + timedelta(days=6),
    strike_paise=Paise(2440000),
    kind=OptionKind.CE,
    lot_size=65,
    tick_paise=5,
    freeze_quantity=1800,
)
KEY = "NFO:NIFTY2662324400CE"
QUOTE = {
    "last_price": 100.0,
    "last_trade_time": "2026-06-17 09:29:50",
    "lower_circuit_limit": 10.0,
    "upper_circuit_limit": 500.0,
    "depth": {"buy": [{"price": 99.9, "quantity": 65}], "sell": [{"price": 100.1, "quantity": 65}]},
}


class Wire:
    """Answers what it is told, and notes what is asked of it."""

    def __init__(self) -> None:
        self.said = []
        self.order_rows, self.trade_rows = [], []
        self.account = {"exchanges": ["NSE", "NFO"]}
        self.quotes = {KEY: QUOTE}
        self.standing_refusal = ""

    def _or_raise(self, answer):
        if isinstance(answer, Exception):
            raise answer
        return answer

    def profile(self):
        return self._or_raise(self.account)

    def orders(self):
        self.said.append("orders")
        return self._or_raise(self.order_rows)

    def trades(self):
        self.said.append("trades")
        return self._or_raise(self.trade_rows)

    def quote(self, keys, *, within=None):
        self.said.append("quote")
        self.quote_within = within
        return self._or_raise(self.quotes)

    def glance(self, within):
        self.said.append(within)
        return self._or_raise(self.glanced)

    def place(self, form, *, is_exit):
        self.said.append((form, is_exit))
        return "1"


@pytest.fixture
def wire():
    return Wire()


def broker_over(wire, *, order_type="market", listed=CALL, clock=None):
    return KiteBroker(
        wire=wire,
        clock=clock or virtual_clock(),
        find_contract=lambda symbol: listed if listed and symbol == listed.tradingsymbol else None,
        order_type=order_type,
    )


SELL = replace(REQUEST, side=Side.SELL)


def test_a_buy_is_an_entry_and_a_sale_an_exit_to_the_budget(wire):
    broker = broker_over(wire)

    broker.place(REQUEST)
    broker.place(SELL)

    assert [(form["transaction_type"], is_exit) for form, is_exit in wire.said] == [("BUY", False), ("SELL", True)]


@pytest.mark.parametrize(
    "unfit",
    [
        replace(REQUEST, quantity=64),
        replace(REQUEST, quantity=0),
        replace(REQUEST, quantity=28 * 65),
        replace(REQUEST, market_protection=None),
        replace(REQUEST, tag="FT-2606"),
        replace(REQUEST, tag="A" * 21),
        replace(REQUEST, product="CNC"),
        replace(REQUEST, validity="TTL"),
        replace(REQUEST, exchange="NSE"),
        replace(REQUEST, token=1),
        replace(REQUEST, tradingsymbol="NIFTY2662399999CE"),
    ],
)
def test_an_entry_that_kite_would_refuse_is_not_sent(wire, unfit):
    with pytest.raises(RefusedError) as refused:
        broker_over(wire).place(unfit)

    assert not refused.value.may_pass
    assert wire.said == []


def test_an_exit_is_not_held_up_by_a_dump_that_may_be_wrong(wire):
    for_unlisted = broker_over(wire, listed=None)
    for_other_terms = broker_over(wire, listed=replace(CALL, lot_size=50, freeze_quantity=50, token=9))

    for broker in (for_unlisted, for_other_terms):
        assert broker.place(SELL) == "1"


def test_an_exit_that_is_no_order_at_all_is_not_sent(wire):
    with pytest.raises(RefusedError):
        broker_over(wire).place(replace(SELL, tag="A" * 21))
    assert wire.said == []


def test_orders_are_read_before_trades(wire):
    broker_over(wire).book()

    assert wire.said == ["orders", "trades"]


def test_the_book_says_when_its_reading_began(wire):
    clock = virtual_clock()
    wire.orders = lambda: clock.sleep(3) or []

    assert broker_over(wire, clock=clock).book().read_at == NINE


ROWS = [
    order_row(status="PUT ORDER REQ RECEIVED", filled_quantity=0),
    order_row(status="OPEN", filled_quantity=0),
    order_row(status="OPEN", filled_quantity=20),
    order_row(status="COMPLETE", filled_quantity=65),
    order_row(status="UPDATE", filled_quantity=20),
    order_row(status="CANCELLED", filled_quantity=20),
    order_row(status="SOMETHING NEW", filled_quantity=0),
]
TRADES = [trade_row(trade_id="1", quantity=20), trade_row(trade_id="2", quantity=45)]


@given(
    st.lists(
        st.tuples(st.lists(st.sampled_from(ROWS), max_size=1), st.lists(st.sampled_from(TRADES), unique_by=str)),
        min_size=2,
        max_size=12,
    )
)
def test_whatever_order_answers_come_in_nothing_seen_is_taken_back(reads):
    wire = Wire()
    broker = broker_over(wire)
    books = []
    for wire.order_rows, wire.trade_rows in reads:
        books.append(broker.book())

    for before, after in pairwise(books):
        assert set(before.fills) <= set(after.fills)
        later = {report.order_id: report for report in after.orders}
        for report in before.orders:
            assert later[report.order_id].filled_quantity >= report.filled_quantity
            if report.status.is_terminal:
                assert later[report.order_id].status is report.status


def test_a_glance_is_book_and_positions_in_one_and_its_book_only_grows(wire):
    broker = broker_over(wire)
    wire.order_rows, wire.trade_rows = [order_row(status="COMPLETE", filled_quantity=65)], [trade_row()]
    before = broker.book()
    held = {"exchange": "NFO", "tradingsymbol": CALL.tradingsymbol, "product": "MIS", "quantity": 65}
    wire.glanced = ([], [], {"net": [held]})

    book, positions = broker.glance(timedelta(seconds=1))

    assert isinstance(broker, PromptBroker)
    assert wire.said[-1] == timedelta(seconds=1)
    assert (book.orders, book.fills) == (before.orders, before.fills)
    assert positions == (NetPosition("NFO", CALL.tradingsymbol, "MIS", 65),)


@pytest.mark.parametrize(
    "glanced",
    [UnavailableError("late"), ([], [], {"net": None}), ([order_row(quantity="?")], [], {"net": []})],
    ids=["late", "no positions", "no book"],
)
def test_half_a_glance_is_none(wire, glanced):
    wire.glanced = glanced

    with pytest.raises(UnavailableError):
        broker_over(wire).glance(timedelta(seconds=1))


def test_a_new_day_begins_with_an_empty_book(wire):
    clock = virtual_clock()
    broker = broker_over(wire, clock=clock)
    wire.order_rows, wire.trade_rows = [order_row(status="COMPLETE", filled_quantity=65)], [trade_row()]
    assert broker.book().orders[0].status is OrderStatus.COMPLETE

    wire.order_rows, wire.trade_rows = [], []
    clock.sleep(24 * 3600)

    assert (broker.book().orders, broker.book().fills) == ((), ())


def test_a_row_of_others_that_cannot_be_read_is_told_once(wire, caplog):
    caplog.set_level(logging.WARNING)
    wire.order_rows = [order_row(tag="someone", quantity="?")]
    broker = broker_over(wire)

    broker.book()
    broker.book()

    assert len([record for record in caplog.records if "left out" in record.message]) == 1


@pytest.mark.parametrize("account", [LoginRequiredError("no"), UnavailableError("no"), {"exchanges": ["NSE"]}])
def test_an_account_that_cannot_trade_options_fails_the_check(wire, account):
    wire.account = account
    with pytest.raises(UnavailableError):
        broker_over(wire).check()


def test_a_check_tells_of_a_refusal_that_meets_every_order(wire):
    wire.standing_refusal = "register its IP"
    with pytest.raises(UnavailableError, match="register its IP"):
        broker_over(wire).check()
    wire.standing_refusal = ""
    broker_over(wire).check()


def test_a_profile_without_exchanges_is_no_fault(wire):
    wire.account = {}
    broker_over(wire).check()


def test_a_market_order_may_leave_as_the_limit_order_it_becomes(wire):
    broker = broker_over(wire, order_type="limit")

    broker.place(replace(REQUEST, market_protection=Decimal(2)))
    broker.place(replace(SELL, market_protection=Decimal(2)))

    forms = [each[0] for each in wire.said if each != "quote"]
    assert [(form["order_type"], form["price"]) for form in forms] == [("LIMIT", "102.00"), ("LIMIT", "98.00")]


def test_an_exit_waits_a_second_for_its_quote_at_most(wire):
    broker = broker_over(wire, order_type="limit")
    broker.place(SELL)

    assert wire.quote_within == timedelta(seconds=1)


def test_without_a_price_an_entry_is_refused_and_an_exit_leaves_as_a_market_order(wire):
    wire.quotes = UnavailableError("no quote")
    broker = broker_over(wire, order_type="limit")

    with pytest.raises(RefusedError) as refused:
        broker.place(REQUEST)
    broker.place(SELL)

    assert refused.value.may_pass
    [form] = [each[0] for each in wire.said if each != "quote"]
    assert (form["order_type"], form["market_protection"]) == ("MARKET", "-1")


def limit_of(quote, request=REQUEST):
    return marketable_limit(quote, replace(request, market_protection=Decimal(2)), tick_paise=5, now=NINE)


def offering(price) -> dict:
    return QUOTE | {"depth": {"buy": [{"price": price}], "sell": [{"price": price}]}}


def exit_number(attempt: int):
    return replace(SELL, tag=make_tag(TagParts(NINE.date(), 1, Role.EXIT, attempt, owner_of("test"))))


def test_an_offer_far_from_the_last_price_is_not_met():
    assert limit_of(offering(300.0)) == 10200
    assert limit_of(offering(0.05), SELL) == 9800
    assert limit_of(offering(0.05), exit_number(1)) == 9800


def test_a_better_offer_than_the_last_price_is_taken_at_its_own_price():
    assert limit_of(offering(90.0)) == 9180
    assert limit_of(offering(110.0), SELL) == 10780


def test_each_further_exit_goes_one_protection_further_and_stops_inside_the_exchanges_limits():
    limits = [limit_of(offering(0.05), exit_number(attempt)) for attempt in (1, 2, 3, 15, 16, 1000)]

    assert limits == [9800, 9600, 9400, 7000, 7000, 7000]
    assert limit_of(offering(95.0), exit_number(9)) == 9310


def test_a_part_that_was_sold_is_no_reason_to_go_further_for_the_next_one(wire):
    broker = broker_over(wire, order_type="limit")
    wire.quotes = {KEY: offering(0.05)}
    went = {"transaction_type": "SELL", "status": "COMPLETE", "filled_quantity": 65}
    wire.order_rows = [
        order_row(**went, order_id="1", tag=exit_number(1).tag),
        order_row(**went, order_id="2", tag=exit_number(2).tag),
        order_row(**went | {"status": "CANCELLED"}, order_id="3", tag=exit_number(3).tag),
    ]
    broker.book()

    for attempt in (3, 4):
        broker.place(replace(exit_number(attempt), market_protection=Decimal(2)))

    forms = [each[0] for each in wire.said if isinstance(each, tuple)]
    # The first two were sold; the third was not, so the fourth goes one protection further.
    assert [form["price"] for form in forms] == ["98.00", "96.00"]


def test_a_cheap_option_is_left_step_by_step_to_the_last_tick():
    cheap = offering(0.05) | {"last_price": 0.4, "lower_circuit_limit": 0.05}
    limits = [limit_of(cheap, exit_number(attempt)) for attempt in (1, 2, 3, 8, 9)]

    assert limits == [40, 35, 30, 5, 5]


def test_an_entry_needs_a_young_last_price_and_an_exit_any():
    old = QUOTE | {"last_trade_time": "2026-06-17 09:20:00"}

    with pytest.raises(UnavailableError, match="an offer alone"):
        limit_of(old)
    assert limit_of(old, SELL) == 9800
    assert limit_of({"last_price": 100.0}, SELL) == 9800


def test_a_limit_goes_by_the_last_price_where_nothing_is_offered():
    no_depth = QUOTE | {"depth": {"buy": [], "sell": [{"price": 0}]}}

    assert limit_of(no_depth) == 10200
    assert limit_of(no_depth, SELL) == 9800


def test_a_limit_stays_inside_the_days_limits_and_on_the_tick():
    assert limit_of(QUOTE | {"upper_circuit_limit": 101.03}) == 10100
    assert limit_of(QUOTE | {"lower_circuit_limit": 99.01}, SELL) == 9905


@pytest.mark.parametrize(
    "quote",
    [
        None,
        {},
        {"last_price": 100.0},
        {"last_price": 100.0, "last_trade_time": "2026-06-17 09:28:50"},
        {"last_price": 0, "last_trade_time": "2026-06-17 09:29:59"},
        {"last_price": "100", "last_trade_time": "2026-06-17 09:29:59"},
        {"depth": {"sell": [None]}},
        {"depth": {"sell": [{"price": float("nan")}]}},
        {"depth": []},
        {"depth": {"sell": [{"price": 100.0}]}},
    ],
    ids=str,
)
def test_a_quote_without_a_usable_price_gives_no_limit(quote):
    with pytest.raises(UnavailableError):
        limit_of(quote)


@given(
    st.integers(1, 2 * 10**6),
    st.integers(1, 2 * 10**6),
    st.sampled_from([Decimal(-1), Decimal(1), Decimal("2.5"), Decimal(100)]),
    st.integers(1, 40),
)
def test_a_limit_is_on_the_tick_and_never_worse_than_offer_and_last_price_allow(offer, last, protection, attempt):
    quote = {"last_price": last * 0.05, "last_trade_time": "2026-06-17 09:29:59"} | {
        "depth": {"sell": [{"price": offer * 0.05}], "buy": [{"price": offer * 0.05}]}
    }
    offer, last = offer * 5, last * 5
    for side in (REQUEST, exit_number(attempt)):
        request = replace(side, market_protection=protection)
        limit = marketable_limit(quote, request, tick_paise=5, now=NINE)
        by_offer, by_last = (
            protected_limit(Paise(price), request.side, protection=protection, tick_paise=5) for price in (offer, last)
        )
        assert limit % 5 == 0
        assert limit > 0
        if request.side is Side.SELL:
            assert limit <= max(by_offer, by_last)
            assert limit >= min(by_last, last * 7 // 10, last - 1500) or limit >= by_offer
        else:
            assert limit == min(by_offer, by_last)
