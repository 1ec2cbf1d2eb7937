"""Option premiums computed from an index, for days of which no option candles were recorded and for the sample day.

Floats live inside this module; what leaves it is whole paise on the tick. Knows no contract list, candle or file.
"""

from __future__ import annotations

import math

import msgspec

from fsm_trader.core.contracts import OptionKind
from fsm_trader.core.money import Paise

RATE = 0.065  # a year, continuously compounded
TICK_PAISE = 5
_YEAR_S = 365 * 86_400.0


class Option(msgspec.Struct, frozen=True):
    """What a premium depends on besides spot and time: strike in paise, kind, yearly volatility (0.13 is 13 %)."""

    strike_paise: int
    kind: OptionKind
    volatility: float


def premium_paise(option: Option, spot_paise: float, left_s: float) -> Paise:
    """Return a European option's value, on the tick, at least one tick.

    Source: Black and Scholes, "The Pricing of Options and Corporate Liabilities" (1973), no dividends.

    Args:
        option: what is valued.
        spot_paise: index in paise of a point; above zero.
        left_s: seconds to expiry in calendar time; at or after expiry the value is the intrinsic one.
    """
    strike = float(option.strike_paise)
    years = left_s / _YEAR_S
    if years <= 0:
        discounted = strike
        call = max(0.0, spot_paise - strike)
    else:
        spread = option.volatility * math.sqrt(years)
        first = (math.log(spot_paise / strike) + (RATE + option.volatility**2 / 2) * years) / spread
        discounted = strike * math.exp(-RATE * years)
        call = spot_paise * _normal(first) - discounted * _normal(first - spread)
    # Put-call parity gives the put without a second formula.
    value = call if option.kind is OptionKind.CE else call - spot_paise + discounted
    return Paise(max(1, round(value / TICK_PAISE)) * TICK_PAISE)


def _normal(x: float) -> float:
    return (1.0 + math.erf(x / math.sqrt(2.0))) / 2.0
