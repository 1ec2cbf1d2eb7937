"""Our own live market data, dump checks and stream over the sandbox: the halves fit."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from fsm_trader.core.settings import UnderlyingSettings
from fsm_trader.errors import LoginRequiredError, UnavailableError
from fsm_trader.kite.budgets import Budgets
from fsm_trader.kite.stream import StreamLimits, TickStream
from fsm_trader.kite.wire import KiteWire
from fsm_trader.market.calendar import calendar_for
from fsm_trader.market.kite.feed import KiteFeed
from fsm_trader.market.kite.instruments import InstrumentStore
from fsm_trader.market.kite.live import LiveTicks
from fsm_trader.ops.clock import VirtualClock

from .conftest import LONGEST_S, SYMBOL

INDIA = ZoneInfo("Asia/Kolkata")
NIFTY = UnderlyingSettings("NIFTY", "NIFTY 50", "NSE", 256265)


class Bench:
    """A feed and a sandbox on one clock."""

    def __init__(self, sandbox, folder, start: str, *, streaming: bool = False) -> None:
        self.sandbox = sandbox
        moment = sandbox.at(start)
        began_s = sandbox.hand.seconds

        def follow(now: datetime) -> None:
            sandbox.hand.seconds = began_s + (now - moment).total_seconds()

        self.clock = VirtualClock(moment.astimezone(INDIA), follow)
        self.wire = KiteWire(
            root=f"http://{sandbox.address}",
            api_key="sandboxkey000001",
            token=lambda: sandbox.token,
            timeout=timedelta(seconds=2),
            clock=self.clock,
            budgets=Budgets(self.clock),
            warm_after=None,
        )
        store = InstrumentStore(self.wire, folder=folder, clock_now=self.clock.now, zone=INDIA)
        self.live = LiveTicks(self.clock, INDIA) if streaming else None
        self.feed = KiteFeed(
            self.wire, store=store, underlying=NIFTY, calendar=calendar_for("NSE"), zone=INDIA, live=self.live
        )
        if streaming:
            self.feed.start(
                TickStream(
                    root=f"ws://{sandbox.address}",
                    api_key="sandboxkey000001",
                    token=lambda: sandbox.token,
                    listener=self.live,
                    limits=StreamLimits(),
                )
            )

    def until(self, seen) -> None:
        """Let the day pass slowly enough for the stream to follow, until something is seen."""
        pause = threading.Event()
        for _ in range(int(LONGEST_S / 0.02)):
            if seen():
                return
            self.clock.sleep(0.5)
            pause.wait(0.02)
        raise AssertionError(f"not seen within {LONGEST_S} s; stream: {self.feed.fault!r}")

    def close(self) -> None:
        self.feed.close()
        self.wire.close()


@pytest.fixture
def bench(tmp_path):
    made: list[Bench] = []

    def make(sandbox, start, **given) -> Bench:
        made.append(Bench(sandbox, tmp_path / "dumps", start, **given))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_candles_prices_and_contracts_are_those_of_the_day(sandbox_with, bench):
    sandbox = sandbox_with()
    over = bench(sandbox, "10:00:30")
    day = sandbox.service.kite.exchange.day
    now = over.clock.now()

    candles = over.feed.candles(NIFTY.token, after=None, now=now)
    contracts = over.feed.contracts("NIFTY", now.date())
    price = over.feed.price(contracts[0].token, now)

    assert [(candle.start, candle.open, candle.high, candle.low, candle.close) for candle in candles] == [
        (candle.start, candle.open, candle.high, candle.low, candle.close)
        for candle in day.candles(NIFTY.token, after=None, now=now)
    ]
    assert contracts == day.contracts
    shown = sandbox.service.kite.exchange.tape(contracts[0].token).at(now)
    assert (price.last, price.at) == (shown.last, shown.at)


def test_half_a_dump_and_an_empty_history_are_not_believed(sandbox_with, bench):
    sandbox = sandbox_with('{kind: half_dump, from: "10:00"}', "{kind: empty_history}")
    over = bench(sandbox, "10:00:30")
    now = over.clock.now()

    with pytest.raises(UnavailableError):
        over.feed.contracts("NIFTY", now.date())
    with pytest.raises(UnavailableError):
        over.feed.candles(NIFTY.token, after=None, now=now)


def test_a_dead_token_is_told_as_a_login_that_is_needed(sandbox_with, bench):
    sandbox = sandbox_with('{kind: token_death, from: "10:00"}')
    over = bench(sandbox, "10:00:30")

    with pytest.raises(LoginRequiredError):
        over.feed.candles(NIFTY.token, after=None, now=over.clock.now())


def test_the_stream_gives_the_prices_and_candles_of_the_day(sandbox_with, bench):
    sandbox = sandbox_with()
    over = bench(sandbox, "10:00:30", streaming=True)
    exchange = sandbox.service.kite.exchange
    token = exchange.contracts[SYMBOL].token

    over.until(lambda: over.feed.fault == "")
    over.live.watch(token, prices=True)
    over.feed._stream.watch(over.live.watched)
    over.until(lambda: over.live.price(token, over.clock.now()) is not None)
    minutes: list[datetime] = []

    def has_a_whole_minute() -> bool:
        now = over.clock.now()
        minutes[:] = [now.replace(second=0, microsecond=0) - timedelta(minutes=1)]
        return now.second > 5 and over.live.covers(NIFTY.token, minutes[0], now)

    over.until(has_a_whole_minute)

    (built,) = over.live.candles(NIFTY.token, after=minutes[0] - timedelta(minutes=1), now=over.clock.now())
    (real,) = exchange.day.candles(NIFTY.token, after=minutes[0] - timedelta(minutes=1), now=over.clock.now())
    assert (built.start, built.open, built.high, built.low, built.close) == (
        real.start,
        real.open,
        real.high,
        real.low,
        real.close,
    )
