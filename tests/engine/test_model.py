"""One session held against a small model of it: whatever happens in whatever order, the trader and the model agree."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from fsm_trader.core.events import Asked
from fsm_trader.core.records import OperatorAsked
from fsm_trader.core.trades import Trade
from fsm_trader.engine import entries, orders
from fsm_trader.engine.act import Effects
from fsm_trader.engine.adopt import AdoptionDesk
from fsm_trader.engine.orders import OrderDesk
from fsm_trader.engine.reconcile import ReconcileDesk
from fsm_trader.engine.session import SessionDesk
from fsm_trader.engine.trader import Trader
from fsm_trader.engine.trades import TradeDesk

from .life import Life

IS_SOAK = bool(os.environ.get("FSM_TRADER_SOAK"))
PROFILE = settings(
    max_examples=3000 if IS_SOAK else 100,
    stateful_step_count=60 if IS_SOAK else 40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def test_a_life_of_any_kind_keeps_to_the_model() -> None:
    run_state_machine_as_test(Life, settings=PROFILE)


# The model bites: with one rule of the engine broken it says so. First by search, where the first examples find it.


def search(words: str) -> None:
    find = settings(
        PROFILE,
        max_examples=300,
        phases=[Phase.generate],
        database=None,
        derandomize=True,
        report_multiple_bugs=False,
    )
    with pytest.raises(AssertionError, match=words):
        run_state_machine_as_test(Life, settings=find)


def test_the_model_finds_an_entry_taken_while_halted(monkeypatch) -> None:
    blocks = entries.entry_blocks

    def forgetful(*args: Any) -> tuple[str, ...]:
        return tuple(reason for reason in blocks(*args) if "halted" not in reason and "HALTED" not in reason)

    monkeypatch.setattr(entries, "entry_blocks", forgetful)

    search("I9: FT260617...E01.* halted: True")


def test_the_model_finds_an_order_that_leaves_before_its_intent_is_committed(monkeypatch) -> None:
    def carry_out(self: TradeDesk, effort: Any) -> None:
        for job in effort.jobs:
            self._floor.worker.submit(job)
        self._floor.commit(*effort.records)

    monkeypatch.setattr(TradeDesk, "_carry_out", carry_out)

    search("I1: order FT")


def test_the_model_finds_a_request_that_is_met_twice(monkeypatch) -> None:
    def asked(self: Trader, event: Asked) -> None:
        self.session.asked(OperatorAsked(event.verb, event.by, event.request))

    monkeypatch.setattr(Trader, "_asked", asked)

    search("a request was met twice")


# Then by one life each that leads there, and that an engine in order passes.


def an_entry_comes_very_late(life: Life) -> None:
    life.strategies_say_buy(("one",), ["very_late"], 0)
    life.minutes_pass(4)


def an_exit_comes_late(life: Life) -> None:
    life.strategies_say_buy(("one",), ["fill"], 0)
    life.a_strategy_says_exit("one", ["late", "fill"], 40)


def a_halt_is_journaled_by_a_process_that_dies(life: Life) -> None:
    life.a_person_asks("halt", "kill_after", 10)


def a_position_is_sold_by_hand(life: Life) -> None:
    life.strategies_say_buy(("one",), ["fill"], 10)
    life.a_position_is_sold_by_hand(4, 60)
    life.minutes_pass(4)


def half_of_an_entry_is_bought(life: Life) -> None:
    life.strategies_say_buy(("one",), ["half"], 30)
    life.a_strategy_says_exit("one", ["fill"], 30)


def nobody_looks_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "_READS_BEFORE_ABSENT", 1)
    monkeypatch.setattr(OrderDesk, "_last_sent", lambda _self, order: order.intended_at - timedelta(days=1))
    monkeypatch.setattr(Effects, "_missing", lambda _self, _request, **_by: "")


def more_is_sold_than_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trade, "held", property(lambda trade: trade.quantity if trade.state == "PENDING_EXIT" else 0))


LIVES: list[tuple[Callable[[Life], None], Callable[[pytest.MonkeyPatch], None], str]] = [
    (
        an_entry_comes_very_late,
        lambda patch: patch.setattr(AdoptionDesk, "sweep", lambda _self, _book: []),
        "the day ended with 150 units|filled 150, 0 is known",
    ),
    (an_exit_comes_late, nobody_looks_long_enough, "I2: .*X02.* beside a live one of its kind"),
    (
        a_halt_is_journaled_by_a_process_that_dies,
        lambda patch: patch.setattr(SessionDesk, "_heed", lambda _self: None),
        "a halt is not followed",
    ),
    (
        a_position_is_sold_by_hand,
        lambda patch: patch.setattr(ReconcileDesk, "_sold", lambda _self, *_seen: False),
        "the trader holds 150 units, the broker 0|the day never ends",
    ),
    (half_of_an_entry_is_bought, more_is_sold_than_is_held, "I3|I4|the day"),
]


def live(script: Callable[[Life], None]) -> None:
    life = Life()
    try:
        life.the_morning_passes()
        script(life)
        life.nothing_happened_that_must_not()
        life.what_was_seen_of_an_order_is_what_happened_to_it()
        life.when_all_is_calm_the_trader_holds_what_the_broker_holds()
        life.the_day_ends()
    finally:
        life.close()


@pytest.mark.parametrize("script", [script for script, _, _ in LIVES])
def test_an_engine_in_order_lives_through_it(script) -> None:
    live(script)


@pytest.mark.parametrize(("script", "spoil", "words"), LIVES)
def test_the_model_finds_what_is_broken(monkeypatch, script, spoil, words) -> None:
    spoil(monkeypatch)

    with pytest.raises(AssertionError, match=words):
        live(script)
