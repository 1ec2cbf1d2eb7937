"""A trade as a fold over its journal rows: state, orders, fills, levels, profit and loss. Live and replay share it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from fractions import Fraction
from typing import Any

import msgspec

from fsm_trader.core.contracts import OptionContract
from fsm_trader.core.money import Paise
from fsm_trader.core.orders import Fill, OrderKind, OrderReport, OrderRequest, OrderStatus, Role, Side, merge
from fsm_trader.core.records import (
    AlarmRaised,
    Answer,
    CancelAnswered,
    CancelIntended,
    Deadline,
    FillSeen,
    LevelsSet,
    OrderAdopted,
    OrderAnswered,
    OrderIntended,
    OrderSeen,
    Record,
    SoldOutside,
    TradeMoved,
    TradeOpened,
)
from fsm_trader.core.settings import ExitRules
from fsm_trader.core.tags import read_tag
from fsm_trader.errors import HaltError

_change = msgspec.structs.replace


class TradeOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One order of a trade: what was asked, what was answered, what the book says.

    Args:
        answer: None while the order's answer is not journaled; *sends* counts the requests that left.
        answered_at: when the newest answer was journaled; no request can have left later.
        report: newest row of the broker's book, None before the order was seen there.
        fills: every fill read, in the order they were read.
        cancel_asked_at: when a cancellation was last intended; *cancel_answer* what came of asking.
    """

    tag: str
    role: Role
    attempt: int
    request: OrderRequest
    intended_at: datetime
    answer: Answer | None = None
    answered_at: datetime | None = None
    order_id: str | None = None
    message: str = ""
    sends: int = 0
    report: OrderReport | None = None
    fills: tuple[Fill, ...] = ()
    cancel_asked_at: datetime | None = None
    cancel_answer: Answer | None = None

    @property
    def filled(self) -> int:
        """Units filled, by the fills that were read."""
        return sum(fill.quantity for fill in self.fills)

    @property
    def value_paise(self) -> int:
        """Sum of quantity times price over the fills."""
        return sum(fill.quantity * fill.price_paise for fill in self.fills)

    @property
    def is_settled(self) -> bool:
        """True when this order can change nothing any more, and all its fills were read or never can be."""
        if self.answer == "lapsed":
            return True
        if self.report is not None:
            return self.report.status.is_terminal and self.filled >= self.report.filled_quantity
        return self.answer in ("refused", "absent")

    @property
    def is_unclear(self) -> bool:
        """True when the order was sent, or may have been, and the book has not shown it."""
        return self.report is None and self.answer in (None, "unknown", "accepted")

    @property
    def status(self) -> OrderStatus | None:
        """The book's status, None before the book showed the order."""
        return None if self.report is None else self.report.status


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """One trade. Amounts are paise, quantities units, times aware.

    Args:
        is_adopted: its entry turned up under no open trade; it is only led out.
        alarm_level: loudest alarm since the state last changed, 0 without one: the next one is louder.
        sold_outside: units that are gone by no order of ours; *outside_value_paise* what they brought, or cost.
    """

    trade_id: str
    number: int
    session: str
    strategy: str
    contract: OptionContract
    lots: int
    quantity: int
    product: str
    exits: ExitRules
    machine: str
    candle_start: datetime
    index_paise: Paise
    opened_at: datetime
    state: str
    since: datetime
    deadline: Deadline | None = None
    reason: str = ""
    exit_reason: str = ""
    orders: tuple[TradeOrder, ...] = ()
    stop_paise: Paise | None = None
    target_paise: Paise | None = None
    hold_until: datetime | None = None
    filled_at: datetime | None = None
    is_adopted: bool = False
    sold_outside: int = 0
    outside_value_paise: int = 0
    alarm_level: int = 0

    def orders_of(self, role: Role) -> tuple[TradeOrder, ...]:
        """Return the orders of one role, oldest first."""
        return tuple(order for order in self.orders if order.role is role)

    def last_order(self, role: Role) -> TradeOrder | None:
        """Return the newest order of one role."""
        for order in reversed(self.orders):
            if order.role is role:
                return order
        return None

    def order(self, tag: str) -> TradeOrder:
        """Return the order with *tag*.

        Raises:
            HaltError: this trade has no such order: a row and its trade do not belong together.
        """
        for order in self.orders:
            if order.tag == tag:
                return order
        raise HaltError(f"trade {self.trade_id}: no order with tag {tag}; expected one of {len(self.orders)} known")

    def filled(self, role: Role) -> int:
        """Units filled by the orders of one role."""
        return sum(order.filled for order in self.orders if order.role is role)

    def value_paise(self, role: Role) -> int:
        """Sum of quantity times price over the fills of one role."""
        return sum(order.value_paise for order in self.orders if order.role is role)

    @property
    def held(self) -> int:
        """Units bought and not sold yet, by us or outside; never negative for a trade that keeps I3."""
        return self.filled(Role.ENTRY) - self.filled(Role.EXIT) - self.sold_outside

    def average_paise(self, role: Role) -> Fraction | None:
        """Average fill price of one role, exact; None without a fill."""
        filled = self.filled(role)
        return Fraction(self.value_paise(role), filled) if filled else None

    @property
    def has_open_order(self) -> bool:
        """True while an order of this trade may still do something."""
        return any(not order.is_settled for order in self.orders)

    @property
    def is_flat(self) -> bool:
        """True when something was bought, all of it is gone, and no order can change that."""
        return self.filled(Role.ENTRY) > 0 and self.held == 0 and not self.has_open_order

    def gross_paise(self, mark_paise: int | None = None) -> int:
        """Profit or loss before charges; units still held count at *mark_paise*, or at cost where None."""
        bought, sold = self.value_paise(Role.ENTRY), self.value_paise(Role.EXIT) + self.outside_value_paise
        if self.held == 0:
            return sold - bought
        average = self.average_paise(Role.ENTRY)
        mark = Fraction(mark_paise) if mark_paise is not None else (average or Fraction(0))
        return round(sold - bought + self.held * mark)

    @property
    def executed_orders(self) -> int:
        """Orders with at least one fill; brokerage is paid for each."""
        return sum(1 for order in self.orders if order.fills)


def open_trade(record: TradeOpened, at: datetime, session: str, state: str) -> Trade:
    """Start the fold: the trade as its first row describes it, in the machine's initial state."""
    return Trade(
        trade_id=record.trade_id,
        number=record.number,
        session=session,
        strategy=record.strategy,
        contract=record.contract,
        lots=record.lots,
        quantity=record.quantity,
        product=record.product,
        exits=record.exits,
        machine=record.machine,
        candle_start=record.candle_start,
        index_paise=record.index_paise,
        is_adopted=bool(record.adopts),
        opened_at=at,
        state=state,
        since=at,
    )


def apply(trade: Trade, record: Record, at: datetime) -> Trade:
    """Return the trade after one more of its rows; rows that say nothing of a trade's state leave it as it is."""
    step = _STEPS.get(type(record))
    return trade if step is None else step(trade, record, at)


def _moved(trade: Trade, record: TradeMoved, at: datetime) -> Trade:
    stays = record.source == record.dest
    return _change(
        trade,
        state=record.dest,
        since=trade.since if stays else at,
        alarm_level=trade.alarm_level if stays else 0,
        deadline=record.deadline,
        reason=record.reason or trade.reason,
        exit_reason=trade.exit_reason or (record.reason if record.dest == "PENDING_EXIT" else ""),
    )


def _levels(trade: Trade, record: LevelsSet, _at: datetime) -> Trade:
    return _change(trade, stop_paise=record.stop_paise, target_paise=record.target_paise, hold_until=record.hold_until)


def _intended(trade: Trade, record: OrderIntended, at: datetime) -> Trade:
    for known in trade.orders:
        if known.tag == record.request.tag:
            if known.request == record.request:
                return trade
            raise HaltError(
                f"trade {trade.trade_id}: tag {known.tag} is intended for two different orders; "
                "expected a tag of its own for each"
            )
    order = TradeOrder(
        tag=record.request.tag, role=record.role, attempt=record.attempt, request=record.request, intended_at=at
    )
    return _change(trade, orders=(*trade.orders, order))


def _answered(trade: Trade, record: OrderAnswered, at: datetime) -> Trade:
    order = trade.order(record.tag)
    return _with(
        trade,
        _change(
            order,
            answer=record.answer,
            answered_at=at,
            # A row that was seen is followed, whichever of two under one tag the answer names.
            order_id=order.order_id if order.report is not None else record.order_id or order.order_id,
            message=record.message,
            sends=record.sends,
        ),
    )


def _cancel_intended(trade: Trade, record: CancelIntended, at: datetime) -> Trade:
    return _with(trade, _change(trade.order(record.tag), cancel_asked_at=at, cancel_answer=None))


def _cancel_answered(trade: Trade, record: CancelAnswered, _at: datetime) -> Trade:
    return _with(trade, _change(trade.order(record.tag), cancel_answer=record.answer))


def _seen(trade: Trade, record: OrderSeen, _at: datetime) -> Trade:
    order = trade.order(record.tag)
    report = merge(order.report, record.report)
    return _with(trade, _change(order, report=report, order_id=report.order_id, message=report.message))


def _filled(trade: Trade, record: FillSeen, _at: datetime) -> Trade:
    order = trade.order(record.tag)
    if any(fill.fill_id == record.fill.fill_id for fill in order.fills):
        return trade
    changed = _with(trade, _change(order, fills=(*order.fills, record.fill)))
    if order.role is Role.ENTRY and trade.filled_at is None:
        return _change(changed, filled_at=record.fill.at)
    return changed


def _adopted(trade: Trade, record: OrderAdopted, at: datetime) -> Trade:
    report = record.report
    request = OrderRequest(
        tag=report.tag or "",
        exchange=report.exchange,
        tradingsymbol=report.tradingsymbol,
        token=report.token,
        side=report.side,
        quantity=report.quantity,
        product=report.product,
        kind=OrderKind.MARKET,
    )
    parts = read_tag(report.tag)
    order = TradeOrder(
        tag=request.tag,
        role=Role.ENTRY if report.side is Side.BUY else Role.EXIT,
        # As its tag says, so that no later order of the trade gets the same tag.
        attempt=1 if parts is None else parts.attempt,
        request=request,
        intended_at=at,
        answer="accepted",
        answered_at=at,
        order_id=report.order_id,
        report=report,
    )
    return _change(trade, orders=(*trade.orders, order))


def _sold_outside(trade: Trade, record: SoldOutside, _at: datetime) -> Trade:
    average = trade.average_paise(Role.ENTRY) or Fraction(0)
    value = record.value_paise
    return _change(
        trade,
        sold_outside=trade.sold_outside + record.quantity,
        # Where nobody can say what the units brought, they count at cost: neither won nor lost.
        outside_value_paise=trade.outside_value_paise + (round(record.quantity * average) if value is None else value),
    )


def _alarmed(trade: Trade, record: AlarmRaised, _at: datetime) -> Trade:
    return _change(trade, alarm_level=max(trade.alarm_level, record.level))


def _with(trade: Trade, changed: TradeOrder) -> Trade:
    orders = tuple(changed if order.tag == changed.tag else order for order in trade.orders)
    return _change(trade, orders=orders)


_STEPS: dict[type, Callable[[Trade, Any, datetime], Trade]] = {
    TradeMoved: _moved,
    LevelsSet: _levels,
    OrderIntended: _intended,
    OrderAnswered: _answered,
    CancelIntended: _cancel_intended,
    CancelAnswered: _cancel_answered,
    OrderSeen: _seen,
    FillSeen: _filled,
    OrderAdopted: _adopted,
    SoldOutside: _sold_outside,
    AlarmRaised: _alarmed,
}
