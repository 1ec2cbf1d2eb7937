"""What the market takes and gives: the far side of the spread, slippage and market protection, exact and on the tick.

Pure arithmetic on one price. It must not know orders, time or files.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from fsm_trader.core.money import Paise, round_to_tick
from fsm_trader.core.orders import Side

AUTO_PROTECTION = Decimal(-1)
"""The market protection that leaves the band to the broker."""

_AUTO_BANDS: tuple[tuple[int | None, int], ...] = ((1_000, 5), (10_000, 3), (50_000, 2), (None, 1))
"""Premium below (paise) and band (percent): after the bands for options on the Kite order window.

For -1 over the API only the band of 3 % between 10 and 100 rupees has been reported (tradingqna 193460).
"""

_LEAST_AUTO_TICKS = 2


def market_price(last: Paise, side: Side, *, ticks: int, tick_paise: int) -> Paise:
    """Return the price that is *ticks* worse than *last* for the given side, on the tick, at least one tick.

    Args:
        last: last traded price in paise.
        side: a BUY pays more, a SELL gets less.
        ticks: distance from the last price, at least 0.
        tick_paise: tick size in paise.
    """
    away = ticks * tick_paise
    if side is Side.BUY:
        return round_to_tick(last + away, tick_paise, up=True)
    return Paise(max(tick_paise, round_to_tick(last - away, tick_paise, up=False)))


def protected_limit(last: Paise, side: Side, *, protection: Decimal, tick_paise: int) -> Paise:
    """Return the limit that a protected market order becomes: the last price plus or minus its band.

    The limit is rounded into the band, yet never to the near side of the last price. With ``AUTO_PROTECTION`` the band
    goes by the premium and is at least two ticks wide: in a narrower one no order could ever pay the spread.

    Args:
        last: last traded price in paise.
        side: direction of the order.
        protection: percent, above 0 and at most 100, or ``AUTO_PROTECTION``.
        tick_paise: tick size in paise.
    """
    band = Fraction(last) * Fraction(protection) / 100
    if protection == AUTO_PROTECTION:
        band = max(Fraction(last) * auto_percent(last) / 100, Fraction(_LEAST_AUTO_TICKS * tick_paise))
    if side is Side.BUY:
        return max(
            round_to_tick(last + band, tick_paise, up=False),
            round_to_tick(last, tick_paise, up=True),
        )
    limit = min(round_to_tick(last - band, tick_paise, up=True), round_to_tick(last, tick_paise, up=False))
    return Paise(max(tick_paise, limit))


def auto_percent(last: Paise) -> int:
    """Return the band in percent that ``AUTO_PROTECTION`` stands for at a premium in paise."""
    return next(percent for below, percent in _AUTO_BANDS if below is None or last < below)
