"""Money is exact, or it is refused."""

from __future__ import annotations

import decimal
from decimal import Decimal
from fractions import Fraction

import pytest

from fsm_trader.core.money import nearest_paise, paise, price_seen, round_to_tick, rupees, show_rupees


@pytest.mark.parametrize(
    ("amount", "expected"),
    [("0", 0), ("100.05", 10005), ("-12.30", -1230), (7, 700), (Decimal("1E+2"), 10000), ("0.010", 1)],
)
def test_rupees_become_whole_paise(amount, expected) -> None:
    found = paise(amount)

    assert found == expected
    assert type(found) is int


@pytest.mark.parametrize("amount", ["0.005", "100.051", "-0.001", "1.00000000000000000000000000000000001"])
def test_an_amount_finer_than_a_paisa_is_refused_however_fine(amount) -> None:
    with pytest.raises(ValueError, match="finer than one paisa"):
        paise(amount)


@pytest.mark.parametrize("amount", ["NaN", "sNaN", "Infinity", "-inf", "1e16", "-1e16", "1e999999", "-1e999999999"])
def test_what_is_not_a_finite_amount_is_refused(amount) -> None:
    with pytest.raises(ValueError, match="not a finite amount"):
        paise(amount)
    with pytest.raises(ValueError, match="not a finite amount"):
        price_seen(amount)


@pytest.mark.parametrize("amount", [float("nan"), float("inf"), float("-inf"), 1e300])
def test_a_feed_that_gives_no_number_is_refused(amount) -> None:
    with pytest.raises(ValueError, match="not a finite amount"):
        price_seen(amount)


@pytest.mark.parametrize("text", ["", "12,5", "Rs 5", "0x10", "--1"])
def test_text_that_is_no_number_is_refused_and_shown(text) -> None:
    with pytest.raises(ValueError, match="is not a number") as refused:
        paise(text)

    assert repr(text) in str(refused.value)


@pytest.mark.parametrize(
    ("price", "expected"),
    [
        (100.05, 10005),  # 100.05 * 100 is 10004.999... in binary
        (1.005, 100),
        (1.015, 102),
        (0.29, 29),
        (1.1 + 2.2, 330),
        (2441.35, 244135),
        (1e-9, 0),
        (-100.05, -10005),
        ("24412.35", 2441235),
        (Decimal("0.015"), 2),
        (Decimal("0.025"), 2),
        ("0.00500000000000000000000000000000000001", 1),
    ],
)
def test_a_fed_price_goes_to_the_nearest_paisa_half_to_even(price, expected) -> None:
    found = price_seen(price)

    assert found == expected
    assert type(found) is int


@pytest.mark.parametrize(
    ("price", "tick", "down", "up"),
    [
        (10003, 5, 10000, 10005),
        (10005, 5, 10005, 10005),
        (Fraction(20011, 2), 5, 10005, 10010),
        (Fraction(1, 10**12), 5, 0, 5),
        (-3, 5, -5, 0),
        (7, 1, 7, 7),
    ],
)
def test_a_price_is_rounded_to_the_tick_on_the_side_that_was_asked_for(price, tick, down, up) -> None:
    assert round_to_tick(price, tick, up=False) == down
    assert round_to_tick(price, tick, up=True) == up
    assert type(round_to_tick(price, tick, up=True)) is int


@pytest.mark.parametrize("tick", [0, -5])
def test_a_tick_size_below_one_paisa_is_refused(tick) -> None:
    with pytest.raises(ValueError, match="expected at least 1"):
        round_to_tick(100, tick, up=True)


@pytest.mark.parametrize(("exact", "expected"), [(Fraction(1, 2), 0), (Fraction(3, 2), 2), (Decimal("-2.5"), -2)])
def test_an_exact_amount_is_rounded_half_to_even(exact, expected) -> None:
    assert nearest_paise(exact) == expected


def test_paise_are_shown_in_rupees_with_both_decimals() -> None:
    assert show_rupees(123450) == "1,234.50"
    assert show_rupees(-5) == "-0.05"
    assert show_rupees(0) == "0.00"
    assert str(rupees(-123450)) == "-1234.50"


def test_a_coarse_decimal_context_of_somebody_else_never_changes_an_amount() -> None:
    with decimal.localcontext() as context:
        context.prec = 9
        seen = paise("1234567.89")

    assert seen == 123456789
