"""Positions, margins and the account in Kite's words. Source: kite.trade/docs/connect/v3/portfolio and /user. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction

import msgspec

from fsm_trader.broker.paper.order import PaperOrder
from fsm_trader.core.money import nearest_paise
from fsm_trader.core.orders import Fill, Side
from fsm_trader.simulate.sandbox.order_rows import USER_ID, Row, number

OPENING_PAISE = 10_000_000_00
"""What the made-up account begins the day with; it limits nothing."""

_NOTHING_USED = (
    "debits",
    "exposure",
    "m2m_realised",
    "m2m_unrealised",
    "option_premium",
    "payout",
    "span",
    "holding_sales",
    "turnover",
    "liquid_collateral",
    "stock_collateral",
    "delivery",
)


class Held(msgspec.Struct):
    """What was bought and sold of one instrument under one product: units and paise."""

    bought: int = 0
    bought_paise: int = 0
    sold: int = 0
    sold_paise: int = 0

    def add(self, side: Side, fill: Fill) -> None:
        """Book one fill."""
        if side is Side.BUY:
            self.bought += fill.quantity
            self.bought_paise += fill.quantity * fill.price_paise
        else:
            self.sold += fill.quantity
            self.sold_paise += fill.quantity * fill.price_paise


def positions(dealt: Iterable[tuple[PaperOrder, Fill]], last_of: Callable[[int], int]) -> Row:
    """Return net and day positions, closed ones with quantity 0 among them; all were opened today.

    Args:
        dealt: fills with their orders.
        last_of: last price of a token in paise, 0 where there is none.
    """
    held: dict[tuple[str, str, str, int], Held] = {}
    for order, fill in dealt:
        request = order.request
        key = (request.exchange, request.tradingsymbol, request.product, request.token)
        held.setdefault(key, Held()).add(request.side, fill)
    rows = [_position(key, each, last_of(key[3])) for key, each in held.items()]
    return {"net": rows, "day": [dict(row) for row in rows]}


def margins(dealt: Iterable[tuple[PaperOrder, Fill]]) -> Row:
    """Return the account's segments: what it began with, less what was paid, plus what was received."""
    all_of_it = Held()
    for order, fill in dealt:
        all_of_it.add(order.request.side, fill)
    spent = all_of_it.bought_paise - all_of_it.sold_paise
    return {"equity": _segment(OPENING_PAISE, spent), "commodity": _segment(0, 0)}


def profile() -> Row:
    """Return the account's owner."""
    return {
        "user_id": USER_ID,
        "user_type": "individual",
        "email": "sandbox@example.com",
        "user_name": "Sandbox Account",
        "user_shortname": "Sandbox",
        "broker": "ZERODHA",
        "exchanges": ["NSE", "NFO"],
        "products": ["CNC", "NRML", "MIS"],
        "order_types": ["MARKET", "LIMIT", "SL-M"],
        "avatar_url": None,
        "meta": {"demat_consent": "physical"},
    }


def _segment(opening: int, spent: int) -> Row:
    left = number(opening - spent)
    return {
        "enabled": True,
        "net": left,
        "available": {
            "adhoc_margin": 0,
            "cash": number(opening),
            "opening_balance": number(opening),
            "live_balance": left,
            "collateral": 0,
            "intraday_payin": 0,
        },
        "utilised": {**dict.fromkeys(_NOTHING_USED, 0), "debits": number(spent), "option_premium": number(spent)},
    }


def _position(key: tuple[str, str, str, int], held: Held, last: int) -> Row:
    exchange, symbol, product, token = key
    quantity = held.bought - held.sold
    value = held.sold_paise - held.bought_paise
    gain = number(value + quantity * last)
    buy_price, sell_price = _average(held.bought_paise, held.bought), _average(held.sold_paise, held.sold)
    buy, sell = number(held.bought_paise), number(held.sold_paise)
    return {
        "tradingsymbol": symbol,
        "exchange": exchange,
        "instrument_token": token,
        "product": product,
        "quantity": quantity,
        "overnight_quantity": 0,
        "multiplier": 1,
        "average_price": 0 if quantity == 0 else buy_price if quantity > 0 else sell_price,
        "close_price": 0,
        "last_price": number(last),
        "value": number(value),
        "pnl": gain,
        "m2m": gain,
        "unrealised": gain,
        "realised": 0,
        "buy_quantity": held.bought,
        "buy_price": buy_price,
        "buy_value": buy,
        "buy_m2m": buy,
        "sell_quantity": held.sold,
        "sell_price": sell_price,
        "sell_value": sell,
        "sell_m2m": sell,
        "day_buy_quantity": held.bought,
        "day_buy_price": buy_price,
        "day_buy_value": buy,
        "day_sell_quantity": held.sold,
        "day_sell_price": sell_price,
        "day_sell_value": sell,
    }


def _average(amount: int, quantity: int) -> int | float:
    return number(nearest_paise(Fraction(amount, quantity))) if quantity else 0
