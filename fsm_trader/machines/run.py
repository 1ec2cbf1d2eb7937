"""The one door to ``transitions``: a checked definition, a state and facts in; the step that is taken out.

It remembers nothing, calls nobody and must not know what an action does: actions leave it as names, and the engine
carries them out after the step is in the journal. What ``transitions`` would let pass (a guard that is not a bool, a
callback that is looked up by a dotted name) is closed here; its edges are held by ``test_transitions_pitfalls``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import msgspec
from transitions import core as framework

from fsm_trader.core.facts import SessionFacts, TradeFacts
from fsm_trader.errors import HaltError
from fsm_trader.machines.names import guards_of
from fsm_trader.machines.spec import MachineSpec, StateSpec, TransitionSpec

Facts = TradeFacts | SessionFacts
Guard = Callable[..., bool]


class _Quiet:
    """The framework's logger without its lines about every callback, which cost more than the callbacks."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger

    def debug(self, *_words: object) -> None:
        """Say nothing."""

    info = debug

    def __getattr__(self, name: str) -> Any:
        return getattr(self._logger, name)


# The library's own name for its logger is used because the pure part of the project may not import ``logging``.
framework._LOGGER = cast(Any, _Quiet(framework._LOGGER))  # noqa: SLF001 - there is no other handle on it


class Step(msgspec.Struct, frozen=True):
    """One transition that was taken.

    Args:
        dest: state after it; equal to *source* when it was internal or reflexive.
        reason: word for the journal, empty where the definition gives none.
        actions: names in the order they are to be done: before, on_exit, on_enter, after.
        entered: True when *dest* was entered (its on_enter counts and its time-out starts anew).
    """

    source: str
    dest: str
    trigger: str
    reason: str
    actions: tuple[str, ...]
    entered: bool


class Machine:
    """A definition that can be asked what follows; one serves any number of trades.

    Args:
        spec: a definition that passed the loader's checks.

    Raises:
        HaltError: the definition names a guard or a state that does not exist.
    """

    def __init__(self, spec: MachineSpec) -> None:
        self.spec = spec
        _refuse_unknown_names(spec)
        # Every flag is said: auto-transitions would skip all guards, a queue answers True for what did not happen,
        # on_exception and finalize_event swallow errors.
        self._table = _Table(
            model=None,
            states=[_state(state) for state in spec.states],
            transitions=None,
            initial=None,
            auto_transitions=False,
            send_event=True,
            queued=False,
            ignore_invalid_triggers=False,
        )
        for transition in spec.transitions:
            _add(self._table, spec, transition)
        self._states = frozenset(state.name for state in spec.states)
        self._handled = frozenset(
            (source, transition.trigger) for transition in spec.transitions for source in transition.sources
        )

    def handles(self, state: str, trigger: str) -> bool:
        """Tell whether any transition leaves *state* on *trigger*, whatever its guards say."""
        return (state, trigger) in self._handled

    def fire(self, state: str, trigger: str, facts: Facts) -> Step | None:
        """Return the step the definition takes, None when it has no transition here or no guard passed.

        Pure: neither the machine nor *facts* change.

        Raises:
            HaltError: *state* is not one of the definition, or a guard raised or answered other than True or False.
        """
        if (state, trigger) not in self._handled:
            if state not in self._states:
                raise HaltError(
                    f"{self.spec.kind} machine {self.spec.digest[:12]}: asked about state {state!r}; "
                    f"expected one of {', '.join(sorted(self._states))}; nothing was done"
                )
            return None
        moment = _Moment(state, facts)
        self._table.events[trigger].trigger(moment)
        taken = moment.taken
        if taken is None:
            return None
        return Step(state, moment.state, trigger, taken.reason, tuple(moment.actions), taken.dest is not None)

    def edges(self) -> set[tuple[str, str, str | None]]:
        """Return (source, trigger, dest) of every transition the framework holds; dest None: internal."""
        return {
            (transition.source, trigger, transition.dest)
            for trigger in self._table.events
            for transition in self._table.get_transitions(trigger)
        }


class _Moment:
    """The framework's model for one question: the state, the facts, and what came of it."""

    __slots__ = ("actions", "facts", "state", "taken")

    def __init__(self, state: str, facts: Facts) -> None:
        self.state = state
        self.facts = facts
        self.taken: _Transition | None = None
        self.actions: list[str] = []


class _NamedGuard:
    """A guard that knows its name, for messages."""

    __slots__ = ("name", "predicate")

    def __init__(self, name: str, predicate: Guard) -> None:
        self.name = name
        self.predicate = predicate

    def __call__(self, facts: Facts) -> bool:
        return self.predicate(facts)


class _StrictCondition(framework.Condition):
    """A condition that takes True and False only; the framework would let 2 or None fail quietly."""

    def check(self, event_data: framework.EventData) -> bool:
        moment: Any = event_data.model
        guard: Any = self.func
        try:
            answer = guard(moment.facts)
        except Exception as error:
            raise HaltError(
                f"guard {guard.name} in state {moment.state}: raised {type(error).__name__}: {error}; "
                "expected True or False; no transition was taken"
            ) from error
        if answer is self.target:
            return True
        if answer is True or answer is False:
            return False
        raise HaltError(
            f"guard {guard.name} in state {moment.state}: answered {answer!r}; expected True or False; "
            "no transition was taken"
        )


class _Transition(framework.Transition):
    """A transition that knows its reason and says that it was the one taken."""

    condition_cls = _StrictCondition

    def __init__(self, *args: Any, reason: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.reason = reason

    def execute(self, event_data: framework.EventData) -> bool:
        done = super().execute(event_data)
        if done:
            moment: Any = event_data.model
            moment.taken = self
        return done


class _Table(framework.Machine):
    transition_cls = _Transition


def _say(action: str) -> Callable[[framework.EventData], None]:
    """Return a callback that notes an action's name: what is done about it is the engine's."""

    def note(event_data: framework.EventData) -> None:
        moment: Any = event_data.model
        moment.actions.append(action)

    return note


def _state(state: StateSpec) -> framework.State:
    return framework.State(
        state.name,
        on_enter=[_say(action) for action in state.on_enter],
        on_exit=[_say(action) for action in state.on_exit],
        ignore_invalid_triggers=False,
        final=state.final,
    )


def _add(table: _Table, spec: MachineSpec, transition: TransitionSpec) -> None:
    known = guards_of(spec.kind)
    table.add_transition(
        transition.trigger,
        list(transition.sources),
        transition.dest,
        conditions=[_NamedGuard(name, known[name]) for name in transition.conditions],
        unless=[_NamedGuard(name, known[name]) for name in transition.unless],
        before=[_say(action) for action in transition.before],
        after=[_say(action) for action in transition.after],
        reason=transition.reason,
    )


def _refuse_unknown_names(spec: MachineSpec) -> None:
    """Stop where a definition that nobody checked would fail only when it is fired."""
    states = {state.name for state in spec.states}
    guards = guards_of(spec.kind)
    for transition in spec.transitions:
        named = {*transition.sources} | ({transition.dest} if transition.dest is not None else set())
        unknown = sorted(named - states) + sorted({*transition.conditions, *transition.unless} - guards.keys())
        if unknown:
            raise HaltError(
                f"{transition.where or spec.source}: the {spec.kind} machine names {', '.join(unknown)}; "
                "expected states and guards that exist; it was not built"
            )
