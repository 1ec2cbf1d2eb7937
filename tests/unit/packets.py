"""Ticks as Kite's websocket packs them: the other direction of ``fsm_trader.kite.ticks``, written from its table."""

from __future__ import annotations

import struct

from fsm_trader.kite.ticks import Level, Tick


def message(*packets: bytes) -> bytes:
    return struct.pack(">H", len(packets)) + b"".join(struct.pack(">H", len(each)) + each for each in packets)


def ltp(tick: Tick) -> bytes:
    return struct.pack(">II", tick.token, tick.last)


def quote(tick: Tick) -> bytes:
    sizes = (tick.last_quantity, tick.average, tick.volume, tick.buy_quantity, tick.sell_quantity)
    return ltp(tick) + struct.pack(">9I", *sizes, tick.open, tick.high, tick.low, tick.close)


def full(tick: Tick) -> bytes:
    interest = (tick.oi, tick.oi_high, tick.oi_low)
    packet = quote(tick) + struct.pack(">5I", tick.traded_s or 0, *interest, tick.exchange_s or 0) + tick.raw_book
    assert len(packet) == 184
    return packet


def index_quote(tick: Tick, change: int = 0) -> bytes:
    return ltp(tick) + struct.pack(">5I", tick.high, tick.low, tick.open, tick.close, change)


def index_full(tick: Tick, change: int = 0) -> bytes:
    return index_quote(tick, change) + struct.pack(">I", tick.exchange_s or 0)


def book(levels: list[Level]) -> bytes:
    assert len(levels) == 10
    return b"".join(struct.pack(">IIHxx", each.quantity, each.price, each.orders) for each in levels)


NO_BOOK = bytes(120)
