"""How soon an exit is dealt with again: at its own pace, and more and more slowly where nothing comes of it."""

from __future__ import annotations

from datetime import timedelta

from fsm_trader.core.orders import OrderStatus, Role
from fsm_trader.core.trades import Trade

# An exit that fails again and again is sent at its own pace at first, then at half of it and so on, down to this one: a
# tag has room for 1,295 attempts, and they have to last a day on which the broker refuses everything.
_EXITS_AT_ONE_PACE = 16
_SLOWEST_PACE = timedelta(seconds=30)
# Without a token an exit cannot be taken. It is tried all the same, and sent at once when a person has logged in.
_LOGGED_OUT_PACE = timedelta(minutes=1)


def undone_exits(trade: Trade) -> int:
    """Count the exits that have come to nothing so far: a part that was sold is no trouble."""
    return sum(1 for order in trade.orders_of(Role.EXIT) if order.status is not OrderStatus.COMPLETE)


def paced(length: timedelta, exits_undone: int, *, logged_out: bool) -> timedelta:
    """Return how long to wait in PENDING_EXIT, where *length* is the machine's time-out."""
    # Thirty halvings make any pace slow enough; the bound keeps the number small.
    slower: timedelta = length * 2 ** min(exits_undone // _EXITS_AT_ONE_PACE, 30)
    pace = max(length, min(slower, _SLOWEST_PACE))
    return max(pace, _LOGGED_OUT_PACE) if logged_out else pace
