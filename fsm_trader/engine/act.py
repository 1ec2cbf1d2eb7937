"""From a committed intent to its outcome: the calls to broker and market, each as a job that gives one event.

A job never raises and never decides: what it could not do is a fact for the loop. That holds for defects too: a reading
that never answers is never asked for again, and an order whose request stumbled on its way may well have arrived.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from fsm_trader.broker.protocol import Broker, PromptBroker
from fsm_trader.core.candles import Candle, PriceSeen
from fsm_trader.core.clock import Clock
from fsm_trader.core.contracts import OptionContract
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
from fsm_trader.core.orders import NetPosition, OrderBook, OrderRequest, Side
from fsm_trader.engine.look import Look, short_of, too_early
from fsm_trader.engine.retry import Retries
from fsm_trader.engine.work import Job, Lane, LaneJob
from fsm_trader.errors import LoginRequiredError, OutcomeUnknownError, RefusedError, UnavailableError
from fsm_trader.machines.load import builtin_session
from fsm_trader.machines.spec import MachineSpec, PolicySpec
from fsm_trader.market.protocol import MarketFeed, PromptFeed

_LOG = logging.getLogger(__name__)
T = TypeVar("T")
# An exit waits so long to be told what is held, and no longer.
_GLANCE_WITHIN = timedelta(seconds=1.5)
_OF_ACCOUNT = frozenset({"book", "standing"})


class Effects:
    """Makes jobs. Holds the broker, the feed and the clock, and nothing that changes.

    Args:
        session_machine: says under which policies readings are made; None: as the built-in one does.
    """

    def __init__(
        self, *, broker: Broker, feed: MarketFeed, clock: Clock, session_machine: MachineSpec | None = None
    ) -> None:
        self._broker = broker
        self._feed = feed
        self._prompt = feed if isinstance(feed, PromptFeed) else None
        self._clock = clock
        self._retries = Retries(clock)
        spec = session_machine or builtin_session()
        self._policies = {call: spec.policies[name] for call, name in spec.calls.items()}

    def send(
        self,
        trade_id: str,
        request: OrderRequest,
        policy: PolicySpec,
        *,
        look: Look | None = None,
    ) -> Job:
        """Send an order whose intent is committed.

        Args:
            trade_id: whose order it is.
            request: exactly what the intent says.
            policy: what may be tried again.
            look: sell only what the broker still holds (I3): asked for right before sending; None: it was told.
        """

        def job() -> Event:
            sends = 0
            missing = "" if look is None else self._missing(request, look=look)
            if missing:
                return SendAnswered(trade_id, request.tag, "refused", None, missing, 0)

            def once() -> str:
                nonlocal sends
                sends += 1
                return self._broker.place(request)

            try:
                order_id, _ = self._retries.call(policy, once, key=request.tag)
            except RefusedError as error:
                return SendAnswered(trade_id, request.tag, "refused", None, str(error), sends)
            except OutcomeUnknownError as error:
                return SendAnswered(trade_id, request.tag, "unknown", None, str(error), sends)
            return SendAnswered(trade_id, request.tag, "accepted", order_id, "", sends)

        told = _telling(job, lambda why: SendAnswered(trade_id, request.tag, "unknown", None, why))
        return LaneJob("exit" if request.side is Side.SELL else "entry", told)

    def cancel(self, trade_id: str, tag: str, order_id: str, policy: PolicySpec) -> Job:
        """Ask for a cancellation whose intent is committed."""

        def job() -> Event:
            try:
                self._retries.call(policy, lambda: self._broker.cancel(order_id), key=tag)
            except RefusedError as error:
                return CancelDone(trade_id, tag, "refused", str(error))
            except OutcomeUnknownError as error:
                return CancelDone(trade_id, tag, "unknown", str(error))
            return CancelDone(trade_id, tag, "accepted")

        return LaneJob("exit", _telling(job, lambda why: CancelDone(trade_id, tag, "unknown", why)))

    def read_book(self) -> Job:
        """Read the order book."""
        return self._reading("book", None, lambda: BookRead(self._book()))

    def read_standing(self) -> Job:
        """Read the order book and, after it, the net positions."""

        def read() -> Event:
            book = self._book()
            return StandingRead(book, self._asked("read_positions", self._broker.positions, key="positions"))

        return self._reading("standing", None, read)

    def read_candles(self, token: int, after: datetime | None) -> Job:
        """Read completed candles that started later than *after*."""

        def read() -> Event:
            return CandlesRead(token, self._asked("read_candles", candles, key=f"candles {token}"))

        def candles() -> tuple[Candle, ...]:
            return self._feed.candles(token, after=after, now=self._clock.now())

        return self._reading("candles", token, read)

    def read_price(self, token: int) -> Job:
        """Read the last price of an instrument."""

        def seen() -> PriceSeen | None:
            return self._feed.price(token, self._clock.now())

        def read() -> Event:
            price = self._asked("read_price", seen, key=f"price {token}")
            if price is None:
                return ReadFailed("price", "no price yet today", token)
            if _odd(price, token):
                return ReadFailed("price", f"got {price}; expected whole paise above zero of token {token}", token)
            return PriceRead(price)

        return self._reading("price", token, read)

    @property
    def is_prompt(self) -> bool:
        """True when the feed is told of prices before anybody asks."""
        return self._prompt is not None

    @property
    def hears_orders(self) -> bool:
        """True while we would be told of every order on the account that moves; at once."""
        return self._prompt is not None and self._prompt.hears_orders(self._clock.now())

    def watch(self, contract: OptionContract) -> None:
        """Have the price of a contract at hand from now on, where the feed can do that; at once."""
        if self._prompt is not None:
            self._prompt.watch(contract, self._clock.now())

    def candles_at_hand(self, token: int, after: datetime | None) -> CandlesRead | None:
        """Return the candles of ``read_candles`` where nobody has to be asked for them, otherwise None; at once."""
        if self._prompt is None:
            return None
        try:
            candles = self._prompt.candles_at_hand(token, after=after, now=self._clock.now())
        except UnavailableError:
            return None  # Who asks for them is told.
        return None if candles is None else CandlesRead(token, candles)

    def price_at_hand(self, token: int) -> PriceSeen | None:
        """Return a price that nobody has to be asked for, None where there is none; at once."""
        price = None if self._prompt is None else self._prompt.price_at_hand(token, self._clock.now())
        return None if price is None or _odd(price, token) else price

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
            asked_at = self._clock.now()
            for what, check in checks:
                try:
                    self._retries.call(policy, check, key=what)
                except LoginRequiredError as error:
                    # Every further question would meet the same.
                    faults.append(f"{what}: {error}")
                    login_required = True
                    break
                except UnavailableError as error:
                    faults.append(f"{what}: {error}")
            return HealthRead(tuple(faults), login_required, asked_at)

        return LaneJob("book", _telling(job, lambda why: HealthRead((why,))))

    def _missing(self, request: OrderRequest, *, look: Look) -> str:
        """Say why a sale would sell more than is held; empty when it would not, or when nobody can say.

        A broker that takes orders and cannot tell positions must not keep a position from being left: they are asked
        for once, whatever the policy of other readings says. One that does not take our token takes no order either,
        and by the time it does again a person may have sold what is held. Orders of ours that still sell count as
        sold: rows of this journal may be gone, and theirs with them.
        """
        if early := too_early(self._clock.now(), look):
            return early
        try:
            book, positions = self._glance()
            return short_of(request, book, positions, by_book=look.by_book)
        except LoginRequiredError as error:
            return f"what is held cannot be asked for: {error}; nothing was sent (I3)"
        except UnavailableError as error:
            _LOG.warning("positions cannot be read before %s: %s; it is sent all the same", request.tag, error)
        except Exception:  # noqa: BLE001 - a defect in looking keeps no position from being left (I5)
            _LOG.exception(
                "the look before %s failed in a way nobody planned for; it is sent all the same", request.tag
            )
        return ""

    def _glance(self) -> tuple[OrderBook, tuple[NetPosition, ...]]:
        if isinstance(self._broker, PromptBroker):
            return self._broker.glance(_GLANCE_WITHIN)
        return self._broker.book(), self._broker.positions()

    def _book(self) -> OrderBook:
        return self._asked("read_book", self._broker.book, key="book")

    def _asked(self, call: str, read: Callable[[], T], *, key: str) -> T:
        answer, _ = self._retries.call(self._policies[call], read, key=key)
        return answer

    def _reading(self, reading: Reading, token: int | None, read: Callable[[], Event]) -> Job:
        def job() -> Event:
            try:
                return read()
            except UnavailableError as error:
                return ReadFailed(reading, str(error), token, isinstance(error, LoginRequiredError))

        lane: Lane = "book" if reading in _OF_ACCOUNT else "market"
        return LaneJob(lane, _telling(job, lambda why: ReadFailed(reading, why, token)))


def _odd(price: PriceSeen, token: int) -> bool:
    # A record built without decoding may carry anything, and a price of 0 would sell at any stop.
    return price.token != token or type(price.last) is not int or price.last <= 0


def _telling(job: Job, failed: Callable[[str], Event]) -> Job:
    """Return a job that tells of a defect on its way by the event *failed* makes of its words."""

    def told() -> Event:
        try:
            return job()
        except Exception as error:  # noqa: BLE001 - the outermost frame of a job, reasons in the module's first lines
            _LOG.exception("a call to the broker or the feed failed in a way nobody planned for")
            return failed(f"unexpected {type(error).__name__}: {error}")

    return told
