"""Nothing is bought at a price nobody has paid for a while: the option's last trade is looked at first (I12)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from fsm_trader.core.candles import PriceSeen
from fsm_trader.core.events import Asked, PriceRead
from fsm_trader.core.limits import age_block
from fsm_trader.core.money import Paise
from fsm_trader.core.records import EntryBlocked, OrderIntended, SignalSeen
from fsm_trader.engine.entries import PRICE_WITHIN

from .bench import BUY, EXIT, Bench
from .given import risk, session, strategy
from .market import CALL, Outage, ScriptedMarket, at

IN = {"09:30": BUY, "09:35": EXIT}
SYMBOL = CALL.tradingsymbol


def stamped(day: Bench, when: str) -> Bench:
    """Let the option have traded at this moment last, for ever."""
    day.market.price = lambda token, _now: PriceSeen(token, Paise(10000), at(when))
    return day


def blocked(day: Bench) -> list[tuple[str, tuple[str, ...]]]:
    return [(when, row.reasons) for when, row in day.timed(EntryBlocked)]


class SlowPrices:
    """Does every job at once but the reading of a price at *asked*, whose answer comes at *answered* or never."""

    def __init__(self, day: Bench, asked: str, answered: str | None) -> None:
        self._inner = day.floor.worker
        self._slow: list[object] = []
        truly = day.floor.effects.read_price

        def read_price(token: int):
            job = truly(token)
            if day.clock.now() == at(asked):
                self._slow.append(job)
            return job

        day.floor.worker, day.floor.effects.read_price = self, read_price
        if answered is not None:
            price = PriceRead(PriceSeen(CALL.token, Paise(10000), at(answered)))
            day.plan_event(answered, price)

    def submit(self, job) -> None:
        if job not in self._slow:
            self._inner.submit(job)

    def turn_ended(self) -> None:
        self._inner.turn_ended()


def test_an_option_that_did_not_trade_for_a_while_is_not_bought(bench):
    day = stamped(bench(IN), "09:28:29").run()

    assert day.trades == []
    assert day.broker.placed == []
    reason = f"{SYMBOL} was last traded at 09:28:29, 151 s ago; an entry needs a trade within 150 s"
    assert blocked(day) == [("09:31:00", (reason,))]


def test_an_option_that_traded_just_within_the_limit_is_bought(bench):
    day = stamped(bench(IN), "09:28:30")
    day.market.price = lambda token, now: PriceSeen(token, Paise(10000), at("09:28:30") if now <= at("09:31") else now)

    assert day.run().trade.state == "CLOSED"


def test_an_option_that_did_not_trade_today_is_not_bought(bench):
    day = bench(IN)
    day.market.price = lambda _token, _now: None

    day.run()

    assert blocked(day) == [("09:31:00", (f"no price of {SYMBOL}: no price yet today",))]


def test_a_price_that_cannot_be_read_is_asked_for_again_and_the_entry_follows(bench):
    market = ScriptedMarket(outages=[Outage(CALL.token, "09:30:59", "09:31:01")])
    day = bench(IN, market=market).run()

    assert day.timed(OrderIntended)[0][0] == "09:31:01"
    assert day.trade.state == "CLOSED"


def test_a_price_that_stays_away_is_a_reason_in_the_journal_and_no_trade(bench):
    market = ScriptedMarket(outages=[Outage(CALL.token, "09:30:59", "09:32")])
    day = bench(IN, market=market).run()

    assert day.trades == []
    assert blocked(day) == [
        ("09:31:01", (f"no price of {SYMBOL}: scripted market: token {CALL.token} gives no answer",))
    ]


def test_an_entry_whose_price_never_comes_is_given_up_and_the_next_signal_may_enter(bench):
    day = bench({"09:30": BUY, "09:31": BUY, "09:35": EXIT})
    SlowPrices(day, "09:31", None)
    day.run()

    assert [when for when, _ in day.timed(SignalSeen)][:2] == ["09:31:00", "09:32:00"]
    assert blocked(day) == [("09:31:25", (f"no price of {SYMBOL} within 20 s",))]
    assert [f"{trade.opened_at:%H:%M:%S}" for trade in day.trades] == ["09:32:00"]


@pytest.mark.parametrize(("answered", "opens"), [("09:31:20", True), ("09:31:20.001", False)])
def test_an_answer_counts_within_its_time_only(bench, answered, opens):
    day = bench(IN)
    SlowPrices(day, "09:31", answered)
    day.run()

    assert PRICE_WITHIN.total_seconds() == 20
    assert bool(day.trades) is opens
    assert [reasons for _, reasons in blocked(day)] == ([] if opens else [(f"no price of {SYMBOL} within 20 s",)])


def test_the_window_is_looked_at_again_when_the_price_is_there(bench):
    # The other trade keeps the session open beyond the window.
    hours = session(trading=session().trading.__class__(at("09:20").time(), at("09:31:10").time()))
    pair = [strategy("holds"), strategy("waits")]
    scripts = {"holds": {"09:29": BUY}, "waits": IN}
    day = bench(scripts, strategies=pair, limits=risk(max_open_trades=2), session=hours)
    SlowPrices(day, "09:31", "09:31:15")
    day.run()

    assert [trade.strategy for trade in day.trades] == ["holds"]
    assert blocked(day) == [("09:31:15", ("outside the trading window",))]


def test_a_halt_counts_though_it_came_after_the_signal(bench):
    day = bench(IN)
    SlowPrices(day, "09:31", "09:31:15")
    day.plan_event("09:31:10", Asked("halt")).run()

    assert day.trades == []
    assert blocked(day)[0][0] == "09:31:15"
    assert "halted by a person until resume" in blocked(day)[0][1]


def test_the_limits_are_looked_at_again_when_the_price_is_there(bench):
    # Both strategies may enter when they ask, and only one of them when the answers are there.
    pair = [strategy("one"), strategy("two")]
    day = bench({"one": IN, "two": IN}, strategies=pair, limits=risk(max_open_trades=1)).run()

    assert [trade.strategy for trade in day.trades] == ["one"]
    assert blocked(day) == [("09:31:00", ("1 of at most 1 trades are open",))]


def test_what_is_blocked_anyway_costs_no_reading_of_a_price(bench):
    day = bench(IN, limits=risk(max_daily_loss_paise=0))
    asked: list[object] = []
    day.market.price = lambda _token, _now: asked.append(1)

    day.run()

    assert (day.trades, asked) == ([], [])


@pytest.mark.parametrize(("traded", "says"), [("09:28:30", False), ("09:28:29.999", True), ("09:32", False)])
def test_the_age_of_a_trade_is_counted_to_the_microsecond(traded, says):
    words = age_block("X", at(traded), at("09:31"), timedelta(seconds=150))

    assert bool(words) is says
