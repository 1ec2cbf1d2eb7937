"""The standing comparison with the broker: positions, and every order that carries our tag (I3, I4, I11).

It is made when a process starts, again and again while the session lasts, and once more when the day is over. What it
finds is a row; what it changes, it changes through the trade machines.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

import msgspec

from fsm_trader.core.contracts import OptionContract
from fsm_trader.core.events import StandingRead
from fsm_trader.core.ledger import FINAL_TRADE_STATES
from fsm_trader.core.orders import OrderBook, Role, Side
from fsm_trader.core.reconcile import Finding, Rule, compare_positions, key_of
from fsm_trader.core.records import (
    AlarmRaised,
    Found,
    OrderAnswered,
    Reconciled,
    Record,
    SoldOutside,
)
from fsm_trader.core.tags import owner_of, read_tag
from fsm_trader.core.trades import Trade
from fsm_trader.engine.adopt import AdoptionDesk
from fsm_trader.engine.floor import Floor
from fsm_trader.engine.trades import TradeDesk

# What is worth a row each time it is found anew; that all is as believed is said once at a start.
_NEWS = frozenset(Rule) - {Rule.AS_BELIEVED}

# The broker squares these off on their own day: nothing of them can be held on a later one.
_DAY_PRODUCT = "MIS"
_LEFT = "day_passed"
# What is fired, in turn, until the trade is over; a definition of 0.1.0 does not know the second one.
_WAYS_OUT = ("entry_update", "position_gone", "check", "exit_update")


class _Suspicion(msgspec.Struct, frozen=True):
    """So many units of a trade seem to be gone, by every comparison since a moment."""

    quantity: int
    since: datetime


class ReconcileDesk:
    """Holds the broker's standing against the ledger.

    Args:
        contracts: today's options, to know what an order of ours that nobody remembers is about.
    """

    def __init__(self, floor: Floor, trades: TradeDesk, contracts: Sequence[OptionContract]) -> None:
        self._floor = floor
        self._trades = trades
        self._adoption = AdoptionDesk(floor, trades, contracts)
        self._owner = owner_of(floor.settings.session.name)
        self._suspected: dict[str, _Suspicion] = {}
        self._said: set[str] = set()
        self._has_asked = False

    def know(self, contracts: Sequence[OptionContract]) -> None:
        """Take today's options."""
        self._adoption.know(contracts)

    def lapse(self) -> None:
        """Settle what an earlier session left open, before anything else is done with it.

        Its orders were for their day, and no book tells their fate any more. An MIS trade is over: the broker squared
        it off, and an order of ours would sell what is not there. Anything else is held on, and led out.
        """
        floor = self._floor
        stale = [trade for trade in floor.ledger.open_trades if trade.session != floor.session]
        if floor.ledger.orders_today == 0:
            # One commit, before the first order of this session: a later start finds its own orders only.
            rows = [row for trade in stale for row in _lapsed(trade)]
            if rows:
                floor.commit(*rows)
        for trade in stale:
            floor.guard(partial(self._lapse, floor.ledger.trades[trade.trade_id]), of=trade.trade_id)

    def _lapse(self, trade: Trade) -> None:
        news: tuple[Record, ...] = ()
        if trade.product == _DAY_PRODUCT and trade.held > 0:
            text = f"left open in session {trade.session}, whose day is over"
            news = (SoldOutside(trade.trade_id, trade.held, None, text),)
        for trigger in _WAYS_OUT if trade.product == _DAY_PRODUCT else _WAYS_OUT[:1]:
            current = self._floor.ledger.trades[trade.trade_id]
            if current.state in FINAL_TRADE_STATES:
                return
            if self._floor.machine_of(current.machine).handles(current.state, trigger):
                self._trades.step(current, trigger, news=news, reason=_LEFT)
                news = ()

    def standing_read(self, event: StandingRead) -> bool:
        """Take a comparison; True when it should be made again soon, because what was seen has to be seen twice.

        The book of *event* was taken in before (``OrderDesk.book_read``), so the trades are as new as the positions.
        """
        self._number_after(event.book)
        findings = [
            *self._adoption.sweep(event.book),
            *compare_positions(self._floor.ledger.open_trades, event.positions),
        ]
        self._tell(findings)
        sold = [found for found in findings if found.rule is Rule.SOLD_OUTSIDE]
        still_open = [found for found in sold if self._sold(found, event.book)]
        # A trade with an open order was not judged: what is suspected of it stands.
        named = {found.trade_id for found in sold}
        named |= {trade.trade_id for trade in self._floor.ledger.open_trades if trade.has_open_order}
        self._suspected = {key: known for key, known in self._suspected.items() if key in named}
        self._trades.doubted = frozenset(self._suspected)
        self._floor.unreconciled = self._why_not_sure(event.book.read_at)
        return bool(still_open)

    def _why_not_sure(self, read_at: datetime) -> str:
        """Say why the broker's answer does not prove yet that nothing is missing, empty when it does."""
        damaged_at = self._floor.ledger.damaged_at
        if damaged_at is None or read_at >= damaged_at + self._floor.settings.broker.settle:
            return ""
        # Orders whose rows are gone may be shown late, and one answer without them proves nothing.
        return f"rows of the journal were found gone at {damaged_at:%H:%M:%S}; the broker is watched for a while first"

    def _number_after(self, book: OrderBook) -> None:
        """Number new trades after every order of ours at the broker, those that this journal never saw among them."""
        floor = self._floor
        tags = (read_tag(row.tag) for row in book.orders)
        numbers = [tag.trade_number for tag in tags if tag and (tag.owner, tag.day) == (self._owner, floor.plan.day)]
        floor.highest_seen = max([floor.highest_seen, *numbers])

    def _tell(self, findings: Sequence[Finding]) -> None:
        new = [found for found in findings if found.rule in _NEWS and found.text not in self._said]
        if not self._has_asked:
            self._floor.commit(Reconciled(tuple(Found(found.rule, found.text) for found in findings)))
        elif new:
            self._floor.commit(Reconciled(tuple(Found(found.rule, found.text) for found in new)))
        for found in new:
            if self._needs_a_person(found):
                self._floor.commit(AlarmRaised(f"{found.text}. It needs a person."))
        self._has_asked = True
        self._said |= {found.text for found in new}

    def _needs_a_person(self, found: Finding) -> bool:
        """Tell whether a position that is left alone may be one of ours: short, or of a trade that was written off."""
        if found.rule is Rule.SHORT_OUTSIDE:
            return True
        suspects = [trade for trade in self._floor.ledger.trades.values() if trade.sold_outside or found.quantity < 0]
        symbols = {trade.contract.tradingsymbol for trade in suspects}
        return found.rule is Rule.FOREIGN_POSITION and found.tradingsymbol in symbols

    def _sold(self, found: Finding, book: OrderBook) -> bool:
        """Believe a missing position once that is sure; return whether it has to be looked at again soon.

        Sales in the book that explain it are believed at the second look. Without them the broker may only be late in
        showing what it holds, so it is believed once it was seen for the whole settling time.
        """
        if found.trade_id is None:
            return False
        floor = self._floor
        trade = floor.ledger.trades[found.trade_id]
        known = self._suspected.get(found.trade_id)
        if known is None or known.quantity != found.quantity:
            self._suspected[found.trade_id] = _Suspicion(found.quantity, book.read_at)
            return True
        value = _foreign_value(trade, found.quantity, book)
        if value is None and book.read_at < known.since + floor.settings.broker.settle:
            return True
        del self._suspected[found.trade_id]
        row = SoldOutside(found.trade_id, found.quantity, value, found.text)
        alarm = AlarmRaised(f"{found.text}. It is not sold again.", found.trade_id)
        floor.guard(partial(self._trades.step, trade, "position_gone", news=(row, alarm)), of=trade.trade_id)
        return False


def _lapsed(trade: Trade) -> list[Record]:
    """Write off the orders of a trade whose day is over, and say what of it nobody can know."""
    unread = [order for order in trade.orders if not order.is_settled]
    why = f"its day is over: no book of session {trade.session} can be read any more"
    rows: list[Record] = [
        OrderAnswered(trade.trade_id, order.tag, "lapsed", order.order_id, why, order.sends) for order in unread
    ]
    held = f"{trade.held} {trade.contract.tradingsymbol} ({trade.product})"
    text = f"{trade.trade_id} was left {trade.state} in session {trade.session} with {held} held."
    if unread:
        text += f" What became of order {', '.join(order.tag for order in unread)} is not known."
    if trade.product == _DAY_PRODUCT:
        text += (
            " The broker squares such a position off on its day, so no order is sent; it is counted as sold at cost. "
            "Look at that day's contract note."
        )
    else:
        text += " It is led out; if the broker holds more of it, a person has to look at the rest."
    return [*rows, AlarmRaised(text, trade.trade_id)]


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
    since = trade.filled_at or trade.opened_at
    fills = [fill for fill in book.fills if fill.order_id in sales and fill.at >= since]
    if sum(fill.quantity for fill in fills) != quantity:
        return None
    return sum(fill.quantity * fill.price_paise for fill in fills)
