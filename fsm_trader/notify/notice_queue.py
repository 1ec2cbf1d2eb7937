"""The bounded queue between the trader and a slow channel. Knows nothing of the channel and does no input or output."""

from __future__ import annotations

import threading
from collections import deque

from fsm_trader.notify.protocol import Notice
from fsm_trader.notify.told import ToldKeys


class NoticeQueue:
    """First in, first out; each key once; when full, the oldest notice that is not critical makes room.

    Putting takes microseconds: the lock is only ever held for work in memory.

    Args:
        limit: most notices that wait; at least 1.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._notices: deque[Notice] = deque()
        self._told = ToldKeys()
        self._changed = threading.Condition()
        self._closed = False
        self._dropped = 0

    def put(self, notice: Notice) -> bool:
        """Queue *notice* unless its key was queued before; return False when the queue is closed."""
        with self._changed:
            if self._closed:
                return False
            if self._told.is_new(notice.key):
                self._notices.append(notice)
                if len(self._notices) > self._limit:
                    self._drop_one()
                self._changed.notify()
            return True

    def take(self) -> Notice | None:
        """Wait for the next notice and return it, or None when the queue is closed and empty."""
        with self._changed:
            # Bounded by the owner: close() wakes this wait, and only a daemon thread waits here.
            self._changed.wait_for(lambda: self._notices or self._closed)
            return self._notices.popleft() if self._notices else None

    def count_dropped(self, number: int) -> None:
        """Add notices that are lost for another reason, so that they are told of too."""
        with self._changed:
            self._dropped += number

    def take_dropped(self) -> int:
        """Return how many notices were dropped since this was last asked."""
        with self._changed:
            dropped, self._dropped = self._dropped, 0
            return dropped

    def close(self) -> None:
        """Take no more notices; those that wait can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def clear(self) -> int:
        """Throw away what waits and return how many notices that were."""
        with self._changed:
            left = len(self._notices)
            self._notices.clear()
            return left

    def _drop_one(self) -> None:
        # Where everything is critical the oldest goes: the latest news is what a person acts on.
        victim = next((place for place, notice in enumerate(self._notices) if not notice.critical), 0)
        del self._notices[victim]
        self._dropped += 1
