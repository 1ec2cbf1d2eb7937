"""A market order as the limit order that Kite makes of it, priced by us from a quote.

Pure: a quote and a request in, a price out.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from fsm_trader.broker.paper.pricing import AUTO_PROTECTION, protected_limit
from fsm_trader.core.money import Paise, price_seen, round_to_tick
from fsm_trader.core.orders import OrderRequest, Side
from fsm_trader.errors import UnavailableError
from fsm_trader.kite.shapes import read_time

_OLDEST_TRADE = timedelta(seconds=60)


def marketable_limit(quote: Any, request: OrderRequest, *, tick_paise: int, now: datetime) -> Paise:
    """Return a limit that fills at once in a market that stands still, and no further away than the protection.

    It goes by the best offer on the other side of the book, else by the last price where that is young, and stays
    inside the day's price limits where the quote names them.

    Args:
        quote: Kite's for the instrument.
        request: a market order.
        tick_paise: tick size in paise.
        now: the present.

    Raises:
        UnavailableError: the quote has no price to go by.
    """
    if not isinstance(quote, Mapping):
        raise UnavailableError(f"Kite, quote of {request.tradingsymbol}: none; expected a price to go by")
    base = _offered(quote, request.side) or _young_last(quote, now)
    if base is None:
        raise UnavailableError(
            f"Kite, quote of {request.tradingsymbol}: no offer and no trade within {_OLDEST_TRADE.seconds} s; expected "
            "a price to go by"
        )
    limit = protected_limit(
        base, request.side, protection=request.market_protection or AUTO_PROTECTION, tick_paise=tick_paise
    )
    return _inside(limit, quote, tick_paise)


def _offered(quote: Mapping[str, Any], side: Side) -> Paise | None:
    depth = quote.get("depth")
    offers = depth.get("sell" if side is Side.BUY else "buy") if isinstance(depth, Mapping) else None
    best = offers[0] if isinstance(offers, list) and offers else None
    return _price(best, "price") if isinstance(best, Mapping) else None


def _young_last(quote: Mapping[str, Any], now: datetime) -> Paise | None:
    try:
        traded_at = read_time(quote.get("last_trade_time"))
    except ValueError:
        # Never traded today: there is no last price to speak of.
        return None
    return _price(quote, "last_price") if now - traded_at <= _OLDEST_TRADE else None


def _inside(limit: Paise, quote: Mapping[str, Any], tick_paise: int) -> Paise:
    lowest, highest = _price(quote, "lower_circuit_limit"), _price(quote, "upper_circuit_limit")
    if highest is not None:
        limit = min(limit, round_to_tick(highest, tick_paise, up=False))
    if lowest is not None:
        limit = max(limit, round_to_tick(lowest, tick_paise, up=True))
    return limit


def _price(row: Mapping[str, Any], key: str) -> Paise | None:
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        price = price_seen(value)
    except ValueError:
        return None
    return price if price > 0 else None
