"""The engine as a whole: one event at a time to the part it concerns, and the next moment anything is due."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import assert_never

from fsm_trader.core.candles import MINUTE
from fsm_trader.core.contracts import OptionContract
from fsm_trader.core.events import (
    Asked,
    BookRead,
    CancelDone,
    CandlesRead,
    ClockSet,
    ContractsRead,
    Event,
    HealthRead,
    Noticed,
    OrdersMoved,
    PriceRead,
    ReadFailed,
    SendAnswered,
    StandingRead,
    StopAsked,
    TokenChanged,
)
from fsm_trader.core.records import AlarmRaised, OperatorAsked
from fsm_trader.core.trades import Trade
from fsm_trader.engine.candles import CandleDesk
from fsm_trader.engine.entries import EntryDesk
from fsm_trader.engine.floor import Floor
from fsm_trader.engine.orders import OrderDesk
from fsm_trader.engine.polls import Polls, ReadingKey, next_on_grid
from fsm_trader.engine.reconcile import ReconcileDesk
from fsm_trader.engine.session import SessionDesk
from fsm_trader.engine.signals import Seat
from fsm_trader.engine.trades import TradeDesk
from fsm_trader.engine.work import Job
from fsm_trader.market.protocol import MarketFeed

_BOOK = ReadingKey("book")
_STANDING = ReadingKey("standing")
# What looks wrong is looked at again after so long, before it is believed.
_LOOK_AGAIN = timedelta(seconds=5)
# The day is over and everything is flat by the journal: a broker that does not answer any more ends it too.
_LAST_LOOKS = 3
_SECOND = timedelta(seconds=1)
_AFTER_CLOSE = timedelta(minutes=5)
_FAILURES_BEFORE_ALARM = 3
# States in which the index is watched; before the market opens and after the end there is nothing to see.
WATCHING = frozenset({"HEALTH_CHECK", "TRADING", "UNHEALTHY", "LOGIN_REQUIRED", "HALTED", "SQUARING_OFF"})


class Trader:
    """One session at work. It is driven from outside (``engine.loop``) and never waits by itself."""

    def __init__(
        self, floor: Floor, *, feed: MarketFeed, contracts: Sequence[OptionContract], seats: Sequence[Seat]
    ) -> None:
        self.floor = floor
        self._feed = feed
        self._polls = Polls()
        self._failures: dict[ReadingKey, int] = {}
        self._stop: StopAsked | None = None
        self._stops = 0
        self._looked = False
        self.next_moment = floor.clock.now()
        self.session = SessionDesk(floor)
        self.trades = TradeDesk(floor)
        self.trades.parts.know(contracts)
        self.orders = OrderDesk(floor, self.trades)
        self.entries = EntryDesk(floor, self.trades, contracts)
        self.candles = CandleDesk(floor, self.trades, self.entries, seats)
        self.reconcile = ReconcileDesk(floor, self.trades, contracts)
        # On a day that is not traded no order of ours can turn up, and often nobody has logged in.
        self._is_swept = floor.plan.why_closed is not None
        self._is_swept_by_answer = self._is_swept
        self._is_too_late = False
        self._hinted_at: datetime | None = None
        self._last_looks = _LAST_LOOKS

    @property
    def is_over(self) -> bool:
        """True when the loop may end: the session is closed and flat, or the process was told to stop."""
        if self._is_too_late or (self._stop is not None and (not self.floor.leaving or self._stops > 1)):
            return True
        flat = not self.floor.ledger.open_trades
        return flat and ((self.session.is_over and self._is_swept) or self.floor.leaving)

    @property
    def ended_logged_out(self) -> bool:
        """True when the day ended without a token: nobody could ask the broker whether all is as believed."""
        return self.session.is_over and self.session.login_required and not self._is_swept_by_answer

    @property
    def stop_reason(self) -> str:
        """Why the loop ended, in a word or two."""
        if self._is_too_late:
            return "the market closed with a position open"
        return self._stop.why if self._stop is not None else self.floor.ledger.reason or "day over"

    @property
    def wishes(self) -> frozenset[ReadingKey]:
        """The readings that are due some time or under way."""
        return self._polls.wishes

    def start(self) -> None:
        """Take up the day; the first look at the world follows at once.

        What a person or a strategy said may have been journaled and not acted on when the last process ended.
        """
        self._want(_STANDING, self.floor.clock.now())
        self.reconcile.lapse()
        self.session.start()
        self._check_all()

    def handle(self, event: Event) -> None:  # noqa: C901 - one flat list of events
        """Take one event.

        Raises:
            HaltError: the journal cannot be written, or an invariant is false.
        """
        now = self.floor.clock.now()
        self._hear(event, now)
        match event:
            case CandlesRead():
                self._answered(ReadingKey("candles", event.token))
                self.candles.candles_read(event.token, event.candles, now)
            case PriceRead():
                self._answered(ReadingKey("price", event.price.token))
                self.candles.price_read(event.price, now)
            case BookRead():
                self._answered(_BOOK)
                self.orders.book_read(event.book)
            case StandingRead():
                self._standing_read(event, now)
            case ReadFailed():
                self._failed(event)
            case SendAnswered():
                self.orders.answered(event)
                if event.sends == 0:
                    # Refused by us, because the broker holds less than believed: find out what is true.
                    self._want(_STANDING, now)
            case CancelDone():
                self.orders.cancel_answered(event)
            case HealthRead():
                self._health_read(event)
            case Asked() | StopAsked() | ContractsRead() | OrdersMoved() | TokenChanged() | Noticed() | ClockSet():
                self._told(event, now)
            case _:
                assert_never(event)

    def _told(
        self,
        event: Asked | StopAsked | ContractsRead | OrdersMoved | TokenChanged | Noticed | ClockSet,
        now: datetime,
    ) -> None:
        match event:
            case Asked():
                self._asked(event)
            case StopAsked():
                self._stop_asked(event)
            case ContractsRead():
                self._contracts_read(event)
            case OrdersMoved():
                self._look_at_orders(now)
            case TokenChanged():
                self._want(_STANDING, now)
                self.session.check_now()
            case Noticed():
                self.floor.commit(AlarmRaised(event.text))
            case ClockSet():
                self._clock_set(event, now)
            case _:
                assert_never(event)

    def _clock_set(self, event: ClockSet, now: datetime) -> None:
        """Begin every waiting for the broker anew: time that was jumped over was not waited."""
        self.floor.clock_set_at = now
        self.reconcile.wait_anew(now)
        text = event.text
        if event.is_back:
            # Ahead of the exchange's time a minute that still runs looks complete, and old prices look young.
            self.floor.fault = self.floor.fault or text
            text = f"{text}. No entry is taken until a restart; exits go on."
        self.floor.commit(AlarmRaised(text, stops_entries=event.is_back))

    def _hear(self, event: Event, now: datetime) -> None:
        """Take note of a whole and good answer of the broker."""
        is_good = isinstance(event, BookRead | StandingRead) or (isinstance(event, HealthRead) and not event.faults)
        if is_good:
            self.floor.broker_heard_at = now

    def _health_read(self, event: HealthRead) -> None:
        was_out = self.session.login_required
        self.session.health_read(event)
        if self.floor.effects.is_prompt and self.session.state in WATCHING:
            # The check looked at the candles too, and one that it was given is not announced a second time.
            self._want(ReadingKey("candles", self.floor.settings.market.underlying.token), self.floor.clock.now())
        if was_out and not event.login_required:
            # What could not be sent without a token is sent now, and not at its next turn.
            self.trades.hurry_exits()

    def _contracts_read(self, event: ContractsRead) -> None:
        self._answered(ReadingKey("instruments"))
        self.entries.know(event.contracts, event.stale)
        self.reconcile.know(event.contracts)
        self.trades.parts.know(event.contracts)
        if event.note:
            follows = " What is held is looked after; nothing is bought until today's is there." if event.stale else ""
            self.floor.commit(AlarmRaised(f"instruments: {event.note}.{follows}"))

    def _look_at_orders(self, now: datetime) -> None:
        """Ask the broker soon; however often it is told of, once in the time between two looks at the book."""
        self.floor.orders_moved_at = now
        after = self.floor.settings.broker.order_poll_interval
        if self._hinted_at is not None and timedelta(0) <= now - self._hinted_at < after:
            self._want(_STANDING, self._hinted_at + after)
            return
        self._hinted_at = now
        # Positions too: whose order it was nobody says, and it may have sold what a trade of ours holds.
        self._want(_STANDING, now)

    def _standing_read(self, event: StandingRead, now: datetime) -> None:
        self._answered(_STANDING)
        self.orders.book_read(event.book)
        again = self.reconcile.standing_read(event)
        # Not earlier: what is missing there is in doubt only now.
        self.floor.net_asked_at = event.book.read_at
        if self.session.is_over:
            self._is_swept = self._is_swept_by_answer = True
        if again:
            self._want(_STANDING, now + _LOOK_AGAIN)

    def _asked(self, event: Asked) -> None:
        if event.request and event.request in self.floor.ledger.requests:
            return  # It was met before; only its file was left.
        self.session.asked(OperatorAsked(event.verb, event.by, event.request), fault=event.fault)
        self._check_all()

    def on_time(self, now: datetime) -> None:
        """Do what is due at *now*: session, deadlines, readings."""
        squared_off = now >= self.floor.plan.square_off
        self.floor.guard(partial(self.session.on_time, now))
        self.trades.on_time(now)
        if squared_off:
            self._check_all()
        self._give_up_after_close(now)
        if self._looked and self.floor.effects.is_prompt:
            # A candle that the stream has completed is taken in this turn, not in the next one.
            self._want_candle(now)
        for key in self._polls.take_due(now):
            self._read(key)
        if self.floor.effects.is_prompt:
            self.floor.guard(partial(self.candles.on_time, now))

    def _give_up_after_close(self, now: datetime) -> None:
        """End the day some minutes after the market closed: no order is taken any more, the next start goes on."""
        closes_at, ledger = self.floor.plan.closes_at, self.floor.ledger
        if self._is_too_late or closes_at is None or not ledger.open_trades:
            return
        # A clock that was set may say that the day is long over: it is waited for an answer all the same.
        set_at = self.floor.clock_set_at
        if now < (closes_at if set_at is None else max(closes_at, set_at)) + _AFTER_CLOSE:
            return
        self._is_too_late = True
        ids = ", ".join(f"{trade.trade_id} ({trade.held} units)" for trade in ledger.open_trades)
        self.floor.commit(
            AlarmRaised(f"the market closed at {closes_at:%H:%M} and {ids} is still open. It needs a person.", level=9)
        )

    def plan_next(self, now: datetime) -> None:
        """Set ``next_moment``: when anything is due; at most a minute away, at least a moment later than *now*."""
        # Should the planning itself fail, the loop comes back in a second and does not spin.
        self.next_moment = now + _SECOND
        self._wish(now)
        moments = (self.session.next_moment(now), self.trades.next_deadline(), self._polls.next_due())
        soonest = min((moment for moment in moments if moment is not None), default=now + MINUTE)
        self.next_moment = max(soonest, now + timedelta(milliseconds=1))

    def _wish(self, now: datetime) -> None:
        settings = self.floor.settings
        self._want_candle(now)
        is_last = self.session.is_over and not self._is_swept and self._last_looks == _LAST_LOOKS
        if is_last:
            self._want(_STANDING, now)
        self._want_on_grid(_STANDING, settings.broker.reconcile_interval, now)
        for trade in self.floor.ledger.open_trades:
            if trade.held > 0:
                token = trade.contract.token
                self._want_on_grid(ReadingKey("price", token), settings.session.poll_interval, now)
                self._want_on_grid(ReadingKey("candles", token), MINUTE, now)
            if trade.has_open_order:
                self._want_on_grid(_BOOK, settings.broker.order_poll_interval, now)

    def _want(self, key: ReadingKey, at: datetime) -> None:
        self._polls.want(key, at)

    def _want_on_grid(self, key: ReadingKey, interval: timedelta, now: datetime) -> None:
        # The next point of a grid is never earlier than one that is wanted already.
        if not self._polls.is_wanted(key):
            self._polls.want(key, next_on_grid(now, interval))

    def _want_candle(self, now: datetime) -> None:
        index = ReadingKey("candles", self.floor.settings.market.underlying.token)
        # While a reading is under way nobody knows which candle is the next one.
        if self.session.state in WATCHING and not self._polls.is_awaited(index, now):
            self._want(index, self._next_candle(now))

    def _next_candle(self, now: datetime) -> datetime:
        if not self._looked:
            # The first look needs no candle to complete: a late start finds the whole morning there.
            self._looked = True
            return now
        known = self._feed.next_candle_at(now)
        return known if known is not None else next_on_grid(now, self.floor.settings.session.poll_interval)

    def _read(self, key: ReadingKey) -> None:
        if key.what == "candles":
            found = self.floor.effects.candles_at_hand(key.token, self.candles.newest(key.token))
            if found is not None:
                self.floor.guard(partial(self.handle, found))
                return
        self.floor.worker.submit(self._job(key))

    def _job(self, key: ReadingKey) -> Job:
        effects = self.floor.effects
        match key.what:
            case "book":
                return effects.read_book()
            case "standing":
                return effects.read_standing()
            case "price":
                return effects.read_price(key.token)
            case _:
                return effects.read_candles(key.token, self.candles.newest(key.token))

    def _answered(self, key: ReadingKey) -> None:
        self._polls.done(key)
        self._failures.pop(key, None)

    def _failed(self, event: ReadFailed) -> None:
        key = ReadingKey(event.reading, event.token or 0)
        self._polls.done(key)
        count = self._failures[key] = self._failures.get(key, 0) + 1
        if event.reading == "price":
            self.entries.price_failed(key.token, event.why)
        if event.login_required:
            self._login_required(event)
        if key == _STANDING and self.session.is_over:
            self._last_looks -= 1
            self._is_swept = self._is_swept or (self._last_looks <= 0 and not self._may_hold_unknown())
        # Where a token is wanting, that was said.
        if count == _FAILURES_BEFORE_ALARM and not event.login_required:
            of = f" of instrument {event.token}" if event.token else ""
            self.floor.commit(
                AlarmRaised(f"{event.reading}{of}: no usable answer {count} times in a row: {event.why}. Asking on.")
            )

    def _may_hold_unknown(self) -> bool:
        """Tell whether an order whose rows are gone may have bought what can still be left today."""
        closes_at = self.floor.plan.closes_at
        is_open = closes_at is not None and self.floor.clock.now() < closes_at
        return is_open and self.floor.sure_from is not None and bool(self.floor.unreconciled)

    def _login_required(self, event: ReadFailed) -> None:
        """Take note that no token works: once, not for each reading that says so."""
        if self.session.login_required:
            return
        self.session.health_read(HealthRead((event.why,), login_required=True))
        if self.session.state not in WATCHING and not self.session.is_over:
            # The session machine says it once the market is watched; a person wants to know before that.
            at = f"{self.floor.plan.health_start:%H:%M}"
            self.floor.commit(AlarmRaised(f"the day begins at {at}, and nothing can be asked: {event.why}."))

    def _check_all(self) -> None:
        """Let every trade look at facts that are not its own: the hour, a person's word."""
        for trade in self.floor.ledger.open_trades:
            if not _is_leaving(trade):
                self.floor.guard(partial(self.trades.check, trade), of=trade.trade_id)

    def _stop_asked(self, event: StopAsked) -> None:
        self._stop = event
        self._stops += 1
        if self.floor.settings.session.on_stop == "flatten" and self.floor.ledger.open_trades:
            self.floor.leaving = True
            self._check_all()


def _is_leaving(trade: Trade) -> bool:
    """Tell whether the trade's last order is being cancelled already: asking again every moment helps nobody."""
    return any(order.cancel_asked_at is not None and not order.is_settled for order in trade.orders)
