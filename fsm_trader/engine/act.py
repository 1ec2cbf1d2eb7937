"""From a committed intent to its outcome: the calls to broker and market, each as a job that gives one event.

A job never raises and never decides: what it could not do is a fact for the loop. That holds for defects too: a reading
that never answers is never asked for again, and an order whose request stumbled on its way may well have arrived.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from fsm_trader.broker.protocol import Broker
from fsm_trader.core.clock import Clock
from fsm_trader.core.events import (
    BookRead,
    CancelDone,
    CandlesRead,
    Event,
    HealthRead,
    PriceRead,
    ReadFailed,
    Reading,
    SendAnswered,
    StandingRead,
)
from fsm_trader.core.orders import OrderRequest
from fsm_trader.engine.retry import call
from fsm_trader.engine.work import Job
from fsm_trader.errors import LoginRequiredError, OutcomeUnknownError, RefusedError, UnavailableError
from fsm_trader.machines.spec import PolicySpec
from fsm_trader.market.protocol import MarketFeed

_LOG = logging.getLogger(__name__)


class Effects:
    """Makes jobs. Holds the broker, the feed and the clock, and nothing that changes."""

    def __init__(self, *, broker: Broker, feed: MarketFeed, clock: Clock) -> None:
        self._broker = broker
        self._feed = feed
        self._clock = clock

    def send(self, trade_id: str, request: OrderRequest, policy: PolicySpec, *, look_first: bool = False) -> Job:
        """Send an order whose intent is committed.

        Args:
            trade_id: whose order it is.
            request: exactly what the intent says.
            policy: what may be tried again.
            look_first: sell only what the broker still holds (I3): the position is read right before sending.
        """

        def job() -> Event:
            sends = 0
            missing = self._missing(request) if look_first else ""
            if missing:
                return SendAnswered(trade_id, request.tag, "refused", None, missing, 0)

            def once() -> str:
                nonlocal sends
                sends += 1
                return self._broker.place(request)

            try:
                order_id, _ = call(policy, once, sleep=self._clock.sleep)
            except RefusedError as error:
                return SendAnswered(trade_id, request.tag, "refused", None, str(error), sends)
            except OutcomeUnknownError as error:
                return SendAnswered(trade_id, request.tag, "unknown", None, str(error), sends)
            return SendAnswered(trade_id, request.tag, "accepted", order_id, "", sends)

        return _telling(job, lambda why: SendAnswered(trade_id, request.tag, "unknown", None, why))

    def cancel(self, trade_id: str, tag: str, order_id: str, policy: PolicySpec) -> Job:
        """Ask for a cancellation whose intent is committed."""

        def job() -> Event:
            try:
                call(policy, lambda: self._broker.cancel(order_id), sleep=self._clock.sleep)
            except RefusedError as error:
                return CancelDone(trade_id, tag, "refused", str(error))
            except OutcomeUnknownError as error:
                return CancelDone(trade_id, tag, "unknown", str(error))
            return CancelDone(trade_id, tag, "accepted")

        return _telling(job, lambda why: CancelDone(trade_id, tag, "unknown", why))

    def read_book(self) -> Job:
        """Read the order book."""
        return self._reading("book", None, lambda: BookRead(self._broker.book()))

    def read_standing(self) -> Job:
        """Read the order book and, after it, the net positions."""
        return self._reading("standing", None, lambda: StandingRead(self._broker.book(), self._broker.positions()))

    def read_candles(self, token: int, after: datetime | None) -> Job:
        """Read completed candles that started later than *after*."""
        return self._reading(
            "candles",
            token,
            lambda: CandlesRead(token, self._feed.candles(token, after=after, now=self._clock.now())),
        )

    def read_price(self, token: int) -> Job:
        """Read the last price of an instrument."""

        def read() -> Event:
            price = self._feed.price(token, self._clock.now())
            if price is None:
                return ReadFailed("price", "no price yet today", token)
            # A record built without decoding may carry anything, and a price of 0 would sell at any stop.
            if price.token != token or type(price.last) is not int or price.last <= 0:
                return ReadFailed("price", f"got {price}; expected whole paise above zero of token {token}", token)
            return PriceRead(price)

        return self._reading("price", token, read)

    def check_health(self, token: int, max_candle_age: timedelta, policy: PolicySpec) -> Job:
        """Ask for everything trading needs: the account, the order book, fresh candles of the index."""

        def fresh_candles() -> None:
            now = self._clock.now()
            candles = self._feed.candles(token, after=now - max_candle_age - timedelta(minutes=2), now=now)
            if not candles:
                raise UnavailableError(f"no candle of instrument {token} completed in the last {max_candle_age}")

        checks: tuple[tuple[str, Callable[[], object]], ...] = (
            ("account", self._broker.check),
            ("order book", self._broker.book),
            ("candles", fresh_candles),
        )

        def job() -> Event:
            faults: list[str] = []
            login_required = False
            for what, check in checks:
                try:
                    call(policy, check, sleep=self._clock.sleep)
                except UnavailableError as error:
                    faults.append(f"{what}: {error}")
                    login_required = login_required or isinstance(error, LoginRequiredError)
            return HealthRead(tuple(faults), login_required)

        return _telling(job, lambda why: HealthRead((why,)))

    def _missing(self, request: OrderRequest) -> str:
        """Say why a sale would sell more than is held; empty when it would not, or when nobody can say.

        A broker that takes orders and cannot tell positions must not keep a position from being left.
        """
        try:
            positions = self._broker.positions()
        except UnavailableError as error:
            _LOG.warning("positions cannot be read before %s: %s; it is sent all the same", request.tag, error)
            return ""
        key = (request.exchange, request.tradingsymbol, request.product)
        net = sum(each.quantity for each in positions if (each.exchange, each.tradingsymbol, each.product) == key)
        if net >= request.quantity:
            return ""
        return f"the broker holds {net} {request.tradingsymbol}, less than {request.quantity}; nothing was sent (I3)"

    def _reading(self, reading: Reading, token: int | None, read: Callable[[], Event]) -> Job:
        def job() -> Event:
            try:
                return read()
            except UnavailableError as error:
                return ReadFailed(reading, str(error), token, isinstance(error, LoginRequiredError))

        return _telling(job, lambda why: ReadFailed(reading, why, token))


def _telling(job: Job, failed: Callable[[str], Event]) -> Job:
    """Return a job that tells of a defect on its way by the event *failed* makes of its words."""

    def told() -> Event:
        try:
            return job()
        except Exception as error:  # noqa: BLE001 - the outermost frame of a job, reasons in the module's first lines
            _LOG.exception("a call to the broker or the feed failed in a way nobody planned for")
            return failed(f"unexpected {type(error).__name__}: {error}")

    return told
