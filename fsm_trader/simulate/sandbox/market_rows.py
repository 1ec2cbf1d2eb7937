"""Quotes, candles and the instrument dump in Kite's words.

Sources: kite.trade/docs/connect/v3/market-quotes and /historical. Pure. What a recorded day does not tell is 0:
yesterday's close and open interest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime

from fsm_trader.core.candles import Candle
from fsm_trader.core.contracts import OptionContract
from fsm_trader.core.money import rupees
from fsm_trader.core.settings import UnderlyingSettings
from fsm_trader.simulate.sandbox.depth import Depth, Level
from fsm_trader.simulate.sandbox.order_rows import Row, number, stamp
from fsm_trader.simulate.sandbox.packets import average
from fsm_trader.simulate.sandbox.tape import Shown

DUMP_HEADER = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,"
    "instrument_type,segment,exchange"
)
_FILLERS = 25
_FILLER_STRIKES = 40
# The day's limits of an option are wide, and the matching engine keeps none.
_LOWEST_PAISE = 5
_BAND = 5


def last_price_row(token: int, shown: Shown) -> Row:
    """Return the row of /quote/ltp."""
    return {"instrument_token": token, "last_price": number(shown.last)}


def candle_so_far_row(token: int, shown: Shown) -> Row:
    """Return the row of /quote/ohlc."""
    return {**last_price_row(token, shown), "ohlc": _candle_so_far(shown)}


def index_quote(token: int, shown: Shown, now: datetime) -> Row:
    """Return the row of /quote for an index, which has no trades, volume or depth."""
    return {
        "instrument_token": token,
        "timestamp": stamp(now),
        "last_price": number(shown.last),
        "net_change": 0,
        "ohlc": _candle_so_far(shown),
    }


def option_quote(token: int, shown: Shown, depth: Depth, now: datetime) -> Row:
    """Return the row of /quote for a tradable instrument."""
    return {
        "instrument_token": token,
        "timestamp": stamp(now),
        "last_trade_time": stamp(shown.at),
        "last_price": number(shown.last),
        "last_quantity": shown.last_quantity,
        "buy_quantity": sum(level.quantity for level in depth.bids),
        "sell_quantity": sum(level.quantity for level in depth.asks),
        "volume": shown.volume,
        "average_price": number(average(shown)),
        "oi": 0,
        "oi_day_high": 0,
        "oi_day_low": 0,
        "net_change": 0,
        "lower_circuit_limit": number(_LOWEST_PAISE),
        "upper_circuit_limit": number(shown.open * _BAND),
        "ohlc": _candle_so_far(shown),
        "depth": {"buy": [_level(each) for each in depth.bids], "sell": [_level(each) for each in depth.asks]},
    }


def candle_rows(candles: Iterable[Candle], *, oi: bool, whole_day: bool) -> list[list[object]]:
    """Return candles as /instruments/historical gives them; a day's candle is stamped with its midnight."""
    rows: list[list[object]] = []
    for candle in candles:
        start = candle.start.replace(hour=0, minute=0) if whole_day else candle.start
        prices = [number(price) for price in (candle.open, candle.high, candle.low, candle.close)]
        rows.append([f"{start:%Y-%m-%dT%H:%M:%S%z}", *prices, candle.volume, *([0] if oi else [])])
    return rows


def dump(contracts: Sequence[OptionContract], underlying: UnderlyingSettings, exchange: str | None, day: date) -> str:
    """Return the instrument dump of one exchange, or of both.

    The real NFO dump has tens of thousands of rows, and a short one is rightly taken for a broken one: rows of made-up
    names fill it up, which nobody can trade or get a price of.
    """
    rows = [DUMP_HEADER]
    if exchange in (None, "NFO"):
        taken = {contract.token for contract in contracts}
        fillers = _fillers(taken, max((each.expiry for each in contracts), default=day))
        half = len(fillers) // 2
        # In the middle, so that half a dump holds only some of them.
        rows += [*fillers[:half], *(_option(contract) for contract in contracts), *fillers[half:]]
    if exchange in (None, underlying.exchange):
        token = underlying.token
        rows.append(
            f"{token},{token >> 8},{underlying.symbol},{underlying.symbol},0,,0,0,0,EQ,INDICES,{underlying.exchange}"
        )
    return "\n".join([*rows, ""])


def _option(contract: OptionContract) -> str:
    strike, tick = rupees(contract.strike_paise).normalize(), rupees(contract.tick_paise).normalize()
    return (
        f"{contract.token},{contract.token >> 8},{contract.tradingsymbol},{contract.name},0,{contract.expiry},"
        f"{strike:f},{tick:f},{contract.lot_size},{contract.kind},NFO-OPT,{contract.exchange}"
    )


def _fillers(taken: set[int], expiry: date) -> list[str]:
    tokens = (number_ * 256 + 2 for number_ in range(900_000, 1_000_000))
    free = (token for token in tokens if token not in taken)
    rows: list[str] = []
    for share in range(_FILLERS):
        name = f"SBX{share:02d}"
        code = f"{expiry:%y%b}".upper()
        token = next(free)
        rows.append(f"{token},{token >> 8},{name}{code}FUT,{name},0,{expiry},0,0.05,500,FUT,NFO-FUT,NFO")
        for step in range(_FILLER_STRIKES):
            strike, kind = 1_000 + 20 * (step // 2), ("CE", "PE")[step % 2]
            token = next(free)
            rows.append(
                f"{token},{token >> 8},{name}{code}{strike}{kind},{name},0,{expiry},{strike},0.05,500,"
                f"{kind},NFO-OPT,NFO"
            )
    return rows


def _candle_so_far(shown: Shown) -> Row:
    return {"open": number(shown.open), "high": number(shown.high), "low": number(shown.low), "close": 0}


def _level(level: Level) -> Row:
    return {"price": number(level.price), "quantity": level.quantity, "orders": level.orders}
