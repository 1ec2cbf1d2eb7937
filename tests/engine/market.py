"""A scripted market: an index whose candles a test may spoil, and options whose prices a test writes down."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from fsm_trader.core.candles import MINUTE, Candle, PriceSeen
from fsm_trader.core.contracts import OptionContract, OptionKind
from fsm_trader.core.money import Paise
from fsm_trader.errors import UnavailableError

INDIA = ZoneInfo("Asia/Kolkata")
DAY = date(2026, 6, 17)
INDEX = 256265
SPOT = 2440000
PREMIUM = 10000
LOT = 75
TICK = 5


def at(clock_time: str) -> datetime:
    """The moment of the day: "09:31", "09:31:05" or "09:31:05.5"."""
    hours, minutes, *seconds = clock_time.split(":")
    midnight = datetime(DAY.year, DAY.month, DAY.day, tzinfo=INDIA)
    return midnight + timedelta(hours=int(hours), minutes=int(minutes), seconds=float(seconds[0] if seconds else 0))


OPEN, CLOSE = at("09:15"), at("15:30")


def option(strike: int, kind: OptionKind = OptionKind.CE, *, freeze: int | None = 1800) -> OptionContract:
    return OptionContract(
        exchange="NFO",
        tradingsymbol=f"NIFTY26623{strike}{kind}",
        token=strike * 10 + (kind is OptionKind.PE),
        name="NIFTY",
        expiry=date(2026, 6, 23),
        strike_paise=Paise(strike * 100),
        kind=kind,
        lot_size=LOT,
        tick_paise=TICK,
        freeze_quantity=freeze,
    )


CALL, PUT = option(24400), option(24400, OptionKind.PE)
CONTRACTS = (option(24350), CALL, option(24450), PUT)


class Outage:
    """The feed gives no answer about *token* from *since* on and before *until*; what is traded goes on."""

    def __init__(self, token: int, since: str, until: str) -> None:
        self.token, self.since, self.until = token, at(since), at(until)


class ScriptedMarket:
    """Feed and price source in one.

    Args:
        prices: by token, the prices an option trades at from each moment on; every option trades at PREMIUM before.
        index: candles of the index that stand in for the flat ones of the same minute.
        late: candles of the index a careless feed tells from a moment on, asked for or not.
        outages: when the feed gives no answer.
        no_candles: when the index has no candles.
    """

    def __init__(
        self,
        prices: dict[int, list[tuple[datetime, int]]] | None = None,
        *,
        index: Iterable[Candle] = (),
        late: Iterable[tuple[str, Candle]] = (),
        outages: Iterable[Outage] = (),
        no_candles: Iterable[tuple[str, str]] = (),
    ) -> None:
        self._points = {contract.token: [(OPEN, PREMIUM)] for contract in CONTRACTS}
        for token, points in (prices or {}).items():
            self._points[token] = [(OPEN, PREMIUM), *sorted(points)]
        self._extra = tuple(index)
        self._late = tuple((at(told), candle) for told, candle in late)
        self._outages = tuple(outages)
        self._gaps = tuple((at(since), at(until)) for since, until in no_candles)
        self._built: dict[int, list[Candle]] = {}

    def candles(self, token: int, *, after: datetime | None, now: datetime) -> tuple[Candle, ...]:
        self._answer(token, now)
        minutes = self._index() if token == INDEX else self._option(token)
        first = 0 if after is None else bisect_right(minutes, after, key=_start)
        known = minutes[first : bisect_right(minutes, now - MINUTE, key=_start)]
        if token == INDEX:
            known += [candle for told, candle in self._late if told <= now]
        return tuple(known)

    def price(self, token: int, now: datetime) -> PriceSeen | None:
        self._answer(token, now)
        # It trades on and on at the price that stands; a test of old prices stamps them itself.
        return PriceSeen(token, Paise(self._standing(token, now)[1]), now)

    def contracts(self, name: str, day: date) -> tuple[OptionContract, ...]:
        return CONTRACTS

    def next_candle_at(self, now: datetime) -> datetime | None:
        return None

    def prices(self, token: int, *, after: datetime, until: datetime) -> tuple[tuple[datetime, Paise], ...]:
        points = self._points.get(token, [])
        known = [(when, Paise(last)) for when, last in points if when <= until]
        return tuple(point for point in known if point[0] > after) or tuple(known[-1:])

    def _answer(self, token: int, now: datetime) -> None:
        for outage in self._outages:
            if outage.token == token and outage.since <= now < outage.until:
                raise UnavailableError(f"scripted market: token {token} gives no answer")

    def _standing(self, token: int, now: datetime) -> tuple[datetime, int]:
        points = self._points[token]
        return points[bisect_right(points, (now, 10**9)) - 1]

    def _index(self) -> list[Candle]:
        if INDEX not in self._built:
            spoilt = {candle.start for candle in self._extra}
            flat = [
                minute_candle(INDEX, start, SPOT)
                for start in _minutes()
                if start not in spoilt and not any(since <= start < until for since, until in self._gaps)
            ]
            self._built[INDEX] = sorted([*flat, *self._extra], key=_start)
        return self._built[INDEX]

    def _option(self, token: int) -> list[Candle]:
        if token not in self._built:
            self._built[token] = [self._minute(token, start) for start in _minutes()]
        return self._built[token]

    def _minute(self, token: int, start: datetime) -> Candle:
        inside = [last for when, last in self._points[token] if start <= when < start + MINUTE]
        first = self._standing(token, start)[1]
        seen = [first, *inside]
        return Candle(token, start, Paise(first), Paise(max(seen)), Paise(min(seen)), Paise(seen[-1]), 75)


def path(*points: tuple[str, int]) -> dict[int, list[tuple[datetime, int]]]:
    """Prices of the call, in paise, each from its moment on."""
    return {CALL.token: [(at(when), last) for when, last in points]}


def minute_candle(token: int, start: datetime, price: int, *, low: int | None = None) -> Candle:
    return Candle(token, start, Paise(price), Paise(price), Paise(price if low is None else low), Paise(price))


def _start(candle: Candle) -> datetime:
    return candle.start


def _minutes() -> list[datetime]:
    return [OPEN + timedelta(minutes=count) for count in range(375)]
