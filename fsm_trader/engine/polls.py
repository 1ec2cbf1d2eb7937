"""When the loop looks at the world: poll times on a grid of the day, the same for every start of the process."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

_DAY = timedelta(days=1)
# Longer than any time-out of a call; after it an answer is not waited for any more.
LOST_AFTER = timedelta(seconds=60)


class ReadingKey(NamedTuple):
    """One thing that is read again and again; *token* where it is of one instrument."""

    what: str
    token: int = 0


def next_on_grid(now: datetime, interval: timedelta) -> datetime:
    """Return the first multiple of *interval*, counted from midnight, later than *now*."""
    since = timedelta(hours=now.hour, minutes=now.minute, seconds=now.second, microseconds=now.microsecond)
    return now + min(interval - since % interval, _DAY - since)


class Polls:
    """Keeps when each reading is due, and that no reading is asked for twice at a time."""

    def __init__(self) -> None:
        self._due: dict[ReadingKey, datetime] = {}
        self._under_way: dict[ReadingKey, datetime] = {}

    def want(self, key: ReadingKey, at: datetime) -> None:
        """Ask for a reading at *at*; an earlier wish stands."""
        known = self._due.get(key)
        if known is None or at < known:
            self._due[key] = at

    def is_wanted(self, key: ReadingKey) -> bool:
        """Tell whether a reading is asked for and not begun."""
        return key in self._due

    def take_due(self, now: datetime) -> list[ReadingKey]:
        """Return what is due and not under way, and count it as under way.

        A reading that has not answered for ``LOST_AFTER`` is asked for anew: one hanging request must not blind the
        trade it was made for.
        """
        due = [key for key, at in self._due.items() if at <= now and not self.is_awaited(key, now)]
        for key in due:
            del self._due[key]
            self._under_way[key] = now
        return due

    def is_awaited(self, key: ReadingKey, now: datetime) -> bool:
        """Tell whether a reading is under way whose answer is still waited for."""
        began = self._under_way.get(key)
        return began is not None and now - began < LOST_AFTER

    def done(self, key: ReadingKey) -> None:
        """A reading answered, well or badly."""
        self._under_way.pop(key, None)

    @property
    def wishes(self) -> frozenset[ReadingKey]:
        """What is due some time or under way."""
        return frozenset(self._due) | frozenset(self._under_way)

    def next_due(self) -> datetime | None:
        """Return when the next wish can be met, None when there is none."""
        return min(
            (
                max(at, began + LOST_AFTER) if (began := self._under_way.get(key)) else at
                for key, at in self._due.items()
            ),
            default=None,
        )
