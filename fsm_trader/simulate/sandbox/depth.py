"""A made-up order book around a price: five bids and five asks at the paper broker's spread. Pure; nobody's orders."""

from __future__ import annotations

import msgspec

from fsm_trader.broker.paper.pricing import market_price
from fsm_trader.core.contracts import OptionContract
from fsm_trader.core.money import Paise
from fsm_trader.core.orders import Side

LEVELS = 5


class Level(msgspec.Struct, frozen=True):
    """Units offered at a price in paise by so many orders; all 0 where the book is empty."""

    price: int = 0
    quantity: int = 0
    orders: int = 0


class Depth(msgspec.Struct, frozen=True):
    """The nearest five levels of each side, best first."""

    bids: tuple[Level, ...] = (Level(),) * LEVELS
    asks: tuple[Level, ...] = (Level(),) * LEVELS


def depth_around(last: Paise, contract: OptionContract, *, spread_ticks: int) -> Depth:
    """Return levels one tick apart, the best ones where the matching engine fills a market order."""
    return Depth(
        _levels(last, Side.SELL, contract, spread_ticks),
        _levels(last, Side.BUY, contract, spread_ticks),
    )


def _levels(last: Paise, taker: Side, contract: OptionContract, spread_ticks: int) -> tuple[Level, ...]:
    levels: list[Level] = []
    for step in range(LEVELS):
        price = market_price(last, taker, ticks=spread_ticks + step, tick_paise=contract.tick_paise)
        is_new = not levels or price != levels[-1].price
        levels.append(Level(price, contract.lot_size * 2 * (step + 1), step + 1) if is_new else Level())
    return tuple(levels)
