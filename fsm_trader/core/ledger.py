"""All that is known, as a fold over journal rows. The running engine and a replay build it with the same code."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, ClassVar

from fsm_trader.core.candles import Candle
from fsm_trader.core.records import (
    AlarmRaised,
    CancelIntended,
    CandlesSeen,
    DamageFound,
    Deadline,
    Entry,
    EntryBlocked,
    HealthSeen,
    Inherited,
    OperatorAsked,
    OrderAnswered,
    OrderIntended,
    Record,
    RunStarted,
    RunStopped,
    SessionMoved,
    SignalSeen,
    TradeOpened,
    trade_of,
)
from fsm_trader.core.signals import Signal
from fsm_trader.core.trades import Trade, apply, open_trade
from fsm_trader.errors import HaltError

FINAL_TRADE_STATES = frozenset({"CLOSED", "FAILED"})
SESSION_INITIAL = "WAITING"
TRADE_INITIAL = "IDLE"
# Kinds of rows that tell of their own session alone: what they said is forgotten when the next one begins.
PASSING = frozenset({"candles_seen", "signal_seen", "entry_blocked", "health_seen"})
_ALARMS_KEPT = 20
_ORDER_TIMES_KEPT = 1000
_REQUESTS_KEPT = 1000
_NUMBERS_LEFT_OUT = 100


class Ledger:
    """The present, as the journal tells it.

    Attributes:
        seq: last row folded in, 0 before the first.
        at: time of that row.
        session: current session id (the trading day, numbered when a recorded day is played again).
        state, since, reason, deadline: of the session machine.
        trades: trades of this session, and open ones of earlier sessions, by id.
        last_candle: newest journaled candle of each instrument.
        marks: newest journaled price of each instrument, in paise.
        signals, blocked: newest of each strategy, with its time.
        exits_said: start of the newest candle on which each strategy said EXIT, whatever it said since.
        halted: a person said halt or flatten, and has not said resume; it holds over sessions.
        flatten_asked: the newest word was flatten: everything out.
        requests: ids of the newest requests that were met, over sessions: none is met twice.
        entries_stopped: why the newest process takes no entry until a restart; empty where it does.
        damaged_at: when rows of this journal were last found gone, None where they never were in this session.
        orders_today: order requests of this session, cancellations among them, and not those that we held back
            ourselves; *order_times* when they were intended.
    """

    def __init__(self) -> None:
        self.seq = 0
        self.at: datetime | None = None
        self.session = ""
        self.state = SESSION_INITIAL
        self.since: datetime | None = None
        self.reason = ""
        self.deadline: Deadline | None = None
        self.trades: dict[str, Trade] = {}
        self.last_candle: dict[int, Candle] = {}
        self.marks: dict[int, int] = {}
        self.signals: dict[str, tuple[datetime, SignalSeen]] = {}
        self.exits_said: dict[str, datetime] = {}
        self.blocked: dict[str, tuple[datetime, EntryBlocked]] = {}
        self.alarms: deque[tuple[datetime, AlarmRaised]] = deque(maxlen=_ALARMS_KEPT)
        self.health: HealthSeen | None = None
        self.halted = False
        self.flatten_asked = False
        self.requests: deque[str] = deque(maxlen=_REQUESTS_KEPT)
        self.damaged_at: datetime | None = None
        self.entries_stopped = ""
        self.orders_today = 0
        self.trades_today = 0
        self.order_times: deque[datetime] = deque(maxlen=_ORDER_TIMES_KEPT)
        self.last_run: RunStarted | None = None
        self.stopped: RunStopped | None = None
        self._numbers: dict[str, int] = {}
        self._kept_open: tuple[Trade, ...] | None = None
        self._kept_of_session: tuple[Trade, ...] | None = None

    @classmethod
    def carrying(cls, trades: Iterable[Trade], *, seq: int) -> Ledger:
        """Begin in the middle: right before the row that begins a session and says what it inherits.

        Args:
            trades: those it carries, folded from their own rows, oldest first.
            seq: the row before it.
        """
        ledger = cls()
        ledger.seq = seq
        ledger.trades = {trade.trade_id: trade for trade in trades}
        return ledger

    def fold(self, entries: Iterable[Entry]) -> Ledger:
        """Fold in rows in order; returns itself."""
        for entry in entries:
            self.apply(entry)
        return self

    def fold_past(self, entries: Iterable[Entry], *, seq: int) -> Ledger:
        """Fold in the rows of sessions that are over, in order; ``PASSING`` ones may be left out; returns itself.

        What comes out is for the row after *seq* alone, the last of them: it begins a session.
        """
        for entry in entries:
            self.seq = entry.seq - 1
            self.apply(entry)
        self.seq = seq
        return self

    def apply(self, entry: Entry) -> None:
        """Fold in the next row.

        Raises:
            HaltError: the row does not follow the last one, belongs to a trade that was never opened, or contradicts
                the rows before it.
        """
        if entry.seq != self.seq + 1:
            raise HaltError(f"journal: row {entry.seq} follows row {self.seq}; expected row {self.seq + 1}")
        record = entry.record
        self._STEPS.get(type(record), Ledger._other)(self, record, entry)
        self.seq, self.at = entry.seq, entry.at

    @property
    def open_trades(self) -> list[Trade]:
        """Trades that are not over, oldest first."""
        # Asked several times in each turn of the loop, and changed by the rows of trades alone.
        if self._kept_open is None:
            self._kept_open = tuple(trade for trade in self.trades.values() if trade.state not in FINAL_TRADE_STATES)
        return list(self._kept_open)

    @property
    def session_trades(self) -> tuple[Trade, ...]:
        """All trades of the current session, oldest first; the same object for as long as none of them changes."""
        if self._kept_of_session is None:
            self._kept_of_session = tuple(trade for trade in self.trades.values() if trade.session == self.session)
        return self._kept_of_session

    def next_trade_number(self) -> int:
        """Return the number of the next trade: counted by trading day, so that no tag is ever used twice."""
        return self._numbers.get(self.session[:10], 0) + 1

    def _begin(self, record: RunStarted, entry: Entry) -> None:
        is_new = record.session != self.session
        if is_new and record.inherits is not None:
            # First, because it may refuse the row: then nothing is changed.
            self._inherit(record.inherits, record.session[:10], entry.seq)
        self.last_run, self.stopped, self.entries_stopped = record, None, ""
        if not is_new:
            return
        self.session = record.session
        self.state, self.since, self.reason, self.deadline = SESSION_INITIAL, entry.at, "", None
        self.trades = {trade.trade_id: trade for trade in self.open_trades}
        self._kept_open = self._kept_of_session = None
        self.orders_today = self.trades_today = 0
        # A recorded day that is played again begins before the last play's orders: they would count as just sent.
        self.order_times.clear()
        self.last_candle, self.marks = {}, {}
        self.signals, self.blocked, self.exits_said = {}, {}, {}
        self.alarms.clear()
        self.health = None
        self.damaged_at = None

    def _inherit(self, inherits: Inherited, day: str, seq: int) -> None:
        carried = [each.trade_id for each in inherits.carried]
        known = [trade.trade_id for trade in self.open_trades]
        if carried != known:
            raise HaltError(f"journal: row {seq} carries the trades {carried}; expected those that are open, {known}")
        self._numbers[day] = max(self._numbers.get(day, 0), inherits.last_number)
        self.halted, self.flatten_asked = inherits.halted, inherits.flatten_asked
        self.requests.clear()
        self.requests.extend(inherits.requests)

    def _open(self, record: TradeOpened, entry: Entry) -> None:
        if record.trade_id in self.trades:
            raise HaltError(f"journal: row {entry.seq} opens trade {record.trade_id}, which is known already")
        self._put(open_trade(record, entry.at, entry.session, TRADE_INITIAL))
        self.trades_today += 1
        day = entry.session[:10]
        self._numbers[day] = max(self._numbers.get(day, 0), record.number)

    def _other(self, record: Record, entry: Entry) -> None:
        trade_id = trade_of(record)
        if trade_id is None:
            return
        trade = self.trades.get(trade_id)
        if trade is None:
            raise HaltError(f"journal: row {entry.seq} is of trade {trade_id}, which was never opened")
        # First, because it may refuse the row: then nothing is counted.
        self._put(apply(trade, record, entry.at))
        if isinstance(record, OrderIntended | CancelIntended):
            self.orders_today += 1
            self.order_times.append(entry.at)
        elif isinstance(record, OrderAnswered) and record.answer == "refused" and record.sends == 0:
            # Held back by ourselves, because the broker holds less: no request left.
            self.orders_today -= 1

    def _put(self, trade: Trade) -> None:
        self.trades[trade.trade_id] = trade
        self._kept_open = self._kept_of_session = None

    def _alarmed(self, record: AlarmRaised, entry: Entry) -> None:
        self._other(record, entry)
        self.alarms.append((entry.at, record))
        if record.stops_entries:
            self.entries_stopped = record.text

    def _moved(self, record: SessionMoved, entry: Entry) -> None:
        if record.source != record.dest:
            self.since = entry.at
        self.state, self.reason, self.deadline = record.dest, record.reason or self.reason, record.deadline

    def _candles(self, record: CandlesSeen, _entry: Entry) -> None:
        for candle in record.candles:
            self.last_candle[candle.token] = candle
            self.marks[candle.token] = candle.close

    def _signal(self, record: SignalSeen, entry: Entry) -> None:
        self.signals[record.strategy] = (entry.at, record)
        if record.signal == Signal.EXIT:
            self.exits_said[record.strategy] = record.candle_start

    def _blocked(self, record: EntryBlocked, entry: Entry) -> None:
        self.blocked[record.strategy] = (entry.at, record)

    def _health(self, record: HealthSeen, _entry: Entry) -> None:
        self.health = record

    def _damaged(self, _record: DamageFound, entry: Entry) -> None:
        self.damaged_at = entry.at
        # An order whose rows are gone may be under way still: the numbers of such trades are left out.
        day = entry.session[:10]
        self._numbers[day] = self._numbers.get(day, 0) + _NUMBERS_LEFT_OUT

    def _stopped(self, record: RunStopped, _entry: Entry) -> None:
        self.stopped = record

    def _asked(self, record: OperatorAsked, _entry: Entry) -> None:
        self.halted = record.verb != "resume"
        self.flatten_asked = record.verb == "flatten"
        if record.request:
            self.requests.append(record.request)

    # A row kind that is not here is of a trade, or says nothing that is to be known later.
    _STEPS: ClassVar[dict[type, Callable[[Ledger, Any, Entry], None]]] = {
        RunStarted: _begin,
        TradeOpened: _open,
        AlarmRaised: _alarmed,
        SessionMoved: _moved,
        CandlesSeen: _candles,
        SignalSeen: _signal,
        EntryBlocked: _blocked,
        HealthSeen: _health,
        OperatorAsked: _asked,
        DamageFound: _damaged,
        RunStopped: _stopped,
    }


def trade_from(entries: Iterable[Entry]) -> Trade:
    """Fold one trade from its own rows alone, as far as they go.

    Raises:
        HaltError: the first row does not open it, or a row contradicts those before it.
    """
    trade: Trade | None = None
    for entry in entries:
        if isinstance(entry.record, TradeOpened) and trade is None:
            trade = open_trade(entry.record, entry.at, entry.session, TRADE_INITIAL)
        elif trade is None:
            raise HaltError(f"journal: row {entry.seq} is of a trade that was never opened")
        else:
            trade = apply(trade, entry.record, entry.at)
    if trade is None:
        raise HaltError("journal: no row of a trade; expected the one that opens it first")
    return trade
