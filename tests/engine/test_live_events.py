"""What a live world tells of itself: options that come late, a login, moved orders, sources that fail."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from fsm_trader.broker.paper.faults import FaultPlan, OrderFault, ReadFault
from fsm_trader.core.events import (
    ClockSet,
    ContractsRead,
    HealthRead,
    Noticed,
    OrdersMoved,
    PriceRead,
    ReadFailed,
    TokenChanged,
)
from fsm_trader.core.records import AlarmRaised, DamageFound, EntryBlocked, HealthSeen, OrderAnswered, OrderIntended
from fsm_trader.engine import loop
from fsm_trader.engine.polls import ReadingKey

from .bench import BUY, CONTRACTS, EXIT, Bench
from .given import session
from .market import at

IN = {"09:30": BUY}
OUT = {"09:30": BUY, "09:39": EXIT}
DEAD = ReadFault(kind="login_required", since=at("09:38:30"), until=at("09:44:20"))


def texts(day: Bench) -> list[str]:
    return [row.text for row in day.rows(AlarmRaised)]


def counted(day: Bench, monkeypatch: pytest.MonkeyPatch, name: str) -> list[str]:
    """Return a list that grows by the time of each call of an effect."""
    made = getattr(day.floor.effects, name)
    when: list[str] = []

    def counting(*args):
        when.append(f"{day.clock.now():%H:%M:%S.%f}"[:-4])
        return made(*args)

    monkeypatch.setattr(day.floor.effects, name, counting)
    return when


def test_options_that_come_later_are_bought_from_then_on(bench):
    day = bench({"09:30": BUY, "09:32": BUY})
    day.trader.entries.know(())
    day.plan_event("09:32", ContractsRead(CONTRACTS, "the dump was fetched early")).run()

    (blocked,) = day.rows(EntryBlocked)
    assert blocked.reasons == ("option selection: today's options are not known yet",)
    assert f"{day.trade.candle_start:%H:%M}" == "09:32"
    assert "instruments: the dump was fetched early." in texts(day)


def test_a_source_that_fails_is_told_once_for_each_time_it_says_so(bench):
    day = bench().plan_event("09:30", Noticed("stream: gone. Prices are asked for until it is back.")).run()

    assert texts(day) == ["stream: gone. Prices are asked for until it is back."]


def test_a_dead_token_before_the_day_is_told_once_however_many_readings_say_so(bench):
    day = bench(start="09:00")
    for when, reading in (("09:01", "standing"), ("09:01:30", "instruments"), ("09:02", "standing")):
        day.plan_event(when, ReadFailed(reading, f"{reading}: no token", None, login_required=True))
    day.run()

    assert texts(day)[0] == "the day begins at 09:15, and nothing can be asked: standing: no token."
    assert [row for row in day.rows(HealthSeen) if row.login_required] == [
        HealthSeen(("standing: no token",), login_required=True)
    ]
    assert not [text for text in texts(day) if "no usable answer" in text]


def test_an_exit_without_a_token_is_tried_at_a_slow_pace_and_sent_at_once_when_a_token_works(bench):
    day = bench(OUT, faults=FaultPlan(reads=(DEAD,)))
    day.plan_event("09:44:25", TokenChanged()).run()

    exits = [when for when, row in day.timed(OrderIntended) if row.role == "exit"]
    assert exits == ["09:40:00", "09:41:00", "09:42:00", "09:43:00", "09:44:00", "09:44:25"]
    assert (day.trade.state, day.trade.exit_reason) == ("CLOSED", "strategy_exit")


def test_a_login_is_looked_into_at_once_and_not_at_the_next_turn(bench, monkeypatch):
    day = bench(session=session(health_interval=timedelta(hours=1)))
    checks, standings = counted(day, monkeypatch, "check_health"), counted(day, monkeypatch, "read_standing")

    day.plan_event("09:31:07", TokenChanged()).run()

    assert [when for when in checks if "09:31" in when] == ["09:31:07.00"]
    assert "09:31:07.00" in standings


def test_the_book_is_read_at_once_when_orders_move_and_however_often_they_do_once_between_two_looks(bench, monkeypatch):
    day = bench(IN)
    standings = counted(day, monkeypatch, "read_standing")
    for hundredth in range(10, 30):
        day.plan_event(f"09:31:00.{hundredth}", OrdersMoved())
    day.run()

    assert [when for when in standings if "09:31:00.00" < when < "09:31:00.90"] == ["09:31:00.10"]


def test_moved_orders_that_are_not_ours_are_a_reason_to_compare_with_the_broker(bench, monkeypatch):
    day = bench(IN)
    standings = counted(day, monkeypatch, "read_standing")

    day.plan_event("09:35:07", OrdersMoved()).run()

    assert "09:35:07.00" in standings


def test_what_waits_outside_the_inbox_is_taken_once_at_each_turn_of_the_loop(bench):
    day = bench(IN)
    prices = iter([day.market.price(CONTRACTS[0].token, at("09:31:00"))] * 3)
    asked: list[int] = []

    def news():
        asked.append(1)
        price = next(prices, None)
        return () if price is None else (PriceRead(price),)

    day.begin()
    loop.run(day.trader, inbox=day.inbox, clock=day.clock, news=news)

    assert len(asked) > 3
    assert next(prices, None) is None


def test_a_day_that_is_not_traded_ends_at_once_though_nobody_answers(bench):
    dead = ReadFault(kind="login_required", since=at("09:00"), until=at("15:00"))

    day = bench(why_closed="Sunday", faults=FaultPlan(reads=(dead,))).run()

    assert f"{day.clock.now():%H:%M:%S}" == "09:14:00"
    assert not day.trader.ended_logged_out


def test_a_day_that_ends_flat_while_no_token_works_is_told_from_one_that_was_compared(bench):
    dead = ReadFault(kind="login_required", since=at("10:00"), until=at("15:00"))

    logged_out, answered = bench(faults=FaultPlan(reads=(dead,))).run(), bench().run()

    assert (logged_out.trader.ended_logged_out, answered.trader.ended_logged_out) == (True, False)


@pytest.mark.parametrize(("are_rows_gone", "is_unsure"), [(True, False), (False, True)])
def test_a_day_whose_journal_lost_rows_waits_for_a_login_until_the_market_closes(bench, are_rows_gone, is_unsure):
    dead = ReadFault(kind="login_required", since=at("09:00"), until=at("10:25"))
    day = bench(faults=FaultPlan(reads=(dead,)))
    day.floor.plan = replace(day.floor.plan, closes_at=at("10:30"))
    if are_rows_gone:
        day.plan_action("09:16", lambda: day.floor.commit(DamageFound(("rows are gone",))))

    day.run()

    assert day.trader.ended_logged_out is is_unsure
    assert (day.clock.now() >= at("10:25")) is are_rows_gone


def test_a_health_check_that_finds_a_token_again_hurries_no_trade_that_is_not_on_its_way_out(bench):
    day = bench(IN)
    day.plan_event("09:33:10", HealthRead(("x",), login_required=True))
    day.plan_event("09:33:20", HealthRead()).run()

    assert [when for when, row in day.timed(OrderIntended) if when < "09:35"] == ["09:31:00"]
    assert ReadingKey("book") not in day.trader.wishes


def test_each_call_has_the_lane_that_keeps_it_from_waiting_behind_the_others(bench):
    day = bench(OUT).run()
    effects, policy = day.floor.effects, day.machine.policies["place"]
    entry, leave = day.broker.placed

    lanes = [
        effects.send("t", entry, policy),
        effects.send("t", leave, policy),
        effects.cancel("t", entry.tag, "1", policy),
        effects.read_book(),
        effects.read_standing(),
        effects.check_health(1, timedelta(minutes=1), policy),
        effects.read_price(1),
        effects.read_candles(1, None),
    ]

    assert [job.lane for job in lanes] == ["entry", "exit", "exit", "book", "book", "book", "market", "market"]


def test_a_clock_that_is_set_back_ends_the_entries_and_says_so(bench):
    day = bench({"09:35": BUY})

    day.plan_event("09:31:07", ClockSet("the clock was set back by 60 s", is_back=True))
    day.run(fault="the clock was set back by 60 s")

    assert day.trades == []
    assert [row.reasons[-1] for row in day.rows(EntryBlocked)] == ["the clock was set back by 60 s"]
    (alarm,) = [row.text for row in day.rows(AlarmRaised) if "set back" in row.text]
    assert alarm.endswith("No entry is taken until a restart; exits go on.")


def test_time_that_a_clock_jumped_over_was_not_waited_for_the_broker(bench):
    lost = FaultPlan(orders=(OrderFault(kind="lost_request", tags="FT??????001E*"),))
    day = bench(IN, faults=lost)

    day.plan_event("09:32:10", ClockSet("the clock jumped ahead by 60 s", is_back=False)).run()

    (absent,) = [when for when, row in day.timed(OrderAnswered) if row.answer == "absent"]
    assert "09:33:40" <= absent < "09:33:50"


def test_a_clock_that_jumps_behind_the_close_leaves_five_minutes_to_an_exit(bench):
    day = bench(IN)
    day.begin()
    day.floor.clock_set_at = at("15:45")

    day.trader._give_up_after_close(at("15:46"))
    assert not day.trader.is_over
