"""Killed at a boundary under each trouble that HTTP can make, and started again, over real HTTP: it ends flat.

The drill tries every boundary under every trouble in a process of its own; here a part of it is met on the wire, and
more of it by `make soak`.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from fsm_trader.core.orders import Role
from fsm_trader.simulate.drill.matrix import TROUBLES

from .conftest import Desk
from .nursery import Nursery

FALLS = {"09:15": 100, "09:19": 75}
AGAIN = dict.fromkeys(("09:16", "09:17", "09:18"), "BUY")
KILLED = -signal.SIGKILL
OVER = ("PENDING_EXIT -> CLOSED", "PENDING_ENTRY -> FAILED", "PENDING_ENTRY -> CLOSED")
ENTRY, EXIT = "FT?????????E*", "FT?????????X*"


def order(kind: str, tags: str, more: str = "", *, call: str = "place", times: int = 1) -> str:
    return f'{{kind: {kind}, call: {call}, tags: "{tags}", times: {times}{more}}}'


REFUSED = ', status: 400, error_type: InputException, message: "Invalid `quantity`."'
LOST = ", delay: 2s"
# How the sandbox makes what the drill's matrix is made of: its faults, and how its market fills.
ON_THE_WIRE: dict[str, tuple[tuple[str, ...], str]] = {
    "no trouble": ((), "300ms"),
    "entry: answer lost": ((order("lost_answer", ENTRY, LOST),), "300ms"),
    "entry: request lost": ((order("lost_request", ENTRY, LOST),), "300ms"),
    "entry: busy": ((order("too_many", ENTRY, times=2),), "300ms"),
    "entry: refused": ((order("http_error", ENTRY, REFUSED),), "300ms"),
    "exit: answer lost": ((order("lost_answer", EXIT, LOST),), "300ms"),
    "exit: request lost": ((order("lost_request", EXIT, LOST),), "300ms"),
    "exit: busy": ((order("too_many", EXIT, times=2),), "300ms"),
    "exit: refused twice": ((order("http_error", EXIT, REFUSED, times=2),), "300ms"),
    "exit: server error": ((order("http_error", EXIT, ", status: 500, done: true"),), "300ms"),
    "exit: rests, cancelled": ((order("too_many", EXIT, call="cancel"),), "25s"),
    "exit: rests, cancel lost": ((order("lost_answer", EXIT, LOST, call="cancel"),), "25s"),
    "orders rejected": ((), "300ms, rejects: 50%"),
    "partial fills": ((), "2s, partial_fills: 100%"),
    "no answers": (
        ('{kind: html_error, call: reads, status: 502, from: "09:17:30", until: "09:18:20"}',),
        "300ms",
    ),
    "old positions": (('{kind: stale_positions, age: 30s, from: "09:17"}',), "300ms"),
    # What only a wire has.
    "entry: reset before": ((order("reset_before", ENTRY),), "300ms"),
    "entry: reset after": ((order("reset_after", ENTRY),), "300ms"),
    "entry: half an answer": ((order("half_answer", ENTRY),), "300ms"),
    "entry: malformed answer": ((order("malformed", ENTRY),), "300ms"),
    "exit: gateway's page, done": ((order("html_error", EXIT, ", status: 504, done: true"),), "300ms"),
    "exit: empty answer": ((order("empty_answer", EXIT),), "300ms"),
    "exit: answer late": ((order("delay", EXIT, ", delay: 900ms"),), "300ms"),
    "books unsorted": (('{kind: unsorted, call: [orders, trades], from: "09:15"}',), "2s, partial_fills: 100%"),
    "histories empty": (('{kind: empty_history, from: "09:17:30", until: "09:18:30"}',), "300ms"),
}
# What the sandbox does not make, and where it is tried instead.
NOT_ON_THE_WIRE = {
    "entry: arrives late": "a request is carried out as it is read; the drill delays it",
    "exit: arrives late": "the same",
    "login lost": "needs a person's login: test_login",
    "old book": "the sandbox shows its book as it is; the drill",
    "orders shown late": "the same",
    "fills shown late": "the same",
    "rows twice": "the same",
    "old rows": "the same",
    "in parts": "the sandbox keeps the real freeze quantity; the drill, and tests of the engine",
    "in parts, answer of the second lost": "the same",
    "in parts, second exit: answer lost": "the same",
    "in parts, second refused": "the same",
    "in parts, exit rests": "the same",
    "sold by hand": "no fault of the wire; the drill",
    "sold by hand right before": "the same",
    "bought by hand": "the same",
    "positions not shown": 'the sandbox shows them as they were: "old positions"',
    "at hand": "prices by the stream: test_day; the drill kills at every boundary of it",
    "at hand, entry: answer lost": "the same",
}


def commit(words: str, moment: str = "after", nth: int = 1) -> dict[str, Any]:
    return {"commit": True, "words": words, "moment": moment, "nth": nth}


def call(name: str, moment: str, nth: int = 1, side: str = "") -> dict[str, Any]:
    return {"call": name, "side": side, "moment": moment, "nth": nth}


INTENDS_ENTRY, INTENDS_EXIT = commit("intends entry order"), commit("intends exit order")
# One boundary of each trouble, the one at which most is open.
ONE_OF_EACH = [
    ("no trouble", call("place", "after", side="BUY")),
    ("entry: answer lost", commit(" unknown")),
    ("entry: request lost", commit(" unknown", "before")),
    ("entry: reset after", commit(" unknown", "inside")),
    ("exit: answer lost", commit("PENDING_EXIT -> CLOSED", "before")),
    ("exit: request lost", commit(" unknown")),
    ("exit: busy", INTENDS_EXIT),
    ("exit: server error", commit(" unknown", "inside")),
    ("exit: rests, cancel lost", commit("intends to cancel")),
    ("partial fills", commit("filled 65 at")),
    ("old positions", call("place", "before", side="SELL")),
    ("books unsorted", commit("PENDING_ENTRY -> ACTIVE")),
]
BOUNDARIES = [
    INTENDS_ENTRY,
    commit("accepted", "before"),
    commit("PENDING_ENTRY -> ACTIVE", "inside"),
    INTENDS_EXIT,
    call("place", "before", side="SELL"),
    call("book", "after", nth=3),
    call("positions", "before", nth=4),
    *(commit("", moment, nth) for nth, moment in ((5, "before"), (15, "inside"), (25, "after"))),
]
SOAK = [(trouble, at) for trouble in ON_THE_WIRE for at in BOUNDARIES]


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


def open_for(desk: Desk, trouble: str) -> None:
    faults, latency = ON_THE_WIRE[trouble]
    desk.write(prices=FALLS, says=AGAIN, latency=latency, square_off="09:40")
    desk.serve(
        *faults, begins="09:16:40", broker__kite__timeout="500ms", risk__max_trades_per_day=1, broker__settle="30s"
    )


def assert_ended_as_it_must(desk: Desk) -> None:
    desk.assert_sound()
    (trade,) = desk.ledger().session_trades
    assert trade.held == 0
    assert len(trade.orders_of(Role.ENTRY)) == 1


def name_of(case: tuple[str, dict[str, Any]]) -> str:
    trouble, at = case
    what = at.get("call") or at["words"].strip() or f"row {at['nth']}"
    return f"{trouble}, {at['moment']} {what} {at.get('side', '')}".strip()


def is_killed_and_ends_flat(desk: Desk, nursery: Nursery, case: tuple[str, dict[str, Any]]) -> int:
    trouble, at = case
    open_for(desk, trouble)
    first = nursery.run(desk, kill=at, until=OVER)
    if first == KILLED:
        assert nursery.run(desk, until=OVER) == 0
    else:
        # It never came to that boundary.
        assert first == 0
    assert_ended_as_it_must(desk)
    return first


@pytest.mark.parametrize("case", ONE_OF_EACH, ids=name_of)
def test_a_trader_killed_under_a_trouble_of_the_wire_ends_flat_with_nothing_doubled(desk: Desk, nursery: Nursery, case):
    assert is_killed_and_ends_flat(desk, nursery, case) == KILLED


@pytest.mark.soak
@pytest.mark.parametrize("case", SOAK, ids=name_of)
def test_a_kill_at_more_boundaries_under_every_trouble_of_the_wire_ends_flat(desk: Desk, nursery: Nursery, case):
    is_killed_and_ends_flat(desk, nursery, case)


def test_every_trouble_of_the_drill_is_met_on_the_wire_or_said_not_to_be():
    assert set(TROUBLES) <= ON_THE_WIRE.keys() | NOT_ON_THE_WIRE.keys()
    assert not ON_THE_WIRE.keys() & NOT_ON_THE_WIRE.keys()
    assert NOT_ON_THE_WIRE.keys() <= set(TROUBLES)
    assert {trouble for trouble, _ in ONE_OF_EACH} <= ON_THE_WIRE.keys()
