"""Risk limits: facts in, reasons out. They bind entries only; an exit is always allowed (I9)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from fsm_trader.core.day import DayPlan
from fsm_trader.core.ledger import Ledger
from fsm_trader.core.money import show_rupees
from fsm_trader.core.results import Nets
from fsm_trader.core.settings import RiskSettings

# An entry needs an exit, and an exit may need a cancellation and a second try: this many orders stay reserved for each
# trade that is open or about to be, and for each part of one that is too large for one order.
ORDERS_KEPT_PER_TRADE = 4
# One entry, and what is kept for the way out of it: with a smaller ``risk.max_orders_per_day`` entries are blocked.
LEAST_ORDERS_PER_DAY = ORDERS_KEPT_PER_TRADE + 1
_SECOND = timedelta(seconds=1)

# Words are only made of what blocks: an order waits for these checks.
_Check = tuple[bool, Callable[[], str]]


class EntryFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What decides whether an entry may be taken now.

    Args:
        session_state: the session machine's state.
        in_trading_window: the present lies in ``session.trading``.
        halted: a person said halt.
        open_trades, trades_today, orders_today, orders_this_second: counts of this session.
        faults: what the newest health check found; the session may not have moved on it yet.
        strategy_is_in: the strategy that gave the signal has an open trade.
        net_today_paise: closed trades after charges plus open ones at their last price.
        more_parts: orders that the open trades and this entry take to be bought, beyond one each.
    """

    session_state: str
    in_trading_window: bool
    halted: bool
    faults: tuple[str, ...]
    open_trades: int
    trades_today: int
    orders_today: int
    orders_this_second: int
    strategy_is_in: bool
    net_today_paise: int
    more_parts: int = 0


def entry_facts(
    ledger: Ledger, plan: DayPlan, strategy: str, now: datetime, *, nets: Nets | None = None, more_parts: int = 0
) -> EntryFacts:
    """Gather what decides about an entry of *strategy* at *now*; *nets* are kept from one call to the next."""
    return EntryFacts(
        session_state=ledger.state,
        in_trading_window=plan.trading_start <= now < plan.trading_end,
        halted=ledger.halted,
        faults=() if ledger.health is None else ledger.health.faults,
        open_trades=len(ledger.open_trades),
        trades_today=ledger.trades_today,
        orders_today=ledger.orders_today,
        orders_this_second=sum(1 for at in ledger.order_times if at > now - _SECOND),
        strategy_is_in=any(trade.strategy == strategy for trade in ledger.open_trades),
        net_today_paise=(nets or Nets()).of(ledger.session_trades, ledger.marks),
        more_parts=more_parts,
    )


def entry_blocks(risk: RiskSettings, facts: EntryFacts) -> tuple[str, ...]:
    """Return every reason against an entry, in words with both numbers; empty when it may be taken."""
    counts = (
        (facts.strategy_is_in, lambda: "the strategy has an open trade"),
        (
            facts.open_trades >= risk.max_open_trades,
            lambda: f"{facts.open_trades} of at most {risk.max_open_trades} trades are open",
        ),
        (
            facts.trades_today >= risk.max_trades_per_day,
            lambda: f"{facts.trades_today} of at most {risk.max_trades_per_day} trades a day were opened",
        ),
    )
    # The parts of an entry leave after each other, and those to come must not run out of orders on the way.
    kept = ORDERS_KEPT_PER_TRADE * (facts.open_trades + 1 + facts.more_parts)
    orders = _of_orders(risk, facts, wanted=1 + facts.more_parts, kept=kept)
    checks = (*_of_moment(facts), *counts, _of_loss(risk, facts), *orders)
    return tuple(words() for blocked, words in checks if blocked)


def entry_part_blocks(risk: RiskSettings, facts: EntryFacts) -> tuple[str, ...]:
    """Return every reason against one more part of an entry whose trade is open, in words; empty when it may follow."""
    kept = ORDERS_KEPT_PER_TRADE * (facts.open_trades + facts.more_parts)
    orders = _of_orders(risk, facts, wanted=1, kept=kept)
    counts = (
        # Its own trade is one of them. An order of ours that turned up meanwhile opened another.
        (
            facts.open_trades > risk.max_open_trades,
            lambda: f"{facts.open_trades} trades are open, {risk.max_open_trades} may be",
        ),
        (
            facts.trades_today > risk.max_trades_per_day,
            lambda: f"{facts.trades_today} trades were opened today, {risk.max_trades_per_day} may be",
        ),
    )
    checks = (*_of_moment(facts), *counts, _of_loss(risk, facts), *orders)
    return tuple(words() for blocked, words in checks if blocked)


def _of_moment(facts: EntryFacts) -> tuple[_Check, ...]:
    is_trading = facts.session_state == "TRADING"
    return (
        (not is_trading, lambda: f"session is {facts.session_state}, entries need TRADING"),
        (not facts.in_trading_window, lambda: "outside the trading window"),
        (facts.halted, lambda: "halted by a person until resume"),
        (is_trading and bool(facts.faults), lambda: f"the newest health check found: {'; '.join(facts.faults)}"),
    )


def _of_loss(risk: RiskSettings, facts: EntryFacts) -> _Check:
    return (
        facts.net_today_paise <= -risk.max_daily_loss_paise,
        lambda: (
            f"today stands at {show_rupees(facts.net_today_paise)} rupees, "
            f"the most that may be lost is {show_rupees(risk.max_daily_loss_paise)}"
        ),
    )


def _of_orders(risk: RiskSettings, facts: EntryFacts, *, wanted: int, kept: int) -> tuple[_Check, ...]:
    return (
        (
            facts.orders_today + wanted + kept > risk.max_orders_per_day,
            lambda: (
                f"{facts.orders_today} of at most {risk.max_orders_per_day} orders a day were sent, "
                f"{wanted} would be, and {kept} are kept for exits"
            ),
        ),
        (
            facts.orders_this_second >= risk.max_orders_per_second,
            lambda: (
                f"{facts.orders_this_second} of at most {risk.max_orders_per_second} orders were sent within a second"
            ),
        ),
    )


def age_block(symbol: str, traded_at: datetime, now: datetime, most: timedelta) -> str:
    """Return why the last trade of *symbol* is too old to enter on (I12); empty when it is not older than *most*."""
    age = now - traded_at
    if age <= most:
        return ""
    return (
        f"{symbol} was last traded at {traded_at:%H:%M:%S}, {age.total_seconds():.0f} s ago; an entry needs a trade "
        f"within {most.total_seconds():g} s"
    )
