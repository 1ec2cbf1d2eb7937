"""A market of Kite's for tests of the feed: a wire that answers from what it holds, and a clock that is set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from fsm_trader.core.settings import UnderlyingSettings
from fsm_trader.kite.ticks import Tick

INDIA = ZoneInfo("Asia/Kolkata")
INDEX = UnderlyingSettings("NIFTY", "NIFTY 50", "NSE", 256265)
OPTION, SYMBOL = 10_189_826, "NIFTY26N2424500CE"


def at(clock_time: str, day: str = "2026-11-23") -> datetime:
    """Return a moment of a trading Monday."""
    return datetime.fromisoformat(f"{day}T{clock_time}").replace(tzinfo=INDIA)


class SetClock:
    """A clock that shows what it was set to."""

    is_virtual = True

    def __init__(self, now: datetime) -> None:
        self.time = now

    def now(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)

    def wait_until(self, moment: datetime) -> None:
        self.time = max(self.time, moment)

    def wake(self) -> None:
        pass


class Wire:
    """Answers from what it was given: rows of history, quotes of what is listed, a dump."""

    def __init__(self, clock: SetClock) -> None:
        self.clock = clock
        self.rows: dict[int, list[list[Any]]] = {}
        self.quotes: dict[str, dict[str, Any]] = {}
        self.dump: bytes = b""
        self.fails: Exception | None = None
        self.asked: list[tuple[str, Any]] = []

    def historical(self, token: int, start: datetime, end: datetime, interval: str) -> dict[str, Any]:
        self._ask("historical", (token, f"{start:%H:%M:%S}", f"{end:%H:%M:%S}", interval))
        return {"candles": self.rows.get(token, [])}

    def quote(self, instruments: Sequence[str | int]) -> dict[str, Any]:
        self._ask("quote", tuple(instruments))
        return {str(key): self.quotes[str(key)] for key in instruments if str(key) in self.quotes}

    def instruments(self, exchange: str) -> bytes:
        self._ask("instruments", exchange)
        return self.dump

    def _ask(self, what: str, about: object) -> None:
        self.asked.append((what, about))
        if self.fails is not None:
            raise self.fails


class NoStream:
    """Stands for a stream; the test itself tells the listener what comes."""

    def __init__(self) -> None:
        self.watched: frozenset[int] = frozenset()
        self.is_started = self.is_closed = False

    def start(self) -> None:
        self.is_started = True

    def watch(self, tokens: Iterable[int]) -> None:
        self.watched = frozenset(tokens)

    def close(self, timeout_s: float = 5.0) -> None:
        self.is_closed = True


def row(clock_time: str, close: float = 100.0, *, volume: int = 10, day: str = "2026-11-23") -> list[Any]:
    """Return one candle as the historical interface writes it."""
    return [f"{day}T{clock_time}:00+0530", 100.0, max(101.0, close), min(99.0, close), close, volume]


def minutes(first: str, last: str, close: float = 100.0) -> list[list[Any]]:
    """Return a row for each minute from *first* to *last*."""
    start, rows = at(first), []
    while start <= at(last):
        rows.append(row(f"{start:%H:%M}", close))
        start += timedelta(minutes=1)
    return rows


def tick(token: int, last: int, traded: datetime | None, *, volume: int = 0, sent: datetime | None = None) -> Tick:
    """Return a full tick."""
    traded_s = None if traded is None else int(traded.timestamp())
    return Tick(token, last, traded_s, traded_s if sent is None else int(sent.timestamp()), volume=volume)
