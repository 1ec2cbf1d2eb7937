"""Kite's JSON as records: strict for what is ours, blind to what is not."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fsm_trader.core.money import Paise
from fsm_trader.core.orders import NetPosition, OrderKind, OrderRequest, OrderStatus, Side
from fsm_trader.errors import UnavailableError
from fsm_trader.kite.shapes import order_form, read_book, read_positions, read_time

from .kite_wires import INDIA, NINE

MOCKS = Path(__file__).resolve().parents[2].parent / "shared" / "kite-mocks"
REQUEST = OrderRequest(
    tag="FT2606170K3E017QZ4MC",
    exchange="NFO",
    tradingsymbol="NIFTY2662324400CE",
    token=14531074,
    side=Side.BUY,
    quantity=65,
    product="MIS",
    kind=OrderKind.MARKET,
    market_protection=Decimal(-1),
)


def our_tag() -> str:
    from datetime import date

    from fsm_trader.core.orders import Role
    from fsm_trader.core.tags import TagParts, make_tag, owner_of

    return make_tag(TagParts(date(2026, 6, 17), 1, Role.ENTRY, 1, owner_of("test")))


OURS = our_tag()


def order_row(**given):
    row = {
        "order_id": "260617000000001",
        "exchange_order_id": None,
        "status": "OPEN",
        "status_message": None,
        "order_timestamp": "2026-06-17 09:30:01",
        "exchange_timestamp": "2026-06-17 09:30:02",
        "exchange_update_timestamp": "2026-06-17 09:30:03",
        "exchange": "NFO",
        "tradingsymbol": "NIFTY2662324400CE",
        "instrument_token": 14531074,
        "transaction_type": "BUY",
        "product": "MIS",
        "quantity": 65,
        "filled_quantity": 0,
        "pending_quantity": 65,
        "tag": OURS,
    }
    return row | given


def trade_row(**given):
    row = {
        "trade_id": "70000001",
        "order_id": "260617000000001",
        "exchange": "NFO",
        "tradingsymbol": "NIFTY2662324400CE",
        "quantity": 65,
        "average_price": 100.05,
        "fill_timestamp": "2026-06-17 09:30:02",
        "order_timestamp": "09:30:02",
    }
    return row | given


def one_order(**given):
    [report] = read_book([order_row(**given)], [], NINE).book.orders
    return report


def test_a_market_order_names_its_protection_and_no_price():
    form = order_form(REQUEST)

    assert form == {
        "variety": "regular",
        "exchange": "NFO",
        "tradingsymbol": "NIFTY2662324400CE",
        "transaction_type": "BUY",
        "quantity": 65,
        "product": "MIS",
        "order_type": "MARKET",
        "validity": "DAY",
        "tag": REQUEST.tag,
        "market_protection": "-1",
    }


@given(st.integers(1, 10**9))
def test_a_price_leaves_as_exactly_the_decimal_it_is(price):
    form = order_form(replace(REQUEST, kind=OrderKind.LIMIT, price_paise=Paise(price), market_protection=None))

    assert form["order_type"] == "LIMIT"
    assert Decimal(form["price"]) * 100 == price
    assert "market_protection" not in form


def test_a_stop_names_its_trigger():
    form = order_form(
        replace(REQUEST, kind=OrderKind.STOP, trigger_paise=Paise(10005), market_protection=Decimal("2.5"))
    )

    assert (form["order_type"], form["trigger_price"], form["market_protection"]) == ("SL-M", "100.05", "2.5")


def test_a_market_order_sent_as_a_limit_has_a_price_and_no_protection():
    form = order_form(REQUEST, limit_paise=Paise(10310))

    assert (form["order_type"], form["price"]) == ("LIMIT", "103.10")
    assert "market_protection" not in form


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        ("COMPLETE", OrderStatus.COMPLETE),
        ("CANCELLED", OrderStatus.CANCELLED),
        ("REJECTED", OrderStatus.REJECTED),
        *(
            (raw, OrderStatus.WORKING)
            for raw in (
                "OPEN",
                "UPDATE",
                "PUT ORDER REQ RECEIVED",
                "VALIDATION PENDING",
                "OPEN PENDING",
                "MODIFY PENDING",
                "TRIGGER PENDING",
                "CANCEL PENDING",
                "AMO REQ RECEIVED",
                "CANCELLED AMO",
                "complete",
                "WORKING",
                "SOMETHING NEW",
            )
        ),
    ],
)
def test_only_three_statuses_are_over_and_all_others_are_live(raw, status):
    report = one_order(status=raw)

    assert (report.status, report.raw_status) == (status, raw)


def test_times_are_indian_and_aware_and_the_newest_is_taken():
    assert one_order().updated_at == NINE + timedelta(seconds=3)
    assert one_order(exchange_update_timestamp=None).updated_at == NINE + timedelta(seconds=2)
    assert one_order(exchange_update_timestamp=None, exchange_timestamp=None).updated_at.tzinfo == INDIA
    none_at_all = one_order(exchange_update_timestamp=None, exchange_timestamp=None, order_timestamp=None)
    assert none_at_all.updated_at == NINE


@pytest.mark.parametrize(
    "text", [None, "", "09:30:01", "2026-06-17", "2026-13-17 09:30:01", "yesterday, at nine...", 5]
)
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ValueError):
        read_time(text)


@pytest.mark.parametrize(
    ("fields", "tag"),
    [
        ({"tag": OURS}, OURS),
        ({"tag": None, "tags": ["mktp", OURS]}, OURS),
        ({"tag": "mktp", "tags": ["mktp:2.00", OURS]}, OURS),
        ({"tag": "someone", "tags": ["mktp"]}, "someone"),
        ({"tag": None}, None),
        ({"tag": ""}, None),
        ({"tag": None, "tags": None}, None),
        ({"tag": None, "tags": ["mktp"]}, None),
    ],
)
def test_our_tag_is_found_wherever_kite_shows_it(fields, tag):
    assert one_order(**fields).tag == tag


@pytest.mark.parametrize(
    "wrong",
    [
        {"order_id": None},
        {"order_id": ""},
        {"status": None},
        {"transaction_type": "HOLD"},
        {"exchange": None},
        {"tradingsymbol": 5},
        {"product": None},
        {"quantity": None},
        {"quantity": "65"},
        {"quantity": True},
        {"quantity": 65.5},
        {"filled_quantity": None},
        {"filled_quantity": -1},
        {"filled_quantity": 66},
        {"exchange_update_timestamp": "soon"},
    ],
    ids=str,
)
def test_a_row_of_ours_that_cannot_be_read_makes_the_book_unreadable_and_one_of_others_does_not(wrong):
    with pytest.raises(UnavailableError, match="half a book"):
        read_book([order_row(order_id="1"), order_row(**wrong)], [], NINE)

    seen = read_book([order_row(order_id="1"), order_row(**(wrong | {"tag": "someone"}))], [], NINE)
    assert [report.order_id for report in seen.book.orders] == ["1"]
    assert len(seen.left_out) == 1


@pytest.mark.parametrize("row", [None, 5, [], "text", {}, {"order_id": "1"}])
def test_a_row_that_nobody_can_be_asked_about_makes_the_book_unreadable(row):
    with pytest.raises(UnavailableError):
        read_book([row], [], NINE)
    with pytest.raises(UnavailableError):
        read_book([], [row], NINE)


@pytest.mark.parametrize(
    "wrong",
    [{"trade_id": None}, {"quantity": 0}, {"average_price": 0}, {"average_price": "100"}, {"average_price": True},
     {"fill_timestamp": "09:30:02"}, {"quantity": 1.5}],
    ids=str,
)  # fmt: skip
def test_a_trade_of_ours_must_be_readable_and_one_of_others_need_not(wrong):
    with pytest.raises(UnavailableError):
        read_book([order_row()], [trade_row(**wrong)], NINE)
    with pytest.raises(UnavailableError):
        read_book([], [trade_row(**wrong)], NINE)

    seen = read_book([order_row(tag=None)], [trade_row(**wrong)], NINE)
    assert seen.book.fills == ()
    assert len(seen.left_out) == 1


def test_a_trade_is_a_fill_of_whole_paise():
    [fill] = read_book([order_row()], [trade_row()], NINE).book.fills

    assert (fill.fill_id, fill.order_id, fill.quantity, fill.price_paise) == (
        "70000001",
        "260617000000001",
        65,
        10005,
    )
    assert fill.at == NINE + timedelta(seconds=2)


def test_a_whole_number_may_be_written_as_a_float_and_unknown_fields_do_not_matter():
    report = one_order(quantity=65.0, filled_quantity=65.0, brand_new={"a": [1]}, instrument_token=None)

    assert (report.quantity, report.filled_quantity, report.token) == (65, 65, 0)
    assert type(report.quantity) is int


def test_a_rejection_tells_why():
    report = one_order(status="REJECTED", status_message="Insufficient funds.", status_message_raw="RMS:1")

    assert report.message == "Insufficient funds."


def test_positions_are_net_by_symbol_and_product_and_closed_ones_are_left_out():
    def row(symbol, product, quantity):
        return {"exchange": "NFO", "tradingsymbol": symbol, "product": product, "quantity": quantity, "last_price": 5}

    data = {
        "net": [row("A", "MIS", 65), row("A", "NRML", -130.0), row("B", "MIS", 0), row("A", "MIS", 65)],
        "day": [row("C", "MIS", 65)],
    }

    assert read_positions(data) == (NetPosition("NFO", "A", "MIS", 130), NetPosition("NFO", "A", "NRML", -130))


@pytest.mark.parametrize("data", [{}, {"net": None}, {"net": {}}, {"net": [None]}, {"net": [{"exchange": "NFO"}]}])
def test_positions_that_cannot_be_read_are_no_positions(data):
    with pytest.raises(UnavailableError):
        read_positions(data)


@pytest.mark.skipif(not MOCKS.exists(), reason="no folder shared/kite-mocks beside this checkout: Kite's own shapes")
class TestRealShapes:
    @staticmethod
    def data(name):
        return json.loads((MOCKS / f"{name}.json").read_text())["data"]

    @pytest.mark.parametrize("name", ["orders", "order_info"])
    def test_every_row_of_kites_own_order_books_is_read(self, name):
        rows = self.data(name)

        seen = read_book(rows, [], NINE)

        assert seen.left_out == ()
        assert [report.order_id for report in seen.book.orders] == [row["order_id"] for row in rows]
        assert {report.raw_status for report in seen.book.orders} == {row["status"] for row in rows}

    @pytest.mark.parametrize("name", ["trades", "order_trades"])
    def test_every_row_of_kites_own_trade_books_is_read(self, name):
        rows = self.data(name)

        fills = read_book([], rows, NINE).book.fills

        assert [fill.fill_id for fill in fills] == [row["trade_id"] for row in rows]
        for fill, row in zip(fills, rows, strict=True):
            # Currencies have prices finer than a paisa; options do not.
            assert abs(fill.price_paise - Decimal(str(row["average_price"])) * 100) <= Decimal("0.5")

    def test_kites_own_positions_are_read(self):
        data = self.data("positions")

        held = {(each.tradingsymbol, each.product): each.quantity for each in read_positions(data)}

        assert held == {
            (row["tradingsymbol"], row["product"]): row["quantity"] for row in data["net"] if row["quantity"]
        }
