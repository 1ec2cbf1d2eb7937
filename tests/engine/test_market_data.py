"""What a feed may do to us: unusable candles are journaled and skipped, silence is noticed, nothing crashes."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest
from msgspec.structs import replace

from fsm_trader.core.candles import Candle, PriceSeen
from fsm_trader.core.orders import Role
from fsm_trader.core.records import AlarmRaised, CandlesSeen, EntryBlocked, InputRefused, SignalSeen

from .bench import BUY, EXIT, Bench
from .given import session, strategy
from .market import CALL, INDEX, SPOT, Outage, ScriptedMarket, at, minute_candle, path


def refused(day: Bench) -> list[str]:
    return [row.why for row in day.rows(InputRefused)]


def seen_minutes(day: Bench) -> list[str]:
    return [f"{candle.start:%H:%M}" for row in day.rows(CandlesSeen) for candle in row.candles if candle.token == INDEX]


def spoilt(**values: object) -> Candle:
    return replace(minute_candle(INDEX, at("09:30"), SPOT), **values)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"close": math.nan}, "expected whole paise"),
        ({"low": 0}, "expected all above zero"),
        ({"close": -1, "low": -1}, "expected all above zero"),
        ({"low": SPOT + 5}, "do not enclose"),
        ({"high": math.inf}, "expected whole paise"),
        ({"high": SPOT - 5}, "do not enclose"),
    ],
)
def test_an_unusable_candle_is_journaled_once_and_gives_no_signal(bench, values, words):
    market = ScriptedMarket(index=[spoilt(**values)])
    day = bench({"09:30": BUY, "09:40": BUY}, market=market).run()

    told = [why for why in refused(day) if words in why]
    assert len(told) == 1
    assert "09:30" not in seen_minutes(day)
    assert [f"{row.candle_start:%H:%M}" for row in day.rows(SignalSeen)] == ["09:40"]


def test_a_missing_minute_is_journaled_and_the_day_goes_on(bench):
    day = bench({"09:40": BUY}, market=ScriptedMarket(no_candles=[("09:30", "09:31")])).run()

    assert [why for why in refused(day) if "gap of 1 missing minute" in why] != []
    assert len(day.trades) == 1


def test_a_candle_told_twice_counts_once(bench):
    market = ScriptedMarket(late=[("09:32", minute_candle(INDEX, at("09:30"), SPOT))])
    day = bench({"09:30": BUY, "09:35": EXIT}, market=market).run()

    assert len(day.trades) == 1
    assert seen_minutes(day).count("09:30") == 1
    assert refused(day) == []


def test_a_candle_revised_later_keeps_its_first_values_and_its_one_signal(bench):
    market = ScriptedMarket(late=[("09:32", minute_candle(INDEX, at("09:30"), SPOT + 500))])
    day = bench({"09:30": BUY, "09:33": EXIT}, market=market).run()

    assert len(day.trades) == 1
    assert len([why for why in refused(day) if "came again with other values" in why]) == 1
    assert seen_minutes(day).count("09:30") == 1


def test_a_candle_that_comes_after_a_later_one_is_skipped_with_its_signal(bench):
    market = ScriptedMarket(no_candles=[("09:30", "09:31")], late=[("09:35", minute_candle(INDEX, at("09:30"), SPOT))])
    day = bench({"09:30": BUY}, market=market).run()

    assert day.trades == []
    assert len([why for why in refused(day) if "is older than the newest accepted one" in why]) == 1


def test_a_candle_that_still_forms_gives_no_signal_until_it_is_complete(bench):
    # A careless feed tells the candle of 09:30 when it begins.
    market = ScriptedMarket(
        no_candles=[("09:30", "09:31")], late=[("09:30:01", minute_candle(INDEX, at("09:30"), SPOT))]
    )
    day = bench({"09:30": BUY}, market=market).run()

    assert [f"{trade.opened_at:%H:%M:%S}" for trade in day.trades] == ["09:31:00"]
    assert len([why for why in refused(day) if "is not complete yet" in why]) == 1


def test_a_buy_on_candles_that_come_in_a_bunch_is_followed_on_the_newest_only(bench):
    # Silence from 09:30 to 09:32:30; then two candles at once, and the BUY is on the first.
    market = ScriptedMarket(outages=[Outage(INDEX, "09:31", "09:32:30")])
    seldom = session(health_interval=timedelta(minutes=5))
    day = bench({"09:30": BUY, "09:31": BUY}, market=market, session=seldom).run()

    assert [f"{trade.candle_start:%H:%M}" for trade in day.trades] == ["09:31"]
    (row,) = day.rows(EntryBlocked)
    assert "known only after a later one" in row.reasons[0]


def test_an_exit_on_an_older_candle_of_a_bunch_is_followed(bench):
    market = ScriptedMarket(outages=[Outage(INDEX, "09:40", "09:48")])
    day = bench({"09:30": BUY, "09:40": EXIT, "09:45": BUY}, market=market).run()

    assert day.trades[0].exit_reason == "strategy_exit"
    assert f"{day.trades[0].orders_of(Role.EXIT)[0].intended_at:%H:%M}" == "09:48"


def test_a_five_minute_strategy_is_asked_when_its_candle_is_complete(bench):
    day = bench({"09:30": BUY}, strategies=[strategy(interval_s=300)]).run()

    assert [f"{trade.opened_at:%H:%M:%S}" for trade in day.trades] == ["09:35:00"]


def test_an_option_without_a_price_raises_an_alarm_and_is_asked_on(bench):
    market = ScriptedMarket(path(("09:45", 8000)), outages=[Outage(CALL.token, "09:35", "09:40")])
    day = bench({"09:30": BUY}, market=market).run()

    alarms = [alarm.text for alarm in day.rows(AlarmRaised)]
    assert any(text.startswith(f"price of instrument {CALL.token}: no usable answer 3 times") for text in alarms)
    assert (day.trade.exit_reason, f"{day.trade.since:%H:%M}") == ("stop_loss", "09:45")


def test_a_stop_that_was_touched_while_the_feed_was_silent_is_followed_when_it_speaks_again(bench):
    market = ScriptedMarket(
        path(("09:37:10", 8000), ("09:37:40", 10000)), outages=[Outage(CALL.token, "09:35", "09:40")]
    )
    day = bench({"09:30": BUY}, market=market).run()

    assert (day.trade.exit_reason, f"{day.trade.since:%H:%M}") == ("stop_loss", "09:40")


def test_the_holding_time_ends_while_the_feed_is_silent(bench):
    day = bench({"09:30": BUY}, market=ScriptedMarket(outages=[Outage(CALL.token, "09:35", "10:30")])).run()

    assert day.trade.exit_reason == "max_hold"


@pytest.mark.parametrize("last", [0, -5, math.nan, None])
def test_a_price_that_is_none_sells_nothing(bench, last):
    day = bench({"09:30": BUY})
    price = day.market.price

    def broken(token, now):
        good = price(token, now)
        if not at("09:35") <= now < at("09:40"):
            return good
        return None if last is None else PriceSeen(token, last, good.at)

    day.market.price = broken
    day.run()

    assert day.trade.exit_reason == "max_hold"
    assert any("no usable answer 3 times in a row" in alarm.text for alarm in day.rows(AlarmRaised))


def test_a_price_of_another_instrument_is_no_price_of_ours(bench):
    day = bench({"09:30": BUY}, market=ScriptedMarket(path(("09:45", 8000))))
    price = day.market.price
    day.market.price = lambda token, now: (
        PriceSeen(1, 1, now) if at("09:35") <= now < at("09:40") else price(token, now)
    )
    day.run()

    # Nobody sold at 0.01, and the price was asked for on: the stop of 09:45 was seen by a look, not by a candle.
    assert (day.trade.exit_reason, f"{day.trade.orders_of(Role.EXIT)[0].intended_at:%H:%M:%S}") == (
        "stop_loss",
        "09:45:00",
    )


def test_a_feed_without_any_candle_of_the_index_takes_no_entry_and_ends_the_day(bench):
    day = bench({"09:30": BUY}, market=ScriptedMarket(outages=[Outage(INDEX, "09:00", "15:30")])).run()

    assert day.broker.placed == []
    assert day.ledger.state == "CLOSED"


def test_a_strategy_that_fails_says_nothing_more_and_its_trade_is_managed(bench):
    day = bench({"09:30": BUY, "09:50": BUY})

    class Failing:
        warmup = 0

        def update(self, candle):
            if candle.start == at("09:40"):
                raise ZeroDivisionError("somebody else's defect")
            return BUY if candle.start in (at("09:30"), at("09:50")) else 0

    day.trader.candles._seats[0]._strategy = Failing()
    day.run()

    assert [trade.exit_reason for trade in day.trades] == ["max_hold"]
    assert [alarm.text for alarm in day.rows(AlarmRaised) if "somebody else's defect" in alarm.text] != []
