"""Charges of an option trade on days and amounts worked out by hand."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from fsm_trader.core.charges import FIRST_DAY, Charges, charges, rates_on

NOVEMBER_2026 = date(2026, 11, 2)


def test_a_round_trip_of_one_lot_in_2026_costs_what_the_worked_example_says() -> None:
    # Bought 65 at Rs 100, sold 65 at Rs 110. GST is 18 % of the exact 44.863495, not of rounded parts (8.07).
    charged = charges(day=NOVEMBER_2026, bought_paise=650_000, sold_paise=715_000, orders=2)

    assert charged == Charges(brokerage=4000, stt=1072, transaction=485, sebi=1, stamp=20, gst=808)
    assert charged.total == 6386


def test_half_a_paisa_goes_to_the_even_side() -> None:
    # STT of 0.15 %: 1000 paise cost 1.5 and 3000 cost 4.5; nearest-even makes them 2 and 4.
    assert charges(day=NOVEMBER_2026, bought_paise=0, sold_paise=1000, orders=0).stt == 2
    assert charges(day=NOVEMBER_2026, bought_paise=0, sold_paise=3000, orders=0).stt == 4


def test_a_trade_that_did_not_happen_costs_nothing() -> None:
    assert charges(day=NOVEMBER_2026, bought_paise=0, sold_paise=0, orders=0).total == 0


def test_brokerage_is_taken_for_each_order_with_gst() -> None:
    one = charges(day=NOVEMBER_2026, bought_paise=650_000, sold_paise=715_000, orders=1)
    five = charges(day=NOVEMBER_2026, bought_paise=650_000, sold_paise=715_000, orders=5)

    assert five.total - one.total == 4 * (2000 + 360)


def test_stt_is_taken_from_the_seller_and_stamp_duty_from_the_buyer() -> None:
    bought = charges(day=NOVEMBER_2026, bought_paise=1_000_000, sold_paise=0, orders=1)
    sold = charges(day=NOVEMBER_2026, bought_paise=0, sold_paise=1_000_000, orders=1)

    assert (bought.stt, bought.stamp) == (0, 30)
    assert (sold.stt, sold.stamp) == (1500, 0)


@pytest.mark.parametrize(
    ("charge", "day_before", "percent_before", "percent_from"),
    [
        ("stt", date(2023, 3, 31), "0.05", "0.0625"),
        ("stt", date(2024, 9, 30), "0.0625", "0.1"),
        ("stt", date(2026, 3, 31), "0.1", "0.15"),
        ("transaction", date(2020, 12, 31), "0.05", "0.053"),
        ("transaction", date(2023, 3, 31), "0.053", "0.0505"),
        ("transaction", date(2024, 3, 31), "0.0505", "0.05"),
        ("transaction", date(2024, 9, 30), "0.05", "0.03553"),
        ("transaction", date(2026, 2, 28), "0.03553", "0.03553"),
        ("sebi", date(2019, 3, 31), "0.00015", "0.0001"),
        ("sebi", date(2020, 5, 31), "0.0001", "0.00005"),
        ("sebi", date(2021, 3, 31), "0.00005", "0.0001"),
        ("stamp", date(2020, 6, 30), "0.003", "0.003"),
    ],
)
def test_a_rate_changes_on_its_day(charge: str, day_before: date, percent_before: str, percent_from: str) -> None:
    before, after = rates_on(day_before)[charge], rates_on(date.fromordinal(day_before.toordinal() + 1))[charge]

    assert (before.percent, after.percent) == (Decimal(percent_before), Decimal(percent_from))
    assert before.since < after.since


def test_rates_of_today_come_from_rules_and_those_of_2019_are_partly_approximate() -> None:
    assert not any(rate.is_approximate for rate in rates_on(NOVEMBER_2026).values())
    assert rates_on(date(2019, 1, 2))["transaction"].is_approximate


def test_a_day_in_2021_is_charged_at_its_own_rates() -> None:
    charged = charges(day=date(2021, 6, 14), bought_paise=1_000_000, sold_paise=2_000_000, orders=2)

    # 0.05 % of 20,000; 0.053 % and 0.0001 % of 30,000; 0.003 % of 10,000; 18 % of 40 + 15.90 + 0.03 (in rupees).
    assert charged == Charges(brokerage=4000, stt=1000, transaction=1590, sebi=3, stamp=30, gst=1007)


def test_a_day_before_the_table_is_refused_and_the_first_day_is_not() -> None:
    assert charges(day=FIRST_DAY, bought_paise=100, sold_paise=100, orders=2).total > 0

    with pytest.raises(ValueError, match=r"charges of 2017-06-30: the table of rates begins on 2017-07-01"):
        charges(day=date(2017, 6, 30), bought_paise=100, sold_paise=100, orders=2)
    with pytest.raises(ValueError, match="2017-06-30"):
        rates_on(date(2017, 6, 30))


@pytest.mark.parametrize("wrong", [{"bought_paise": -1}, {"sold_paise": -1}, {"orders": -1}])
def test_a_negative_amount_is_refused(wrong: dict[str, int]) -> None:
    amounts = {"bought_paise": 100, "sold_paise": 100, "orders": 2, **wrong}

    with pytest.raises(ValueError, match=r"-1 (paise|orders).*expected >= 0"):
        charges(day=NOVEMBER_2026, **amounts)
