"""What goes wrong on purpose: a declared plan, and which of it a request meets.

Pure: a plan, a count and a seeded draw. Doing it to a connection is the server's part; ``fault_file`` reads plans.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, time, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Literal, get_args

import msgspec

from fsm_trader.broker.paper.order import happens

Kind = Literal[
    "lost_request",
    "lost_answer",
    "reset_before",
    "reset_after",
    "http_error",
    "html_error",
    "too_many",
    "malformed",
    "empty_answer",
    "half_answer",
    "delay",
    "token_death",
    "empty_history",
    "unsorted",
    "stale_positions",
    "half_dump",
    "silent_stream",
    "closed_stream",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
CALLS = (
    "session",
    "logout",
    "profile",
    "margins",
    "holdings",
    "place",
    "modify",
    "cancel",
    "orders",
    "order",
    "trades",
    "order_trades",
    "positions",
    "instruments",
    "quote",
    "ohlc",
    "ltp",
    "historical",
)
WRITES = ("place", "modify", "cancel")
# What can only happen to some calls, and so needs none named.
OWN_CALLS: dict[Kind, tuple[str, ...]] = {
    "empty_history": ("historical",),
    "unsorted": ("orders", "trades"),
    "stale_positions": ("positions",),
    "half_dump": ("instruments",),
    "token_death": (),
    "silent_stream": (),
    "closed_stream": (),
}


class PlannedFault(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that goes wrong.

    Args:
        kind: what.
        calls: the requests that may meet it.
        since, until: from when and before when on the played day; None: no bound.
        times: how many requests meet it, None: all.
        skip: how many requests that fit pass before the first.
        tags: pattern of the order's tag; a request that is about no order fits ``*`` only.
        chance: 0 to 1, drawn for each request that fits.
        status, error_type, message: the answer of ``http_error`` and ``html_error``.
        done: whether ``http_error`` and ``html_error`` come after the request was carried out.
        delay: real time that ``delay`` holds the answer up, or a lost request or answer holds the connection.
        age: how old ``stale_positions`` are, on the played day.
    """

    kind: Kind
    calls: tuple[str, ...] = ()
    since: time | None = None
    until: time | None = None
    times: int | None = None
    skip: int = 0
    tags: str = "*"
    chance: Decimal = Decimal(1)
    status: int = 502
    error_type: str = "GeneralException"
    message: str = "Something went wrong."
    done: bool = False
    delay: timedelta = timedelta(seconds=30)
    age: timedelta = timedelta(seconds=30)

    def is_due(self, now: datetime) -> bool:
        """Return whether *now* lies in its window."""
        clock = now.time()
        return (self.since is None or clock >= self.since) and (self.until is None or clock < self.until)


class FaultPlan(msgspec.Struct, frozen=True, kw_only=True):
    """All planned faults; of those that a request could meet, the first one counts."""

    seed: int = 1
    faults: tuple[PlannedFault, ...] = ()


class Faults:
    """Says what goes wrong with each request; counts from the start of the process.

    Args:
        plan: what is planned.
    """

    def __init__(self, plan: FaultPlan) -> None:
        self._plan = plan
        self._met: Counter[int] = Counter()

    def meet(self, call: str, tag: str | None, now: datetime) -> PlannedFault | None:
        """Return what goes wrong with a request, None when nothing does, and count it."""
        for number, fault in enumerate(self._plan.faults):
            if not self._fits(fault, call, tag, now):
                continue
            self._met[number] += 1
            if self._strikes(number, fault):
                return fault
        return None

    def on_stream(self, kind: Literal["silent_stream", "closed_stream"], now: datetime) -> bool:
        """Return whether the websocket is silent or closed at *now*."""
        return any(fault.kind == kind and fault.is_due(now) for fault in self._plan.faults)

    def token_deaths(self, now: datetime) -> tuple[datetime, ...]:
        """Return when tokens died, up to *now*."""
        return tuple(
            at
            for fault in self._plan.faults
            if fault.kind == "token_death" and (at := _on(now, fault.since or time.min)) <= now
        )

    def _fits(self, fault: PlannedFault, call: str, tag: str | None, now: datetime) -> bool:
        if call not in fault.calls or not fault.is_due(now):
            return False
        return fault.tags == "*" or (tag is not None and fnmatchcase(tag, fault.tags))

    def _strikes(self, number: int, fault: PlannedFault) -> bool:
        count = self._met[number] - fault.skip
        if count < 1 or (fault.times is not None and count > fault.times):
            return False
        return happens(fault.chance, seed=self._plan.seed, tag=f"{number}", what=f"fault {count}")


def _on(now: datetime, clock: time) -> datetime:
    return datetime.combine(now.date(), clock, now.tzinfo)
