"""The oracles themselves: each is shown a breach made on purpose, so that their silence means something."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from fsm_trader.core.records import OrderIntended, TradeMoved
from fsm_trader.engine import entries
from fsm_trader.engine.polls import Polls
from fsm_trader.engine.trader import Trader
from fsm_trader.engine.trades import TradeDesk

from .bench import BUY, EXIT, Bench
from .given import exits, strategy
from .market import ScriptedMarket, path
from .test_entries import RESTS

IN = {"09:30": BUY}


def breaches(day: Bench) -> str:
    """Run a day that must not pass, and return what was noted."""
    with pytest.raises(AssertionError):
        day.run()
    return "\n".join(day.breaches)


def test_an_order_that_leaves_before_its_intent_is_seen(bench, monkeypatch):
    def carry_out(self, effort) -> None:
        for job in effort.jobs:
            self._floor.worker.submit(job)
        if effort.records:
            self._floor.commit(*effort.records)

    monkeypatch.setattr(TradeDesk, "_carry_out", carry_out)

    assert "I1: order FT" in breaches(bench({**IN, "09:35": EXIT}))


def test_a_second_entry_and_a_second_exit_at_the_broker_are_seen(bench):
    day = bench({**IN, "09:35": EXIT}, market=ScriptedMarket(path(RESTS, ("09:31:10", 10000), ("09:36:00.1", 9000))))

    def again(request, _order_id) -> None:
        if len(day.broker.placed) < 10:
            tag = request.tag[:13] + "9" + request.tag[14:]
            day.broker._refuse_second(replace(request, tag=_checked(tag)))

    day.broker.after_place = again
    seen = breaches(day)

    assert "I2: entry order" in seen
    assert "I2: exit order" in seen
    assert "I6: entry" in seen


def test_a_sale_of_more_than_is_held_is_seen(bench):
    day = bench({**IN, "09:35": EXIT})
    place = day.broker.place

    def more(request):
        if request.side == "SELL":
            day.broker._refuse_second(replace(request, quantity=request.quantity * 2))
        return place(request)

    day.broker.place = more

    assert "I3: FT" in breaches(day)


def test_a_trade_that_is_closed_by_hope_is_seen(bench):
    day = bench(IN)
    row = TradeMoved("20260617-001", "check", "ACTIVE", "CLOSED")
    day.plan_action("09:40", lambda: day.floor.commit(row))
    seen = breaches(day)

    assert "I4: 20260617-001 is CLOSED with 75 units held" in seen
    assert "I5: the day ended with" in seen


def forget(monkeypatch, what: str) -> None:
    """Have nobody ask for one kind of reading."""
    want = Polls.want
    monkeypatch.setattr(Polls, "want", lambda self, key, when: want(self, key, when) if key.what != what else None)


def test_an_open_trade_nobody_comes_back_for_is_seen(bench, monkeypatch):
    forget(monkeypatch, "book")

    assert "I5: at 09:31:00 nobody reads the book for 20260617-001" in breaches(bench(IN))


def test_a_held_trade_without_a_deadline_whose_price_nobody_reads_is_seen(bench, monkeypatch):
    forget(monkeypatch, "price")
    bare = strategy(exits=exits(max_hold=None))

    assert "nothing is due for 20260617-001 in ACTIVE" in breaches(bench(IN, strategies=[bare]))


def test_a_loop_that_ends_with_a_trade_open_is_seen(bench, monkeypatch):
    monkeypatch.setattr(Trader, "is_over", property(lambda self: bool(self.floor.ledger.open_trades)))

    assert "I5: the loop ended with a trade open" in breaches(bench(IN))


def test_an_entry_outside_of_trading_is_seen(bench, monkeypatch):
    monkeypatch.setattr(entries, "entry_blocks", lambda *_args: ())

    assert "I9: row" in breaches(bench({"09:17": BUY}))


def test_a_ledger_that_differs_from_its_replay_is_seen(bench):
    day = bench(IN)
    day.plan_action("09:40", lambda: setattr(day.ledger, "orders_today", 7))

    assert "orders_today differ from the live ledger" in breaches(day)


def test_a_quiet_day_shows_no_breach(bench):
    day = bench({**IN, "09:35": EXIT}).run()

    assert day.breaches == []
    assert len(day.rows(OrderIntended)) == 2


def _checked(tag: str) -> str:
    from fsm_trader.core.tags import _check

    return tag[:-1] + _check(tag[:-1])
