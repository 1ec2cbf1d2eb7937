"""What the live feed needs of Kite: three reads and a stream. ``fsm_trader.kite`` keeps them; tests may stand in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Protocol


class MarketWire(Protocol):
    """The reads of market data. Each keeps to Kite's budgets by itself and may wait for them."""

    def historical(self, token: int, start: datetime, end: datetime, interval: str) -> dict[str, Any]:
        """Return ``{"candles": [...]}``; the running candle may be among them.

        Raises:
            UnavailableError: no usable answer.
        """
        ...

    def quote(self, instruments: Sequence[str | int]) -> dict[str, Any]:
        """Return quotes by ``EXCHANGE:SYMBOL``; what has none is left out.

        Raises:
            UnavailableError: no usable answer.
        """
        ...

    def instruments(self, exchange: str) -> bytes:
        """Return the instrument dump of an exchange as CSV.

        Raises:
            UnavailableError: no usable answer.
        """
        ...


class Stream(Protocol):
    """A subscription to ticks, which heals itself."""

    def start(self) -> None:
        """Begin to connect."""
        ...

    def watch(self, tokens: Iterable[int]) -> None:
        """Say which instruments are wanted from now on."""
        ...

    def close(self, timeout_s: float = 5.0) -> None:
        """End it."""
        ...
