"""Exact money: every price and amount is a whole number of paise (1/100 rupee), never a float."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from fractions import Fraction
from typing import NewType

Paise = NewType("Paise", int)

# Rounding to this is one step whatever the number of digits; a product would first be cut to 28 of them.
_PAISA = Decimal("0.01")
_LARGEST = Decimal(10) ** 15


def paise(rupees: Decimal | int | str) -> Paise:
    """Turn rupees into paise, refusing anything that is not a whole number of paise.

    Raises:
        ValueError: *rupees* is not a number, not finite, or finer than one paisa.
    """
    exact = _finite(rupees)
    rounded = exact.quantize(_PAISA)
    if rounded != exact:
        raise ValueError(f"{rupees} rupees is finer than one paisa")
    return Paise(int(rounded.scaleb(2)))


def price_seen(rupees: float | Decimal | str) -> Paise:
    """Turn a price as a feed gives it (often a binary float) into the nearest paisa, half to even.

    The shortest decimal that stands for the float is taken, so 100.05 is 10005 paise and not 10004.

    Raises:
        ValueError: the price is not a number or not finite.
    """
    text = repr(rupees) if isinstance(rupees, float) else rupees
    return Paise(int(_finite(text).quantize(_PAISA, ROUND_HALF_EVEN).scaleb(2)))


def rupees(amount: int) -> Decimal:
    """Return paise as rupees with two decimals, exactly."""
    return Decimal(amount).scaleb(-2)


def show_rupees(amount: int) -> str:
    """Format paise for people: ``-1,234.50``."""
    return f"{rupees(amount):,.2f}"


def nearest_paise(amount: Fraction | Decimal) -> Paise:
    """Round an exact amount of paise to a whole one, half to even (the one rounding rule of amounts)."""
    return Paise(round(Fraction(amount)))


def round_to_tick(price: Fraction | int, tick_paise: int, *, up: bool) -> Paise:
    """Round a price outward to a multiple of the tick size: up or down as the caller says.

    Args:
        price: paise, exact.
        tick_paise: tick size in paise; at least 1.
        up: True rounds towards higher prices.

    Raises:
        ValueError: *tick_paise* is below 1.
    """
    if tick_paise < 1:
        raise ValueError(f"tick size {tick_paise} paise; expected at least 1")
    ticks = Fraction(price) / tick_paise
    whole = -((-ticks.numerator) // ticks.denominator) if up else ticks.numerator // ticks.denominator
    return Paise(whole * tick_paise)


def _finite(number: Decimal | int | str) -> Decimal:
    try:
        value = Decimal(number)
    except InvalidOperation as error:
        raise ValueError(f"{number!r} is not a number") from error
    # Comparing is exact; taking the absolute value would first round, and overflow at what has too many digits.
    if not value.is_finite() or not -_LARGEST <= value <= _LARGEST:
        raise ValueError(f"{number} is not a finite amount")
    return value
