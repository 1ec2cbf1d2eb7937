"""Bugs, seeded on purpose: each breaks one rule of the engine, and the drills must find it.

``python -m tests.simulate.bugs`` plays each against seeded days until one fails, and prints how many that took.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from fsm_trader.app.drill import Drill
from fsm_trader.app.files import settings_of
from fsm_trader.core import orders as core_orders
from fsm_trader.core.facts import TradeFacts
from fsm_trader.core.ledger import Ledger
from fsm_trader.core.limits import entry_blocks
from fsm_trader.core.orders import Role
from fsm_trader.core.records import DamageFound, FillSeen, OrderAnswered, SoldOutside
from fsm_trader.engine import entries, orders, trades
from fsm_trader.engine.act import Effects
from fsm_trader.engine.adopt import AdoptionDesk
from fsm_trader.engine.floor import Floor
from fsm_trader.engine.orders import OrderDesk
from fsm_trader.engine.parts import Parts
from fsm_trader.engine.reconcile import ReconcileDesk
from fsm_trader.engine.retry import Retries
from fsm_trader.engine.trader import Trader
from fsm_trader.engine.trades import TradeDesk
from fsm_trader.errors import OutcomeUnknownError
from fsm_trader.machines import names
from fsm_trader.simulate.drill.day import Outcome
from fsm_trader.simulate.drill.stage import stage_of

SESSION = Path(__file__).resolve().parents[2] / "session.yaml"
MOST_SEEDS = 4_000

Patch = pytest.MonkeyPatch
Seed = Callable[[Patch, Drill], None]
BUGS: dict[str, tuple[str, Seed]] = {}
"""By description: the invariant that must be found broken, and what breaks it."""


def bug(text: str, *, breaks: str) -> Callable[[Seed], Seed]:
    def keep(seed: Seed) -> Seed:
        BUGS[text] = (breaks, seed)
        return seed

    return keep


def guarded(patch: Patch, drill: Drill, **guards: Callable[[TradeFacts], bool]) -> None:
    """Have the drill run its trade machine with other guards: a definition with such a bug would not pass ``check``."""
    patch.setattr(names, "TRADE_GUARDS", {**names.TRADE_GUARDS, **guards})
    drill.stage = stage_of(settings_of(SESSION), *drill.specs)


@bug("an order is sent before its intent is committed", breaks="I1")
def sent_before_commit(patch: Patch, drill: Drill) -> None:
    def carry_out(self, effort):
        for job in effort.jobs:
            self._floor.worker.submit(job)
        self._sending.update(effort.tags)
        if effort.records:
            self._floor.commit(*effort.records)

    patch.setattr(TradeDesk, "_carry_out", carry_out)


@bug("an unknown outcome of an order is simply asked again", breaks="I2|I6|I3")
def blind_retry(patch: Patch, drill: Drill) -> None:
    call = Retries.call

    def again(self, policy, action, *, key):
        try:
            return call(self, policy, action, key=key)
        except OutcomeUnknownError:
            return call(self, policy, action, key=key)

    patch.setattr(Retries, "call", again)


@bug("an order that is not in two reads is believed absent at once, without the settling time", breaks="I2|I3|I6")
def no_settling(patch: Patch, drill: Drill) -> None:
    long_ago = timedelta(days=1)
    patch.setattr(OrderDesk, "_last_sent", lambda self, order: order.intended_at - long_ago)


@bug("a second exit is sent beside one whose fate is unclear", breaks="I2|I3|I6")
def second_exit(patch: Patch, drill: Drill) -> None:
    guarded(patch, drill, no_exit_order=lambda facts: facts.trade.last_order(Role.EXIT) is not None)

    def place_exit(self, effort, action, policy):
        self._place(effort, core_orders.Side.SELL, effort.trade.held, action, policy)

    patch.setattr(TradeDesk, "_place_exit", place_exit)


@bug("an exit sells what was asked for, not what was filled", breaks="I3")
def sells_all(patch: Patch, drill: Drill) -> None:
    def place_exit(self, effort, action, policy):
        if all(order.is_settled for order in effort.trade.orders):
            self._place(effort, core_orders.Side.SELL, effort.trade.quantity, action, policy)

    patch.setattr(TradeDesk, "_place_exit", place_exit)


@bug("an entry that is believed absent is sent once more", breaks="I6|I2")
def entry_again(patch: Patch, drill: Drill) -> None:
    step = TradeDesk.step

    def again(self, trade, trigger, *, news=(), seen=None, reason=""):
        if trigger != "entry_absent":
            step(self, trade, trigger, news=news, seen=seen, reason=reason)
            return
        step(self, trade, None, news=news)
        effort = trades.Effort(self._floor.ledger.trades[trade.trade_id], self._floor.clock.now())
        machine = self._floor.machine_of(trade.machine)
        policy = machine.spec.policy_of("place_entry")
        self._place(effort, core_orders.Side.BUY, trade.quantity, "place_entry", policy)
        self._carry_out(effort)

    patch.setattr(TradeDesk, "step", again)


@bug("a trade is closed as soon as its exit was accepted", breaks="I4|defect")
def closed_by_hope(patch: Patch, drill: Drill) -> None:
    guarded(patch, drill, is_flat=lambda facts: facts.trade.last_order(Role.EXIT) is not None)


@bug("a rejected exit ends the trade", breaks="I4|I5")
def rejected_exit(patch: Patch, drill: Drill) -> None:
    flat = names.TRADE_GUARDS["is_flat"]
    rejected = names.TRADE_GUARDS["exit_rejected"]
    guarded(patch, drill, is_flat=lambda facts: flat(facts) or rejected(facts))


@bug("the loop ends with the trading window, whatever is open", breaks="I5")
def ends_with_window(patch: Patch, drill: Drill) -> None:
    true = Trader.is_over.fget

    def is_over(self):
        return true(self) or self.floor.clock.now() >= self.floor.plan.trading_end

    patch.setattr(Trader, "is_over", property(is_over))


@bug("a time-out is forgotten by a restart", breaks="I5")
def lost_deadline(patch: Patch, drill: Drill) -> None:
    due = TradeDesk._due
    patch.setattr(TradeDesk, "_due", lambda self, trade: due(self, trade) if trade.opened_at >= self._began else None)


@bug("orders of ours under no open trade are not looked for", breaks="I5|I11")
def no_sweep(patch: Patch, drill: Drill) -> None:
    patch.setattr(AdoptionDesk, "sweep", lambda self, book: [])


@bug("a trade goes on under the machine of today", breaks="I8")
def machine_of_today(patch: Patch, drill: Drill) -> None:
    patch.setattr(Floor, "machine_of", lambda self, digest: self.trade_machine)


@bug("a halt is forgotten by a restart", breaks="I9")
def forgotten_halt(patch: Patch, drill: Drill) -> None:
    fold = Ledger.fold

    def forgetful(self, rows):
        fold(self, rows)
        self.halted = self.flatten_asked = False
        return self

    patch.setattr(Ledger, "fold", forgetful)
    patch.setattr("fsm_trader.simulate.drill.day.Ledger.fold", forgetful)


@bug("an entry is taken although the newest health check failed", breaks="I9")
def sick_entry(patch: Patch, drill: Drill) -> None:
    def blind(risk, facts):
        return entry_blocks(risk, replace(facts, faults=()))

    patch.setattr(entries, "entry_blocks", blind)


@bug("entries do not look at the session, the window and the halt", breaks="I9")
def no_blocks(patch: Patch, drill: Drill) -> None:
    patch.setattr(entries, "entry_blocks", lambda risk, facts: ())


@bug("the number of an order that nobody remembers is used again", breaks="I6|I2")
def number_again(patch: Patch, drill: Drill) -> None:
    def only_noted(self, record, entry):
        self.damaged_at = entry.at

    patch.setitem(Ledger._STEPS, DamageFound, only_noted)
    patch.setattr(Floor, "next_trade_number", lambda self: self.ledger.next_trade_number())


@bug("an exit whose rows are gone is neither followed nor seen before another is sent", breaks="I2|I3|I6")
def not_attached(patch: Patch, drill: Drill) -> None:
    patch.setattr(AdoptionDesk, "_attach", lambda self, report, book: None)
    patch.setattr(Effects, "_missing", lambda self, request, **by: "")


@bug("an exit is sent without a look at the position", breaks="I3")
def not_looked(patch: Patch, drill: Drill) -> None:
    patch.setattr(Effects, "_missing", lambda self, request, **by: "")


@bug("entries do not wait for the broker's answer", breaks="I10")
def not_asked(patch: Patch, drill: Drill) -> None:
    patch.setattr(Floor, "unreconciled", property(lambda self: "", lambda self, why: None), raising=False)


@bug("an order is taken over in two commits", breaks="I5")
def half_adopted(patch: Patch, drill: Drill) -> None:
    patch.setattr(TradeDesk, "adopt", _in_two_commits)


def _in_two_commits(self, first, trade, news) -> bool:
    effort = trades.Effort(trade, self._floor.clock.now(), [first])
    for record in news:
        effort.note(record)
    self._fire(effort, self._floor.machine_of(trade.machine), "adopt", trades.Seen())
    self._carry_out(effort)
    for trigger in ("entry_update", "check"):
        self.step(self._floor.ledger.trades[trade.trade_id], trigger)
    return True


@bug("a position that is shown late is written off", breaks="I5")
def written_off(patch: Patch, drill: Drill) -> None:
    def at_once(self, found, event, sales):
        trade = self._floor.ledger.trades[found.trade_id]
        self._trades.step(trade, "position_gone", news=(SoldOutside(found.trade_id, found.quantity, None, found.text),))
        return False

    patch.setattr(ReconcileDesk, "_sold", at_once)


@bug("a fill that is read twice counts twice", breaks="I3|I4|I5|defect|halt")
def fill_twice(patch: Patch, drill: Drill) -> None:
    news_of = orders._news_of

    def doubled(trade, order, report, fills):
        news = news_of(trade, order, report, fills)
        return tuple(
            part
            for row in news
            for part in ((row, _again(row)) if isinstance(row, FillSeen) and row.fill.quantity > 75 else (row,))
        )

    patch.setattr(orders, "_news_of", doubled)


def _again(row: FillSeen) -> FillSeen:
    return FillSeen(row.trade_id, row.tag, replace(row.fill, fill_id=row.fill.fill_id + "-again"))


@bug("entries are decided on old option prices", breaks="I12")
def old_prices(patch: Patch, drill: Drill) -> None:
    patch.setattr(entries, "age_block", lambda symbol, at, now, most: "")


@bug("what the trader did is not all in its rows", breaks="replay")
def unjournaled(patch: Patch, drill: Drill) -> None:
    patch.setattr(Floor, "commit", _forgetting(Floor.commit))


def _forgetting(commit):
    def kept(self, *records, **named):
        commit(self, *records, **named)
        if any(isinstance(record, OrderAnswered) for record in records):
            self.ledger.orders_today += 1

    return kept


@bug("a first exit believes what was read of the positions a while ago", breaks="I3")
def believes_old_positions(patch: Patch, drill: Drill) -> None:
    patch.setattr(Floor, "is_net_known", lambda self, since: True)


@bug("an exit is sent as it is, however little one order may carry", breaks="freeze|I3|I5")
def whole_exit(patch: Patch, drill: Drill) -> None:
    next_of = Parts.next_of

    def whole(self, trade, quantity):
        return quantity if trade.state == "PENDING_EXIT" else next_of(self, trade, quantity)

    patch.setattr(Parts, "next_of", whole)


@bug("the next part of an entry is sent while the one before works", breaks="I2|I6")
def part_beside_part(patch: Patch, drill: Drill) -> None:
    def is_due(trade):
        entered = trade.orders_of(Role.ENTRY)
        return bool(entered) and sum(order.request.quantity for order in entered) < trade.quantity

    guarded(patch, drill, entry_part_done=lambda facts: facts.may_buy_on and is_due(facts.trade))
    patch.setattr(trades, "is_entry_part_due", is_due)


@bug("a trade that holds a part fails when the next one comes to nothing", breaks="I4|I5")
def part_lost(patch: Patch, drill: Drill) -> None:
    filled = names.TRADE_GUARDS["entry_filled"]

    def has_bought(facts):
        return filled(facts) and facts.trade.last_order(Role.ENTRY).filled > 0

    def has_not(facts):
        orders_in = facts.trade.orders_of(Role.ENTRY)
        return bool(orders_in) and all(order.is_settled for order in orders_in) and not has_bought(facts)

    guarded(patch, drill, entry_filled=has_bought, entry_unfilled=has_not)


@bug("a part of an entry follows whatever has happened since its signal", breaks="I9|I10")
def part_without_leave(patch: Patch, drill: Drill) -> None:
    patch.setattr(Parts, "may_buy_on", lambda self, trade, now, *, within: True)


@contextmanager
def seeded(text: str) -> Iterator[Drill]:
    """A drill with one bug in it."""
    drill = Drill(settings_of(SESSION))
    with pytest.MonkeyPatch.context() as patch:
        BUGS[text][1](patch, drill)
        yield drill


def seeds_to_find(text: str, most: int = MOST_SEEDS) -> tuple[int, Outcome] | None:
    """How many seeded days it takes until one breaks the invariant that the bug breaks."""
    wanted = re.compile(rf"({BUGS[text][0]})\b")
    with seeded(text) as drill:
        for seed in range(most):
            outcome = drill.play(drill.scenario(seed))
            if any(wanted.match(breach) for breach in outcome.breaches):
                return seed + 1, outcome
    return None


def is_found(text: str, seed: int) -> bool:
    """Tell whether the day of one seed shows the bug."""
    wanted = re.compile(rf"({BUGS[text][0]})\b")
    with seeded(text) as drill:
        return any(wanted.match(breach) for breach in drill.play(drill.scenario(seed)).breaches)


def main() -> None:
    for text, (breaks, _) in BUGS.items():
        found = seeds_to_find(text)
        print(f"| {text} | {breaks.replace('|', ', ')} | {found[0] if found else 'not found'} |", flush=True)


if __name__ == "__main__":
    main()
