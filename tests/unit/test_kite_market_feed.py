"""The live feed: settled candles by history, prices by quote, and the stream where it may be believed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm_trader.core.candles import MINUTE, Candle
from fsm_trader.core.contracts import OptionContract, OptionKind
from fsm_trader.core.money import Paise
from fsm_trader.errors import LoginRequiredError, UnavailableError
from fsm_trader.market.calendar import calendar_for
from fsm_trader.market.kite.answers import read_history, read_quote
from fsm_trader.market.kite.feed import KiteFeed
from fsm_trader.market.kite.instruments import InstrumentStore
from fsm_trader.market.kite.live import LiveTicks

from .kite_market import INDEX, INDIA, OPTION, SYMBOL, NoStream, SetClock, Wire, at, minutes, row, tick

CONTRACT = OptionContract(
    "NFO", SYMBOL, OPTION, "NIFTY", at("00:00:00", "2026-11-24").date(), Paise(2_450_000), OptionKind.CE, 65, 5
)
KEY = f"NFO:{SYMBOL}"


class Bench:
    """A feed with its wire, clock, listener and stream."""

    def __init__(self, now: str, *, streams: bool = False, folder: Path = Path("nowhere")) -> None:
        self.clock = SetClock(at(now))
        self.wire = Wire(self.clock)
        self.live = LiveTicks(self.clock, INDIA) if streams else None
        self.stream = NoStream()
        store = InstrumentStore(self.wire, folder=folder, clock_now=self.clock.now, zone=INDIA)
        self.feed = KiteFeed(
            self.wire, store=store, underlying=INDEX, calendar=calendar_for("NSE"), zone=INDIA, live=self.live
        )
        self.feed.know(CONTRACT)
        if self.live is not None:
            self.feed.start(self.stream)
            self.live.opened()

    def candles(self, *, after: str | None = None, token: int = INDEX.token) -> list[str]:
        moment = None if after is None else at(after)
        return [f"{each.start:%H:%M}" for each in self.feed.candles(token, after=moment, now=self.clock.now())]

    def ticks(self, first: str, last: str, *, token: int = INDEX.token, price: int = 2_450_000) -> None:
        assert self.live is not None
        moment = at(first)
        while moment <= at(last):
            self.clock.time = moment
            self.live.heard()
            self.live.ticks([tick(token, price, moment)])
            moment += timedelta(seconds=1)


def quote(last_price: Any = 101.35, **more: Any) -> dict[str, Any]:
    times = {"last_trade_time": "2026-11-23 10:00:07", "timestamp": "2026-11-23 10:00:09"}
    return {"instrument_token": OPTION, "last_price": last_price, **times, **more}


# By history.


def test_the_running_candle_and_one_that_has_not_settled_are_left_out() -> None:
    bench = Bench("10:05:14")
    bench.wire.rows[INDEX.token] = minutes("09:15", "10:05")

    unsettled = bench.candles(after="10:01:00")
    bench.clock.sleep(1)
    settled = bench.candles(after="10:01:00")

    assert (unsettled, settled) == (["10:02", "10:03"], ["10:02", "10:03", "10:04"])


def test_candles_come_in_order_each_once_of_today_and_of_the_session() -> None:
    bench = Bench("10:00:30")
    today = minutes("09:15", "09:58")
    bench.wire.rows[INDEX.token] = [
        *reversed(today), *today[:3], row("09:59", 105), row("09:07"), row("10:00", day="2026-11-20"), row("15:59"),
    ]  # fmt: skip

    found = bench.feed.candles(INDEX.token, after=None, now=bench.clock.now())

    assert [each.start for each in found] == [at("09:15:00") + n * MINUTE for n in range(45)]
    assert found[-1].close == 10_500
    assert found[0].start.utcoffset() == timedelta(hours=5, minutes=30)


def test_nothing_is_asked_while_no_further_candle_can_be_had() -> None:
    bench = Bench("10:05:14")

    assert bench.candles(after="10:03:00") == []
    assert bench.wire.asked == []


def test_only_what_is_missing_is_asked_for() -> None:
    bench = Bench("10:05:16")
    bench.wire.rows[INDEX.token] = minutes("10:02", "10:05")

    assert bench.candles(after="10:01:00") == ["10:02", "10:03", "10:04"]
    assert bench.wire.asked == [("historical", (INDEX.token, "10:02:00", "10:04:59", "minute"))]


def test_before_the_first_candle_nothing_is_asked_and_after_the_close_nothing_more_comes() -> None:
    early, late = Bench("09:16:14"), Bench("16:30:00")
    late.wire.rows[INDEX.token] = minutes("15:25", "15:50")

    assert early.candles() == []
    assert early.wire.asked == []
    assert late.candles(after="15:30:00")[-1] == "15:39"
    assert late.candles(after="15:39:00") == []


def test_an_index_without_any_candle_long_after_the_opening_is_no_answer() -> None:
    bench = Bench("09:20:00")

    with pytest.raises(UnavailableError, match="no candle though the market opened at 09:15"):
        bench.candles()
    assert bench.candles(token=OPTION) == []


@pytest.mark.parametrize(
    "rows",
    [
        {"candles": None},
        {},
        [],
        None,
        {"candles": ["text"]},
        {"candles": [[1, 2]]},
        {"candles": [row("09:15"), ["2026-11-23T09:16:00", 1, 1, 1, 1, 0]]},
        {"candles": [["yesterday", 1, 1, 1, 1, 0]]},
        {"candles": [["2026-11-23T09:16:00+0530", 1, float("nan"), 1, 1, 0]]},
        {"candles": [["2026-11-23T09:16:00+0530", 1, "1", 1, 1, 0]]},
        {"candles": [["2026-11-23T09:16:00+0530", 1, True, 1, 1, 0]]},
        {"candles": [["2026-11-23T09:16:00+0530", 1, 1, 1, 1, -1]]},
        {"candles": [["2026-11-23T09:16:00+0530", 1, 1, 1, 1, 1.5]]},
    ],
)
def test_a_malformed_history_is_refused_whole(rows: object) -> None:
    with pytest.raises(UnavailableError):
        read_history(rows, INDEX.token, INDIA)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
                    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.sampled_from(
                        ["candles", "last_price", "last_trade_time", "instrument_token"]), inner)))  # fmt: skip
def test_any_json_is_read_or_refused_and_nothing_else_happens(answer: object) -> None:
    for read in (
        lambda: read_history(answer, OPTION, INDIA),
        lambda: read_quote(answer, OPTION, at("10:00:00").date(), INDIA),
    ):
        try:
            read()
        except UnavailableError:
            continue


# By quote.


def test_a_price_is_that_of_the_last_trade_at_its_time() -> None:
    bench = Bench("10:00:10")
    bench.wire.quotes[KEY] = quote()

    seen = bench.feed.price(OPTION, bench.clock.now())

    assert seen is not None
    assert (seen.token, seen.last, seen.at) == (OPTION, 10_135, at("10:00:07"))


@pytest.mark.parametrize(
    "more",
    [
        {"last_trade_time": "2026-11-20 15:29:59"},
        {"last_trade_time": "1970-01-01 05:30:00"},
        {"last_price": 0},
    ],
)
def test_a_contract_that_did_not_trade_today_has_no_price(more: dict[str, Any]) -> None:
    bench = Bench("10:00:10")
    bench.wire.quotes[KEY] = quote(**more)

    assert bench.feed.price(OPTION, bench.clock.now()) is None


@pytest.mark.parametrize(
    "more",
    [
        {"instrument_token": 7},
        {"last_price": None},
        {"last_price": "101"},
        {"last_price": float("inf")},
        {"last_trade_time": "soon"},
        {"last_trade_time": None, "timestamp": None},
    ],
)
def test_a_malformed_quote_is_no_price(more: dict[str, Any]) -> None:
    bench = Bench("10:00:10")
    bench.wire.quotes[KEY] = quote(**more)

    with pytest.raises(UnavailableError, match=f"quote of {OPTION}"):
        bench.feed.price(OPTION, bench.clock.now())


def test_an_instrument_without_a_quote_or_a_name_has_no_price() -> None:
    bench = Bench("10:00:10")

    with pytest.raises(UnavailableError, match="Kite has none"):
        bench.feed.price(OPTION, bench.clock.now())
    with pytest.raises(UnavailableError, match="no contract of today's dump has this token"):
        bench.feed.price(99, bench.clock.now())


def test_one_request_answers_for_all_contracts_and_for_a_second() -> None:
    bench = Bench("10:00:10")
    contracts = [(OPTION + n, f"NFO:C{n}") for n in range(5)]
    for token, key in contracts:
        bench.feed.know(OptionContract("NFO", key[4:], token, "NIFTY", CONTRACT.expiry, Paise(1), OptionKind.CE, 65, 5))
        bench.wire.quotes[key] = quote(instrument_token=token)

    for _ in range(2):
        for token, _ in contracts:
            bench.feed.price(token, bench.clock.now())
        bench.clock.sleep(1)

    assert [about for _, about in bench.wire.asked][-1] == tuple(key for _, key in contracts)
    assert len(bench.wire.asked) == 5 + 1


def test_threads_that_ask_at_once_share_one_request() -> None:
    bench = Bench("10:00:10")
    bench.wire.quotes[KEY] = quote()
    threads = [threading.Thread(target=bench.feed.price, args=(OPTION, bench.clock.now())) for _ in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(bench.wire.asked) == 1


# With the stream.


def test_the_stream_alone_serves_the_candles_it_saw() -> None:
    bench = Bench("09:59:30", streams=True)
    bench.ticks("09:59:30", "10:03:01")

    assert bench.candles(after="09:59:00") == ["10:00", "10:01", "10:02"]
    assert bench.wire.asked == []


def test_history_comes_first_and_the_stream_goes_on_where_it_ends() -> None:
    bench = Bench("09:59:30", streams=True)
    bench.wire.rows[INDEX.token] = minutes("09:15", "10:02", close=100.0)
    bench.ticks("09:59:30", "10:03:01")

    found = bench.feed.candles(INDEX.token, after=None, now=bench.clock.now())

    assert [each.start for each in found] == [at("09:15:00") + n * MINUTE for n in range(48)]
    assert (found[-2].close, found[-1].close) == (10_000, 2_450_000)


def test_a_candle_of_the_stream_waits_for_one_of_the_history_that_is_still_missing() -> None:
    bench = Bench("09:59:30", streams=True)
    bench.wire.rows[INDEX.token] = minutes("09:15", "09:58")
    bench.ticks("09:59:30", "10:01:03")

    early = bench.candles(after="09:57:00")
    bench.ticks("10:01:04", "10:01:20")
    late = bench.candles(after="09:58:00")

    assert early == ["09:58"]
    assert late == ["10:00"]


def test_a_broken_stream_is_replaced_by_history_and_comes_back_without_a_hole_or_a_repeat() -> None:
    bench = Bench("09:59:30", streams=True)
    assert bench.live is not None
    bench.wire.rows[INDEX.token] = minutes("09:15", "10:30")
    taken: list[str] = []

    def poll() -> None:
        taken.extend(bench.candles(after=f"{taken[-1]}:00" if taken else None))

    for minute in range(1, 21):
        first = f"10:{minute:02}:00"
        if minute == 7:
            bench.live.lost("cut", login_required=False)
        if minute == 12:
            bench.live.opened()
        if 7 <= minute < 12:
            bench.clock.time = at(first)
        else:
            bench.ticks(first, f"10:{minute:02}:40")
        poll()
        bench.clock.time = at(f"10:{minute:02}:50")
        poll()

    assert taken == [f"{at('09:15:00') + n * MINUTE:%H:%M}" for n in range(len(taken))]
    assert taken[-1] == "10:19"


def test_a_price_of_the_stream_needs_no_request_and_a_silent_one_does() -> None:
    bench = Bench("10:00:00", streams=True)
    bench.feed.watch(CONTRACT, bench.clock.now())
    bench.wire.quotes[KEY] = quote()
    bench.ticks("10:00:00", "10:00:05", token=OPTION, price=9_900)

    ticking = bench.feed.price(OPTION, bench.clock.now())
    asked = len(bench.wire.asked)
    bench.clock.sleep(11)
    silent = bench.feed.price(OPTION, bench.clock.now())

    assert ticking is not None
    assert silent is not None
    assert (ticking.last, ticking.at, asked) == (9_900, at("10:00:05"), 0)
    assert silent.last == 10_135


def test_what_is_asked_about_is_followed_and_forgotten_when_nobody_asks() -> None:
    bench = Bench("10:00:00", streams=True)
    bench.wire.quotes[KEY] = quote()

    bench.feed.price(OPTION, bench.clock.now())
    followed = bench.stream.watched
    bench.clock.sleep(301)
    bench.feed.watch(CONTRACT, bench.clock.now())
    still = bench.stream.watched
    bench.clock.sleep(301)
    bench.wire.rows[INDEX.token] = minutes("09:15", "10:10")
    bench.candles()

    assert bench.stream.is_started
    assert (followed, still) == (frozenset({INDEX.token, OPTION}),) * 2
    assert bench.stream.watched == {INDEX.token}
    bench.feed.close()
    assert bench.stream.is_closed


def test_prices_of_the_stream_wake_the_engine_for_what_it_holds_and_not_for_the_index() -> None:
    bench = Bench("10:00:00", streams=True)
    woken: list[int] = []
    bench.feed.on_price(lambda: woken.append(1))
    bench.ticks("10:00:00", "10:00:03")
    bench.feed.watch(CONTRACT, bench.clock.now())
    bench.ticks("10:00:04", "10:00:05", token=OPTION, price=9_900)

    assert [seen.last for seen in bench.feed.new_prices()] == [9_900, 9_900]
    assert woken == [1]


def test_the_next_candle_is_now_when_the_stream_has_one_nobody_took_and_polled_for_otherwise() -> None:
    bench = Bench("09:59:30", streams=True)
    bench.wire.rows[INDEX.token] = minutes("09:15", "09:59")
    bench.ticks("09:59:30", "10:00:20")
    polled = bench.feed.next_candle_at(bench.clock.now())
    bench.candles()
    bench.ticks("10:00:21", "10:01:00")
    waiting = bench.feed.next_candle_at(bench.clock.now())
    bench.candles(after="09:59:00")

    assert polled is None
    assert waiting == bench.clock.now()
    assert bench.feed.next_candle_at(bench.clock.now()) is None


def test_faults_and_order_updates_of_the_stream_reach_whoever_wants_them() -> None:
    bench = Bench("10:00:00", streams=True)
    assert bench.live is not None
    told: list[str] = []
    bench.feed.on_fault(told.append)
    bench.feed.on_order_update(lambda: told.append("order"))

    bench.live.order_update()
    bench.live.lost("cut", login_required=False)

    assert told == ["order", "cut"]
    assert bench.feed.fault == "cut"


def test_without_a_stream_hooks_and_new_prices_are_quiet() -> None:
    bench = Bench("10:00:00")
    hooks: list[Callable[[Callable[..., None]], None]] = [
        bench.feed.on_price, bench.feed.on_candle, bench.feed.on_order_update, bench.feed.on_fault,
    ]  # fmt: skip

    for hook in hooks:
        hook(lambda *_: None)

    assert (bench.feed.new_prices(), bench.feed.fault, bench.feed.next_candle_at(bench.clock.now())) == ((), "", None)
    bench.feed.close()


@pytest.mark.parametrize("error", [UnavailableError("no"), LoginRequiredError("log in")])
def test_what_the_wire_says_is_passed_on(error: UnavailableError) -> None:
    bench = Bench("10:00:00")
    bench.wire.fails = error

    for read in (bench.candles, lambda: bench.feed.price(OPTION, bench.clock.now())):
        with pytest.raises(type(error)):
            read()


def test_a_candle_keeps_its_paise_exactly() -> None:
    (candle,) = read_history({"candles": [["2026-11-23T09:15:00+0530", 0.1, 100.05, 0.05, 0.3, 7]]}, 1, INDIA)

    assert candle == Candle(1, at("09:15:00"), Paise(10), Paise(10_005), Paise(5), Paise(30), 7)
