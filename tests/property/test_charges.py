"""What holds of charges whatever the day and the amounts."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from fsm_trader.core.charges import FIRST_DAY, charges, rates_on

DAYS = st.dates(FIRST_DAY, date(2030, 12, 31))
AMOUNTS = st.integers(0, 10**12)
ORDERS = st.integers(0, 200)


@given(day=DAYS, bought=AMOUNTS, sold=AMOUNTS, orders=ORDERS)
def test_every_charge_is_within_half_a_paisa_of_its_percentage(day: date, bought: int, sold: int, orders: int) -> None:
    charged = charges(day=day, bought_paise=bought, sold_paise=sold, orders=orders)

    percent = {name: rate.percent for name, rate in rates_on(day).items()}
    exact = {
        "brokerage": Decimal(2000 * orders),
        "stt": sold * percent["stt"] / 100,
        "transaction": (bought + sold) * percent["transaction"] / 100,
        "sebi": (bought + sold) * percent["sebi"] / 100,
        "stamp": bought * percent["stamp"] / 100,
    }
    exact["gst"] = (exact["brokerage"] + exact["transaction"] + exact["sebi"]) * 18 / 100
    seen = {name: getattr(charged, name) for name in exact}
    assert all(type(amount) is int for amount in seen.values())
    assert all(abs(seen[name] - amount) <= Decimal("0.5") for name, amount in exact.items())
    assert charged.total == sum(seen.values())


@given(day=DAYS, bought=AMOUNTS, sold=AMOUNTS, more=AMOUNTS, orders=ORDERS)
def test_trading_more_never_costs_less(day: date, bought: int, sold: int, more: int, orders: int) -> None:
    total = charges(day=day, bought_paise=bought, sold_paise=sold, orders=orders).total

    assert charges(day=day, bought_paise=bought + more, sold_paise=sold, orders=orders).total >= total
    assert charges(day=day, bought_paise=bought, sold_paise=sold + more, orders=orders).total >= total
    assert charges(day=day, bought_paise=bought, sold_paise=sold, orders=orders + 1).total > total
