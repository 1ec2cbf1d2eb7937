"""A defect stays where it is: it costs an observer, a step or a trade, and never the care of another position."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from fsm_trader.broker.paper.faults import FaultPlan, OrderFault
from fsm_trader.core.candles import PriceSeen
from fsm_trader.core.events import StopAsked
from fsm_trader.core.money import Paise
from fsm_trader.core.orders import Role, Side
from fsm_trader.core.records import AlarmRaised, TradeMoved
from fsm_trader.engine import loop
from fsm_trader.machines.load import parse_machine
from fsm_trader.machines.run import Machine

from .bench import BUY, EXIT, builtin
from .given import risk, strategy
from .market import CALL, LOT, ScriptedMarket, at, path

DAY_WITH_A_TRADE = {"09:30": BUY, "09:39": EXIT}


class Breaks:
    """An observer that raises when it is told of the row with a certain number, and of any later one."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.told = 0

    def committed(self, entries, _ledger):
        self.told += 1
        if entries[-1].seq >= self.number:
            raise UnicodeEncodeError("ascii", "₹", 0, 1, "a screen that cannot show it")

    def passed(self, _now):
        return


@pytest.mark.parametrize("number", range(1, 60, 2))
def test_an_observer_that_fails_at_any_row_costs_no_order(bench, number):
    broken = Breaks(number)
    day = bench(DAY_WITH_A_TRADE)
    day.observers = (broken,)
    day.reboot().run()

    assert day.trade.state == "CLOSED"
    assert (day.orders(Role.ENTRY), day.orders(Role.EXIT)) == (1, 1)


def test_an_observer_that_failed_is_told_nothing_more(bench):
    broken = Breaks(5)
    day = bench(DAY_WITH_A_TRADE)
    day.observers = (broken,)
    day.reboot().run()

    rows_told = broken.told
    assert 0 < rows_told < len(day.entries) / 2


def test_a_defect_in_one_trade_leaves_the_other_its_stop(bench):
    day = bench(
        {"one": {"09:30": BUY}, "two": {"09:30": BUY}},
        strategies=(strategy("one"), strategy("two", exits=strategy().exits)),
        limits=risk(max_open_trades=2),
        market=ScriptedMarket(path(("09:40", 7000))),
    )
    step = day.trader.trades.step

    def broken(trade, trigger, **facts):
        if trade.strategy == "one" and at("09:35") <= day.clock.now() < at("09:50"):
            raise ZeroDivisionError("a defect met by one trade only")
        step(trade, trigger, **facts)

    day.trader.trades.step = broken
    day.run(fault="a step of 20260617-001 failed with ZeroDivisionError: a defect met by one trade only")

    stops = {row.trade_id: when for when, row in day.timed(TradeMoved) if row.reason == "stop_loss"}
    assert stops["20260617-002"] == "09:40:00"
    assert stops["20260617-001"] >= "09:50:00"
    assert [trade.state for trade in day.trades] == ["CLOSED", "CLOSED"]


def test_a_price_from_before_the_entry_is_no_reason_to_leave(bench):
    day = bench(DAY_WITH_A_TRADE)
    old, truly = PriceSeen(CALL.token, Paise(7000), at("09:20")), day.market.price
    # Fresh while the entry asks for it, old from then on.
    day.market.price = lambda token, now: truly(token, now) if now <= at("09:31") else old

    day.run()

    assert day.trade.exit_reason == "strategy_exit"


def test_a_held_contract_that_does_not_trade_raises_one_alarm(bench):
    day = bench({"09:30": BUY})
    day.market.price = lambda token, now: PriceSeen(token, Paise(10000), min(now, at("09:35")))

    day.run()

    frozen = [(when, row.text) for when, row in day.timed(AlarmRaised) if "last traded at 09:35:00" in row.text]
    assert len(frozen) == 1
    assert frozen[0][0] == "09:37:35"


def test_an_alarm_on_a_step_that_stays_is_raised(bench):
    text = builtin("session").text.replace(
        "SQUARING_OFF], dest: null, after: check_health}", "SQUARING_OFF], dest: null, after: [check_health, alarm]}"
    )
    assert text != builtin("session").text
    day = bench({})
    day.floor.session_machine = Machine(parse_machine(text, kind="session", source="mine"))

    day.run()

    assert len(day.rows(AlarmRaised)) > 10


def test_a_stop_found_in_a_candle_is_journaled_with_the_low_that_reached_it(bench):
    dip = path(("09:40:21", 7500), ("09:40:22", 10000))
    day = bench({"09:30": BUY}, market=ScriptedMarket(dip))
    truly = day.market.price
    day.market.price = lambda token, now: truly(token, now) if now <= at("09:31") else None

    day.run()

    (stop,) = [row for row in day.rows(TradeMoved) if row.reason == "stop_loss"]
    assert stop.price_paise == 7500


def test_a_trade_whose_definition_is_lost_needs_a_person_and_others_go_on(bench):
    day = bench(
        {"one": {"09:30": BUY}, "two": {"09:36": BUY}},
        strategies=(strategy("one"), strategy("two")),
        limits=risk(max_open_trades=2),
        market=ScriptedMarket(path(("09:40", 7000))),
    )

    def lose() -> None:
        trade = day.ledger.trades["20260617-001"]
        day.ledger._put(replace(trade, machine="0" * 64))

    day.plan_action("09:38", lose)
    day.plan_event("09:50", StopAsked("the end of this test"))
    day.begin()
    loop.run(day.trader, inbox=day.inbox, clock=day.clock)

    assert day.ledger.trades["20260617-002"].exit_reason == "stop_loss"
    assert any("needs a person" in row.text for row in day.rows(AlarmRaised))
    assert sum(fill.quantity for fill in day.fills(Side.SELL)) == LOT
    assert day.clock.now() - at("09:50") < timedelta(seconds=5)


def test_readings_that_cannot_begin_end_the_entries_and_not_the_care_of_what_is_held(bench, monkeypatch):
    day = bench({"09:30": BUY}, market=ScriptedMarket(path(("09:40", 7000))))
    failing = [at("09:33")]

    def turn_ended() -> None:
        if failing and day.clock.now() >= failing[0]:
            failing.pop()
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(day.floor.worker, "turn_ended", turn_ended)
    fault = "a step failed with RuntimeError: can't start new thread"
    day.run(fault=fault)

    assert failing == []
    assert (day.trade.state, day.trade.exit_reason) == ("CLOSED", "stop_loss")


def test_a_position_that_cannot_be_left_ends_the_day_after_the_close_with_an_alarm(bench):
    refused = FaultPlan(orders=(OrderFault(kind="refuse", tags="FT??????001X*", attempts=99),))
    day = bench({"09:30": BUY}, faults=refused)
    day.plan = replace(day.plan, closes_at=at("10:20"))
    day.reboot().run(stopped=True)

    assert day.clock.now() < at("10:26")
    assert day.trader.stop_reason == "the market closed with a position open"
    assert day.rows(AlarmRaised)[-1].text.endswith("20260617-001 (75 units) is still open. It needs a person.")
