"""Any day at all: random prices, signals, faults and ends of the process. It ends flat, and every invariant holds."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fsm_trader.broker.paper.faults import FaultPlan, OrderFault, ReadFault
from fsm_trader.core.ledger import Ledger
from fsm_trader.core.signals import Signal
from fsm_trader.core.trades import Trade

from .bench import Bench
from .given import BRIEF_DAY, risk, session, strategy
from .market import CALL, ScriptedMarket, at
from .oracles import Killed

_START = at("09:20")
_SECONDS = 27 * 60  # To the square-off at 09:47.

moments = st.integers(0, _SECONDS * 10).map(lambda tenths: _START + timedelta(seconds=tenths / 10))
prices = st.integers(20, 4000).map(lambda ticks: ticks * 5)
minutes = st.integers(20, 46).map(lambda minute: f"09:{minute}")
signals = st.dictionaries(minutes, st.sampled_from([Signal.BUY, Signal.BUY, Signal.EXIT]), max_size=8)
order_faults = st.builds(
    lambda kind, call, role, number, attempt, attempts: OrderFault(
        kind=kind, call=call, tags=f"FT??????00{number}{role}0{attempt}*", attempts=attempts
    ),
    st.sampled_from(["lost_answer", "lost_request", "busy", "refuse"]),
    st.sampled_from(["place", "place", "cancel"]),
    st.sampled_from("EX"),
    st.sampled_from("123"),
    st.sampled_from(["1", "[123]"]),
    st.integers(1, 3),
)
read_faults = st.builds(
    lambda kind, since, length: ReadFault(kind=kind, since=since, until=since + timedelta(seconds=length)),
    st.sampled_from(["unavailable", "login_required"]),
    moments,
    st.integers(1, 400),
)


class Plan(msgspec.Struct, frozen=True):
    """A random day."""

    points: list[tuple[object, int]]
    one: dict[str, Signal]
    two: dict[str, Signal]
    lots: int
    faults: FaultPlan
    rejects: Decimal
    partial_fills: Decimal
    seed: int
    kills: list[int]


plans = st.builds(
    Plan,
    st.lists(st.tuples(moments, prices), max_size=25),
    signals,
    signals,
    st.integers(1, 3),
    st.builds(
        lambda orders, reads: FaultPlan(orders=tuple(orders), reads=tuple(reads)),
        st.lists(order_faults, max_size=4),
        st.lists(read_faults, max_size=2),
    ),
    st.sampled_from([Decimal(0), Decimal("0.4")]),
    st.sampled_from([Decimal(0), Decimal(1)]),
    st.integers(0, 1000),
    st.lists(st.integers(1, 40), max_size=3),
)


def bench_of(plan: Plan, folder: Path) -> Bench:
    return Bench(
        folder,
        {"one": plan.one, "two": plan.two},
        strategies=[strategy("one", lots=plan.lots), strategy("two")],
        market=ScriptedMarket({CALL.token: plan.points}),
        limits=risk(max_open_trades=2),
        session=session(**BRIEF_DAY),
        broker={"settle": timedelta(seconds=30)},
        behaviour={"rejects": plan.rejects, "partial_fills": plan.partial_fills, "seed": plan.seed},
        faults=plan.faults,
    )


def play(day: Bench, kills: list[int]) -> None:
    for commits in kills:
        for moment in ("kill_before", "kill_after"):
            setattr(day.journal, moment, None)
        # Odd and even, so that some lives end before their last commit and some after it.
        setattr(day.journal, "kill_before" if commits % 2 else "kill_after", day.journal.commits + commits)
        try:
            day.run()
        except Killed:
            day.reboot()
        else:
            return
    day.journal.kill_before = day.journal.kill_after = None
    day.run()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plans)
def test_any_day_ends_flat_with_every_invariant_kept_and_replays_to_the_same_ledger(plan):
    with TemporaryDirectory() as folder:
        day = bench_of(plan, Path(folder))
        try:
            play(day, plan.kills)
        finally:
            day.close()

    assert day.ledger.state == "CLOSED"
    assert all(isinstance(trade, Trade) and trade.held == 0 for trade in day.trades)
    assert Ledger().fold(day.entries).trades == day.ledger.trades


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plans)
def test_one_day_played_twice_writes_the_same_journal(plan):
    journals = []
    for _ in range(2):
        with TemporaryDirectory() as folder:
            day = bench_of(plan, Path(folder))
            try:
                play(day, plan.kills)
            finally:
                day.close()
        journals.append(day.entries)

    assert journals[0] == journals[1]
