"""A position above the freeze quantity is bought and sold in parts, one after the other, each an order of its own."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fsm_trader.broker.paper.faults import FaultPlan, OrderFault
from fsm_trader.broker.paper.order import happens
from fsm_trader.core.events import Asked, ContractsRead, StopAsked
from fsm_trader.core.orders import OrderStatus, Role, Side
from fsm_trader.core.parts import count_parts, largest_part, next_part
from fsm_trader.core.records import (
    AlarmRaised,
    CancelIntended,
    EntryBlocked,
    LevelsSet,
    OrderIntended,
    TradeMoved,
    TradeOpened,
)
from fsm_trader.core.settings import Window

from .bench import BUY, EXIT, Bench, trade_machine
from .given import risk, session, strategy
from .market import LOT, ScriptedMarket, at, option, path
from .test_entries import tag

OUT = {"09:30": BUY, "09:39": EXIT}
EXIT_PARTS = (
    "  - {trigger: exit_update, source: PENDING_EXIT, dest: null, conditions: exit_part_done, after: place_exit, "
    "reason: exit_part}\n"
)


def frozen_at(units: int | None):
    return (option(24400, freeze=units),)


def lowered(bench, freeze: int, *, lots: int = 5, **kept) -> Bench:
    """A day on which *lots* are bought in one order, and the freeze quantity is lower when a new process leads out."""
    day = bench(OUT, strategies=[strategy(lots=lots)], **kept)
    day.plan_event("09:35", StopAsked("SIGTERM")).run(stopped=True)
    return day.reboot(contracts=frozen_at(freeze))


def sizes(day: Bench, side: Side) -> list[int]:
    return [request.quantity for request in day.broker.placed if request.side is side]


def reasons(day: Bench, dest: str) -> list[str]:
    return [row.reason for row in day.rows(TradeMoved) if row.dest == dest]


@given(lots=st.integers(1, 400), freeze=st.integers(LOT, 3_000))
def test_parts_add_up_and_none_is_above_the_freeze_quantity(lots, freeze):
    contract, left, sent = option(24400, freeze=freeze), lots * LOT, []
    while left:
        sent.append(next_part(left, contract))
        left -= sent[-1]

    assert sum(sent) == lots * LOT
    assert all(0 < part <= freeze and part % LOT == 0 for part in sent)
    assert len(sent) == count_parts(lots * LOT, contract)


def test_without_a_known_freeze_quantity_there_is_one_part():
    assert (next_part(99 * LOT, option(1, freeze=None)), count_parts(99 * LOT, option(1, freeze=None))) == (99 * LOT, 1)
    assert largest_part(option(1, freeze=None)) is None


def test_a_freeze_quantity_below_one_lot_still_lets_one_lot_be_tried():
    assert (largest_part(option(1, freeze=LOT - 1)), next_part(3 * LOT, option(1, freeze=LOT - 1))) == (0, LOT)


def test_an_exit_above_a_freeze_quantity_that_was_lowered_leaves_in_parts_at_once(bench):
    day = lowered(bench, 2 * LOT + 10).run()

    assert sizes(day, Side.SELL) == [2 * LOT, 2 * LOT, LOT]
    assert [order.attempt for order in day.trade.orders_of(Role.EXIT)] == [1, 2, 3]
    assert (day.trade.state, day.trade.exit_reason) == ("CLOSED", "strategy_exit")
    assert reasons(day, "PENDING_EXIT") == ["strategy_exit", "exit_part", "exit_part"]
    assert day.trade.orders[-1].intended_at - day.trade.orders[1].intended_at < timedelta(seconds=5)
    assert day.rows(AlarmRaised) == []


def test_the_freeze_quantity_of_todays_contracts_counts_as_soon_as_they_are_read(bench):
    day = bench(OUT, strategies=[strategy(lots=3)])
    day.plan_event("09:35", ContractsRead(frozen_at(LOT)))
    day.plan_action("09:35", lambda: day.oracles.know(frozen_at(LOT))).run()

    assert sizes(day, Side.SELL) == [LOT, LOT, LOT]


def test_a_contract_that_is_not_listed_any_more_keeps_the_freeze_quantity_it_was_bought_with(bench):
    day = bench({"09:30": BUY, "09:39": EXIT}, contracts=frozen_at(LOT))
    day.plan_event("09:35", ContractsRead(())).run()

    assert day.trader.trades.parts.next_of(day.trade, 5 * LOT) == LOT
    assert day.trader.trades.parts.next_of(replace(day.trade, contract=option(24400, freeze=None)), 5 * LOT) == 5 * LOT


def test_a_machine_of_an_older_journal_sends_the_next_part_at_its_time_out(bench):
    day = lowered(bench, 2 * LOT, lots=3, machine=trade_machine((EXIT_PARTS, ""))).run()

    first, second = day.trade.orders_of(Role.EXIT)
    assert sizes(day, Side.SELL) == [2 * LOT, LOT]
    assert second.intended_at - first.intended_at == timedelta(seconds=10)
    assert reasons(day, "PENDING_EXIT") == ["strategy_exit", "exit_again"]
    assert day.trade.state == "CLOSED"


@pytest.mark.parametrize("kind", ["lost_answer", "lost_request", "refuse", "busy", "server_error"])
@pytest.mark.parametrize("part", [1, 2])
def test_whatever_becomes_of_a_part_of_an_exit_the_rest_is_sold_and_never_twice(bench, kind, part):
    faults = FaultPlan(orders=(OrderFault(kind=kind, tags=f"FT??????001X0{part}*", attempts=1),))
    day = lowered(bench, LOT, lots=3, faults=faults).run()

    assert day.trade.state == "CLOSED"
    assert sum(fill.quantity for fill in day.fills(Side.SELL)) == 3 * LOT


def test_a_part_of_an_exit_that_rests_is_cancelled_before_anything_else_is_sold(bench):
    falls = ScriptedMarket(path(("09:40:01.1", 8500)))
    day = lowered(bench, 2 * LOT, lots=4, market=falls).run()

    first, second, third = day.trade.orders_of(Role.EXIT)
    assert [order.status for order in (first, second)] == [OrderStatus.COMPLETE, OrderStatus.CANCELLED]
    assert third.request.quantity == 2 * LOT
    assert day.trade.state == "CLOSED"


def test_parts_that_are_sold_neither_slow_an_exit_down_nor_make_its_alarm_louder(bench):
    faults = FaultPlan(orders=(OrderFault(kind="refuse", tags="FT??????001X0K*"),))
    day = lowered(bench, LOT, lots=24, faults=faults).run()

    refused = day.trade.order(tag(Role.EXIT, 20))
    again = day.trade.order(tag(Role.EXIT, 21))
    assert again.intended_at - refused.intended_at == timedelta(seconds=10)
    assert [row.level for row in day.rows(AlarmRaised)] == [2]
    assert day.trade.state == "CLOSED"


def commits_of(day: Bench, role: Role) -> range:
    """The numbers of the commits from the first order of one role to the end of what it led to."""
    rows = [entry.seq for entry in day.entries if isinstance(entry.record, OrderIntended) and entry.record.role is role]
    ends = day.journal.ends
    return range(sum(end < rows[0] for end in ends) + 1, sum(end < rows[-1] for end in ends) + 5)


def test_a_kill_between_two_parts_of_an_exit_costs_no_unit(bench):
    for commit in commits_of(lowered(bench, LOT, lots=3).run(), Role.EXIT):
        for moment in ("kill_before", "kill_after"):
            day = lowered(bench, LOT, lots=3)
            setattr(day.journal, moment, commit)
            assert day.run_until_killed()
            setattr(day.journal, moment, None)
            day.reboot().run()
            assert sum(fill.quantity for fill in day.fills(Side.SELL)) == 3 * LOT
            assert day.trade.state == "CLOSED"


# Entries.

PART = (
    "  - {trigger: entry_update, source: PENDING_ENTRY, dest: null, conditions: entry_part_done, after: place_entry, "
    "reason: entry_part}\n"
)


def in_parts(bench, *, lots: int = 3, freeze: int = LOT, signals=OUT, **kept) -> Bench:
    """A day on which *lots* are wanted and one order takes *freeze* units."""
    return bench(signals, strategies=[strategy(lots=lots)], contracts=frozen_at(freeze), **kept)


def part_fault(kind: str, part: int = 2) -> FaultPlan:
    return FaultPlan(orders=(OrderFault(kind=kind, tags=f"FT??????001E0{part}*", attempts=9),))


def seed_that_draws(wanted: dict[str, bool]) -> int:
    half = Decimal("0.5")
    return next(
        seed
        for seed in count()
        if all(happens(half, seed=seed, tag=each, what="reject") is draw for each, draw in wanted.items())
    )


def entries_of(day: Bench):
    return day.trades[0].orders_of(Role.ENTRY)


def test_an_entry_above_the_freeze_quantity_is_bought_and_sold_in_parts_as_one_trade(bench):
    day = in_parts(bench, lots=5, freeze=2 * LOT).run()

    assert sizes(day, Side.BUY) == sizes(day, Side.SELL) == [2 * LOT, 2 * LOT, LOT]
    assert [order.tag for order in entries_of(day)] == [tag(Role.ENTRY, part) for part in (1, 2, 3)]
    assert [order.intended_at for order in entries_of(day)] == [at("09:31:00"), at("09:31:01"), at("09:31:02")]
    assert reasons(day, "PENDING_ENTRY") == ["signal", "entry_part", "entry_part"]
    assert (day.trade.state, day.trade.quantity, day.trade.filled(Role.ENTRY)) == ("CLOSED", 5 * LOT, 5 * LOT)


def test_stop_and_target_are_set_once_from_the_average_of_all_parts(bench):
    dearer = ScriptedMarket(path(("09:31:00.9", 10100)))
    day = in_parts(bench, lots=2, market=dearer).run()

    assert [fill.price_paise for fill in day.fills(Side.BUY)] == [10010, 10110]
    (levels,) = day.rows(LevelsSet)
    assert levels.stop_paise == 8050  # 0.8 x 100.60 is 80.48; rounded up to the tick.


def test_a_further_part_leaves_only_after_the_one_before_is_whole(bench):
    # The first part fills by one lot of two, then the price runs away: it is cancelled, and nothing more is bought.
    market = ScriptedMarket(path(("09:31:00.4", 10500), ("09:40", 10000)))
    day = in_parts(bench, lots=4, freeze=2 * LOT, market=market, behaviour={"partial_fills": Decimal(1)}).run()

    (only,) = entries_of(day)
    assert (only.status, only.filled) == (OrderStatus.CANCELLED, LOT)
    assert sizes(day, Side.SELL) == [LOT]


@pytest.mark.parametrize(
    ("kind", "after", "reason"),
    [("refuse", "09:31:05", "entry_refused"), ("busy", "09:31:05", "entry_refused"),
     ("lost_request", "09:32:40", "entry_absent")],
)  # fmt: skip
def test_a_part_that_came_to_nothing_leaves_the_trade_with_what_it_holds(bench, kind, after, reason):
    day = in_parts(bench, faults=part_fault(kind)).run()

    became = [(when, row) for when, row in day.timed(TradeMoved) if row.dest == "ACTIVE"]
    assert [row.reason for _, row in became] == [reason]
    assert became[0][0] <= after
    assert len(entries_of(day)) == 2
    assert (day.trade.state, day.trade.stop_paise, sizes(day, Side.SELL)) == ("CLOSED", 8010, [LOT])


def test_a_part_the_exchange_rejects_leaves_the_trade_with_what_it_holds(bench):
    wanted = {tag(Role.ENTRY, 1): False, tag(Role.ENTRY, 2): True} | {tag(Role.EXIT, n): False for n in (1, 2)}
    behaviour = {"rejects": Decimal("0.5"), "seed": seed_that_draws(wanted)}
    day = in_parts(bench, behaviour=behaviour).run()

    assert [order.status for order in entries_of(day)] == [OrderStatus.COMPLETE, OrderStatus.REJECTED]
    assert (day.trade.state, sizes(day, Side.SELL)) == ("CLOSED", [LOT])


def test_a_part_whose_answer_was_lost_is_found_and_the_next_one_follows(bench):
    day = in_parts(bench, faults=part_fault("lost_answer")).run()

    assert [order.answer for order in entries_of(day)] == ["accepted", "unknown", "accepted"]
    assert sizes(day, Side.SELL) == [LOT, LOT, LOT]


def test_a_part_that_rests_is_cancelled_at_the_time_out_of_the_whole_entry(bench):
    market = ScriptedMarket(path(("09:31:01.1", 10500), ("09:32", 10000)))
    day = in_parts(bench, market=market).run()

    assert [when for when, _ in day.timed(CancelIntended)] == ["09:31:20"]
    assert (len(entries_of(day)), day.trade.filled(Role.ENTRY)) == (2, LOT)
    assert day.trade.state == "CLOSED"


def test_no_part_follows_when_the_time_out_of_the_entry_has_passed(bench):
    day = in_parts(bench, lots=10, behaviour={"latency": timedelta(seconds=6)}).run()

    # Each part takes some six seconds: the fourth one is under way when the twenty are over, and is cut.
    assert len(entries_of(day)) == 4
    assert [when for when, _ in day.timed(CancelIntended)] == ["09:31:20"]
    assert day.trade.state == "CLOSED"


@pytest.mark.parametrize("verb", ["halt", "flatten"])
def test_no_part_follows_a_word_of_a_person(bench, verb):
    day = in_parts(bench).plan_event("09:31:00.5", Asked(verb, "test", "id")).run()

    assert len(entries_of(day)) == 1
    assert (day.trade.state, sizes(day, Side.SELL)) == ("CLOSED", [LOT])


def test_no_part_follows_the_end_of_the_window_and_none_a_request_to_end_flat(bench):
    brief = session(trading=Window(at("09:20").time(), at("09:31:00.500000").time()))
    assert len(entries_of(in_parts(bench, session=brief).run())) == 1

    leaving = in_parts(bench, session=session(on_stop="flatten")).plan_event("09:31:00.5", StopAsked("SIGTERM")).run()
    assert len(entries_of(leaving)) == 1
    assert sizes(leaving, Side.SELL) == [LOT]


def test_no_part_follows_in_a_process_that_did_not_take_the_decision(bench):
    day = in_parts(bench).plan_event("09:31:00.5", StopAsked("SIGTERM")).run(stopped=True)
    day.reboot().run()

    assert len(entries_of(day)) == 1
    assert (day.trade.state, sizes(day, Side.SELL)) == ("CLOSED", [LOT])


def test_a_part_that_was_given_up_and_arrives_after_all_is_led_out_by_a_trade_of_its_own(bench):
    late = FaultPlan(orders=(OrderFault(kind="lost_request", tags="FT??????001E02*", attempts=1),))
    day = in_parts(bench, lots=2, faults=late, signals={"09:30": BUY, "09:59": EXIT})

    def arrives() -> None:
        day.broker.inner.place(day.trade.orders_of(Role.ENTRY)[1].request)

    day.plan_action("09:35", arrives).plan_action("09:33", lambda: setattr(day.broker.inner, "_faults", FaultPlan()))
    day.run()

    first, second = day.trades
    assert (first.state, first.filled(Role.EXIT), first.exit_reason) == ("CLOSED", LOT, "strategy_exit")
    assert (second.state, second.filled(Role.EXIT), second.exit_reason) == ("CLOSED", LOT, "adopted")
    assert second.orders[0].tag == tag(Role.ENTRY, 2)


@pytest.mark.parametrize("lost", range(1, 12))
def test_parts_whose_rows_are_gone_are_taken_over_and_sold_once(bench, lost):
    day = in_parts(bench, signals={"09:30": BUY}).plan_event("09:31:05", StopAsked("SIGTERM")).run(stopped=True)
    del day.entries[day.journal.ends[-lost - 1] :]
    day.reboot().run()

    assert sum(fill.quantity for fill in day.fills(Side.SELL)) == 3 * LOT
    assert all(trade.state == "CLOSED" for trade in day.trades)


def test_exits_whose_rows_are_gone_with_those_of_the_parts_they_sold_are_counted_once(bench):
    day = in_parts(bench, signals=OUT, lots=3).plan_event("09:40:01.5", StopAsked("SIGTERM")).run(stopped=True)
    opened = next(entry.seq for entry in day.entries if isinstance(entry.record, TradeOpened))
    del day.entries[max(end for end in day.journal.ends if end < opened) :]
    day.reboot().run()

    (trade,) = day.trades
    assert (trade.filled(Role.ENTRY), trade.filled(Role.EXIT), trade.state) == (3 * LOT, 3 * LOT, "CLOSED")


@pytest.mark.parametrize("lost", range(1, 20))
def test_exits_whose_rows_are_gone_are_sold_once_though_one_of_them_was_refused(bench, lost):
    faults = FaultPlan(orders=(OrderFault(kind="refuse", tags="FT??????001X02*"),))
    day = in_parts(bench, faults=faults, lots=2).plan_event("09:41", StopAsked("SIGTERM")).run()
    assert day.trade.state == "CLOSED"
    del day.entries[day.journal.ends[-lost - 1] :]
    day.reboot().run()

    assert sum(fill.quantity for fill in day.fills(Side.SELL)) == 2 * LOT
    assert [trade.state for trade in day.trades] == ["CLOSED"]


def test_an_entry_of_more_parts_than_may_leave_in_a_hurry_is_refused_with_both_numbers(bench):
    day = in_parts(bench, lots=11).run()

    assert day.trades == []
    assert "11 parts; at most 10 are bought" in day.rows(EntryBlocked)[0].reasons[0]


def test_an_entry_under_a_freeze_quantity_below_one_lot_is_refused(bench):
    day = in_parts(bench, freeze=LOT - 1).run()

    assert day.trades == []
    assert "less than a lot of 75" in day.rows(EntryBlocked)[0].reasons[0]


def test_an_entry_in_parts_needs_orders_for_all_of_them_and_for_their_exits(bench):
    # Three entries, and four orders are kept for the way out of each.
    refused = in_parts(bench, limits=risk(max_orders_per_day=14)).run()
    taken = in_parts(bench, limits=risk(max_orders_per_day=15)).run()

    assert refused.trades == []
    assert (
        "0 of at most 14 orders a day were sent, 3 would be, and 12 are kept for exits"
        in refused.rows(EntryBlocked)[0].reasons
    )
    assert sizes(taken, Side.BUY) == [LOT, LOT, LOT]


def test_a_machine_without_parts_takes_no_entry_above_the_freeze_quantity(bench):
    day = in_parts(bench, machine=trade_machine((PART, ""))).run()

    assert day.trades == []
    assert "the trade machine buys nothing in parts" in day.rows(EntryBlocked)[0].reasons[0]


def test_a_kill_at_any_commit_of_an_entry_in_parts_ends_flat(bench):
    for commit in commits_of(in_parts(bench).run(), Role.ENTRY):
        for moment in ("kill_before", "kill_after"):
            day = in_parts(bench)
            setattr(day.journal, moment, commit)
            assert day.run_until_killed()
            setattr(day.journal, moment, None)
            day.reboot().run()
            assert {trade.state for trade in day.trades} <= {"CLOSED", "FAILED"}


def test_no_part_follows_once_the_options_are_not_todays(bench):
    day = in_parts(bench, behaviour={"latency": timedelta(seconds=3)})
    day.plan_action("09:31:01", lambda: setattr(day.floor, "stale_options", "the dump is of yesterday"))

    day.run()

    assert sizes(day, Side.BUY) == [LOT]
    assert day.trade.state == "CLOSED"
