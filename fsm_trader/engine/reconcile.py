"""The standing comparison with the broker: positions, and every order that carries our tag (I3, I4, I11).

It is made when a process starts, again and again while the session lasts, and once more when the day is over. What it
finds is a row; what it changes, it changes through the trade machines.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import partial

import msgspec

from fsm_trader.core.contracts import OptionContract
from fsm_trader.core.events import StandingRead
from fsm_trader.core.ledger import FINAL_TRADE_STATES
from fsm_trader.core.orders import NetPosition, OrderBook, Role, Side
from fsm_trader.core.reconcile import Finding, Key, Rule, compare_positions, key_of, net_in_book
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
from fsm_trader.engine.floor import Compared, Floor
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


class _Sales(msgspec.Struct):
    """What is missing of a contract, and what the book says about that.

    Args:
        missing: units that positions do not show, over all our trades of the contract.
        units: what others sold and nobody counted, less what they bought; *value_paise* what it brought, if known.
        gone: of the missing ones, how many the book's orders, taken together, do not leave us; it counts down as the
            trades take their part.
    """

    missing: int
    units: int
    value_paise: int | None
    gone: int

    @property
    def explains(self) -> bool:
        """True when the one is the other."""
        return self.units == self.missing

    def value_of(self, quantity: int) -> int | None:
        """Return what a part brought, None where the book does not tell."""
        return None if self.value_paise is None else self.value_paise * quantity // self.units


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
        self._unshown: set[str] = set()
        self._said: set[str] = set()
        self._has_asked = False

    def know(self, contracts: Sequence[OptionContract]) -> None:
        """Take today's options."""
        self._adoption.know(contracts)

    def wait_anew(self, now: datetime) -> None:
        """Count the time that something seemed to be gone from *now* on: the clock was set."""
        self._suspected = {key: _Suspicion(known.quantity, now) for key, known in self._suspected.items()}

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
        sales = self._sales(sold, event.book)
        still_open = [found for found in sold if self._sold(found, event, sales)]
        # A trade with an open order was not judged: what is suspected of it stands.
        named = {found.trade_id for found in sold}
        named |= {trade.trade_id for trade in self._floor.ledger.open_trades if trade.has_open_order}
        self._suspected = {key: known for key, known in self._suspected.items() if key in named}
        self._unshown &= set(self._suspected)
        believed = [found for found in findings if found.rule is Rule.AS_BELIEVED]
        self._floor.compared = Compared(
            doubted=frozenset(self._suspected),
            unshown=frozenset(self._unshown),
            shown={found.trade_id: found.quantity for found in believed if found.trade_id is not None},
        )
        self._floor.unreconciled = self._why_not_sure(event.book.read_at, findings)
        return bool(still_open)

    def _why_not_sure(self, read_at: datetime, findings: Sequence[Finding]) -> str:
        """Say why nothing is bought on this answer of the broker, empty where it agrees with us."""
        sure_from = self._floor.sure_from
        if sure_from is not None and read_at < sure_from:
            # Orders whose rows are gone may be shown late, and one answer without them proves nothing.
            gone = f"rows of the journal were found gone at {self._floor.ledger.damaged_at:%H:%M:%S}"
            return f"{gone}; the broker is watched for a while first"
        if self._suspected:
            return f"the broker does not show what {', '.join(sorted(self._suspected))} holds"
        return next((found.text for found in findings if self._needs_a_person(found)), "")

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

    def _sales(self, sold: Sequence[Finding], book: OrderBook) -> dict[Key, _Sales]:
        """Hold what is missing of each contract, over all its trades, against what others sold of it."""
        trades = self._floor.ledger.trades
        missing: Counter[Key] = Counter()
        for found in sold:
            if found.trade_id is not None:
                missing[key_of(trades[found.trade_id])] += found.quantity
        return {key: _sales_of(key, count, trades.values(), book) for key, count in missing.items()}

    def _sold(self, found: Finding, event: StandingRead, sales: Mapping[Key, _Sales]) -> bool:
        """Believe a missing position once that is sure; return whether it has to be looked at again soon.

        Sales in the book that explain it are believed at the second look. Without them the broker may only be late in
        showing what it holds. After the whole settling time it is believed where the book cannot tell: of what was
        bought on an earlier day, goes under another product now, or may have been sold by an exit of ours whose fate
        nobody knows. Of the rest the book is believed: it holds every order of the day.
        """
        if found.trade_id is None:
            return False
        floor, book = self._floor, event.book
        trade = floor.ledger.trades[found.trade_id]
        known = self._suspected.get(found.trade_id)
        if known is None or known.quantity != found.quantity:
            self._suspected[found.trade_id] = _Suspicion(found.quantity, book.read_at)
            return True
        by_others = sales[key_of(trade)]
        if not by_others.explains and book.read_at < known.since + floor.settings.broker.settle:
            return True
        quantity = found.quantity
        if not by_others.explains and self._is_in_the_book(trade, event.positions):
            quantity = min(by_others.gone, found.quantity)
            by_others.gone -= quantity
        if quantity < found.quantity:
            self._hold_on(trade, found)
        else:
            del self._suspected[found.trade_id]
        if quantity:
            self._gone(trade, quantity, by_others.value_of(quantity) if by_others.explains else None)
        return False

    def _is_in_the_book(self, trade: Trade, positions: Sequence[NetPosition]) -> bool:
        """Tell whether the book of today holds all that was bought and sold of a trade."""
        is_known = all(order.report is not None or order.answer == "refused" for order in trade.orders_of(Role.EXIT))
        return trade.session == self._floor.session and is_known and not _is_elsewhere(trade, positions)

    def _gone(self, trade: Trade, units: int, value: int | None) -> None:
        what = (
            f"{trade.trade_id}: {units} of {trade.held} {trade.contract.tradingsymbol} were sold outside of this trader"
        )
        row = SoldOutside(trade.trade_id, units, value, what)
        alarm = AlarmRaised(f"{what}. It is not sold again.", trade.trade_id)
        step = partial(self._trades.step, trade, "position_gone", news=(row, alarm))
        self._floor.guard(step, of=trade.trade_id)

    def _hold_on(self, trade: Trade, found: Finding) -> None:
        """Keep a position that the broker's positions do not show and its book says we have; it is told once."""
        if trade.trade_id in self._unshown:
            return
        self._unshown.add(trade.trade_id)
        what = f"{found.quantity} {trade.contract.tradingsymbol}"
        text = (
            f"{trade.trade_id}: the broker's positions do not show {what}, and its book has no sale of them: they are "
            "held, and left by the book. No entry until they show. It needs a person."
        )
        self._floor.commit(AlarmRaised(text, trade.trade_id, level=1 + trade.alarm_level))


def _is_elsewhere(trade: Trade, positions: Sequence[NetPosition]) -> bool:
    """Tell whether the account holds the contract under another product: somebody may have converted it."""
    exchange, symbol, product = key_of(trade)
    return any(
        (each.exchange, each.tradingsymbol) == (exchange, symbol) and each.product != product and each.quantity > 0
        for each in positions
    )


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


def _sales_of(key: Key, missing: int, trades: Collection[Trade], book: OrderBook) -> _Sales:
    """Reckon what others sold of a contract since we first held it, less what was counted as sold by them before."""
    ours = [trade for trade in trades if key_of(trade) == key and trade.filled_at is not None]
    since = min(trade.filled_at for trade in ours if trade.filled_at is not None)
    rows = [row for row in book.orders if (row.exchange, row.tradingsymbol, row.product) == key]
    # A second order under a tag of ours sold for nobody of ours, too.
    followed = {order.order_id for trade in trades for order in trade.orders}
    sides = {row.order_id: row.side for row in rows if row.order_id not in followed}
    fills = [fill for fill in book.fills if fill.order_id in sides and fill.at >= since]
    sold = [fill for fill in fills if sides[fill.order_id] is Side.SELL]
    bought = sum(fill.quantity for fill in fills) - sum(fill.quantity for fill in sold)
    units = sum(fill.quantity for fill in sold) - bought - sum(trade.sold_outside for trade in ours)
    value = sum(fill.quantity * fill.price_paise for fill in sold) - sum(trade.outside_value_paise for trade in ours)
    # Where they bought some of it as well, nobody can tell which sale was of ours.
    is_known = not bought and units > 0
    in_book = net_in_book(book, key)
    gone = missing if in_book is None else max(0, min(missing, sum(trade.held for trade in ours) - in_book))
    return _Sales(missing, units, value if is_known else None, gone)
