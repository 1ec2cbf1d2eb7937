"""Checks of strategy parameters as a YAML file gives them. It knows no strategy."""

from __future__ import annotations


def whole_number(name: str, value: object, *, least: int, most: int) -> int:
    """Return *value* when it is a whole number from *least* to *most*.

    True and False are refused though Python counts them as 1 and 0: in a file they are a slip, not a number.

    Raises:
        ValueError: it is anything else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{name}: was {value!r}; expected a whole number from {least} to {most}")
    return value


def exit_option(value: object) -> int:
    """Return which line a close must cross downwards to say EXIT: 1 the lower one, 2 the middle.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value not in (1, 2):
        raise ValueError(f"exit_option: was {value!r}; expected 1 (the lower line) or 2 (the middle line)")
    return value
