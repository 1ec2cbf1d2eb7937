"""What tests of the wire share: a key, a token, an order, and a clock that stands still."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from fsm_trader.kite.budgets import Budgets, Limits
from fsm_trader.kite.wire import KiteWire
from fsm_trader.ops.clock import VirtualClock

KEY = "kkeykkeykkey0001"
TOKEN = "ttokenttokenttoken0002"  # noqa: S105 - made up
INDIA = ZoneInfo("Asia/Kolkata")
NINE = datetime(2026, 6, 17, 9, 30, tzinfo=INDIA)
ORDER = {
    "variety": "regular",
    "exchange": "NFO",
    "tradingsymbol": "NIFTY2662324400CE",
    "transaction_type": "BUY",
    "quantity": 65,
    "product": "MIS",
    "order_type": "MARKET",
    "validity": "DAY",
    "tag": "FT2606170K3E017QZ4MC",
    "market_protection": "-1",
}
MANY = Limits(orders_per_second=1000, orders_per_minute=1000, quotes_per_second=1000, others_per_second=1000)


def virtual_clock() -> VirtualClock:
    return VirtualClock(NINE)


def wire_to(root: str | None, clock: VirtualClock | None = None, **given) -> KiteWire:
    """A wire on a clock of its own, with large budgets; whoever asks for it closes it."""
    clock = clock or virtual_clock()
    settings = {
        "api_key": KEY,
        "token": lambda: TOKEN,
        "timeout": timedelta(seconds=2),
        "budgets": Budgets(clock, MANY),
        "warm_after": None,
    }
    return KiteWire(root=root, clock=clock, **(settings | given))
