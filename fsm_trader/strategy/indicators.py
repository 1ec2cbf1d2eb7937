"""Rolling sums and extremes of whole numbers, one value at a time. They know nothing of candles or signals."""

from __future__ import annotations

from collections import deque


class RollingSum:
    """Sum of the last *length* values, exactly; each value costs the same whatever the length (at least 1)."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._values: deque[int] = deque()
        self._sum = 0

    def push(self, value: int) -> int | None:
        """Take the next value and return the sum, None until *length* values were seen."""
        self._values.append(value)
        self._sum += value
        if len(self._values) > self._length:
            self._sum -= self._values.popleft()
        return self._sum if len(self._values) == self._length else None


class RollingExtreme:
    """Largest (or smallest) of the last *length* values (at least 1).

    A value that a later one beats can never be the extreme again, so only the others are kept, in order: each value
    enters and leaves once, which makes a step cost the same on average whatever the length (the monotonic queue).
    """

    def __init__(self, length: int, *, largest: bool) -> None:
        self._length = length
        self._sign = 1 if largest else -1
        self._seen = 0
        self._kept: deque[tuple[int, int]] = deque()  # (position, signed value), values falling

    def push(self, value: int) -> int | None:
        """Take the next value and return the extreme, None until *length* values were seen."""
        signed = value * self._sign
        while self._kept and self._kept[-1][1] <= signed:
            self._kept.pop()
        self._kept.append((self._seen, signed))
        self._seen += 1
        if self._kept[0][0] < self._seen - self._length:
            self._kept.popleft()
        return self._kept[0][1] * self._sign if self._seen >= self._length else None
