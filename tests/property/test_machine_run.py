"""The runner agrees with a table that is read by hand: the first transition of the file whose guards pass."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from fsm_trader.core.facts import SessionFacts
from fsm_trader.machines.load import load_machine
from fsm_trader.machines.names import SESSION_GUARDS, SESSION_TRIGGERS
from fsm_trader.machines.run import Machine, Step
from fsm_trader.machines.spec import MachineSpec, Position, StateSpec, TransitionSpec

STATES = ("A", "B", "C")
WORDS = st.lists(st.sampled_from(["one", "two", "three"]), max_size=2).map(tuple)
GUARDS = st.lists(st.sampled_from(["is_flat", "is_healthy", "trading_day"]), max_size=2, unique=True).map(tuple)
TRIGGERS = st.sampled_from(["clock", "halt"])

all_facts = st.builds(SessionFacts, **{name: st.booleans() for name in SessionFacts.__struct_fields__})
transitions = st.builds(
    TransitionSpec,
    trigger=TRIGGERS,
    sources=st.lists(st.sampled_from(STATES), min_size=1, unique=True).map(tuple),
    dest=st.sampled_from([*STATES, None]),
    conditions=GUARDS,
    unless=GUARDS,
    before=WORDS,
    after=WORDS,
    reason=st.sampled_from(["", "why"]),
)


@st.composite
def specs(draw: st.DrawFn) -> MachineSpec:
    states = [
        StateSpec(name=name, position=Position.NONE, on_enter=draw(WORDS), on_exit=draw(WORDS)) for name in STATES
    ]
    rows = draw(st.lists(transitions, max_size=8))
    return MachineSpec(
        kind="session",
        initial="A",
        states=tuple(states),
        transitions=tuple(rows),
        actions={},
        policies={},
        digest="0" * 64,
        text="",
        source="drawn",
    )


def by_hand(spec: MachineSpec, state: str, trigger: str, facts: SessionFacts) -> Step | None:
    for item in spec.transitions:
        if item.trigger != trigger or state not in item.sources:
            continue
        if not all(SESSION_GUARDS[name](facts) for name in item.conditions):
            continue
        if any(SESSION_GUARDS[name](facts) for name in item.unless):
            continue
        if item.dest is None:
            return Step(state, state, trigger, item.reason, item.before + item.after, entered=False)
        around = spec.state(state).on_exit + spec.state(item.dest).on_enter
        return Step(state, item.dest, trigger, item.reason, item.before + around + item.after, entered=True)
    return None


@settings(max_examples=200, deadline=None)
@given(specs(), st.sampled_from(STATES), TRIGGERS, all_facts)
def test_a_drawn_machine_steps_as_its_table_reads(
    spec: MachineSpec, state: str, trigger: str, facts: SessionFacts
) -> None:
    before = msgspec.json.encode(facts)

    assert Machine(spec).fire(state, trigger, facts) == by_hand(spec, state, trigger, facts)
    assert msgspec.json.encode(facts) == before


BUILT_IN = load_machine(None, "session")
RUNNING = Machine(BUILT_IN)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([state.name for state in BUILT_IN.states]), st.sampled_from(SESSION_TRIGGERS), all_facts)
def test_the_built_in_session_steps_as_its_table_reads(state: str, trigger: str, facts: SessionFacts) -> None:
    step = RUNNING.fire(state, trigger, facts)

    assert step == by_hand(BUILT_IN, state, trigger, facts)
    assert step is None or RUNNING.handles(state, trigger)
