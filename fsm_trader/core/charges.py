"""What an NFO option trade costs, from a dated table of rates. It knows turnovers and a day, not orders or trades.

The table is Zerodha's price for NIFTY options on the NSE: brokerage per executed order, and percentages of premium.
Rates marked approximate in ``_TABLE`` are what clients were commonly charged, not read from a circular or a law:

- NSE transaction charges before 2024-10-01 were graded by the member's turnover; the top grade is taken, which is
  what brokers passed on. Rates of single promotions (quarterly contracts in 2020, Bank Nifty in 2021) are left out.
- The SEBI fee before 2019-04-01.
- Stamp duty before 2020-07-01, which each state set for itself and took on both sides.
- GST on the SEBI fee, taken here for every day though it is due since 2022-07-18 (Rs 1.80 per crore of premium), and
  on the protection fund, as Zerodha's example does though some brokers leave it out (Rs 9 per crore at most).

Not in it: Rs 50 and GST for each position the broker squares off itself, and exercise at expiry.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import date
from decimal import Decimal
from fractions import Fraction

import msgspec

from fsm_trader.core.money import Paise, nearest_paise


class Rate(msgspec.Struct, frozen=True):
    """One rate of the table.

    Args:
        since: first day it holds; it holds until the next rate of the same charge.
        percent: percent of the turnover, both sides or one as the charge says.
        source: who says so.
        is_approximate: True where the source is common practice, not a rule.
    """

    since: date
    percent: Decimal
    source: str
    is_approximate: bool = False


class Charges(msgspec.Struct, frozen=True):
    """Charges of one trade in paise, each at least 0. *transaction* is the exchange's, its protection fund included."""

    brokerage: Paise
    stt: Paise
    transaction: Paise
    sebi: Paise
    stamp: Paise
    gst: Paise

    @property
    def total(self) -> Paise:
        """Sum of all charges, in paise."""
        return Paise(self.brokerage + self.stt + self.transaction + self.sebi + self.stamp + self.gst)


_BROKERAGE_PAISE = 2000  # Rs 20 per executed order, whatever its size (Zerodha).
_GST = Fraction(18, 100)  # Since 2017-07-01, on brokerage, transaction charges and the SEBI fee.
_GST_START = date(2017, 7, 1)
_FUND = Decimal("0.0005")  # NSE Investor Protection Fund Trust, Rs 50 per crore of premium since 2023-04-01.

_TABLE: dict[str, tuple[Rate, ...]] = {
    "stt": (  # Securities transaction tax on the premium of the sale.
        Rate(date(2016, 6, 1), Decimal("0.05"), "Finance Act 2016"),
        Rate(date(2023, 4, 1), Decimal("0.0625"), "Finance Act 2023, as corrected on 2023-03-24"),
        Rate(date(2024, 10, 1), Decimal("0.1"), "Finance (No. 2) Act 2024"),
        Rate(date(2026, 4, 1), Decimal("0.15"), "Finance Act 2026"),
    ),
    "transaction": (  # NSE transaction charges and its protection fund, on the premium of both sides.
        Rate(_GST_START, Decimal("0.05"), "top grade of NSE's table", is_approximate=True),
        Rate(date(2021, 1, 1), Decimal("0.053"), "NSE: up 6 %", is_approximate=True),
        Rate(date(2023, 4, 1), Decimal("0.05") + _FUND, "NSE: the 6 % taken back, fund raised", is_approximate=True),
        Rate(date(2024, 4, 1), Decimal("0.0495") + _FUND, "NSE: down 1 %", is_approximate=True),
        Rate(date(2024, 10, 1), Decimal("0.03503") + _FUND, "NSE, one rate for all members: Rs 35.03 per lakh"),
        Rate(date(2026, 3, 1), Decimal("0.03553"), "NSE/FA/73061: less to the fund, total unchanged"),
    ),
    "sebi": (  # SEBI turnover fee on the premium of both sides.
        Rate(_GST_START, Decimal("0.00015"), "Rs 15 per crore on brokers' price lists", is_approximate=True),
        Rate(date(2019, 4, 1), Decimal("0.0001"), "SEBI (Payment of Fees) (Amendment) Regulations 2019"),
        Rate(date(2020, 6, 1), Decimal("0.00005"), "SEBI (Payment of Fees) (Amendment) Regulations 2020: half"),
        Rate(date(2021, 4, 1), Decimal("0.0001"), "the same: the half rate ends on 2021-03-31"),
    ),
    "stamp": (  # Stamp duty on the premium of the purchase.
        Rate(_GST_START, Decimal("0.003"), "states' own rates differed", is_approximate=True),
        Rate(date(2020, 7, 1), Decimal("0.003"), "Indian Stamp Act as amended by the Finance Act 2019"),
    ),
}

FIRST_DAY = max(rates[0].since for rates in _TABLE.values())
"""First day the table knows every rate of."""


def charges(*, day: date, bought_paise: int, sold_paise: int, orders: int) -> Charges:
    """Compute what the broker, the exchange and the state take for a trade.

    Each charge is computed exactly and then rounded to the nearest paisa, half to even; GST is taken on the exact
    amounts. Contract notes are said to round STT to a whole rupee, so a real bill may differ by up to Rs 0.50.

    Args:
        day: trading day; rates are those of that day.
        bought_paise: premium paid, quantity times price summed over the buys; at least 0.
        sold_paise: premium received, likewise; at least 0.
        orders: orders that were executed, wholly or in part; at least 0.

    Raises:
        ValueError: an amount is negative, or *day* lies before the table's first day.
    """
    if min(bought_paise, sold_paise, orders) < 0:
        raise ValueError(
            f"charges: bought {bought_paise} paise, sold {sold_paise} paise, {orders} orders; expected >= 0"
        )
    turnover = bought_paise + sold_paise
    brokerage = _BROKERAGE_PAISE * orders
    transaction = turnover * _share("transaction", day)
    sebi = turnover * _share("sebi", day)
    return Charges(
        brokerage=Paise(brokerage),
        stt=nearest_paise(sold_paise * _share("stt", day)),
        transaction=nearest_paise(transaction),
        sebi=nearest_paise(sebi),
        stamp=nearest_paise(bought_paise * _share("stamp", day)),
        gst=nearest_paise((brokerage + transaction + sebi) * _GST),
    )


def rates_on(day: date) -> dict[str, Rate]:
    """Return the percentages in force on *day* by charge: ``stt``, ``transaction``, ``sebi`` and ``stamp``.

    Raises:
        ValueError: *day* lies before the table's first day.
    """
    return {charge: rates[_row(charge, day)] for charge, rates in _TABLE.items()}


_DAYS = {charge: tuple(rate.since for rate in rates) for charge, rates in _TABLE.items()}
_SHARES = {charge: tuple(Fraction(rate.percent) / 100 for rate in rates) for charge, rates in _TABLE.items()}


def _share(charge: str, day: date) -> Fraction:
    return _SHARES[charge][_row(charge, day)]


def _row(charge: str, day: date) -> int:
    if day < FIRST_DAY:
        raise ValueError(f"charges of {day}: the table of rates begins on {FIRST_DAY}; expected a day from then on")
    return bisect_right(_DAYS[charge], day) - 1
