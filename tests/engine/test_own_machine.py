"""A user's own trade machine: what the file says is what happens, and an open trade keeps the file it began under."""

from __future__ import annotations

from fsm_trader.core.events import StopAsked
from fsm_trader.core.orders import Role
from fsm_trader.core.records import CancelIntended, EntryBlocked, TradeOpened

from .bench import BUY, EXIT, Bench, builtin, trade_machine
from .market import ScriptedMarket, path
from .test_entries import RESTS


def _leaves(guard: str, reason: str) -> str:
    return (
        f"  - {{trigger: check, source: ACTIVE, dest: PENDING_EXIT, conditions: {guard}, after: place_exit, "
        f"reason: {reason}}}\n"
    )


_STOP = _leaves("stop_hit", "stop_loss")
_TARGET = _leaves("target_hit", "target")
_STRATEGY = _leaves("strategy_exit", "strategy_exit")


def test_a_machine_that_asks_for_the_target_first_takes_it_where_one_candle_holds_both(bench):
    market = ScriptedMarket(path(("09:35:11", 13500), ("09:35:12", 8000), ("09:35:13", 10000)))
    mine = trade_machine((_STOP + _TARGET, _TARGET + _STOP))
    day = bench({"09:30": BUY}, market=market, machine=mine).run()

    assert day.trade.exit_reason == "target"


def test_a_machine_without_the_strategy_exit_holds_on(bench):
    day = bench({"09:30": BUY, "09:39": EXIT}, machine=trade_machine((_STRATEGY, ""))).run()

    assert day.trade.exit_reason == "max_hold"


def test_a_machine_with_a_time_out_of_its_own_cancels_by_it(bench):
    old = "{name: PENDING_ENTRY, position: maybe, timeout: {after: entry_timeout,"
    mine = trade_machine((old, old.replace("entry_timeout", "5s")))
    day = bench({"09:30": BUY}, market=ScriptedMarket(path(RESTS)), machine=mine).run()

    assert [when for when, _ in day.timed(CancelIntended)] == ["09:31:05"]
    assert day.trade.state == "FAILED"


def test_a_machine_whose_guard_keeps_a_trade_out_says_so_in_the_journal(bench):
    old = "{trigger: enter, source: IDLE, dest: PENDING_ENTRY, after: place_entry, reason: signal}"
    mine = trade_machine((old, old.replace("dest: PENDING_ENTRY,", "dest: PENDING_ENTRY, conditions: flatten_asked,")))
    day = bench({"09:30": BUY}, machine=mine).run()

    assert day.trades == []
    assert [row.reasons for row in day.rows(EntryBlocked)] == [("the trade machine takes no entry now",)]


def test_an_open_trade_is_resumed_under_the_machine_it_was_opened_under(bench):
    mine = trade_machine((_STRATEGY, ""))
    day = bench({"09:30": BUY, "09:39": EXIT}, machine=mine).plan_event("09:35", StopAsked("SIGTERM"))
    day.run(stopped=True)

    day.reboot(machine=builtin("trade")).run()

    assert day.trade.exit_reason == "max_hold"


def test_a_new_trade_after_a_restart_is_opened_under_the_machine_of_today(bench):
    signals = {"09:30": BUY, "09:36": EXIT, "09:39": BUY, "09:45": EXIT}
    day = bench(signals, machine=trade_machine((_STRATEGY, ""))).plan_event("09:35", StopAsked("SIGTERM"))
    day.run(stopped=True)
    day.reboot(machine=builtin("trade"))
    day.scripts = {"one": {"10:03": BUY, "10:05": EXIT}}
    day.reboot().run()

    assert [trade.exit_reason for trade in day.trades] == ["max_hold", "strategy_exit"]
    assert [row.machine for row in day.rows(TradeOpened)] == [own(day), builtin("trade").digest]
    assert day.trades[1].filled(Role.EXIT) > 0


def own(day: Bench) -> str:
    return trade_machine((_STRATEGY, "")).digest
