"""Two tellings of one order are merged without ever going back."""

from __future__ import annotations

import msgspec
import pytest

from fsm_trader.core.orders import OrderStatus, Role, merge

from .rows import report

WORKING = report(1, Role.ENTRY, OrderStatus.WORKING, 25)


@pytest.mark.parametrize("status", [OrderStatus.COMPLETE, OrderStatus.CANCELLED, OrderStatus.REJECTED])
def test_a_terminal_status_never_reverts(status) -> None:
    over = report(1, Role.ENTRY, status, 25, message="as it ended")

    assert merge(over, WORKING) == over
    assert merge(WORKING, over) == over


@pytest.mark.parametrize("status", list(OrderStatus))
def test_filled_quantity_never_falls(status) -> None:
    late = report(1, Role.ENTRY, status, 0)

    assert merge(WORKING, late).filled_quantity == 25
    assert merge(WORKING, late).status is status


def test_a_fill_that_shows_up_after_the_end_still_counts() -> None:
    cancelled = report(1, Role.ENTRY, OrderStatus.CANCELLED, 0)

    found = merge(cancelled, report(1, Role.ENTRY, OrderStatus.WORKING, 50))

    assert found == msgspec.structs.replace(cancelled, filled_quantity=50)


def test_the_first_telling_is_taken_as_it_is() -> None:
    assert merge(None, WORKING) is WORKING


def test_reports_of_two_orders_are_never_merged() -> None:
    with pytest.raises(ValueError, match="other-order merged into order 1-entry-1"):
        merge(WORKING, report(1, Role.ENTRY, OrderStatus.COMPLETE, 75, order_id="other-order"))


def test_only_a_working_order_may_still_fill() -> None:
    assert [status for status in OrderStatus if not status.is_terminal] == [OrderStatus.WORKING]
