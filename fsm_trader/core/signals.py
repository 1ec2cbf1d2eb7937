"""What a strategy may say about a completed candle."""

from __future__ import annotations

from enum import IntEnum


class Signal(IntEnum):
    """A strategy's word on one candle. EXIT wins over BUY when both hold on one candle."""

    BUY = 1
    HOLD = 0
    EXIT = -1
