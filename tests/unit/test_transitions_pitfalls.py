"""Edges of ``transitions`` that ``machines.run`` relies on or guards against; an upgrade that moves one fails here."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from transitions import Machine, MachineError
from transitions.core import Condition, Transition

from fsm_trader.machines import run


def table(*transitions: dict[str, Any], states: Any = ("A", "B"), **flags: Any) -> Machine:
    return Machine(
        model=None,
        states=list(states),
        transitions=list(transitions),
        initial=None,
        auto_transitions=False,
        send_event=True,
        **flags,
    )


def go(**fields: Any) -> dict[str, Any]:
    return {"trigger": "go", "source": "A", "dest": "B", **fields}


def fail(_event: Any) -> None:
    raise ValueError("on purpose")


def in_a() -> SimpleNamespace:
    return SimpleNamespace(state="A", did=[])


def say(word: str) -> Any:
    return lambda event: event.model.did.append(word)


def test_a_model_that_was_never_added_can_be_driven() -> None:
    machine, model = table(go()), in_a()

    assert machine.events["go"].trigger(model) is True
    assert (model.state, machine.models) == ("B", [])


def test_callbacks_run_before_exit_enter_after() -> None:
    states = [{"name": "A", "on_exit": say("exit")}, {"name": "B", "on_enter": say("enter")}]
    machine, model = table(go(before=say("before"), after=say("after")), states=states), in_a()

    machine.events["go"].trigger(model)

    assert model.did == ["before", "exit", "enter", "after"]


def test_the_first_transition_whose_conditions_pass_is_taken() -> None:
    machine, model = table(go(conditions=lambda _: False), go(dest=None, after=say("second")), go()), in_a()

    assert machine.events["go"].trigger(model) is True
    assert (model.state, model.did) == ("A", ["second"])


def test_a_missing_destination_keeps_the_state_and_an_equal_sign_enters_it_again() -> None:
    states = [{"name": "A", "on_exit": say("exit"), "on_enter": say("enter")}]
    stays, again = in_a(), in_a()

    table(go(dest=None), states=states).events["go"].trigger(stays)
    table(go(dest="="), states=states).events["go"].trigger(again)

    assert (stays.did, again.did) == ([], ["exit", "enter"])


def test_a_misspelt_destination_is_found_only_after_before_has_run() -> None:
    machine, model = table(go(dest="BB", before=say("order sent"))), in_a()

    with pytest.raises(ValueError, match="BB"):
        machine.events["go"].trigger(model)

    assert (model.state, model.did) == ("A", ["order sent"])


def test_a_misspelt_guard_is_found_only_when_it_is_asked() -> None:
    machine = table(go(conditions="is_flatt"))

    with pytest.raises(AttributeError, match="is_flatt"):
        machine.events["go"].trigger(in_a())


def test_duplicate_states_dead_transitions_and_exits_of_finals_are_accepted() -> None:
    machine = table(go(), go(dest="A"), go(source="B", dest="A"), states=["A", "A", {"name": "B", "final": True}])

    assert len(machine.get_transitions("go")) == 3


def test_a_guard_is_compared_with_true_so_that_a_truthy_answer_fails() -> None:
    truthy, nothing = in_a(), in_a()

    assert table(go(conditions=lambda _: 2)).events["go"].trigger(truthy) is False
    assert table(go(unless=lambda _: None)).events["go"].trigger(nothing) is False


def test_a_condition_class_of_ours_is_used_for_conditions_and_unless() -> None:
    guard = run._NamedGuard("odd", lambda _facts: True)

    made = run._Transition("A", "B", conditions=[guard], unless=[guard])

    assert [(type(item), item.target) for item in made.conditions] == [
        (run._StrictCondition, True),
        (run._StrictCondition, False),
    ]
    assert issubclass(run._StrictCondition, Condition)
    assert Transition.condition_cls is Condition


def test_a_dotted_callback_is_imported_and_called() -> None:
    model = in_a()
    machine = Machine(model=None, states=["A", "B"], initial=None, auto_transitions=False)
    machine.add_transition("go", "A", "B", before="os.getcwd")

    assert machine.events["go"].trigger(model) is True
    assert not hasattr(model, "os.getcwd")


def test_an_exception_after_the_state_was_set_does_not_set_it_back() -> None:
    before, after = in_a(), in_a()

    for model, machine in ((before, table(go(before=fail))), (after, table(go(after=fail)))):
        with pytest.raises(ValueError, match="on purpose"):
            machine.events["go"].trigger(model)

    assert (before.state, after.state) == ("A", "B")


def test_on_exception_swallows_the_error() -> None:
    model = in_a()

    assert table(go(before=fail), on_exception=say("told")).events["go"].trigger(model) is False
    assert (model.state, model.did) == ("A", ["told"])


def test_an_error_in_finalize_event_is_swallowed_even_an_exit(caplog: pytest.LogCaptureFixture) -> None:
    def leave(_event: Any) -> None:
        raise SystemExit

    with caplog.at_level(logging.CRITICAL, logger="transitions.core"):
        assert table(go(), finalize_event=leave).events["go"].trigger(in_a()) is True


def test_a_queue_answers_true_for_what_was_not_done() -> None:
    machine, model, answers = table(go(), {"trigger": "stop", "source": "A", "dest": "B"}, queued=True), in_a(), []
    machine.events["go"].add_callback(
        "before", lambda event: answers.append(machine.events["stop"].trigger(event.model))
    )

    with pytest.raises(MachineError):  # the nested event, already answered True, fails here in the first one's caller
        machine.events["go"].trigger(model)

    assert answers == [True]


def test_building_a_table_changes_the_state_dicts_it_is_given() -> None:
    state = {"name": "A"}

    table(states=[state, "B"])

    assert state != {"name": "A"}


def test_automatic_transitions_would_skip_every_guard() -> None:
    machine, model = Machine(model=None, states=["A", "B"], initial=None, auto_transitions=True), in_a()

    assert machine.events["to_B"].trigger(model) is True
    assert model.state == "B"


def test_setting_a_state_without_a_model_sets_all_of_them() -> None:
    models = [SimpleNamespace(), SimpleNamespace()]
    machine = Machine(model=models, states=["A", "B"], initial="A", auto_transitions=False)

    machine.set_state("B")

    assert [model.state for model in models] == ["B", "B"]


def test_an_event_that_is_not_valid_in_a_state_raises() -> None:
    with pytest.raises(MachineError, match="Can't trigger event go from state B"):
        table(go()).events["go"].trigger(SimpleNamespace(state="B"))


def test_the_library_is_quiet_below_warning_once_the_runner_is_imported() -> None:
    assert logging.getLogger("transitions.core").getEffectiveLevel() == logging.WARNING
