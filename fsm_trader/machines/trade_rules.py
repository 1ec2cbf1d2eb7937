"""What a trade definition must keep so that no position is abandoned and no order is sent twice (I2 to I6)."""

from __future__ import annotations

from collections.abc import Callable

from fsm_trader.machines.moves import Findings, Move, buys_on, surely_follows
from fsm_trader.machines.part_rules import check_parts
from fsm_trader.machines.spec import MachineSpec, Position

_KINDS = {
    "IDLE": (Position.NONE, False),
    "PENDING_ENTRY": (Position.MAYBE, False),
    "ACTIVE": (Position.HELD, False),
    "PENDING_EXIT": (Position.HELD, False),
    "CLOSED": (Position.NONE, True),
    "FAILED": (Position.NONE, True),
}

_MAY_FOLLOW = {
    "IDLE": ("PENDING_ENTRY",),
    "PENDING_ENTRY": ("ACTIVE", "PENDING_EXIT", "FAILED"),
    "ACTIVE": ("PENDING_EXIT",),
    "PENDING_EXIT": ("CLOSED",),
}
_WHY_NOT = {
    "IDLE": "nothing was ordered yet",
    "PENDING_ENTRY": "CLOSED means bought and sold, and nothing is known to be bought",
    "ACTIVE": "a position is held and nothing was sold",
    "PENDING_EXIT": "a position is held until the book says that it was sold; FAILED means no position",
}

# What fires when a state's time is up: the ladder of cancelling and sending again hangs on these words.
_TIMEOUT_TRIGGERS = {"PENDING_ENTRY": "entry_overdue", "ACTIVE": "check", "PENDING_EXIT": "exit_overdue"}

# When an exit may be sent again inside PENDING_EXIT: the one before is proved dead (I2), and what leads there takes
# time, so that a broker who refuses every order is not asked in a circle. An empty set needs no further proof.
_EXIT_AGAIN = {
    "exit_absent": set[str](),
    "exit_update": {"exit_cancelled", "exit_part_done"},
    "exit_overdue": {"no_exit_order", "exit_cancelled", "exit_rejected"},
}


def check_trade(spec: MachineSpec, moves: tuple[Move, ...], found: Findings) -> None:
    """Add the faults of a trade definition to *found*."""
    _check_kinds(spec, found)
    for move in moves:
        _check_route(move, found)
        _check_outcome(move, found)
        _check_orders(move, found)
    _check_duties(spec, moves, found)
    check_parts(moves, found)


def _check_kinds(spec: MachineSpec, found: Findings) -> None:
    for state in spec.states:
        if state.name not in _KINDS:
            continue
        position, final = _KINDS[state.name]
        if (state.position, state.final) != (position, final):
            found.add(
                state.where,
                f"state {state.name} is position {state.position}, final {str(state.final).lower()}; in a trade it is "
                f"position {position}, final {str(final).lower()}",
            )
        expected = _TIMEOUT_TRIGGERS.get(state.name)
        if expected is None or state.timeout is None:
            continue
        if state.timeout.trigger != expected:
            found.add(
                state.where,
                f"timeout of {state.name} fires {state.timeout.trigger}; expected {expected}, or an order that hangs "
                "is never dealt with",
            )
        if state.timeout.after == "max_hold" and state.name != "ACTIVE":
            found.add(
                state.where,
                f"timeout of {state.name} is max_hold, which a strategy may leave out; then it would never end",
            )


def _check_route(move: Move, found: Findings) -> None:
    allowed = _MAY_FOLLOW.get(move.source)
    if allowed is None:
        return
    if move.leaves and move.dest not in allowed and not _is_seen_gone(move):
        found.add(
            move.transition.where,
            f"{move.named} is refused: {_WHY_NOT[move.source]}; only {', '.join(allowed)} may follow {move.source}",
        )
    if move.source == "IDLE" and (move.trigger not in ("enter", "adopt") or not move.leaves):
        found.add(
            move.transition.where,
            f"{move.named} is refused: only `enter` may act in IDLE, because only it was held against the risk limits, "
            "and `adopt`, because its order exists already",
        )


def _is_seen_gone(move: Move) -> bool:
    # The one way to CLOSED without an exit of ours: the broker was seen to hold nothing any more (I4).
    return (move.source, move.trigger, move.dest) == ("ACTIVE", "position_gone", "CLOSED")


def _check_outcome(move: Move, found: Findings) -> None:
    conditions, where = move.transition.conditions, move.transition.where
    if move.dest == "CLOSED" and move.leaves and "is_flat" not in conditions:
        found.add(where, f"{move.named} lacks the condition is_flat; a trade is CLOSED only by fills (I4)")
    if move.source != "PENDING_ENTRY" or not move.leaves:
        return
    if move.dest == "FAILED":
        proved = move.trigger in ("entry_refused", "entry_absent") or "entry_unfilled" in conditions
        if not proved or "entry_filled" in conditions:
            found.add(
                where,
                f"{move.named} may abandon a position; expected the condition entry_unfilled, or the trigger "
                "entry_refused or entry_absent",
            )
    elif "entry_filled" not in conditions:
        found.add(where, f"{move.named} lacks the condition entry_filled; only the book says that something is held")


def _check_orders(move: Move, found: Findings) -> None:
    where, actions = move.transition.where, move.actions
    if actions.count("place_entry") + actions.count("place_exit") > 1:
        found.add(where, f"{move.named} places {', '.join(actions)}; at most one order leaves in one step (I2)")
    if "place_entry" in actions and move.source != "IDLE" and not buys_on(move):
        found.add(where, f"{move.named} places an entry outside of IDLE; an entry is never sent twice (I6)")
    if move.trigger == "adopt" and "place_entry" in actions:
        found.add(where, f"{move.named} places an entry beside the order it adopts; at most one entry a trade (I2)")
    if move.source == "IDLE" and move.trigger == "enter" and move.leaves and "place_entry" not in actions:
        found.add(where, f"{move.named} does not place the entry; the trade would wait for an order nobody sent")
    if move.dest == "ACTIVE" and (move.leaves or move.transition.dest is not None) and "set_levels" not in actions:
        found.add(where, f"{move.named} does not set_levels; the position would have no stop")
    _check_exit_order(move, found)


def _check_exit_order(move: Move, found: Findings) -> None:
    where = move.transition.where
    places = "place_exit" in move.actions
    if places and move.dest != "PENDING_EXIT":
        found.add(where, f"{move.named} places an exit and does not go to PENDING_EXIT, where its fate is followed")
    if move.dest != "PENDING_EXIT":
        return
    if move.leaves and not places:
        found.add(where, f"{move.named} goes to PENDING_EXIT without place_exit; nothing would be sold")
    if not move.leaves and places:
        proofs = _EXIT_AGAIN.get(move.trigger)
        if proofs is None or (proofs and not proofs & set(move.transition.conditions)):
            found.add(
                where,
                f"{move.named} places another exit while the one before may still fill, or without a pause; expected "
                "exit_absent, exit_update under exit_cancelled or exit_part_done, or exit_overdue under no_exit_order, "
                "exit_cancelled or exit_rejected (I2)",
            )


def _check_duties(spec: MachineSpec, moves: tuple[Move, ...], found: Findings) -> None:
    """Find what must follow in a state and does not, or not for sure."""
    for state, trigger, guard, wanted, meaning in _DUTIES:
        lines = [entry.where for entry in spec.states if entry.name == state]
        candidates = [move for move in moves if (move.source, move.trigger) == (state, trigger)]
        why = surely_follows(candidates, given=frozenset((guard,)), wanted=wanted)
        if lines and why:
            found.add(lines[0], f"{state} must {meaning} on {trigger} when {guard}, whatever else is true; {why}")
    _check_holding_time(spec, moves, found)


def _check_holding_time(spec: MachineSpec, moves: tuple[Move, ...], found: Findings) -> None:
    asked = any(move.source == "ACTIVE" and "held_too_long" in move.transition.conditions for move in moves)
    for state in spec.states:
        if state.name == "ACTIVE" and state.timeout and state.timeout.after == "max_hold" and not asked:
            found.add(
                state.where,
                "timeout of ACTIVE is max_hold and no transition from it asks held_too_long; the holding time would "
                "end and nothing would happen",
            )


def _sells(move: Move) -> bool:
    return move.dest == "PENDING_EXIT" and "place_exit" in move.actions


def _owns(move: Move) -> bool:
    return move.dest in ("ACTIVE", "PENDING_EXIT") or buys_on(move)


_DUTIES: tuple[tuple[str, str, str, Callable[[Move], bool], str], ...] = (
    ("PENDING_ENTRY", "entry_update", "entry_filled", _owns, "go to ACTIVE or PENDING_EXIT"),
    ("PENDING_ENTRY", "entry_overdue", "entry_working", lambda move: "cancel_entry" in move.actions, "cancel_entry"),
    ("ACTIVE", "check", "stop_hit", _sells, "go to PENDING_EXIT with place_exit"),
    ("ACTIVE", "check", "square_off_due", _sells, "go to PENDING_EXIT with place_exit"),
    ("ACTIVE", "check", "flatten_asked", _sells, "go to PENDING_EXIT with place_exit"),
    ("PENDING_EXIT", "exit_overdue", "no_exit_order", _sells, "place_exit again"),
    ("PENDING_EXIT", "exit_overdue", "exit_working", lambda move: "cancel_exit" in move.actions, "cancel_exit"),
    ("PENDING_EXIT", "exit_update", "is_flat", lambda move: move.dest == "CLOSED", "go to CLOSED"),
)
