"""What people are told: plain texts from committed facts. Pure; knows neither the journal nor where a text goes.

Amounts are in paise and shown in rupees; times are aware and shown as they are, in the session's time zone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from fsm_trader.core.money import Paise, show_rupees
from fsm_trader.core.signals import Signal

SessionNews = Literal[
    "started", "resumed", "healthy", "unhealthy", "login_required", "halted", "squaring_off", "closed"
]

_HEADLINES: dict[SessionNews, str] = {
    "started": "started",
    "resumed": "started again, and goes on where it stood",
    "healthy": "healthy: entries are allowed in trading hours",
    "unhealthy": "UNHEALTHY: no new entries; exits go on",
    "login_required": "LOGIN REQUIRED: no new entries until a person logs in",
    "halted": "HALTED: no new entries; exits go on",
    "squaring_off": "squaring off: every open trade is on its way out",
    "closed": "closed",
}


class ConfirmedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A filled entry. *average_paise* is for one unit, to the nearest paisa; None: that exit rule is not set."""

    trade_id: str
    symbol: str
    quantity: int
    ordered: int
    average_paise: Paise
    at: datetime
    stop_paise: Paise | None
    target_paise: Paise | None
    hold_until: datetime | None


class TradeSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A finished trade, all of it.

    Args:
        index_paise: the index when the strategy said BUY on the candle that began at *signal_at*.
        entry_paise, exit_paise: averages for one unit, to the nearest paisa.
        gross_paise, charges_paise: amounts for the whole trade; what is left is gross less charges.
    """

    trade_id: str
    strategy: str
    symbol: str
    quantity: int
    index_paise: Paise
    signal_at: datetime
    entry_paise: Paise
    entry_at: datetime
    entry_order_ids: tuple[str, ...]
    exit_paise: Paise
    exit_at: datetime
    exit_order_ids: tuple[str, ...]
    stop_paise: Paise | None
    target_paise: Paise | None
    reason: str
    gross_paise: Paise
    charges_paise: Paise


def signal_text(
    *, strategy: str, signal: Signal, underlying: str, index_paise: Paise, candle_start: datetime, to_open_trade: bool
) -> str:
    """Tell of a BUY, or of an EXIT, which matters most while a trade is open."""
    use = " for the open trade" if to_open_trade else ""
    return (
        f"{signal.name} signal{use}: {strategy}\n"
        f"{underlying} {show_rupees(index_paise)} at the close of the candle of {candle_start:%H:%M}"
    )


def entry_blocked_text(*, strategy: str, candle_start: datetime, reasons: Sequence[str]) -> str:
    """Tell why a BUY was not followed."""
    return _lines(f"BUY not followed: {strategy}, candle of {candle_start:%H:%M}", *reasons)


def entry_placed_text(*, trade_id: str, symbol: str, quantity: int, lots: int, order_id: str | None) -> str:
    """Tell that an entry order was sent and taken by the broker."""
    return f"Entry order placed: {trade_id}\nBUY {quantity} {symbol} ({_lots(lots)})\n{_order(order_id)}"


def entry_confirmed_text(entry: ConfirmedEntry) -> str:
    """Tell that a position is held, with its stop, target and longest holding time."""
    part = f" of {entry.ordered} ordered" if entry.quantity != entry.ordered else ""
    hold = "none" if entry.hold_until is None else f"until {entry.hold_until:%H:%M:%S}"
    return (
        f"Entry filled: {entry.trade_id}\n"
        f"Bought {entry.quantity}{part} {entry.symbol} at {show_rupees(entry.average_paise)}, {entry.at:%H:%M:%S}\n"
        f"Stop {_price(entry.stop_paise)}, target {_price(entry.target_paise)}, holding limit {hold}"
    )


def entry_failed_text(*, trade_id: str, symbol: str, quantity: int, reason: str, sends: int) -> str:
    """Tell that an entry came to nothing: no position is held."""
    return (
        f"Entry failed: {trade_id}\n"
        f"BUY {quantity} {symbol}: {_words(reason)}\n"
        f"Requests sent: {sends}. No position is held."
    )


def exit_placed_text(
    *, trade_id: str, symbol: str, quantity: int, reason: str, price_paise: Paise | None, order_id: str | None
) -> str:
    """Tell that an exit order was sent and taken, why, and at which option price that was decided."""
    price = "" if price_paise is None else f" at {show_rupees(price_paise)}"
    return f"Exit order placed: {trade_id}\nSELL {quantity} {symbol}\nWhy: {_words(reason)}{price}\n{_order(order_id)}"


def exit_trouble_text(*, trade_id: str, symbol: str, quantity: int, reason: str, attempt: int) -> str:
    """Tell that an exit order did not lead out; the seed ended the process here, this trader goes on trying."""
    return (
        f"EXIT NOT DONE: {trade_id}\n"
        f"SELL {quantity} {symbol}, attempt {attempt}: {_words(reason)}\n"
        "The position may still be held. The trader goes on trying; look at the account."
    )


def trade_summary_text(trade: TradeSummary) -> str:
    """Tell the whole of a finished trade: signal, both sides, reason, and what it earned or lost after charges."""
    net = trade.gross_paise - trade.charges_paise
    result = "profit" if net > 0 else "loss" if net < 0 else "nothing won or lost"
    return _lines(
        f"Trade closed: {trade.trade_id}, {result} {show_rupees(net)}",
        f"{trade.symbol}, {trade.quantity} units, {trade.strategy}",
        f"Signal: index {show_rupees(trade.index_paise)}, candle of {trade.signal_at:%H:%M}",
        f"Entry: {show_rupees(trade.entry_paise)} at {trade.entry_at:%H:%M:%S}, {_orders(trade.entry_order_ids)}",
        f"Exit: {show_rupees(trade.exit_paise)} at {trade.exit_at:%H:%M:%S}, {_orders(trade.exit_order_ids)}",
        f"Why: {_words(trade.reason)} (stop {_price(trade.stop_paise)}, target {_price(trade.target_paise)})",
        f"Gross {show_rupees(trade.gross_paise)}, charges {show_rupees(trade.charges_paise)}, net {show_rupees(net)}",
    )


def alarm_text(*, text: str, level: int, trade_id: str | None, may_be_held: bool = False) -> str:
    """Tell of something a person should look at; the level grows while it lasts.

    Args:
        text: the alarm.
        level: how loud it is, 1 or more.
        trade_id: whose it is, None where it is of no trade.
        may_be_held: the entry is not settled: nobody knows yet what is held, and no stop watches it.
    """
    whose = "" if trade_id is None else f" of trade {trade_id}"
    held = "\nA position may be held WITHOUT A STOP. Look at the account." if may_be_held else ""
    return f"ALARM (level {level}){whose}\n{text}{held}"


def session_text(
    *, news: SessionNews, session: str, at: datetime, details: Sequence[str] = (), open_trades: Sequence[str] = ()
) -> str:
    """Tell what became of the session, the faults or reasons one a line, and which trades are open."""
    trades = f"Open trades: {', '.join(open_trades)}" if open_trades else "No trade is open."
    return _lines(f"{session} {_HEADLINES[news]}", f"{at:%Y-%m-%d %H:%M:%S}", *details, trades)


def _lines(*lines: str) -> str:
    return "\n".join(lines)


def _words(reason: str) -> str:
    return reason.replace("_", " ") or "no reason given"


def _price(price_paise: Paise | None) -> str:
    return "none" if price_paise is None else show_rupees(price_paise)


def _lots(lots: int) -> str:
    return "1 lot" if lots == 1 else f"{lots} lots"


def _order(order_id: str | None) -> str:
    return "Order number not known yet" if order_id is None else f"Order {order_id}"


def _orders(order_ids: Sequence[str]) -> str:
    if not order_ids:
        return "no order of ours"
    return f"order {order_ids[0]}" if len(order_ids) == 1 else f"orders {', '.join(order_ids)}"
