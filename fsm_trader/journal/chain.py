"""The hash chain: each row's hash covers the row and the hash before it, so no row can change unnoticed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

import msgspec

GENESIS = "0" * 64
# A row as the database hands it over: what ``Row`` holds.
Columns = tuple[int, str, str, str | None, str, str, str]


class Row(msgspec.Struct, frozen=True):
    """One row as it is stored: plain text, exactly what the hash covers."""

    seq: int
    at: str
    session: str
    trade_id: str | None
    kind: str
    body: str
    hash: str


def stamp(at: datetime) -> str:
    """Write a moment as the journal stores it: ISO 8601 with microseconds and offset."""
    return at.isoformat(timespec="microseconds")


def row_hash(previous: str, row: tuple[int, str, str, str | None, str, str]) -> str:
    """Return the SHA-256, in hex, of a row (seq, at, session, trade_id, kind, body) and the hash before it.

    Every part is preceded by its length, so that no two different rows give the same bytes.
    """
    seq, at, session, trade_id, kind, body = row
    trade = "-" if trade_id is None else f"{len(trade_id)}:{trade_id}"
    text = f"{previous}{seq}:{len(at)}:{at}{len(session)}:{session}{trade}{len(kind)}:{kind}{len(body)}:{body}"
    return hashlib.sha256(text.encode()).hexdigest()


def fitting(rows: Sequence[Columns], seq: int, head: str) -> int:
    """Return how many of *rows*, from the first on, follow a row without a gap and fit their hashes.

    It judges as ``row_hash`` does. What rows share is written once, because whole journals are read through here.

    Args:
        rows: in order, as they are stored; a damaged file may hold anything.
        seq: number of the row that they follow.
        head: that row's hash.
    """
    sized = _Sized({None: "-"})
    for place, (found, at, session, trade_id, kind, body, digest) in enumerate(rows):
        seq += 1
        try:
            text = f"{head}{seq}:{len(at)}:{at}{sized[session]}{sized[trade_id]}{sized[kind]}{len(body)}:{body}"
        except TypeError:
            # A number, or nothing, where there must be text.
            return place
        if found != seq or hashlib.sha256(text.encode()).hexdigest() != digest:
            return place
        head = digest
    return len(rows)


class _Sized(dict[str | None, str]):
    """Texts with their lengths before them, each written when it is first asked for."""

    def __missing__(self, text: str) -> str:
        written = self[text] = f"{len(text)}:{text}"
        return written
