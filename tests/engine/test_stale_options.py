"""Contracts that may not be today's serve what is held, and nothing is bought on them."""

from __future__ import annotations

from fsm_trader.core.events import ContractsRead
from fsm_trader.core.records import AlarmRaised, EntryBlocked

from .bench import BUY, CONTRACTS, EXIT

STALE = "the dump of 2026-06-16 09:00 is used for 2026-06-17: today's cannot be had (down)"


def test_nothing_is_bought_on_stale_contracts_until_todays_are_there(bench):
    day = bench({"09:30": BUY, "09:32": BUY})
    day.plan_event("09:29", ContractsRead(CONTRACTS, STALE, STALE))
    day.plan_event("09:31:30", ContractsRead(CONTRACTS, "", STALE))
    day.plan_event("09:32:30", ContractsRead(CONTRACTS)).run()

    (blocked,) = day.rows(EntryBlocked)
    assert blocked.reasons == (f"option selection: {STALE}; nothing is bought until today's is there",)
    assert f"{day.trade.candle_start:%H:%M}" == "09:32"
    assert [row.text for row in day.rows(AlarmRaised) if "instruments" in row.text] == [
        f"instruments: {STALE}. What is held is looked after; nothing is bought until today's is there."
    ]


def test_what_is_held_is_sold_though_the_contracts_are_stale(bench):
    day = bench({"09:30": BUY, "09:39": EXIT})
    day.plan_event("09:35", ContractsRead(CONTRACTS, STALE, STALE)).run()

    assert (day.trade.state, day.trade.exit_reason) == ("CLOSED", "strategy_exit")
    assert not day.rows(EntryBlocked)
