"""Stop and target as prices, from the actual average fill, and the price a decision was made on. Pure."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from fsm_trader.core.money import Paise, round_to_tick
from fsm_trader.core.trades import Trade


def level_of(average: Fraction, part: Decimal | None, sign: int, tick_paise: int) -> Paise | None:
    """Return the price that lies *part* (0.20 is 20 %) away from an average fill, on the tick, rounded up.

    Args:
        average: in paise.
        part: None where there is no such level; then there is no price either.
        sign: 1 above, -1 below.
        tick_paise: tick size in paise.
    """
    if part is None:
        return None
    return round_to_tick(average * (1 + sign * Fraction(part)), tick_paise, up=True)


def decisive_price(trade: Trade, low: Paise | None, high: Paise | None, last: Paise | None) -> Paise | None:
    """Return the price a decision was made on, in paise: of a candle, the extreme that reached a level."""
    if low is not None and trade.stop_paise is not None and low <= trade.stop_paise:
        return low
    if high is not None and trade.target_paise is not None and high >= trade.target_paise:
        return high
    return last
