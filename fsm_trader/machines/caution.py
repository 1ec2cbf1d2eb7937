"""What a definition must keep beyond ``check`` when it is new: what is legal and would still cost money or time.

None of this is asked of a definition that an open trade was begun under: that one goes on as it is (I8). The warnings
refuse nothing. They name what a person may have meant and would only miss on the day it matters.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType

from fsm_trader.errors import Fault
from fsm_trader.machines.moves import NEVER_TOGETHER, Findings, Move, Places, moves_of, surely_follows
from fsm_trader.machines.names import SESSION_CALLS, MachineKind
from fsm_trader.machines.spec import MachineSpec, StateSpec
from fsm_trader.strict_yaml import show_duration

# A pending order is looked after at least so often: longer, and a position drifts while everybody waits.
LONGEST_PENDING = timedelta(minutes=5)
# The engine counts an answer as lost after this long (``engine.polls.LOST_AFTER``). Nobody waits for a notice: what the
# reader allows bounds it.
LONGEST_CALL_PAUSES = timedelta(seconds=60)
# Healthy is a fact of now; a check this old says little of it.
LONGEST_UNCHECKED = timedelta(minutes=15)

_NOWHERE: Places = MappingProxyType({})
# What the engine fires again at once while it leads to another state.
_AT_ONCE: Mapping[MachineKind, str] = MappingProxyType({"session": "clock", "trade": "check"})

_Duty = tuple[str, str, tuple[str, ...], Callable[[Move], bool], str]


def _fails(move: Move) -> bool:
    return move.dest == "FAILED"


# A pending entry whose end is not taken note of would stay pending for ever, and with it its strategy.
_ENTRY_ENDS: tuple[_Duty, ...] = (
    ("PENDING_ENTRY", "entry_update", ("entry_unfilled",), _fails, "go to FAILED"),
    ("PENDING_ENTRY", "entry_refused", ("entry_unfilled",), _fails, "go to FAILED"),
    ("PENDING_ENTRY", "entry_absent", ("entry_unfilled",), _fails, "go to FAILED"),
)

# Trouble that only a person can end, or should know of while it lasts.
_WORTH_AN_ALARM: tuple[tuple[str, str, frozenset[str], str], ...] = (
    ("PENDING_EXIT", "exit_refused", frozenset(), "an exit is refused"),
    ("PENDING_EXIT", "exit_update", frozenset({"exit_rejected"}), "an exit is rejected"),
    ("PENDING_EXIT", "exit_overdue", frozenset({"exit_unclear"}), "nobody knows what became of an exit"),
)
_CONFIGURED: tuple[tuple[str, str], ...] = (
    ("target_hit", "a target that a strategy is given is never taken"),
    ("strategy_exit", "a strategy's EXIT is not heard"),
)

# What the broker may show and nobody here did: a way must lead on from it.
_BROKER_NEWS = {"IDLE": ("adopt",), "ACTIVE": ("position_gone",), "PENDING_EXIT": ("position_gone",)}


def check_new(spec: MachineSpec, places: Places = _NOWHERE) -> list[Fault]:
    """Return why a new definition that ``check`` has no fault to find with may not run all the same."""
    found = Findings(spec, places)
    moves = moves_of(spec)
    _check_policies(spec, found)
    _check_circles(spec, moves, found)
    if spec.kind == "trade":
        _check_pending(spec, found)
        _check_entry_ends(spec, moves, found)
        _check_broker_news(spec, moves, found)
    return found.faults


def _check_broker_news(spec: MachineSpec, moves: tuple[Move, ...], found: Findings) -> None:
    """Refuse a trade machine that has no answer to what the broker shows and nobody here did (I4, I11)."""
    finals = {state.name for state in spec.states if state.final}
    for state in spec.states:
        for trigger in _BROKER_NEWS.get(state.name, ()):
            ways = [move for move in moves if (move.source, move.trigger) == (state.name, trigger)]
            if trigger == "position_gone":
                ways = [move for move in ways if move.dest in finals]
            if not any(move.dest != move.source for move in ways):
                found.add(
                    state.where,
                    f"state {state.name} has no way on {trigger}; an order of ours that nobody follows, or a position "
                    "that is gone, would stay as it is for ever",
                )


def warnings_of(spec: MachineSpec) -> list[Fault]:
    """Return what is allowed and deserves a second look before it runs."""
    found = Findings(spec, _NOWHERE)
    states = {state.name: state for state in spec.states}
    if spec.kind == "session":
        for state in spec.states:
            _warn_of_rare_checks(state, found)
        return found.faults
    moves = moves_of(spec)
    for name, trigger, given, when in _WORTH_AN_ALARM:
        if not any(_tells(move) and set(move.transition.conditions) <= given for move in _of(moves, name, trigger)):
            found.add(states[name].where, f"{name} raises no alarm on {trigger}: nobody is told when {when}")
    if not any(_tells(move) for move in _of(moves, "PENDING_ENTRY", "entry_overdue")):
        where = states["PENDING_ENTRY"].where
        found.add(where, "PENDING_ENTRY raises no alarm on entry_overdue: nobody is told of an entry that is not found")
    leaving = [move for move in _of(moves, "ACTIVE", "check") if move.leaves]
    asked = {guard for move in leaving for guard in move.transition.conditions}
    for guard, what in _CONFIGURED:
        if guard not in asked:
            found.add(states["ACTIVE"].where, f"no transition out of ACTIVE asks {guard}: {what}")
    if "is_adopted" not in asked and any(move.trigger == "adopt" for move in moves):
        found.add(
            states["ACTIVE"].where,
            "no transition out of ACTIVE asks is_adopted: a position that was adopted, which no strategy looks after, "
            "is held until the square-off",
        )
    return found.faults


def _of(moves: Sequence[Move], state: str, trigger: str) -> list[Move]:
    return [move for move in moves if (move.source, move.trigger) == (state, trigger)]


def _tells(move: Move) -> bool:
    return "alarm" in move.actions


def _warn_of_rare_checks(state: StateSpec, found: Findings) -> None:
    timeout = state.timeout
    if timeout is None or not isinstance(timeout.after, timedelta) or timeout.after <= LONGEST_UNCHECKED:
        return
    found.add(
        state.where,
        f"{state.name} is looked at every {show_duration(timeout.after)} only; a health check older than "
        f"{show_duration(LONGEST_UNCHECKED)} says little of now",
    )


def _check_policies(spec: MachineSpec, found: Findings) -> None:
    """Find policies that nobody uses, that try nothing again, or that go on for too long."""
    calls = {**SESSION_CALLS, **spec.calls} if spec.kind == "session" else {}
    uses: dict[str, list[str]] = defaultdict(list)
    for what, name in (*spec.actions.items(), *calls.items()):
        if name is not None:
            uses[name].append(what)
    for name, policy in spec.policies.items():
        part = f"retries.{name}"
        if name not in uses:
            # A person thinks that something is tried again, and it is not.
            where = "`actions` or `calls`" if spec.kind == "session" else "`actions`"
            found.add_at(part, f"retry policy {name} is used by no action; expected one in {where}")
            continue
        if policy.attempts > 1 and not policy.on:
            found.add_at(part, f"policy {name} has {policy.attempts} attempts and an empty retry_on; it tries once")
        if policy.longest_pauses > LONGEST_CALL_PAUSES and uses[name] != ["tell"]:
            found.add_at(
                part,
                f"policy {name} may wait {show_duration(policy.longest_pauses)} in all for {', '.join(uses[name])}; "
                f"expected at most {show_duration(LONGEST_CALL_PAUSES)}: fewer attempts, shorter waits, or a limit "
                "such as within: 20s",
            )


def _check_pending(spec: MachineSpec, found: Findings) -> None:
    for state in spec.states:
        timeout = state.timeout
        if timeout is None or not isinstance(timeout.after, timedelta) or not state.name.startswith("PENDING_"):
            continue
        if timeout.after > LONGEST_PENDING:
            found.add(
                state.where,
                f"timeout of {state.name} is {show_duration(timeout.after)}; expected at most "
                f"{show_duration(LONGEST_PENDING)}: a position may be held, and its order would hang that long",
            )


def _check_entry_ends(spec: MachineSpec, moves: Sequence[Move], found: Findings) -> None:
    lines = {state.name: state.where for state in spec.states}
    for state, trigger, given, wanted, meaning in _ENTRY_ENDS:
        why = surely_follows(_of(moves, state, trigger), given=frozenset(given), wanted=wanted)
        if why:
            when = f" when {' and '.join(given)}" if given else ""
            found.add(lines[state], f"{state} must {meaning} on {trigger}{when}, whatever else is true; {why}")


def _check_circles(spec: MachineSpec, moves: Sequence[Move], found: Findings) -> None:
    """Find ways from a state back to it that are all taken at one moment, on the same facts."""
    trigger = _AT_ONCE[spec.kind]
    entering = [move for move in moves if move.trigger == trigger and move.transition.dest is not None]
    seen: set[frozenset[str]] = set()
    for circle in _circles(entering):
        states = frozenset(move.source for move in circle)
        true, false = _wanted(circle)
        if states in seen or any(_is_shadowed(move, moves, true, false) for move in circle):
            continue
        seen.add(states)
        way = " -> ".join([*(move.source for move in circle), circle[-1].dest])
        facts = " and ".join([*sorted(true), *(f"not {name}" for name in sorted(false))]) or "nothing further"
        found.add(
            circle[0].transition.where,
            f"{way} on {trigger} is a circle that takes no time: it is gone round again and again while {facts} is "
            "true; expected guards that exclude each other",
        )


def _circles(moves: Sequence[Move]) -> Iterator[tuple[Move, ...]]:
    """Yield each simple circle once, from its first state in the file's order, whose guards can be true together."""
    order = {name: place for place, name in enumerate(dict.fromkeys(move.source for move in moves))}
    ways: deque[tuple[Move, ...]] = deque((move,) for move in moves if _can_be(_wanted((move,))))
    while ways:  # bounded: a way never enters a state twice
        way = ways.popleft()
        start, end = way[0].source, way[-1].dest
        if end == start:
            yield way
        elif order.get(end, -1) > order[start] and all(move.source != end for move in way):
            onward = [(*way, move) for move in moves if move.source == end]
            ways += [longer for longer in onward if _can_be(_wanted(longer))]


def _wanted(way: Sequence[Move]) -> tuple[frozenset[str], frozenset[str]]:
    """Return the guards that must be true, and those that must be false, for a whole way."""
    true = frozenset(guard for move in way for guard in move.transition.conditions)
    return true, frozenset(guard for move in way for guard in move.transition.unless)


def _can_be(wanted: tuple[frozenset[str], frozenset[str]]) -> bool:
    true, false = wanted
    return not true & false and not any(pair <= true for pair in NEVER_TOGETHER)


def _is_shadowed(move: Move, moves: Sequence[Move], true: frozenset[str], false: frozenset[str]) -> bool:
    """Tell whether an earlier transition is sure to be taken in place of this one."""
    for other in _of(moves, move.source, move.trigger):
        if other is move:
            return False
        passes = set(other.transition.conditions) <= true
        if passes and all(_is_false(guard, true, false) for guard in other.transition.unless):
            return True
    return False


def _is_false(guard: str, true: frozenset[str], false: frozenset[str]) -> bool:
    return guard in false or any(frozenset((guard, other)) in NEVER_TOGETHER for other in true)
