"""A market for drills: an index and options whose prices walk as the seed says. Feed and price source in one.

It must not know the trader or the broker; what a feed does not answer is planned from outside.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from random import Random  # noqa: TID251 - seeded: the same trouble every time

from fsm_trader.core.candles import MINUTE, Candle, PriceSeen
from fsm_trader.core.contracts import OptionContract
from fsm_trader.core.money import Paise
from fsm_trader.errors import UnavailableError

_PREMIUM = 10_000
_LEAST = 500
_STEP_S = (2.0, 25.0)
# Longer than any day that goes well; after it an option stays where it is.
_WALKING_MINUTES = 30


class WalkingMarket:
    """Prices of one day.

    Args:
        opens_at: when trading begins; prices are known for *minutes* from here on.
        minutes: length of the day.
        seed: of every walk.
        roughness: how far an option may step at once, as a part of its price.
        index: instrument token of the index; *spot_paise* where it stands at the open.
        contracts: what is listed.
        price_age: tells how long ago options were last traded.
        is_silent: tells whether the feed gives no answer now about the index (True) or an option (False).
    """

    def __init__(  # noqa: PLR0913 - the parts of a market, nearly all by name
        self,
        opens_at: datetime,
        minutes: int,
        *,
        seed: int,
        roughness: float,
        index: int,
        spot_paise: int,
        contracts: Sequence[OptionContract],
        is_silent: Callable[[datetime, bool], bool],
        price_age: Callable[[datetime], timedelta],
    ) -> None:
        self._opens_at = opens_at
        self._minutes = minutes
        self._seed = seed
        self._roughness = roughness
        self._index = index
        self._spot = spot_paise
        self._ticks = {contract.token: contract.tick_paise for contract in contracts}
        self._contracts = tuple(contracts)
        self._is_silent = is_silent
        self._price_age = price_age
        self._walks: dict[int, tuple[list[datetime], list[int]]] = {}
        self._candles: dict[int, list[Candle]] = {}
        self._watched: set[int] = set()

    def forget(self) -> None:
        """Follow nothing: a process begins."""
        self._watched.clear()

    def candles(self, token: int, *, after: datetime | None, now: datetime) -> tuple[Candle, ...]:
        """Return completed candles; see ``market.protocol.MarketFeed``."""
        self._answer(token, now)
        minutes = self._candles.get(token)
        if minutes is None:
            minutes = self._candles[token] = self._built(token)
        first = 0 if after is None else max(0, (after - self._opens_at) // MINUTE + 1)
        return tuple(minutes[first : max(0, (now - self._opens_at) // MINUTE)])

    def price(self, token: int, now: datetime) -> PriceSeen | None:
        """Return the last price; it trades on and on at the price that stands, unless it is said to be old."""
        self._answer(token, now)
        times, prices = self._walk(token)
        place = bisect_right(times, now)
        return PriceSeen(token, Paise(prices[place - 1]), now - self._price_age(now)) if place else None

    def contracts(self, name: str, day: date) -> tuple[OptionContract, ...]:  # noqa: ARG002 - the protocol names them
        """Return what is listed."""
        return self._contracts

    def next_candle_at(self, now: datetime) -> datetime | None:
        """Return when the next minute is complete."""
        done = (now - self._opens_at) // MINUTE
        return self._opens_at + (done + 1) * MINUTE if 0 <= done < self._minutes else None

    def prices(self, token: int, *, after: datetime, until: datetime) -> tuple[tuple[datetime, Paise], ...]:
        """Return what was traded; see ``broker.protocol.PriceSource``."""
        times, prices = self._walk(token)
        last = bisect_right(times, until)
        first = min(bisect_right(times, after), last - 1)
        return tuple((times[place], Paise(prices[place])) for place in range(max(first, 0), last))

    def _answer(self, token: int, now: datetime) -> None:
        if self._is_silent(now, token == self._index):
            raise UnavailableError(f"drill market: token {token}: no answer (planned); it is asked again")

    def _walk(self, token: int) -> tuple[list[datetime], list[int]]:
        walk = self._walks.get(token)
        if walk is None:
            walk = self._walks[token] = self._walked(token)
        return walk

    def _walked(self, token: int) -> tuple[list[datetime], list[int]]:
        draw = Random(self._seed * 1_000_003 + token)  # noqa: S311 - a drill must be repeatable, not unguessable
        tick, price, at = self._ticks[token], _PREMIUM, 0.0
        times, prices = [self._opens_at], [price]
        end = min(self._minutes, _WALKING_MINUTES) * 60.0
        while (at := at + draw.uniform(*_STEP_S)) < end:
            if self._roughness == 0.0:
                break
            change = 1 + draw.gauss(0, self._roughness)
            price = max(_LEAST, round(price * change / tick) * tick)
            times.append(self._opens_at + timedelta(seconds=round(at, 3)))
            prices.append(price)
        return times, prices

    def _built(self, token: int) -> list[Candle]:
        if token == self._index:
            draw = Random(self._seed)  # noqa: S311 - as above
            closes = [self._spot]
            for _ in range(self._minutes):
                closes.append(closes[-1] + draw.randint(-2_000, 2_000))
            return [
                _candle(token, self._opens_at + place * MINUTE, [closes[place], closes[place + 1]])
                for place in range(self._minutes)
            ]
        times, prices = self._walk(token)
        candles: list[Candle] = []
        place, last = 0, prices[0]
        for minute in range(self._minutes):
            start = self._opens_at + minute * MINUTE
            seen = [last]
            while place < len(times) and times[place] < start + MINUTE:
                seen.append(prices[place])
                place += 1
            last = seen[-1]
            candles.append(_candle(token, start, seen))
        return candles


class PromptWalkingMarket(WalkingMarket):
    """A market whose feed has at hand what it was told to follow, as a stream has; what is silent is not at hand."""

    def hears_orders(self, now: datetime) -> bool:  # noqa: ARG002 - the protocol names it
        """Return False: nobody tells it of orders."""
        return False

    def watch(self, contract: OptionContract, now: datetime) -> None:  # noqa: ARG002 - the protocol names it
        """Follow a contract; see ``market.protocol.PromptFeed``."""
        self._watched.add(contract.token)

    def candles_at_hand(self, token: int, *, after: datetime | None, now: datetime) -> tuple[Candle, ...] | None:
        """Return the candles, None while the feed is silent about them."""
        return None if self._is_silent(now, token == self._index) else self.candles(token, after=after, now=now)

    def price_at_hand(self, token: int, now: datetime) -> PriceSeen | None:
        """Return the price, None while the feed is silent about it."""
        return None if token not in self._watched or self._is_silent(now, False) else self.price(token, now)


def _candle(token: int, start: datetime, seen: Sequence[int]) -> Candle:
    first, last = Paise(seen[0]), Paise(seen[-1])
    return Candle(token, start, first, Paise(max(seen)), Paise(min(seen)), last, 75)
