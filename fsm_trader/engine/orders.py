"""What the broker told about our orders, sorted to the trades they belong to."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from fsm_trader.core.events import CancelDone, SendAnswered
from fsm_trader.core.orders import Fill, OrderBook, OrderReport, merge
from fsm_trader.core.records import CancelAnswered, FillSeen, OrderAnswered, OrderSeen, Record
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

    def answered(self, event: SendAnswered) -> None:
        """Take the answer to a sent order."""
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
        reports = {report.tag: report for report in book.orders if report.tag}
        fills = _by_order(book.fills)
        for trade in self._floor.ledger.open_trades:
            for order in trade.orders:
                if order.is_settled:
                    continue
                report = reports.get(order.tag)
                if report is None:
                    self._unseen(trade.trade_id, order, book.read_at)
                    continue
                self._unseen_reads.pop(order.tag, None)
                news = _news_of(trade, order, report, fills.get(report.order_id, ()))
                if news:
                    current = self._floor.ledger.trades[trade.trade_id]
                    self._trades.step(current, f"{order.role}_update", news=news)

    def _unseen(self, trade_id: str, order: TradeOrder, read_at: datetime) -> None:
        if not order.is_unclear or order.answer == "accepted":
            return
        settle = self._floor.settings.broker.settle
        if read_at < order.intended_at + settle:
            return
        reads = self._unseen_reads.get(order.tag, 0) + 1
        self._unseen_reads[order.tag] = reads
        if reads < _READS_BEFORE_ABSENT:
            return
        message = f"not in {reads} complete reads of the book, the last {read_at - order.intended_at} after it was sent"
        row = OrderAnswered(trade_id, order.tag, "absent", None, message, 0)
        self._trades.step(self._floor.ledger.trades[trade_id], f"{order.role}_absent", news=(row,))


def _news_of(trade: Trade, order: TradeOrder, report: OrderReport, fills: Iterable[Fill]) -> tuple[Record, ...]:
    news: list[Record] = []
    if merge(order.report, report) != order.report:
        news.append(OrderSeen(trade.trade_id, order.tag, report))
    known = {fill.fill_id for fill in order.fills}
    news += [FillSeen(trade.trade_id, order.tag, fill) for fill in fills if fill.fill_id not in known]
    return tuple(news)


def _by_order(fills: Iterable[Fill]) -> dict[str, list[Fill]]:
    found: dict[str, list[Fill]] = {}
    for fill in fills:
        found.setdefault(fill.order_id, []).append(fill)
    return found
