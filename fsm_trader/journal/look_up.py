"""Questions to a journal that an index answers: none of them takes longer because the journal is long."""

from __future__ import annotations

from datetime import date

import msgspec
from sqlalchemy import Connection, func, select

from fsm_trader.journal.tables import definitions, events


class DaySoFar(msgspec.Struct, frozen=True):
    """What a journal has of a trading day: sessions begun, and the highest trade number used (0: none)."""

    sessions: int = 0
    last_number: int = 0


def hash_of(connection: Connection, seq: int) -> str | None:
    """Return the hash of a row, None where there is no such row."""
    with connection.begin():
        found: str | None = connection.execute(select(events.c.hash).where(events.c.seq == seq)).scalar_one_or_none()
    return found


def definition(connection: Connection, digest: str) -> str | None:
    """Return the machine definition that is kept under *digest*, None where there is none."""
    query = select(definitions.c.text).where(definitions.c.digest == digest)
    with connection.begin():
        found: str | None = connection.execute(query).scalar_one_or_none()
    return found


def first_of_newest_session(connection: Connection) -> int | None:
    """Return the number of the row that begins the newest session, None in a journal without rows."""
    newest = select(events.c.session).order_by(events.c.seq.desc()).limit(1).scalar_subquery()
    with connection.begin():
        found: int | None = connection.execute(
            select(func.min(events.c.seq)).where(events.c.session == newest)
        ).scalar()
    return found


def count_of(connection: Connection, trade_id: str) -> int:
    """Return how many rows a trade has."""
    query = select(func.count()).select_from(events).where(events.c.trade_id == trade_id)
    with connection.begin():
        return int(connection.execute(query).scalar_one())


def day_so_far(connection: Connection, day: date) -> DaySoFar:
    """Return what there is of a trading day.

    Its sessions are named after it, ``2026-06-17`` and ``2026-06-17.2``, and its trades ``20260617-001``: each a range
    of an index.
    """
    session, trade = day.isoformat(), f"{day:%Y%m%d}-"
    of_day = events.c.session.between(session, f"{session}.~")
    of_trades = events.c.trade_id.between(trade, f"{trade}~")
    with connection.begin():
        sessions = connection.execute(select(events.c.session).where(of_day).distinct()).scalars().all()
        trades = connection.execute(select(events.c.trade_id).where(of_trades).distinct()).scalars().all()
    return DaySoFar(len(sessions), max((int(each.removeprefix(trade)) for each in trades), default=0))
