"""Orders and fills as the broker tells of them, and how two tellings of one order are merged."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

import msgspec

from fsm_trader.core.money import Paise


class Side(StrEnum):
    """Direction of an order."""

    BUY = "BUY"
    SELL = "SELL"


class Role(StrEnum):
    """What an order is for in its trade."""

    ENTRY = "entry"
    EXIT = "exit"


class OrderKind(StrEnum):
    """How an order is priced. STOP is a stop-loss market order: it waits for its trigger price."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    STOP = "SL-M"


class OrderStatus(StrEnum):
    """Where an order stands. Every status we do not know counts as WORKING: it may still fill."""

    WORKING = "WORKING"
    COMPLETE = "COMPLETE"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"

    @property
    def is_terminal(self) -> bool:
        """True when the order can never fill again."""
        return self is not OrderStatus.WORKING


class OrderRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Exactly what is asked of the broker.

    Args:
        tag: our own unique key, 20 letters and digits, returned by the order book.
        exchange, tradingsymbol, token: the instrument.
        side: BUY or SELL.
        quantity: units (not lots); at least 1.
        product: ``MIS`` or ``NRML``; an exit uses its entry's.
        kind: MARKET, LIMIT or STOP.
        price_paise: limit price, on the tick; None for the others.
        trigger_paise: trigger price of a STOP; None for the others.
        market_protection: percent a MARKET or STOP order may run from the last price; -1 lets the broker choose.
        validity: ``DAY`` or ``IOC``.
    """

    tag: str
    exchange: str
    tradingsymbol: str
    token: int
    side: Side
    quantity: int
    product: str
    kind: OrderKind
    price_paise: Paise | None = None
    trigger_paise: Paise | None = None
    market_protection: Decimal | None = None
    validity: str = "DAY"


class OrderReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """One row of the broker's order book, in our words.

    Args:
        order_id: the broker's key.
        tag: ours, None for an order we did not send.
        quantity, filled_quantity: units.
        status: see OrderStatus; *raw_status* keeps the broker's own word.
        message: the broker's reason, empty when it gave none.
        updated_at: aware time of the last change.
    """

    order_id: str
    tag: str | None
    exchange: str
    tradingsymbol: str
    token: int
    side: Side
    product: str
    quantity: int
    filled_quantity: int
    status: OrderStatus
    updated_at: datetime
    raw_status: str = ""
    message: str = ""


class Fill(msgspec.Struct, frozen=True):
    """One execution: *quantity* units at *price_paise*, unique by *fill_id*."""

    fill_id: str
    order_id: str
    quantity: int
    price_paise: Paise
    at: datetime


class NetPosition(msgspec.Struct, frozen=True):
    """Net units held of one instrument under one product (negative: sold short)."""

    exchange: str
    tradingsymbol: str
    product: str
    quantity: int


class OrderBook(msgspec.Struct, frozen=True):
    """One complete read of the day's orders and fills, in no particular order.

    Args:
        is_whole: no row was left out; of others' orders some may be, where they cannot be read.
    """

    orders: tuple[OrderReport, ...]
    fills: tuple[Fill, ...]
    read_at: datetime
    is_whole: bool = True


def merge(known: OrderReport | None, seen: OrderReport) -> OrderReport:
    """Combine what was known of an order with what was just seen, never going back.

    A terminal status never reverts and filled quantity never falls: brokers repeat and reorder their updates.

    Raises:
        ValueError: the two reports are of different orders.
    """
    if known is None:
        return seen
    if known.order_id != seen.order_id:
        raise ValueError(f"report of order {seen.order_id} merged into order {known.order_id}")
    filled = max(known.filled_quantity, seen.filled_quantity)
    if known.status.is_terminal:
        return msgspec.structs.replace(known, filled_quantity=filled) if filled != known.filled_quantity else known
    return msgspec.structs.replace(seen, filled_quantity=filled) if filled != seen.filled_quantity else seen
