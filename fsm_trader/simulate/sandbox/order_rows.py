"""Orders and fills in Kite's words: rows of the order book, an order's history, trades, and order updates.

Source: kite.trade/docs/connect/v3/orders and /postbacks. Pure; it must not know HTTP or who asks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from fsm_trader.broker.paper.order import CANCEL_PENDING, PaperOrder, State
from fsm_trader.core.money import nearest_paise
from fsm_trader.core.orders import Fill, OrderKind
from fsm_trader.simulate.sandbox.exchange import NO_TAG

USER_ID = "SB0001"
RECEIVED, VALIDATION = "PUT ORDER REQ RECEIVED", "VALIDATION PENDING"
_STEPS = (RECEIVED, VALIDATION, State.OPEN_PENDING.value)
_ASKED = "Cancelled as asked."
Row = dict[str, Any]


def number(paise: int) -> int | float:
    """Return paise as rupees the way Kite's JSON does: a whole number where it is one."""
    return paise // 100 if paise % 100 == 0 else paise / 100


def stamp(at: datetime | None) -> str | None:
    """Return a time as Kite writes it: seconds, no offset, in the exchange's zone."""
    return None if at is None else f"{at:%Y-%m-%d %H:%M:%S}"


def status_at(order: PaperOrder, now: datetime, latency: timedelta) -> str:
    """Return an order's status; the time before it reaches the market is spent in Kite's three interim ones."""
    if order.cancel_at is not None and not order.is_done:
        return CANCEL_PENDING
    if order.state is not State.OPEN_PENDING:
        return order.state.value
    passed = (now - order.arrived_at) * len(_STEPS)
    step = int(passed / latency) if latency else len(_STEPS)
    return _STEPS[min(max(step, 0), len(_STEPS) - 1)]


def order_row(order: PaperOrder, fills: Sequence[Fill], status: str, latency: timedelta) -> Row:
    """Return the order book's row of an order in the given status."""
    return _row(order, fills, status, order.updated_at, latency)


def history(order: PaperOrder, fills: Sequence[Fill], now: datetime, latency: timedelta) -> list[Row]:
    """Return what became of an order, first status first; the last row is the order book's.

    A stop order's wait for its trigger is one row, and so is a cancellation under way: the book keeps no more of them.
    """
    rows = [_row(order, fills[:done], status, at, latency) for status, at, done in _past(order, fills, latency, now)]
    return [*rows, order_row(order, fills, status_at(order, now, latency), latency)]


def trade_row(order: PaperOrder, fill: Fill, play: int) -> Row:
    """Return one fill as a trade."""
    number_ = int(fill.fill_id.rpartition("-")[2])
    request = order.request
    return {
        "trade_id": f"{play:03d}{order.number:06d}{number_}",
        "order_id": order.order_id,
        "exchange": request.exchange,
        "tradingsymbol": request.tradingsymbol,
        "instrument_token": request.token,
        "product": request.product,
        "average_price": number(fill.price_paise),
        "quantity": fill.quantity,
        "exchange_order_id": _exchange_order_id(order),
        "transaction_type": request.side.value,
        "fill_timestamp": stamp(fill.at),
        "order_timestamp": f"{order.arrived_at:%H:%M:%S}",
        "exchange_timestamp": stamp(fill.at),
    }


def update(order: PaperOrder, fills: Sequence[Fill], latency: timedelta, api_secret: str) -> Row:
    """Return the order update that a change of *order* sends; its status is one of Kite's four for updates."""
    row = order_row(order, fills, order.state.value if order.is_done else "UPDATE", latency)
    for key in ("account_id", "modified", "validity_ttl", "tags"):
        row.pop(key, None)
    text = f"{order.order_id}{row['order_timestamp']}{api_secret}"
    return {
        "user_id": USER_ID,
        "unfilled_quantity": order.open_quantity,
        "app_id": 1,
        "checksum": hashlib.sha256(text.encode()).hexdigest(),
        **row,
    }


def is_told(before: PaperOrder | None, after: PaperOrder) -> bool:
    """Return whether Kite sends an order update: not when it is placed, but on fills, triggers and its end."""
    if before is None:
        return after.is_done or after.filled > 0
    triggered = before.state is State.TRIGGER_PENDING and after.state is State.OPEN
    return triggered or after.filled != before.filled or after.is_done


def _past(
    order: PaperOrder, fills: Sequence[Fill], latency: timedelta, now: datetime
) -> Iterator[tuple[str, datetime, int]]:
    entered = order.arrived_at + latency
    present = status_at(order, now, latency)
    for step, status in enumerate(_STEPS):
        if status == present:
            return
        yield status, order.arrived_at + latency * step / len(_STEPS), 0
    if order.state is State.REJECTED:
        return
    is_stop = order.request.kind is OrderKind.STOP
    if is_stop and order.state is not State.TRIGGER_PENDING:
        yield State.TRIGGER_PENDING.value, entered, 0
    has_opened = not is_stop or bool(fills) or (order.limit_paise is not None)
    if has_opened and present != State.OPEN.value:
        yield State.OPEN.value, entered, 0
    for done in range(1, len(fills) + 1):
        if done < len(fills) or not order.is_done:
            yield State.OPEN.value, fills[done - 1].at, done
    if order.state is State.CANCELLED and order.message == _ASKED:
        yield CANCEL_PENDING, max(order.updated_at - latency, entered), len(fills)


def _row(order: PaperOrder, fills: Sequence[Fill], status: str, updated_at: datetime, latency: timedelta) -> Row:
    request = order.request
    filled = sum(fill.quantity for fill in fills)
    left = request.quantity - filled
    in_market = status not in (*_STEPS, State.REJECTED.value)
    is_market = request.kind is OrderKind.MARKET
    tags = _tags(order)
    row: Row = {
        "account_id": USER_ID,
        "placed_by": USER_ID,
        "order_id": order.order_id,
        "exchange_order_id": _exchange_order_id(order) if in_market else None,
        "parent_order_id": None,
        "status": status,
        "status_message": _message(order, status),
        "status_message_raw": _message(order, status),
        "order_timestamp": stamp(order.arrived_at),
        "exchange_update_timestamp": stamp(updated_at) if in_market else None,
        "exchange_timestamp": stamp(order.arrived_at + latency) if in_market else None,
        "variety": "regular",
        "modified": False,
        "exchange": request.exchange,
        "tradingsymbol": request.tradingsymbol,
        "instrument_token": request.token,
        # A protected market order lives on as the limit order it became.
        "order_type": "LIMIT" if is_market else request.kind.value,
        "transaction_type": request.side.value,
        "validity": request.validity,
        "validity_ttl": 0,
        "product": request.product,
        "quantity": request.quantity,
        "disclosed_quantity": 0,
        "price": number(order.limit_paise or 0),
        "trigger_price": number(request.trigger_paise or 0),
        "average_price": number(_average(fills)) if status == State.COMPLETE.value else 0,
        "filled_quantity": filled,
        "pending_quantity": 0 if status == State.REJECTED.value else left,
        "cancelled_quantity": left if status == State.CANCELLED.value else 0,
        "market_protection": 0,
        "meta": {},
        "tag": client_tag(order),
        "guid": None,
    }
    return {**row, "tags": tags} if tags else row


def client_tag(order: PaperOrder) -> str | None:
    """Return the tag the client sent, None where it sent none."""
    tag = order.request.tag
    return None if tag.startswith(NO_TAG) else tag


def _tags(order: PaperOrder) -> list[str]:
    tag, protection = client_tag(order), order.request.market_protection
    ours = [] if not protection else ["mktp"] if protection < 0 else ["mktp", f"mktp:{protection:.2f}"]
    return [*([] if tag is None else [tag]), *ours]


def _message(order: PaperOrder, status: str) -> str | None:
    if status not in (State.REJECTED.value, State.CANCELLED.value) or order.message == _ASKED:
        return None
    return order.message or None


def _exchange_order_id(order: PaperOrder) -> str:
    return f"1300{order.number:012d}"


def _average(fills: Sequence[Fill]) -> int:
    quantity = sum(fill.quantity for fill in fills)
    return nearest_paise(Fraction(sum(fill.quantity * fill.price_paise for fill in fills), quantity)) if quantity else 0
