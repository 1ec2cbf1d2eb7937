"""The process may end anywhere: the next one goes on from the journal and the broker's book, and ends the day flat."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from fsm_trader.broker.paper.faults import FaultPlan, OrderFault
from fsm_trader.core.events import Asked
from fsm_trader.core.orders import Role, Side
from fsm_trader.core.records import CandlesSeen, OperatorAsked, OrderIntended, RunStarted, SessionMoved, SignalSeen

from .bench import BUY, EXIT, Bench
from .given import BRIEF_DAY, exits, session, strategy
from .market import CALL, LOT, Outage, ScriptedMarket, at, path
from .oracles import Killed

_MOST_COMMITS = 400


def calm(bench) -> Bench:
    """A day with an exit by the strategy, one by the stop and one by the square-off."""
    signals = {"09:22": BUY, "09:25": EXIT, "09:30": BUY, "09:40": BUY}
    market = ScriptedMarket(path(("09:35:10", 8000), ("09:36", 10000)))
    return bench(signals, market=market, session=session(**BRIEF_DAY), strategies=[strategy(exits=exits(target=None))])


def rough(bench) -> Bench:
    """A day of lost answers, partial fills, orders that rest and are cancelled, and refusals."""
    signals = {"09:22": BUY, "09:27": EXIT, "09:31": BUY, "09:36": EXIT, "09:41": BUY}
    prices = path(("09:23:00.4", 10500), ("09:28:00.4", 9500), ("09:32", 10000), ("09:37:00.1", 9000), ("09:42", 9100))
    faults = FaultPlan(
        orders=(
            OrderFault(kind="lost_answer", tags="FT??????00[13][EX]01*"),
            OrderFault(kind="refuse", tags="FT??????002X0[12]*"),
            OrderFault(kind="lost_answer", call="cancel", tags="FT??????001*"),
            OrderFault(kind="lost_request", tags="FT??????003X02*"),
        )
    )
    return bench(
        signals,
        market=ScriptedMarket(prices),
        session=session(**BRIEF_DAY),
        strategies=[strategy(lots=2)],
        behaviour={"partial_fills": Decimal(1)},
        faults=faults,
        broker={"settle": timedelta(seconds=20)},
    )


@pytest.mark.parametrize("day_of", [calm, rough])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_process_killed_at_any_commit_is_followed_by_one_that_ends_the_day_flat(bench, day_of, moment):
    # "after" ends the process with an intent committed and nothing sent; "before" the next commit ends it with the
    # order sent and its answer lost.
    whole = day_of(bench).run()
    opened = {trade.trade_id for trade in whole.trades}

    killed = 0
    for number in range(1, _MOST_COMMITS):
        day = day_of(bench)
        setattr(day.journal, f"kill_{moment}", number)
        if not day.run_until_killed():
            break
        killed += 1
        survivors = {trade.trade_id: trade for trade in day.reboot().trades}

        day.run()

        for trade_id, trade in survivors.items():
            assert day.ledger.trades[trade_id].opened_at == trade.opened_at
        assert {trade.trade_id for trade in day.trades} <= opened
        entries = [row.request.tag for row in day.rows(OrderIntended) if row.role is Role.ENTRY]
        assert len(entries) == len(day.trades)
        assert len([row for row in day.broker.truth.orders if row.side is Side.BUY]) <= len(entries)
        assert len(day.rows(RunStarted)) == (2 if (number, moment) != (1, "before") else 1)
        day.close()
    assert killed >= len({entry.at for entry in whole.entries})


@pytest.mark.parametrize("day_of", [calm, rough])
def test_a_process_killed_again_and_again_ends_the_day_flat(bench, day_of):
    day = day_of(bench)
    kills = 0
    day.journal.kill_after = 5
    while day.run_until_killed():
        kills += 1
        day.reboot()
        # Far enough for each life to do something, and never the same something.
        day.journal.kill_after = day.journal.commits + 7 + kills % 7
        assert kills < _MOST_COMMITS

    assert kills > 10
    assert len(day.trades) >= 1


def kill_after(day: Bench, wanted, *, back: str | None = None) -> Bench:
    """Run until the commit that holds a wanted row, and start the next process, at once or at *back*."""
    append = day.journal.append

    def watched(when, session_id, records):
        entries = append(when, session_id, records)
        if any(wanted(record) for record in records):
            day.journal.append = append
            raise Killed
        return entries

    day.journal.append = watched
    assert day.run_until_killed()
    if back is not None:
        day.let_pass(back)
    return day.reboot()


def test_an_intent_without_an_order_is_absent_after_the_settling_time_of_the_new_process(bench):
    day = kill_after(bench({"09:30": BUY}), lambda record: isinstance(record, OrderIntended), back="09:34")

    day.run()

    assert (day.trade.state, day.trade.reason) == ("FAILED", "entry_absent")
    # The old process may have sent until its very end, of which the journal knows nothing.
    assert day.trade.since >= at("09:35:30")
    assert day.broker.placed == []


def test_a_stop_in_a_candle_that_was_journaled_and_not_acted_on_is_followed_after_the_restart(bench):
    # The price is back before anyone looks again: only the journaled candle of 09:35 knows.
    market = ScriptedMarket(path(("09:35:11", 8000), ("09:35:12", 10000)))

    def is_the_candle(record) -> bool:
        return isinstance(record, CandlesSeen) and any(
            candle.token == CALL.token and candle.start == at("09:35") for candle in record.candles
        )

    day = kill_after(bench({"09:30": BUY}, market=market), is_the_candle).run()

    assert day.trade.exit_reason == "stop_loss"


def test_a_stop_touched_while_no_process_ran_is_followed_after_the_restart(bench):
    market = ScriptedMarket(path(("09:36:11", 8000), ("09:36:12", 10000)))

    def is_the_candle(record) -> bool:
        return isinstance(record, CandlesSeen) and record.candles[0].start == at("09:35")

    day = kill_after(bench({"09:30": BUY}, market=market), is_the_candle, back="09:40:30").run()

    assert (day.trade.exit_reason, f"{day.trade.since:%H:%M}") == ("stop_loss", "09:41")


def test_an_exit_signal_that_was_journaled_and_not_acted_on_is_followed_at_once(bench):
    # No price ever comes after the restart, so nothing else would make the trade look.
    market = ScriptedMarket(outages=[Outage(CALL.token, "09:40", "10:30")])
    day = bench({"09:30": BUY, "09:39": EXIT}, market=market)
    kill_after(day, lambda record: isinstance(record, SignalSeen) and record.signal == EXIT).run()

    assert (day.trade.exit_reason, f"{day.trade.since:%H:%M}") == ("strategy_exit", "09:40")


def test_a_flatten_that_was_journaled_and_not_acted_on_is_followed_at_once(bench):
    market = ScriptedMarket(outages=[Outage(CALL.token, "09:40", "10:30")])
    day = bench({"09:30": BUY}, market=market).plan_event("09:40:02", Asked("flatten"))
    kill_after(day, lambda record: isinstance(record, OperatorAsked)).run()

    assert (day.trade.exit_reason, f"{day.trade.since:%H:%M}") == ("flatten", "09:40")


@pytest.mark.parametrize("verb", ["halt", "flatten"])
def test_a_halt_that_was_journaled_and_not_followed_holds_from_the_restart_on(bench, verb):
    day = bench({"09:50": BUY}).plan_event("09:40:02", Asked(verb))
    kill_after(day, lambda record: isinstance(record, OperatorAsked)).run()

    assert [row.dest for row in day.rows(SessionMoved) if row.trigger == verb] == ["HALTED"]
    assert day.trades == []


def test_a_resume_that_was_journaled_and_not_followed_is_followed_by_the_restart(bench):
    day = bench({"09:50": BUY}).plan_event("09:30", Asked("halt")).plan_event("09:40:02", Asked("resume"))
    kill_after(day, lambda record: isinstance(record, OperatorAsked) and record.verb == "resume").run()

    assert [row.dest for row in day.rows(SessionMoved) if row.trigger == "resume"] == ["HEALTH_CHECK"]
    assert len(day.trades) == 1


def test_a_restart_after_the_square_off_sells_what_is_open(bench):
    bare = strategy(exits=exits(stop=None, target=None, max_hold=None))
    day = bench({"09:30": BUY}, strategies=[bare])

    def is_the_candle(record) -> bool:
        return isinstance(record, CandlesSeen) and record.candles[0].start == at("09:50")

    day = kill_after(day, is_the_candle, back="12:00").run()

    assert (day.trade.exit_reason, f"{day.trade.since:%H:%M}") == ("square_off", "12:00")
    assert sum(fill.quantity for fill in day.fills(Side.SELL)) == LOT


def test_a_restart_on_the_journal_on_disk_goes_on_like_one_in_memory(bench, tmp_path):
    signals = {"09:30": BUY, "09:35": EXIT, "09:40": BUY}
    days = [bench(signals), bench(signals, journal_url=f"sqlite:///{tmp_path / 'journal.db'}")]
    for day in days:
        kill_after(day, lambda record: isinstance(record, SignalSeen) and record.signal == EXIT).run()

    in_memory, on_disk = (day.entries for day in days)
    assert on_disk == in_memory
    assert [trade.exit_reason for trade in days[1].trades] == ["strategy_exit", "max_hold"]


def test_signals_of_before_the_restart_are_shown_to_the_strategy_and_not_followed_again(bench):
    day = bench({"09:30": BUY, "09:35": EXIT, "09:40": BUY})
    kill_after(day, lambda record: isinstance(record, CandlesSeen) and record.candles[0].start == at("09:37")).run()

    assert [f"{row.candle_start:%H:%M}" for row in day.rows(SignalSeen)] == ["09:30", "09:35", "09:40"]
    assert len(day.trades) == 2
