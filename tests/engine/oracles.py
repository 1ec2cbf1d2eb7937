"""The invariants, watched from outside while a day runs. A breach is noted, and the bench fails the test at its end.

They note instead of raising because the loop survives what a step raises; a breach must not be survived.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from fsm_trader.broker.paper.broker import PaperBroker
from fsm_trader.core.contracts import OptionContract
from fsm_trader.core.day import DayPlan
from fsm_trader.core.ledger import Ledger
from fsm_trader.core.orders import NetPosition, OrderBook, OrderReport, OrderRequest, OrderStatus, Role, Side
from fsm_trader.core.records import Entry, OrderIntended, Record, TradeMoved
from fsm_trader.core.tags import read_tag
from fsm_trader.core.trades import Trade
from fsm_trader.engine.polls import ReadingKey
from fsm_trader.engine.trader import Trader
from fsm_trader.journal.protocol import Journal

_COMPARED = (
    "seq",
    "at",
    "session",
    "state",
    "since",
    "reason",
    "deadline",
    "trades",
    "last_candle",
    "marks",
    "signals",
    "blocked",
    "health",
    "halted",
    "flatten_asked",
    "orders_today",
    "trades_today",
    "order_times",
)


class Killed(BaseException):
    """The process ends here, as SIGKILL would end it: nothing may catch this."""


class TappedJournal:
    """A journal that knows which tags it holds, and can kill the process right before or after a commit."""

    def __init__(self, inner: Journal) -> None:
        self.inner = inner
        self.tags: set[str] = set()
        self.commits = 0
        self.ends: list[int] = []
        self.kill_before: int | None = None
        self.kill_after: int | None = None

    def append(self, when: datetime, session: str, records: Sequence[Record]) -> tuple[Entry, ...]:
        self.commits += 1
        if self.commits == self.kill_before:
            raise Killed
        entries = self.inner.append(when, session, records)
        self.ends.append(entries[-1].seq)
        self.tags |= {record.request.tag for record in records if isinstance(record, OrderIntended)}
        if self.commits == self.kill_after:
            raise Killed
        return entries

    def define(self, digest: str, name: str, text: str) -> None:
        self.inner.define(digest, name, text)

    def definition(self, digest: str) -> str | None:
        return self.inner.definition(digest)


class WatchedBroker:
    """Passes calls on to the paper broker, and looks at what it truly holds after each.

    Attributes:
        after_place: what else happens at the broker once it took an order.
        show: what a read of the book shows of the truth.
    """

    def __init__(self, inner: PaperBroker, journal: TappedJournal, breaches: list[str]) -> None:
        self.inner = inner
        self.placed: list[OrderRequest] = []
        self.cancels = 0
        self._journal = journal
        self._breaches = breaches
        self.after_place: Callable[[OrderRequest, str], None] = lambda _request, _order_id: None
        self.show: Callable[[OrderBook], OrderBook] = lambda book: book

    def check(self) -> None:
        self.inner.check()

    def place(self, request: OrderRequest) -> str:
        self.placed.append(request)
        if request.tag not in self._journal.tags:
            self._breaches.append(f"I1: order {request.tag} left before its intent was in the journal")
        self._refuse_second(request)
        try:
            order_id = self.inner.place(request)
        finally:
            self._look()
        self.after_place(request, order_id)
        return order_id

    def cancel(self, order_id: str) -> None:
        self.cancels += 1
        self.inner.cancel(order_id)

    def book(self) -> OrderBook:
        return self.show(self.inner.book())

    def positions(self) -> tuple[NetPosition, ...]:
        return self.inner.positions()

    @property
    def truth(self) -> OrderBook:
        """The broker's book, past all planned faults of reading it."""
        return self.inner._matching.book()

    def _refuse_second(self, request: OrderRequest) -> None:
        book = self.truth
        ours = [row for row in book.orders if _trade_key(row.tag) == _trade_key(request.tag)]
        role = _role(request.tag)
        if any(row.status is OrderStatus.WORKING and _role(row.tag) == role for row in ours):
            self._breaches.append(f"I2: {role} order {request.tag} sent while another one of its trade is working")
        if role is Role.ENTRY and not _follows_whole_parts(ours, request.tag):
            self._breaches.append(f"I6: entry {request.tag} sent although the book holds an order of its trade")
        if request.side is Side.SELL and all(row.side is Side.SELL for row in ours):
            # An adopted order keeps its old tag, so the net position alone tells what there is to sell.
            net = sum(each.quantity for each in self.inner._matching.positions() if _is_of(each, request))
            if request.quantity > net:
                self._breaches.append(f"I3: {request.tag} sells {request.quantity} of {net} held")
        elif request.side is Side.SELL:
            bought = sum(row.filled_quantity for row in ours if row.side is Side.BUY)
            sold = sum(row.filled_quantity for row in ours if row.side is Side.SELL)
            if request.quantity > bought - sold:
                self._breaches.append(f"I3: {request.tag} sells {request.quantity} of {bought - sold} held")

    def _look(self) -> None:
        self._breaches += [f"I3: sold short: {row}" for row in self.inner._matching.positions() if row.quantity < 0]


class Oracles:
    """Watches what is committed, and what the loop waits for."""

    def __init__(
        self,
        ledger: Ledger,
        plan: DayPlan,
        *,
        replayed: Ledger,
        breaches: list[str],
        contracts: Sequence[OptionContract] = (),
    ) -> None:
        self.breaches = breaches
        self.know(contracts)
        self._plan = plan
        self._replayed = replayed
        self._compare(ledger)

    def know(self, contracts: Sequence[OptionContract]) -> None:
        """Take the most units that one order of each contract may have, in whole lots."""
        known = {each.tradingsymbol: (each.freeze_quantity, each.lot_size) for each in contracts}
        self._most = {symbol: freeze // lot * lot for symbol, (freeze, lot) in known.items() if freeze is not None}

    def committed(self, entries: Sequence[Entry], ledger: Ledger) -> None:
        self._replayed.fold(entries)
        self._compare(ledger)
        for entry in entries:
            record = entry.record
            if isinstance(record, OrderIntended):
                self._intended(record, entry, ledger)
            elif isinstance(record, TradeMoved) and record.dest == "CLOSED":
                self._closed(ledger.trades[record.trade_id])

    def passed(self, now: datetime) -> None:
        """Nothing: what the loop waits for is looked at when it waits."""

    def waiting(self, trader: Trader, now: datetime, moment: datetime) -> None:
        """I5: while a trade is open the loop comes back for it, by a deadline or a reading."""
        wishes = set(trader._polls._due) | set(trader._polls._under_way)
        for trade in trader.floor.ledger.open_trades:
            watched = trade.deadline is not None or ReadingKey("price", trade.contract.token) in wishes
            if not watched or moment > now + timedelta(minutes=1):
                self.breaches.append(f"I5: at {now:%H:%M:%S} nothing is due for {trade.trade_id} in {trade.state}")
            if trade.has_open_order and ReadingKey("book") not in wishes:
                self.breaches.append(f"I5: at {now:%H:%M:%S} nobody reads the book for {trade.trade_id}")

    def _compare(self, ledger: Ledger) -> None:
        different = [name for name in _COMPARED if getattr(ledger, name) != getattr(self._replayed, name)]
        if different:
            self.breaches.append(f"replay: row {ledger.seq}: {', '.join(different)} differ from the live ledger")

    def _intended(self, record: OrderIntended, entry: Entry, ledger: Ledger) -> None:
        trade = ledger.trades[record.trade_id]
        unsettled = Counter(order.role for order in trade.orders if not order.is_settled)
        if unsettled[record.role] > 1:
            self.breaches.append(f"I2: row {entry.seq}: two unsettled {record.role} orders of {trade.trade_id}")
        most = self._most.get(record.request.tradingsymbol, record.request.quantity)
        if record.request.quantity > most:
            self.breaches.append(f"row {entry.seq}: {record.request.quantity} units are above the freeze, {most}")
        if record.role is Role.EXIT and record.request.quantity not in (trade.held, most):
            self.breaches.append(f"I3: row {entry.seq}: sells {record.request.quantity}, {trade.held} are held")
        if sum(order.request.quantity for order in trade.orders_of(Role.ENTRY)) > trade.quantity:
            self.breaches.append(f"I2: row {entry.seq}: the parts of {trade.trade_id} are more than {trade.quantity}")
        if record.role is Role.EXIT:
            return
        in_window = self._plan.trading_start <= entry.at < self._plan.trading_end
        if ledger.state != "TRADING" or ledger.halted or not in_window:
            self.breaches.append(f"I9: row {entry.seq}: entry in {ledger.state} at {entry.at:%H:%M:%S}")

    def _closed(self, trade: Trade) -> None:
        if trade.held != 0 or trade.filled(Role.ENTRY) == 0:
            self.breaches.append(f"I4: {trade.trade_id} is CLOSED with {trade.held} units held by its fills")


def _trade_key(tag: str | None) -> tuple[object, ...] | None:
    parts = read_tag(tag)
    return None if parts is None else (parts.day, parts.trade_number, parts.owner)


def _follows_whole_parts(ours: Sequence[OrderReport], tag: str) -> bool:
    """I6: an entry is the first order of its trade, or the next part after whole ones."""
    parts = read_tag(tag)
    whole = all(row.side is Side.BUY and row.status is OrderStatus.COMPLETE for row in ours)
    return parts is not None and whole and len(ours) == parts.attempt - 1


def _is_of(position: NetPosition, request: OrderRequest) -> bool:
    return (position.tradingsymbol, position.product) == (request.tradingsymbol, request.product)


def _role(tag: str | None) -> Role | None:
    parts = read_tag(tag)
    return None if parts is None else parts.role
