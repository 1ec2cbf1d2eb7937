"""Orders that carry our tag and that no open trade follows (I11): each gets a trade that leads it out.

An order may be unknown because its rows are gone, because it was given up before it turned up, or because another
program used our tag. It is taken over as it is; nothing about it is guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from fsm_trader.core.contracts import OptionContract
from fsm_trader.core.ledger import FINAL_TRADE_STATES, TRADE_INITIAL
from fsm_trader.core.money import Paise
from fsm_trader.core.orders import OrderBook, OrderReport, Role, Side, merge
from fsm_trader.core.parts import is_left_behind
from fsm_trader.core.reconcile import Finding, Rule, unknown_orders
from fsm_trader.core.records import AlarmRaised, FillSeen, OrderAdopted, Record, TradeOpened
from fsm_trader.core.settings import ExitRules
from fsm_trader.core.tags import is_of_one_trade, owner_of
from fsm_trader.core.trades import Trade, TradeOrder, open_trade
from fsm_trader.engine.floor import Floor
from fsm_trader.engine.trades import TradeDesk


class AdoptionDesk:
    """Takes over orders of ours that nobody follows.

    Args:
        contracts: today's options, to know what an order that nobody remembers is about.
    """

    def __init__(self, floor: Floor, trades: TradeDesk, contracts: Sequence[OptionContract]) -> None:
        self._floor = floor
        self._trades = trades
        self._contracts = {contract.tradingsymbol: contract for contract in contracts}
        self._owner = owner_of(floor.settings.session.name)
        self._said: set[str] = set()

    def know(self, contracts: Sequence[OptionContract]) -> None:
        """Take today's options; an order that nobody could take over is looked at again with the next book."""
        self._contracts = {contract.tradingsymbol: contract for contract in contracts}

    def sweep(self, book: OrderBook) -> list[Finding]:
        """Find orders of ours that no open trade follows, and give each one a trade."""
        found: list[Finding] = []
        for trade in list(self._floor.ledger.trades.values()):
            is_over = trade.state in FINAL_TRADE_STATES
            left = [order for order in trade.orders if is_over or is_left_behind(trade, order)]
            found += [finding for order in left if (finding := self._late(trade, order, book)) is not None]
        unknown = {
            finding.order_id: finding for finding in unknown_orders(self._known(), book.orders, owner=self._owner)
        }
        # A book may hold a row more than once, in older words too.
        merged: dict[str, OrderReport] = {}
        for row in book.orders:
            if row.order_id in unknown:
                merged[row.order_id] = merge(merged.get(row.order_id), row)
        # What was bought comes first: an order to sell it belongs to the trade that takes it over.
        rows = sorted(merged.values(), key=lambda row: (row.side, row.tag or "", row.order_id))
        for row in rows:
            found.append(unknown[row.order_id])
            if row.tag not in self._known():
                self._floor.guard(partial(self._take, row, rows, book), of=row.order_id)
        return found

    def _take(self, row: OrderReport, rows: Sequence[OrderReport], book: OrderBook) -> None:
        """Give an order that nobody remembers back to its trade, or give it one; *rows* are all such orders."""
        home = self._home(row)
        if row.side is Side.SELL:
            self._attach(row, home, book)
        elif home is not None and (home.state == "PENDING_ENTRY" or row.status.is_terminal):
            # A part of its entry whose rows are gone. One that may still fill would be in the way of an exit.
            self._attach(row, home, book)
        else:
            # One for each tag: a second order under it is nobody's, and a person is told of it.
            others = {each.tag: each for each in reversed(rows) if each.tag != row.tag and _are_of_one(each, row)}
            self._adopt(row, None, book, others=() if home is not None else [*reversed(others.values())])

    def _home(self, row: OrderReport) -> Trade | None:
        return next((each for each in self._floor.ledger.open_trades if _belongs(row, each)), None)

    def _known(self) -> set[str]:
        return {order.tag for trade in self._floor.ledger.trades.values() for order in trade.orders}

    def _late(self, trade: Trade, order: TradeOrder, book: OrderBook) -> Finding | None:
        report = next((row for row in book.orders if row.tag == order.tag and self._is_news(row, order)), None)
        if report is None or self._is_followed(report.order_id, besides=trade):
            return None
        if order.filled == 0 or order.report is None or report.order_id != order.report.order_id:
            self._floor.guard(partial(self._adopt, report, trade, book), of=trade.trade_id)
        else:
            # A trade for all of it would count what was sold already as bought once more.
            self._alarm_once(report, f"; {trade.trade_id} is over and knew {order.filled} of its units")
        went_on = "is over" if trade.state in FINAL_TRADE_STATES else "went on without it"
        text = (
            f"order {report.order_id} of {trade.trade_id}, which {went_on}, is in the book: "
            f"{report.status}, {report.filled_quantity} of {report.quantity} filled"
        )
        return Finding(
            rule=Rule.LATE_FILL,
            trade_id=trade.trade_id,
            quantity=report.filled_quantity,
            text=text,
            order_id=report.order_id,
        )

    @staticmethod
    def _is_news(row: OrderReport, order: TradeOrder) -> bool:
        """Tell whether a row tells a trade that is over of an order, or of fills, that it did not know."""
        known = order.report
        if known is None or row.order_id != known.order_id:
            return not row.status.is_terminal or row.filled_quantity > 0
        return row.filled_quantity > order.filled

    def _is_followed(self, order_id: str, *, besides: Trade) -> bool:
        return any(
            trade.trade_id != besides.trade_id and any(order.order_id == order_id for order in trade.orders)
            for trade in self._floor.ledger.trades.values()
        )

    def _adopt(
        self, report: OrderReport, of: Trade | None, book: OrderBook, *, others: Sequence[OrderReport] = ()
    ) -> None:
        """Open a trade for an order nobody follows; it is cancelled, and what it bought and is not sold yet is sold.

        *others* belonged to the same trade: further parts of its entry, and its exits.
        """
        if report.status.is_terminal and report.filled_quantity == 0:
            return
        quantity = report.quantity + sum(each.quantity for each in others if each.side is Side.BUY)
        contract = of.contract if of is not None else self._contracts.get(report.tradingsymbol)
        if report.side is Side.SELL or contract is None:
            self._alarm_once(report)
            return
        floor = self._floor
        number = floor.next_trade_number()
        opened = TradeOpened(
            trade_id=f"{floor.plan.day:%Y%m%d}-{number:03d}",
            number=number,
            strategy=of.strategy if of is not None else "adopted",
            contract=contract,
            lots=quantity // contract.lot_size,
            quantity=quantity,
            product=report.product,
            exits=of.exits if of is not None else ExitRules(),
            machine=floor.trade_machine.spec.digest,
            candle_start=of.candle_start if of is not None else floor.clock.now(),
            index_paise=of.index_paise if of is not None else Paise(0),
            adopts=report.tag or "",
        )
        text = f"{opened.trade_id}: order {report.order_id} of ours belonged to no open trade; it is led out."
        news = (*_rows_of(opened.trade_id, [report, *others], book), AlarmRaised(text, opened.trade_id))
        trade = open_trade(opened, floor.clock.now(), floor.session, TRADE_INITIAL)
        if not self._trades.adopt(opened, trade, news):
            self._alarm_once(report)

    def _attach(self, report: OrderReport, trade: Trade | None, book: OrderBook) -> None:
        """Give an order whose rows are gone back to the open trade it belongs to, so that none is sent beside it."""
        if trade is None:
            if not report.status.is_terminal or report.filled_quantity > 0:
                self._alarm_once(report)
            return
        text = f"{trade.trade_id}: order {report.order_id} of ours was not in the journal; it is followed from here on."
        news = (*_rows_of(trade.trade_id, [report], book), AlarmRaised(text, trade.trade_id))
        role = Role.ENTRY if report.side is Side.BUY else Role.EXIT
        self._trades.step(trade, self._trades.update_of(trade, role), news=news)

    def _alarm_once(self, report: OrderReport, known: str = "") -> None:
        text = (
            f"order {report.order_id} ({report.side} {report.quantity} {report.tradingsymbol}, "
            f"{report.filled_quantity} filled, {report.status}) carries our tag {report.tag} and "
            f"no trade can take it over{known}. It needs a person."
        )
        if text not in self._said:
            self._said.add(text)
            self._floor.commit(AlarmRaised(text))


def _rows_of(trade_id: str, reports: Iterable[OrderReport], book: OrderBook) -> list[Record]:
    rows: list[Record] = []
    for report in reports:
        rows.append(OrderAdopted(trade_id, report))
        rows += [FillSeen(trade_id, report.tag or "", fill) for fill in book.fills if fill.order_id == report.order_id]
    return rows


def _belongs(report: OrderReport, trade: Trade) -> bool:
    """Tell whether an order's tag is of the same trade as the trade's own orders, under whatever number it goes now."""
    if report.tradingsymbol != trade.contract.tradingsymbol or report.product != trade.product:
        return False
    return any(is_of_one_trade(report.tag, order.tag) for order in trade.orders)


def _are_of_one(left: OrderReport, right: OrderReport) -> bool:
    is_same = (left.tradingsymbol, left.product) == (right.tradingsymbol, right.product)
    return is_same and is_of_one_trade(left.tag, right.tag)
