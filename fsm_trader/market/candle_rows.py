"""Candles from the rows of a table, and a counted reason for every row that is left out.

A bad row never refuses a file: it is skipped here and told to the journal, as a live feed's bad candle would be. Rows
out of time order are put in order, since the order of a file says nothing about time. Knows no file layout.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from itertools import pairwise, repeat
from typing import Any
from zoneinfo import ZoneInfo

from fsm_trader.core.candles import Candle, candle_fault
from fsm_trader.core.money import Paise, price_seen
from fsm_trader.market.tables import CANDLE_COLUMNS, Table, moment

_NAMED_ROWS = 3


class Skips:
    """Counts the rows of one file that were left out, by reason, and remembers the first of each."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._rows: dict[str, list[int]] = {}
        self._counts: dict[str, int] = {}

    def add(self, reason: str, row: int) -> None:
        """Count one row."""
        self._counts[reason] = self._counts.get(reason, 0) + 1
        first = self._rows.setdefault(reason, [])
        if len(first) < _NAMED_ROWS:
            first.append(row)

    def lines(self) -> tuple[str, ...]:
        """Return one sentence for each reason, in the order first seen."""
        return tuple(self._line(reason, count) for reason, count in self._counts.items())

    def _line(self, reason: str, count: int) -> str:
        rows = ", ".join(str(row) for row in self._rows[reason])
        more = ", ..." if count > _NAMED_ROWS else ""
        return f"{self._where}: {count} row{'s' * (count > 1)} {reason} (row{'s' * (count > 1)} {rows}{more})"


class Session:
    """The part of one day that is played; rows outside it are skipped.

    Args:
        opens_at: first instant, aware; its zone is the one candles are given in.
        closes_at: first instant after.
        zone: what times without an offset are local to.
        one_day: True when the file should hold this day only, so that rows of other days are worth telling.
    """

    def __init__(self, opens_at: datetime, closes_at: datetime, *, zone: ZoneInfo, one_day: bool) -> None:
        self.opens_at, self.closes_at, self.zone, self.one_day = opens_at, closes_at, zone, one_day

    def start_of(self, seen: object) -> datetime | str | None:
        """Return when a row's candle starts, or why it is skipped; None for a row that is none of our business."""
        start = moment(seen, self.zone)
        if start is None:
            return "skipped: time cannot be read"
        if start.date() != self.opens_at.date():
            return "skipped: of another day" if self.one_day else None
        if start < self.opens_at:
            return f"skipped: before the open ({self.opens_at:%H:%M})"
        if start >= self.closes_at:
            return f"skipped: after the close ({self.closes_at:%H:%M})"
        if start.second or start.microsecond:
            return "skipped: not at the start of a minute"
        return start


def read_candles(
    table: Table, session: Session, *, token: int | None = None, tokens: Mapping[str, int] | None = None
) -> tuple[dict[int, tuple[Candle, ...]], tuple[str, ...]]:
    """Return the usable candles of each token in time order, and what was left out.

    Args:
        table: has the columns ts, open, high, low, close, and tradingsymbol where *tokens* is given.
        session: what part of time is wanted.
        token: the one instrument of the table, or else
        tokens: instrument tokens by trading symbol.
    """
    skips = Skips(table.where)
    found: dict[int, dict[datetime, Candle]] = {}
    starts, prices, volumes = _Starts(session), _Prices(), _Volumes()
    for row, cells in enumerate(zip(_row_tokens(table, token, tokens), *_cells(table), strict=False), table.first_row):
        start = starts[cells[1]]
        if start is None:
            continue
        if isinstance(start, str):
            skips.add(start, row)
            continue
        if cells[0] is None:
            skips.add("skipped: trading symbol is not among the instruments", row)
            continue
        candle = Candle(
            cells[0],
            start,
            prices[cells[2]],
            prices[cells[3]],
            prices[cells[4]],
            prices[cells[5]],
            volumes[cells[6]],
        )
        of_token = found.setdefault(candle.token, {})
        reason = _refusal(candle, of_token.get(start))
        if reason is None:
            of_token[start] = candle
        else:
            skips.add(reason, row)
    return _ordered(found, table.where, skips)


def _row_tokens(table: Table, token: int | None, tokens: Mapping[str, int] | None) -> Iterable[int | None]:
    if tokens is None:
        return repeat(token, len(table))
    return map(tokens.get, table.columns["tradingsymbol"])


def _cells(table: Table) -> list[list[Any]]:
    return [
        *(table.columns[name] for name in CANDLE_COLUMNS),
        table.column("volume") or [None] * len(table),
    ]


# A cell that cannot be read becomes this; every other price is told apart from it by its sign or size.
_UNREADABLE = Paise(-(10**18))


def _refusal(candle: Candle, known: Candle | None) -> str | None:
    if known is not None:
        return "skipped: minute given twice" + (", with the same values" if known == candle else ", with other values")
    if min(candle.open, candle.high, candle.low, candle.close, candle.volume) == _UNREADABLE:
        return "skipped: not a finite number"
    if candle_fault(candle) is None:
        return None
    if min(candle.open, candle.high, candle.low, candle.close) <= 0:
        return "skipped: price of zero or below"
    return "skipped: low and high do not enclose open and close"


def _ordered(
    found: dict[int, dict[datetime, Candle]], where: str, skips: Skips
) -> tuple[dict[int, tuple[Candle, ...]], tuple[str, ...]]:
    candles: dict[int, tuple[Candle, ...]] = {}
    moved = 0
    for token, of_token in found.items():
        falls = sum(later < earlier for earlier, later in pairwise(of_token))
        moved += falls
        candles[token] = tuple(of_token[start] for start in (sorted(of_token) if falls else of_token))
    notes = (f"{where}: {moved} row{'s' * (moved > 1)} out of time order; put in order",) if moved else ()
    return candles, (*skips.lines(), *notes)


class _Starts(dict[Any, "datetime | str | None"]):
    # The same few hundred stamps come back for every instrument, so each is read once.

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session

    def __missing__(self, seen: Any) -> datetime | str | None:
        self[seen] = start = self._session.start_of(seen)
        return start


class _Prices(dict[Any, Paise]):
    # Prices repeat a lot on a coarse tick; exact conversion is the slow part of reading.

    def __missing__(self, seen: Any) -> Paise:
        try:
            price = _UNREADABLE if seen is None else price_seen(seen)
        except (ValueError, TypeError):
            price = _UNREADABLE
        self[seen] = price
        return price


class _Volumes(dict[Any, int]):
    # Empty means none; fractions of a unit are cut off.

    def __missing__(self, seen: Any) -> int:
        try:
            number = Decimal(str(seen)) if seen not in (None, "") else Decimal(0)
            volume = int(number) if number >= 0 else _UNREADABLE
        except (InvalidOperation, ValueError, OverflowError):
            volume = _UNREADABLE
        self[seen] = volume
        return volume
