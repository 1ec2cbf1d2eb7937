"""A definition seen as single moves, one source each, and the questions the checks ask about them.

Guards are names here: what they mean is known only as far as two of them can never be true together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from fsm_trader.errors import Fault
from fsm_trader.machines.spec import MachineSpec, TransitionSpec

# Pairs of guards of which at most one is true for the same facts (tests/unit/test_machine_check.py tries them all).
NEVER_TOGETHER: frozenset[frozenset[str]] = frozenset(
    frozenset(pair)
    for pair in (
        ("entry_working", "entry_filled"),
        ("entry_working", "entry_unfilled"),
        ("entry_filled", "entry_unfilled"),
        ("entry_part_done", "entry_working"),
        ("entry_part_done", "entry_unfilled"),
        ("exit_part_done", "exit_working"),
        ("exit_part_done", "exit_unclear"),
        ("exit_part_done", "exit_cancelled"),
        ("exit_part_done", "exit_rejected"),
        ("exit_part_done", "is_flat"),
        ("no_exit_order", "exit_working"),
        ("no_exit_order", "exit_unclear"),
        ("exit_working", "exit_unclear"),
        ("exit_working", "exit_cancelled"),
        ("exit_working", "exit_rejected"),
        ("exit_unclear", "exit_cancelled"),
        ("exit_unclear", "exit_rejected"),
        ("exit_cancelled", "exit_rejected"),
        ("is_flat", "exit_working"),
        ("is_flat", "exit_unclear"),
        ("is_healthy", "is_unhealthy"),
        ("in_trading_window", "past_trading"),
    )
)


Places = Mapping[str, tuple[str, str]]


class Move(msgspec.Struct, frozen=True):
    """One transition from one source.

    Args:
        dest: state after it; the source where the transition is internal.
        actions: everything done on the way, in order: before, on_exit, on_enter, after.
    """

    transition: TransitionSpec
    source: str
    dest: str
    actions: tuple[str, ...]

    @property
    def trigger(self) -> str:
        """Trigger it answers to."""
        return self.transition.trigger

    @property
    def leaves(self) -> bool:
        """True when another state follows."""
        return self.source != self.dest

    @property
    def named(self) -> str:
        """How messages call it."""
        return f"{self.trigger}: {self.source} -> {self.dest}"


def buys_on(move: Move) -> bool:
    """Tell whether a move sends the next part of an entry."""
    return move.source == "PENDING_ENTRY" and "place_entry" in move.actions


def buys_in_parts(spec: MachineSpec) -> bool:
    """Tell whether a trade definition buys what one order may not carry in several, one after the other."""
    return any(buys_on(move) for move in moves_of(spec))


def moves_of(spec: MachineSpec) -> tuple[Move, ...]:
    """Return every move in the order of the file."""
    states = {state.name: state for state in spec.states}
    moves = []
    for transition in spec.transitions:
        for source in transition.sources:
            exits: tuple[str, ...] = ()
            enters: tuple[str, ...] = ()
            if transition.dest is not None:
                exits, enters = states[source].on_exit, states[transition.dest].on_enter
            actions = (*transition.before, *exits, *enters, *transition.after)
            moves.append(Move(transition, source, transition.dest or source, actions))
    return tuple(moves)


class Findings:
    """Faults of one definition, each with the line of what it is about.

    Args:
        spec: the definition; a part that does not know its line is reported for the whole file.
        places: where and path of sections and of what a spec keeps without its line (``actions.place_exit``).
    """

    def __init__(self, spec: MachineSpec, places: Places) -> None:
        self.faults: list[Fault] = []
        self._source = spec.source
        self._places = places
        self._paths: dict[str, str] = {}
        for section, parts in (("states", spec.states), ("transitions", spec.transitions)):
            lines = dict.fromkeys(part.where for part in parts if part.where)
            self._paths.update({where: f"$.{section}[{index}]" for index, where in enumerate(lines)})

    def add(self, where: str, message: str) -> None:
        """Note one fault; *where* is the ``where`` of a state or transition, empty for the whole file."""
        self._note(Fault(where or self._source, self._paths.get(where, ""), message))

    def add_at(self, part: str, message: str) -> None:
        """Note one fault of a part by its key in *places*."""
        where, path = self._places.get(part, (self._source, ""))
        self._note(Fault(where, path, message))

    def _note(self, fault: Fault) -> None:
        if fault not in self.faults:
            self.faults.append(fault)


def reach(start: Iterable[str], links: Iterable[tuple[str, str]]) -> set[str]:
    """Return everything that can be reached from *start* along *links*, *start* included."""
    onward: dict[str, set[str]] = {}
    for source, dest in links:
        onward.setdefault(source, set()).add(dest)
    found = set(start)
    waiting = list(found)
    while waiting:  # bounded: a state is put on the list once
        fresh = onward.get(waiting.pop(), set()) - found
        found |= fresh
        waiting.extend(fresh)
    return found


def surely_follows(candidates: Iterable[Move], *, given: frozenset[str], wanted: Callable[[Move], bool]) -> str:
    """Say why a wanted move may fail to happen while the guards *given* are true; empty when it always happens.

    Args:
        candidates: the moves of one state and trigger, in the order they are tried.
        given: guards known to be true; what excludes one of them is known to be false, the rest may be either.
        wanted: which moves are good enough.
    """
    for move in candidates:
        conditions, unless = set(move.transition.conditions), set(move.transition.unless)
        if unless & given or any(_excludes(guard, given) for guard in conditions):
            continue
        if not wanted(move):
            return f"{move.named} ({move.transition.where or 'earlier'}) may be taken instead"
        if conditions <= given and all(_excludes(guard, given) for guard in unless):
            return ""
    return "no transition is sure to be taken then"


def _excludes(guard: str, given: frozenset[str]) -> bool:
    return any(frozenset((guard, other)) in NEVER_TOGETHER for other in given)
