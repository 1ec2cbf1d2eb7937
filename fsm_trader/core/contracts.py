"""Option contracts, as an instrument dump describes them."""

from __future__ import annotations

from datetime import date
from enum import StrEnum

import msgspec

from fsm_trader.core.money import Paise


class OptionKind(StrEnum):
    """Call or put."""

    CE = "CE"
    PE = "PE"


class OptionContract(msgspec.Struct, frozen=True):
    """One listed option.

    Args:
        exchange: segment the order goes to, ``NFO``.
        tradingsymbol: the exchange's own name; never built by us.
        token: instrument token of today (re-used by the exchange after expiry).
        name: underlying, ``NIFTY``.
        expiry: last trading day.
        strike_paise: strike in paise of an index point (24400 points are 2440000).
        kind: call or put.
        lot_size: units in one lot; at least 1.
        tick_paise: tick size in paise; at least 1.
        freeze_quantity: most units the exchange takes in one order, None where it is not known.
    """

    exchange: str
    tradingsymbol: str
    token: int
    name: str
    expiry: date
    strike_paise: Paise
    kind: OptionKind
    lot_size: int
    tick_paise: int
    freeze_quantity: int | None = None
