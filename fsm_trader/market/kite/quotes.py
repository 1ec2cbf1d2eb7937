"""Prices by REST. Kite takes one quote request a second, of up to 500 instruments: one request answers for all."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from fsm_trader.core.candles import PriceSeen
from fsm_trader.errors import UnavailableError
from fsm_trader.market.kite.answers import read_quote
from fsm_trader.market.kite.protocol import MarketWire

MOST_KEYS = 500
# Who asked within this time is asked for along with the others.
_ASKED_WITHIN = timedelta(seconds=60)


class _Answer(msgspec.Struct, frozen=True):
    at: datetime
    rows: Mapping[str, object]


class QuoteBoard:
    """Asks for the quotes of all instruments that were asked for of late, at most once in *keep*.

    Safe to call from several threads: whoever comes while a request is under way gets its answer.

    Args:
        wire: answers.
        zone: the exchange's.
        keep: for how long an answer serves.
    """

    def __init__(self, wire: MarketWire, *, zone: ZoneInfo, keep: timedelta) -> None:
        self._wire = wire
        self._zone = zone
        self._keep = keep
        self._lock = threading.Lock()
        self._asked: dict[str, datetime] = {}
        self._answer: _Answer | None = None

    def price(self, token: int, key: str, now: datetime) -> PriceSeen | None:
        """Return the price of ``EXCHANGE:SYMBOL`` at the time of its last trade, None without a trade today.

        Raises:
            UnavailableError: no usable answer, or none for this instrument.
        """
        rows = self._rows(key, now)
        if key not in rows:
            raise UnavailableError(f"quote of {key}: Kite has none; expected one of a listed instrument")
        return read_quote(rows[key], token, now.astimezone(self._zone).date(), self._zone)

    def _rows(self, key: str, now: datetime) -> Mapping[str, object]:
        with self._lock:
            self._asked[key] = now
            answer = self._answer
            if answer is not None and key in answer.rows and abs(now - answer.at) < self._keep:
                return answer.rows
            self._asked = {each: at for each, at in self._asked.items() if now - at < _ASKED_WITHIN}
            newest = sorted(self._asked, key=self._asked.__getitem__, reverse=True)[:MOST_KEYS]
            # Held while asking: the others wait for this answer instead of asking for it again.
            rows = self._wire.quote(sorted(newest))
            self._answer = _Answer(now, rows)
            return rows
