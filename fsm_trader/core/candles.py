"""Candles and prices as facts: what a market showed, with the time it showed it."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from fsm_trader.core.money import Paise

MINUTE = timedelta(minutes=1)


class Candle(msgspec.Struct, frozen=True):
    """One completed candle.

    Args:
        token: instrument token.
        start: first instant of the candle, aware (Kite stamps candles with their start).
        open, high, low, close: paise; positive, low <= open, close <= high.
        volume: units traded; 0 for an index.
        interval_s: length in seconds.
    """

    token: int
    start: datetime
    open: Paise
    high: Paise
    low: Paise
    close: Paise
    volume: int = 0
    interval_s: int = 60

    @property
    def end(self) -> datetime:
        """First instant after the candle: it is complete from here on."""
        return self.start + (MINUTE if self.interval_s == 60 else timedelta(seconds=self.interval_s))


class PriceSeen(msgspec.Struct, frozen=True):
    """A price of one instrument at one instant, in paise."""

    token: int
    last: Paise
    at: datetime


def candle_fault(candle: Candle) -> str | None:
    """Say what is wrong with a candle on its own, or None when it can be used."""
    prices = (candle.open, candle.high, candle.low, candle.close)
    if min(prices) <= 0:
        return f"prices {prices} in paise; expected all above zero"
    if candle.low > min(prices) or candle.high < max(prices):
        return f"low {candle.low} and high {candle.high} do not enclose open {candle.open} and close {candle.close}"
    return None
