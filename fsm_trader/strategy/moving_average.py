"""Crossing of two moving averages. It knows candles and nothing else."""

from __future__ import annotations

from fsm_trader.core.candles import Candle
from fsm_trader.core.signals import Signal
from fsm_trader.strategy.indicators import RollingSum
from fsm_trader.strategy.params import whole_number


class MovingAverageCross:
    """Says BUY when the fast average of closes crosses above the slow one, EXIT when it crosses below.

    Averages are simple and compared exactly:

    - BUY: ``fast[t] > slow[t]`` and ``fast[t-1] <= slow[t-1]``.
    - EXIT: ``fast[t] < slow[t]`` and ``fast[t-1] >= slow[t-1]``.

    Args:
        fast: closes in the fast average, 1 to 499.
        slow: closes in the slow average, above *fast* and at most 500.

    Raises:
        ValueError: a parameter is out of its bounds.
    """

    def __init__(self, fast: int, slow: int) -> None:
        self._fast_length = whole_number("fast", fast, least=1, most=499)
        self._slow_length = whole_number("slow", slow, least=2, most=500)
        if fast >= slow:
            raise ValueError(f"fast: was {fast} with slow {slow}; expected fast below slow")
        self._fast = RollingSum(fast)
        self._slow = RollingSum(slow)
        self._lead: int | None = None

    @property
    def warmup(self) -> int:
        """Candles until the first possible signal: a slow average and the candle after it."""
        return self._slow_length + 1

    def update(self, candle: Candle) -> Signal:
        """Take the next completed candle and return what it says."""
        before, self._lead = self._lead, self._next_lead(candle.close)
        if before is None or self._lead is None:
            return Signal.HOLD
        if self._lead < 0 <= before:
            return Signal.EXIT
        if self._lead > 0 >= before:
            return Signal.BUY
        return Signal.HOLD

    def _next_lead(self, close: int) -> int | None:
        # The sign of fast average - slow average, from sums multiplied crosswise instead of divided.
        fast, slow = self._fast.push(close), self._slow.push(close)
        if fast is None or slow is None:
            return None
        return fast * self._slow_length - slow * self._fast_length
