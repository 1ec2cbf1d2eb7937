"""What the machine's own door costs: one question to it beside the same question to bare ``transitions``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from measure import Figure, Sample, Sides, expect
from transitions import core as framework

from fsm_trader.core.facts import SessionFacts
from fsm_trader.machines.run import Machine
from fsm_trader.machines.spec import MachineSpec, Position, StateSpec, TransitionSpec

_FIRES = 20_000
_SOURCE, _DEST, _TRIGGER, _ACTION = "TRADING", "SQUARING_OFF", "clock", "alarm"


class _Light:
    """A model for bare ``transitions``: the state, the fact its guard looks at, and the actions that were noted."""

    __slots__ = ("halted", "noted", "state")

    def __init__(self, *, halted: bool) -> None:
        self.state = _SOURCE
        self.halted = halted
        self.noted: list[str] = []


@contextmanager
def refused_sides(_folder: Path, fires: int = _FIRES) -> Iterator[Sides]:
    yield _sides(fires, halted=False)


@contextmanager
def taken_sides(_folder: Path, fires: int = _FIRES) -> Iterator[Sides]:
    yield _sides(fires, halted=True)


def _sides(fires: int, *, halted: bool) -> Sides:
    """Both sides hold two states and one guarded transition with one action; *halted* is the guard's answer."""
    machine, facts = Machine(_spec()), _facts(halted=halted)
    event = _bare().events[_TRIGGER]

    def ours() -> bool:
        step = machine.fire(_SOURCE, _TRIGGER, facts)
        return step is not None and (step.dest, step.actions) == (_DEST, (_ACTION,))

    def reference() -> bool:
        model = _Light(halted=halted)
        return bool(event.trigger(model)) and (model.state, model.noted) == (_DEST, [_ACTION])

    def check() -> None:
        expect((ours(), reference()) == (halted, halted), f"guard {halted}: ours {ours()}, bare {reference()}")

    return Sides(lambda: _timed(ours, fires), lambda: _timed(reference, fires), check)


def _timed(fire: Callable[[], bool], fires: int) -> Sample:
    started = time.perf_counter()
    for _ in range(fires):
        fire()
    return Sample((time.perf_counter() - started) / fires)


def _spec() -> MachineSpec:
    return MachineSpec(
        kind="session",
        initial=_SOURCE,
        states=tuple(StateSpec(name=name, position=Position.NONE) for name in (_SOURCE, _DEST)),
        transitions=(
            TransitionSpec(
                trigger=_TRIGGER, sources=(_SOURCE,), dest=_DEST, conditions=("is_halted",), after=(_ACTION,)
            ),
        ),
        actions={},
        policies={},
        digest="0" * 64,
        text="",
        source="benchmark",
    )


def _facts(*, halted: bool) -> SessionFacts:
    others = dict.fromkeys(SessionFacts.__struct_fields__, False) | {"halted": halted}
    return SessionFacts(**others)


def _bare() -> framework.Machine:
    """Build what a user of ``transitions`` would, with the flags of our own door (ADR 0007)."""

    def is_halted(event: framework.EventData) -> bool:
        model: Any = event.model
        return bool(model.halted)

    def alarm(event: framework.EventData) -> None:
        model: Any = event.model
        model.noted.append(_ACTION)

    machine = framework.Machine(
        model=None,
        states=[_SOURCE, _DEST],
        initial=None,
        auto_transitions=False,
        send_event=True,
        queued=False,
        ignore_invalid_triggers=False,
    )
    machine.add_transition(_TRIGGER, _SOURCE, _DEST, conditions=[is_halted], after=[alarm])
    return machine


FIGURES = (
    Figure(
        name="refused",
        title="a question one guard refuses",
        against="bare transitions",
        unit="/s",
        repeats=15,
        sides=refused_sides,
    ),
    Figure(
        name="taken",
        title="a transition that is taken",
        against="bare transitions",
        unit="/s",
        repeats=15,
        sides=taken_sides,
    ),
)
