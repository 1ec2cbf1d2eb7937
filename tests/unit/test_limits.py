"""Every reason against an entry is named, and only entries are bound."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

import fsm_trader
from fsm_trader.core.candles import Candle
from fsm_trader.core.limits import ORDERS_KEPT_PER_TRADE, EntryFacts, entry_blocks, entry_facts, entry_part_blocks
from fsm_trader.core.money import Paise
from fsm_trader.core.orders import Role
from fsm_trader.core.records import CandlesSeen, HealthSeen, OperatorAsked
from fsm_trader.core.results import trade_result

from .rows import CONTRACT, PLAN, RISK, Story, at, bought, intended, run_started, sold, trading

FREE = EntryFacts(
    session_state="TRADING",
    in_trading_window=True,
    halted=False,
    faults=(),
    open_trades=0,
    trades_today=0,
    orders_today=0,
    orders_this_second=0,
    strategy_is_in=False,
    net_today_paise=0,
)
REASONS = {
    "session_state": ("UNHEALTHY", "session is UNHEALTHY, entries need TRADING"),
    "in_trading_window": (False, "outside the trading window"),
    "halted": (True, "halted by a person until resume"),
    "faults": (("order book: no answer",), "the newest health check found: order book: no answer"),
    "strategy_is_in": (True, "the strategy has an open trade"),
    "open_trades": (1, "1 of at most 1 trades are open"),
    "trades_today": (10, "10 of at most 10 trades a day were opened"),
    "net_today_paise": (-1_000_000, "today stands at -10,000.00 rupees, the most that may be lost is 10,000.00"),
    "orders_today": (196, "196 of at most 200 orders a day were sent, 1 would be, and 4 are kept for exits"),
    "orders_this_second": (5, "5 of at most 5 orders were sent within a second"),
}


def test_nothing_stands_against_an_entry_when_all_is_well() -> None:
    assert entry_blocks(RISK, FREE) == ()


def test_every_fact_has_its_reason() -> None:
    # Parts stand against an entry by the orders that are kept for them.
    assert {*REASONS, "more_parts"} == set(EntryFacts.__struct_fields__)


@pytest.mark.parametrize("fact", REASONS)
def test_each_reason_alone_blocks_an_entry(fact) -> None:
    value, reason = REASONS[fact]

    assert entry_blocks(RISK, msgspec.structs.replace(FREE, **{fact: value})) == (reason,)


def test_all_reasons_are_named_together() -> None:
    facts = msgspec.structs.replace(FREE, **{fact: value for fact, (value, _) in REASONS.items()})

    # With a trade open, twice as many orders are kept.
    # What the health check found is said by a session that is not TRADING.
    named = [reason for fact, (_, reason) in REASONS.items() if fact != "faults"]
    expected = [reason.replace("and 4 are kept", "and 8 are kept") for reason in named]
    assert list(entry_blocks(RISK, facts)) == expected


@pytest.mark.parametrize(
    ("fact", "value"),
    [("trades_today", 9), ("net_today_paise", -999_999), ("orders_today", 195), ("orders_this_second", 4)],
)
def test_a_limit_does_not_bind_one_step_before_it(fact, value) -> None:
    assert entry_blocks(RISK, msgspec.structs.replace(FREE, **{fact: value})) == ()


@pytest.mark.parametrize("open_trades", [0, 1, 2])
def test_orders_are_kept_for_the_exit_of_every_open_trade_and_the_next(open_trades) -> None:
    risk = msgspec.structs.replace(RISK, max_open_trades=5)
    most = RISK.max_orders_per_day - ORDERS_KEPT_PER_TRADE * (open_trades + 1) - 1
    facts = msgspec.structs.replace(FREE, open_trades=open_trades)

    assert entry_blocks(risk, msgspec.structs.replace(facts, orders_today=most)) == ()
    assert entry_blocks(risk, msgspec.structs.replace(facts, orders_today=most + 1)) != ()


def test_an_entry_in_parts_keeps_orders_for_each_part_and_for_the_parts_to_come() -> None:
    facts = msgspec.structs.replace(FREE, more_parts=2)
    most = RISK.max_orders_per_day - ORDERS_KEPT_PER_TRADE * 3 - 3

    assert entry_blocks(RISK, msgspec.structs.replace(facts, orders_today=most)) == ()
    assert entry_blocks(RISK, msgspec.structs.replace(facts, orders_today=most + 1)) != ()
    # Two parts were sent since, and the trade is open: the third one finds its place.
    later = msgspec.structs.replace(facts, orders_today=most + 2, open_trades=1, strategy_is_in=True, trades_today=1)
    assert entry_part_blocks(RISK, later) == ()
    assert entry_part_blocks(RISK, msgspec.structs.replace(later, orders_today=most + 3)) != ()


@pytest.mark.parametrize("fact", REASONS)
def test_a_further_part_is_kept_out_by_what_keeps_an_entry_out_but_not_by_its_own_trade(fact) -> None:
    value, reason = REASONS[fact]
    facts = msgspec.structs.replace(FREE, open_trades=1)
    its_own = ("strategy_is_in", "open_trades", "trades_today")

    reasons = entry_part_blocks(RISK, msgspec.structs.replace(facts, **{fact: value}))

    assert reasons == (() if fact in its_own else (reason,))


@pytest.mark.parametrize("fact", ["open_trades", "trades_today"])
def test_a_further_part_is_kept_out_by_more_trades_than_may_be(fact) -> None:
    most = {"open_trades": RISK.max_open_trades, "trades_today": RISK.max_trades_per_day}[fact]

    assert entry_part_blocks(RISK, msgspec.structs.replace(FREE, **{fact: most})) == ()
    assert len(entry_part_blocks(RISK, msgspec.structs.replace(FREE, **{fact: most + 1}))) == 1


def test_limits_are_asked_where_entries_are_taken_and_shown_and_nowhere_else() -> None:
    package = Path(fsm_trader.__file__).parent

    asks = {
        file.relative_to(package).as_posix()
        for file in package.rglob("*.py")
        if re.search(
            r"^from fsm_trader\.core\.limits import .*\bentry_", file.read_text(encoding="utf-8"), re.MULTILINE
        )
    }

    assert asks == {"engine/entries.py", "engine/parts.py", "core/status.py"}


def test_the_facts_are_counted_from_the_ledger() -> None:
    story = Story()
    story.tell("09:14", run_started())
    story.tell("09:20", trading(), HealthSeen(("order book: no answer",)), OperatorAsked("halt"))
    story.tell("09:30", *bought(1, 10000), *sold(1, 9000), *bought(2, 10000, strategy="other"))
    story.tell("09:41:00", intended(2, Role.EXIT))
    price = Paise(9500)
    story.tell("09:41:00", CandlesSeen((Candle(CONTRACT.token, at("09:40"), price, price, price, price),)))

    facts = entry_facts(story.ledger, PLAN, "donchian_ce", at("09:41:00.500"))

    closed, still_open = story.ledger.session_trades
    net = trade_result(closed).net_paise + trade_result(still_open, mark_paise=9500).net_paise
    assert net < -75 * 1500
    assert facts == EntryFacts(
        session_state="TRADING",
        in_trading_window=True,
        halted=True,
        faults=("order book: no answer",),
        open_trades=1,
        trades_today=2,
        orders_today=4,
        orders_this_second=1,
        strategy_is_in=False,
        net_today_paise=net,
    )
    assert entry_facts(story.ledger, PLAN, "other", at("09:41")).strategy_is_in


def test_an_order_counts_for_one_second() -> None:
    story = Story()
    story.tell("09:14", run_started())
    story.tell("09:30", *bought(1, 10000))

    late = at("09:30") + timedelta(seconds=1)

    assert entry_facts(story.ledger, PLAN, "x", late - timedelta(microseconds=1)).orders_this_second == 1
    assert entry_facts(story.ledger, PLAN, "x", late).orders_this_second == 0


@pytest.mark.parametrize(
    ("clock", "inside"), [("09:19:59", False), ("09:20", True), ("14:59:59", True), ("15:00", False)]
)
def test_the_start_of_the_trading_window_is_inside_and_its_end_is_not(clock, inside) -> None:
    assert entry_facts(Story().ledger, PLAN, "x", at(clock)).in_trading_window is inside
