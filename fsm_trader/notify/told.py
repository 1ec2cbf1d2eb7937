"""Which notices were told already. Knows keys only: neither texts nor where they go."""

from __future__ import annotations

_REMEMBERED = 5_000


class ToldKeys:
    """A bounded memory of keys; the oldest are forgotten first.

    Args:
        limit: most keys remembered; at least 1. The default is many times a busy day's notices.
    """

    def __init__(self, limit: int = _REMEMBERED) -> None:
        self._limit = limit
        self._keys: dict[str, None] = {}

    def is_new(self, key: str) -> bool:
        """Remember *key* and return True when it was not remembered yet."""
        if key in self._keys:
            return False
        self._keys[key] = None
        if len(self._keys) > self._limit:
            del self._keys[next(iter(self._keys))]
        return True
