"""From completed candles to signals: each strategy sees every candle of the day once, in order."""

from __future__ import annotations

import msgspec

from fsm_trader.core.candles import Candle
from fsm_trader.core.settings import StrategySettings
from fsm_trader.core.signals import Signal
from fsm_trader.market.candles import Aggregator
from fsm_trader.strategy.protocol import Strategy


class Said(msgspec.Struct, frozen=True):
    """A strategy's word on one completed candle of its own length."""

    settings: StrategySettings
    signal: Signal
    candle: Candle


class Seat:
    """One configured strategy with its candle length; fed one-minute candles."""

    def __init__(self, settings: StrategySettings, strategy: Strategy) -> None:
        self.settings = settings
        self._strategy = strategy
        self._aggregator = Aggregator(settings.interval_s)

    def take(self, candle: Candle) -> list[Said]:
        """Take the next one-minute candle; return what was said of each candle it completed (0 to 2)."""
        whole = self._aggregator.add(candle)
        return [Said(self.settings, self._strategy.update(candle), candle) for candle in whole]
