"""The hash chain: each row's hash covers the row and the hash before it, so no row can change unnoticed."""

from __future__ import annotations

import hashlib
from datetime import datetime

import msgspec

GENESIS = "0" * 64


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
