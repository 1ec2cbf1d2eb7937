"""How many ticks a session takes with a hundred trades open, on one core; and whether its memory stays as it is.

    python benchmarks/ticks.py SECONDS

takes ticks for so long, and prints the rate and what the memory did.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import processes
from desk import PRICE, Desk, message, serving
from measure import Figure, Sample, Sides, expect

_TRADES = 100
_MESSAGES = 200
_PRICES = 20  # Different ones, a tick of five paise apart, all between stop and target.
_PAGE = os.sysconf("SC_PAGE_SIZE")
_MOST_GROWTH = 2_000_000


@contextmanager
def tick_sides(folder: Path, trades: int = _TRADES, messages: int = _MESSAGES) -> Iterator[Sides]:
    """Open the trades; a round is *messages*, each with a new price of each of them.

    Nothing runs beside the session on its core: its threads, that of the stream and the loop, share it.
    """
    with _session(folder, trades) as session:
        from kiteconnect import KiteTicker

        parse = KiteTicker("", "")._parse_binary  # noqa: SLF001 - what the reference does with a message
        prepared = _prepared(session)
        held: list[int] = []

        def ours() -> Sample:
            taken_s = take(session, prepared, messages)
            held.append(_held_bytes())
            return Sample(taken_s / (messages * trades), held[-1])

        def reference() -> Sample:
            began = time.perf_counter()
            for number in range(messages):
                parse(prepared[number % _PRICES])
            return Sample((time.perf_counter() - began) / (messages * trades), _held_bytes())

        def check() -> None:
            count = len(session.trader.floor.ledger.open_trades)
            expect(count == trades, f"open trades: {count}; expected {trades}, none of them left")
            expect(session.prices_taken >= trades * len(held), f"prices taken: {session.prices_taken}")
            growth = held[-1] - held[min(1, len(held) - 1)]
            expect(growth <= _MOST_GROWTH, f"memory grew by {growth} bytes; expected at most {_MOST_GROWTH}")

        yield Sides(ours, reference, check)


def take(session: Desk, prepared: list[bytes], messages: int) -> float:
    """Hand messages in and return the seconds until the session is done with every price of them."""
    began = time.perf_counter()
    for number in range(messages):
        session.take(prepared[number % _PRICES])
    session.settle()
    return time.perf_counter() - began


@contextmanager
def _session(folder: Path, trades: int) -> Iterator[Desk]:
    with serving() as server, _one_core(), closing(Desk(folder, server.port, trades=trades)) as session:
        for strategy in range(trades):
            session.buy(strategy)
        yield session


def _prepared(session: Desk) -> list[bytes]:
    return [
        message([session.packet(contract, PRICE + 5 * ((number + place) % _PRICES))
                 for place, contract in enumerate(session.contracts)])
        for number in range(_PRICES)
    ]  # fmt: skip


@contextmanager
def _one_core() -> Iterator[None]:
    """Keep this thread, and all it starts, on one core; where the system cannot do that, on any."""
    with ExitStack() as undo:
        if hasattr(os, "sched_setaffinity"):
            before = os.sched_getaffinity(0)
            undo.callback(os.sched_setaffinity, 0, before)
            os.sched_setaffinity(0, {min(before)})
        yield


def _held_bytes() -> int:
    """Return what this process holds of the machine's memory now; Linux alone tells it."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE
    except OSError:
        return 0


def main(seconds: float) -> None:
    build = processes.ROOT / "build"
    build.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ticks-", dir=build) as folder, _session(Path(folder), _TRADES) as session:
        began, ticks = time.monotonic(), 0
        held: list[int] = []
        while (passed := time.monotonic() - began) < seconds:
            # Anew each time: a tick whose trade is minutes old would count as one that nobody trades.
            take(session, _prepared(session), _MESSAGES)
            ticks += _MESSAGES * _TRADES
            held.append(_held_bytes())
            if len(held) % 100 == 0:
                print(f"{passed:.0f} s: {ticks:,} ticks, {held[-1] / 1e6:.1f} MB", flush=True)
        first, most = held[min(9, len(held) - 1)], max(held)
        print(f"{ticks / passed:,.0f} ticks/s, {passed:.0f} s; {first / 1e6:.1f} MB at first, at most {most / 1e6:.1f}")


FIGURES = (
    Figure(
        name="ticks",
        title="a tick with 100 trades open, one core",
        against="KiteTicker parsing the same messages",
        unit="/s",
        repeats=9,
        sides=tick_sides,
        least_rate=20_000,
    ),
)

if __name__ == "__main__":
    main(float(sys.argv[1]))
