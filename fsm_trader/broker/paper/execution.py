"""The life of one paper order: pure steps from a state and a price to the next state and at most one fill.

It must not know other orders, positions, hours or files; when each step is taken is the matching engine's part.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import msgspec

from fsm_trader.broker.paper.order import PaperOrder, State, happens
from fsm_trader.broker.paper.pricing import market_price, protected_limit
from fsm_trader.core.money import Paise
from fsm_trader.core.orders import Fill, OrderKind, Side
from fsm_trader.core.settings import PaperSettings

_replace = msgspec.structs.replace


class Seen(msgspec.Struct, frozen=True):
    """The last price of an order's instrument, in paise, and the instant it is looked at."""

    at: datetime
    last: Paise


class Step(msgspec.Struct, frozen=True):
    """What a step led to: the order as it is now and the fill it got, if any."""

    order: PaperOrder
    fill: Fill | None = None


def run_due(order: PaperOrder, seen: Seen, settings: PaperSettings) -> Step:
    """Take the step an order is due for: it reaches the market (or is rejected there), or its second part may fill."""
    order = _replace(order, due=None)
    if order.state is not State.OPEN_PENDING:
        return meet_price(order, seen, settings)
    if happens(settings.rejects, seed=settings.seed, tag=order.request.tag, what="reject"):
        return _end(order, State.REJECTED, seen.at, "Rejected by the paper exchange: drawn by broker.paper.rejects.")
    state = State.TRIGGER_PENDING if order.request.kind is OrderKind.STOP else State.OPEN
    return meet_price(_replace(order, state=state, updated_at=seen.at), seen, settings)


def meet_price(order: PaperOrder, seen: Seen, settings: PaperSettings) -> Step:
    """Show a price to an order that is in the market: it is triggered, fills, goes on resting or, as IOC, ends."""
    if order.state is State.TRIGGER_PENDING:
        if not _is_triggered(order, seen.last):
            return Step(order)
        order = _replace(order, state=State.OPEN, limit_paise=band_limit(order, seen.last), updated_at=seen.at)
    price = _fill_price(order, seen.last, settings)
    if price is not None:
        return _fill(order, seen.at, price, settings)
    if order.request.validity == "IOC":
        return _end(order, State.CANCELLED, seen.at, "IOC: the market was beyond the limit.")
    return Step(order if order.resting else _replace(order, resting=True, updated_at=seen.at))


def end_by_cancel(order: PaperOrder, at: datetime) -> Step:
    """Cancel what is not filled yet."""
    return _end(order, State.CANCELLED, at, "Cancelled as asked.")


def end_by_close(order: PaperOrder, at: datetime) -> Step:
    """Cancel what is not filled at the end of the trading hours: every order is for the day."""
    return _end(order, State.CANCELLED, at, "Cancelled by the paper exchange: the market closed.")


def band_limit(order: PaperOrder, last: Paise) -> Paise:
    """Return the limit a MARKET or triggered STOP order runs to from *last*, in paise."""
    request = order.request
    protection = request.market_protection or Decimal(0)
    return protected_limit(last, request.side, protection=protection, tick_paise=order.tick_paise)


def _is_triggered(order: PaperOrder, last: Paise) -> bool:
    trigger = order.request.trigger_paise
    if trigger is None:
        return True
    return last >= trigger if order.request.side is Side.BUY else last <= trigger


def _fill_price(order: PaperOrder, last: Paise, settings: PaperSettings) -> Paise | None:
    side, limit = order.request.side, order.limit_paise
    best = market_price(last, side, ticks=settings.spread_ticks, tick_paise=order.tick_paise)
    if limit is None or (best > limit if side is Side.BUY else best < limit):
        return None
    if order.resting:
        # The market came to a resting order: it is the maker, and gets its own price and no better.
        return limit
    slip = 0 if order.request.kind is OrderKind.LIMIT else settings.slippage_ticks
    paid = market_price(last, side, ticks=settings.spread_ticks + slip, tick_paise=order.tick_paise)
    return min(paid, limit) if side is Side.BUY else max(paid, limit)


def _fill(order: PaperOrder, at: datetime, price: Paise, settings: PaperSettings) -> Step:
    quantity = _part(order, settings)
    fill = Fill(f"{order.order_id}-{order.parts + 1}", order.order_id, quantity, price, at)
    filled = order.filled + quantity
    order = _replace(order, filled=filled, parts=order.parts + 1, updated_at=at)
    if filled == order.request.quantity:
        return Step(_end(order, State.COMPLETE, at, "").order, fill)
    if order.request.validity == "IOC":
        return Step(_end(order, State.CANCELLED, at, "IOC: the rest could not be matched at once.").order, fill)
    return Step(_replace(order, due=at + settings.latency), fill)


def _part(order: PaperOrder, settings: PaperSettings) -> int:
    left = order.request.quantity - order.filled
    lots = left // order.lot_size
    if order.parts or lots < 2:
        # An exchange matches whole lots, so one lot never fills in parts.
        return left
    is_split = happens(settings.partial_fills, seed=settings.seed, tag=order.request.tag, what="partial")
    return (lots + 1) // 2 * order.lot_size if is_split else left


def _end(order: PaperOrder, state: State, at: datetime, message: str) -> Step:
    return Step(_replace(order, state=state, updated_at=at, message=message, due=None, cancel_at=None))
