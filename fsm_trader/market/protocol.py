"""The feed protocol: where candles, prices and the instrument dump come from."""

from __future__ import annotations

from datetime import date, datetime
from typing import Protocol, runtime_checkable

from fsm_trader.core.candles import Candle, PriceSeen
from fsm_trader.core.contracts import OptionContract


class MarketFeed(Protocol):
    """A source of market facts. Safe to call from several threads."""

    def candles(self, token: int, *, after: datetime | None, now: datetime) -> tuple[Candle, ...]:
        """Return today's one-minute candles that started later than *after* and are complete at *now*.

        Raises:
            UnavailableError: no usable answer.
        """
        ...

    def price(self, token: int, now: datetime) -> PriceSeen | None:
        """Return the last traded price at *now*, None when the instrument has not traded yet today.

        Raises:
            UnavailableError: no usable answer.
        """
        ...

    def contracts(self, name: str, day: date) -> tuple[OptionContract, ...]:
        """Return the options on *name* that are listed on *day*.

        Raises:
            UnavailableError: the dump cannot be read or used (truncated, stale, unknown underlying).
        """
        ...

    def next_candle_at(self, now: datetime) -> datetime | None:
        """Return when the next candle of today is complete, None where that is not known (live) or none is left."""
        ...


@runtime_checkable
class PromptFeed(Protocol):
    """What a feed can do besides that is told of prices before anybody asks."""

    def hears_orders(self, now: datetime) -> bool:
        """Tell whether it would be told now of every order on the account that moves, whoever gave it; at once."""
        ...

    def watch(self, contract: OptionContract, now: datetime) -> None:
        """Follow a contract from now on, before it is asked about."""
        ...

    def candles_at_hand(self, token: int, *, after: datetime | None, now: datetime) -> tuple[Candle, ...] | None:
        """Return what ``candles`` would, None where somebody would have to be asked for them; at once.

        Raises:
            UnavailableError: as ``candles``.
        """
        ...

    def price_at_hand(self, token: int, now: datetime) -> PriceSeen | None:
        """Return the last traded price where it is known without asking anybody, None where it is not; at once."""
        ...
