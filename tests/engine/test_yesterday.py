"""A trade that an earlier day left open: MIS is over and never sold again, NRML is led out at once."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from msgspec.structs import replace

from fsm_trader.broker.paper.faults import FaultPlan, OrderFault, ReadFault
from fsm_trader.core.orders import OrderStatus, Role, Side
from fsm_trader.core.records import (
    AlarmRaised,
    FillSeen,
    OrderAnswered,
    OrderIntended,
    OrderSeen,
    Reconciled,
    SoldOutside,
    TradeMoved,
    decode,
    encode,
)
from fsm_trader.core.tags import make_tag, read_tag
from fsm_trader.machines.load import parse_machine

from .bench import BUY, EXIT, NO_FAULTS, Bench, builtin
from .given import strategy
from .market import CALL, DAY, LOT, OPEN, PREMIUM, ScriptedMarket, at, path
from .oracles import Killed
from .test_restart import kill_after

IN = {"09:30": BUY, "09:39": EXIT}
NEW_BUY = {"09:50": BUY}


def in_state(state: str):
    """Tell the row that says a trade came to be in a state."""
    return lambda record: isinstance(record, TradeMoved) and record.dest == state


def a_day_earlier(day: Bench, product: str) -> None:
    """Make the journal that of yesterday: the same rows, with yesterday's times, session, ids and tags."""
    before = DAY - timedelta(days=1)

    def tag(found: re.Match[str]) -> str:
        return make_tag(replace(read_tag(found[0]), day=before))

    for number, entry in enumerate(day.entries):
        text = re.sub(rf"FT{DAY:%y%m%d}\w{{12}}", tag, encode(entry.record).replace('"MIS"', f'"{product}"'))
        text = text.replace(f"{DAY}", f"{before}").replace(f"{DAY:%Y%m%d}", f"{before:%Y%m%d}")
        moved = replace(entry, at=entry.at - timedelta(days=1), session=before.isoformat(), record=decode(text))
        day.entries[number] = moved


def overnight(day: Bench, *, product: str = "MIS", held: int = 0, faults: FaultPlan = NO_FAULTS) -> Bench:
    """Let the night pass: the journal is yesterday's, the broker shows none of yesterday's orders and *held* units."""
    a_day_earlier(day, product)
    day.scripts = {each.name: NEW_BUY for each in day.strategies}
    day.clock._now = at("09:14")
    day._book.begin(DAY, OPEN - timedelta(hours=1))
    # The broker's new life begins with its next boot, and what it holds overnight is in none of its fills.
    day.reboot(faults=faults)
    day.broker.inner._matching._held[CALL.exchange, CALL.tradingsymbol, product] = held
    return day


def stale(day: Bench):
    return next(trade for trade in day.trades if trade.session != DAY.isoformat())


def rows_of(day: Bench, kind: type) -> list:
    """Rows of today about the trade of yesterday."""
    ours = [entry.record for entry in day.entries if entry.session == DAY.isoformat()]
    return [row for row in ours if isinstance(row, kind) and row.trade_id == stale(day).trade_id]


@pytest.mark.parametrize("state", ["PENDING_ENTRY", "ACTIVE", "PENDING_EXIT"])
@pytest.mark.parametrize(
    "faults",
    [
        NO_FAULTS,
        FaultPlan(reads=(ReadFault(kind="unavailable", since=at("09:14"), until=at("09:40")),)),
        FaultPlan(orders=(OrderFault(kind="lost_request", tags="FT260616*", attempts=99),)),
    ],
    ids=["the broker answers", "the broker cannot be read", "orders get no answer"],
)
def test_an_mis_trade_of_yesterday_is_over_without_an_order_and_the_day_goes_on(bench, state, faults):
    day = overnight(kill_after(bench(IN), in_state(state)), faults=faults)

    day.run(foreign=True)

    left, own = day.trades
    assert left.reason == "day_passed"
    assert left.state == ("FAILED" if state == "PENDING_ENTRY" else "CLOSED")
    assert rows_of(day, OrderIntended) == []
    assert [row.answer for row in rows_of(day, OrderAnswered)] == ([] if state == "ACTIVE" else ["lapsed"])
    (alarm,) = rows_of(day, AlarmRaised)
    assert f"was left {state} in session 2026-06-16" in alarm.text
    assert "contract note" in alarm.text
    assert left.since == at("09:14")
    # Today's trade of the same contract is its own: nothing of it is written off.
    assert (own.state, own.sold_outside, len(day.fills(Side.SELL))) == ("CLOSED", 0, 1)


def test_what_an_mis_trade_held_is_written_off_at_cost(bench):
    day = overnight(kill_after(bench(IN), in_state("ACTIVE"))).run(foreign=True)

    (row,) = rows_of(day, SoldOutside)
    left = stale(day)
    assert (row.quantity, row.value_paise) == (LOT, None)
    assert left.gross_paise() == 0
    assert left.filled(Role.EXIT) == 0


def test_an_entry_that_was_working_and_partly_filled_when_the_day_ended_is_over_too(bench):
    # Killed when the first half was seen: yesterday's book showed the order working.
    market = ScriptedMarket(path(("09:31:00.5", PREMIUM * 2)))
    day = bench(IN, market=market, strategies=[strategy(lots=2)], behaviour={"partial_fills": 1})

    day = overnight(kill_after(day, lambda record: isinstance(record, FillSeen)))
    (order,) = stale(day).orders
    assert (order.status, order.filled) == (OrderStatus.WORKING, LOT)
    day.run(foreign=True)

    assert (stale(day).state, stale(day).reason) == ("CLOSED", "day_passed")
    assert rows_of(day, OrderIntended) == []
    assert [row.quantity for row in rows_of(day, SoldOutside)] == [LOT]


@pytest.mark.parametrize("moment", range(1, 9))
def test_a_process_that_dies_while_it_settles_yesterdays_trade_is_followed_by_one_that_does(bench, moment):
    day = overnight(kill_after(bench(IN), in_state("PENDING_EXIT")))
    day.journal.kill_after = day.journal.commits + moment
    assert day.run_until_killed()

    day.reboot().run(foreign=True)

    assert (stale(day).state, stale(day).reason) == ("CLOSED", "day_passed")
    assert rows_of(day, OrderIntended) == []
    assert len(rows_of(day, SoldOutside)) == 1


def test_a_definition_without_an_answer_to_a_position_that_is_gone_ends_the_trade_too(bench):
    text = re.sub(r"\n[^\n]*(position_gone|adopt)[^\n]*", "", builtin("trade").text)
    old = parse_machine(text, kind="trade", source="0.1.0")
    day = overnight(kill_after(bench(IN, machine=old), in_state("ACTIVE")))

    day.run(foreign=True)

    assert (stale(day).state, stale(day).held) == ("CLOSED", 0)
    assert rows_of(day, OrderIntended) == []


@pytest.mark.parametrize("state", ["ACTIVE", "PENDING_EXIT"])
def test_an_nrml_trade_of_yesterday_is_led_out_at_once(bench, state):
    day = overnight(kill_after(bench(IN), in_state(state)), product="NRML", held=LOT)

    day.run(foreign=True)

    left = stale(day)
    sold = sum(fill.quantity for order in left.orders_of(Role.EXIT) for fill in order.fills)
    assert (left.state, left.held, left.sold_outside, sold) == ("CLOSED", 0, 0, LOT)
    # The market opens at 09:15; an order before is refused and sent again.
    assert OPEN <= left.since < OPEN + timedelta(seconds=30)
    assert "It is led out" in rows_of(day, AlarmRaised)[0].text
    assert day.broker.inner.positions() == ()


def test_an_nrml_trade_that_was_sold_overnight_is_not_sold_again(bench):
    day = overnight(kill_after(bench(IN), in_state("ACTIVE")), product="NRML")

    day.run(foreign=True)

    assert (stale(day).state, stale(day).reason) == ("CLOSED", "closed_outside")
    assert [row for row in day.broker.placed if row.product == "NRML"] == []


def test_an_nrml_entry_whose_fate_is_not_known_is_given_up_and_what_is_held_is_named(bench):
    day = overnight(kill_after(bench(IN), in_state("PENDING_ENTRY")), product="NRML", held=LOT)

    day.run(foreign=True)

    assert (stale(day).state, stale(day).reason) == ("FAILED", "day_passed")
    assert "a person has to look at the rest" in rows_of(day, AlarmRaised)[0].text
    assert any("left alone" in found.text for row in day.rows(Reconciled) for found in row.findings)


def test_a_restart_on_the_same_day_takes_no_order_of_its_own_for_yesterdays(bench):
    day = overnight(kill_after(bench(IN), in_state("ACTIVE")), product="NRML", held=LOT)
    place, taken = day.broker.inner.place, []

    def die_once_taken(request) -> None:
        taken.append(place(request))
        raise Killed

    day.broker.inner.place = die_once_taken
    assert day.run_until_killed()
    held = dict(day.broker.inner._matching._held)
    day.reboot()
    day.broker.inner._matching._held.update(held)

    day.run(foreign=True)

    assert len(taken) == 1
    assert stale(day).state == "CLOSED"
    assert "lapsed" not in [row.answer for row in rows_of(day, OrderAnswered)]
    assert [request for request in day.broker.placed if request.product == "NRML"] == []
    assert rows_of(day, OrderSeen)[-1].report.status is OrderStatus.COMPLETE
