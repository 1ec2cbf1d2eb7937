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
from fsm_trader.core.tags import read_tag
from fsm_trader.errors import UnavailableError
from fsm_trader.kite.shapes import read_time

_OLDEST_TRADE = timedelta(seconds=60)
# The exchange refuses a limit further than 40 % from its reference, or than 20 rupees up to a premium of 50 (limit
# price protection; tradingqna 193460). That reference is the mean of the last half minute, not our last price, so an
# exit that widens stops at three quarters of it.
_CHEAP = 5_000
_FURTHEST_CHEAP = 1_500
_FURTHEST_PERCENT = 30


def marketable_limit(
    quote: Any, request: OrderRequest, *, tick_paise: int, now: datetime, sold_parts: int = 0
) -> Paise:
    """Return the limit for a market order: one protection from the best offer, and none too far from the last price.

    The last price binds as it does where Kite makes the limit: an offer far from it is not met. An entry needs a young
    one. An exit takes any, for its order has to leave, and each further attempt, which its tag counts, goes one more
    protection away from it. The day's price limits are kept where the quote names them.

    Args:
        quote: Kite's for the instrument.
        request: a market order.
        tick_paise: tick size in paise.
        now: the present.
        sold_parts: exits of the same trade that were whole: an attempt that came to its end is no reason to go further.

    Raises:
        UnavailableError: the quote has no price to go by.
    """
    if not isinstance(quote, Mapping):
        raise UnavailableError(f"Kite, quote of {request.tradingsymbol}: none; expected a price to go by")
    last = _price(quote, "last_price") if request.side is Side.SELL or _is_young(quote, now) else None
    if last is None:
        raise UnavailableError(
            f"Kite, quote of {request.tradingsymbol}: no last price of the last {_OLDEST_TRADE.seconds} s; expected "
            "one, since an offer alone is no price to go by"
        )
    furthest = _furthest(last, request, tick_paise, sold_parts)
    offered = _offered(quote, request.side)
    if offered is None:
        return _inside(furthest, quote, tick_paise)
    limit = _protected(offered, request, tick_paise)
    nearer = min(limit, furthest) if request.side is Side.BUY else max(limit, furthest)
    return _inside(nearer, quote, tick_paise)


def _furthest(last: Paise, request: OrderRequest, tick_paise: int, sold_parts: int) -> Paise:
    """Return the worst limit that the last price allows at this attempt."""
    first = _protected(last, request, tick_paise)
    parts = read_tag(request.tag)
    if request.side is Side.BUY or parts is None:
        return first
    step = max(last - first, tick_paise)
    allowed = _FURTHEST_CHEAP if last <= _CHEAP else last * _FURTHEST_PERCENT // 100
    away = min(last - first + step * max(0, parts.attempt - 1 - sold_parts), allowed)
    widened = round_to_tick(last - away, tick_paise, up=True)
    return Paise(max(tick_paise, min(first, widened)))


def _protected(price: Paise, request: OrderRequest, tick_paise: int) -> Paise:
    protection = request.market_protection or AUTO_PROTECTION
    return protected_limit(price, request.side, protection=protection, tick_paise=tick_paise)


def _offered(quote: Mapping[str, Any], side: Side) -> Paise | None:
    depth = quote.get("depth")
    offers = depth.get("sell" if side is Side.BUY else "buy") if isinstance(depth, Mapping) else None
    best = offers[0] if isinstance(offers, list) and offers else None
    return _price(best, "price") if isinstance(best, Mapping) else None


def _is_young(quote: Mapping[str, Any], now: datetime) -> bool:
    try:
        traded_at = read_time(quote.get("last_trade_time"))
    except ValueError:
        # Never traded today: there is no last price to speak of.
        return False
    return now - traded_at <= _OLDEST_TRADE


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
