"""Property: whatever is ordered, the sandbox tells of orders and fills what the paper broker's engine makes of them."""

from __future__ import annotations

import tempfile
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsm_trader.app.files import settings_of
from fsm_trader.app.sandbox import Wishes, open_service
from fsm_trader.broker.paper.book import PaperBook
from fsm_trader.broker.paper.matching import Market, Matching, Progress
from fsm_trader.core.money import price_seen
from fsm_trader.core.orders import OrderStatus
from fsm_trader.errors import RefusedError
from fsm_trader.simulate.sandbox.calls import Call, route_of
from fsm_trader.simulate.sandbox.clock import DayClock
from fsm_trader.simulate.sandbox.forms import KiteError, order_request

from .conftest import ROOT, _read_once

SETTINGS = settings_of(ROOT / "session.yaml")
ORDERS = st.fixed_dictionaries(
    {
        "exchange": st.just("NFO"),
        "tradingsymbol": st.sampled_from([*["NIFTY2662324600CE"] * 3, "NIFTY2662324600PE", "NIFTY2662399999CE"]),
        "transaction_type": st.sampled_from(["BUY", "SELL"]),
        "quantity": st.sampled_from(["65", "65", "130", "650", "64"]),
        "product": st.sampled_from(["MIS", "MIS", "MIS", "NRML"]),
        "order_type": st.sampled_from(["MARKET", "MARKET", "LIMIT", "SL-M"]),
        "price": st.sampled_from(["1.05", "150", "300", "150.03"]),
        "trigger_price": st.sampled_from(["100", "160"]),
        "market_protection": st.sampled_from(["-1", "2", "100"]),
        "validity": st.sampled_from(["DAY", "IOC"]),
    }
)
FIRST = {
    "exchange": "NFO",
    "tradingsymbol": "NIFTY2662324600CE",
    "transaction_type": "BUY",
    "quantity": "650",
    "product": "MIS",
    "order_type": "MARKET",
    "market_protection": "-1",
}
LAST = {**FIRST, "transaction_type": "SELL", "quantity": "65"}
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("place"), ORDERS),
        st.tuples(st.just("cancel"), st.integers(0, 5)),
        st.tuples(st.just("place"), ORDERS),
        st.tuples(st.just("wait"), st.sampled_from([7.0, 0.05, 0.15, 0.3, 65.0, 900.0])),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS, seed=st.integers(0, 3))
def test_the_order_book_is_the_engines(steps, seed):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("fsm_trader.app.sandbox.recorded_day", _read_once)
        sandbox = _Twin(Path(folder), seed)
        try:
            # Something to sell for what comes after it, and a sale at the end.
            whole = [("place", FIRST), ("wait", 7.0), *steps, ("place", LAST), ("wait", 7.0)]
            for number, (kind, value) in enumerate(whole):
                sandbox.do(kind, value, f"tag{number}")
                assert sandbox.rows() == sandbox.engine_rows()
                assert sandbox.held() == sandbox.engine_held()
        finally:
            sandbox.close()


class _Twin:
    """A sandbox and an engine of the same kind beside it, which are given the same orders at the same times."""

    def __init__(self, folder: Path, seed: int) -> None:
        loaded = SETTINGS
        self.paper = msgspec.structs.replace(
            loaded.broker.paper,
            book=folder / "paper.db",
            seed=seed,
            partial_fills=Decimal("0.5"),
            rejects=Decimal("0.2"),
        )
        changed = msgspec.structs.replace(loaded, broker=msgspec.structs.replace(loaded.broker, paper=self.paper))
        self.book = PaperBook(folder / "sandbox.db")
        self.service = open_service(changed, Wishes(limits=False), self.book)
        self.kite = self.service.kite
        self.seconds = 0.0
        start = datetime.fromisoformat("2026-06-17T09:30:00+05:30")
        self.kite.clock = DayClock(start, start + timedelta(hours=7), 1.0, seconds=lambda: self.seconds)
        self.service.begin()
        self.service.tick()
        day = self.kite.exchange.day
        market = Market(day, self.kite.exchange.contracts.get, opens_at=day.opens_at, closes_at=day.closes_at)
        prefix = self.book.world.id_prefix + "0000"
        self.engine = Matching(self.paper, market, id_prefix=prefix, progress=Progress(self.kite.exchange.now))

    def do(self, kind: str, value: object, tag: str) -> None:
        if kind == "wait":
            self.seconds += value
            self.service.tick()
            self.engine.advance(self.kite.clock.now())
            return
        now = self.kite.clock.now()
        if kind == "cancel":
            ids = [order.order_id for order in self.kite.exchange.orders]
            if value >= len(ids):
                return
            answer = self._call("DELETE", f"/orders/regular/{ids[value]}")
            refused = _refused(lambda: self.engine.cancel(ids[value], now))
        else:
            form = {**value, "tag": tag}
            answer = self._call("POST", "/orders/regular", form)
            try:
                request = order_request(form, self.kite.exchange.contracts.get)
            except KiteError:  # the form itself was refused, before any engine was asked
                assert answer.status == 400
                return
            refused = _refused(lambda: self.engine.place(request, now))
        assert (answer.status != 200) is refused

    def rows(self) -> list[tuple[object, ...]]:
        trades = self.kite.trades()
        return [
            (
                row["order_id"],
                row["tag"],
                row["transaction_type"],
                row["quantity"],
                row["filled_quantity"],
                _status(row["status"]),
                [
                    (trade["quantity"], price_seen(trade["average_price"]))
                    for trade in trades
                    if trade["order_id"] == row["order_id"]
                ],
            )
            for row in self.kite.order_book()
        ]

    def engine_rows(self) -> list[tuple[object, ...]]:
        book = self.engine.book()
        return [
            (
                row.order_id,
                row.tag,
                row.side,
                row.quantity,
                row.filled_quantity,
                row.status,
                [(fill.quantity, fill.price_paise) for fill in book.fills if fill.order_id == row.order_id],
            )
            for row in book.orders
        ]

    def held(self) -> dict[tuple[str, str], int]:
        net = self.kite.positions(timedelta(0))["net"]
        return {(row["tradingsymbol"], row["product"]): row["quantity"] for row in net if row["quantity"]}

    def engine_held(self) -> dict[tuple[str, str], int]:
        return {(held.tradingsymbol, held.product): held.quantity for held in self.engine.positions()}

    def close(self) -> None:
        self.book.close()

    def _call(self, method: str, path: str, form: dict[str, str] | None = None):
        route, parts = route_of(method, path)
        return self.kite.answer(route, Call(method, path, form=form or {}), parts)


def _refused(act) -> bool:
    try:
        act()
    except RefusedError:
        return True
    return False


def _status(text: str) -> OrderStatus:
    return OrderStatus(text) if text in ("COMPLETE", "CANCELLED", "REJECTED") else OrderStatus.WORKING
