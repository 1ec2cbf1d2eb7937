"""The vocabulary of machine files: which triggers the engine fires, which guards and actions a definition may name.

Guards are pure predicates over facts, strictly bool. Actions are words the engine knows how to carry out after the
transition is committed; none of them is code in a file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

from fsm_trader.core.facts import SessionFacts, TradeFacts
from fsm_trader.core.orders import OrderStatus, Role
from fsm_trader.core.parts import is_entry_part_due

MachineKind = Literal["session", "trade"]


def _stop_hit(facts: TradeFacts) -> bool:
    stop = facts.trade.stop_paise
    return stop is not None and facts.low is not None and facts.low <= stop


def _target_hit(facts: TradeFacts) -> bool:
    target = facts.trade.target_paise
    return target is not None and facts.high is not None and facts.high >= target


def _held_too_long(facts: TradeFacts) -> bool:
    until = facts.trade.hold_until
    return until is not None and facts.now >= until


def _is_adopted(facts: TradeFacts) -> bool:
    return facts.trade.is_adopted


def _entry_done(facts: TradeFacts) -> bool:
    orders = facts.trade.orders_of(Role.ENTRY)
    return bool(orders) and all(order.is_settled for order in orders)


def _entry_filled(facts: TradeFacts) -> bool:
    return _entry_done(facts) and facts.trade.filled(Role.ENTRY) > 0


def _entry_unfilled(facts: TradeFacts) -> bool:
    return _entry_done(facts) and facts.trade.filled(Role.ENTRY) == 0


def _entry_part_done(facts: TradeFacts) -> bool:
    return facts.may_buy_on and is_entry_part_due(facts.trade)


def _order_working(facts: TradeFacts, role: Role) -> bool:
    order = facts.trade.last_order(role)
    return order is not None and order.report is not None and not order.is_settled


def _exit_unclear(facts: TradeFacts) -> bool:
    order = facts.trade.last_order(Role.EXIT)
    return order is not None and order.is_unclear


def _no_exit_order(facts: TradeFacts) -> bool:
    return all(order.is_settled for order in facts.trade.orders_of(Role.EXIT))


def _exit_cancelled(facts: TradeFacts) -> bool:
    order = facts.trade.last_order(Role.EXIT)
    if order is None or not order.is_settled or order.status is not OrderStatus.CANCELLED:
        return False
    return order.cancel_asked_at is not None


def _exit_rejected(facts: TradeFacts) -> bool:
    order = facts.trade.last_order(Role.EXIT)
    if order is None or not order.is_settled or order.status not in (OrderStatus.REJECTED, OrderStatus.CANCELLED):
        return False
    # A cancellation nobody here asked for is a rejection by another name: sent again at once, the order could be
    # cancelled at once for as long as the day lasts.
    return order.status is OrderStatus.REJECTED or order.cancel_asked_at is None


def _exit_part_done(facts: TradeFacts) -> bool:
    trade = facts.trade
    order = trade.last_order(Role.EXIT)
    if order is None or order.status is not OrderStatus.COMPLETE or order.filled < order.request.quantity:
        return False
    return trade.held > 0 and not trade.has_open_order


TRADE_GUARDS: Mapping[str, Callable[[TradeFacts], bool]] = MappingProxyType(
    {
        "stop_hit": _stop_hit,
        "target_hit": _target_hit,
        "strategy_exit": lambda facts: facts.exit_signal,
        "held_too_long": _held_too_long,
        "square_off_due": lambda facts: facts.square_off_due,
        "flatten_asked": lambda facts: facts.flatten_asked,
        "entry_filled": _entry_filled,
        "entry_unfilled": _entry_unfilled,
        "entry_part_done": _entry_part_done,
        "entry_working": lambda facts: _order_working(facts, Role.ENTRY),
        "exit_working": lambda facts: _order_working(facts, Role.EXIT),
        "exit_unclear": _exit_unclear,
        "no_exit_order": _no_exit_order,
        "exit_part_done": _exit_part_done,
        "exit_cancelled": _exit_cancelled,
        "exit_rejected": _exit_rejected,
        "is_flat": lambda facts: facts.trade.is_flat,
        "is_adopted": _is_adopted,
    }
)

SESSION_GUARDS: Mapping[str, Callable[[SessionFacts], bool]] = MappingProxyType(
    {
        "trading_day": lambda facts: facts.trading_day,
        "in_health_window": lambda facts: facts.health_window,
        "in_trading_window": lambda facts: facts.trading_window,
        "past_trading": lambda facts: facts.past_trading,
        "past_square_off": lambda facts: facts.past_square_off,
        "is_healthy": lambda facts: facts.healthy,
        "is_unhealthy": lambda facts: facts.unhealthy,
        "login_required": lambda facts: facts.login_required,
        "candles_stale": lambda facts: facts.candles_stale,
        "is_halted": lambda facts: facts.halted,
        "is_flat": lambda facts: facts.flat,
    }
)

# What the engine fires. A definition that names another trigger waits for something that never comes.
TRADE_TRIGGERS: tuple[str, ...] = (
    "adopt",  # an order of ours turned up under no open trade (I11)
    "position_gone",  # the broker holds nothing of this trade any more, by no order of ours
    "enter",  # a signal was taken and every risk limit allows it
    "entry_update",  # the book told something new of the entry order
    "entry_refused",  # sending it was refused: proved that no order exists
    "entry_absent",  # its outcome was unknown and it did not appear within the settling time
    "entry_overdue",  # PENDING_ENTRY took too long
    "check",  # a new price, candle, deadline or order of a person: is it time to leave?
    "exit_update",
    "exit_refused",
    "exit_absent",
    "exit_overdue",
)
SESSION_TRIGGERS: tuple[str, ...] = (
    "started",  # a process began: what was true before it must be checked anew
    "clock",  # a boundary of the day passed, or facts changed
    "check_due",  # a health check is due
    "health_seen",  # a health check answered
    "halt",
    "resume",
    "flatten",
)

TRADE_ACTIONS: tuple[str, ...] = ("place_entry", "cancel_entry", "set_levels", "place_exit", "cancel_exit", "alarm")
SESSION_ACTIONS: tuple[str, ...] = ("check_health", "alarm")

# Actions that call the broker need a retry policy in the definition.
CALLING_ACTIONS: tuple[str, ...] = ("place_entry", "cancel_entry", "place_exit", "cancel_exit", "check_health")

# What the session asks of the world beside its actions, and the policy of each where a definition does not say.
SESSION_CALLS: Mapping[str, str] = MappingProxyType(
    {
        "read_candles": "read",  # completed candles of the index and of held contracts
        "read_price": "read",  # the last price of a held contract, or of one about to be bought
        "read_positions": "read",  # the broker's net positions
        "read_book": "lookup",  # the order book: what became of an intent
        "tell": "notify",  # a notice to a person
    }
)

TIMEOUT_SETTINGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"trade": ("entry_timeout", "exit_timeout", "max_hold"), "session": ("health_interval", "poll_interval")}
)

# The trade machine's states are fixed: other parts of the journal and its readers rely on their meaning.
TRADE_STATES: tuple[str, ...] = ("IDLE", "PENDING_ENTRY", "ACTIVE", "PENDING_EXIT", "CLOSED", "FAILED")
SESSION_STATES: tuple[str, ...] = (
    "WAITING",
    "HEALTH_CHECK",
    "TRADING",
    "UNHEALTHY",
    "LOGIN_REQUIRED",
    "HALTED",
    "SQUARING_OFF",
    "CLOSED",
)

# Every state that may hold a position must listen to these, or an event could pass it by (I5).
MUST_HANDLE: Mapping[str, Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "trade": {
            "IDLE": ("enter",),
            "PENDING_ENTRY": ("entry_update", "entry_refused", "entry_absent", "entry_overdue"),
            "ACTIVE": ("check",),
            "PENDING_EXIT": ("exit_update", "exit_refused", "exit_absent", "exit_overdue"),
        },
        "session": {},
    }
)

POLICIES: tuple[str, ...] = ("read", "lookup", "enter", "place", "cancel", "notify")


def guards_of(kind: MachineKind) -> Mapping[str, Callable[..., bool]]:
    """Return the guards a machine of this kind may name."""
    return TRADE_GUARDS if kind == "trade" else SESSION_GUARDS
