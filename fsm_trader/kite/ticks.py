"""Ticks out of the binary messages of Kite's websocket. Pure: knows no socket, no clock and no candle.

Source: kite.trade/docs/connect/v3/websocket and the official client's parser. A message is a count of packets and, for
each, its length and its bytes; all numbers are unsigned and big-endian. A message of one byte is a heartbeat.
"""

from __future__ import annotations

from struct import Struct

import msgspec

from fsm_trader.core.money import Paise
from fsm_trader.errors import UnavailableError

PRICE_BYTES, INDEX_QUOTE_BYTES, INDEX_FULL_BYTES, QUOTE_BYTES, FULL_BYTES = 8, 28, 32, 44, 184
SIGN_OF_LIFE_BYTES = 1
_INDICES = 9
# Segments whose prices come in hundredths: NSE, NFO, BSE, BFO, MCX, MCX-SX, indices. Currency segments come finer.
_IN_PAISE = frozenset({1, 2, 4, 5, 7, 8, _INDICES})

_COUNT = Struct(">H")
_PRICE = Struct(">2I")
_INDEX_QUOTE = Struct(">6I4x")
_INDEX_FULL = Struct(">6I4xI")
_QUOTE = Struct(">11I")
_FULL = Struct(">16I120s")
_LEVEL = Struct(">2IH2x")


class Level(msgspec.Struct, frozen=True):
    """One price of the order book: paise, units and number of orders."""

    price: Paise
    quantity: int
    orders: int


class Tick(msgspec.Struct, frozen=True, gc=False):
    """What the stream said of one instrument at one moment. Prices are paise, times are whole seconds since 1970 (UTC).

    Args:
        token: instrument token.
        last: last traded price, or the value of an index.
        traded_s: time of the last trade; of an index, of its computation. None where the packet has none (or it is 0:
            not traded yet).
        exchange_s: the exchange's time when it was sent, None where the packet has none.
        volume: units traded today; 0 for an index and in the shortest packet.
        last_quantity: units of the last trade.
        average: average traded price of the day.
        buy_quantity, sell_quantity: units waiting on each side.
        open, high, low, close: of the day; *close* is the previous day's. 0 where the packet has none.
        oi, oi_high, oi_low: open interest and its extremes of the day.
        raw_book: the order book as it came; see ``book``.
    """

    token: int
    last: Paise
    traded_s: int | None = None
    exchange_s: int | None = None
    volume: int = 0
    last_quantity: int = 0
    average: int = 0
    buy_quantity: int = 0
    sell_quantity: int = 0
    open: int = 0
    high: int = 0
    low: int = 0
    close: int = 0
    oi: int = 0
    oi_high: int = 0
    oi_low: int = 0
    raw_book: bytes = b""

    def book(self) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        """Return five bids and five offers, best first; both empty where the packet had no order book."""
        levels = tuple(Level(Paise(price), units, orders) for units, price, orders in _LEVEL.iter_unpack(self.raw_book))
        return levels[:5], levels[5:]


def parse_message(data: bytes) -> tuple[list[Tick], int]:
    """Return the ticks of one message, in its order, and how many packets were left out.

    Left out are packets of a length or a segment not known here: a new kind must not cost those that are.

    Raises:
        UnavailableError: the message ends inside a packet; nothing of it can be trusted.
    """
    if len(data) <= SIGN_OF_LIFE_BYTES:
        return [], 0
    ticks: list[Tick] = []
    skipped, at, end = 0, 2, len(data)
    for _ in range(_COUNT.unpack_from(data)[0]):
        start = at + 2
        at = start + _COUNT.unpack_from(data, at)[0] if start <= end else end + 1
        if at > end:
            raise UnavailableError(
                f"stream: a message of {end} bytes ends inside packet {len(ticks) + skipped + 1}; expected whole "
                "packets; the message is dropped"
            )
        tick = _tick(data, start, at - start)
        if tick is None:
            skipped += 1
        else:
            ticks.append(tick)
    return ticks, skipped


def _tick(data: bytes, start: int, length: int) -> Tick | None:
    # The last byte of a token, the fourth of every packet, is its segment.
    if length < PRICE_BYTES or data[start + 3] not in _IN_PAISE:
        return None
    if length == FULL_BYTES:
        return _full(data, start)
    if length == INDEX_FULL_BYTES:
        token, last, high, low, open_, close, at_s = _INDEX_FULL.unpack_from(data, start)
        return Tick(token, last, at_s or None, at_s or None, open=open_, high=high, low=low, close=close)
    if length == QUOTE_BYTES:
        token, last, quantity, average, volume, buy, sell, *day = _QUOTE.unpack_from(data, start)
        return Tick(token, last, None, None, volume, quantity, average, buy, sell, *day)
    if length == INDEX_QUOTE_BYTES:
        token, last, high, low, open_, close = _INDEX_QUOTE.unpack_from(data, start)
        return Tick(token, last, open=open_, high=high, low=low, close=close)
    return Tick(*_PRICE.unpack_from(data, start)) if length == PRICE_BYTES else None


def _full(data: bytes, start: int) -> Tick:
    (
        token, last, quantity, average, volume, buy, sell, open_, high, low, close,
        traded_s, oi, oi_high, oi_low, exchange_s, book,
    ) = _FULL.unpack_from(data, start)  # fmt: skip
    return Tick(
        token, last, traded_s or None, exchange_s or None, volume, quantity, average, buy, sell,
        open_, high, low, close, oi, oi_high, oi_low, book,
    )  # fmt: skip
