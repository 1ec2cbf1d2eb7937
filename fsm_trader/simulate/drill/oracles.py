"""The invariants of the design (I1 to I12), watched from outside while a day runs.

They note instead of raising, because the loop survives what a step raises and a breach must not be survived. What they
hold the trader against is the truth behind the broker, never what the broker shows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from fsm_trader.core.day import DayPlan
from fsm_trader.core.ledger import FINAL_TRADE_STATES, Ledger
from fsm_trader.core.orders import OrderReport, OrderRequest, OrderStatus, Role, Side
from fsm_trader.core.records import DamageFound, Entry, OperatorAsked, OrderIntended, TradeMoved, trade_of
from fsm_trader.core.settings import Settings
from fsm_trader.core.tags import is_of_one_trade, read_tag
from fsm_trader.core.trades import Trade
from fsm_trader.engine.polls import ReadingKey
from fsm_trader.engine.trader import Trader
from fsm_trader.machines.spec import MachineSpec
from fsm_trader.simulate.drill.broker import Key, ShakyBroker

_COMPARED = (
    "seq",
    "session",
    "state",
    "since",
    "reason",
    "deadline",
    "blocked",
    "health",
    "halted",
    "flatten_asked",
    "orders_today",
    "trades_today",
)
UNSURE = 5
"""Exit code of a process whose day was over and could not be compared with the broker for want of a login."""
_LONGEST_NAP = timedelta(minutes=1)
# What looks wrong is looked at again; the order that follows needs a moment too.
_LOOKED_AGAIN = timedelta(seconds=30)
# What was read so long ago is still believed right before an exit.
_LOOKED_AT = timedelta(seconds=3)

Edge = tuple[str, str, str, str]
"""Trigger, source, dest and reason of a transition; an internal one has its source as dest."""


def edges_of(spec: MachineSpec) -> frozenset[Edge]:
    """Return every transition a definition allows."""
    return frozenset(
        (move.trigger, source, move.dest or source, move.reason) for move in spec.transitions for source in move.sources
    )


class Oracles:
    """Watches one day: every process, every commit, every order request.

    Args:
        plan: the day's hours.
        settings: limits and ages.
        broker: whose truth counts.
        tags: of every committed intent.
        edges: what each machine definition allows, by digest.
        breaches: what is found, in words that begin with the invariant's name.
    """

    def __init__(
        self,
        *,
        plan: DayPlan,
        settings: Settings,
        broker: ShakyBroker,
        tags: set[str],
        edges: Mapping[str, frozenset[Edge]],
        breaches: list[str],
    ) -> None:
        self.breaches = breaches
        self._plan = plan
        self._settings = settings
        self._broker = broker
        self._tags = tags
        self._edges = edges
        self._replayed = Ledger()
        self._began: datetime | None = None
        self._halted = False
        self._excused: Counter[Key] = Counter()
        self._damaged_at: datetime | None = None

    # Of one process.

    def begins(self, ledger: Ledger, entries: Sequence[Entry]) -> None:
        """Hold the ledger a process begins with against all that is in the journal."""
        self._replayed = Ledger().fold(entries)
        self._compare(ledger, whole=True)
        self._broker.boundaries.is_in_trade = bool(ledger.open_trades)
        self._began = self._broker.now()
        self._halted = False
        for entry in entries:
            self._heard(entry)

    def committed(self, entries: Sequence[Entry], ledger: Ledger) -> None:
        """Hold every committed row against what it may say."""
        self._replayed.fold(entries)
        self._compare(ledger)
        self._broker.boundaries.is_in_trade = bool(ledger.open_trades)
        for entry in entries:
            self._heard(entry)
            record = entry.record
            trade_id = trade_of(record)
            if trade_id is not None and self._replayed.trades[trade_id] != ledger.trades[trade_id]:
                self._breach(f"replay: row {entry.seq}: {trade_id} is not what the rows say")
            if isinstance(record, OrderIntended):
                self._intended(record, entry, ledger)
            elif isinstance(record, TradeMoved):
                self._moved(record, entry, ledger.trades[record.trade_id])

    def passed(self, now: datetime) -> None:
        """Nothing: what the loop waits for is looked at when it waits."""

    def waiting(self, trader: Trader, now: datetime, moment: datetime) -> None:
        """I5: while a trade is open the loop comes back for it, by a deadline or a reading."""
        open_trades = trader.floor.ledger.open_trades
        wishes = trader.wishes if open_trades else frozenset()
        for trade in open_trades:
            watched = trade.deadline is not None or ReadingKey("price", trade.contract.token) in wishes
            if not watched or moment > now + _LONGEST_NAP:
                self._breach(f"I5: at {now:%H:%M:%S} nothing is due for {trade.trade_id} in {trade.state}")
            if trade.has_open_order and ReadingKey("book") not in wishes:
                self._breach(f"I5: at {now:%H:%M:%S} nobody reads the book for {trade.trade_id}")
            # What is held may be looked at again and again; what is under way must go on.
            is_held = trade.state == "ACTIVE"
            overdue = None if trade.deadline is None else max(trade.deadline.at, self._began or now) + _LONGEST_NAP
            if overdue is not None and now > overdue and not is_held:
                self._breach(f"I5: {trade.trade_id} in {trade.state}: nothing followed its time-out {trade.deadline}")

    # Of one order request, before the broker does anything about it.

    def sending(self, request: OrderRequest) -> None:
        """I1, I2, I3 and I6: hold a request that leaves against the truth of this moment."""
        tag = request.tag
        if tag not in self._tags:
            self._breach(f"I1: order {tag} left before its intent was in the journal")
        parts = read_tag(tag)
        if parts is None:
            self._breach(f"I1: order {tag} carries no tag of ours")
            return
        rows = self._broker.truth.book().orders
        ours = [row for row in rows if is_of_one_trade(row.tag, tag)]
        if any(row.tag == tag for row in rows):
            self._breach(f"I6: tag {tag} sent although the broker has an order under it")
        if any(row.status is OrderStatus.WORKING and _role(row.tag) is parts.role for row in ours):
            self._breach(f"I2: {parts.role} order {tag} sent while another one of its trade is working")
        if any(is_of_one_trade(each.tag, tag) and _role(each.tag) is parts.role for each in self._broker.under_way):
            self._breach(f"I6: {parts.role} order {tag} sent while another one of its trade is still on its way")
        whole = all(row.side is Side.BUY and row.status is OrderStatus.COMPLETE for row in ours)
        if parts.role is Role.ENTRY and (not whole or len(ours) != parts.attempt - 1):
            self._breach(f"I6: entry {tag} sent although its trade had one before that is no whole part")
        if request.quantity > self._most(request.tradingsymbol, request.quantity):
            self._breach(f"freeze: {tag} has {request.quantity} units, more than the exchange takes in one order")
        if request.side is Side.SELL:
            self._selling(request, rows)

    def _most(self, symbol: str, quantity: int) -> int:
        contract = self._broker.find_contract(symbol)
        if contract is None or contract.freeze_quantity is None:
            return quantity
        return contract.freeze_quantity // contract.lot_size * contract.lot_size

    def _selling(self, request: OrderRequest, rows: Sequence[OrderReport]) -> None:
        key = (request.exchange, request.tradingsymbol, request.product)
        net = sum(
            each.quantity
            for each in self._broker.truth.positions()
            if (each.exchange, each.tradingsymbol, each.product) == key
        )
        selling = sum(_unsold(row, key) for row in rows if read_tag(row.tag) is not None)
        theirs = sum(_unsold(row, key) for row in rows if read_tag(row.tag) is None)
        # Somebody else's order to sell takes nothing from what is held yet, and fills all the same beside ours.
        self._excused[key] += max(min(theirs, request.quantity - (net - selling - theirs)), 0)
        if request.quantity <= net - selling:
            return
        if self._is_news(key):
            # A person sold in the moment before: no reading can have shown it, and the account is short by so much.
            self._excused[key] += request.quantity - max(net - selling, 0)
        else:
            self._breach(f"I3: {request.tag} sells {request.quantity} of {net} held, {selling} of them on sale")

    def _is_news(self, key: Key) -> bool:
        """Tell whether a sale by hand is so young, or readings so bad, that a look right before need not show it."""
        sold_at, now = self._broker.sold_by_hand_at.get(key), self._broker.now()
        if sold_at is None:
            return False
        if now - sold_at <= _LOOKED_AT:
            return True
        seen_by = sold_at + self._settings.broker.reconcile_interval + _LOOKED_AGAIN
        return self._broker.hides_sales(now) and now <= seen_by

    # Of the day.

    def ends(self, ledger: Ledger) -> None:
        """Hold the end of the day against the truth: flat, every order known, every unit counted.

        Where rows are gone and nobody could be asked until the market closed, the process says that it does not know.
        """
        broker = self._broker
        is_told = ledger.damaged_at is not None and ledger.stopped is not None and ledger.stopped.exit_code == UNSURE
        for each in broker.truth.positions():
            key = (each.exchange, each.tradingsymbol, each.product)
            foreign = broker.foreign[key]
            if each.quantity < -(self._excused[key] + broker.crossed[key]):
                self._breach(f"I3: sold short: {each}")
            elif is_told:
                continue
            elif each.quantity > foreign and not _is_past_telling(ledger, key):
                self._breach(f"I5: the day ended with {each.quantity - foreign} {each.tradingsymbol} held")
        for trade in ledger.open_trades:
            self._breach(f"I5: the day ended with {trade.trade_id} {trade.state}")
        if is_told:
            return
        known = {order.tag for trade in ledger.trades.values() for order in trade.orders}
        book = broker.truth.book()
        for row in book.orders:
            if read_tag(row.tag) is not None and row.filled_quantity and row.tag not in known:
                self._breach(f"I11: order {row.order_id} of ours filled {row.filled_quantity} and no trade knows it")
        self._counted(ledger)

    def _counted(self, ledger: Ledger) -> None:
        book = self._broker.truth.book()
        filled: Counter[str] = Counter()
        side_of = {row.order_id: (row.tag, row.side) for row in book.orders}
        for fill in book.fills:
            filled[fill.order_id] += fill.quantity
        ours = {key: units for key, units in filled.items() if read_tag(side_of[key][0]) is not None}
        bought = sum(units for key, units in ours.items() if side_of[key][1] is Side.BUY)
        sold = sum(units for key, units in ours.items() if side_of[key][1] is Side.SELL)
        trades = list(ledger.trades.values())
        if (believed := sum(trade.filled(Role.ENTRY) for trade in trades)) != bought:
            self._breach(f"I4: {bought} units were bought, the trades know {believed}")
        if (believed := sum(trade.filled(Role.EXIT) for trade in trades)) != sold:
            self._breach(f"I4: {sold} units were sold, the trades know {believed}")

    def _heard(self, entry: Entry) -> None:
        """Keep what a person said last, apart from what the trader makes of it."""
        if isinstance(entry.record, OperatorAsked):
            self._halted = entry.record.verb != "resume"
        elif isinstance(entry.record, DamageFound):
            self._damaged_at = entry.at

    def _intended(self, record: OrderIntended, entry: Entry, ledger: Ledger) -> None:
        trade = ledger.trades[record.trade_id]
        live = sum(1 for order in trade.orders if not order.is_settled and order.role is record.role)
        if live > 1:
            self._breach(f"I2: row {entry.seq}: {live} unsettled {record.role} orders of {trade.trade_id}")
        if record.role is Role.EXIT:
            if record.request.quantity != min(trade.held, self._most(record.request.tradingsymbol, trade.held)):
                self._breach(f"I3: row {entry.seq}: sells {record.request.quantity}, {trade.held} are held")
            return
        if (parts := sum(order.request.quantity for order in trade.orders_of(Role.ENTRY))) > trade.quantity:
            self._breach(f"I2: row {entry.seq}: {parts} units in parts, {trade.quantity} were wanted")
        self._asked_before(entry)
        in_window = self._plan.trading_start <= entry.at < self._plan.trading_end
        if ledger.state != "TRADING" or self._halted or not in_window:
            self._breach(f"I9: row {entry.seq}: entry in {ledger.state} at {entry.at:%H:%M:%S}")
        if ledger.health is None or ledger.health.faults:
            self._breach(f"I9: row {entry.seq}: entry without health: {ledger.health}")
        risk = self._settings.risk
        if len(ledger.open_trades) > risk.max_open_trades or ledger.trades_today > risk.max_trades_per_day:
            self._breach(f"I9: row {entry.seq}: entry over a limit")
        candle = ledger.last_candle.get(self._settings.market.underlying.token)
        if candle is None or entry.at - candle.end > self._settings.market.max_candle_age:
            self._breach(f"I12: row {entry.seq}: entry on a candle that ended at {candle and candle.end}")
        # The price is looked at once, when the signal comes: a further part follows within the entry's time-out.
        is_first = record.attempt == 1
        if is_first and (age := self._broker.price_age(entry.at)) > self._settings.market.max_candle_age:
            self._breach(f"I12: row {entry.seq}: entry on an option that was last traded {age} ago")

    def _asked_before(self, entry: Entry) -> None:
        """I10: the broker is asked before anything is bought, and for the whole settling time after damage."""
        told_at, began = self._broker.told_at, self._began
        if told_at is None or began is None or told_at < began:
            self._breach(f"I10: row {entry.seq}: entry before this process asked the broker")
        if self._damaged_at is not None and entry.at < self._damaged_at + self._settings.broker.settle:
            self._breach(f"I10: row {entry.seq}: entry at {entry.at:%H:%M:%S}, rows were gone at {self._damaged_at}")

    def _moved(self, record: TradeMoved, entry: Entry, trade: Trade) -> None:
        edge = (record.trigger, record.source, record.dest, record.reason)
        if edge not in self._edges[trade.machine]:
            self._breach(f"I8: row {entry.seq}: {trade.trade_id} moved by {edge}, which its own machine does not have")
        if record.dest == "CLOSED" and (trade.held != 0 or trade.filled(Role.ENTRY) == 0):
            self._breach(f"I4: {trade.trade_id} is CLOSED with {trade.held} units held by its fills")
        if record.dest == "FAILED" and trade.held != 0:
            self._breach(f"I4: {trade.trade_id} is FAILED with {trade.held} units held")
        if trade.state not in FINAL_TRADE_STATES and trade.deadline is None and trade.state != "ACTIVE":
            self._breach(f"I5: row {entry.seq}: {trade.trade_id} waits in {trade.state} without a deadline")

    def _compare(self, ledger: Ledger, *, whole: bool = False) -> None:
        names = (*_COMPARED, "trades", "last_candle", "signals", "exits_said", "requests") if whole else _COMPARED
        different = [name for name in names if getattr(ledger, name) != getattr(self._replayed, name)]
        if different:
            self._breach(f"replay: row {ledger.seq}: {', '.join(different)} differ from what the rows say")

    def _breach(self, text: str) -> None:
        self.breaches.append(text)


def _is_past_telling(ledger: Ledger, key: Key) -> bool:
    """Tell whether a position was written off that no positions showed, and that an exit of unknown fate may have sold.

    Both signs together are stronger than the book, and here they are wrong: more than is promised.
    """
    return any(
        trade.sold_outside
        and (trade.contract.exchange, trade.contract.tradingsymbol, trade.product) == key
        and any(order.report is None and order.answer != "refused" for order in trade.orders_of(Role.EXIT))
        for trade in ledger.trades.values()
    )


def _unsold(row: OrderReport, key: Key) -> int:
    """Return how many units of a position an order may still sell."""
    if row.side is not Side.SELL or row.status is not OrderStatus.WORKING:
        return 0
    return row.quantity - row.filled_quantity if (row.exchange, row.tradingsymbol, row.product) == key else 0


def _role(tag: str | None) -> Role | None:
    parts = read_tag(tag)
    return None if parts is None else parts.role
