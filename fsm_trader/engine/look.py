"""The look before an exit: whether there is one, and what it says. Nothing is sold that the broker does not hold (I3).

It asks nobody: ``act`` does, right before the order leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from fsm_trader.core.orders import NetPosition, OrderBook, OrderReport, OrderRequest, Side
from fsm_trader.core.reconcile import net_in_book
from fsm_trader.core.tags import read_tag
from fsm_trader.core.trades import Trade

if TYPE_CHECKING:
    from fsm_trader.engine.floor import Floor


class Look(msgspec.Struct, frozen=True):
    """How a look is taken.

    Args:
        by_book: what is held is what the book says was bought and not sold: the positions are known not to tell.
        not_before: until then not even the broker can say what is held, and nothing is sent.
    """

    by_book: bool = False
    not_before: datetime | None = None


def look_before_exit(floor: Floor, trade: Trade, attempt: int, *, since: datetime) -> Look | None:
    """Return the look that an exit takes, None where all was told: trade and account were followed from the entry on.

    Args:
        floor: what the last comparison with the broker said.
        trade: what is left.
        attempt: number of the exit; only the first may leave unseen.
        since: when this process began to follow trades.
    """
    if attempt == 1 and floor.sure_from is None and _is_sure(floor, trade, since):
        return None
    return Look(trade.trade_id in floor.compared.unshown, floor.sure_from)


def too_early(now: datetime, look: Look) -> str:
    """Say why nothing can be sold yet; empty when it can."""
    if look.not_before is None or now >= look.not_before:
        return ""
    return (
        "rows of the journal are gone, and an exit among them may be on its way: nothing is sold before "
        f"{look.not_before:%H:%M:%S}; nothing was sent (I3)"
    )


def short_of(request: OrderRequest, book: OrderBook, positions: Sequence[NetPosition], *, by_book: bool) -> str:
    """Say why a sale would sell more than is held; empty when it would not."""
    if any(row.tag == request.tag for row in book.orders):
        return f"the broker has an order {request.tag} already; nothing was sent, and that one is followed (I2)"
    key = (request.exchange, request.tradingsymbol, request.product)
    net = sum(each.quantity for each in positions if (each.exchange, each.tradingsymbol, each.product) == key)
    in_book = net_in_book(book, key) if by_book else None
    net = net if in_book is None else in_book
    free = net - sum(_unsold(row) for row in book.orders if (row.exchange, row.tradingsymbol, row.product) == key)
    if free >= request.quantity:
        return ""
    return (
        f"the broker holds {net} {request.tradingsymbol}, {net - free} of them on sale by us, less than "
        f"{request.quantity}; nothing was sent (I3)"
    )


def _unsold(row: OrderReport) -> int:
    """Return how many units an order of ours may still sell."""
    is_ours = read_tag(row.tag) is not None
    return row.quantity - row.filled_quantity if is_ours and row.side is Side.SELL and not row.status.is_terminal else 0


def _is_sure(floor: Floor, trade: Trade, since: datetime) -> bool:
    is_followed = trade.opened_at >= since and trade.session == floor.session and not trade.is_adopted
    if not is_followed or trade.trade_id in floor.compared.doubted or trade.filled_at is None:
        return False
    # A comparison leaves out what still moves; units that came after it were not compared.
    return floor.compared.shown.get(trade.trade_id) == trade.held and floor.is_net_known(trade.filled_at)
