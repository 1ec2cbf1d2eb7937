"""Durations as people write them, ``1h30m``, exact to the millisecond."""

from __future__ import annotations

import re
from datetime import timedelta

_DURATION = re.compile(r"(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s)?(?:([0-9]{1,9})ms)?")


def parse_duration(text: str) -> timedelta:
    """Read ``5s``, ``30m``, ``1h30m`` or ``250ms``: whole numbers with units, largest unit first.

    Raises:
        ValueError: *text* is not such a duration.
    """
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        raise ValueError(f'{text[:60]!r} is not a duration; expected one such as "90s" or "1h30m"')
    hours, minutes, seconds, milliseconds = (int(part or 0) for part in match.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds, milliseconds=milliseconds)


def show_duration(duration: timedelta) -> str:
    """Write a duration as :func:`parse_duration` reads it.

    Raises:
        ValueError: *duration* is negative or finer than a millisecond.
    """
    whole, rest = divmod(duration, timedelta(milliseconds=1))
    if whole < 0 or rest:
        raise ValueError(f"{duration} cannot be written as a duration; expected whole milliseconds from 0 on")
    seconds, milliseconds = divmod(whole, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "m"), (seconds, "s"), (milliseconds, "ms"))
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"
