"""The standing comparison with the broker: positions, and every order that carries our tag (I3, I4, I11).

It is made when a process starts, again and again while the session lasts, and once more when the day is over. What it
finds is a row; what it changes, it changes through the trade machines.
"""

from __future__ import annotations

from collections.abc import Sequence

from fsm_trader.core.contracts import OptionContract
from fsm_trader.core.events import StandingRead
from fsm_trader.core.ledger import FINAL_TRADE_STATES, TRADE_INITIAL
from fsm_trader.core.money import Paise
from fsm_trader.core.orders import OrderBook, OrderReport, Role, Side
from fsm_trader.core.reconcile import Finding, Rule, compare_positions, key_of, unknown_orders
from fsm_trader.core.records import (
    AlarmRaised,
    FillSeen,
    Found,
    OrderAdopted,
    Reconciled,
    Record,
    SoldOutside,
    TradeOpened,
)
from fsm_trader.core.settings import ExitRules
from fsm_trader.core.tags import owner_of, read_tag
from fsm_trader.core.trades import Trade, TradeOrder, open_trade
from fsm_trader.engine.floor import Floor
from fsm_trader.engine.trades import TradeDesk

# What is worth a row each time it is found anew; that all is as believed is said once at a start.
_NEWS = frozenset(Rule) - {Rule.AS_BELIEVED}


class ReconcileDesk:
    """Holds the broker's standing against the ledger.

    Args:
        contracts: today's options, to know what an order of ours that nobody remembers is about.
    """

    def __init__(self, floor: Floor, trades: TradeDesk, contracts: Sequence[OptionContract]) -> None:
        self._floor = floor
        self._trades = trades
        self._contracts = {contract.tradingsymbol: contract for contract in contracts}
        self._owner = owner_of(floor.settings.session.name)
        self._suspected: dict[str, int] = {}
        self._said: set[str] = set()
        self._has_asked = False

    def standing_read(self, event: StandingRead) -> bool:
        """Take a comparison; True when it should be made again soon, because what was seen has to be seen twice.

        The book of *event* was taken in before (``OrderDesk.book_read``), so the trades are as new as the positions.
        """
        findings = [*self._orders(event.book), *compare_positions(self._floor.ledger.open_trades, event.positions)]
        self._tell(findings)
        sold = [found for found in findings if found.rule is Rule.SOLD_OUTSIDE and found.trade_id is not None]
        is_new = False
        for found in sold:
            is_new = self._sold(found, event.book) or is_new
        self._suspected = {found.trade_id: found.quantity for found in sold if found.trade_id is not None}
        self._floor.unreconciled = ""
        return is_new

    def _tell(self, findings: Sequence[Finding]) -> None:
        new = [found for found in findings if found.rule in _NEWS and found.text not in self._said]
        if not self._has_asked:
            self._floor.commit(Reconciled(tuple(Found(found.rule, found.text) for found in findings)))
        elif new:
            self._floor.commit(Reconciled(tuple(Found(found.rule, found.text) for found in new)))
        self._has_asked = True
        self._said |= {found.text for found in new}

    def _sold(self, found: Finding, book: OrderBook) -> bool:
        """Believe a missing position once it was seen twice; return whether it was seen for the first time."""
        if found.trade_id is None or self._suspected.get(found.trade_id) != found.quantity:
            return True
        trade = self._floor.ledger.trades[found.trade_id]
        value = _foreign_value(trade, found.quantity, book)
        row = SoldOutside(found.trade_id, found.quantity, value, found.text)
        alarm = AlarmRaised(f"{found.text}. It is not sold again.", found.trade_id)
        self._trades.step(trade, "position_gone", news=(row, alarm))
        return False

    def _orders(self, book: OrderBook) -> list[Finding]:
        """Find orders of ours that no open trade follows, and give each a trade that leads it out."""
        ledger = self._floor.ledger
        found: list[Finding] = []
        for trade in list(ledger.trades.values()):
            if trade.state in FINAL_TRADE_STATES:
                found += [finding for order in trade.orders if (finding := self._late(trade, order, book)) is not None]
        known = {order.tag for trade in ledger.trades.values() for order in trade.orders}
        for finding in unknown_orders(known, book.orders, owner=self._owner):
            report = next(row for row in book.orders if row.order_id == finding.order_id)
            found.append(finding)
            self._adopt(report, None, book)
        return found

    def _late(self, trade: Trade, order: TradeOrder, book: OrderBook) -> Finding | None:
        if order.report is not None or self._is_adopted(order.tag):
            return None
        report = next((row for row in book.orders if row.tag == order.tag), None)
        if report is None:
            return None
        self._adopt(report, trade, book)
        text = (
            f"order {report.order_id} of {trade.trade_id}, given up as {order.answer}, is in the book: "
            f"{report.status}, {report.filled_quantity} of {report.quantity} filled"
        )
        return Finding(
            rule=Rule.LATE_FILL,
            trade_id=trade.trade_id,
            quantity=report.filled_quantity,
            text=text,
            order_id=report.order_id,
        )

    def _is_adopted(self, tag: str) -> bool:
        return any(
            trade.is_adopted and any(order.tag == tag for order in trade.orders)
            for trade in self._floor.ledger.trades.values()
        )

    def _adopt(self, report: OrderReport, of: Trade | None, book: OrderBook) -> None:
        """Open a trade for an order nobody follows; it is cancelled, and what it bought is sold."""
        if report.status.is_terminal and report.filled_quantity == 0:
            return
        contract = of.contract if of is not None else self._contracts.get(report.tradingsymbol)
        if report.side is Side.SELL or contract is None:
            self._alarm_once(report)
            return
        ledger, floor = self._floor.ledger, self._floor
        number = ledger.next_trade_number()
        opened = TradeOpened(
            trade_id=f"{floor.plan.day:%Y%m%d}-{number:03d}",
            number=number,
            strategy=of.strategy if of is not None else "adopted",
            contract=contract,
            lots=report.quantity // contract.lot_size,
            quantity=report.quantity,
            product=report.product,
            exits=of.exits if of is not None else ExitRules(),
            machine=floor.trade_machine.spec.digest,
            candle_start=of.candle_start if of is not None else floor.clock.now(),
            index_paise=of.index_paise if of is not None else Paise(0),
            adopts=report.tag or "",
        )
        news: list[Record] = [OrderAdopted(opened.trade_id, report)]
        news += [
            FillSeen(opened.trade_id, report.tag or "", fill) for fill in book.fills if fill.order_id == report.order_id
        ]
        news.append(
            AlarmRaised(
                f"{opened.trade_id}: order {report.order_id} of ours belonged to no open trade; it is led out.",
                opened.trade_id,
            )
        )
        trade = open_trade(opened, floor.clock.now(), floor.session, TRADE_INITIAL)
        if not self._trades.adopt(opened, trade, tuple(news)):
            self._alarm_once(report)

    def _alarm_once(self, report: OrderReport) -> None:
        text = (
            f"order {report.order_id} ({report.side} {report.quantity} {report.tradingsymbol}, "
            f"{report.filled_quantity} filled, {report.status}) carries our tag {report.tag} and "
            "no trade can take it over. It needs a person."
        )
        if text not in self._said:
            self._said.add(text)
            self._floor.commit(AlarmRaised(text))


def _foreign_value(trade: Trade, quantity: int, book: OrderBook) -> int | None:
    """Return what sales that are not ours brought, None unless the book holds exactly *quantity* units of them."""
    own = {order.order_id for order in trade.orders_of(Role.EXIT)}
    sales = {
        row.order_id
        for row in book.orders
        if row.side is Side.SELL
        and (row.exchange, row.tradingsymbol, row.product) == key_of(trade)
        and row.order_id not in own
        and read_tag(row.tag) is None
    }
    fills = [fill for fill in book.fills if fill.order_id in sales and fill.at >= trade.opened_at]
    if sum(fill.quantity for fill in fills) != quantity:
        return None
    return sum(fill.quantity * fill.price_paise for fill in fills)
