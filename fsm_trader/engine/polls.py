"""When the loop looks at the world: poll times on a grid of the day, the same for every start of the process."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

_DAY = timedelta(days=1)


class ReadingKey(NamedTuple):
    """One thing that is read again and again; *token* where it is of one instrument."""

    what: str
    token: int = 0


def next_on_grid(now: datetime, interval: timedelta) -> datetime:
    """Return the first multiple of *interval*, counted from midnight, later than *now*."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    steps = (now - midnight) // interval + 1
    return min(midnight + steps * interval, midnight + _DAY)


class Polls:
    """Keeps when each reading is due, and that no reading is asked for twice at a time."""

    def __init__(self) -> None:
        self._due: dict[ReadingKey, datetime] = {}
        self._under_way: set[ReadingKey] = set()

    def want(self, key: ReadingKey, at: datetime) -> None:
        """Ask for a reading at *at*; an earlier wish stands."""
        known = self._due.get(key)
        if known is None or at < known:
            self._due[key] = at

    def drop(self, key: ReadingKey) -> None:
        """Forget a wish."""
        self._due.pop(key, None)

    def take_due(self, now: datetime) -> list[ReadingKey]:
        """Return what is due and not under way, and count it as under way."""
        due = [key for key, at in self._due.items() if at <= now and key not in self._under_way]
        for key in due:
            del self._due[key]
            self._under_way.add(key)
        return due

    def done(self, key: ReadingKey) -> None:
        """A reading answered, well or badly."""
        self._under_way.discard(key)

    def next_due(self) -> datetime | None:
        """Return the earliest wish that is not under way, None when there is none."""
        return min((at for key, at in self._due.items() if key not in self._under_way), default=None)
