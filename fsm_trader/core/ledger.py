"""All that is known, as a fold over journal rows. The running engine and a replay build it with the same code."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import datetime

from fsm_trader.core.candles import Candle
from fsm_trader.core.records import (
    AlarmRaised,
    CancelIntended,
    CandlesSeen,
    Deadline,
    Entry,
    EntryBlocked,
    HealthSeen,
    OperatorAsked,
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
_ALARMS_KEPT = 20
_ORDER_TIMES_KEPT = 1000


class Ledger:
    """The present, as the journal tells it.

    Attributes:
        seq: last row folded in, 0 before the first.
        at: time of that row.
        session: current session id (the trading day, numbered when a recorded day is played again).
        session_counts: sessions begun so far, by trading day.
        state, since, reason, deadline: of the session machine.
        trades: trades of this session, and open ones of earlier sessions, by id.
        last_candle: newest journaled candle of each instrument.
        marks: newest journaled price of each instrument, in paise.
        signals, blocked: newest of each strategy, with its time.
        exits_said: start of the newest candle on which each strategy said EXIT, whatever it said since.
        halted: a person said halt or flatten, and has not said resume.
        orders_today: order requests of this session, cancellations among them; *order_times* when they were intended.
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
        self.orders_today = 0
        self.trades_today = 0
        self.order_times: deque[datetime] = deque(maxlen=_ORDER_TIMES_KEPT)
        self.last_run: RunStarted | None = None
        self.stopped: RunStopped | None = None
        self.session_counts: dict[str, int] = {}
        self._numbers: dict[str, int] = {}

    def fold(self, entries: Iterable[Entry]) -> Ledger:
        """Fold in rows in order; returns itself."""
        for entry in entries:
            self.apply(entry)
        return self

    def apply(self, entry: Entry) -> None:
        """Fold in the next row.

        Raises:
            HaltError: the row does not follow the last one, or belongs to a trade that was never opened.
        """
        if entry.seq != self.seq + 1:
            raise HaltError(f"journal: row {entry.seq} follows row {self.seq}; expected row {self.seq + 1}")
        record = entry.record
        if isinstance(record, RunStarted):
            self._begin(record, entry)
        elif isinstance(record, TradeOpened):
            self._open(record, entry)
        elif (trade_id := trade_of(record)) is not None:
            self._of_trade(trade_id, record, entry)
        else:
            self._of_session(record, entry)
        self.seq, self.at = entry.seq, entry.at

    @property
    def open_trades(self) -> list[Trade]:
        """Trades that are not over, oldest first."""
        return [trade for trade in self.trades.values() if trade.state not in FINAL_TRADE_STATES]

    @property
    def session_trades(self) -> list[Trade]:
        """All trades of the current session, oldest first."""
        return [trade for trade in self.trades.values() if trade.session == self.session]

    def next_trade_number(self) -> int:
        """Return the number of the next trade: counted by trading day, so that no tag is ever used twice."""
        return self._numbers.get(self.session[:10], 0) + 1

    def _begin(self, record: RunStarted, entry: Entry) -> None:
        self.last_run, self.stopped = record, None
        if record.session == self.session:
            return
        self.session = record.session
        day = record.session[:10]
        self.session_counts[day] = self.session_counts.get(day, 0) + 1
        self.state, self.since, self.reason, self.deadline = SESSION_INITIAL, entry.at, "", None
        self.trades = {trade.trade_id: trade for trade in self.open_trades}
        self.orders_today = self.trades_today = 0
        # A recorded day that is played again begins before the last play's orders: they would count as just sent.
        self.order_times.clear()
        self.last_candle, self.marks = {}, {}
        self.signals, self.blocked, self.exits_said = {}, {}, {}
        self.alarms.clear()
        self.health = None

    def _open(self, record: TradeOpened, entry: Entry) -> None:
        if record.trade_id in self.trades:
            raise HaltError(f"journal: row {entry.seq} opens trade {record.trade_id}, which is known already")
        self.trades[record.trade_id] = open_trade(record, entry.at, entry.session, TRADE_INITIAL)
        self.trades_today += 1
        day = entry.session[:10]
        self._numbers[day] = max(self._numbers.get(day, 0), record.number)

    def _of_trade(self, trade_id: str, record: Record, entry: Entry) -> None:
        trade = self.trades.get(trade_id)
        if trade is None:
            raise HaltError(f"journal: row {entry.seq} is of trade {trade_id}, which was never opened")
        # First, because it may refuse the row: then nothing is counted.
        self.trades[trade_id] = apply(trade, record, entry.at)
        if isinstance(record, OrderIntended | CancelIntended):
            self.orders_today += 1
            self.order_times.append(entry.at)
        if isinstance(record, AlarmRaised):
            self.alarms.append((entry.at, record))

    def _of_session(self, record: Record, entry: Entry) -> None:  # noqa: C901 - one flat list of row kinds
        match record:
            case SessionMoved():
                if record.source != record.dest:
                    self.since = entry.at
                self.state, self.reason, self.deadline = record.dest, record.reason or self.reason, record.deadline
            case CandlesSeen():
                for candle in record.candles:
                    self.last_candle[candle.token] = candle
                    self.marks[candle.token] = candle.close
            case SignalSeen():
                self.signals[record.strategy] = (entry.at, record)
                if record.signal == Signal.EXIT:
                    self.exits_said[record.strategy] = record.candle_start
            case EntryBlocked():
                self.blocked[record.strategy] = (entry.at, record)
            case HealthSeen():
                self.health = record
            case AlarmRaised():
                self.alarms.append((entry.at, record))
            case OperatorAsked():
                self.halted = record.verb != "resume"
                self.flatten_asked = record.verb == "flatten"
            case RunStopped():
                self.stopped = record
            case _:
                return
