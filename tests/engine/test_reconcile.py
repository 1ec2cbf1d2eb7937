"""What the broker holds is compared with what the journal believes; every difference has one defined answer."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fsm_trader.broker.paper.faults import FaultPlan, OrderFault, ReadFault
from fsm_trader.core.money import Paise
from fsm_trader.core.orders import (
    NetPosition,
    OrderBook,
    OrderKind,
    OrderReport,
    OrderRequest,
    OrderStatus,
    Role,
    Side,
)
from fsm_trader.core.reconcile import Rule, compare_positions, net_in_book
from fsm_trader.core.records import (
    AlarmRaised,
    DamageFound,
    EntryBlocked,
    OrderAdopted,
    OrderAnswered,
    OrderIntended,
    Reconciled,
    SoldOutside,
)
from fsm_trader.core.results import trade_result

from .bench import BUY, EXIT, Bench
from .given import risk, strategy
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


def test_a_first_exit_looks_at_what_is_held_and_sells_nothing_that_a_person_just_sold(bench):
    day = bench({**IN, "09:39": EXIT})
    somebody(day, "09:39:48", by_hand(Side.SELL))

    day.run()

    (answer,) = [row for row in day.rows(OrderAnswered) if row.tag == tag(Role.EXIT)]
    assert (answer.answer, answer.sends) == ("refused", 0)
    assert "the broker holds 0" in answer.message
    assert day.orders(Role.EXIT) == 0
    assert (day.trade.state, day.trade.reason) == ("CLOSED", "closed_outside")


def test_positions_that_cannot_be_read_keep_no_exit_from_leaving(bench):
    silent = ReadFault(kind="unavailable", since=at("09:39:59"), until=at("09:42"))
    day = bench({**IN, "09:39": EXIT}, faults=FaultPlan(reads=(silent,)))

    day.run()

    answers = [(when, row.answer) for when, row in day.timed(OrderAnswered) if row.tag == tag(Role.EXIT)]
    assert [answer for _, answer in answers] == ["accepted"]
    assert answers[0][0] < "09:40:05"
    assert (day.trade.state, day.trade.exit_reason) == ("CLOSED", "strategy_exit")


def test_no_exit_leaves_without_a_look_while_no_token_works_and_one_with_a_look_as_soon_as_one_does(bench):
    dead = ReadFault(kind="login_required", since=at("09:39:59"), until=at("09:42"))
    day = bench({**IN, "09:39": EXIT}, faults=FaultPlan(reads=(dead,)))
    somebody(day, "09:39:48", by_hand(Side.SELL))

    day.run()

    answers = [row for row in day.rows(OrderAnswered) if row.tag != tag(Role.ENTRY)]
    assert [row.sends for row in answers] == [0] * len(answers)
    assert "what is held cannot be asked for" in answers[0].message
    assert "the broker holds 0" in answers[-1].message
    assert day.orders(Role.EXIT) == 0
    assert (day.trade.state, day.trade.reason) == ("CLOSED", "closed_outside")


def test_after_rows_were_lost_no_exit_leaves_before_one_that_is_on_its_way_has_shown_itself(bench):
    day = bench({**IN, "09:39": EXIT})
    day.plan_action("09:39", lambda: day.floor.commit(DamageFound(("rows are gone",))))

    day.run()

    answers = [(when, row.answer, row.sends) for when, row in day.timed(OrderAnswered) if row.tag != tag(Role.ENTRY)]
    # Rows were found gone at 09:39; ``broker.settle`` is 90 s.
    assert answers == [("09:40:00", "refused", 0), ("09:40:30", "accepted", 1)]
    refused = next(row for row in day.rows(OrderAnswered) if row.answer == "refused")
    assert "nothing is sold before 09:40:30" in refused.message
    assert (day.trade.state, day.trade.exit_reason) == ("CLOSED", "strategy_exit")


def test_the_wait_after_lost_rows_begins_anew_with_a_set_clock_and_is_never_longer_than_itself(bench):
    day = bench({})
    day.begin()
    settle = day.settings.broker.settle
    day.floor.commit(DamageFound(("rows are gone",)))
    found_at = day.clock.now()
    assert day.floor.sure_from == found_at + settle

    day.floor.clock_set_at = found_at + timedelta(hours=1)
    assert day.floor.sure_from == found_at + timedelta(hours=1) + settle

    # Found by an earlier process whose clock was an hour ahead of this one's.
    day.floor.clock_set_at = None
    day.floor._damaged_before = day.ledger.damaged_at = found_at + timedelta(hours=1)
    assert day.floor.sure_from == found_at + settle


def test_an_entry_and_an_exit_that_the_network_doubled_are_told_and_counted_at_what_they_brought(bench):
    day = bench({**IN, "09:39": EXIT})
    somebody(day, "09:31:01", by_hand(Side.BUY, tag=tag(Role.ENTRY)))
    somebody(day, "09:40:01", by_hand(Side.SELL, tag=tag(Role.EXIT)))

    day.run(foreign=True)

    first, second = day.trades
    assert (first.state, first.exit_reason) == ("CLOSED", "strategy_exit")
    assert (second.state, second.reason) == ("CLOSED", "closed_outside")
    (gone,) = day.rows(SoldOutside)
    assert gone.value_paise is not None
    assert [row.text for row in day.rows(AlarmRaised) if "the book holds 2 orders with tag" in row.text]
    assert day.broker.inner.positions() == ()


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


def shown_empty(day: Bench, since: str, until: str) -> None:
    """The broker shows no position from one moment to another, and no sale in its book."""
    true = day.broker.positions

    def shown() -> tuple[NetPosition, ...]:
        return () if at(since) <= day.clock.now() < at(until) else true()

    day.broker.positions = shown


def test_a_position_that_is_shown_late_is_not_written_off(bench):
    day = bench({"09:30": BUY, "09:40": EXIT})
    shown_empty(day, "09:32", "09:33:20")

    day.run()

    assert day.rows(SoldOutside) == []
    assert (day.trade.state, day.trade.exit_reason) == ("CLOSED", "strategy_exit")


def test_a_position_that_is_not_shown_and_was_sold_by_nobody_is_held_told_once_and_left_by_the_book(bench):
    day = bench({"09:30": BUY, "09:35": BUY, "09:40": EXIT}, strategies=(strategy("one"), strategy("two")))
    shown_empty(day, "09:32", "17:00")

    day.run()

    assert day.rows(SoldOutside) == []
    told = [when for when, row in day.timed(AlarmRaised) if "do not show" in row.text]
    assert told == ["09:33:30"] * len(day.trades)
    assert {(trade.state, trade.exit_reason) for trade in day.trades} == {("CLOSED", "strategy_exit")}
    assert day.orders(Role.EXIT) == len(day.trades)


def test_nothing_is_bought_while_the_broker_does_not_show_what_is_held(bench):
    two = (strategy("one"), strategy("two"))
    day = bench({"one": {"09:30": BUY}, "two": {"09:35": BUY}}, strategies=two, limits=risk(max_open_trades=2))
    shown_empty(day, "09:32", "17:00")

    day.run()

    (blocked,) = day.rows(EntryBlocked)
    assert blocked.reasons == (f"the broker does not show what {day.trades[0].trade_id} holds",)
    assert len(day.trades) == 1


def test_of_a_position_that_is_not_shown_the_part_that_the_book_says_was_sold_by_hand_is_not_sold_again(bench):
    day = bench({"09:30": BUY, "09:40": EXIT}, strategies=(strategy(lots=2),))
    shown_empty(day, "09:32", "17:00")
    somebody(day, "09:39:50", by_hand(Side.SELL))

    day.run()

    assert [row.quantity for row in day.rows(SoldOutside)] == [LOT]
    assert day.trade.state == "CLOSED"
    sold = sum(fill.quantity for fill in day.fills(Side.SELL))
    assert sold == 2 * LOT


def test_a_position_that_somebody_converted_is_believed_gone_after_the_settling_time(bench):
    day = bench({"09:30": BUY})
    true = day.broker.positions

    def converted() -> tuple[NetPosition, ...]:
        is_over = day.clock.now() >= at("09:32")
        return tuple(replace(each, product="NRML") if is_over else each for each in true())

    day.broker.positions = converted

    day.run(foreign=True)

    assert [when for when, _ in day.timed(SoldOutside)] == ["09:33:30"]
    assert (day.trade.state, day.trade.reason) == ("CLOSED", "closed_outside")


def test_the_exit_of_a_position_that_seems_gone_reads_it_first(bench):
    day = bench({"09:30": BUY, "09:32": EXIT})
    shown_empty(day, "09:32", "09:33:20")

    day.run()

    answers = [row.message for row in day.rows(OrderAnswered) if row.answer == "refused"]
    assert [message.split(",")[0] for message in answers] == [f"the broker holds 0 {CALL.tradingsymbol}"] * len(answers)
    assert answers
    assert (day.trade.state, day.trade.exit_reason) == ("CLOSED", "strategy_exit")
    assert day.rows(SoldOutside) == []


def test_an_adoption_that_is_killed_halfway_is_led_out_by_the_next_process(bench):
    # The order is done already, so no later read of the book tells anything new of it.
    day = bench({}, market=ScriptedMarket(path(("09:30", 10000))))
    somebody(day, "09:31", by_hand(Side.BUY, tag=tag(Role.ENTRY, number=7)))
    append = day.journal.append

    def killed_after(when, session_id, records):
        entries = append(when, session_id, records)
        if any(isinstance(record, OrderAdopted) for record in records):
            day.journal.append = append
            raise Killed
        return entries

    day.journal.append = killed_after
    assert day.run_until_killed()

    day.reboot().run()

    assert (day.trade.state, day.trade.exit_reason) == ("CLOSED", "adopted")


def test_an_order_that_turns_up_when_the_day_is_over_is_led_out_at_the_pace_of_a_trade(bench):
    day = bench({})
    reads = []
    somebody(day, "10:09:59", by_hand(Side.BUY, tag=tag(Role.ENTRY, number=7)))
    true = day.broker.positions

    def counted():
        reads.append(day.clock.now())
        return true()

    day.broker.positions = counted

    day.run()

    assert [trade.state for trade in day.trades] == ["CLOSED"]
    assert len([when for when in reads if when >= at("10:10")]) < 20


def test_an_exit_whose_rows_are_gone_is_followed_in_its_trade_and_none_is_sent_beside_it(bench):
    day = bench({"09:30": BUY, "09:34": EXIT})
    somebody(day, "09:32:30", by_hand(Side.SELL, tag=tag(Role.EXIT), limit=10500))

    day.run()

    exits = [row for row in day.broker.truth.orders if row.side is Side.SELL]
    assert [row.filled_quantity for row in exits] == [0, LOT]
    assert [row.tag for row in exits] == [tag(Role.EXIT), tag(Role.EXIT, 2)]
    assert exits[0].status is OrderStatus.CANCELLED
    assert (day.trade.state, day.trade.exit_reason) == ("CLOSED", "strategy_exit")


def test_an_exit_whose_rows_are_gone_and_that_fills_ends_its_trade(bench):
    day = bench({"09:30": BUY}, market=ScriptedMarket(path(("09:36", 10600))))
    somebody(day, "09:32:30", by_hand(Side.SELL, tag=tag(Role.EXIT), limit=10500))

    day.run()

    assert (day.trade.state, day.trade.reason) == ("CLOSED", "closed_outside")
    assert day.orders(Role.EXIT) == 0
    assert day.trade.filled(Role.EXIT) == LOT


def test_a_number_at_the_broker_is_not_given_to_another_trade(bench):
    day = bench({"09:30": BUY})
    somebody(day, "09:20", by_hand(Side.BUY, tag=tag(Role.ENTRY, number=4), limit=100))

    day.run()

    assert [(trade.number, trade.is_adopted) for trade in day.trades] == [(5, True), (6, False)]


def test_an_adopted_order_whose_position_is_gone_is_not_sold_again(bench):
    day = bench({})
    somebody(day, "09:31:10", by_hand(Side.BUY, tag=tag(Role.ENTRY, number=7)))
    somebody(day, "09:31:40", by_hand(Side.SELL))

    day.run(foreign=True)

    assert day.trade.is_adopted
    assert day.orders(Role.EXIT) == 0
    assert (day.trade.state, day.trade.reason) == ("CLOSED", "closed_outside")


def test_a_second_order_under_the_tag_of_a_trade_that_is_over_is_led_out(bench):
    day = bench({"09:30": BUY, "09:34": EXIT})
    somebody(day, "09:40", by_hand(Side.BUY, tag=tag(Role.ENTRY)))

    day.run()

    assert [trade.state for trade in day.trades] == ["CLOSED", "CLOSED"]
    assert day.trades[1].is_adopted
    assert sum(fill.quantity for fill in day.fills(Side.SELL)) == 2 * LOT


def test_an_exit_that_this_journal_does_not_know_keeps_a_second_one_from_leaving_at_a_start(bench):
    # The rows of the first exit are gone, it rests at the broker, and the strategy's word is still to be followed.
    day = bench({"09:30": BUY, "09:34": EXIT})
    day.plan_action("09:34:30", lambda: day.broker.inner.place(by_hand(Side.SELL, tag=tag(Role.EXIT), limit=10500)))
    append = day.journal.append

    def killed_before_the_exit(when, session_id, records):
        if any(isinstance(record, OrderIntended) and record.role is Role.EXIT for record in records):
            day.journal.append = append
            raise Killed
        return append(when, session_id, records)

    day.journal.append = killed_before_the_exit
    assert day.run_until_killed()
    day.let_pass("09:36")

    day.reboot().run()

    exits = [row for row in day.broker.truth.orders if row.side is Side.SELL]
    assert sum(row.filled_quantity for row in exits) == LOT
    assert len({row.tag for row in exits}) == len(exits)
    assert day.trade.state == "CLOSED"


def test_a_position_that_shows_again_after_it_was_written_off_is_an_alarm(bench):
    day = bench({"09:30": BUY})
    true = day.broker.positions

    def shown() -> tuple[NetPosition, ...]:
        is_away = at("09:32") <= day.clock.now() < at("09:40")
        return tuple(replace(each, product="NRML") if is_away else each for each in true())

    day.broker.positions = shown

    day.run(foreign=True)

    assert day.trade.reason == "closed_outside"
    alarms = [row.text for row in day.rows(AlarmRaised)]
    assert any("no open trade of ours holds them" in text and "needs a person" in text for text in alarms)


def test_what_is_suspected_of_a_position_stands_while_its_exit_is_looking(bench):
    # Every exit looks, finds nothing, and is refused; the comparison must not begin to count anew each time.
    day = bench({"09:30": BUY, "09:33": EXIT})
    shown_empty(day, "09:32:05", "17:00")

    day.run()

    assert [when for when, row in day.timed(AlarmRaised) if "do not show" in row.text] == ["09:34:30"]
    assert tuple(row.answer for row in (day.rows(OrderAnswered)[1], day.rows(OrderAnswered)[-1])) == (
        "refused",
        "accepted",
    )
    assert day.trade.state == "CLOSED"


def test_a_position_that_was_converted_and_sold_under_the_other_product_is_not_sold_again(bench):
    day = bench({"09:30": BUY, "09:40": EXIT})
    true, book = day.broker.positions, day.broker.show

    def shown() -> tuple[NetPosition, ...]:
        return () if day.clock.now() >= at("09:32") else true()

    def with_a_sale(seen):
        if day.clock.now() < at("09:32"):
            return book(seen)
        sold = replace(seen.orders[0], order_id="H1", tag="HAND", side=Side.SELL, product="NRML")
        return replace(book(seen), orders=(*book(seen).orders, sold))

    day.broker.positions, day.broker.show = shown, with_a_sale

    day.run(foreign=True)

    assert day.orders(Role.EXIT) == 0
    assert [when for when, _ in day.timed(SoldOutside)] == ["09:33:30"]


def test_a_book_with_a_row_that_could_not_be_read_is_no_proof_that_nobody_sold(bench):
    day = bench({"09:30": BUY, "09:40": EXIT})
    shown_empty(day, "09:32", "17:00")
    day.broker.show = lambda seen: replace(seen, is_whole=False)

    day.run(foreign=True)

    assert day.orders(Role.EXIT) == 0
    assert [when for when, _ in day.timed(SoldOutside)] == ["09:33:30"]


def test_a_row_that_a_book_holds_twice_counts_once():
    row = OrderReport("1", None, "NFO", "X", 1, Side.BUY, "MIS", 75, 75, OrderStatus.COMPLETE, at("09:31"))

    assert net_in_book(OrderBook((row, row), (), at("09:32")), ("NFO", "X", "MIS")) == 75


def test_a_defect_in_the_look_before_an_exit_keeps_no_position_from_being_left(bench, monkeypatch):
    day = bench({**IN, "09:39": EXIT})
    monkeypatch.setattr(day.floor.effects, "_glance", lambda: 1 // 0)

    day.run()

    assert (day.trade.state, day.trade.exit_reason) == ("CLOSED", "strategy_exit")
    assert day.orders(Role.EXIT) == 1
