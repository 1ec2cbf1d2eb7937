"""Where a session stands, on one screen: state, what comes next, why entries are blocked, profit and loss."""

from __future__ import annotations

from datetime import datetime, tzinfo

import msgspec

from fsm_trader.core.day import DayPlan
from fsm_trader.core.ledger import Ledger
from fsm_trader.core.limits import entry_blocks, entry_facts
from fsm_trader.core.money import Paise, rupees, show_rupees
from fsm_trader.core.orders import Role
from fsm_trader.core.results import TradeResult, trade_result
from fsm_trader.core.settings import Settings
from fsm_trader.core.trades import Trade


class TradeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """An open trade. Prices in paise; *next_step* says what ends the present state, and at which price or time."""

    trade_id: str
    strategy: str
    state: str
    since: datetime
    tradingsymbol: str
    held: int
    entry_paise: Paise | None
    last_paise: int | None
    stop_paise: Paise | None
    target_paise: Paise | None
    hold_until: datetime | None
    net_paise: Paise
    next_step: str


class StrategyStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One strategy: its last signal, and every reason against an entry now (none: an entry may be taken)."""

    name: str
    last_signal: str
    blocked: tuple[str, ...]
    last_refusal: str


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The whole screen. *at* is the time of the newest journal row: on a recorded day, the day's own time.

    *waiting* are requests from other shells that no process has met yet. *charges_are_known* is False where the day
    lies before the table of charges: they count as zero.
    """

    name: str
    session: str
    at: datetime | None
    running: str | None
    state: str
    since: datetime | None
    reason: str
    next_step: str
    healthy: str
    halted: bool
    flatten_asked: bool
    waiting: tuple[str, ...]
    strategies: tuple[StrategyStatus, ...]
    open_trades: tuple[TradeStatus, ...]
    closed: tuple[TradeResult, ...]
    gross_paise: int
    charges_paise: int
    net_paise: int
    charges_are_known: bool
    loss_limit_paise: int
    orders_today: int
    alarms: tuple[str, ...]
    rows: int


def status(
    settings: Settings,
    ledger: Ledger,
    plan: DayPlan | None,
    *,
    holder: str | None,
    zone: tzinfo,
    waiting: tuple[str, ...] = (),
) -> Status:
    """Put the screen together.

    Args:
        settings: as the files say now.
        ledger: as the journal tells it.
        plan: the day's windows, None before the first session.
        holder: the process that writes the journal now, None when none does.
        zone: times are shown in it.
        waiting: requests from other shells that no process has met yet, oldest first.
    """
    at = None if ledger.at is None else ledger.at.astimezone(zone)
    results = [trade_result(trade, mark_paise=_mark(ledger, trade)) for trade in ledger.session_trades]
    is_open = {trade.trade_id for trade in ledger.open_trades}
    return Status(
        name=settings.session.name,
        session=ledger.session,
        at=at,
        running=holder,
        state=ledger.state if ledger.session else "no session yet",
        since=None if ledger.since is None else ledger.since.astimezone(zone),
        reason=ledger.reason,
        next_step=_session_next(ledger, plan, at),
        healthy=_health(ledger),
        halted=ledger.halted,
        flatten_asked=ledger.flatten_asked,
        waiting=waiting,
        strategies=tuple(_strategy(settings, ledger, plan, each.name, at) for each in settings.strategies),
        open_trades=tuple(_trade(trade, ledger, zone) for trade in ledger.open_trades),
        closed=tuple(result for result in results if result.trade_id not in is_open),
        gross_paise=sum(result.gross_paise for result in results),
        charges_paise=sum(result.charges_paise for result in results),
        net_paise=sum(result.net_paise for result in results),
        charges_are_known=all(result.charges_are_known for result in results),
        loss_limit_paise=settings.risk.max_daily_loss_paise,
        orders_today=ledger.orders_today,
        alarms=tuple(f"{when.astimezone(zone):%H:%M:%S} {alarm.text}" for when, alarm in ledger.alarms),
        rows=ledger.seq,
    )


def one_line(ledger: Ledger) -> str:
    """Say in one line what a person wants to know first: state, and each open trade with its result and stop."""
    halted = " (halted by a person)" if ledger.halted else ""
    trades = [_in_words(trade, ledger) for trade in ledger.open_trades]
    return "; ".join([f"{ledger.state}{halted}", *(trades or ["no trade is open"])])


def _in_words(trade: Trade, ledger: Ledger) -> str:
    net = trade_result(trade, mark_paise=_mark(ledger, trade)).net_paise
    stop = "no stop" if trade.stop_paise is None else f"stop {rupees(trade.stop_paise)}"
    sign = "+" if net > 0 else ""
    return f"{trade.trade_id} {trade.state} {trade.contract.tradingsymbol} {sign}{show_rupees(net)} {stop}"


def _mark(ledger: Ledger, trade: Trade) -> int | None:
    return ledger.marks.get(trade.contract.token)


def _health(ledger: Ledger) -> str:
    if ledger.health is None:
        return "not checked yet"
    return "; ".join(ledger.health.faults) or "healthy"


def _session_next(ledger: Ledger, plan: DayPlan | None, at: datetime | None) -> str:
    if plan is None or at is None or ledger.state == "CLOSED":
        return "nothing: the session is over" if ledger.state == "CLOSED" else "the first run"
    if plan.why_closed is not None:
        return f"nothing: {plan.why_closed}"
    steps = (
        (plan.health_start, "health check begins"),
        (plan.trading_start, "entries begin"),
        (plan.trading_end, "entries end"),
        (plan.square_off, "every open trade is squared off"),
    )
    return next((f"{moment:%H:%M:%S} {what}" for moment, what in steps if moment > at), "the session closes when flat")


def _strategy(
    settings: Settings, ledger: Ledger, plan: DayPlan | None, name: str, at: datetime | None
) -> StrategyStatus:
    blocked: tuple[str, ...] = ("no session yet",)
    if plan is not None and at is not None:
        blocked = entry_blocks(settings.risk, entry_facts(ledger, plan, name, at))
        blocked += (ledger.entries_stopped,) if ledger.entries_stopped else ()
    signal, refusal = ledger.signals.get(name), ledger.blocked.get(name)
    said = "none" if signal is None else f"{'BUY' if signal[1].signal > 0 else 'EXIT'} {signal[1].candle_start:%H:%M}"
    return StrategyStatus(
        name=name,
        last_signal=said,
        blocked=blocked,
        last_refusal="" if refusal is None else f"{refusal[1].candle_start:%H:%M} {'; '.join(refusal[1].reasons)}",
    )


def _trade(trade: Trade, ledger: Ledger, zone: tzinfo) -> TradeStatus:
    result = trade_result(trade, mark_paise=_mark(ledger, trade))
    return TradeStatus(
        trade_id=trade.trade_id,
        strategy=trade.strategy,
        state=trade.state,
        since=trade.since.astimezone(zone),
        tradingsymbol=trade.contract.tradingsymbol,
        held=trade.held,
        entry_paise=result.entry_paise,
        last_paise=_mark(ledger, trade),
        stop_paise=trade.stop_paise,
        target_paise=trade.target_paise,
        hold_until=None if trade.hold_until is None else trade.hold_until.astimezone(zone),
        net_paise=result.net_paise,
        next_step=_trade_next(trade, zone),
    )


def _trade_next(trade: Trade, zone: tzinfo) -> str:
    if trade.state == "ACTIVE":
        parts = [
            f"stop at {rupees(trade.stop_paise)}" if trade.stop_paise is not None else "",
            f"target at {rupees(trade.target_paise)}" if trade.target_paise is not None else "",
            f"out at {trade.hold_until.astimezone(zone):%H:%M:%S} at the latest"
            if trade.hold_until is not None
            else "",
        ]
        return ", ".join(part for part in parts if part) or "the strategy's exit or the end of the day"
    role = Role.ENTRY if trade.state == "PENDING_ENTRY" else Role.EXIT
    order = trade.last_order(role)
    waiting = f"{role} order {order.order_id or order.tag} to be done" if order is not None else "its next order"
    if trade.deadline is None:
        return f"waits for {waiting}"
    return f"waits for {waiting}; {trade.deadline.trigger} at {trade.deadline.at.astimezone(zone):%H:%M:%S}"
