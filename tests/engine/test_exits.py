"""Every way out of a position that is held, at the level it belongs to, and which one wins."""

from __future__ import annotations

from datetime import timedelta

import pytest

from fsm_trader.core.orders import Role, Side
from fsm_trader.core.records import LevelsSet, SignalSeen, TradeMoved

from .bench import BUY, EXIT
from .given import WHOLE_DAY, exits, session, strategy
from .market import LOT, ScriptedMarket, at, path

IN = {"09:30": BUY}  # The candle ends at 09:31; the entry fills at 09:31:00.3, two ticks above 100.00.
ENTRY = 10010


def left(trade) -> tuple[str, int, str]:
    """Why a trade left, at what price and when the exit was decided."""
    (order,) = trade.orders_of(Role.EXIT)
    (fill,) = order.fills
    return trade.exit_reason, fill.price_paise, f"{order.intended_at:%H:%M:%S}"


def test_a_trade_leaves_at_its_stop(bench):
    day = bench(IN, market=ScriptedMarket(path(("09:35:10", 8010)))).run()

    assert day.trade.state == "CLOSED"
    assert left(day.trade) == ("stop_loss", 8000, "09:35:10")


def test_a_price_one_tick_above_the_stop_is_no_reason_to_leave(bench):
    day = bench(IN, market=ScriptedMarket(path(("09:35:10", 8015), ("09:40", 10000)))).run()

    assert day.trade.exit_reason == "max_hold"


def test_a_trade_leaves_at_its_target(bench):
    day = bench(IN, market=ScriptedMarket(path(("09:35:10", 13015)))).run()

    assert left(day.trade) == ("target", 13005, "09:35:10")


def test_a_price_one_tick_below_the_target_is_no_reason_to_leave(bench):
    day = bench(IN, market=ScriptedMarket(path(("09:35:10", 13010), ("09:40", 10000)))).run()

    assert day.trade.exit_reason == "max_hold"


def test_a_trade_leaves_when_its_strategy_says_exit(bench):
    day = bench({**IN, "09:39": EXIT}).run()

    assert left(day.trade) == ("strategy_exit", 9990, "09:40:00")


def test_a_trade_leaves_when_it_was_held_for_its_longest_time_after_the_fill(bench):
    day = bench(IN).run()

    assert left(day.trade) == ("max_hold", 9990, "10:01:00")
    assert day.trade.orders_of(Role.EXIT)[0].intended_at - day.trade.filled_at == timedelta(minutes=30)


def test_a_trade_without_rules_of_its_own_leaves_at_the_square_off(bench):
    bare = strategy(exits=exits(stop=None, target=None, max_hold=None))
    day = bench(IN, strategies=[bare], session=session(**WHOLE_DAY)).run()

    assert day.rows(LevelsSet) == [LevelsSet(day.trade.trade_id, None, None, None)]
    assert left(day.trade) == ("square_off", 9990, "15:10:00")


def test_levels_come_from_the_average_of_the_fills_and_not_from_the_price_of_the_signal(bench):
    # Two lots at 100.10 and, 0.3 s later, one at 101.20: 100.46666..., on the tick and against us nowhere.
    market = ScriptedMarket(path(("09:31:00.4", 10110)))
    day = bench(IN, market=market, strategies=[strategy(lots=3)], behaviour={"partial_fills": 1}).run()

    assert [(fill.quantity, fill.price_paise) for fill in day.fills(Side.BUY)] == [(2 * LOT, 10010), (LOT, 10120)]
    (levels,) = day.rows(LevelsSet)
    assert (levels.stop_paise, levels.target_paise) == (8040, 13065)  # 80.3733... and 130.6066..., up to the tick.
    assert levels.hold_until == at("10:01:00.3")


def test_the_stop_wins_when_one_candle_holds_stop_and_target(bench):
    # Between two looks at the price: only the candle of 09:35 knows of either.
    market = ScriptedMarket(path(("09:35:11", 13500), ("09:35:12", 8000), ("09:35:13", 10000)))
    day = bench(IN, market=market).run()

    assert left(day.trade) == ("stop_loss", 9990, "09:36:00")


def test_a_stop_that_was_touched_between_two_looks_is_found_in_the_candle(bench):
    day = bench(IN, market=ScriptedMarket(path(("09:35:11", 8000), ("09:35:12", 10000)))).run()

    assert left(day.trade) == ("stop_loss", 9990, "09:36:00")


def test_two_reasons_of_one_moment_lead_to_one_exit(bench):
    day = bench({**IN, "09:39": EXIT}, market=ScriptedMarket(path(("09:40", 8000)))).run()

    assert day.orders(Role.EXIT) == 1
    assert left(day.trade)[1:] == (7990, "09:40:00")


def test_of_the_candle_in_which_the_entry_filled_the_low_before_the_fill_does_not_count(bench):
    market = ScriptedMarket(path(("09:31:00.1", 7000), ("09:31:00.25", 10000)))
    day = bench(IN, market=market).run()

    assert day.trade.average_paise(Role.ENTRY) == ENTRY
    assert day.trade.exit_reason == "max_hold"


def test_candles_of_before_the_entry_do_not_count(bench):
    # The first look at the contract's candles brings the whole morning, which was below the stop.
    day = bench(IN, market=ScriptedMarket(path(("09:16", 7000), ("09:30:30", 10000)))).run()

    assert day.trade.exit_reason == "max_hold"


def test_of_the_candle_in_which_the_entry_filled_the_close_counts(bench):
    # The price is back by the next look, so only the candle's close tells of it.
    market = ScriptedMarket(path(("09:31:57", 8000), ("09:32", 10000)))
    day = bench(IN, market=market).run()

    assert left(day.trade) == ("stop_loss", 9990, "09:32:00")


def test_a_buy_while_the_strategy_holds_and_an_exit_on_one_candle_of_another_keep_apart(bench):
    both = [strategy("one"), strategy("two")]
    day = bench({"one": {**IN, "09:39": EXIT}, "two": {"09:39": BUY}}, strategies=both).run()

    assert [signal.strategy for signal in day.rows(SignalSeen)] == ["one", "one", "two"]
    assert day.trade.exit_reason == "strategy_exit"
    # The exit goes first; the trade still counts as open, so the other strategy has to wait.
    assert "1 of at most 1 trades are open" in day.ledger.blocked["two"][1].reasons


def test_an_exit_said_while_the_entry_is_still_pending_is_followed_once_it_fills(bench):
    # The entry rests above its limit from 09:31:59.9 until 09:32:10; the strategy says EXIT at 09:32.
    market = ScriptedMarket(path(("09:31:00.1", 10500), ("09:32:02", 10100)))
    day = bench({**IN, "09:31": EXIT}, market=market, broker={"entry_timeout": timedelta(seconds=90)}).run()

    assert left(day.trade)[0] == "strategy_exit"
    assert left(day.trade)[2] == "09:32:02"


def test_an_exit_is_not_forgotten_when_the_next_candle_says_buy_before_the_entry_fills(bench):
    market = ScriptedMarket(path(("09:31:00.1", 10500), ("09:33:02", 10100)))
    signals = {**IN, "09:31": EXIT, "09:32": BUY}
    day = bench(signals, market=market, broker={"entry_timeout": timedelta(seconds=180)}).run()

    assert left(day.trade)[0] == "strategy_exit"


def test_an_exit_said_before_the_signal_of_the_trade_does_not_end_it(bench):
    day = bench({"09:29": EXIT, **IN}).run()

    assert day.trade.exit_reason == "max_hold"


@pytest.mark.parametrize("seconds", [1, 29, 59])
def test_every_state_of_a_trade_has_a_deadline_or_is_polled_whenever_the_entry_fills(bench, seconds):
    # The oracles look at each wait; the fill comes late enough for each to matter.
    market = ScriptedMarket(path(("09:31:00.1", 10500), (f"09:31:{seconds:02d}", 10100)))
    day = bench(IN, market=market, broker={"entry_timeout": timedelta(seconds=90)}).run()

    moves = [(move.source, move.dest) for move in day.rows(TradeMoved)]
    assert moves == [
        ("IDLE", "PENDING_ENTRY"),
        ("PENDING_ENTRY", "ACTIVE"),
        ("ACTIVE", "PENDING_EXIT"),
        ("PENDING_EXIT", "CLOSED"),
    ]
