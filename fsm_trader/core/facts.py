"""The facts guards look at: everything a decision may depend on, gathered before it is made."""

from __future__ import annotations

from datetime import datetime

import msgspec

from fsm_trader.core.money import Paise
from fsm_trader.core.trades import Trade


class TradeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the trade machine's guards see.

    Args:
        trade: the trade with everything this event tells already folded in.
        low, high, last: option price in paise since the last look; None when no new price was seen.
        exit_signal: the strategy said EXIT on a candle that completed after the entry.
        square_off_due: the time to be flat has come.
        flatten_asked: a person asked for everything out.
        may_buy_on: the decision to enter is young and stands: a further part of the entry may be sent.
    """

    trade: Trade
    now: datetime
    low: Paise | None = None
    high: Paise | None = None
    last: Paise | None = None
    exit_signal: bool = False
    square_off_due: bool = False
    flatten_asked: bool = False
    may_buy_on: bool = False


class SessionFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the session machine's guards see. Two equal sets of facts ask the same question.

    Args:
        trading_day: the calendar says the market is open today.
        health_window, trading_window: the present lies inside them.
        past_*: the present is at or after that moment of the day.
        healthy: the newest health check of this process found no fault.
        unhealthy: it found one; both are False before the first check.
        login_required: the broker does not take our token.
        candles_stale: the newest completed candle is older than allowed.
        halted: a person said halt and has not said resume.
        flat: no trade is open.
    """

    trading_day: bool
    health_window: bool
    trading_window: bool
    past_trading: bool
    past_square_off: bool
    healthy: bool
    unhealthy: bool
    login_required: bool
    candles_stale: bool
    halted: bool
    flat: bool
