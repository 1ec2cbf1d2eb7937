"""The Strategy protocol: a pure function of the candles it was given, kept as small as it can be."""

from __future__ import annotations

from typing import Protocol

from fsm_trader.core.candles import Candle
from fsm_trader.core.signals import Signal


class Strategy(Protocol):
    """Looks at completed candles, one after the other, and says BUY, HOLD or EXIT.

    A strategy is built with the ``params`` of strategies.yaml as keyword arguments and raises ValueError when they do
    not fit. It must give the same answers for the same candles: no clock, file, network or random number.
    After a restart it is built anew and fed the day's candles again.
    """

    @property
    def warmup(self) -> int:
        """Candles it needs before it can say anything but HOLD."""
        ...

    def update(self, candle: Candle) -> Signal:
        """Take the next completed candle and return what it says."""
        ...
