"""Candles and prices out of ticks: the same as a plain fold, and none where ticks may be missing."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm_trader.core.candles import MINUTE, Candle, candle_fault
from fsm_trader.kite.ticks import Tick
from fsm_trader.market.kite.live import LiveLimits, LivePrice, LiveTicks
from fsm_trader.market.kite.tick_candles import TickCandles

from .kite_market import INDIA, OPTION, SetClock, at, tick

GAP_S = 10


def candles_of() -> TickCandles:
    return TickCandles(OPTION, INDIA, gap_s=GAP_S, settle_s=3)


def day_of_ticks(steps: list[tuple[int, int, int]]) -> list[Tick]:
    """Return ticks from 10:00:30 on: seconds to the next trade, its price, its units."""
    moment, volume, ticks = at("10:00:30"), 1_000, []
    for seconds, price, units in steps:
        moment, volume = moment + timedelta(seconds=seconds), volume + units
        ticks.append(tick(OPTION, price, moment, volume=volume))
    return ticks


def reference(ticks: list[Tick]) -> list[Candle]:
    """Fold ticks into candles the plain way, the first and the last minute left out."""
    found: list[Candle] = []
    before = ticks[0].volume
    for minute, group in groupby(ticks, key=lambda each: (each.traded_s or 0) // 60):
        these = list(group)
        prices = [each.last for each in these]
        start = datetime.fromtimestamp(60 * minute, INDIA)
        volume = these[-1].volume - before
        found.append(Candle(OPTION, start, prices[0], max(prices), min(prices), prices[-1], volume))
        before = these[-1].volume
    return found[1:-1]


STEPS = st.lists(
    st.tuples(st.integers(0, GAP_S), st.integers(5, 20_000), st.integers(0, 500)), min_size=45, max_size=90
)


@given(STEPS)
def test_candles_from_ticks_are_those_of_a_plain_fold(steps: list[tuple[int, int, int]]) -> None:
    ticks, candles = day_of_ticks(steps), candles_of()

    for each in ticks:
        candles.take(each, float(each.traded_s or 0))

    expected = reference(ticks)
    # Before the minute that runs at the first tick is over nothing is believed, whatever minute a fold would start at.
    now_s = float(ticks[-1].traded_s or 0)
    found = candles.complete(None, now_s)
    assert list(found) == [
        each for each in expected if int(each.start.timestamp()) // 60 >= (candles.covered_from or 0)
    ]
    assert [candle_fault(each) for each in found] == [None] * len(found)


@given(STEPS, st.sets(st.integers(0, 119)))
def test_repeated_and_late_ticks_change_no_candle(steps: list[tuple[int, int, int]], repeated: set[int]) -> None:
    ticks, plain, noisy = day_of_ticks(steps), candles_of(), candles_of()

    for n, each in enumerate(ticks):
        now_s = float(each.traded_s or 0)
        plain.take(each, now_s)
        noisy.take(each, now_s)
        if n in repeated:
            noisy.take(each, now_s)
            noisy.take(tick(OPTION, 1, at("09:15:00")), now_s)

    now_s = float(ticks[-1].traded_s or 0)
    assert noisy.complete(None, now_s) == plain.complete(None, now_s)


def feed(candles: TickCandles, *moments: str, price: int = 100) -> None:
    for moment in moments:
        candles.take(tick(OPTION, price, at(moment)), at(moment).timestamp())


def every(seconds: int, first: str, last: str) -> list[str]:
    moment, found = at(first), []
    while moment <= at(last):
        found.append(f"{moment:%H:%M:%S}")
        moment += timedelta(seconds=seconds)
    return found


def starts(candles: TickCandles, now: str) -> list[str]:
    return [f"{each.start:%H:%M}" for each in candles.complete(None, at(now).timestamp())]


def test_the_minute_under_way_at_the_first_tick_is_not_ours() -> None:
    candles = candles_of()

    feed(candles, *every(5, "10:00:00", "10:02:05"))

    assert starts(candles, "10:02:05") == ["10:01"]
    assert not candles.covers(int(at("10:00:00").timestamp()) // 60, at("10:02:05").timestamp())
    assert candles.covers(int(at("10:01:00").timestamp()) // 60, at("10:02:05").timestamp())


def test_a_hole_in_the_ticks_costs_the_minutes_it_touches() -> None:
    candles = candles_of()

    feed(candles, *every(5, "10:00:00", "10:01:30"), *every(5, "10:01:41", "10:03:01"))

    assert starts(candles, "10:03:01") == ["10:02"]


def test_a_lost_connection_costs_the_minutes_it_touches() -> None:
    candles = candles_of()
    feed(candles, *every(5, "10:00:00", "10:02:00"))
    assert starts(candles, "10:02:00") == ["10:01"]

    candles.lose()
    assert starts(candles, "10:02:01") == []
    assert not candles.covers(int(at("10:05:00").timestamp()) // 60, at("10:02:01").timestamp())

    feed(candles, *every(5, "10:02:02", "10:04:02"))
    assert starts(candles, "10:04:02") == ["10:03"]


def still(candles: TickCandles, traded: str, *moments: str, sent: str | None = None) -> None:
    """Tell ticks without a new trade: the order book moved, the last trade stands."""
    for moment in moments:
        each = tick(OPTION, 100, at(traded), sent=at(sent or moment))
        candles.take(each, at(moment).timestamp())


def test_without_a_later_trade_a_minute_is_over_when_ticks_go_on_past_its_end_and_it_settled() -> None:
    candles = candles_of()
    feed(candles, *every(5, "10:00:00", "10:01:55"))
    still(candles, "10:01:55", "10:02:00", "10:02:02")

    assert starts(candles, "10:02:02") == []
    assert starts(candles, "10:02:03") == ["10:01"]


def test_a_minute_without_a_tick_after_its_end_is_left_to_history() -> None:
    candles = candles_of()
    feed(candles, *every(1, "10:00:00", "10:01:59"))

    assert [starts(candles, now) for now in ("10:02:03", "10:02:09", "10:02:30")] == [[], [], []]


def test_a_tick_that_the_exchange_sent_before_the_minutes_end_does_not_prove_its_end() -> None:
    candles = candles_of()
    feed(candles, *every(5, "10:00:00", "10:01:55"))
    still(candles, "10:01:55", "10:02:01", sent="10:01:59")
    early = starts(candles, "10:02:04")
    still(candles, "10:01:55", "10:02:05")

    assert early == []
    assert starts(candles, "10:02:05") == ["10:01"]


def test_a_socket_that_died_in_the_minute_gives_no_candle_before_the_watchdog_notices() -> None:
    live, clock = live_at("10:00:00")
    for moment in every(1, "10:00:00", "10:01:50"):
        clock.time = at(moment)
        live.ticks([tick(OPTION, 100, at(moment))])
    clock.time = at("10:02:03")

    found = live.candles(OPTION, after=None, now=clock.now())

    assert found == ()


def test_a_minute_whose_last_part_nobody_saw_is_not_ours() -> None:
    candles = candles_of()
    feed(candles, *every(5, "10:00:00", "10:01:45"))

    assert starts(candles, "10:02:10") == []


def test_a_tick_of_a_minute_that_was_given_changes_nothing() -> None:
    candles = candles_of()
    feed(candles, *every(5, "10:00:00", "10:01:55"))
    still(candles, "10:01:55", "10:02:00")
    (given_out,) = candles.complete(None, at("10:02:03").timestamp())

    candles.take(tick(OPTION, 999, at("10:01:58")), at("10:02:04").timestamp())
    feed(candles, *every(5, "10:02:05", "10:03:05"))

    first, second = candles.complete(None, at("10:03:05").timestamp())
    assert first == given_out
    assert (f"{second.start:%H:%M}", second.high) == ("10:02", 100)


def test_a_minute_without_a_trade_has_no_candle() -> None:
    candles = candles_of()
    for moment in every(5, "10:00:00", "10:03:05"):
        traded = at("10:00:50") if at("10:00:50") < at(moment) < at("10:02:10") else at(moment)
        candles.take(tick(OPTION, 100, traded, sent=at(moment)), at(moment).timestamp())

    assert starts(candles, "10:03:05") == ["10:02"]


def test_a_time_from_the_future_hides_nothing_that_comes_after() -> None:
    candles = candles_of()
    feed(candles, *every(5, "10:00:00", "10:01:20"))

    candles.take(tick(OPTION, 100, at("12:00:00")), at("10:01:22").timestamp())
    feed(candles, *every(5, "10:01:25", "10:03:00"))

    assert starts(candles, "10:03:00") == ["10:02"]


def live_at(clock_time: str) -> tuple[LiveTicks, SetClock]:
    clock = SetClock(at(clock_time))
    live = LiveTicks(clock, INDIA, LiveLimits())
    live.watch(OPTION, prices=True)
    live.opened()
    return live, clock


def test_a_price_carries_the_exchanges_time_of_the_trade() -> None:
    live, clock = live_at("10:00:20")
    live.ticks([tick(OPTION, 12_345, at("09:58:07"), sent=at("10:00:20"))])

    price = live.price(OPTION, clock.now())

    assert price is not None
    assert price.price is not None
    assert (price.price.last, price.price.at) == (12_345, at("09:58:07"))


@pytest.mark.parametrize(("later_s", "is_known"), [(10, True), (11, False), (-3600, False)])
def test_a_price_is_known_only_while_its_instrument_ticks(later_s: int, *, is_known: bool) -> None:
    live, clock = live_at("10:00:20")
    live.ticks([tick(OPTION, 100, at("10:00:20"))])

    assert (live.price(OPTION, clock.now() + timedelta(seconds=later_s)) is not None) is is_known


def test_nothing_is_known_after_the_connection_was_lost_until_a_tick_comes() -> None:
    live, clock = live_at("10:00:20")
    live.ticks([tick(OPTION, 100, at("10:00:20"))])

    live.lost("cut", login_required=False)
    after_loss, fault = live.price(OPTION, clock.now()), live.fault
    live.opened()
    after_opening = live.price(OPTION, clock.now())
    live.new_prices()
    live.ticks([tick(OPTION, 100, at("10:00:20"))])

    assert (after_loss, fault, after_opening, live.fault) == (None, "cut", None, "")
    assert live.price(OPTION, clock.now()) is not None
    assert [seen.last for seen in live.new_prices()] == [100]


@pytest.mark.parametrize("traded", [None, at("15:29:59", "2026-11-20")])
def test_a_contract_that_did_not_trade_today_has_no_price(traded: datetime | None) -> None:
    live, clock = live_at("10:00:20")
    live.ticks([tick(OPTION, 100, traded, sent=at("10:00:20"))])

    assert live.price(OPTION, clock.now()) == LivePrice(None)


def test_a_packet_that_does_not_say_when_it_traded_is_no_price() -> None:
    live, clock = live_at("10:00:20")
    live.ticks([Tick(OPTION, 100)])

    assert live.price(OPTION, clock.now()) is None


def test_the_lowest_the_highest_and_the_newest_price_wait_for_the_engine_and_wake_it_once() -> None:
    live, _ = live_at("10:00:20")
    woken: list[int] = []
    live.on_price = lambda: woken.append(1)

    for second, price in enumerate([100, 140, 60, 130, 90]):
        live.ticks([tick(OPTION, price, at(f"10:00:2{second}"))])

    assert [seen.last for seen in live.new_prices()] == [140, 60, 90]
    assert live.new_prices() == ()
    assert woken == [1]


def test_every_price_is_seen_when_the_engine_keeps_up() -> None:
    live, _ = live_at("10:00:20")
    seen: list[int] = []
    live.on_price = lambda: seen.extend(each.last for each in live.new_prices())

    for second, price in enumerate([100, 140, 60, 130, 90]):
        live.ticks([tick(OPTION, price, at(f"10:00:2{second}"))])

    assert seen == [100, 140, 60, 130, 90]


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=60))
def test_no_extreme_is_lost_and_the_newest_comes_last(prices: list[int]) -> None:
    live, clock = live_at("10:00:20")
    for n, price in enumerate(prices):
        live.ticks([tick(OPTION, price, clock.now() + timedelta(seconds=n))])

    found = [seen.last for seen in live.new_prices()]

    assert (min(found), max(found), found[-1]) == (min(prices), max(prices), prices[-1])
    assert len(found) <= 3


def test_an_order_book_that_moves_without_a_trade_wakes_nobody() -> None:
    live, _ = live_at("10:00:20")
    woken: list[int] = []
    live.on_price = lambda: woken.append(1)

    live.ticks([tick(OPTION, 100, at("10:00:20"))])
    live.new_prices()
    live.ticks([tick(OPTION, 100, at("10:00:20"), sent=at("10:00:21"))])

    assert woken == [1]
    assert live.new_prices() == ()


def test_instruments_nobody_watches_leave_nothing_behind() -> None:
    live, clock = live_at("10:00:20")

    live.ticks([tick(token, 100, at("10:00:20")) for token in range(1, 1000)])
    live.forget(OPTION)
    live.ticks([tick(OPTION, 100, at("10:00:21"))])

    assert (live.watched, live.new_prices(), live.price(OPTION, clock.now())) == (frozenset(), (), None)


def test_a_fault_is_told_once_and_again_when_it_comes_back() -> None:
    live, _ = live_at("10:00:20")
    told: list[str] = []
    live.on_fault = told.append

    for _ in range(3):
        live.lost("nobody there", login_required=False)
    live.opened()
    live.lost("nobody there", login_required=True)

    assert told == ["nobody there", "nobody there"]
    assert live.login_required


def test_a_completed_candle_wakes_the_engine_at_the_tick_that_completes_it() -> None:
    live, clock = live_at("10:00:00")
    woken: list[str] = []
    live.on_candle = lambda: woken.append(f"{clock.now():%H:%M:%S}")

    for moment in every(1, "10:00:00", "10:02:02"):
        clock.time = at(moment)
        live.ticks([tick(OPTION, 100, at(moment))])

    assert woken == ["10:02:00"]
    assert [each.start for each in live.candles(OPTION, after=None, now=clock.now())] == [at("10:02:00") - MINUTE]
