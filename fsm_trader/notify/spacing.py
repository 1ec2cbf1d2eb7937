"""When an alarm that lasts is told again: at levels 1, 2, 3, 5, 8, 13 and so on. Knows levels only, no text."""

from __future__ import annotations


class Spacing:
    """Remembers the loudest level of each subject, until it is forgotten: an alarm every 20 s would not be read."""

    def __init__(self) -> None:
        self._loudest: dict[str, int] = {}

    def is_due(self, subject: str, level: int) -> bool:
        """Tell whether an alarm is to be told, and remember it.

        The first one is, one that is no louder than one before (it is of another matter), and one that reaches or
        passes a Fibonacci number since the one before: a level may be left out, or none be raised while nobody ran.

        Args:
            subject: what the alarm is of.
            level: how loud it is, 1 or more; it grows while the alarm lasts.
        """
        before = self._loudest.get(subject)
        self._loudest[subject] = max(level, before or 0)
        return before is None or level <= before or _next_after(before) <= level

    def forget(self, subject: str) -> None:
        """Forget a subject: what is wrong with it from here on is something new."""
        self._loudest.pop(subject, None)


def _next_after(level: int) -> int:
    """Return the first Fibonacci number above *level*."""
    lower, upper = 1, 2
    while upper <= level:
        lower, upper = upper, lower + upper
    return upper
