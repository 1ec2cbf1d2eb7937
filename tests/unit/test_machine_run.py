"""The runner: what a step holds, what it refuses, and that the order of a file is its priority."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType

import msgspec
import pytest

from fsm_trader.core.contracts import OptionContract, OptionKind
from fsm_trader.core.facts import SessionFacts, TradeFacts
from fsm_trader.core.settings import ExitRules
from fsm_trader.core.trades import Trade
from fsm_trader.errors import HaltError
from fsm_trader.machines import run
from fsm_trader.machines.load import load_machine, parse_machine
from fsm_trader.machines.run import Machine, Step
from fsm_trader.machines.spec import MachineSpec, Position, StateSpec, TransitionSpec

NOW = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)


def trade_in(state: str, *, stop_paise: int | None = 8000, target_paise: int | None = 13000) -> Trade:
    contract = OptionContract("NFO", "NIFTY26JAN24400CE", 1, "NIFTY", date(2026, 1, 29), 2440000, OptionKind.CE, 75, 5)
    return Trade(
        trade_id="t1",
        number=1,
        session="s",
        strategy="donchian",
        contract=contract,
        lots=1,
        quantity=75,
        product="MIS",
        exits=ExitRules(),
        machine="m",
        candle_start=NOW,
        index_paise=2440000,
        opened_at=NOW,
        state=state,
        since=NOW,
        stop_paise=stop_paise,
        target_paise=target_paise,
    )


def session_facts(**known: bool) -> SessionFacts:
    return SessionFacts(**{name: known.get(name, False) for name in SessionFacts.__struct_fields__})


def small_spec(*transitions: TransitionSpec, on_enter: tuple[str, ...] = ()) -> MachineSpec:
    return MachineSpec(
        kind="session",
        initial="A",
        states=(
            StateSpec(name="A", position=Position.NONE, on_exit=("alarm",)),
            StateSpec(name="B", position=Position.NONE, on_enter=on_enter),
        ),
        transitions=transitions,
        actions={},
        policies={},
        digest="0" * 64,
        text="",
        source="small",
    )


def move(dest: str | None = "B", **fields: object) -> TransitionSpec:
    return TransitionSpec(**{"trigger": "clock", "sources": ("A",), "dest": dest, **fields})


def test_actions_come_in_the_order_before_exit_enter_after() -> None:
    machine = Machine(small_spec(move(before=("one", "two"), after=("four",), reason="why"), on_enter=("three",)))

    step = machine.fire("A", "clock", session_facts())

    assert step == Step("A", "B", "clock", "why", ("one", "two", "alarm", "three", "four"), entered=True)


def test_an_internal_transition_keeps_the_state_and_neither_exits_nor_enters() -> None:
    machine = Machine(small_spec(move(None, after=("four",))))

    assert machine.fire("A", "clock", session_facts()) == Step("A", "A", "clock", "", ("four",), entered=False)


def test_a_reflexive_transition_exits_and_enters_its_state() -> None:
    machine = Machine(small_spec(move("B", sources=("B",)), on_enter=("three",)))

    assert machine.fire("B", "clock", session_facts()) == Step("B", "B", "clock", "", ("three",), entered=True)


def test_an_event_that_is_not_handled_here_gives_nothing() -> None:
    machine = Machine(small_spec(move()))

    assert machine.fire("B", "clock", session_facts()) is None
    assert machine.fire("A", "no_such_trigger", session_facts()) is None
    assert (machine.handles("A", "clock"), machine.handles("B", "clock")) == (True, False)


def test_no_passing_guard_gives_nothing() -> None:
    machine = Machine(small_spec(move(conditions=("is_flat",)), move(unless=("trading_day",))))

    assert machine.fire("A", "clock", session_facts(trading_day=True)) is None
    assert machine.fire("A", "clock", session_facts(trading_day=True, flat=True)) is not None


def test_the_first_passing_transition_of_the_file_is_taken() -> None:
    machine = Machine(small_spec(move(conditions=("is_flat",), reason="first"), move(reason="second")))

    taken = [machine.fire("A", "clock", session_facts(flat=flat)) for flat in (True, False)]

    assert [step.reason for step in taken if step] == ["first", "second"]


def test_firing_again_gives_the_same_step() -> None:
    machine = Machine(small_spec(move(after=("four",))))

    assert machine.fire("A", "clock", session_facts()) == machine.fire("A", "clock", session_facts())


def test_a_state_the_definition_does_not_have_stops_the_process() -> None:
    with pytest.raises(HaltError, match="'GONE'; expected one of A, B"):
        Machine(small_spec(move())).fire("GONE", "clock", session_facts())


@pytest.mark.parametrize("answer", [1, 0, None, "yes"])
def test_a_guard_that_answers_no_bool_stops_the_process(monkeypatch: pytest.MonkeyPatch, answer: object) -> None:
    monkeypatch.setattr(run, "guards_of", lambda _kind: MappingProxyType({"odd": lambda _facts: answer}))

    for transition in (move(conditions=("odd",)), move(unless=("odd",))):
        with pytest.raises(HaltError, match=r"guard odd in state A: answered .*; expected True or False"):
            Machine(small_spec(transition)).fire("A", "clock", session_facts())


def test_a_guard_that_raises_stops_the_process_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "guards_of", lambda _kind: MappingProxyType({"odd": lambda facts: facts.absent}))

    with pytest.raises(HaltError, match="guard odd in state A: raised AttributeError"):
        Machine(small_spec(move(conditions=("odd",)))).fire("A", "clock", session_facts())


@pytest.mark.parametrize("wrong", [move("C"), move(sources=("A", "C")), move(conditions=("C",)), move(unless=("C",))])
def test_a_definition_with_unknown_names_is_not_built(wrong: TransitionSpec) -> None:
    with pytest.raises(HaltError, match="names C; expected states and guards that exist"):
        Machine(small_spec(wrong))


def test_facts_of_the_other_kind_stop_the_process() -> None:
    machine = Machine(load_machine(None, "trade"))

    with pytest.raises(HaltError, match="guard flatten_asked"):
        machine.fire("ACTIVE", "check", session_facts())


@pytest.mark.parametrize("kind", ["trade", "session"])
def test_the_framework_holds_exactly_the_transitions_of_the_file(kind: str) -> None:
    spec = load_machine(None, "trade" if kind == "trade" else "session")

    expected = {(source, item.trigger, item.dest) for item in spec.transitions for source in item.sources}

    assert Machine(spec).edges() == expected


def both_hit() -> TradeFacts:
    return TradeFacts(trade=trade_in("ACTIVE"), now=NOW, low=7000, high=14000, last=9000)


def test_the_stop_goes_before_the_target_and_a_person_before_both() -> None:
    machine = Machine(load_machine(None, "trade"))

    stopped = machine.fire("ACTIVE", "check", both_hit())
    flattened = machine.fire("ACTIVE", "check", msgspec.structs.replace(both_hit(), flatten_asked=True))

    assert stopped == Step("ACTIVE", "PENDING_EXIT", "check", "stop_loss", ("place_exit",), entered=True)
    assert flattened is not None
    assert flattened.reason == "flatten"


def test_a_file_with_the_target_before_the_stop_takes_the_target() -> None:
    lines = load_machine(None, "trade").text.splitlines()
    stop = next(index for index, line in enumerate(lines) if "conditions: stop_hit" in line)
    lines[stop], lines[stop + 1] = lines[stop + 1], lines[stop]

    machine = Machine(parse_machine("\n".join(lines), kind="trade", source="target_first.yaml"))

    taken = machine.fire("ACTIVE", "check", both_hit())
    assert taken is not None
    assert taken.reason == "target"


def test_a_level_that_is_touched_counts_as_hit() -> None:
    machine = Machine(load_machine(None, "trade"))
    trade = trade_in("ACTIVE", target_paise=None)

    reasons = []
    for low in (8001, 8000):
        step = machine.fire("ACTIVE", "check", TradeFacts(trade=trade, now=NOW, low=low, high=9000, last=9000))
        reasons.append(step and step.reason)

    assert reasons == [None, "stop_loss"]


def test_holding_time_ends_the_trade_at_its_very_moment() -> None:
    machine = Machine(load_machine(None, "trade"))
    trade = msgspec.structs.replace(trade_in("ACTIVE"), hold_until=NOW)

    early = machine.fire("ACTIVE", "check", TradeFacts(trade=trade, now=NOW - timedelta(seconds=1)))
    due = machine.fire("ACTIVE", "check", TradeFacts(trade=trade, now=NOW))

    assert (early, due and due.reason) == (None, "max_hold")


def test_a_session_enters_trading_only_when_a_check_of_its_own_was_good() -> None:
    machine = Machine(load_machine(None, "session"))
    in_window = {"trading_day": True, "trading_window": True}

    unknown = machine.fire("HEALTH_CHECK", "clock", session_facts(**in_window))
    stale = machine.fire("HEALTH_CHECK", "clock", session_facts(**in_window, healthy=True, candles_stale=True))
    good = machine.fire("HEALTH_CHECK", "clock", session_facts(**in_window, healthy=True))

    assert (unknown, stale, good and good.dest) == (None, None, "TRADING")
