"""Nodes of a YAML file, and faults in the order of the files. Knows neither YAML's syntax nor any document."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from fsm_trader.errors import Fault

MOST_SHOWN = 60
_MOST_FAULTS = 200
_PLACE = re.compile(r"(.*):([0-9]+):([0-9]+)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One value of a file, and where it stands.

    Args:
        source: name of the file as the user gave it; *line* and *column* count from 1.
        path: place inside the document (``$.session.square_off``).
        value: str, int, Decimal, bool or None of a scalar; None for the others.
        text: the scalar as it was written, without quotes.
        refused: True when a fault was already reported here: typed reads then return None and add nothing.
        pairs: keys and values of a mapping, in order; *items* are those of a sequence.
    """

    kind: Literal["mapping", "sequence", "scalar"]
    source: str
    line: int
    column: int
    path: str
    value: Any = None
    text: str = ""
    refused: bool = False
    pairs: tuple[tuple[Node, Node], ...] = ()
    items: tuple[Node, ...] = ()

    @property
    def where(self) -> str:
        """Return ``file:line:column``."""
        return f"{self.source}:{self.line}:{self.column}"

    def __repr__(self) -> str:
        # The value is left out: it may be something that was meant to be a secret.
        return f"Node({self.kind} at {self.where} {self.path})"


class Scanned(NamedTuple):
    """What came out of one file: its tree (None when it has none), all faults, and the bytes that were read."""

    node: Node | None
    faults: list[Fault]
    data: bytes


def shown(text: str) -> str:
    """Quote text for a message, cut short and without control characters."""
    return repr(text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + "...")


def seen(node: Node) -> str:
    """Say what stands at a node, for a message."""
    if node.kind != "scalar":
        return f"a {node.kind}"
    if node.value is None:
        return "empty" if not node.text else node.text
    return shown(node.text) if isinstance(node.value, str) else node.text


def sorted_faults(faults: Iterable[Fault]) -> list[Fault]:
    """Return faults by file (as they first appear), line and column; beyond 200 they are only counted."""
    files: dict[str, int] = {}
    placed: list[tuple[tuple[int, int, int], Fault]] = []
    for fault in faults:
        match = _PLACE.fullmatch(fault.where)
        file, line, column = (match[1], int(match[2]), int(match[3])) if match else (fault.where, 0, 0)
        placed.append(((files.setdefault(file, len(files)), line, column), fault))
    ordered = [fault for _, fault in sorted(placed, key=lambda pair: pair[0])]
    left = len(ordered) - _MOST_FAULTS
    if left > 0:
        last = ordered[_MOST_FAULTS]
        return [*ordered[:_MOST_FAULTS], Fault(last.where, "", f"{left} more faults from here on are not listed")]
    return ordered


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown name: the nearest known one, and all of them."""
    names = sorted(known) if isinstance(known, set | frozenset) else list(known)
    close = difflib.get_close_matches(name, names, n=1)
    listed = f" Known: {', '.join(names) or 'none'}."
    return f" Did you mean {close[0]!r}?{listed}" if close else listed
