"""What a session definition must keep: entries only when healthy, a person obeyed, and the day always ended."""

from __future__ import annotations

from collections.abc import Callable

from fsm_trader.machines.moves import Findings, Move, surely_follows
from fsm_trader.machines.spec import MachineSpec, Position

_ENDS = ("SQUARING_OFF", "CLOSED")
_DAY = ("WAITING", "HEALTH_CHECK", "TRADING", "UNHEALTHY", "LOGIN_REQUIRED")
_CHECKED = ("HEALTH_CHECK", "TRADING", "UNHEALTHY", "LOGIN_REQUIRED")


def check_session(spec: MachineSpec, moves: tuple[Move, ...], found: Findings) -> None:
    """Add the faults of a session definition to *found*."""
    for state in spec.states:
        expected = (Position.NONE, True) if state.name == "CLOSED" else (Position.MAYBE, False)
        if (state.position, state.final) != expected:
            found.add(
                state.where,
                f"state {state.name} is position {state.position}, final {str(state.final).lower()}; in a session it "
                f"is position {expected[0]}, final {str(expected[1]).lower()}: a trade may be open everywhere but in "
                "CLOSED",
            )
    for move in moves:
        _check_move(move, found)
    _check_duties(spec, moves, found)


def _check_move(move: Move, found: Findings) -> None:
    conditions, where = move.transition.conditions, move.transition.where
    if not move.leaves:
        return
    if move.dest == "CLOSED" and "is_flat" not in conditions:
        found.add(where, f"{move.named} lacks the condition is_flat; a session never ends with a trade open (I5)")
    if move.dest == "TRADING":
        missing = [name for name in ("in_trading_window", "is_healthy") if name not in conditions]
        if missing:
            found.add(where, f"{move.named} lacks the condition {', '.join(missing)}; no entry is taken without (I9)")
    if move.source == "SQUARING_OFF" and move.dest != "CLOSED":
        found.add(where, f"{move.named} goes back into the day after the square-off; only CLOSED may follow")
    if move.source == "HALTED" and move.dest not in _ENDS and move.trigger != "resume":
        found.add(where, f"{move.named} undoes a person's halt; expected the trigger resume")


def _check_duties(spec: MachineSpec, moves: tuple[Move, ...], found: Findings) -> None:
    """Find what must follow in a state and does not, or not for sure."""
    for state in spec.states:
        for trigger, given, wanted, meaning in _duties_of(state.name):
            candidates = [move for move in moves if (move.source, move.trigger) == (state.name, trigger)]
            why = surely_follows(candidates, given=frozenset(given), wanted=wanted)
            if why:
                when = f" when {' and '.join(given)}" if given else ""
                found.add(state.where, f"{state.name} must {meaning} on {trigger}{when}, whatever else is true; {why}")


_Duty = tuple[str, tuple[str, ...], Callable[[Move], bool], str]


def _duties_of(name: str) -> list[_Duty]:
    duties: list[_Duty] = []
    if name in _DAY or name == "HALTED":
        duties.append(
            ("clock", ("trading_day", "past_square_off"), lambda move: move.dest in _ENDS, "go to SQUARING_OFF")
        )
    if name in _DAY:
        duties += [(word, (), lambda move: move.dest == "HALTED", "go to HALTED") for word in ("halt", "flatten")]
    if name in _CHECKED:
        duties.append(("check_due", (), lambda move: "check_health" in move.actions, "check_health"))
    if name == "HALTED":
        duties.append(("resume", (), lambda move: move.leaves, "let a person resume the day"))
    if name == "SQUARING_OFF":
        duties.append(("clock", ("is_flat",), lambda move: move.dest == "CLOSED", "go to CLOSED"))
    if name == "TRADING":
        duties.append(("started", (), lambda move: move.leaves, "check everything anew"))
        duties += [
            ("clock", (guard,), lambda move: move.leaves, "stop taking entries")
            for guard in ("login_required", "candles_stale", "is_unhealthy")
        ]
    return duties
