"""The kill matrix: one plain day, every planned trouble in turn, and a process that ends at each boundary it crosses.

With ``double`` every process that follows is ended once more, at each of the boundaries of its recovery.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from fsm_trader.simulate.drill.scenario import Hand, Mishap, Scenario, Spell

# Boundaries after a start within which a second end is tried: taking up the day, the first answers, what follows them.
RECOVERY = 24
_PAUSE_S = 3.0

# A trade that is entered after minute 2 and left by the strategy after minute 4.
_PLAIN = Scenario(
    seed=1,
    signals=(((2, 1), (4, -1)),),
    roughness=0.01,
    latency_s=0.3,
    pauses_s=(_PAUSE_S, _PAUSE_S),
    is_short=True,
)


def _place(kind: str, side: str, *, count: int = 1, delay_s: float = 0.0) -> Scenario:
    mishap = msgspec.convert(
        {"call": "place", "kind": kind, "side": side, "count": count, "delay_s": delay_s}, type=Mishap
    )
    return msgspec.structs.replace(_PLAIN, mishaps=(mishap,))


def _spell(kind: str, *, since_s: float, until_s: float, delay_s: float = 0.0) -> Scenario:
    spell = msgspec.convert({"kind": kind, "since_s": since_s, "until_s": until_s, "delay_s": delay_s}, type=Spell)
    return msgspec.structs.replace(_PLAIN, spells=(spell,))


def _cancelled(kind: str) -> Scenario:
    """A day whose exit rests beyond its time-out, so that it is cancelled, with trouble on the way."""
    mishap = msgspec.convert({"call": "cancel", "kind": kind, "side": "S"}, type=Mishap)
    return msgspec.structs.replace(_PLAIN, mishaps=(mishap,), latency_s=12.0)


def _hand(kind: str, at_s: float) -> Scenario:
    return msgspec.structs.replace(_PLAIN, hands=(msgspec.convert({"kind": kind, "at_s": at_s}, type=Hand),))


def _in_parts(side: str = "", *, kind: str = "lost_answer") -> Scenario:
    """A day whose trade takes two orders in, and two out, with trouble at the second one of *side*."""
    plan = {"call": "place", "kind": kind, "side": side, "first": 2}
    mishaps = (msgspec.convert(plan, type=Mishap),) if side else ()
    return msgspec.structs.replace(_PLAIN, mishaps=mishaps, freeze_lots=1)


# Seconds are counted from the open: the entry leaves at 180, the exit at 300.
TROUBLES: dict[str, Scenario] = {
    "no trouble": _PLAIN,
    "at hand": msgspec.structs.replace(_PLAIN, is_prompt=True),
    "at hand, entry: answer lost": msgspec.structs.replace(_place("lost_answer", "B"), is_prompt=True),
    "entry: answer lost": _place("lost_answer", "B"),
    "entry: request lost": _place("lost_request", "B"),
    "entry: arrives late": _place("late_arrival", "B", delay_s=30.0),
    "entry: busy": _place("busy", "B", count=2),
    "entry: refused": _place("refuse", "B"),
    "exit: answer lost": _place("lost_answer", "S"),
    "exit: request lost": _place("lost_request", "S"),
    "exit: arrives late": _place("late_arrival", "S", delay_s=30.0),
    "exit: busy": _place("busy", "S", count=2),
    "exit: refused twice": _place("refuse", "S", count=2),
    "exit: server error": _place("server_error", "S"),
    "exit: rests, cancelled": _cancelled("busy"),
    "exit: rests, cancel lost": _cancelled("lost_answer"),
    "orders rejected": msgspec.structs.replace(_PLAIN, rejects=Decimal("0.5")),
    "partial fills": msgspec.structs.replace(_PLAIN, partial_fills=Decimal(1), latency_s=2.0),
    "login lost": _spell("login_required", since_s=290.0, until_s=350.0),
    "no answers": _spell("unavailable", since_s=181.0, until_s=240.0),
    "old book": _spell("stale_book", since_s=175.0, until_s=400.0, delay_s=20.0),
    "orders shown late": _spell("hidden_orders", since_s=175.0, until_s=400.0, delay_s=20.0),
    "fills shown late": _spell("late_fills", since_s=175.0, until_s=400.0, delay_s=20.0),
    "rows twice": _spell("doubled_rows", since_s=0.0, until_s=900.0),
    "old rows": _spell("old_rows", since_s=0.0, until_s=900.0),
    "old positions": _spell("stale_positions", since_s=175.0, until_s=400.0, delay_s=30.0),
    "positions not shown": msgspec.structs.replace(
        _spell("no_positions", since_s=175.0, until_s=355.0), signals=(((2, 1), (5, -1)),)
    ),
    "in parts": _in_parts(),
    "in parts, answer of the second lost": _in_parts("B"),
    "in parts, second exit: answer lost": _in_parts("S"),
    "in parts, second refused": _in_parts("B", kind="refuse"),
    "in parts, exit rests": msgspec.structs.replace(_in_parts(), latency_s=12.0),
    "sold by hand": _hand("sell_ours", 245.0),
    "sold by hand right before": _hand("sell_ours", 292.0),
    "bought by hand": _hand("buy_same", 245.0),
}


class Case(msgspec.Struct, frozen=True):
    """One day of the matrix: which trouble, and at which boundaries its processes end."""

    trouble: str
    kills: tuple[int, ...] = ()

    @property
    def scenario(self) -> Scenario:
        """The day it stands for."""
        return msgspec.structs.replace(TROUBLES[self.trouble], kills=self.kills)

    def __str__(self) -> str:
        return ",".join([self.trouble, *map(str, self.kills)])


def parse_case(text: str) -> Case:
    """Read a case as it is written.

    Raises:
        ValueError: it names no trouble of the matrix, or a boundary that is no number above zero.
    """
    trouble, *kills = (part.strip() for part in text.rsplit(",", text.count(",")))
    for cut in range(len(kills) + 1):
        name = ", ".join([trouble, *kills[:cut]])
        rest = kills[cut:]
        if name in TROUBLES and all(part.isdecimal() and int(part) > 0 for part in rest):
            return Case(name, tuple(int(part) for part in rest))
    raise ValueError(f"case {text!r}; expected a trouble and boundaries, as in 'exit: answer lost,41,7'")


def single(trouble: str, boundaries: int) -> Iterator[Case]:
    """Every case in which the first process of a day ends once."""
    return (Case(trouble, (number,)) for number in range(1, boundaries + 1))


def double(trouble: str, first: int) -> Iterator[Case]:
    """Every case in which the process that follows an end at *first* ends during its recovery."""
    return (Case(trouble, (first, number)) for number in range(1, RECOVERY + 1))
