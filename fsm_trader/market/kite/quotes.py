"""Prices by REST. Kite takes one quote request a second, of up to 500 instruments: one request answers for all.

A request may hang until its time-out. No lock is held meanwhile, and who came for another instrument asks again.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future
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
# Where the server itself hangs, more requests would only use up the budget.
_MOST_UNDER_WAY = 2
# Longer than any time-out of the wire: a request ends by itself before.
_LONGEST_S = 30.0
# Behind a request of others, one of one's own or of others again, until it hangs, and until it ends.
_MOST_WAITS = 4


class _Answer(msgspec.Struct, frozen=True):
    number: int
    at: datetime
    rows: Mapping[str, object]


class _Request:
    """One request under way. Whoever waits for it gets its answer, or its failure."""

    def __init__(self, number: int, keys: tuple[str, ...]) -> None:
        self.number = number
        self.keys = keys
        self.is_hanging = False
        self.outcome: Future[Mapping[str, object]] = Future()


class QuoteBoard:
    """Asks for the quotes of all instruments that were asked for of late, at most once in *keep*.

    Safe to call from several threads: whoever comes while a request is under way gets its answer, or its failure. One
    that takes longer than *patience* hangs: it is left to the thread that makes it, and one other is made beside it.

    Args:
        wire: answers.
        zone: the exchange's.
        keep: for how long an answer serves.
        patience: for how long a request of another thread is waited for, in real seconds.
    """

    def __init__(
        self, wire: MarketWire, *, zone: ZoneInfo, keep: timedelta, patience: timedelta = timedelta(seconds=2)
    ) -> None:
        self._wire = wire
        self._zone = zone
        self._keep = keep
        self._patience_s = patience.total_seconds()
        self._lock = threading.Lock()
        self._asked: dict[str, datetime] = {}
        self._under_way: list[_Request] = []
        self._requests = 0
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
        for _ in range(_MOST_WAITS):
            with self._lock:
                self._asked[key] = now
                kept = self._answer
                if kept is not None and key in kept.rows and abs(now - kept.at) < self._keep:
                    return kept.rows
                request = self._request_of_others()
                is_ours = request is None
                request = request or self._begun(now)
            if is_ours:
                return self._ask(request, now)
            rows = self._waited_for(request)
            if rows is not None and key in request.keys:
                return rows
        raise UnavailableError(f"quote of {key}: the requests under way did not answer; it is asked for again")

    def _request_of_others(self) -> _Request | None:
        """Return the request to wait for, None when one is to be made."""
        if not self._under_way:
            return None
        newest = self._under_way[-1]
        return None if newest.is_hanging and len(self._under_way) < _MOST_UNDER_WAY else newest

    def _begun(self, now: datetime) -> _Request:
        self._asked = {each: at for each, at in self._asked.items() if now - at < _ASKED_WITHIN}
        newest = sorted(self._asked, key=self._asked.__getitem__, reverse=True)[:MOST_KEYS]
        self._requests += 1
        request = _Request(self._requests, tuple(sorted(newest)))
        self._under_way.append(request)
        return request

    def _ask(self, request: _Request, now: datetime) -> Mapping[str, object]:
        try:
            rows = self._wire.quote(request.keys)
        except BaseException as error:
            self._end(request, None)
            request.outcome.set_exception(error)
            raise
        self._end(request, _Answer(request.number, now, rows))
        request.outcome.set_result(rows)
        return rows

    def _end(self, request: _Request, answer: _Answer | None) -> None:
        with self._lock:
            self._under_way.remove(request)
            # One that hung may answer after a later one did.
            if answer is not None and (self._answer is None or answer.number > self._answer.number):
                self._answer = answer

    def _waited_for(self, request: _Request) -> Mapping[str, object] | None:
        """Return what others are answered, None when it takes too long.

        Raises:
            UnavailableError: what they are told instead.
        """
        try:
            return request.outcome.result(_LONGEST_S if request.is_hanging else self._patience_s)
        except TimeoutError:
            request.is_hanging = True
            return None
