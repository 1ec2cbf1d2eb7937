"""Parts: what one order may carry under the exchange's freeze quantity, and when the next part of an entry is due.

A position above the freeze quantity is bought and sold in parts, each an order of its own with its own intent and tag,
one after the other. What may be traded at all it must not know: that is for the limits and the machine.
"""

from __future__ import annotations

from fsm_trader.core.contracts import OptionContract
from fsm_trader.core.orders import OrderStatus, Role
from fsm_trader.core.trades import Trade, TradeOrder

# Kite takes ten orders in a second: with more parts than this, leaving in a hurry would run into its limit.
MOST_PARTS = 10


def largest_part(contract: OptionContract) -> int | None:
    """Return the most units in whole lots that one order may have, None where the freeze quantity is not known.

    It is 0 where the freeze quantity is below one lot.
    """
    freeze = contract.freeze_quantity
    return None if freeze is None else freeze // contract.lot_size * contract.lot_size


def next_part(quantity: int, contract: OptionContract) -> int:
    """Return how many of *quantity* units the next order may have: all of them where that is allowed.

    One lot is tried even where the freeze quantity is below it: no order could be smaller, and the broker judges.
    """
    most = largest_part(contract)
    return quantity if most is None else min(quantity, max(most, contract.lot_size))


def count_parts(quantity: int, contract: OptionContract) -> int:
    """Return how many orders *quantity* units take, at least 1."""
    return max(1, -(-quantity // max(1, next_part(quantity, contract))))


def freeze_blocks(quantity: int, contract: OptionContract, *, in_parts: bool) -> tuple[str, ...]:
    """Return why so many units cannot be bought, in words with both numbers; empty when they can.

    Args:
        quantity: units wanted.
        contract: with today's freeze quantity.
        in_parts: whether the trade machine buys in parts.
    """
    most = largest_part(contract)
    if most is None or quantity <= most:
        return ()
    above = f"{quantity} units of {contract.tradingsymbol} are above its freeze quantity of {contract.freeze_quantity}"
    if most == 0:
        return (f"{above}, which is less than a lot of {contract.lot_size}",)
    if not in_parts:
        return (f"{above}, and the trade machine buys nothing in parts (entry_part_done)",)
    if count_parts(quantity, contract) > MOST_PARTS:
        return (f"{above}: {count_parts(quantity, contract)} parts; at most {MOST_PARTS} are bought",)
    return ()


def is_entry_part_due(trade: Trade) -> bool:
    """Tell whether a part of the entry may follow, by the trade alone: all before it are whole, and more is wanted.

    Never after a cancellation, a part of unknown fate or a sale (I6); never for a trade that only leads an order out.
    """
    entries = trade.orders_of(Role.ENTRY)
    if not entries or len(entries) >= MOST_PARTS or len(entries) != len(trade.orders) or trade.is_adopted:
        return False
    return all(is_whole(order) for order in entries) and trade.held == trade.filled(Role.ENTRY) < trade.quantity


def is_whole(order: TradeOrder) -> bool:
    """Tell whether an order did all it was sent for, and nobody here asked for its end before."""
    is_done = order.is_settled and order.status is OrderStatus.COMPLETE and order.cancel_asked_at is None
    return is_done and order.filled == order.request.quantity


def is_left_behind(trade: Trade, order: TradeOrder) -> bool:
    """Tell whether the trade went on without a part of its entry: given up, and not seen in the book by then."""
    is_given_up = order.role is Role.ENTRY and order.is_settled and order.report is None
    return is_given_up and trade.state in ("ACTIVE", "PENDING_EXIT")
