"""A trade is what its rows say, however often they are read."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction

import msgspec
import pytest

from fsm_trader.core.money import Paise
from fsm_trader.core.orders import OrderStatus, Role
from fsm_trader.core.records import (
    AlarmRaised,
    CancelAnswered,
    CancelIntended,
    Deadline,
    Found,
    LevelsSet,
    OrderAnswered,
    Reconciled,
    Record,
    TradeMoved,
)
from fsm_trader.core.trades import Trade, apply, open_trade
from fsm_trader.errors import HaltError

from .rows import LOT, SESSION, answered, at, bought, filled, intended, moved, opened, seen, sold, tag_of

ID = "20260617-001"
ENTRY = tag_of(1, Role.ENTRY)


def fold(*records: Record, clock: str = "09:30") -> Trade:
    trade = open_trade(opened(), at(clock), SESSION, "IDLE")
    for record in records:
        trade = apply(trade, record, at(clock))
    return trade


def test_the_position_is_the_sum_of_the_fills() -> None:
    trade = fold(
        intended(1, Role.ENTRY),
        filled(1, Role.ENTRY, 25, 10000, fill="a"),
        filled(1, Role.ENTRY, 50, 10100, fill="b"),
        intended(1, Role.EXIT),
        filled(1, Role.EXIT, 30, 12000),
    )

    assert trade.held == 45
    assert trade.average_paise(Role.ENTRY) == Fraction(25 * 10000 + 50 * 10100, 75)
    assert trade.value_paise(Role.EXIT) == 30 * 12000


def test_a_report_of_filled_units_moves_no_position_before_its_fills_are_read() -> None:
    trade = fold(intended(1, Role.ENTRY), seen(1, Role.ENTRY, OrderStatus.COMPLETE, LOT))

    assert trade.held == 0
    assert trade.has_open_order


def test_a_fill_that_is_told_twice_counts_once() -> None:
    fill = filled(1, Role.ENTRY, LOT, 10000)

    assert fold(intended(1, Role.ENTRY), fill, fill) == fold(intended(1, Role.ENTRY), fill)


@pytest.mark.parametrize("place", range(len(bought(1, 1)) + len(sold(1, 1)) - 1))
def test_a_row_that_is_applied_twice_changes_nothing_more(place) -> None:
    rows = (*bought(1, 10000), *sold(1, 12000))[1:]

    twice = (*rows[: place + 1], rows[place], *rows[place + 1 :])

    assert fold(*twice) == fold(*rows)


def test_a_tag_for_two_different_orders_is_refused() -> None:
    trade = fold(intended(1, Role.ENTRY))

    with pytest.raises(HaltError, match=f"tag {ENTRY} is intended for two different orders"):
        apply(trade, intended(1, Role.ENTRY, quantity=2 * LOT), at("09:31"))


@pytest.mark.parametrize(
    "row",
    [
        OrderAnswered(ID, "unknown-tag", "accepted", "1"),
        CancelIntended(ID, "unknown-tag", "1", "cancel"),
        CancelAnswered(ID, "unknown-tag", "accepted"),
        seen(2, Role.ENTRY, OrderStatus.WORKING, 0),
        filled(2, Role.ENTRY, LOT, 10000),
    ],
)
def test_a_row_of_an_order_the_trade_never_intended_is_refused(row) -> None:
    trade = fold(intended(1, Role.ENTRY))

    with pytest.raises(HaltError, match="no order with tag"):
        apply(trade, row, at("09:31"))


def test_an_order_is_settled_only_when_all_its_fills_were_read() -> None:
    half = fold(
        intended(1, Role.ENTRY), seen(1, Role.ENTRY, OrderStatus.COMPLETE, LOT), filled(1, Role.ENTRY, 50, 10000)
    )
    whole = apply(half, filled(1, Role.ENTRY, 25, 10000, fill="b"), at("09:31"))

    assert half.has_open_order
    assert not whole.has_open_order


@pytest.mark.parametrize(
    ("answer", "is_settled", "is_unclear"),
    [
        (None, False, True),
        ("unknown", False, True),
        ("accepted", False, True),
        ("refused", True, False),
        ("absent", True, False),
    ],
)
def test_an_order_the_book_never_showed_is_settled_by_refusal_or_absence_only(answer, is_settled, is_unclear) -> None:
    rows = () if answer is None else (OrderAnswered(ID, ENTRY, answer),)

    order = fold(intended(1, Role.ENTRY), *rows).order(ENTRY)

    assert (order.is_settled, order.is_unclear, order.status) == (is_settled, is_unclear, None)


def test_an_order_given_up_as_absent_is_open_again_when_the_book_shows_it() -> None:
    trade = fold(
        intended(1, Role.ENTRY), OrderAnswered(ID, ENTRY, "absent"), seen(1, Role.ENTRY, OrderStatus.COMPLETE, LOT)
    )

    assert trade.has_open_order
    assert not fold(intended(1, Role.ENTRY), OrderAnswered(ID, ENTRY, "absent")).has_open_order


def test_a_broker_that_goes_back_in_its_book_changes_nothing() -> None:
    rows = (intended(1, Role.ENTRY), seen(1, Role.ENTRY, OrderStatus.COMPLETE, LOT))

    assert fold(*rows, seen(1, Role.ENTRY, OrderStatus.WORKING, 0)) == fold(*rows)


def test_a_cancellation_that_is_asked_for_again_waits_for_a_new_answer() -> None:
    asked = CancelIntended(ID, ENTRY, "1-entry-1", "cancel")
    trade = fold(intended(1, Role.ENTRY), answered(1, Role.ENTRY), asked, CancelAnswered(ID, ENTRY, "refused"))

    again = apply(trade, asked, at("09:31"))

    assert trade.order(ENTRY).cancel_answer == "refused"
    assert again.order(ENTRY).cancel_answer is None
    assert again.order(ENTRY).cancel_asked_at == at("09:31")


def test_the_first_reason_to_leave_is_kept_to_the_end() -> None:
    trade = fold(*bought(1, 10000)[1:], *sold(1, 8000, reason="stop_loss"), moved(1, "CLOSED", "CLOSED", reason="late"))

    assert trade.exit_reason == "stop_loss"
    assert trade.reason == "late"


def test_a_move_that_stays_in_its_state_keeps_the_time_it_was_entered() -> None:
    trade = fold(moved(1, "IDLE", "PENDING_ENTRY"))
    deadline = Deadline(at("09:45"), "timeout")

    stays = apply(trade, TradeMoved(ID, "update", "PENDING_ENTRY", "PENDING_ENTRY", deadline=deadline), at("09:31"))
    leaves = apply(trade, moved(1, "PENDING_ENTRY", "ACTIVE"), at("09:31"))

    assert (stays.since, stays.deadline) == (at("09:30"), deadline)
    assert (leaves.since, leaves.deadline) == (at("09:31"), None)


def test_levels_are_set_as_they_are_journaled() -> None:
    until = at("10:00")

    trade = fold(LevelsSet(ID, Paise(8000), Paise(13000), until))

    assert (trade.stop_paise, trade.target_paise, trade.hold_until) == (8000, 13000, until)


def test_the_time_of_the_first_entry_fill_is_kept() -> None:
    trade = fold(
        intended(1, Role.ENTRY),
        filled(1, Role.ENTRY, 25, 10000, fill="a", clock="09:31"),
        filled(1, Role.ENTRY, 50, 10000, fill="b", clock="09:32"),
    )

    assert trade.filled_at == at("09:31")


def test_a_row_that_says_nothing_of_a_trade_leaves_it_as_it_is() -> None:
    trade = fold(intended(1, Role.ENTRY))

    reconciled = Reconciled((Found("rule", "look here"),))

    assert apply(trade, reconciled, at("09:31") + timedelta(hours=1)) == trade


def test_the_loudest_alarm_is_remembered_until_the_state_changes() -> None:
    moved = TradeMoved(ID, "check", "ACTIVE", "PENDING_EXIT")
    stayed = TradeMoved(ID, "exit_overdue", "PENDING_EXIT", "PENDING_EXIT")
    loud, softer = AlarmRaised("look", ID, 3), AlarmRaised("look", ID)

    levels = [
        fold(intended(1, Role.ENTRY), *rows).alarm_level
        for rows in ((), (softer,), (loud, softer), (loud, stayed), (loud, moved), (loud, moved, softer))
    ]

    assert levels == [0, 1, 3, 3, 0, 1]


def test_gross_result_is_exact_and_counts_what_is_held_at_the_mark() -> None:
    held = fold(*bought(1, 10001)[1:])
    thirds = fold(
        intended(1, Role.ENTRY),
        filled(1, Role.ENTRY, 50, 10000, fill="a"),
        filled(1, Role.ENTRY, 25, 10001, fill="b"),
        intended(1, Role.EXIT),
        filled(1, Role.EXIT, 25, 10001),
    )

    assert held.gross_paise() == 0
    assert held.gross_paise(10101) == LOT * 100
    assert held.gross_paise(9001) == -LOT * 1000
    assert fold(*bought(1, 10001)[1:], *sold(1, 9999)).gross_paise(5) == -LOT * 2
    # 25 sold at 10001 that cost 10000 1/3 each on average: 16 2/3 paise.
    assert thirds.gross_paise() == 17
    assert type(thirds.gross_paise()) is int


def test_a_trade_that_never_filled_made_nothing_and_used_no_order() -> None:
    trade = fold(intended(1, Role.ENTRY), OrderAnswered(ID, ENTRY, "refused"))

    assert (trade.gross_paise(9999), trade.executed_orders, trade.average_paise(Role.ENTRY)) == (0, 0, None)


def test_brokerage_is_counted_by_orders_with_a_fill() -> None:
    trade = fold(
        *bought(1, 10000)[1:],
        intended(1, Role.EXIT),
        intended(1, Role.EXIT, attempt=2),
        filled(1, Role.EXIT, 25, 10000, attempt=2, fill="a"),
        filled(1, Role.EXIT, 50, 10000, attempt=2, fill="b"),
    )

    assert trade.executed_orders == 2
    assert [order.attempt for order in trade.orders_of(Role.EXIT)] == [1, 2]
    assert trade.last_order(Role.EXIT) == trade.order(tag_of(1, Role.EXIT, 2))


def test_a_trade_is_a_value_and_folding_never_changes_the_one_before() -> None:
    before = fold(intended(1, Role.ENTRY))
    kept = msgspec.structs.replace(before)

    apply(before, filled(1, Role.ENTRY, LOT, 10000), at("09:31"))

    assert before == kept
    with pytest.raises(AttributeError, match="immutable"):
        before.state = "CLOSED"  # type: ignore[misc]  # the test is that this is refused
