"""One trade's way: what happened to it is folded in, its machine decides, the decision is committed, then it acts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial

from fsm_trader.core.facts import TradeFacts
from fsm_trader.core.ledger import Ledger
from fsm_trader.core.levels import decisive_price, level_of
from fsm_trader.core.orders import OrderKind, OrderRequest, Role, Side
from fsm_trader.core.parts import is_entry_part_due
from fsm_trader.core.records import (
    AlarmRaised,
    CancelIntended,
    Deadline,
    LevelsSet,
    OrderIntended,
    Record,
    TradeMoved,
)
from fsm_trader.core.tags import TagParts, make_tag, owner_of
from fsm_trader.core.trades import Trade, TradeOrder
from fsm_trader.engine.effort import Effort, Seen
from fsm_trader.engine.floor import Floor
from fsm_trader.engine.look import look_before_exit
from fsm_trader.engine.pace import paced, undone_exits
from fsm_trader.engine.parts import Parts
from fsm_trader.errors import StuckTradeError
from fsm_trader.machines.run import Machine, Step
from fsm_trader.machines.spec import PolicySpec

# A step may lead to another at once (ACTIVE with its stop already passed); more than this many means the machine
# file moves in circles.
_STEPS_AT_ONCE = 4

_ROLE_OF_ACTION = {
    "place_entry": Role.ENTRY,
    "cancel_entry": Role.ENTRY,
    "place_exit": Role.EXIT,
    "cancel_exit": Role.EXIT,
}


class TradeDesk:
    """Runs the trade machines. It decides nothing by itself: the definition does.

    Attributes:
        parts: how much one order may carry.
    """

    def __init__(self, floor: Floor) -> None:
        self._floor = floor
        self._owner = owner_of(floor.settings.session.name)
        self._snoozed: dict[str, datetime] = {}
        self._sending: set[str] = set()
        self._began = floor.clock.now()
        self.parts = Parts(floor)
        self._actions: dict[str, Callable[[Effort, str, PolicySpec | None], None]] = {
            "place_entry": self._place_entry,
            "place_exit": self._place_exit,
            "cancel_entry": self._cancel,
            "cancel_exit": self._cancel,
            "set_levels": self._set_levels,
            "alarm": self._alarm,
        }

    def step(
        self,
        trade: Trade,
        trigger: str | None,
        *,
        news: tuple[Record, ...] = (),
        seen: Seen | None = None,
        reason: str = "",
    ) -> None:
        """Fold *news* into a trade, let its machine decide on *trigger*, commit, act.

        Args:
            trade: as the ledger knows it, or freshly opened by the first of *news*' rows already folded in.
            trigger: None only takes the news in.
            news: rows about this trade that are not committed yet.
            seen: prices of this moment.
            reason: why, in place of what the definition says.

        Raises:
            HaltError: the journal cannot be written; nothing was sent.
        """
        effort = Effort(trade, self._floor.clock.now(), reason=reason)
        for record in news:
            effort.note(record)
        machine = self._floor.machine_of(trade.machine)
        step = None
        if trigger is not None:
            step = self._fire(effort, machine, trigger, seen or Seen())
        self._carry_out(effort)
        for _ in range(_STEPS_AT_ONCE):
            if step is None or not step.entered or not machine.handles(step.dest, "check"):
                return
            # A state that was just entered may have its end already behind it: a stop passed, the square-off due.
            effort = Effort(self._floor.ledger.trades[trade.trade_id], self._floor.clock.now())
            step = self._fire(effort, machine, "check", Seen())
            self._carry_out(effort)

    def check(self, trade: Trade) -> None:
        """Let a trade look at facts that are not its own, where its state listens to that."""
        if self._floor.machine_of(trade.machine).handles(trade.state, "check"):
            self.step(trade, "check")

    def open(self, first: Record, trade: Trade, *, before: Sequence[Record] = ()) -> bool:
        """Open a trade: its first row, the transition out of IDLE and the entry's intent are one commit.

        Rows that come *before* are in it too. False when the definition's guards let nothing out of IDLE; then nothing
        was committed.
        """
        effort = Effort(trade, self._floor.clock.now(), [*before, first])
        if self._fire(effort, self._floor.machine_of(trade.machine), "enter", Seen()) is None:
            return False
        self._carry_out(effort)
        return True

    def adopt(self, first: Record, trade: Trade, news: tuple[Record, ...]) -> bool:
        """Open a trade for an order that exists already, and lead it out.

        False when the definition knows no ``adopt``; then nothing was committed.
        """
        machine = self._floor.machine_of(trade.machine)
        effort = Effort(trade, self._floor.clock.now(), [first])
        for record in news:
            effort.note(record)
        if self._fire(effort, machine, "adopt", Seen()) is None:
            return False
        for trigger in ("entry_update", "position_gone"):
            # In the same commit: no later read tells anything new of orders that are done.
            if machine.handles(effort.trade.state, trigger):
                self._fire(effort, machine, trigger, Seen())
        self._carry_out(effort)
        self.check(self._floor.ledger.trades[trade.trade_id])
        return True

    def update_of(self, trade: Trade, role: Role) -> str:
        """Return the trigger for news of an order: an exit that no transition asked for may end its trade too."""
        trigger = f"{role}_update"
        is_heard = role is Role.ENTRY or self._floor.machine_of(trade.machine).handles(trade.state, trigger)
        return trigger if is_heard else "position_gone"

    def on_time(self, now: datetime) -> None:
        """Fire the deadline of every open trade whose time is up."""
        for trade in self._floor.ledger.open_trades:
            due = self._due(trade)
            if trade.deadline is None or due is None or due > now:
                continue
            self._floor.guard(partial(self.step, trade, _at_its_time(trade, trade.deadline)), of=trade.trade_id)
            after = self._floor.ledger.trades[trade.trade_id]
            if after.deadline == trade.deadline:
                # No transition answered, or the step failed: it is asked again in a while, and nothing waits for it.
                self._snoozed[trade.trade_id] = now + self._floor.settings.broker.exit_timeout

    def hurry_exits(self) -> None:
        """Let every trade that is on its way out, with no order that may be live, send its next one now."""
        for trade in self._floor.ledger.open_trades:
            is_waiting = trade.state == "PENDING_EXIT" and all(order.is_settled for order in trade.orders)
            if is_waiting and trade.deadline is not None:
                self._floor.guard(partial(self.step, trade, _at_its_time(trade, trade.deadline)), of=trade.trade_id)

    def answered(self, tag: str) -> None:
        """Take note that no further request about an order can leave this process."""
        self._sending.discard(tag)

    def is_sending(self, tag: str) -> bool:
        """Tell whether this process may still send a request about an order."""
        return tag in self._sending

    def next_deadline(self) -> datetime | None:
        """Return the earliest deadline of the open trades."""
        return min((due for trade in self._floor.ledger.open_trades if (due := self._due(trade))), default=None)

    def _due(self, trade: Trade) -> datetime | None:
        if trade.deadline is None:
            return None
        snoozed = self._snoozed.get(trade.trade_id)
        return max(trade.deadline.at, snoozed) if snoozed else trade.deadline.at

    def _carry_out(self, effort: Effort) -> None:
        """Commit, then act: nothing leaves before its intent is durable (I1)."""
        if effort.records:
            self._floor.commit(*effort.records)
        self._sending.update(effort.tags)
        for job in effort.jobs:
            self._floor.worker.submit(job)

    def _fire(self, effort: Effort, machine: Machine, trigger: str, seen: Seen) -> Step | None:
        trade, plan = effort.trade, self._floor.plan
        exit_signal = _exit_said(self._floor.ledger, trade)
        facts = TradeFacts(
            trade=trade,
            now=effort.now,
            low=seen.low,
            high=seen.high,
            last=seen.last,
            exit_signal=exit_signal,
            # What an earlier day left open has its square-off behind it.
            square_off_due=effort.now >= plan.square_off or trade.session != self._floor.session,
            flatten_asked=self._floor.ledger.flatten_asked or self._floor.leaving,
            may_buy_on=not exit_signal and self._may_buy_on(trade, machine, effort.now),
        )
        step = machine.fire(trade.state, trigger, facts)
        if step is None:
            return None
        effort.note(
            TradeMoved(
                trade_id=trade.trade_id,
                trigger=trigger,
                source=step.source,
                dest=step.dest,
                reason=effort.reason or step.reason,
                deadline=self._deadline(effort, machine, step),
                price_paise=decisive_price(trade, seen.low, seen.high, seen.last),
            )
        )
        for action in step.actions:
            self._actions[action](effort, action, machine.spec.policy_of(action))
        self._snoozed.pop(trade.trade_id, None)
        return step

    def _may_buy_on(self, trade: Trade, machine: Machine, now: datetime) -> bool:
        timeout = machine.spec.state(trade.state).timeout
        if timeout is None or not is_entry_part_due(trade):
            return False
        return self.parts.may_buy_on(trade, now, within=self._length(timeout.after))

    def _deadline(self, effort: Effort, machine: Machine, step: Step) -> Deadline | None:
        timeout = machine.spec.state(step.dest).timeout
        if timeout is None:
            return None
        known = effort.trade.deadline
        if (
            not step.entered
            and known is not None
            and step.trigger != timeout.trigger
            and "place_exit" not in step.actions
        ):
            return known
        if timeout.after == "max_hold":
            hold = effort.trade.exits.max_hold
            start = effort.trade.filled_at or effort.now
            return None if hold is None else Deadline(start + hold, timeout.trigger)
        length = self._length(timeout.after)
        if step.dest == "PENDING_EXIT":
            length = paced(length, undone_exits(effort.trade), logged_out=self._floor.logged_out)
            length = max(length, (self._floor.sure_from or effort.now) - effort.now)
        return Deadline(effort.now + length, timeout.trigger)

    def _length(self, after: timedelta | str) -> timedelta:
        if isinstance(after, timedelta):
            return after
        broker = self._floor.settings.broker
        return broker.entry_timeout if after == "entry_timeout" else broker.exit_timeout

    # Actions. Each adds rows, and a job that starts once they are committed.

    def _place_entry(self, effort: Effort, action: str, policy: PolicySpec | None) -> None:
        trade = effort.trade
        if trade.orders_of(Role.ENTRY) and not is_entry_part_due(trade):
            self._refuse(effort, "an entry was sent before for this trade; it is never sent twice (I2, I6)")
            return
        quantity = self.parts.next_of(trade, trade.quantity - trade.filled(Role.ENTRY))
        self._place(effort, Side.BUY, quantity, action, policy)

    def _place_exit(self, effort: Effort, action: str, policy: PolicySpec | None) -> None:
        trade = effort.trade
        if any(not order.is_settled for order in trade.orders):
            self._refuse(effort, "another order of this trade may still be live, so no exit is sent beside it (I2)")
            return
        if trade.held < 1:
            self._refuse(effort, f"nothing is held ({trade.held} units), so no exit is sent (I3)")
            return
        self._place(effort, Side.SELL, self.parts.next_of(trade, trade.held), action, policy)

    def _place(self, effort: Effort, side: Side, quantity: int, action: str, policy: PolicySpec | None) -> None:
        trade, role = effort.trade, _ROLE_OF_ACTION[action]
        attempt = 1 + max((order.attempt for order in trade.orders_of(role)), default=0)
        contract = trade.contract
        request = OrderRequest(
            tag=self._tag(trade, role, attempt),
            exchange=contract.exchange,
            tradingsymbol=contract.tradingsymbol,
            token=contract.token,
            side=side,
            quantity=quantity,
            product=trade.product,
            kind=OrderKind.MARKET,
            market_protection=self._protection(),
        )
        checked = _policy(action, policy)
        effort.note(OrderIntended(trade.trade_id, role, attempt, request, checked.name))
        look = None if role is Role.ENTRY else look_before_exit(self._floor, trade, attempt, since=self._began)
        effort.jobs.append(self._floor.effects.send(trade.trade_id, request, checked, look=look))
        effort.tags.append(request.tag)

    def _tag(self, trade: Trade, role: Role, attempt: int) -> str:
        day = datetime.fromisoformat(trade.session[:10]).date()
        try:
            return make_tag(TagParts(day, trade.number, role, attempt, self._owner))
        except ValueError as error:
            raise StuckTradeError(
                f"trade {trade.trade_id}: {error}. No further {role} order of it can be told apart from the others, so "
                f"none is sent; {trade.held} units are held and need a person."
            ) from error

    def _cancel(self, effort: Effort, action: str, policy: PolicySpec | None) -> None:
        order = effort.trade.last_order(_ROLE_OF_ACTION[action])
        if order is None or order.is_settled or order.order_id is None:
            self._refuse(effort, f"{action}: no order of this trade is known to be working")
            return
        checked = _policy(action, policy)
        effort.note(CancelIntended(effort.trade.trade_id, order.tag, order.order_id, checked.name))
        effort.jobs.append(self._floor.effects.cancel(effort.trade.trade_id, order.tag, order.order_id, checked))

    def _set_levels(self, effort: Effort, _action: str, _policy: PolicySpec | None) -> None:
        trade = effort.trade
        average = trade.average_paise(Role.ENTRY)
        if average is None:
            self._refuse(effort, "no fill yet, so stop and target cannot be set")
            return
        rules, tick = trade.exits, trade.contract.tick_paise
        hold = rules.max_hold
        effort.note(
            LevelsSet(
                trade_id=trade.trade_id,
                # Both are rounded up: the stop never risks more than was asked, the target never takes less.
                stop_paise=level_of(average, rules.stop_loss, -1, tick),
                target_paise=level_of(average, rules.target, 1, tick),
                hold_until=None if hold is None else (trade.filled_at or effort.now) + hold,
            )
        )

    def _alarm(self, effort: Effort, _action: str, _policy: PolicySpec | None) -> None:
        trade = effort.trade
        level = 1 + max(undone_exits(trade), trade.alarm_level)
        text = f"{trade.trade_id} {trade.contract.tradingsymbol}: {trade.state}, {trade.reason or 'no reason given'}"
        last = trade.orders[-1] if trade.orders else None
        effort.note(AlarmRaised(_and_order(text, trade, last), trade.trade_id, level))

    def _refuse(self, effort: Effort, why: str) -> None:
        effort.note(AlarmRaised(f"{effort.trade.trade_id}: {why}", effort.trade.trade_id))

    def _protection(self) -> Decimal:
        kite = self._floor.settings.broker.kite
        return Decimal(-1) if kite is None else kite.market_protection


def _at_its_time(trade: Trade, deadline: Deadline) -> str:
    """Return what is fired when a trade's time is up.

    A trade may be flat by news that came while another exit of it was on its way; that one ended without news.
    """
    return "exit_update" if trade.state == "PENDING_EXIT" and trade.is_flat else deadline.trigger


def _exit_said(ledger: Ledger, trade: Trade) -> bool:
    """Tell whether the strategy said EXIT on a candle later than the one the trade was entered on.

    A BUY that came after it takes nothing back: the position it was said of is left first.
    """
    said = ledger.exits_said.get(trade.strategy)
    return said is not None and said > trade.candle_start


def _policy(action: str, policy: PolicySpec | None) -> PolicySpec:
    if policy is None:
        raise KeyError(f"action {action} has no retry policy; the loader refuses such a definition")
    return policy


def _and_order(text: str, trade: Trade, order: TradeOrder | None) -> str:
    held = f"; {trade.held} units are held" if trade.held else ""
    if order is None:
        return text + held
    status = order.status or order.answer or "sent"
    message = f" ({order.message})" if order.message else ""
    return f"{text}; {order.role} order {order.order_id or order.tag} is {status}{message}{held}"
