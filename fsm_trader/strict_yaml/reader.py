"""Typed values out of nodes, with every fault collected. Knows no key and no section of any document."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import time, timedelta
from decimal import Decimal
from typing import Any

from fsm_trader.errors import Fault, SetupError
from fsm_trader.strict_yaml.durations import parse_duration, show_duration
from fsm_trader.strict_yaml.nodes import Node, did_you_mean, seen, shown, sorted_faults

_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?")
_PERCENT = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?%")


class Reader:
    """Reads typed values out of nodes and collects every fault; a read returns None where it found one."""

    def __init__(self, faults: list[Fault] | None = None) -> None:
        self.faults: list[Fault] = [] if faults is None else faults

    def fault(self, node: Node, message: str) -> None:
        """Report what is wrong at *node*."""
        self.faults.append(Fault(node.where, node.path, message))

    def mapping(self, node: Node, *, required: Sequence[str] = (), optional: Sequence[str] = ()) -> dict[str, Node]:
        """Return the values of a mapping with fixed keys; unknown and missing keys are faults."""
        if not self._is_kind(node, "mapping", f"a mapping with the keys {', '.join((*required, *optional))}"):
            return {}
        found = {str(key.value): (key, value) for key, value in node.pairs}
        known = (*required, *optional)
        for name, (key, _) in found.items():
            if name not in known and not key.refused:
                self.fault(key, f"unknown key {shown(name)}.{did_you_mean(name, known)}")
        for name in required:
            if name not in found:
                self.fault(node, f"key {name!r} is missing; expected {', '.join(required)}")
        return {name: value for name, (_, value) in found.items() if name in known}

    def open_mapping(self, node: Node) -> dict[str, Node]:
        """Return the values of a mapping whose keys are free, in the order they stand."""
        self._is_kind(node, "mapping", "a mapping")
        return {str(key.value): value for key, value in node.pairs}

    def sequence(self, node: Node) -> list[Node]:
        """Return the items of a sequence."""
        self._is_kind(node, "sequence", "a sequence such as [a, b]")
        return list(node.items)

    def text(
        self, node: Node, *, choices: Sequence[str] | None = None, pattern: str | None = None, expected: str = ""
    ) -> str | None:
        """Return text that is one of *choices* or matches all of *pattern*; *expected* says the pattern in words."""
        value = node.value
        if choices is not None and not node.refused and node.kind == "scalar" and value not in choices:
            self.fault(node, f"was {seen(node)}, which is unknown.{did_you_mean(node.text, choices)}")
            return None
        wanted = expected or "text"
        if not isinstance(value, str) or (pattern is not None and not re.fullmatch(pattern, value)):
            self._refuse(node, wanted if isinstance(value, str) or node.kind != "scalar" else f"{wanted} (in quotes)")
            return None
        return value

    def integer(self, node: Node, *, least: int, most: int) -> int | None:
        """Return a whole number from *least* to *most*; true and false are not numbers."""
        value = node.value
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self._refuse(node, f"a whole number from {least} to {most}")
            return None
        return value

    def number(self, node: Node, *, least: Decimal, most: Decimal) -> Decimal | None:
        """Return a number from *least* to *most* exactly as it is written."""
        value = node.value
        if isinstance(value, bool) or not isinstance(value, int | Decimal) or not least <= value <= most:
            self._refuse(node, f"a number from {least} to {most}")
            return None
        return Decimal(value)

    def flag(self, node: Node) -> bool | None:
        """Return true or false."""
        if not isinstance(node.value, bool):
            self._refuse(node, "true or false")
            return None
        return node.value

    def duration(self, node: Node, *, least: timedelta, most: timedelta) -> timedelta | None:
        """Return a duration such as ``1h30m`` from *least* to *most*, both whole milliseconds."""
        if isinstance(node.value, int | Decimal) and not isinstance(node.value, bool):
            self.fault(node, f'was {node.text} (no unit); expected a duration such as "{node.text}s"')
            return None
        bounds = f"a duration from {show_duration(least)} to {show_duration(most)}"
        try:
            value = parse_duration(node.value if isinstance(node.value, str) else "")
        except ValueError:
            self._refuse(node, f'{bounds}, such as "90s" or "1h30m"')
            return None
        if not least <= value <= most:
            self._refuse(node, bounds)
            return None
        return value

    def time_of_day(self, node: Node) -> time | None:
        """Return a time of day, ``"09:15"`` or ``"09:15:30"``."""
        match = _TIME.fullmatch(node.value) if isinstance(node.value, str) else None
        if match is None:
            self._refuse(node, 'a time of day such as "09:15" or "09:15:30"')
            return None
        return time(int(match[1]), int(match[2]), int(match[3] or 0))

    def percent(self, node: Node, *, least: Decimal, most: Decimal) -> Decimal | None:
        """Return a percentage as an exact fraction (20% is 0.20), from *least* to *most*, fractions too."""
        bounds = f"{_show_percent(least)} to {_show_percent(most)}"
        if not isinstance(node.value, str) or not _PERCENT.fullmatch(node.value):
            missing = " (no %)" if isinstance(node.value, int | Decimal) else ""
            self._refuse(node, f"a percentage from {bounds}, such as 20%", missing)
            return None
        value = Decimal(node.value[:-1]).scaleb(-2)
        if not least <= value <= most:
            self._refuse(node, f"a percentage from {bounds}")
            return None
        return value

    def plain(self, node: Node) -> Any:
        """Return a whole subtree as dict, list, str, int, Decimal, bool and None."""
        if node.kind == "mapping":
            return {str(key.value): self.plain(value) for key, value in node.pairs}
        return [self.plain(item) for item in node.items] if node.kind == "sequence" else node.value

    def is_null(self, node: Node) -> bool:
        """Return True for ``null``, ``~`` and a value left out."""
        return node.kind == "scalar" and node.value is None and not node.refused

    def finish(self) -> None:
        """End the reading.

        Raises:
            SetupError: there were faults; all are listed in the order of the files.
        """
        if self.faults:
            raise SetupError(sorted_faults(self.faults))

    def _is_kind(self, node: Node, kind: str, expected: str) -> bool:
        if node.kind != kind:
            self._refuse(node, expected)
        return node.kind == kind

    def _refuse(self, node: Node, expected: str, remark: str = "") -> None:
        if not node.refused:
            self.fault(node, f"was {seen(node)}{remark}; expected {expected}")


def _show_percent(fraction: Decimal) -> str:
    return f"{fraction.scaleb(2).normalize():f}%"
