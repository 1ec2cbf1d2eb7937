"""A scripted market: one option, a list of prices, and orders on it."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

from fsm_trader.core.contracts import OptionContract, OptionKind
from fsm_trader.core.money import Paise
from fsm_trader.core.orders import OrderKind, OrderRequest, Side
from fsm_trader.core.settings import PaperSettings

INDIA = ZoneInfo("Asia/Kolkata")
DAY = date(2026, 6, 17)
OPEN = datetime(2026, 6, 17, 9, 15, tzinfo=INDIA)
CLOSE = OPEN + timedelta(hours=6, minutes=15)
LOT = 65
CALL = OptionContract(
    exchange="NFO",
    tradingsymbol="NIFTY2662324400CE",
    token=14531074,
    name="NIFTY",
    expiry=date(2026, 6, 23),
    strike_paise=Paise(2440000),
    kind=OptionKind.CE,
    lot_size=LOT,
    tick_paise=5,
    freeze_quantity=1800,
)


class Script:
    """Prices of the one option as (seconds after the open, paise)."""

    def __init__(self, *points: tuple[float, int]) -> None:
        self.points = [(OPEN + timedelta(seconds=seconds), Paise(price)) for seconds, price in points]

    def prices(self, token, *, after, until):
        known = [point for point in self.points if point[0] <= until] if token == CALL.token else []
        return tuple(point for point in known if point[0] > after) or tuple(known[-1:])


def find(tradingsymbol: str) -> OptionContract | None:
    return CALL if tradingsymbol == CALL.tradingsymbol else None


def paper_settings(path: Path, *, partial_fills: bool = False) -> PaperSettings:
    return PaperSettings(
        book=path,
        latency=timedelta(milliseconds=300),
        spread_ticks=1,
        slippage_ticks=1,
        partial_fills=Decimal(int(partial_fills)),
        rejects=Decimal(0),
        seed=1,
    )


def order(tag: str, side: Side = Side.BUY, *, lots: int = 1, limit: int | None = None) -> OrderRequest:
    """A market order under protection, or a limit order at *limit* paise."""
    return OrderRequest(
        tag=tag,
        exchange=CALL.exchange,
        tradingsymbol=CALL.tradingsymbol,
        token=CALL.token,
        side=side,
        quantity=lots * LOT,
        product="MIS",
        kind=OrderKind.MARKET if limit is None else OrderKind.LIMIT,
        price_paise=None if limit is None else Paise(limit),
        market_protection=Decimal(-1) if limit is None else None,
    )
