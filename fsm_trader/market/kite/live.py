"""What the stream said last: prices, candles and whether any of it may be believed now. Safe from several threads.

The stream's thread writes, the engine's threads read. Nothing grows with the number of ticks: of each held contract the
lowest, the highest and the newest price wait for the engine, so that no stop is passed by unseen however late it looks.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from fsm_trader.core.candles import Candle, PriceSeen
from fsm_trader.core.clock import Clock
from fsm_trader.kite.ticks import Tick
from fsm_trader.market.kite.tick_candles import MINUTE_S, TickCandles

Hook = Callable[[], None]
_LOG = logging.getLogger(__name__)


class LiveLimits(msgspec.Struct, frozen=True, kw_only=True):
    """When a tick is too old.

    Args:
        tick_age: an instrument without a tick for longer is asked for by REST, and its candles have a hole.
        settle: a minute without a later tick counts as over this long after its end.
    """

    tick_age: timedelta = timedelta(seconds=10)
    settle: timedelta = timedelta(seconds=3)


class LivePrice(msgspec.Struct, frozen=True):
    """An answer from the stream: *price* is None when the instrument has not traded today."""

    price: PriceSeen | None


class _Waiting(msgspec.Struct):
    low: PriceSeen
    high: PriceSeen
    newest: PriceSeen


def _nothing() -> None:
    """Stand in for a hook that nobody set."""


class LiveTicks:
    """Listens to the stream, and answers for it. Set the hooks before the stream starts.

    Hooks are called in the stream's thread with no lock held; they must be quick and must not raise.

    Args:
        clock: the session's.
        zone: the one times are given in.
        limits: when a tick is too old.
    """

    def __init__(self, clock: Clock, zone: ZoneInfo, limits: LiveLimits | None = None) -> None:
        self._clock = clock
        self._zone = zone
        self._limits = limits or LiveLimits()
        self._lock = threading.Lock()
        self._candles: dict[int, TickCandles] = {}
        self._last: dict[int, Tick] = {}
        self._priced: set[int] = set()
        self._waiting: dict[int, _Waiting] = {}
        self._fault = "stream: not connected yet"
        self._login_required = False
        self._heard_at: datetime | None = None
        self._has_moved = False
        self.on_price: Hook = _nothing
        self.on_candle: Hook = _nothing
        self.on_order_update: Hook = _nothing
        self.on_fault: Callable[[str], None] = _LOG.warning

    # What the stream tells (``kite.stream.StreamListener``).

    def opened(self) -> None:
        """Begin anew: ticks were missed before."""
        with self._lock:
            self._lose()
            was, self._fault, self._login_required = self._fault, "", False
        _LOG.info("stream: connected%s", f" again after: {was}" if was else "")
        # Updates of orders were missed as well.
        self.order_update()

    def heard(self) -> None:
        """Take note of a sign of life."""
        self._heard_at = self._clock.now()

    def lost(self, why: str, *, login_required: bool) -> None:
        """Believe nothing of the stream until it is back; a fault is told once, not at each try."""
        with self._lock:
            self._lose()
            is_new = why != self._fault
            self._fault, self._login_required = why, login_required
        if is_new:
            self.on_fault(why)

    def order_update(self) -> None:
        """Pass on that the order book is worth reading."""
        self._has_moved = True
        self.on_order_update()

    def ticks(self, ticks: Sequence[Tick]) -> None:
        """Take ticks; those of instruments nobody watches are left out."""
        now_s = self._clock.now().timestamp()
        has_candle = has_price = False
        with self._lock:
            for tick in ticks:
                candles = self._candles.get(tick.token)
                if candles is None:
                    continue
                has_candle |= candles.take(tick, now_s)
                if tick.token in self._priced:
                    has_price |= self._offer(tick)
                self._last[tick.token] = tick
        if has_price:
            self.on_price()
        if has_candle:
            self.on_candle()

    # What the feed asks.

    @property
    def fault(self) -> str:
        """Why the stream gives nothing now, empty while it is up."""
        return self._fault

    def is_up(self, now: datetime) -> bool:
        """Tell whether the stream is connected and was heard lately, and has told of no order that nobody took."""
        heard = self._heard_at
        is_heard = heard is not None and abs(now - heard) <= self._limits.tick_age
        return not self._fault and is_heard and not self._has_moved

    def take_moved(self) -> bool:
        """Tell whether an order moved since the last call."""
        if not self._has_moved:
            return False
        # A word that comes right before this is answered by the same look; one read and cleared in a single breath
        # could be taken back without anybody having seen it.
        self._has_moved = False
        return True

    @property
    def login_required(self) -> bool:
        """True when it is the token that the server does not accept."""
        return self._login_required

    @property
    def heard_at(self) -> datetime | None:
        """When the last message came, a heartbeat too: the clock of ticks' staleness."""
        return self._heard_at

    def watch(self, token: int, *, prices: bool) -> bool:
        """Follow an instrument, with *prices* also for ``new_prices``; True when it was not followed before."""
        with self._lock:
            if prices:
                self._priced.add(token)
            if token in self._candles:
                return False
            gap_s, settle_s = self._limits.tick_age.total_seconds(), self._limits.settle.total_seconds()
            self._candles[token] = TickCandles(token, self._zone, gap_s=gap_s, settle_s=settle_s)
            return True

    def forget(self, token: int) -> None:
        """Follow an instrument no more."""
        with self._lock:
            for kept in (self._candles, self._last, self._waiting):
                kept.pop(token, None)
            self._priced.discard(token)

    @property
    def watched(self) -> frozenset[int]:
        """The instruments that are followed."""
        with self._lock:
            return frozenset(self._candles)

    def price(self, token: int, now: datetime) -> LivePrice | None:
        """Return what the stream knows of a price at *now*; None when it is down, silent about it or too old."""
        with self._lock:
            tick, candles = self._last.get(token), self._candles.get(token)
            if tick is None or candles is None or tick.last <= 0:
                return None
            if abs(now.timestamp() - candles.heard_s) > self._limits.tick_age.total_seconds():
                return None
            if tick.traded_s is None:
                # Full packets only: another one does not say when it traded, and 0 in a full one means never.
                return None if tick.exchange_s is None else LivePrice(None)
            seen = self._seen(tick, tick.traded_s)
            return LivePrice(seen if seen.at.date() == now.astimezone(self._zone).date() else None)

    def new_prices(self) -> tuple[PriceSeen, ...]:
        """Take the prices that came since the last call: at most three of each contract, in time order, newest last."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        prices: list[PriceSeen] = []
        for each in waiting.values():
            extremes = sorted((each.low, each.high), key=lambda seen: seen.at)
            prices += [seen for n, seen in enumerate(extremes) if seen != each.newest and seen not in extremes[:n]]
            prices.append(each.newest)
        return tuple(prices)

    def covers(self, token: int, start: datetime, now: datetime) -> bool:
        """Tell whether every candle that starts at *start* or later comes from the stream, as things are at *now*."""
        with self._lock:
            candles = self._candles.get(token)
            return candles is not None and candles.covers(int(start.timestamp()) // MINUTE_S, now.timestamp())

    def candles(self, token: int, *, after: datetime | None, now: datetime) -> tuple[Candle, ...]:
        """Return the candles of the stream that started later than *after* and are complete at *now*."""
        with self._lock:
            candles = self._candles.get(token)
            return () if candles is None else candles.complete(after, now.timestamp())

    def _lose(self) -> None:
        self._last.clear()
        for candles in self._candles.values():
            candles.lose()

    def _offer(self, tick: Tick) -> bool:
        """Keep a new price for the engine; True when it finds none waiting and must be woken."""
        before = self._last.get(tick.token)
        if tick.traded_s is None or tick.last <= 0:
            return False
        if before is not None and (before.last, before.traded_s) == (tick.last, tick.traded_s):
            return False
        seen, was_empty = self._seen(tick, tick.traded_s), not self._waiting
        waiting = self._waiting.get(tick.token)
        if waiting is None:
            self._waiting[tick.token] = _Waiting(seen, seen, seen)
            return was_empty
        if seen.last < waiting.low.last:
            waiting.low = seen
        if seen.last > waiting.high.last:
            waiting.high = seen
        waiting.newest = seen
        return was_empty

    def _seen(self, tick: Tick, at_s: int) -> PriceSeen:
        return PriceSeen(tick.token, tick.last, datetime.fromtimestamp(at_s, self._zone))
