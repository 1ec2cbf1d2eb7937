"""Opening range breakout: buy the first close above the morning's high. It knows candles and nothing else."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from fsm_trader.core.candles import Candle
from fsm_trader.core.signals import Signal
from fsm_trader.strategy.params import exit_option as checked_exit_option
from fsm_trader.strategy.params import whole_number


class OpeningRange:
    """Says BUY, once a day, when a close is above the high of the day's first minutes.

    The range is the high and the low of the candles that start within *minutes* of the first candle it is given of
    a day, by the day and time of ``candle.start``; it is fixed from the first candle after them.

    - BUY: the first ``close[t] > high`` of the day.
    - EXIT: ``close[t] < line`` and ``close[t-1] >= line``, as often as it happens.

    Args:
        minutes: length of the range, 1 to 360.
        exit_option: the exit line, 1 for the low of the range, 2 for the middle between low and high.

    Raises:
        ValueError: a parameter is out of its bounds.
    """

    def __init__(self, minutes: int, exit_option: int = 1) -> None:
        self._length = timedelta(minutes=whole_number("minutes", minutes, least=1, most=360))
        self._exit_option = checked_exit_option(exit_option)
        self._day: date | None = None
        self._until: datetime | None = None
        self._high = self._low = self._close = 0
        self._bought = False

    @property
    def warmup(self) -> int:
        """Candles until the first possible signal: 2, as one candle may be as long as the range."""
        return 2

    def update(self, candle: Candle) -> Signal:
        """Take the next completed candle and return what it says."""
        if candle.start.date() != self._day or self._until is None:
            self._begin(candle)
            return Signal.HOLD
        signal = Signal.HOLD
        if candle.start < self._until:
            self._high, self._low = max(self._high, candle.high), min(self._low, candle.low)
        else:
            signal = self._judge(candle.close)
        self._close = candle.close
        return signal

    def _begin(self, candle: Candle) -> None:
        self._day = candle.start.date()
        self._until = candle.start + self._length
        self._high, self._low, self._close = candle.high, candle.low, candle.close
        self._bought = False

    def _judge(self, close: int) -> Signal:
        # Doubled, so that the middle of the range is exact.
        line = 2 * self._low if self._exit_option == 1 else self._high + self._low
        if 2 * close < line <= 2 * self._close:
            return Signal.EXIT
        if close > self._high and not self._bought:
            self._bought = True
            return Signal.BUY
        return Signal.HOLD
