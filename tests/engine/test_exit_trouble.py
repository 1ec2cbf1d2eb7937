"""An exit is never given up and never doubled, whatever becomes of its orders."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from itertools import count, pairwise

import pytest
from msgspec.structs import replace

from fsm_trader.broker.paper.faults import FaultPlan, OrderFault, ReadFault
from fsm_trader.broker.paper.order import happens
from fsm_trader.core.events import StopAsked
from fsm_trader.core.orders import OrderRequest, OrderStatus, Role, Side
from fsm_trader.core.records import AlarmRaised, CancelIntended, OrderIntended, SessionMoved
from fsm_trader.engine.trades import Effort

from .bench import BUY, EXIT, Bench
from .given import WHOLE_DAY, session, strategy
from .market import LOT, ScriptedMarket, at, path
from .test_entries import tag

OUT = {"09:30": BUY, "09:39": EXIT}  # The exit is decided at 09:40:00.
FALLS = ("09:40:00.1", 9000)  # The price falls through the protection of 98.00 before the order arrives.


def exit_fault(kind: str, attempts: str = "1", *, call: str = "place", requests: int = 1) -> FaultPlan:
    """Something goes wrong with the exit orders of these attempts (a set of digits)."""
    tags = f"FT??????001X0[{attempts}]*"
    return FaultPlan(orders=(OrderFault(kind=kind, tags=tags, call=call, attempts=requests),))


def exits_of(day: Bench):
    return day.trade.orders_of(Role.EXIT)


def sent(day: Bench) -> list[str]:
    """When exit orders were intended."""
    return [when for when, row in day.timed(OrderIntended) if row.role is Role.EXIT]


def seed_that_rejects(*attempts: int) -> int:
    """A seed under which exactly these exit orders, of the first four, are rejected, and the entry is not."""
    wanted = {tag(Role.EXIT, attempt): attempt in attempts for attempt in range(1, 5)} | {tag(Role.ENTRY): False}
    return next(
        seed
        for seed in count()
        if all(happens(Decimal("0.5"), seed=seed, tag=each, what="reject") is draw for each, draw in wanted.items())
    )


def test_a_rejected_exit_alarms_and_is_sent_again_after_the_time_out(bench):
    day = bench(OUT, behaviour={"rejects": Decimal("0.5"), "seed": seed_that_rejects(1)}).run()

    assert [order.status for order in exits_of(day)] == [OrderStatus.REJECTED, OrderStatus.COMPLETE]
    assert sent(day) == ["09:40:00", "09:40:10"]
    (alarm,) = day.rows(AlarmRaised)
    assert "REJECTED" in alarm.text
    assert "75 units are held" in alarm.text
    assert day.trade.state == "CLOSED"


def test_a_refused_exit_alarms_louder_each_time_and_is_never_given_up(bench):
    day = bench(OUT, faults=exit_fault("refuse", "1-6")).run()

    assert [alarm.level for alarm in day.rows(AlarmRaised)] == [2, 3, 4, 5, 6, 7]
    assert len(exits_of(day)) == 7
    assert (day.trade.state, day.trade.exit_reason) == ("CLOSED", "strategy_exit")
    assert sent(day)[:3] == ["09:40:00", "09:40:10", "09:40:20"]


def test_an_exit_that_stays_unclear_alarms_louder_each_time_though_only_one_was_sent(bench):
    day = bench(OUT, faults=exit_fault("lost_request")).run()

    levels = [alarm.level for alarm in day.rows(AlarmRaised)]
    assert len(levels) >= 8
    assert levels == list(range(2, 2 + len(levels)))


def test_an_entry_that_stays_unclear_alarms_louder_each_time(bench):
    day = bench(OUT, faults=FaultPlan(orders=(OrderFault(kind="lost_request", tags="FT??????001E*"),))).run()

    assert [alarm.level for alarm in day.rows(AlarmRaised)] == [1, 2, 3, 4]


def test_how_loud_an_alarm_was_survives_a_restart(bench):
    day = bench(OUT, faults=exit_fault("lost_request"))
    day.plan_event("09:40:45", StopAsked("SIGTERM"))
    day.run(stopped=True)
    before = [alarm.level for alarm in day.rows(AlarmRaised)]

    day.reboot().run()

    assert before == [2, 3, 4, 5]
    assert [alarm.level for alarm in day.rows(AlarmRaised)][4] == 6


def test_an_exit_whose_answer_was_lost_is_found_by_its_tag_and_not_sent_again(bench):
    day = bench(OUT, faults=exit_fault("lost_answer")).run()

    assert (exits_of(day)[0].answer, len(exits_of(day))) == ("unknown", 1)
    assert day.trade.state == "CLOSED"


def test_an_exit_that_never_arrived_is_sent_again_once_it_is_proved_absent(bench):
    day = bench(OUT, faults=exit_fault("lost_request")).run()

    first, second = exits_of(day)
    assert (first.answer, second.status) == ("absent", OrderStatus.COMPLETE)
    assert second.intended_at >= first.intended_at + timedelta(seconds=90)
    assert sum(fill.quantity for fill in day.fills(Side.SELL)) == LOT
    assert day.rows(AlarmRaised) != []


def test_an_exit_that_rests_unfilled_is_cancelled_confirmed_and_sent_at_the_new_price(bench):
    day = bench(OUT, market=ScriptedMarket(path(FALLS))).run()

    first, second = exits_of(day)
    assert first.status is OrderStatus.CANCELLED
    assert second.intended_at > first.report.updated_at
    assert [fill.price_paise for fill in day.fills(Side.SELL)] == [8990]
    assert [when for when, _ in day.timed(CancelIntended)] == ["09:40:10"]


def test_each_exit_order_has_the_whole_time_out_to_fill(bench):
    # The second one, sent at 09:40:11, rests as well: the price fell again.
    day = bench(OUT, market=ScriptedMarket(path(FALLS, ("09:40:11.1", 8000)))).run()

    assert sent(day) == ["09:40:00", "09:40:11", "09:40:22"]
    assert [when for when, _ in day.timed(CancelIntended)] == ["09:40:10", "09:40:21"]


def test_a_second_exit_is_refused_where_it_would_leave_whatever_a_machine_asks_for(bench):
    day = bench(OUT, market=ScriptedMarket(path(FALLS)))
    efforts = []

    def ask() -> None:
        effort = Effort(day.trade, day.clock.now(), [], [])
        day.trader.trades._place_exit(effort, "place_exit", day.floor.trade_machine.spec.policy_of("place_exit"))
        efforts.append(effort)

    day.plan_action("09:40:05", ask).run()

    (effort,) = efforts
    assert effort.jobs == []
    assert "another order of this trade may still be live" in effort.records[0].text


@pytest.mark.parametrize("lost", ["lost_request", "lost_answer"])
def test_an_exit_whose_cancellation_is_unknown_is_cancelled_again_and_never_doubled(bench, lost):
    day = bench(OUT, market=ScriptedMarket(path(FALLS)), faults=exit_fault(lost, call="cancel")).run()

    assert len(day.rows(CancelIntended)) == (2 if lost == "lost_request" else 1)
    assert len(exits_of(day)) == 2
    assert day.trade.state == "CLOSED"


def test_an_exit_that_fills_while_it_is_being_cancelled_is_the_only_one(bench):
    day = bench(OUT, market=ScriptedMarket(path(FALLS, ("09:40:10.1", 9900)))).run()

    assert (len(exits_of(day)), len(day.rows(CancelIntended))) == (1, 1)
    assert day.trade.state == "CLOSED"


def test_the_rest_of_a_partly_filled_exit_is_sold_and_not_a_unit_more(bench):
    market = ScriptedMarket(path(("09:40:00.4", 9000)))
    day = bench(OUT, market=market, strategies=[strategy(lots=2)], behaviour={"partial_fills": Decimal(1)}).run()

    assert [order.filled for order in exits_of(day)] == [LOT, LOT]
    assert [order.request.quantity for order in exits_of(day)] == [2 * LOT, LOT]
    assert sum(fill.quantity for fill in day.fills(Side.SELL)) == 2 * LOT


def test_a_busy_broker_is_asked_again_for_an_exit(bench):
    day = bench(OUT, faults=exit_fault("busy", requests=2)).run()

    assert [(order.sends, order.answer) for order in exits_of(day)] == [(3, "accepted")]


def test_an_exit_is_managed_while_the_book_cannot_be_read(bench):
    silence = ReadFault(kind="unavailable", since=at("09:39:30"), until=at("09:44"))
    day = bench(OUT, faults=FaultPlan(reads=(silence,))).run()

    assert len(exits_of(day)) == 1
    assert day.trade.state == "CLOSED"
    assert any("book: no usable answer 3 times in a row" in alarm.text for alarm in day.rows(AlarmRaised))


def test_an_unseen_order_is_not_absent_while_the_book_cannot_be_read(bench):
    silence = ReadFault(kind="unavailable", since=at("09:39:30"), until=at("09:44"))
    faults = FaultPlan(orders=exit_fault("lost_answer").orders, reads=(silence,))
    day = bench(OUT, faults=faults).run()

    assert len(exits_of(day)) == 1
    assert day.trade.since >= at("09:44")


def test_a_dead_token_takes_no_entry_and_the_exit_leaves_as_soon_as_it_is_back(bench):
    dead = ReadFault(kind="login_required", since=at("09:38:30"), until=at("09:50"))
    day = bench({**OUT, "09:45": BUY}, faults=FaultPlan(reads=(dead,))).run()

    assert "LOGIN_REQUIRED" in [move.dest for _, move in session_moves(day)]
    assert len(day.trades) == 1
    assert (day.trade.state, day.trade.exit_reason) == ("CLOSED", "strategy_exit")
    assert at("09:50") <= day.trade.since <= at("09:50:15")
    # Back in the day after it, with everything checked anew.
    assert [move.dest for when, move in session_moves(day) if when >= "09:50"] == ["HEALTH_CHECK", "TRADING", "CLOSED"]


def test_an_exit_refused_for_hours_ends_flat_and_within_the_tags_there_are(bench):
    dead = ReadFault(kind="login_required", since=at("09:38:30"), until=at("15:15"))
    often = {"exit_timeout": timedelta(seconds=1)}
    day = bench(OUT, faults=FaultPlan(reads=(dead,)), broker=often, session=session(**WHOLE_DAY)).run()

    assert day.trade.state == "CLOSED"
    assert day.trade.since <= at("15:30")
    assert len(exits_of(day)) < 36**2


def test_an_exit_the_exchange_cancels_by_itself_alarms_and_is_sent_again_after_the_time_out(bench):
    day = bench(OUT, market=ScriptedMarket(path(FALLS)))

    def cancel_first(request: OrderRequest, order_id: str) -> None:
        if request.tag == tag(Role.EXIT):
            day.broker.inner.cancel(order_id)

    day.broker.after_place = cancel_first
    day.run()

    assert [order.status for order in exits_of(day)] == [OrderStatus.CANCELLED, OrderStatus.COMPLETE]
    assert sent(day) == ["09:40:00", "09:40:10"]
    assert "75 units are held" in day.rows(AlarmRaised)[0].text


def test_an_exit_is_not_over_before_every_fill_was_read(bench):
    day = bench(OUT)
    # The broker shows an order as complete and tells of its fills only later, as Kite's two lists may.
    day.broker.show = lambda book: replace(
        book, fills=tuple(fill for fill in book.fills if book.read_at >= fill.at + timedelta(seconds=30))
    )
    day.run()

    assert (day.trade.state, len(exits_of(day))) == ("CLOSED", 1)
    assert at("09:40:30") <= day.trade.since <= at("09:40:35")


def test_an_order_the_book_shows_late_is_found_within_the_settling_time(bench):
    day = bench(OUT, faults=exit_fault("lost_answer"))
    day.broker.show = lambda book: replace(
        book, orders=tuple(row for row in book.orders if book.read_at >= row.updated_at + timedelta(seconds=60))
    )
    day.run()

    assert (day.trade.state, len(exits_of(day))) == ("CLOSED", 1)


def test_an_accepted_order_the_book_does_not_show_is_never_taken_for_absent(bench):
    day = bench(OUT)
    day.broker.show = lambda book: book if book.read_at >= at("09:50") else replace(book, orders=(), fills=())
    day.run()

    # The entry: accepted at 09:31, shown at 09:50. The strategy said EXIT meanwhile.
    assert (day.trade.state, day.trade.exit_reason) == ("CLOSED", "strategy_exit")
    assert day.trade.orders_of(Role.EXIT)[0].intended_at >= at("09:50")
    assert len(day.rows(AlarmRaised)) > 10


def test_one_read_without_an_order_proves_nothing(bench):
    day = bench(OUT, faults=exit_fault("lost_answer"))
    # The first read after the settling time is the last one that lacks the order.
    day.broker.show = lambda book: (
        book if book.read_at >= at("09:41:31") else replace(book, orders=book.orders[:1], fills=book.fills[:1])
    )
    day.run()

    assert (day.trade.state, len(exits_of(day))) == ("CLOSED", 1)
    assert exits_of(day)[0].answer == "unknown"


def ended(row):
    return replace(row, status=OrderStatus.CANCELLED, filled_quantity=0)


@pytest.mark.parametrize("shown_from", ["09:15", "09:33"], ids=["with the first", "when the first is done"])
def test_a_second_order_under_one_tag_raises_one_alarm_and_ends_nothing(bench, shown_from):
    day = bench(OUT)

    def doubled(book):
        seconds = [ended(replace(row, order_id=f"9{row.order_id}")) for row in book.orders]
        return book if book.read_at < at(shown_from) else replace(book, orders=(*book.orders, *seconds))

    day.broker.show = doubled
    day.run()

    assert day.trade.state == "CLOSED"
    texts = [alarm.text for alarm in day.rows(AlarmRaised)]
    assert len(texts) == 2
    assert all("orders with tag" in text for text in texts)


def test_the_pace_of_failing_exits_slows_down_to_half_a_minute(bench):
    # Each attempt has a tag of its own; the first 35 are refused.
    refused = OrderFault(kind="refuse", tags="FT??????001X0*")
    day = bench(OUT, faults=FaultPlan(orders=(refused,))).run()

    times = [order.intended_at for order in exits_of(day)]
    pauses = [round((later - earlier).total_seconds()) for earlier, later in pairwise(times)]
    # Sixteen attempts at 10 s, sixteen at 20 s, and never slower than 30 s.
    assert pauses[:15] == [10] * 15
    assert set(pauses[16:31]) == {20}
    assert max(pauses) == 30


def session_moves(day: Bench):
    return day.timed(SessionMoved)
