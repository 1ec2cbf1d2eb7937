"""What the broker told about our orders, sorted to the trades they belong to."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import partial

from fsm_trader.core.events import CancelDone, SendAnswered
from fsm_trader.core.orders import Fill, OrderBook, OrderReport, merge
from fsm_trader.core.parts import is_left_behind
from fsm_trader.core.records import AlarmRaised, CancelAnswered, FillSeen, OrderAnswered, OrderSeen, Record
from fsm_trader.core.trades import Trade, TradeOrder
from fsm_trader.engine.floor import Floor
from fsm_trader.engine.trades import TradeDesk

# One complete read without the order proves nothing: brokers show accepted orders late.
_READS_BEFORE_ABSENT = 2


class OrderDesk:
    """Follows every order until it is settled. The book decides; an answer is only an answer."""

    def __init__(self, floor: Floor, trades: TradeDesk) -> None:
        self._floor = floor
        self._trades = trades
        self._unseen_reads: dict[str, int] = {}
        self._doubled: set[str] = set()
        self._began = floor.clock.now()

    def answered(self, event: SendAnswered) -> None:
        """Take the answer to a sent order."""
        self._trades.answered(event.tag)
        trade = self._floor.ledger.trades[event.trade_id]
        row = OrderAnswered(event.trade_id, event.tag, event.answer, event.order_id, event.message, event.sends)
        role = trade.order(event.tag).role
        self._trades.step(trade, f"{role}_refused" if event.answer == "refused" else None, news=(row,))

    def cancel_answered(self, event: CancelDone) -> None:
        """Take the answer to a cancellation: whether the order is dead, the book says."""
        trade = self._floor.ledger.trades[event.trade_id]
        self._trades.step(trade, None, news=(CancelAnswered(event.trade_id, event.tag, event.answer, event.message),))

    def book_read(self, book: OrderBook) -> None:
        """Take a complete read of the book: what is new goes to its trade, what stays unseen may be absent."""
        reports = _by_tag(book.orders)
        fills = _by_order(book.fills)
        for trade in self._floor.ledger.open_trades:
            for order in trade.orders:
                rows = reports.get(order.tag, [])
                self._tell_of_doubled(trade.trade_id, order, rows)
                if order.is_settled and (order.report is not None or not rows):
                    continue  # One that was given up and turns up after all is not done: it is followed again.
                if is_left_behind(trade, order):
                    continue  # Its trade may be selling by now: this one gets a trade of its own (``adopt``).
                if not rows:
                    self._unseen(trade.trade_id, order, book.read_at)
                    continue
                self._unseen_reads.pop(order.tag, None)
                report = _row_of(order, rows)
                if order.report is not None and order.report.order_id != report.order_id:
                    continue  # Its own row, seen before, is missing from this read; another one's fate is not its.
                news = _news_of(trade, order, report, fills.get(report.order_id, ()))
                if news:
                    current = self._floor.ledger.trades[trade.trade_id]
                    trigger = self._trades.update_of(current, order.role)
                    step = partial(self._trades.step, current, trigger, news=news)
                    self._floor.guard(step, of=trade.trade_id)

    def _unseen(self, trade_id: str, order: TradeOrder, read_at: datetime) -> None:
        if not order.is_unclear or order.answer == "accepted":
            return
        if self._trades.is_sending(order.tag) or read_at < self._last_sent(order) + self._floor.settings.broker.settle:
            return
        reads = self._unseen_reads.get(order.tag, 0) + 1
        self._unseen_reads[order.tag] = reads
        if reads < _READS_BEFORE_ABSENT:
            return
        message = f"not in {reads} complete reads of the book, the last {read_at - order.intended_at} after it was sent"
        row = OrderAnswered(trade_id, order.tag, "absent", None, message, order.sends)
        step = partial(self._trades.step, self._floor.ledger.trades[trade_id], f"{order.role}_absent", news=(row,))
        self._floor.guard(step, of=trade_id)

    def _last_sent(self, order: TradeOrder) -> datetime:
        """Return the latest moment a request about an order can have left.

        A busy broker is asked again, so that may be long after the intent. A process that ended without a word may
        have sent until its end, which was before this one began.
        """
        sent_at = order.answered_at or max(order.intended_at, self._began)
        set_at = self._floor.clock_set_at
        return sent_at if set_at is None else max(sent_at, set_at)

    def _tell_of_doubled(self, trade_id: str, order: TradeOrder, rows: list[OrderReport]) -> None:
        """Tell once of a second order under a tag, whichever showed first: a person has to look at it."""
        others = {row.order_id for row in rows} - {_row_of(order, rows).order_id} if rows else set()
        if not others or order.tag in self._doubled:
            return
        self._doubled.add(order.tag)
        text = (
            f"{trade_id}: the book holds {1 + len(others)} orders with tag {order.tag}; expected one. "
            f"{_row_of(order, rows).order_id} is managed, {', '.join(sorted(others))} needs a person."
        )
        self._floor.commit(AlarmRaised(text, trade_id))


def _row_of(order: TradeOrder, rows: list[OrderReport]) -> OrderReport:
    """Return the order's own row: the one that was followed so far, or else the one that was answered."""
    own = order.order_id if order.report is None else order.report.order_id
    return min(rows, key=lambda row: (row.order_id != own, row.order_id))


def _news_of(trade: Trade, order: TradeOrder, report: OrderReport, fills: Iterable[Fill]) -> tuple[Record, ...]:
    news: list[Record] = []
    if merge(order.report, report) != order.report:
        news.append(OrderSeen(trade.trade_id, order.tag, report))
    known = {fill.fill_id for fill in order.fills}
    news += [FillSeen(trade.trade_id, order.tag, fill) for fill in fills if fill.fill_id not in known]
    return tuple(news)


def _by_tag(reports: Iterable[OrderReport]) -> dict[str, list[OrderReport]]:
    found: dict[str, list[OrderReport]] = {}
    for report in reports:
        if report.tag:
            found.setdefault(report.tag, []).append(report)
    return found


def _by_order(fills: Iterable[Fill]) -> dict[str, list[Fill]]:
    found: dict[str, list[Fill]] = {}
    for fill in fills:
        found.setdefault(fill.order_id, []).append(fill)
    return found
