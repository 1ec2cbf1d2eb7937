"""From completed candles to signals: each strategy sees every candle of the day once, in order."""

from __future__ import annotations

import logging

import msgspec

from fsm_trader.core.candles import Candle
from fsm_trader.core.settings import StrategySettings
from fsm_trader.core.signals import Signal
from fsm_trader.market.candles import Aggregator
from fsm_trader.strategy.protocol import Strategy

_LOG = logging.getLogger(__name__)


class Said(msgspec.Struct, frozen=True):
    """A strategy's word on one completed candle of its own length."""

    settings: StrategySettings
    signal: Signal
    candle: Candle


class Seat:
    """One configured strategy with its candle length; fed one-minute candles.

    Attributes:
        fault: what the strategy raised, empty while all is well. A strategy that failed says nothing more: its trades
            are managed to their end by stop, target, holding time and square-off.
    """

    def __init__(self, settings: StrategySettings, strategy: Strategy) -> None:
        self.settings = settings
        self._strategy = strategy
        self._aggregator = Aggregator(settings.interval_s)
        self.fault = ""

    def take(self, candle: Candle) -> list[Said]:
        """Take the next one-minute candle; return what was said of each candle it completed (0 to 2)."""
        says: list[Said] = []
        for whole in self._aggregator.add(candle):
            if self.fault:
                break
            try:
                signal = Signal(self._strategy.update(whole))
            # Somebody else's code must not end the care of a position, not by sys.exit either: it would even look like
            # a day that ended well. Our own stop comes as an event, never as one of these.
            except (Exception, SystemExit, KeyboardInterrupt, GeneratorExit) as error:  # noqa: BLE001 - reasons above
                self.fault = f"{type(error).__name__}: {error}"
                _LOG.exception("strategy %s failed on the candle of %s", self.settings.name, whole.start)
            else:
                says.append(Said(self.settings, signal, whole))
        return says
