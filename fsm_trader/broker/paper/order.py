"""A paper order as the matching engine keeps it, and the row an order book shows of it.

Only data and the draws that belong to one order. It must not know prices, hours or files.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

import msgspec

from fsm_trader.core.money import Paise
from fsm_trader.core.orders import OrderReport, OrderRequest, OrderStatus

CANCEL_PENDING = "CANCEL PENDING"


class State(StrEnum):
    """Where a paper order stands, in Kite's words (Kite Connect 3, orders: order statuses)."""

    OPEN_PENDING = "OPEN PENDING"
    TRIGGER_PENDING = "TRIGGER PENDING"
    OPEN = "OPEN"
    COMPLETE = "COMPLETE"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"


_STATUS = {
    State.COMPLETE: OrderStatus.COMPLETE,
    State.CANCELLED: OrderStatus.CANCELLED,
    State.REJECTED: OrderStatus.REJECTED,
}


class PaperOrder(msgspec.Struct, frozen=True, omit_defaults=True):
    """One accepted order with everything that is needed to go on with it after a restart.

    Args:
        order_id: unique over all plays of a day.
        number: place in the sequence of this play's orders, from 1.
        request: what was asked.
        lot_size: units in one lot when the order arrived.
        tick_paise: tick size in paise when the order arrived.
        arrived_at: when it was accepted.
        updated_at: when it last changed.
        state: where it stands.
        due: when it acts next by itself (it enters the market, or its second part may fill); None: only on a price.
        limit_paise: worst price it may fill at; None for a STOP that was not triggered yet.
        resting: True once it failed to fill at the market: from then on it fills at its limit.
        filled: units filled.
        parts: fills so far, at most two.
        cancel_at: when an asked cancellation takes effect.
        message: why it was rejected or cancelled.
    """

    order_id: str
    number: int
    request: OrderRequest
    lot_size: int
    tick_paise: int
    arrived_at: datetime
    updated_at: datetime
    state: State = State.OPEN_PENDING
    due: datetime | None = None
    limit_paise: Paise | None = None
    resting: bool = False
    filled: int = 0
    parts: int = 0
    cancel_at: datetime | None = None
    message: str = ""

    @property
    def is_done(self) -> bool:
        """True when it can never fill again."""
        return self.state in _STATUS

    @property
    def open_quantity(self) -> int:
        """Units that may still fill."""
        return 0 if self.is_done else self.request.quantity - self.filled


def row_of(order: PaperOrder) -> OrderReport:
    """Return the order-book row of an order; one whose cancellation is under way says so in its raw status."""
    request = order.request
    is_cancelling = order.cancel_at is not None and not order.is_done
    return OrderReport(
        order_id=order.order_id,
        tag=request.tag,
        exchange=request.exchange,
        tradingsymbol=request.tradingsymbol,
        token=request.token,
        side=request.side,
        product=request.product,
        quantity=request.quantity,
        filled_quantity=order.filled,
        status=_STATUS.get(order.state, OrderStatus.WORKING),
        updated_at=order.updated_at,
        raw_status=CANCEL_PENDING if is_cancelling else order.state.value,
        message=order.message,
    )


def happens(chance: Decimal, *, seed: int, tag: str, what: str) -> bool:
    """Draw whether something of the given chance (0 to 1) happens to the order of *tag*.

    The draw is the first 64 bits of SHA-256 over seed, tag and *what*: the same before and after a restart.
    """
    digest = hashlib.sha256(f"{seed}\n{tag}\n{what}".encode()).digest()
    return Fraction(int.from_bytes(digest[:8], "big"), 2**64) < Fraction(chance)
