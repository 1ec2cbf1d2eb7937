"""What a trade made is its fills, less what the table of charges takes."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from fsm_trader.core.charges import FIRST_DAY, charges
from fsm_trader.core.orders import Role
from fsm_trader.core.records import AlarmRaised
from fsm_trader.core.results import Nets, net_of, trade_result

from .rows import CONTRACT, DAY, LOT, Story, at, bought, filled, intended, opened, run_started, sold


def trades(*rows):
    story = Story()
    story.tell("09:14", run_started())
    return story.tell("09:30", *rows).session_trades


def test_a_closed_trade_made_its_fills_less_the_charges_of_its_day() -> None:
    (trade,) = trades(*bought(1, 10000), *sold(1, 12000))

    found = trade_result(trade)

    taken = charges(day=DAY, bought_paise=LOT * 10000, sold_paise=LOT * 12000, orders=2).total
    assert taken > 4000
    assert (found.gross_paise, found.charges_paise) == (LOT * 2000, taken)
    assert found.net_paise == LOT * 2000 - taken
    assert (found.quantity, found.entry_paise, found.exit_paise) == (LOT, 10000, 12000)


def test_a_flat_trade_loses_exactly_its_charges_whatever_the_mark() -> None:
    (trade,) = trades(*bought(1, 10000), *sold(1, 10000))

    assert trade_result(trade, mark_paise=99999).net_paise == -trade_result(trade).charges_paise < 0


def test_an_open_trade_counts_at_the_mark_and_pays_for_what_was_bought_only() -> None:
    (trade,) = trades(*bought(1, 10000))

    found = trade_result(trade, mark_paise=9000)

    bought_only = charges(day=DAY, bought_paise=LOT * 10000, sold_paise=0, orders=1).total
    assert (found.gross_paise, found.charges_paise, found.exit_paise) == (-LOT * 1000, bought_only, None)
    assert trade_result(trade).gross_paise == 0


def test_a_trade_without_a_fill_costs_nothing() -> None:
    (trade,) = trades(opened(), intended(1, Role.ENTRY))

    found = trade_result(trade, mark_paise=9000)

    assert (found.quantity, found.entry_paise, found.gross_paise, found.charges_paise) == (0, None, 0, 0)


def test_average_prices_are_shown_to_the_nearest_paisa_and_the_result_stays_exact() -> None:
    (trade,) = trades(
        opened(),
        intended(1, Role.ENTRY),
        filled(1, Role.ENTRY, 50, 10000, fill="a"),
        filled(1, Role.ENTRY, 25, 10001, fill="b"),
        *sold(1, 10000),
    )

    found = trade_result(trade)

    assert found.entry_paise == 10000
    assert found.gross_paise == -25


def test_charges_are_those_of_the_day_the_entry_filled() -> None:
    (trade,) = trades(*bought(1, 10000), *sold(1, 12000))

    long_ago = msgspec.structs.replace(trade, filled_at=at("09:30", date(2021, 6, 14)))

    old = charges(day=date(2021, 6, 14), bought_paise=LOT * 10000, sold_paise=LOT * 12000, orders=2).total
    assert trade_result(long_ago).charges_paise == old < trade_result(trade).charges_paise


def test_the_day_is_the_sum_of_its_trades_open_ones_at_their_newest_price() -> None:
    found = trades(*bought(1, 10000), *sold(1, 12000), *bought(2, 10000))

    first, second = found
    marks = {CONTRACT.token: 9000, 1: 5}

    assert net_of(found, marks) == trade_result(first).net_paise + trade_result(second, mark_paise=9000).net_paise
    assert net_of(found, {}) == trade_result(first).net_paise + trade_result(second).net_paise
    assert net_of([], marks) == 0


def test_a_trade_of_a_day_without_known_charges_counts_them_as_zero_and_says_so() -> None:
    (trade,) = trades(*bought(1, 10000), *sold(1, 12000))
    last_unknown = datetime.combine(FIRST_DAY - timedelta(days=1), time(10), at("10:00").tzinfo)
    old = msgspec.structs.replace(trade, filled_at=last_unknown)
    first = msgspec.structs.replace(trade, filled_at=last_unknown + timedelta(days=1))

    assert (trade_result(old).charges_paise, trade_result(old).charges_are_known) == (0, False)
    assert trade_result(old).net_paise == trade_result(old).gross_paise == LOT * 2000
    assert trade_result(first).charges_are_known
    assert trade_result(first).charges_paise > 0
    assert net_of([old], {}) == LOT * 2000


STEPS = st.sampled_from(["mark", "mark down", "buy", "sell", "ask", "alarm"])


@given(steps=st.lists(STEPS, max_size=30), is_tuple=st.booleans())
def test_a_result_that_is_kept_is_the_one_that_would_be_reckoned(*, steps: list[str], is_tuple: bool) -> None:
    story, nets = Story(), Nets()
    story.tell("09:14", run_started())
    number = mark = 0
    for step in steps:
        if step == "buy":
            number += 1
            story.tell("09:30", *bought(number, 10000 + number))
        elif step == "sell" and story.ledger.open_trades:
            story.tell("09:31", *sold(story.ledger.open_trades[0].number, 12000))
        elif step == "alarm":
            story.tell("09:32", AlarmRaised("look"))
        elif step != "ask":
            mark += 100 if step == "mark" else -100
            story.ledger.marks[CONTRACT.token] = 10000 + mark
        ledger = story.ledger
        trades = ledger.session_trades if is_tuple else list(ledger.session_trades)

        assert ledger.session_trades == tuple(ledger.trades.values())
        assert ledger.open_trades == [each for each in ledger.trades.values() if each.state != "CLOSED"]
        assert nets.of(trades, ledger.marks) == net_of(trades, ledger.marks)


def test_a_list_that_was_changed_in_place_is_reckoned_anew() -> None:
    (one,) = trades(*bought(1, 10000), *sold(1, 12000))
    nets, asked = Nets(), [one]
    first = nets.of(asked, {})

    asked.append(msgspec.structs.replace(one, trade_id="another"))

    assert nets.of(asked, {}) == 2 * first
