"""One section of a file, read key by key into plain values. It knows no particular section."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import TypeVar

from fsm_trader.config.keys import Keys
from fsm_trader.strict_yaml import Node, Reader, parse_duration

_Choice = TypeVar("_Choice", bound=str)


class Section:
    """A mapping with fixed keys.

    A key left out gives its default. A faulty one gives the default too, as a stand-in: the fault is in the reader,
    and ``Reader.finish`` refuses the files before anybody sees the stand-in.
    """

    def __init__(self, reader: Reader, node: Node | None, keys: Keys) -> None:
        self.reader = reader
        self.place = node
        self._nodes = {} if node is None else reader.mapping(node, required=keys.required, optional=keys.optional)

    def get(self, key: str) -> Node | None:
        """Return the node of a key, None when it is left out."""
        return self._nodes.get(key)

    def given(self, key: str) -> Node | None:
        """Return the node of a key, None when it is left out or null."""
        node = self._nodes.get(key)
        return None if node is None or self.reader.is_null(node) else node

    def section(self, key: str, keys: Keys) -> Section:
        """Return the section under a key; left out it has all its defaults, and null means the same where it can."""
        return Section(self.reader, self.get(key) if keys.required else self.given(key), keys)

    def text(self, key: str, default: str, pattern: str, expected: str) -> str:
        """Return text all of which matches *pattern*."""
        node = self.get(key)
        value = None if node is None else self.reader.text(node, pattern=pattern, expected=expected)
        return default if value is None else value

    def choice(self, key: str, choices: Sequence[_Choice], default: _Choice) -> _Choice:
        """Return one of *choices*."""
        node = self.get(key)
        value = None if node is None else self.reader.text(node, choices=choices)
        return next((choice for choice in choices if choice == value), default)

    def integer(self, key: str, default: int, least: int, most: int) -> int:
        """Return a whole number from *least* to *most*."""
        node = self.get(key)
        value = None if node is None else self.reader.integer(node, least=least, most=most)
        return default if value is None else value

    def duration(self, key: str, default: str, least: str, most: str) -> timedelta:
        """Return a duration; the three are written as in a file (``"90s"``)."""
        node = self.get(key)
        bounds = parse_duration(least), parse_duration(most)
        value = None if node is None else self.reader.duration(node, least=bounds[0], most=bounds[1])
        return parse_duration(default) if value is None else value

    def percent(self, key: str, default: Decimal, least: Decimal, most: Decimal) -> Decimal:
        """Return a percentage as a fraction; the bounds are fractions too."""
        node = self.get(key)
        value = None if node is None else self.reader.percent(node, least=least, most=most)
        return default if value is None else value
