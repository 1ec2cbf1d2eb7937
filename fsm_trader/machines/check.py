"""What every definition must keep before it may run: a sound graph, live transitions, answered events, retry policies.

The rules of one kind of machine stand in ``trade_rules`` and ``session_rules``. Names are resolved before (``load``).
"""

from __future__ import annotations

from collections import defaultdict
from types import MappingProxyType

from fsm_trader.errors import Fault
from fsm_trader.machines.moves import Findings, Move, Places, moves_of, reach
from fsm_trader.machines.names import CALLING_ACTIONS, MUST_HANDLE, SESSION_STATES, TRADE_STATES
from fsm_trader.machines.session_rules import check_session
from fsm_trader.machines.spec import MachineSpec, Position
from fsm_trader.machines.trade_rules import check_trade

# Asking twice whether something is true is harmless; doing twice what may have been done is not (I6).
_READS = ("check_health",)

_NOWHERE: Places = MappingProxyType({})


def check_machine(spec: MachineSpec, places: Places = _NOWHERE) -> list[Fault]:
    """Return everything wrong with a definition whose names all resolve; an empty list means it may run.

    The properties are those of a definition on paper: reachability, priority and position safety. That the engine
    keeps them with a broker and crashes in play is shown elsewhere. *places* give lines to what the spec keeps without.
    """
    found = Findings(spec, places)
    moves = moves_of(spec)
    _check_states(spec, found)
    _check_graph(spec, moves, found)
    _check_choices(moves, found)
    _check_timeouts(spec, moves, found)
    _check_must_handle(spec, moves, found)
    _check_actions(spec, moves, found)
    if spec.kind == "trade":
        check_trade(spec, moves, found)
    else:
        check_session(spec, moves, found)
    return [*found.faults, *check_retries(spec, places)]


def check_retries(spec: MachineSpec, places: Places = _NOWHERE) -> list[Fault]:
    """Return what is wrong with the retry policies of the actions: missing, useless, or repeating what may be done."""
    found = Findings(spec, places)
    for action, name in spec.actions.items():
        part = f"actions.{action}"
        if action in CALLING_ACTIONS and name is None:
            found.add_at(part, f"action {action} calls the broker and has no retry policy; expected {{retry: NAME}}")
        elif action not in CALLING_ACTIONS and name is not None:
            found.add_at(part, f"action {action} calls nobody; its retry policy {name} would never be used")
        elif name is not None and name not in spec.policies:
            found.add_at(part, f"action {action} names retry policy {name}, which `retries` does not define")
        elif name is not None and action not in _READS and "unavailable" in spec.policies[name].on:
            found.add_at(
                f"retries.{name}",
                f"policy {name} would repeat {action} when the broker gave no answer; the first call may have been "
                "done, so only not_done may be tried again",
            )
    return found.faults


def _check_states(spec: MachineSpec, found: Findings) -> None:
    names = [state.name for state in spec.states]
    fixed = TRADE_STATES if spec.kind == "trade" else SESSION_STATES
    for state in spec.states:
        if names.count(state.name) > 1:
            found.add(state.where, f"state {state.name} is defined {names.count(state.name)} times; expected once")
        if state.name not in fixed:
            found.add(state.where, f"state {state.name} is not one of a {spec.kind} machine: {', '.join(fixed)}")
        if state.final and state.position is not Position.NONE:
            found.add(
                state.where, f"final state {state.name} has position {state.position}; nothing would manage it: none"
            )
    missing = [name for name in fixed if name not in names]
    if missing:
        found.add_at(
            "states", f"no state {', '.join(missing)}; the journal and its readers rely on all of {', '.join(fixed)}"
        )
    if spec.initial != fixed[0]:
        found.add_at("initial", f"initial is {spec.initial}; expected {fixed[0]}, where every {spec.kind} begins")


def _check_graph(spec: MachineSpec, moves: tuple[Move, ...], found: Findings) -> None:
    finals = {state.name for state in spec.states if state.final}
    if not finals:
        found.add_at("states", "no state is final; expected an end")
    reached = reach([spec.initial], [(move.source, move.dest) for move in moves])
    ending = reach(finals, [(move.dest, move.source) for move in moves])
    for state in spec.states:
        if state.name not in reached:
            found.add(state.where, f"state {state.name} cannot be reached from {spec.initial}")
        if finals and state.name not in ending:
            found.add(state.where, f"state {state.name} has no way to a final state ({', '.join(sorted(finals))})")
    for move in moves:
        if move.source in finals:
            found.add(move.transition.where, f"{move.named} leaves a final state; what is final stays as it is")


def _check_choices(moves: tuple[Move, ...], found: Findings) -> None:
    """Find transitions that can never be taken: an earlier one passes whenever they would."""
    earlier: dict[tuple[str, str], list[Move]] = defaultdict(list)
    for move in moves:
        mine = move.transition
        conditions, unless = set(mine.conditions), set(mine.unless)
        if conditions & unless:
            both = ", ".join(sorted(conditions & unless))
            found.add(mine.where, f"{move.named} wants {both} both true and false; it can never be taken")
        for other in earlier[move.source, move.trigger]:
            first = other.transition
            if set(first.conditions) <= conditions and set(first.unless) <= unless:
                why = "has no guard" if not first.conditions and not first.unless else "passes whenever this one would"
                found.add(
                    mine.where,
                    f"{move.named} can never be taken: {other.named} ({first.where or 'before it'}) is tried first "
                    f"and {why}",
                )
                break
        earlier[move.source, move.trigger].append(move)


def _check_timeouts(spec: MachineSpec, moves: tuple[Move, ...], found: Findings) -> None:
    handled = {(move.source, move.trigger) for move in moves}
    for state in spec.states:
        if state.timeout is None:
            if state.position is not Position.NONE:
                found.add(
                    state.where,
                    f"state {state.name} may hold a position (position: {state.position}) and has no timeout; "
                    "nothing would look at it again if no event came",
                )
        elif state.final:
            found.add(state.where, f"final state {state.name} has a timeout; nothing may follow it")
        elif (state.name, state.timeout.trigger) not in handled:
            found.add(
                state.where,
                f"timeout of {state.name} fires {state.timeout.trigger}, which no transition from {state.name} "
                "answers; its time would be up and nothing would happen",
            )


def _check_must_handle(spec: MachineSpec, moves: tuple[Move, ...], found: Findings) -> None:
    handled = {(move.source, move.trigger) for move in moves}
    for state in spec.states:
        missing = [name for name in MUST_HANDLE[spec.kind].get(state.name, ()) if (state.name, name) not in handled]
        if missing:
            found.add(
                state.where,
                f"state {state.name} does not answer {', '.join(missing)}; the event would pass it by",
            )


def _check_actions(spec: MachineSpec, moves: tuple[Move, ...], found: Findings) -> None:
    for move in moves:
        for action in move.actions:
            if action not in spec.actions:
                found.add(
                    move.transition.where,
                    f"{move.named} does {action}, which `actions` does not list; expected it there, with a retry "
                    "policy if it calls the broker",
                )
