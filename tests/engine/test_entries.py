"""What may become of an entry order: never two, never a blind second, and FAILED only where nothing is held."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from fsm_trader.broker.paper.faults import FaultPlan, OrderFault
from fsm_trader.core.orders import OrderStatus, Role, Side
from fsm_trader.core.records import AlarmRaised, CancelIntended, EntryBlocked, OrderAnswered, TradeMoved
from fsm_trader.core.tags import TagParts, make_tag, owner_of

from .bench import BUY, EXIT, Bench
from .given import session, strategy
from .market import DAY, LOT, ScriptedMarket, at, path

IN = {"09:30": BUY}
RESTS = ("09:31:00.1", 10500)  # The price runs away before the order reaches the market: it rests at 102.00.


def tag(role: Role, attempt: int = 1, *, number: int = 1) -> str:
    return make_tag(TagParts(DAY, number, role, attempt, owner_of("bench")))


def entry_fault(kind: str, *, attempts: int = 1, call: str = "place") -> FaultPlan:
    return FaultPlan(orders=(OrderFault(kind=kind, tags="FT??????001E*", attempts=attempts, call=call),))


def only_entry(day: Bench):
    (order,) = day.trades[0].orders_of(Role.ENTRY)
    return order


def test_a_refused_entry_fails_with_nothing_held_and_the_next_signal_may_enter(bench):
    day = bench({**IN, "09:32": BUY}, faults=entry_fault("refuse")).run()

    first, second = day.trades
    assert (first.state, first.reason, first.held) == ("FAILED", "entry_refused", 0)
    assert only_entry(day).sends == 1
    assert second.state == "CLOSED"


def test_a_busy_broker_is_asked_once_more_half_a_second_later_for_one_entry(bench):
    day = bench(IN, faults=entry_fault("busy", attempts=1)).run()

    assert (only_entry(day).sends, only_entry(day).answer) == (2, "accepted")
    answered = [row.at for row in day.entries if isinstance(row.record, OrderAnswered)]
    assert answered[0] == at("09:31:00") + timedelta(milliseconds=500)
    assert [row.tag for row in day.broker.truth.orders if row.side is Side.BUY] == [tag(Role.ENTRY)]


def test_an_entry_is_given_up_while_its_signal_is_young_when_the_broker_stays_busy(bench):
    day = bench(IN, faults=entry_fault("busy", attempts=9)).run()

    assert (day.trade.state, day.trade.reason, only_entry(day).sends) == ("FAILED", "entry_refused", 2)
    assert day.broker.truth.orders == ()


def test_an_entry_whose_answer_was_lost_is_found_by_its_tag_and_managed_to_flat(bench):
    day = bench(IN, faults=entry_fault("lost_answer")).run()

    assert only_entry(day).answer == "unknown"
    assert (day.trade.state, day.trade.exit_reason) == ("CLOSED", "max_hold")
    assert day.orders(Role.ENTRY) == 1


def test_an_entry_that_never_arrived_is_absent_after_the_settling_time_and_not_before(bench):
    day = bench(IN, faults=entry_fault("lost_request")).run()

    assert (day.trade.state, day.trade.reason) == ("FAILED", "entry_absent")
    assert day.trade.since >= at("09:32:30")
    assert day.trade.since <= at("09:32:35")
    assert day.orders(Role.ENTRY) == 1


def test_the_settling_time_begins_when_the_last_request_left(bench):
    # Busy at 09:31:00, lost half a second later: what was sent then may be shown until 09:32:30.5.
    faults = FaultPlan(
        orders=(
            OrderFault(kind="busy", tags="FT??????001E*", attempts=1),
            OrderFault(kind="lost_request", tags="FT??????001E*", attempts=2),
        )
    )
    day = bench(IN, faults=faults).run()

    assert (day.trade.reason, only_entry(day).sends) == ("entry_absent", 2)
    assert day.trade.since >= at("09:32:30") + timedelta(milliseconds=500)


def test_an_entry_of_unknown_fate_alarms_while_it_is_looked_for_and_blocks_the_strategy(bench):
    day = bench({**IN, "09:31": BUY}, faults=entry_fault("lost_request")).run()

    assert len(day.trades) == 1
    assert [when for when, _ in day.timed(AlarmRaised)] == ["09:31:20", "09:31:40", "09:32:00", "09:32:20"]
    assert "the strategy has an open trade" in day.rows(EntryBlocked)[0].reasons


def test_an_entry_the_exchange_rejects_after_it_was_accepted_fails_with_nothing_held(bench):
    day = bench(IN, behaviour={"rejects": Decimal(1)}).run()

    assert (day.trade.state, day.trade.reason, day.trade.held) == ("FAILED", "entry_unfilled", 0)
    assert only_entry(day).status is OrderStatus.REJECTED
    assert "Rejected" in only_entry(day).message


def test_an_unfilled_entry_is_cancelled_at_its_time_out_and_fails(bench):
    day = bench(IN, market=ScriptedMarket(path(RESTS))).run()

    assert (day.trade.state, day.trade.reason) == ("FAILED", "entry_unfilled")
    assert [when for when, _ in day.timed(CancelIntended)] == ["09:31:20"]
    assert only_entry(day).status is OrderStatus.CANCELLED


def test_an_entry_that_fills_while_it_is_being_cancelled_is_held_and_managed(bench):
    market = ScriptedMarket(path(RESTS, ("09:31:20.1", 10100)))
    day = bench(IN, market=market).run()

    assert len(day.rows(CancelIntended)) == 1
    assert (day.trade.state, day.trade.exit_reason) == ("CLOSED", "max_hold")
    assert day.trade.filled(Role.ENTRY) == LOT


def test_an_entry_that_filled_just_before_the_cancellation_is_held_and_managed(bench):
    # The book is read once in a long while, so the trader does not know of the fill when it asks to cancel.
    market = ScriptedMarket(path(RESTS, ("09:31:19", 10100)))
    day = bench(IN, market=market, broker={"order_poll_interval": timedelta(seconds=15)}).run()

    assert only_entry(day).cancel_answer == "refused"
    assert (day.trade.state, day.trade.exit_reason) == ("CLOSED", "max_hold")


@pytest.mark.parametrize("lost", ["lost_request", "lost_answer"])
def test_a_cancellation_whose_answer_is_unknown_is_settled_by_the_book(bench, lost):
    day = bench(IN, market=ScriptedMarket(path(RESTS)), faults=entry_fault(lost, call="cancel")).run()

    assert (day.trade.state, day.trade.reason) == ("FAILED", "entry_unfilled")
    assert len(day.rows(CancelIntended)) == (2 if lost == "lost_request" else 1)


def test_a_partly_filled_entry_is_cut_at_its_time_out_and_sells_exactly_what_it_got(bench):
    # One lot of two fills at 09:31:00.3, then the price runs away from the other.
    market = ScriptedMarket(path(("09:31:00.4", 10500), ("09:40", 10000)))
    day = bench(IN, market=market, strategies=[strategy(lots=2)], behaviour={"partial_fills": Decimal(1)}).run()

    assert day.trade.filled(Role.ENTRY) == LOT
    assert (day.trade.state, day.trade.stop_paise) == ("CLOSED", 8010)
    assert [request.quantity for request in day.broker.placed] == [2 * LOT, LOT]


def test_a_square_off_cancels_a_pending_entry(bench):
    hours = session(trading=replace_window("09:31:05"), square_off=at("09:31:10").time())
    day = bench(IN, market=ScriptedMarket(path(RESTS)), session=hours).run()

    assert [when for when, _ in day.timed(CancelIntended)] == ["09:31:10"]
    assert (day.trade.state, day.ledger.state) == ("FAILED", "CLOSED")
    assert day.broker.cancels == 1


def test_a_square_off_sells_whatever_a_pending_entry_got(bench):
    hours = session(trading=replace_window("09:31:05"), square_off=at("09:31:10").time())
    market = ScriptedMarket(path(("09:31:00.4", 10500)))
    twice = [strategy(lots=2)]
    day = bench(IN, market=market, session=hours, strategies=twice, behaviour={"partial_fills": Decimal(1)}).run()

    assert (day.trade.state, day.trade.exit_reason) == ("CLOSED", "square_off")
    assert [request.quantity for request in day.broker.placed] == [2 * LOT, LOT]


def test_no_contract_that_fits_is_a_reason_in_the_journal_and_no_trade(bench):
    day = bench(IN, contracts=()).run()

    assert day.trades == []
    (blocked,) = day.rows(EntryBlocked)
    assert blocked.reasons[0].startswith("option selection: ")
    assert day.broker.placed == []


def test_a_second_entry_waits_until_the_first_trade_is_over(bench):
    day = bench({**IN, "09:35": BUY, "09:40": EXIT, "09:41": BUY}).run()

    assert [trade.number for trade in day.trades] == [1, 2]
    assert [move.trade_id for move in day.rows(TradeMoved) if move.trigger == "enter"] == [
        "20260617-001",
        "20260617-002",
    ]
    assert len({request.tag for request in day.broker.placed}) == 4


def replace_window(end: str):
    return session().trading.__class__(at("09:20").time(), at(end).time())
