"""Ticks as Kite's websocket sends them: big-endian packets of 8, 44 and 184 bytes, 28 and 32 for an index.

Source: kite.trade/docs/connect/v3/websocket. Pure; it must not know who subscribed to what.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction
from typing import Literal

from fsm_trader.core.money import nearest_paise
from fsm_trader.simulate.sandbox.depth import Depth
from fsm_trader.simulate.sandbox.tape import Shown

Mode = Literal["ltp", "quote", "full"]
MODES: tuple[Mode, ...] = ("ltp", "quote", "full")
STILL_HERE = b"\0"
"""What is sent when there is nothing to say: one byte."""

_MOST_PACKETS = 1000


def index_packet(token: int, mode: Mode, shown: Shown, now: datetime) -> bytes:
    """Return the packet of an index: 8, 28 or 32 bytes."""
    if mode == "ltp":
        return struct.pack(">2I", token, shown.last)
    # The fifth price is yesterday's close, which a recorded day does not tell; the sixth is the change from it.
    quote = struct.pack(">6Ii", token, shown.last, shown.high, shown.low, shown.open, 0, 0)
    return quote if mode == "quote" else quote + struct.pack(">I", int(now.timestamp()))


def option_packet(token: int, mode: Mode, shown: Shown, depth: Depth, now: datetime) -> bytes:
    """Return the packet of a tradable instrument: 8, 44 or 184 bytes."""
    if mode == "ltp":
        return struct.pack(">2I", token, shown.last)
    quote = struct.pack(
        ">11I",
        token,
        shown.last,
        shown.last_quantity,
        average(shown),
        shown.volume,
        sum(level.quantity for level in depth.bids),
        sum(level.quantity for level in depth.asks),
        shown.open,
        shown.high,
        shown.low,
        0,
    )
    if mode == "quote":
        return quote
    times = struct.pack(">5I", int(shown.at.timestamp()), 0, 0, 0, int(now.timestamp()))
    levels = [
        struct.pack(">2I2H", level.quantity, level.price, level.orders, 0) for level in (*depth.bids, *depth.asks)
    ]
    return quote + times + b"".join(levels)


def message(packets: Sequence[bytes]) -> list[bytes]:
    """Return packets as the fewest messages that hold them, each a count and the packets with their lengths."""
    parts = [packets[start : start + _MOST_PACKETS] for start in range(0, len(packets), _MOST_PACKETS)]
    return [
        struct.pack(">H", len(part)) + b"".join(struct.pack(">H", len(packet)) + packet for packet in part)
        for part in parts
    ]


def average(shown: Shown) -> int:
    """Return the average price of the day so far in paise, 0 where nothing was traded."""
    return nearest_paise(Fraction(shown.turnover, shown.volume)) if shown.volume else 0
