"""The session's day: when entries are taken, what stops them, and that the day ends flat and only then."""

from __future__ import annotations

from datetime import datetime

import pytest

from fsm_trader.broker.paper.faults import FaultPlan, OrderFault, ReadFault
from fsm_trader.core.events import Asked, HealthRead, StopAsked
from fsm_trader.core.orders import Role
from fsm_trader.core.records import AlarmRaised, EntryBlocked, HealthSeen, OperatorAsked, SessionMoved
from fsm_trader.engine.polls import LOST_AFTER
from fsm_trader.errors import HaltError

from .bench import BUY, Bench
from .given import WHOLE_DAY, exits, risk, session, strategy
from .market import INDEX, Outage, ScriptedMarket, at, path
from .test_entries import RESTS

BARE = exits(stop=None, target=None, max_hold=None)
TERM = StopAsked("SIGTERM")


def states(day: Bench) -> list[str]:
    return [move.dest for move in day.rows(SessionMoved)]


def reasons(day: Bench, when: str) -> str:
    """Why the BUY on the candle of this start was not followed."""
    (row,) = [row for row in day.rows(EntryBlocked) if row.candle_start == at(when)]
    return "; ".join(row.reasons)


# The windows.


def test_a_quiet_day_goes_from_health_check_to_trading_to_closed(bench):
    day = bench().run()

    assert [(when, move.dest) for when, move in day.timed(SessionMoved)] == [
        ("09:15:00", "HEALTH_CHECK"),
        ("09:20:00", "TRADING"),
        ("10:10:00", "CLOSED"),
    ]
    assert day.broker.placed == []


def test_a_buy_before_the_trading_window_is_a_reason_in_the_journal(bench):
    day = bench({"09:17": BUY}).run()

    assert day.trades == []
    assert "session is HEALTH_CHECK, entries need TRADING" in reasons(day, "09:17")
    assert "outside the trading window" in reasons(day, "09:17")


def test_a_buy_on_the_last_candle_of_the_window_comes_too_late_and_one_before_it_does_not(bench):
    pair = [strategy("one", exits=BARE), strategy("two")]
    signals = {"one": {"10:08": BUY}, "two": {"10:09": BUY}}
    day = bench(signals, strategies=pair, limits=risk(max_open_trades=2)).run()

    assert [trade.strategy for trade in day.trades] == ["one"]
    assert reasons(day, "10:09") == "outside the trading window"


def test_an_open_trade_is_managed_after_entries_ended_and_the_day_goes_on_until_it_is_flat(bench):
    day = bench({"14:50": BUY}, strategies=[strategy(exits=BARE)], session=session(**WHOLE_DAY)).run()

    assert (day.trade.exit_reason, f"{day.trade.since:%H:%M:%S}") == ("square_off", "15:10:01")
    assert states(day)[-2:] == ["SQUARING_OFF", "CLOSED"]
    assert day.clock.now() < at("15:10:02")


def test_the_stop_still_works_between_the_end_of_entries_and_the_square_off(bench):
    market = ScriptedMarket(path(("10:12:00", 8000)))
    day = bench({"10:05": BUY}, market=market).run()

    assert (day.trade.exit_reason, f"{day.trade.since:%H:%M}") == ("stop_loss", "10:12")
    assert day.ledger.state == "CLOSED"


def test_the_day_goes_on_after_the_square_off_until_the_exit_is_filled(bench):
    market = ScriptedMarket(path(("10:15:00.1", 9000), ("10:15:30", 8000)))
    day = bench({"10:00": BUY}, market=market, strategies=[strategy(exits=BARE)]).run()

    assert day.trade.state == "CLOSED"
    assert len(day.trade.orders_of(Role.EXIT)) > 1
    assert states(day)[-1] == "CLOSED"


def test_a_holiday_closes_the_session_at_once(bench):
    day = bench({"09:30": BUY}, why_closed="Republic Day").run()

    assert states(day) == ["CLOSED"]
    assert day.ledger.reason == "not_a_trading_day"
    assert day.clock.now() == at("09:14")


def test_a_late_start_checks_health_and_takes_the_next_signal_but_none_of_the_morning(bench):
    hours = session(**WHOLE_DAY)
    day = bench({"09:30": BUY, "10:59": BUY, "11:05": BUY}, start="11:00:30", session=hours).run()

    assert [f"{trade.opened_at:%H:%M}" for trade in day.trades] == ["11:06"]
    assert states(day)[:2] == ["HEALTH_CHECK", "TRADING"]
    # The newest candle of the morning is fresh enough to have been followed, had the session been ready.
    assert reasons(day, "10:59") == "session is HEALTH_CHECK, entries need TRADING"
    assert at("09:30") not in [row.candle_start for row in day.rows(EntryBlocked)]


def test_a_start_after_the_square_off_with_nothing_open_closes_at_once(bench):
    day = bench({"09:30": BUY}, start="10:20").run()

    assert states(day) == ["CLOSED"]
    assert day.clock.now() == at("10:20")


# Health.


def test_a_health_check_that_fails_in_the_morning_keeps_entries_out_until_it_passes(bench):
    market = ScriptedMarket(outages=[Outage(INDEX, "09:14", "09:38")])
    day = bench({"09:30": BUY, "09:45": BUY}, market=market).run()

    assert states(day)[:3] == ["HEALTH_CHECK", "UNHEALTHY", "TRADING"]
    assert [f"{trade.opened_at:%H:%M}" for trade in day.trades] == ["09:46"]


def test_once_healthy_is_not_always_healthy(bench):
    silence = ReadFault(kind="unavailable", since=at("09:40:30"), until=at("09:45:30"))
    day = bench({"09:42": BUY, "09:50": BUY}, faults=FaultPlan(reads=(silence,))).run()

    assert states(day) == ["HEALTH_CHECK", "TRADING", "UNHEALTHY", "TRADING", "SQUARING_OFF", "CLOSED"]
    assert reasons(day, "09:42") == "session is UNHEALTHY, entries need TRADING"
    assert [f"{trade.opened_at:%H:%M}" for trade in day.trades] == ["09:51"]
    assert "order book" in day.rows(AlarmRaised)[0].text


def test_a_health_check_is_journaled_when_it_says_something_new(bench):
    day = bench().run()

    # At 09:15 there was no candle yet; then an hour of the same good answer.
    assert [bool(row.faults) for row in day.rows(HealthSeen)] == [True, False]


def test_candles_that_stop_coming_end_entries_until_they_come_again(bench):
    market = ScriptedMarket(no_candles=[("09:40", "09:50")])
    day = bench({"09:50": BUY, "09:55": BUY}, market=market).run()

    moves = [(when, move.dest, move.reason) for when, move in day.timed(SessionMoved)]
    # The candle of 09:39 ended at 09:40 and is older than 150 s from 09:42:30 on.
    assert ("09:42:30", "UNHEALTHY", "candles_stale") in moves
    assert "session is UNHEALTHY" in reasons(day, "09:50")
    assert [f"{trade.opened_at:%H:%M}" for trade in day.trades] == ["09:56"]


def test_a_trade_is_managed_while_the_session_is_unhealthy(bench):
    market = ScriptedMarket(path(("09:46", 8000)), no_candles=[("09:40", "10:10")])
    day = bench({"09:35": BUY}, market=market).run()

    assert (day.trade.exit_reason, f"{day.trade.since:%H:%M}") == ("stop_loss", "09:46")
    assert "UNHEALTHY" in states(day)


def test_a_token_that_dies_between_checks_is_noticed_by_the_next_read_of_the_book(bench):
    dead = ReadFault(kind="login_required", since=at("09:31:00.5"), until=at("09:35"))
    day = bench({"09:30": BUY, "09:33": BUY}, faults=FaultPlan(reads=(dead,))).run()

    moves = [(when, move.dest) for when, move in day.timed(SessionMoved)]
    assert ("09:31:01", "LOGIN_REQUIRED") in moves
    assert day.trade.state == "CLOSED"


# A person's word.


def test_a_halt_takes_no_entry_and_exits_are_managed(bench):
    market = ScriptedMarket(path(("09:45", 13100)))
    day = bench({"09:30": BUY, "09:50": BUY}, market=market).plan_event("09:40", Asked("halt", by="me")).run()

    assert (day.trade.exit_reason, f"{day.trade.since:%H:%M}") == ("target", "09:45")
    assert "halted by a person until resume" in reasons(day, "09:50")
    assert day.rows(OperatorAsked) == [OperatorAsked("halt", "me")]


def test_a_halt_outlives_the_process(bench):
    day = bench({"09:50": BUY}).plan_event("09:40", Asked("halt")).plan_event("09:41", TERM).run()
    day.reboot().run()

    assert day.trades == []
    assert states(day)[-2:] == ["HALTED", "CLOSED"]


def test_a_halt_before_the_day_holds_from_its_first_moment(bench):
    day = bench({"09:30": BUY}).plan_event("09:14:30", Asked("halt")).run()

    assert day.trades == []
    assert states(day) == ["HALTED", "CLOSED"]


def test_after_a_resume_everything_is_checked_and_entries_are_taken_again(bench):
    day = bench({"09:45": BUY}).plan_event("09:30", Asked("halt")).plan_event("09:40", Asked("resume")).run()

    assert states(day)[:5] == ["HEALTH_CHECK", "TRADING", "HALTED", "HEALTH_CHECK", "TRADING"]
    assert len(day.trades) == 1


def test_a_flatten_leaves_at_once_and_stays_out(bench):
    day = bench({"09:30": BUY, "09:50": BUY}).plan_event("09:40:02", Asked("flatten")).run()

    assert (day.trade.exit_reason, f"{day.trade.since:%H:%M:%S}") == ("flatten", "09:40:03")
    assert "halted by a person" in reasons(day, "09:50")


def test_a_flatten_cancels_a_pending_entry(bench):
    day = bench({"09:30": BUY}, market=ScriptedMarket(path(RESTS))).plan_event("09:31:05", Asked("flatten")).run()

    assert (day.trade.state, f"{day.trade.since:%H:%M:%S}") == ("FAILED", "09:31:06")


def test_a_flatten_sells_an_entry_that_fills_afterwards(bench):
    market = ScriptedMarket(path(RESTS, ("09:31:05.1", 10100)))
    day = bench({"09:30": BUY}, market=market).plan_event("09:31:05", Asked("flatten")).run()

    assert (day.trade.state, day.trade.exit_reason) == ("CLOSED", "flatten")


def test_after_flatten_and_resume_entries_are_taken_again_and_held(bench):
    day = bench({"09:30": BUY, "09:50": BUY}, strategies=[strategy(exits=BARE)])
    day.plan_event("09:40", Asked("flatten")).plan_event("09:45", Asked("resume")).run()

    assert [trade.exit_reason for trade in day.trades] == ["flatten", "square_off"]


def test_a_request_is_met_once_however_often_its_file_is_found(bench):
    twice = Asked("halt", "ops", "id-1")
    day = bench({"09:50": BUY}).plan_event("09:30", twice).plan_event("09:35", Asked("resume", "ops", "id-2"))
    day.plan_event("09:40", twice).run()

    assert [row.request for row in day.rows(OperatorAsked)] == ["id-1", "id-2"]
    assert len(day.trades) == 1


def test_a_request_that_could_not_be_read_halts_and_raises_its_alarm_also_where_a_halt_holds_already(bench):
    day = bench({"09:50": BUY}).plan_event("09:30", Asked("halt"))
    day.plan_event("09:40", Asked("halt", request="id-1", fault="the file is cut")).run()

    assert "the file is cut" in [row.text for row in day.rows(AlarmRaised)]
    assert day.trades == []


def test_a_halt_on_a_day_without_trading_closes_it_and_is_kept(bench):
    day = bench(why_closed="a holiday")
    day.inbox.put(Asked("halt", request="id-1"))
    day.run()

    assert states(day) == ["CLOSED"]
    assert day.ledger.halted


# Being told to end.


def test_a_stop_leaves_the_trade_to_the_next_start_at_once(bench):
    day = bench({"09:30": BUY}).plan_event("09:40:02", TERM).run(stopped=True)

    assert (day.clock.now(), day.trader.stop_reason) == (at("09:40:02"), "SIGTERM")
    assert [trade.state for trade in day.ledger.open_trades] == ["ACTIVE"]
    assert day.orders(Role.EXIT) == 0

    day.reboot().run()

    assert (day.trade.state, day.trade.exit_reason) == ("CLOSED", "max_hold")


def test_a_stop_with_nothing_open_ends_the_process_and_not_the_session(bench):
    day = bench().plan_event("09:40:02", TERM).run()

    assert (day.clock.now(), day.ledger.state) == (at("09:40:02"), "TRADING")


def test_a_stop_that_flattens_leaves_first_and_takes_no_entry_meanwhile(bench):
    # The exit cannot fill before 09:40:12, and another strategy would enter at 09:40:00.
    pair = [strategy("one"), strategy("two")]
    market = ScriptedMarket(path(("09:39:58.1", 9000)))
    signals = {"one": {"09:30": BUY}, "two": {"09:39": BUY}}
    day = bench(
        signals,
        market=market,
        strategies=pair,
        limits=risk(max_open_trades=2),
        session=session(on_stop="flatten"),
    )
    day.plan_event("09:39:58", TERM).run()

    assert (day.trade.exit_reason, day.trade.state) == ("flatten", "CLOSED")
    assert day.clock.now() <= at("09:40:15")
    assert reasons(day, "09:39") == "the process was told to end"


def test_a_second_stop_ends_at_once(bench):
    refuses = FaultPlan(orders=(OrderFault(kind="refuse", tags="FT??????001X*"),))
    day = bench({"09:30": BUY}, session=session(on_stop="flatten"), faults=refuses)
    day.plan_event("09:40:02", TERM).plan_event("09:40:05", StopAsked("SIGINT")).run(stopped=True)

    assert day.clock.now() == at("09:40:05")
    assert [trade.state for trade in day.ledger.open_trades] == ["PENDING_EXIT"]


def test_a_stop_that_flattens_cancels_a_pending_entry(bench):
    market = ScriptedMarket(path(RESTS))
    day = bench({"09:30": BUY}, market=market, session=session(on_stop="flatten"))
    day.plan_event("09:31:05", TERM).run()

    assert day.trade.state == "FAILED"
    assert day.clock.now() <= at("09:31:10")


def test_a_stop_after_the_end_of_the_day_changes_nothing(bench):
    day = bench().run()
    rows = len(day.entries)

    day.trader.handle(TERM)

    assert day.trader.is_over
    assert len(day.entries) == rows


# When we ourselves fail.


def test_a_journal_that_cannot_be_written_stops_the_process_before_anything_is_sent(bench):
    day = bench({"09:30": BUY})
    append = day.journal.append

    def full(when, session_id, records):
        if when >= at("09:31"):
            raise HaltError("journal: the disk is full")
        return append(when, session_id, records)

    day.journal.append = full
    with pytest.raises(HaltError, match="the disk is full"):
        day.run()

    assert day.broker.placed == []


def breaks(thing: object, name: str, when: str) -> None:
    """Let a method of *thing* fail in a way nobody planned for, once, from a moment on."""
    works = getattr(thing, name)
    done: list[str] = []

    def broken(*args, **kwargs):
        if not done and thing_now(args) >= at(when):
            done.append(name)
            raise ZeroDivisionError("a defect")
        return works(*args, **kwargs)

    setattr(thing, name, broken)


def thing_now(args):
    return next(arg for arg in reversed(args) if isinstance(arg, datetime))


def test_a_defect_in_a_step_costs_further_entries_and_never_the_care_of_a_position(bench):
    pair = [strategy("one"), strategy("two")]
    signals = {"one": {"09:30": BUY}, "two": {"09:50": BUY}}
    market = ScriptedMarket(path(("09:55:02", 8000)))
    day = bench(signals, market=market, strategies=pair, limits=risk(max_open_trades=2))
    breaks(day.trader.candles, "candles_read", "09:40")

    day.run(fault="a step failed with ZeroDivisionError: a defect")

    assert (day.trade.exit_reason, f"{day.trade.since:%H:%M:%S}") == ("stop_loss", "09:55:06")
    assert "ZeroDivisionError" in reasons(day, "09:50")


def test_a_price_whose_reading_stumbled_is_read_again_at_the_next_poll(bench):
    day = bench({"09:30": BUY}, market=ScriptedMarket(path(("09:40:02", 8000))))
    price = day.market.price
    stumbles = iter([True])

    def stumbling(token, now):
        if now >= at("09:39:55") and next(stumbles, False):
            raise ZeroDivisionError("a defect")
        return price(token, now)

    day.market.price = stumbling
    day.run()

    assert (day.trade.exit_reason, f"{day.trade.since:%H:%M:%S}") == ("stop_loss", "09:40:06")


def test_an_order_whose_request_stumbled_after_it_left_is_found_by_its_tag(bench):
    day = bench({"09:30": BUY})

    def stumble(request, _order_id):
        if request.side == "BUY":
            raise KeyError("order_id")

    day.broker.after_place = stumble
    day.run()

    (order,) = day.trade.orders_of(Role.ENTRY)
    assert (order.answer, order.message) == ("unknown", "")
    assert day.trade.state == "CLOSED"
    assert day.orders(Role.ENTRY) == 1


def test_a_health_check_that_stumbled_is_a_fault_and_is_made_again(bench):
    day = bench({"09:50": BUY})
    check = day.broker.check
    stumbles = iter([True])

    def stumbling():
        if day.clock.now() >= at("09:40") and next(stumbles, False):
            raise ZeroDivisionError("a defect")
        check()

    day.broker.check = stumbling
    day.run()

    assert states(day)[:4] == ["HEALTH_CHECK", "TRADING", "UNHEALTHY", "TRADING"]
    assert len(day.trades) == 1


def test_the_late_answer_of_a_check_that_was_given_up_says_nothing_of_now(bench):
    day = bench({})
    day.begin()
    desk, now = day.trader.session, day.clock.now()
    desk._lost_at = now
    desk.health_read(HealthRead(("order book: no answer",)))

    desk.health_read(HealthRead((), asked_at=now - LOST_AFTER))

    assert day.ledger.health.faults == ("order book: no answer",)
    desk.health_read(HealthRead((), asked_at=now))
    assert day.ledger.health.faults == ()
