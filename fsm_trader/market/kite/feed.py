"""The live market feed: the stream where it may be believed, Kite's REST interface everywhere else.

Told apart are two kinds of staleness: of ticks (the stream's silence, each instrument's own) and of candles (the
engine's limit on their age). While the stream is down everything is polled, and it is said once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from fsm_trader.core.candles import MINUTE, Candle, PriceSeen
from fsm_trader.core.contracts import OptionContract
from fsm_trader.core.settings import UnderlyingSettings
from fsm_trader.errors import UnavailableError
from fsm_trader.market.calendar import Calendar
from fsm_trader.market.kite.history import History
from fsm_trader.market.kite.instruments import InstrumentStore
from fsm_trader.market.kite.live import Hook, LiveTicks
from fsm_trader.market.kite.protocol import MarketWire, Stream
from fsm_trader.market.kite.quotes import QuoteBoard

# A contract nobody asked about for so long is not followed any more.
_FORGOTTEN_AFTER = timedelta(minutes=5)
# A minute without a candle of its own is believed in this long after the stream's next one.
_PATIENCE = timedelta(seconds=75)
# The index has a candle each minute; none at all so long after the opening is no quiet market.
_FIRST_CANDLE_WITHIN = timedelta(minutes=3)


class FeedLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How the REST interface is asked.

    Args:
        settle: a candle of the history is believed this long after its end.
        keep_quote: for how long a quote serves; Kite takes one request a second.
    """

    settle: timedelta = timedelta(seconds=15)
    keep_quote: timedelta = timedelta(seconds=1)


class KiteFeed:
    """A MarketFeed over Kite. Safe to call from several threads.

    An instrument is followed by the stream from the first time it is asked about.

    Args:
        wire: the REST interface, which keeps to its budgets by itself.
        store: the instrument dumps.
        underlying: the index.
        calendar: tells the hours of a day.
        zone: the exchange's.
        live: what the stream says; None: everything is polled.
        limits: how the REST interface is asked.
    """

    def __init__(  # noqa: PLR0913 - keyword-only: the parts it is put together from
        self,
        wire: MarketWire,
        *,
        store: InstrumentStore,
        underlying: UnderlyingSettings,
        calendar: Calendar,
        zone: ZoneInfo,
        live: LiveTicks | None = None,
        limits: FeedLimits | None = None,
    ) -> None:
        limits = limits or FeedLimits()
        self._store = store
        self._index = underlying.token
        self._zone = zone
        self._calendar = calendar
        self._history = History(wire, zone=zone, hours=self._hours, settle=limits.settle)
        self._quotes = QuoteBoard(wire, zone=zone, keep=limits.keep_quote)
        self._live = live
        self._stream: Stream | None = None
        self._lock = threading.Lock()
        self._keys = {underlying.token: f"{underlying.exchange}:{underlying.symbol}"}
        self._asked: dict[int, datetime] = {}
        self._offered: datetime | None = None
        self._notes: dict[str, None] = {}

    # Its life.

    def start(self, stream: Stream) -> None:
        """Follow the index by a stream that tells this feed's ``live``; it is closed with the feed."""
        self._stream = stream
        if self._live is not None:
            self._live.watch(self._index, prices=False)
            stream.watch(self._live.watched)
        stream.start()

    def close(self) -> None:
        """End the stream."""
        if self._stream is not None:
            self._stream.close()

    def on_price(self, wake: Hook) -> None:
        """Call *wake* when ``new_prices`` has something after it had nothing; from the stream's thread."""
        if self._live is not None:
            self._live.on_price = wake

    def on_candle(self, wake: Hook) -> None:
        """Call *wake* when a tick completed a candle: ``next_candle_at`` is then now; from the stream's thread."""
        if self._live is not None:
            self._live.on_candle = wake

    def on_order_update(self, wake: Hook) -> None:
        """Call *wake* when the order book is worth reading; from the stream's thread."""
        if self._live is not None:
            self._live.on_order_update = wake

    def on_fault(self, tell: Callable[[str], None]) -> None:
        """Call *tell* once with each new reason why the stream is down; from the stream's thread."""
        if self._live is not None:
            self._live.on_fault = tell

    @property
    def fault(self) -> str:
        """Why the stream gives nothing now; empty while it is up, and where there is none."""
        return "" if self._live is None else self._live.fault

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of the instruments in use, each once: that they are not today's."""
        return tuple(self._notes)

    # The protocol.

    def candles(self, token: int, *, after: datetime | None, now: datetime) -> tuple[Candle, ...]:
        """Return today's one-minute candles that started later than *after* and are complete at *now*.

        From the stream alone where it saw all of them; otherwise the settled ones by history, and after them, without
        a hole, the stream's.

        Raises:
            UnavailableError: no usable answer.
        """
        at_hand = self.candles_at_hand(token, after=after, now=now)
        if at_hand is not None:
            return at_hand
        found = self._history.candles(token, after=after, now=now)
        found = (*found, *self._tail(token, found[-1].start if found else self._first(after, now) - MINUTE, now))
        return self._offered_of(token, found, after, now)

    def price(self, token: int, now: datetime) -> PriceSeen | None:
        """Return the last traded price at the exchange's time of that trade, None without a trade today.

        By the stream while it tells of the instrument, otherwise by a quote.

        Raises:
            UnavailableError: no usable answer.
        """
        self._follow(token, now, prices=True)
        if self._live is not None:
            seen = self._live.price(token, now)
            if seen is not None:
                return seen.price
        with self._lock:
            key = self._keys.get(token)
        if key is None:
            raise UnavailableError(f"price of {token}: no contract of today's dump has this token; nothing was asked")
        return self._quotes.price(token, key, now)

    def contracts(self, name: str, day: date) -> tuple[OptionContract, ...]:
        """Return the options on *name* that may be traded on *day*; see ``notes`` for what is not as it should be.

        Raises:
            UnavailableError: no dump can be used.
        """
        known = self._store.contracts(name, day)
        self.know(*known.contracts)
        if known.note:
            self._notes.setdefault(known.note)
        return known.contracts

    def next_candle_at(self, now: datetime) -> datetime | None:
        """Return *now* when the stream has an index candle that nobody has taken yet, otherwise None: poll.

        Polling costs no request while no further candle can be had.
        """
        if self._live is None or not self._live.covers(self._index, now, now):
            return None
        return now if self._live.candles(self._index, after=self._offered, now=now) else None

    # What the engine knows earlier than we do.

    def know(self, *contracts: OptionContract) -> None:
        """Learn how contracts are called, beside those of the dump."""
        with self._lock:
            for contract in contracts:
                self._keys[contract.token] = f"{contract.exchange}:{contract.tradingsymbol}"

    def watch(self, contract: OptionContract, now: datetime) -> None:
        """Follow a contract from now on, before it is asked about."""
        self.know(contract)
        self._follow(contract.token, now, prices=True)

    def hears_orders(self, now: datetime) -> bool:
        """Tell whether the stream is up, gave a sign of life lately, and told of no order that was not taken yet."""
        return self._live is not None and self._live.is_up(now)

    def orders_moved(self) -> bool:
        """Take the stream's word that an order moved since the last call; True when there was one."""
        return self._live is not None and self._live.take_moved()

    def candles_at_hand(self, token: int, *, after: datetime | None, now: datetime) -> tuple[Candle, ...] | None:
        """Return what ``candles`` would where the stream saw all of it, None where the history would have to be asked.

        Raises:
            UnavailableError: of the index, no candle since the market opened.
        """
        self._follow(token, now, prices=False)
        first = self._first(after, now)
        if self._live is None or not self._live.covers(token, first, now):
            return None
        return self._offered_of(token, self._live.candles(token, after=first - MINUTE, now=now), after, now)

    def price_at_hand(self, token: int, now: datetime) -> PriceSeen | None:
        """Return the last traded price where the stream tells it, None where a quote would have to be asked for."""
        seen = None if self._live is None else self._live.price(token, now)
        return None if seen is None else seen.price

    def new_prices(self) -> tuple[PriceSeen, ...]:
        """Take the prices of contracts whose price was asked for that came since the last call.

        At most three of each: the lowest, the highest and the newest, which comes last.
        """
        return () if self._live is None else self._live.new_prices()

    def _follow(self, token: int, now: datetime, *, prices: bool) -> None:
        if self._live is None or self._stream is None:
            return
        with self._lock:
            self._asked[token] = now
            old = [each for each, at in self._asked.items() if now - at > _FORGOTTEN_AFTER and each != self._index]
            for each in old:
                del self._asked[each]
                self._live.forget(each)
            if self._live.watch(token, prices=prices) or old:
                self._stream.watch(self._live.watched)

    def _tail(self, token: int, last: datetime, now: datetime) -> tuple[Candle, ...]:
        """Return the stream's candles after *last*, unless a candle in between may still come by history.

        A candle told after a later one is lost to the engine: it takes them in order.
        """
        if self._live is None:
            return ()
        found = self._live.candles(token, after=last, now=now)
        if not found or found[0].start <= last + MINUTE or now - found[0].start >= _PATIENCE:
            return found
        return ()

    def _first(self, after: datetime | None, now: datetime) -> datetime:
        """Return the start of the first candle that is asked for."""
        opens_at, _ = self._hours(now.astimezone(self._zone).date())
        return opens_at if after is None or after < opens_at else after.astimezone(self._zone) + MINUTE

    def _offered_of(
        self, token: int, found: tuple[Candle, ...], after: datetime | None, now: datetime
    ) -> tuple[Candle, ...]:
        opens_at, closes_at = self._hours(now.astimezone(self._zone).date())
        found = tuple(candle for candle in found if opens_at <= candle.start < closes_at)
        if token == self._index:
            self._index_offered(found, after, now)
        return found

    def _index_offered(self, found: tuple[Candle, ...], after: datetime | None, now: datetime) -> None:
        opens_at, closes_at = self._hours(now.astimezone(self._zone).date())
        if found:
            self._offered = max(found[-1].start, self._offered or found[-1].start)
        elif (after is None or after < opens_at) and opens_at + _FIRST_CANDLE_WITHIN < now < closes_at:
            raise UnavailableError(
                f"history of the index: no candle though the market opened at {opens_at:%H:%M}; it is asked again"
            )

    def _hours(self, day: date) -> tuple[datetime, datetime]:
        opens, closes = self._calendar.hours(day)
        return datetime.combine(day, opens, self._zone), datetime.combine(day, closes, self._zone)
