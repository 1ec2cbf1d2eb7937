"""Kite's answers about the market as candles and prices. Strict: a row that is odd refuses the whole answer.

What is strange inside a well-formed candle (a low above its high, a price of zero) is passed on: the engine refuses it
by its own rules and writes down why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from zoneinfo import ZoneInfo

from fsm_trader.core.candles import Candle, PriceSeen
from fsm_trader.core.money import Paise, price_seen
from fsm_trader.errors import UnavailableError

_CANDLE_FIELDS = 6  # start, open, high, low, close, volume; open interest may follow


def read_history(answer: object, token: int, zone: ZoneInfo) -> list[Candle]:
    """Return the one-minute candles of an answer, as they came.

    Args:
        answer: ``{"candles": [[start, open, high, low, close, volume], ...]}``; starts are aware.
        token: whose they are; the answer does not say it.
        zone: the one starts are given in.

    Raises:
        UnavailableError: the answer is not of that shape.
    """
    rows = answer.get("candles") if isinstance(answer, Mapping) else None
    if not isinstance(rows, list):
        raise UnavailableError(f"history of {token}: no list of candles; expected one; it is asked again")
    return [_candle(row, number, token, zone) for number, row in enumerate(rows, start=1)]


def _candle(row: object, number: int, token: int, zone: ZoneInfo) -> Candle:
    if not isinstance(row, Sequence) or isinstance(row, str) or len(row) < _CANDLE_FIELDS:
        raise UnavailableError(f"history of {token}: row {number} has not {_CANDLE_FIELDS} fields; it is asked again")
    start, volume = _moment(row[0]), row[5]
    if start is None or start.tzinfo is None:
        raise UnavailableError(
            f"history of {token}: row {number} starts at {row[0]!r}; expected a time with its offset; it is asked again"
        )
    prices = [_price(value) for value in row[1:5]]
    if None in prices or type(volume) is not int or volume < 0:
        raise UnavailableError(
            f"history of {token}: row {number} holds {list(row[1:6])!r}; expected prices and units; it is asked again"
        )
    open_, high, low, close = (Paise(price or 0) for price in prices)
    return Candle(token, start.astimezone(zone), open_, high, low, close, volume)


def read_quote(row: object, token: int, day: date, zone: ZoneInfo) -> PriceSeen | None:
    """Return the price of one quote at the exchange's time of the last trade, None when there was none on *day*.

    An index is not traded: its time is that of the quote. Times without an offset are India's, as Kite sends them.

    Raises:
        UnavailableError: the quote is of another instrument, or not of that shape.
    """
    if not isinstance(row, Mapping) or row.get("instrument_token") != token:
        raise UnavailableError(f"quote of {token}: is of another instrument or of none; it is asked again")
    price = _price(row.get("last_price"))
    if price is None:
        seen = row.get("last_price")
        raise UnavailableError(f"quote of {token}: last_price {seen!r}; expected a price; it is asked again")
    at = _moment(row.get("last_trade_time") or row.get("timestamp"))
    if at is None:
        raise UnavailableError(f"quote of {token}: no time of the last trade; expected one; it is asked again")
    at = (at if at.tzinfo is not None else at.replace(tzinfo=zone)).astimezone(zone)
    return PriceSeen(token, price, at) if at.date() == day and price > 0 else None


def _moment(seen: object) -> datetime | None:
    if isinstance(seen, str):
        try:
            return datetime.fromisoformat(seen)
        except ValueError:
            return None
    return seen if isinstance(seen, datetime) else None


def _price(seen: object) -> Paise | None:
    if isinstance(seen, bool) or not isinstance(seen, int | float):
        return None
    try:
        return price_seen(seen)
    except ValueError:
        return None
