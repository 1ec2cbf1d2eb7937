"""Risk limits on whole days: each blocks an entry with its reason in the journal, and none ever blocks an exit."""

from __future__ import annotations

import pytest

from fsm_trader.broker.paper.faults import FaultPlan, OrderFault
from fsm_trader.core.contracts import OptionKind
from fsm_trader.core.orders import Role
from fsm_trader.core.records import EntryBlocked
from fsm_trader.core.settings import OptionRule

from .bench import BUY, EXIT, Bench
from .given import exits, risk, strategy
from .market import CALL, PUT, ScriptedMarket, path

BARE = exits(stop=None, target=None, max_hold=None)


def blocked(day: Bench) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(row.strategy, f"{row.candle_start:%H:%M}", row.reasons) for row in day.rows(EntryBlocked)]


def test_trades_of_several_strategies_run_beside_each_other_up_to_the_limit(bench):
    names = ("one", "two", "three")
    market = ScriptedMarket(path(("09:45", 8000)))
    day = bench(
        {name: {"09:30": BUY} for name in names},
        strategies=[strategy(name) for name in names],
        limits=risk(max_open_trades=2),
        market=market,
    ).run()

    assert [(trade.strategy, trade.exit_reason) for trade in day.trades] == [("one", "stop_loss"), ("two", "stop_loss")]
    assert blocked(day) == [("three", "09:30", ("2 of at most 2 trades are open",))]


def test_trades_of_two_contracts_leave_each_at_its_own_price(bench):
    put = OptionRule(kind=OptionKind.PE, strike="nearest", expiry="nearest")
    day = bench(
        {"call": {"09:30": BUY}, "put": {"09:30": BUY}},
        strategies=[strategy("call"), strategy("put", option=put)],
        limits=risk(max_open_trades=2),
        market=ScriptedMarket({**path(("09:40", 13100)), PUT.token: path(("09:45", 7900))[CALL.token]}),
    ).run()

    assert {trade.strategy: (trade.contract, trade.exit_reason) for trade in day.trades} == {
        "call": (CALL, "target"),
        "put": (PUT, "stop_loss"),
    }


def test_one_strategy_holds_one_trade_at_a_time(bench):
    day = bench({"09:30": BUY, "09:31": BUY}, limits=risk(max_open_trades=5)).run()

    assert len(day.trades) == 1
    assert blocked(day) == [("one", "09:31", ("the strategy has an open trade",))]


def test_no_more_trades_are_opened_in_a_day_than_allowed_and_failed_ones_count(bench):
    faults = FaultPlan(orders=(OrderFault(kind="refuse", tags="FT??????001E*"),))
    signals = {"09:30": BUY, "09:32": BUY, "09:34": EXIT, "09:36": BUY}
    day = bench(signals, limits=risk(max_trades_per_day=2), faults=faults).run()

    assert [trade.state for trade in day.trades] == ["FAILED", "CLOSED"]
    assert blocked(day) == [("one", "09:36", ("2 of at most 2 trades a day were opened",))]


def test_a_loss_that_was_made_ends_entries_for_the_day(bench):
    # 75 units lose 20.20 rupees each and pay about 50 in charges: some 1,565 rupees.
    market = ScriptedMarket(path(("09:35", 8000), ("09:40", 10000)))
    day = bench({"09:30": BUY, "09:45": BUY}, market=market, limits=risk(max_daily_loss_paise=150_000)).run()

    assert len(day.trades) == 1
    ((_, when, (reason,)),) = blocked(day)
    assert when == "09:45"
    assert reason.startswith("today stands at -1,5")
    assert reason.endswith("the most that may be lost is 1,500.00")


def test_a_loss_that_is_not_realised_yet_blocks_an_entry_and_not_the_exit(bench):
    pair = [strategy("one", exits=BARE), strategy("two")]
    day = bench(
        {"one": {"09:30": BUY, "09:50": EXIT}, "two": {"09:40": BUY}},
        strategies=pair,
        market=ScriptedMarket(path(("09:35", 5000))),
        limits=risk(max_open_trades=2, max_daily_loss_paise=300_000),
    ).run()

    assert [trade.exit_reason for trade in day.trades] == ["strategy_exit"]
    assert blocked(day)[0][2][0].startswith("today stands at -3,7")


def test_a_loss_below_the_limit_blocks_nothing(bench):
    market = ScriptedMarket(path(("09:35", 8000), ("09:40", 10000)))
    day = bench({"09:30": BUY, "09:45": BUY}, market=market, limits=risk(max_daily_loss_paise=200_000)).run()

    assert len(day.trades) == 2


def test_orders_are_kept_back_for_exits(bench):
    # Two orders a trade, one for the next and four kept for its end: 0 + 5, 2 + 5, but not 4 + 5 of at most 7.
    signals = {"09:30": BUY, "09:32": EXIT, "09:34": BUY, "09:36": EXIT, "09:38": BUY}
    day = bench(signals, limits=risk(max_orders_per_day=7)).run()

    assert len(day.trades) == 2
    reason = "4 of at most 7 orders a day were sent, 1 would be, and 4 are kept for exits"
    assert blocked(day) == [("one", "09:38", (reason,))]


def test_an_exit_in_trouble_may_send_more_orders_than_the_day_allows(bench):
    faults = FaultPlan(orders=(OrderFault(kind="refuse", tags="FT??????001X0[1-7]*"),))
    day = bench({"09:30": BUY, "09:39": EXIT}, limits=risk(max_orders_per_day=5), faults=faults).run()

    assert day.trade.state == "CLOSED"
    assert len(day.trade.orders_of(Role.EXIT)) == 8


def test_entries_of_one_second_are_held_to_the_limit_of_the_broker(bench):
    names = ("one", "two", "three")
    day = bench(
        {name: {"09:30": BUY} for name in names},
        strategies=[strategy(name) for name in names],
        limits=risk(max_open_trades=3, max_orders_per_second=2),
    ).run()

    assert [trade.strategy for trade in day.trades] == ["one", "two"]
    assert blocked(day) == [("three", "09:30", ("2 of at most 2 orders were sent within a second",))]


@pytest.mark.parametrize(
    "limit", ["max_open_trades", "max_trades_per_day", "max_daily_loss_paise", "max_orders_per_day"]
)
def test_limits_that_are_lowered_while_a_trade_is_open_do_not_keep_it_in(bench, limit):
    day = bench({"09:30": BUY})
    day.plan_action("09:40", lambda: day.floor.__setattr__("settings", replace_risk(day, limit)))
    day.run()

    assert (day.trade.state, day.trade.exit_reason) == ("CLOSED", "max_hold")


def replace_risk(day: Bench, limit: str):
    from msgspec.structs import replace

    return replace(day.floor.settings, risk=risk(**{limit: 0}))
