"""The checks: each way in which a definition could lose money or hang is tried and must be refused in words."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from itertools import chain, product

import msgspec
import pytest

from fsm_trader.core.contracts import OptionContract, OptionKind
from fsm_trader.core.facts import TradeFacts
from fsm_trader.core.orders import Fill, OrderKind, OrderReport, OrderRequest, OrderStatus, Role, Side
from fsm_trader.core.settings import ExitRules
from fsm_trader.core.trades import Trade, TradeOrder
from fsm_trader.errors import SetupError
from fsm_trader.machines.check import check_machine
from fsm_trader.machines.load import load_machine, parse_machine
from fsm_trader.machines.moves import NEVER_TOGETHER
from fsm_trader.machines.names import SESSION_GUARDS, TRADE_GUARDS, MachineKind

TEXTS: dict[str, str] = {"trade": load_machine(None, "trade").text, "session": load_machine(None, "session").text}
NOW = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)

LAST_TRADE_LINE = "  - {trigger: exit_overdue, source: PENDING_EXIT, dest: null, conditions: exit_unclear"
FIRST_ENTRY_LINE = "  - {trigger: entry_update, source: PENDING_ENTRY, dest: ACTIVE"
FIRST_CHECK_LINE = "  - {trigger: check, source: ACTIVE, dest: PENDING_EXIT, conditions: flatten_asked"
FIRST_EXIT_LINE = "  - {trigger: exit_update, source: PENDING_EXIT, dest: CLOSED"
LAST_SESSION_LINE = "  - {trigger: resume, source: HALTED"
FIRST_SESSION_LINE = "  - {trigger: clock, source: WAITING, dest: CLOSED"


def messages(kind: MachineKind, *changes: tuple[str, str]) -> list[str]:
    text = TEXTS[kind]
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    try:
        parse_machine(text, kind=kind, source="my.yaml")
    except SetupError as error:
        return [str(fault) for fault in error.faults]
    return []


def added(before: str, line: str) -> tuple[str, str]:
    return before, f"  - {line}\n{before}"


@pytest.mark.parametrize("kind", ["trade", "session"])
def test_the_built_in_definition_has_no_fault(kind: MachineKind) -> None:
    assert check_machine(load_machine(None, kind)) == []


TRADE_FAULTS = {
    "a state is missing": (("  - {name: FAILED, position: none, final: true}\n", ""), "expected a state"),
    "a final holds a position": (("{name: FAILED, position: none", "{name: FAILED, position: held"), "position held"),
    "an active state is said to hold nothing": (("ACTIVE, position: held", "ACTIVE, position: none"), "position none"),
    "a final is not final": (("CLOSED, position: none, final: true", "CLOSED, position: none"), "final false"),
    "another start": (("initial: IDLE", "initial: ACTIVE"), "initial is ACTIVE; expected IDLE"),
    "a final is left": (
        added(LAST_TRADE_LINE, "{trigger: exit_update, source: CLOSED, dest: PENDING_EXIT, after: place_exit}"),
        "leaves a final state",
    ),
    "no way to an end": (
        ("dest: CLOSED, conditions: is_flat}", "dest: null, conditions: is_flat}"),
        "PENDING_EXIT must go to CLOSED on exit_update when is_flat",
    ),
    "an end that has a deadline": (
        ("{name: CLOSED, position: none, final: true}",
         "{name: CLOSED, position: none, final: true, timeout: {after: 5s, trigger: check}}"),
        "final state CLOSED has a timeout",
    ),
    "a state of its own": (
        ("  - {name: CLOSED", "  - {name: PAUSED, position: none}\n  - {name: CLOSED"),
        "state PAUSED is not one of a trade machine",
    ),
    "a position without a timeout": (
        (", timeout: {after: max_hold, trigger: check}", ""),
        "state ACTIVE may hold a position (position: held) and has no timeout",
    ),
    "a timeout nobody answers": (
        ("trigger: exit_overdue}}", "trigger: entry_absent}}"),
        "timeout of PENDING_EXIT fires entry_absent, which no transition",
    ),
    "a timeout off the ladder": (
        ("trigger: exit_overdue}}", "trigger: exit_update}}"),
        "timeout of PENDING_EXIT fires exit_update; expected exit_overdue",
    ),
    "a pending order that waits by a setting that may be absent": (
        ("after: entry_timeout", "after: max_hold"),
        "which a strategy may leave out",
    ),
    "an event that passes by": (
        ("  - {trigger: exit_absent, source: PENDING_EXIT, dest: null, after: place_exit, reason: exit_absent}\n", ""),
        "does not answer exit_absent",
    ),
    "two unguarded transitions": (
        added(LAST_TRADE_LINE, "{trigger: exit_refused, source: PENDING_EXIT, dest: null}"),
        "is tried first and has no guard",
    ),
    "a transition in the shadow of another": (
        added(LAST_TRADE_LINE, "{trigger: check, source: ACTIVE, dest: PENDING_EXIT, "
              "conditions: [target_hit, stop_hit], after: place_exit}"),
        "is tried first and passes whenever this one would",
    ),
    "a guard both true and false": (
        ("conditions: exit_unclear, after", "conditions: exit_unclear, unless: exit_unclear, after"),
        "both true and false; it can never be taken",
    ),
    "an entry past the risk limits": (
        added(LAST_TRADE_LINE, "{trigger: check, source: IDLE, dest: PENDING_ENTRY, after: place_entry}"),
        "only `enter` may act in IDLE",
    ),
    "an entry sent again": (
        ("unless: entry_working, after: alarm", "unless: entry_working, after: place_entry"),
        "an entry is never sent twice",
    ),
    "an entry that is never sent": ((", after: place_entry, reason: signal", ", reason: signal"), "nobody sent"),
    "two orders in one step": (
        ("after: place_entry, reason", "after: [place_entry, place_exit], reason"),
        "at most one order leaves in one step",
    ),
    "a position without a stop": (("after: set_levels, reason: filled", "reason: filled"), "would have no stop"),
    "a position believed in without the book": (
        ("conditions: entry_filled, after: set_levels", "after: set_levels"),
        "lacks the condition entry_filled",
    ),
    "an entry given up on time alone": (
        ("dest: null, unless: entry_working, after: alarm", "dest: FAILED, unless: entry_working, after: alarm"),
        "may abandon a position",
    ),
    "a filled entry called failed": (
        added(FIRST_ENTRY_LINE, "{trigger: entry_refused, source: PENDING_ENTRY, dest: FAILED, "
              "conditions: entry_filled}"),
        "may abandon a position",
    ),
    "an unfilled entry called closed": (
        ("dest: FAILED, conditions: entry_unfilled", "dest: CLOSED, conditions: entry_unfilled"),
        "CLOSED means bought and sold",
    ),
    "an active trade called closed": (
        added(LAST_TRADE_LINE, "{trigger: exit_update, source: ACTIVE, dest: CLOSED, conditions: is_flat}"),
        "a position is held and nothing was sold",
    ),
    "an exit called failed": (
        ("dest: null, after: alarm, reason: exit_refused", "dest: FAILED, after: alarm, reason: exit_refused"),
        "FAILED means no position",
    ),
    "an exit called closed by hope": (("dest: CLOSED, conditions: is_flat}", "dest: CLOSED}"), "only by fills"),
    "an exit taken back": (
        added(LAST_TRADE_LINE, "{trigger: check, source: PENDING_EXIT, dest: ACTIVE, after: set_levels}"),
        "only CLOSED may follow PENDING_EXIT",
    ),
    "an exit outside of its state": (
        added(LAST_TRADE_LINE, "{trigger: exit_update, source: ACTIVE, dest: null, after: place_exit}"),
        "does not go to PENDING_EXIT",
    ),
    "a decision to leave that sells nothing": (
        ("conditions: strategy_exit, after: place_exit", "conditions: strategy_exit"),
        "nothing would be sold",
    ),
    "a second exit while the first may fill": (
        ("conditions: exit_unclear, after: alarm", "conditions: exit_unclear, after: place_exit"),
        "while the one before may still fill",
    ),
    "an exit sent in a circle while the broker refuses it": (
        ("dest: null, after: alarm, reason: exit_refused", "dest: null, after: place_exit, reason: exit_refused"),
        "or without a pause",
    ),
    "an exit sent on every price": (
        added(LAST_TRADE_LINE, "{trigger: check, source: PENDING_EXIT, dest: null, conditions: no_exit_order, "
              "after: place_exit}"),
        "or without a pause",
    ),
    "no stop-loss": (
        (("  - {trigger: check, source: ACTIVE, dest: PENDING_EXIT, conditions: stop_hit, after: place_exit, "
         "reason: stop_loss}\n"), ""),
        "ACTIVE must go to PENDING_EXIT with place_exit on check when stop_hit",
    ),
    "a stop-loss with a second condition": (
        ("conditions: stop_hit", "conditions: [stop_hit, held_too_long]"),
        "on check when stop_hit, whatever else is true",
    ),
    "no square-off": (("conditions: square_off_due, after: place_exit", ("conditions: [square_off_due, target_hit], "
                       "after: place_exit")), "on check when square_off_due"),
    "something else before the person": (
        added(FIRST_CHECK_LINE, "{trigger: check, source: ACTIVE, dest: null, conditions: target_hit, after: alarm}"),
        "on check when flatten_asked, whatever else is true; check: ACTIVE -> ACTIVE",
    ),
    "an exit that is not sent again": (
        ("conditions: no_exit_order, after: place_exit", "conditions: no_exit_order, after: alarm"),
        "PENDING_EXIT must place_exit again on exit_overdue when no_exit_order",
    ),
    "a resting exit that is not cancelled": (
        ("after: [cancel_exit, alarm]", "after: alarm"),
        "PENDING_EXIT must cancel_exit on exit_overdue when exit_working",
    ),
    "a resting entry that is not cancelled": (
        ("conditions: entry_working, after: cancel_entry, reason: entry_overdue",
         "conditions: entry_working, after: alarm, reason: entry_overdue"),
        "PENDING_ENTRY must cancel_entry on entry_overdue when entry_working",
    ),
    "a flat trade that stays open": (
        added(FIRST_EXIT_LINE, "{trigger: exit_update, source: PENDING_EXIT, dest: null, conditions: stop_hit}"),
        "PENDING_EXIT must go to CLOSED on exit_update when is_flat",
    ),
    "a holding time nobody asks for": (
        (("  - {trigger: check, source: ACTIVE, dest: PENDING_EXIT, conditions: held_too_long, after: place_exit, "
         "reason: max_hold}\n"), ""),
        "no transition from it asks held_too_long",
    ),
    "an action that is not listed": (("  alarm: {}\n", ""), "does alarm, which `actions` does not list"),
    "a call without a policy": (("place_exit: {retry: place}", "place_exit: {}"), "has no retry policy"),
    "a policy that is never used": (("set_levels: {}", "set_levels: {retry: place}"), "calls nobody"),
    "an order repeated after silence": (
        ("retry_on: [not_done]", "retry_on: [not_done, unavailable]"),
        "policy place would repeat place_exit when the broker gave no answer",
    ),
    "a cancellation repeated after silence": (
        ("wait: 1s, retry_on: [not_done]", "wait: 1s, retry_on: [unavailable]"),
        "policy cancel would repeat cancel_exit",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TRADE_FAULTS)
def test_an_unsafe_trade_definition_is_refused(name: str) -> None:
    change, words = TRADE_FAULTS[name]

    found = messages("trade", change)

    assert any(words in message for message in found), found
    assert all(message.startswith("my.yaml:") for message in found), found


SESSION_FAULTS = {
    "a session that closes with a trade open": (
        ("source: SQUARING_OFF, dest: CLOSED, conditions: is_flat", "source: SQUARING_OFF, dest: CLOSED"),
        "a session never ends with a trade open",
    ),
    "trading without health": (
        ("conditions: [is_healthy, in_trading_window], unless", "conditions: in_trading_window, unless"),
        "lacks the condition is_healthy",
    ),
    "trading outside the window": (
        ("conditions: [is_healthy, in_trading_window], unless", "conditions: is_healthy, unless"),
        "lacks the condition in_trading_window",
    ),
    "a day that goes on after the square-off": (
        added(LAST_SESSION_LINE, "{trigger: resume, source: SQUARING_OFF, dest: HEALTH_CHECK}"),
        "goes back into the day after the square-off",
    ),
    "a halt that ends by itself": (
        added(LAST_SESSION_LINE, "{trigger: started, source: HALTED, dest: HEALTH_CHECK}"),
        "undoes a person's halt",
    ),
    "a halt that is for ever": (
        ("  - {trigger: resume, source: HALTED, dest: HEALTH_CHECK, reason: resume}\n", ""),
        "HALTED must let a person resume the day on resume",
    ),
    "a halt that is not heard": (
        ("source: [WAITING, HEALTH_CHECK, TRADING, UNHEALTHY, LOGIN_REQUIRED], dest: HALTED, reason: halt",
         "source: [WAITING, HEALTH_CHECK, UNHEALTHY, LOGIN_REQUIRED], dest: HALTED, reason: halt"),
        "TRADING must go to HALTED on halt",
    ),
    "a state without an end of day": (
        ("    source: [WAITING, HEALTH_CHECK, TRADING, UNHEALTHY, LOGIN_REQUIRED, HALTED]\n    dest: SQUARING_OFF",
         "    source: [WAITING, HEALTH_CHECK, TRADING, UNHEALTHY, HALTED]\n    dest: SQUARING_OFF"),
        "LOGIN_REQUIRED must go to SQUARING_OFF on clock when trading_day and past_square_off",
    ),
    "something before the end of day": (
        added(FIRST_SESSION_LINE, "{trigger: clock, source: TRADING, dest: UNHEALTHY, conditions: is_halted}"),
        "TRADING must go to SQUARING_OFF on clock",
    ),
    "stale candles ignored": (
        ("  - {trigger: clock, source: TRADING, dest: UNHEALTHY, conditions: candles_stale, reason: candles_stale}\n",
         ""),
        "TRADING must stop taking entries on clock when candles_stale",
    ),
    "a restart that believes": (
        ("source: [HEALTH_CHECK, TRADING, UNHEALTHY, LOGIN_REQUIRED], dest: HEALTH_CHECK, reason: restarted",
         "source: [HEALTH_CHECK, UNHEALTHY, LOGIN_REQUIRED], dest: HEALTH_CHECK, reason: restarted"),
        "TRADING must check everything anew on started",
    ),
    "healthy for ever": (("dest: null, after: check_health", "dest: null, after: alarm"), "TRADING must check_health"),
    "a state that may not hold a trade": (
        ("{name: HALTED, position: maybe", "{name: HALTED, position: none"),
        "a trade may be open everywhere but in CLOSED",
    ),
    "a state without a timeout": (
        ("{name: TRADING, position: maybe, timeout: {after: health_interval, trigger: check_due}}",
         "{name: TRADING, position: maybe}"),
        "state TRADING may hold a position (position: maybe) and has no timeout",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SESSION_FAULTS)
def test_an_unsafe_session_definition_is_refused(name: str) -> None:
    change, words = SESSION_FAULTS[name]

    found = messages("session", change)

    assert any(words in message for message in found), found
    assert all(message.startswith("my.yaml:") for message in found), found


def test_a_session_with_a_state_of_its_own_is_refused() -> None:
    text = TEXTS["session"].replace("SQUARING_OFF", "SQUARE_OFF")

    with pytest.raises(SetupError, match="state SQUARE_OFF is not one of a session machine"):
        parse_machine(text, kind="session", source="my.yaml")


def test_a_state_that_cannot_be_reached_is_a_fault() -> None:
    held = "dest: ACTIVE, conditions: entry_filled"
    never = (held, "dest: null, conditions: entry_filled")

    found = messages("trade", never, never, never)

    assert any("state ACTIVE cannot be reached from IDLE" in message for message in found), found


PART = (
    "  - {trigger: entry_update, source: PENDING_ENTRY, dest: null, conditions: entry_part_done, after: place_entry, "
)
HELD_THEN_REFUSED = "entry_refused, source: PENDING_ENTRY, dest: ACTIVE, conditions: entry_filled"
PART_FAULTS = {
    "a part beside one that works": (
        (PART, PART.replace("entry_part_done", "entry_working")),
        "its next part only on entry_update under entry_part_done, with dest: null",
    ),
    "a part for which the time-out begins anew": (
        (PART, PART.replace("dest: null", "dest: PENDING_ENTRY")),
        "its next part only on entry_update under entry_part_done, with dest: null",
    ),
    "a part after a refusal": (
        (PART, PART.replace("entry_update", "entry_refused")),
        "its next part only on entry_update under entry_part_done, with dest: null",
    ),
    "a refused part ends the trade": (
        ("dest: FAILED, conditions: entry_unfilled, reason: entry_refused", "dest: FAILED, reason: entry_refused"),
        "entry_refused: PENDING_ENTRY -> FAILED may abandon a part that is held",
    ),
    "an absent part ends the trade": (
        ("dest: FAILED, conditions: entry_unfilled, reason: entry_absent", "dest: FAILED, reason: entry_absent"),
        "entry_absent: PENDING_ENTRY -> FAILED may abandon a part that is held",
    ),
    "a refused part is waited for": (
        (HELD_THEN_REFUSED, HELD_THEN_REFUSED.replace("entry_filled", "[entry_filled, is_adopted]")),
        "PENDING_ENTRY must go to ACTIVE or PENDING_EXIT on entry_refused when entry_filled",
    ),
    "parts that are never bought": (
        (PART, PART.replace("entry_part_done", "[entry_part_done, is_adopted]")),
        "PENDING_ENTRY must place_entry on entry_update when entry_filled and entry_part_done",
    ),
    "an exit in parts that waits for nothing": (
        ("conditions: exit_part_done, after", "after"),
        "exit_update under exit_cancelled or exit_part_done",
    ),
}


@pytest.mark.parametrize("name", PART_FAULTS)
def test_a_definition_that_would_lose_or_double_a_part_is_refused(name: str) -> None:
    change, words = PART_FAULTS[name]

    found = messages("trade", change)

    assert any(words in message for message in found), found


def test_a_definition_without_parts_may_let_a_refused_entry_fail_whatever_else_is_true() -> None:
    old = PART + "reason: entry_part}\n"
    refused = "dest: FAILED, conditions: entry_unfilled, reason: entry_refused"

    assert messages("trade", (old, ""), (refused, "dest: FAILED, reason: entry_refused")) == []


def test_a_fault_points_at_the_line_of_its_transition() -> None:
    text = TEXTS["trade"].replace("dest: CLOSED, conditions: is_flat}", "dest: CLOSED}", 1)
    line = next(number for number, words in enumerate(text.splitlines(), start=1) if "dest: CLOSED}" in words)

    found = messages("trade", ("dest: CLOSED, conditions: is_flat}", "dest: CLOSED}"))

    assert any(message.startswith(f"my.yaml:{line}:5 $.transitions[18]: exit_update") for message in found), found


def test_a_changed_priority_is_no_fault() -> None:
    stop = "  - {trigger: check, source: ACTIVE, dest: PENDING_EXIT, conditions: stop_hit, after: place_exit, "
    target = stop.replace("stop_hit", "target_hit")

    assert messages("trade", (stop, "@"), (target, stop), ("@", target)) == []


def test_a_definition_that_nobody_read_is_checked_all_the_same() -> None:
    spec = load_machine(None, "trade")
    endless = [msgspec.structs.replace(state, final=False, where="") for state in spec.states]
    broken = msgspec.structs.replace(
        spec,
        states=(*endless, endless[0]),
        transitions=tuple(each for each in spec.transitions if each.trigger != "exit_overdue"),
        actions={"place_exit": "no_such_policy"},
    )

    found = [fault.message for fault in check_machine(broken)]

    assert "no state is final; expected an end" in found
    assert "state IDLE is defined 2 times; expected once" in found
    assert any("names retry policy no_such_policy, which `retries` does not define" in message for message in found)
    assert any("does not answer exit_overdue" in message for message in found)
    assert any("does place_entry, which `actions` does not list" in message for message in found)


def orders(role: Role) -> Iterator[TradeOrder]:
    """Yield one order in each combination of answer, book status, fills and whether we asked to cancel it."""
    request = OrderRequest("tag", "NFO", "X", 1, Side.BUY, 75, "MIS", OrderKind.MARKET)
    answers = (None, "accepted", "refused", "unknown", "absent")
    parts = product(answers, (None, *OrderStatus), (0, 75), (0, 75), (None, NOW))
    for answer, status, told, read, asked in parts:
        report = None
        if status is not None:
            report = OrderReport("1", "tag", "NFO", "X", 1, Side.BUY, "MIS", 75, told, status, NOW)
        fills = (Fill("f", "1", read, 10000, NOW),) if read else ()
        yield TradeOrder(
            tag="tag", role=role, attempt=1, request=request, intended_at=NOW, answer=answer, report=report,
            fills=fills, cancel_asked_at=asked,
        )  # fmt: skip


def trades() -> Iterator[Trade]:
    contract = OptionContract("NFO", "X", 1, "NIFTY", date(2026, 1, 29), 2440000, OptionKind.CE, 75, 5)
    entries, exits = list(orders(Role.ENTRY)), list(orders(Role.EXIT))
    [whole, *_] = [each for each in entries if each.status is OrderStatus.COMPLETE and each.fills]
    alone = ((entry,) for entry in entries)
    in_parts = ((whole, each) for each in (*entries, *exits))
    left = ((entry, each) for entry, each in product(entries, exits))
    left_in_parts = ((whole, whole, each) for each in exits)
    for each in chain(alone, in_parts, left, left_in_parts):
        yield Trade(
            trade_id="t", number=1, session="s", strategy="d", contract=contract, lots=3, quantity=225, product="MIS",
            exits=ExitRules(), machine="m", candle_start=NOW, index_paise=1, opened_at=NOW, state="PENDING_EXIT",
            since=NOW, orders=each,
        )  # fmt: skip


def test_guards_that_are_said_to_exclude_each_other_do() -> None:
    pairs = [tuple(pair) for pair in NEVER_TOGETHER if pair <= TRADE_GUARDS.keys()]
    named = sorted({name for pair in pairs for name in pair})

    seen = set()
    for trade in trades():
        facts = TradeFacts(trade=trade, now=NOW, may_buy_on=True)
        true = frozenset(name for name in named if TRADE_GUARDS[name](facts))
        seen.add(true)

    assert [(one, two) for one, two in pairs if any({one, two} <= true for true in seen)] == []
    assert {name for true in seen for name in true} == set(named)


def test_every_guard_said_to_exclude_another_exists() -> None:
    assert {name for pair in NEVER_TOGETHER for name in pair} <= TRADE_GUARDS.keys() | SESSION_GUARDS.keys()
