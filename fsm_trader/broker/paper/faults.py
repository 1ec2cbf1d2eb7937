"""Planned faults of the paper broker, for tests and drills: what goes wrong, for which order and at which attempt.

Pure: a plan and a lookup. Counting attempts and raising errors is the broker's part.
"""

from __future__ import annotations

from datetime import datetime
from fnmatch import fnmatchcase
from typing import Literal

import msgspec

OrderFaultKind = Literal["lost_answer", "lost_request", "busy", "refuse"]
ReadFaultKind = Literal["unavailable", "login_required"]


class OrderFault(msgspec.Struct, frozen=True, kw_only=True):
    """What goes wrong with the first requests about an order.

    Args:
        kind: ``lost_answer`` (done, but the answer is lost), ``lost_request`` (not done, and no answer), ``busy``
            (refused, may pass later) or ``refuse`` (refused for good).
        tags: pattern of the orders' tags; ``*`` and ``?`` as in file names.
        call: which request goes wrong.
        attempts: how many requests go wrong for each tag before one passes; at least 1.
    """

    kind: OrderFaultKind
    tags: str = "*"
    call: Literal["place", "cancel"] = "place"
    attempts: int = 1


class ReadFault(msgspec.Struct, frozen=True, kw_only=True):
    """What goes wrong with every read from *since* on and before *until*; ``login_required`` also refuses orders."""

    kind: ReadFaultKind
    since: datetime
    until: datetime


class FaultPlan(msgspec.Struct, frozen=True, kw_only=True):
    """All planned faults; the first that fits counts."""

    orders: tuple[OrderFault, ...] = ()
    reads: tuple[ReadFault, ...] = ()


def order_fault(
    plan: FaultPlan | None, *, call: Literal["place", "cancel"], tag: str, attempt: int
) -> OrderFaultKind | None:
    """Return what goes wrong with the *attempt*-th request (from 1) of this call for *tag*, None when nothing does."""
    for fault in plan.orders if plan else ():
        if fault.call == call and attempt <= fault.attempts and fnmatchcase(tag, fault.tags):
            return fault.kind
    return None


def read_fault(plan: FaultPlan | None, at: datetime) -> ReadFaultKind | None:
    """Return what goes wrong with a read at *at*, None when nothing does."""
    return next((fault.kind for fault in (plan.reads if plan else ()) if fault.since <= at < fault.until), None)
