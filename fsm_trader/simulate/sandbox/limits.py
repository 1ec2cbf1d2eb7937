"""Kite's rate limits, on the day's own clock. Source: kite.trade/docs/connect/v3/exceptions (rates per key).

At a high speed a hair of network delay is seconds of the day, so that requests which left one after the other may
arrive together; the buckets are larger by what 5 ms of real time are worth. Pure; it must not know routes.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from fsm_trader.simulate.sandbox.forms import KiteError

Rate = Literal["quote", "historical", "order", "other"]
_PER_SECOND: dict[Rate, int] = {"quote": 1, "historical": 3, "order": 10, "other": 10}
_ORDERS_PER_MINUTE = 400
_ORDERS_PER_DAY = 5000
_JITTER_S = 0.005


class Limits:
    """Counts requests and refuses those above the rates.

    Args:
        speed: seconds of the day in one real second.
    """

    def __init__(self, speed: float) -> None:
        slack_s = _JITTER_S * speed
        self._seconds = {rate: _Bucket(most, most, slack_s) for rate, most in _PER_SECOND.items()}
        self._minute = _Bucket(_ORDERS_PER_MINUTE, _ORDERS_PER_MINUTE / 60, slack_s)
        self._orders = 0

    def take(self, rate: Rate, now: datetime) -> None:
        """Count one request.

        Raises:
            KiteError: it is one too many.
        """
        is_order = rate == "order"
        within = self._seconds[rate].take(now)
        if is_order:
            within = self._minute.take(now) and within
            self._orders += 1
        if not within:
            raise too_many()
        if self._orders > _ORDERS_PER_DAY and is_order:
            raise KiteError("Maximum allowed order requests exceeded.")


def too_many() -> KiteError:
    """Return Kite's answer to a request above the rates."""
    return KiteError("Too many requests", "NetworkException", 429)


class _Bucket:
    def __init__(self, most: float, per_second: float, slack_s: float) -> None:
        self._most = most + per_second * slack_s
        self._per_second = per_second
        self._level = self._most
        self._at: datetime | None = None

    def take(self, now: datetime) -> bool:
        if self._at is not None:
            passed_s = max(0.0, (now - self._at).total_seconds())
            self._level = min(self._most, self._level + passed_s * self._per_second)
        self._at = now
        if self._level < 1:
            return False
        self._level -= 1
        return True
