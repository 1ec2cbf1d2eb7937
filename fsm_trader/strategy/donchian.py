"""Donchian breakout: buy a close above the recent highs. It knows candles and nothing else."""

from __future__ import annotations

from fsm_trader.core.candles import Candle
from fsm_trader.core.signals import Signal
from fsm_trader.strategy.indicators import RollingExtreme
from fsm_trader.strategy.params import exit_option as checked_exit_option
from fsm_trader.strategy.params import whole_number


class DonchianBreakout:
    """Says BUY when the close crosses above the previous upper band, EXIT when it crosses below the exit line.

    The bands are the highest high and the lowest low of the last *length* completed candles, the present one
    included; a close is held against the bands of the candle before (``live_trader.md``, made exact):

    - BUY: ``close[t] > upper[t-1]`` and ``close[t-1] <= upper[t-2]``.
    - EXIT: ``close[t] < line[t-1]`` and ``close[t-1] >= line[t-2]``; EXIT wins when both hold.

    Args:
        length: candles in a band, 2 to 500.
        exit_option: the exit line, 1 for the lower band, 2 for the middle between the bands.

    Raises:
        ValueError: a parameter is out of its bounds.
    """

    def __init__(self, length: int, exit_option: int) -> None:
        self._length = whole_number("length", length, least=2, most=500)
        self._exit_option = checked_exit_option(exit_option)
        self._highs = RollingExtreme(length, largest=True)
        self._lows = RollingExtreme(length, largest=False)
        self._close: int | None = None
        # Bands of the last candle and of the one before: (upper, exit line), both doubled so that the middle is exact.
        self._bands: tuple[int, int] | None = None
        self._bands_before: tuple[int, int] | None = None

    @property
    def warmup(self) -> int:
        """Candles until the first possible signal: two sets of bands and the candle after them."""
        return self._length + 2

    def update(self, candle: Candle) -> Signal:
        """Take the next completed candle and return what it says."""
        signal = self._judge(2 * candle.close)
        self._bands_before, self._bands = self._bands, self._next_bands(candle)
        self._close = 2 * candle.close
        return signal

    def _judge(self, close: int) -> Signal:
        if self._close is None or self._bands is None or self._bands_before is None:
            return Signal.HOLD
        upper, line = self._bands
        upper_before, line_before = self._bands_before
        if close < line and self._close >= line_before:
            return Signal.EXIT
        if close > upper and self._close <= upper_before:
            return Signal.BUY
        return Signal.HOLD

    def _next_bands(self, candle: Candle) -> tuple[int, int] | None:
        upper, lower = self._highs.push(candle.high), self._lows.push(candle.low)
        if upper is None or lower is None:
            return None
        return 2 * upper, (2 * lower if self._exit_option == 1 else upper + lower)
