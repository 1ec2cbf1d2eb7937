"""What a trade definition that buys in parts must keep: no part that is held is lost, none is sent beside another."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fsm_trader.machines.moves import Findings, Move, buys_on, surely_follows

_Duty = tuple[str, frozenset[str], Callable[[Move], bool], str]


def _holds_on(move: Move) -> bool:
    return move.dest in ("ACTIVE", "PENDING_EXIT")


_DUTIES: tuple[_Duty, ...] = (
    ("entry_update", frozenset({"entry_part_done", "entry_filled"}), buys_on, "place_entry"),
    ("entry_refused", frozenset({"entry_filled"}), _holds_on, "go to ACTIVE or PENDING_EXIT"),
    ("entry_absent", frozenset({"entry_filled"}), _holds_on, "go to ACTIVE or PENDING_EXIT"),
)


def check_parts(moves: Sequence[Move], found: Findings) -> None:
    """Add the faults of a definition that sends further parts of an entry; one that sends none has none."""
    pending = [move for move in moves if move.source == "PENDING_ENTRY"]
    parts = [move for move in pending if buys_on(move)]
    if not parts:
        return
    for move in parts:
        is_internal = move.transition.dest is None
        if move.trigger != "entry_update" or not is_internal or "entry_part_done" not in move.transition.conditions:
            found.add(
                move.transition.where,
                f"{move.named} places an entry outside of IDLE; an entry is never sent twice (I6), and its next part "
                "only on entry_update under entry_part_done, with dest: null",
            )
    for move in pending:
        if move.dest == "FAILED" and "entry_unfilled" not in move.transition.conditions:
            found.add(
                move.transition.where,
                f"{move.named} may abandon a part that is held; where parts are bought, expected the condition "
                "entry_unfilled",
            )
    for trigger, given, wanted, meaning in _DUTIES:
        why = surely_follows([move for move in pending if move.trigger == trigger], given=given, wanted=wanted)
        if why:
            when = " and ".join(sorted(given))
            found.add(
                parts[0].transition.where,
                f"PENDING_ENTRY must {meaning} on {trigger} when {when}, whatever else is true, where parts are "
                f"bought; {why}",
            )
