"""What the broker holds is compared with what the journal believes; every difference has one defined answer."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fsm_trader.broker.paper.faults import FaultPlan, OrderFault, ReadFault
from fsm_trader.core.money import Paise
from fsm_trader.core.orders import NetPosition, OrderKind, OrderRequest, OrderStatus, Role, Side
from fsm_trader.core.reconcile import Rule, compare_positions
from fsm_trader.core.records import AlarmRaised, EntryBlocked, OrderAnswered, OrderIntended, Reconciled, SoldOutside
from fsm_trader.core.results import trade_result

from .bench import BUY, EXIT, Bench
from .given import strategy
from .market import CALL, LOT, PUT, ScriptedMarket, at, path
from .oracles import Killed
from .test_entries import tag

IN = {"09:30": BUY}


def by_hand(side: Side, quantity: int = LOT, *, contract=CALL, tag="HAND", limit: int | None = None) -> OrderRequest:
    return OrderRequest(
        tag=tag,
        exchange=contract.exchange,
        tradingsymbol=contract.tradingsymbol,
        token=contract.token,
        side=side,
        quantity=quantity,
        product="MIS",
        kind=OrderKind.MARKET if limit is None else OrderKind.LIMIT,
        price_paise=None if limit is None else Paise(limit),
        market_protection=Decimal(-1) if limit is None else None,
    )


def somebody(day: Bench, when: str, request: OrderRequest) -> None:
    """A person with the broker's own screen, or another program, sends an order."""
    day.plan_action(when, lambda: day.broker.inner.place(request))


def kill() -> None:
    raise Killed


def findings(day: Bench) -> list[tuple[str, str]]:
    return [(when, found.rule) for when, row in day.timed(Reconciled) for found in row.findings]


def test_a_position_sold_by_hand_closes_its_trade_and_is_not_sold_again(bench):
    day = bench(IN)
    somebody(day, "09:35", by_hand(Side.SELL))

    day.run()

    assert day.trade.state == "CLOSED"
    assert day.trade.reason == "closed_outside"
    assert day.orders(Role.EXIT) == 0
    assert [row.quantity for row in day.rows(SoldOutside)] == [LOT]
    assert (findings(day)[0], day.timed(SoldOutside)[0][0]) == (("09:36:00", Rule.SOLD_OUTSIDE), "09:36:05")
    assert "sold outside" in day.rows(AlarmRaised)[0].text


def test_what_a_hand_sale_brought_is_the_trades_result(bench):
    day = bench(IN, market=ScriptedMarket(path(("09:34", 11000))))
    somebody(day, "09:35", by_hand(Side.SELL))

    day.run()

    bought, (sold,) = day.trade.value_paise(Role.ENTRY), day.rows(SoldOutside)
    assert sold.value_paise == sum(fill.quantity * fill.price_paise for fill in day.fills(Side.SELL))
    assert trade_result(day.trade).gross_paise == sold.value_paise - bought > 0


def test_a_part_sold_by_hand_leaves_the_rest_to_be_managed(bench):
    day = bench({**IN, "09:39": EXIT}, strategies=(strategy(lots=2),))
    somebody(day, "09:35", by_hand(Side.SELL))

    day.run()

    (exit_,) = day.trade.orders_of(Role.EXIT)
    assert exit_.request.quantity == LOT
    assert day.trade.exit_reason == "strategy_exit"
    assert day.trade.state == "CLOSED"


def test_a_position_missing_in_one_read_only_is_not_believed_gone(bench):
    day = bench({**IN, "09:39": EXIT})
    real = day.broker.inner.positions
    day.broker.inner.positions = lambda: () if at("09:36") <= day.clock.now() < at("09:36:03") else real()

    day.run()

    assert day.rows(SoldOutside) == []
    assert day.trade.exit_reason == "strategy_exit"


def test_more_held_than_believed_is_left_alone_and_named_once(bench):
    day = bench({**IN, "09:39": EXIT})
    somebody(day, "09:35", by_hand(Side.BUY))
    somebody(day, "09:45", by_hand(Side.SELL))

    day.run(foreign=True)

    assert [rule for _, rule in findings(day)].count(Rule.BIGGER_OUTSIDE) == 1
    assert [order.request.quantity for order in day.trade.orders_of(Role.EXIT)] == [LOT]
    assert day.trade.state == "CLOSED"


def test_a_foreign_position_is_named_and_never_touched(bench):
    day = bench({})
    somebody(day, "09:20", by_hand(Side.BUY, contract=PUT))

    day.run(foreign=True)

    assert [rule for _, rule in findings(day)] == [Rule.FOREIGN_POSITION]
    assert day.broker.placed == []
    assert day.broker.inner.positions() == (NetPosition("NFO", PUT.tradingsymbol, "MIS", LOT),)


def test_an_entry_that_turns_up_after_it_was_given_up_is_adopted_and_led_out(bench):
    lost = FaultPlan(orders=(OrderFault(kind="lost_answer", tags="FT??????001E*"),))
    day = bench(IN, faults=lost)
    day.broker.show = lambda book: book if book.read_at >= at("09:33") else replace(book, orders=(), fills=())

    day.run()

    given_up, adopted = day.trades
    assert (given_up.state, given_up.reason) == ("FAILED", "entry_absent")
    assert (adopted.state, adopted.exit_reason) == ("CLOSED", "adopted")
    assert adopted.is_adopted
    assert len(day.fills(Side.BUY)) == len(day.fills(Side.SELL)) == 1
    assert day.orders(Role.ENTRY) == 1


def test_an_order_with_our_tag_that_the_journal_never_intended_is_led_out(bench):
    day = bench({})
    somebody(day, "09:22", by_hand(Side.BUY, tag=tag(Role.ENTRY, number=99)))

    day.run()

    assert day.trade.is_adopted
    assert (day.trade.state, day.trade.exit_reason, day.trade.strategy) == ("CLOSED", "adopted", "adopted")
    assert [rule for _, rule in findings(day)] == [Rule.UNKNOWN_ORDER]


def test_an_unknown_order_of_ours_that_rests_is_cancelled(bench):
    day = bench({})
    somebody(day, "09:22", by_hand(Side.BUY, tag=tag(Role.ENTRY, number=99), limit=5000))

    day.run()

    assert (day.trade.state, day.trade.reason) == ("FAILED", "entry_unfilled")
    assert [row.status for row in day.broker.truth.orders] == [OrderStatus.CANCELLED]


def test_an_order_of_another_session_of_the_account_is_not_ours(bench):
    foreign = tag(Role.ENTRY, number=99)
    other = foreign[:14] + "OTHER"
    day = bench({})
    somebody(day, "09:22", by_hand(Side.BUY, contract=PUT, tag=other + "0"))

    day.run(foreign=True)

    assert day.trades == []


def test_no_entry_is_taken_before_the_broker_was_asked(bench):
    silent = FaultPlan(reads=(ReadFault(kind="unavailable", since=at("09:14"), until=at("09:34:30")),))
    day = bench({"09:30": BUY, "09:36": BUY}, faults=silent)

    day.run()

    assert all("TRADING" in row.reasons[0] for row in day.rows(EntryBlocked))
    assert day.rows(EntryBlocked)[0].reasons[-1] == "the broker was not asked yet"
    assert len(day.trades) == 1


def test_an_exit_is_not_sent_again_when_the_broker_holds_nothing_any_more(bench):
    refused = FaultPlan(orders=(OrderFault(kind="refuse", tags="FT??????001X01*"),))
    day = bench({**IN, "09:39": EXIT}, faults=refused)
    somebody(day, "09:40:05", by_hand(Side.SELL))

    day.run()

    answers = [(row.tag, row.answer, row.sends) for row in day.rows(OrderAnswered)]
    assert answers[1:] == [(tag(Role.EXIT), "refused", 1), (tag(Role.EXIT, 2), "refused", 0)]
    assert day.orders(Role.EXIT) == 1
    assert day.trade.reason == "closed_outside"


def test_a_restart_says_what_it_found_and_which_rule_decided(bench):
    day = bench({**IN, "09:39": EXIT})
    day.plan_action("09:35", kill)
    assert day.run_until_killed()
    assert [trade.state for trade in day.reboot().ledger.open_trades] == ["ACTIVE"]

    day.run()

    rules = [found.rule for found in day.rows(Reconciled)[-1].findings]
    assert rules == [Rule.AS_BELIEVED]
    assert day.trade.state == "CLOSED"


def test_an_exit_that_turns_up_after_it_was_given_up_is_followed_again(bench):
    lost = FaultPlan(orders=(OrderFault(kind="lost_answer", tags="FT??????001X01*"),))
    day = bench({**IN, "09:39": EXIT}, faults=lost)
    hidden = tag(Role.EXIT)
    day.broker.show = lambda book: (
        book
        if book.read_at >= at("09:45")
        else replace(book, orders=tuple(row for row in book.orders if row.tag != hidden), fills=book.fills[:1])
    )

    day.run()

    assert day.trade.state == "CLOSED"
    assert day.orders(Role.EXIT) == 1
    assert len([row for row in day.rows(OrderIntended) if row.role is Role.EXIT]) >= 1


@given(held=st.integers(0, 300), net=st.integers(-300, 600))
def test_what_is_missing_is_found_exactly_and_never_more(held, net):
    trade = _Holding(held)

    found = compare_positions([trade], [NetPosition("NFO", "X", "MIS", net)])

    missing = sum(each.quantity for each in found if each.rule is Rule.SOLD_OUTSIDE)
    bigger = sum(each.quantity for each in found if each.rule is Rule.BIGGER_OUTSIDE)
    short = sum(each.quantity for each in found if each.rule is Rule.SHORT_OUTSIDE)
    assert held - missing + bigger - short == net
    assert 0 <= missing <= held


class _Holding:
    """The part of a trade a comparison looks at."""

    trade_id = "1"
    product = "MIS"
    has_open_order = False

    class contract:  # noqa: N801 - stands for an attribute
        exchange, tradingsymbol = "NFO", "X"

    def __init__(self, held: int) -> None:
        self.held = held
