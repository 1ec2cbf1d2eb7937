"""The world a live session trades in: Zerodha Kite by REST and by the stream, and the machine's time or a sandbox's.

Opening it asks nobody for anything but a sandbox for its time: what cannot be had yet (a token, the instruments, the
network) is waited for by the session, told, and asked for again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec

from fsm_trader.app.options_of_day import KnownContracts, OptionsOfDay
from fsm_trader.app.sandbox_time import Follower
from fsm_trader.broker.kite.broker import KiteBroker
from fsm_trader.core.clock import Clock
from fsm_trader.core.contracts import OptionContract
from fsm_trader.core.day import DayPlan
from fsm_trader.core.events import ClockSet, Event, Noticed, OrdersMoved, PriceRead, TokenChanged
from fsm_trader.core.settings import KiteSettings, Settings
from fsm_trader.engine.work import Inbox, LaneJob, ThreadWorker
from fsm_trader.kite.standing import NoTokenError
from fsm_trader.kite.stream import TickStream
from fsm_trader.kite.tokens import Tokens
from fsm_trader.kite.wire import KiteWire
from fsm_trader.market.kite.feed import KiteFeed
from fsm_trader.market.kite.instruments import InstrumentStore
from fsm_trader.market.kite.live import LiveTicks
from fsm_trader.ops.clock import real_s

_LOG = logging.getLogger(__name__)
_LOOK_FOR_TOKEN_S = 0.5
# A stream that comes and goes is told of so often, as it is then; what it does in between is in the log.
_TOLD_AGAIN_AFTER = timedelta(minutes=5)


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What a live world is made of.

    Args:
        jumped: tells by how much the machine's clock was set since it was asked last.
        remark: what a person is told at the start, empty when nothing.
    """

    settings: Settings
    kite: KiteSettings
    session: str
    plan: DayPlan
    clock: Clock
    follower: Follower | None
    jumped: Callable[[], timedelta]
    tokens: Tokens
    wire: KiteWire
    feed: KiteFeed
    live: LiveTicks | None
    store: InstrumentStore
    broker: KiteBroker
    known: KnownContracts
    remark: str = ""


class LiveWorld:
    """Kite as the session sees it; ``news`` and ``connect`` are for the loop's thread.

    Args:
        parts: what it is made of; it is closed with the world.
        close: gives the parts back.
    """

    skipped: tuple[str, ...] = ()
    contracts: tuple[OptionContract, ...] = ()

    def __init__(self, parts: Parts, close: Callable[[], None]) -> None:
        self._parts = parts
        self._close = close
        self._worker: ThreadWorker | None = None
        self._options = OptionsOfDay(
            parts.store,
            parts.settings.market.underlying.name,
            plan=parts.plan,
            clock=parts.clock,
            known=self._learn,
        )
        self._is_streaming = False
        self._was_lost = False
        self._fault_told = ""
        self._fault_told_at: datetime | None = None
        self._looked_s = real_s()
        self._remark = parts.remark
        parts.tokens.changed()

    @property
    def label(self) -> str:
        """Say where it is, and how it is watched."""
        parts = self._parts
        where = "Zerodha Kite" if parts.kite.root is None else f"Kite at {parts.kite.root}"
        what = "a sandbox, no real money" if parts.follower is not None else "LIVE: real orders, real money"
        return f"{parts.plan.day}, {where} ({what}), prices by {parts.settings.market.feed}"

    @property
    def kind(self) -> str:
        """Where orders go, as the journal has it."""
        return kind_of(self._parts.follower is not None)

    @property
    def plan(self) -> DayPlan:
        """The day and its windows."""
        return self._parts.plan

    @property
    def session(self) -> str:
        """The session's id."""
        return self._parts.session

    @property
    def clock(self) -> Clock:
        """The machine's, or one that follows a sandbox's."""
        return self._parts.clock

    @property
    def broker(self) -> KiteBroker:
        """Kite."""
        return self._parts.broker

    @property
    def feed(self) -> KiteFeed:
        """Kite's history and quotes, and its stream where that is asked for."""
        return self._parts.feed

    @property
    def second(self) -> timedelta:
        """A second, or as many as the sandbox's day makes of one."""
        follower = self._parts.follower
        return timedelta(seconds=1.0 if follower is None else follower.first.speed)

    def connect(self, inbox: Inbox) -> ThreadWorker:
        """Return the threads that make the calls. What the stream tells ends the loop's wait."""
        wake, feed = self._parts.clock.wake, self._parts.feed

        def lost(why: str) -> None:
            _LOG.warning("%s", why)
            self._was_lost = True
            wake()

        feed.on_price(wake)
        feed.on_candle(wake)
        feed.on_order_update(wake)
        feed.on_fault(lost)
        self._worker = ThreadWorker(inbox)
        return self._worker

    def news(self) -> Sequence[Event]:
        """Return the newest prices of what is held, and what else has happened; ask for what is due."""
        now = self._parts.clock.now()
        if self._worker is not None and self._options.is_due(now):
            self._worker.submit(LaneJob("market", self._options.job))
        self._stream(now)
        prices = self._parts.feed.new_prices()
        # Asked for after the prices and told before them: whatever sold what is held came before the price that would.
        moved = [OrdersMoved()] if self._parts.feed.orders_moved() else []
        told = (*self._of_clock(), *moved, *map(PriceRead, prices))
        return (*told, *self._of_stream(now), *self._of_token())

    def over(self, now: datetime) -> None:
        """Do nothing: the market needs nobody to end its day."""

    def close(self) -> None:
        """End the stream and every connection."""
        self._close()

    def _learn(self, contracts: tuple[OptionContract, ...]) -> None:
        self._parts.known.add(contracts)
        self._parts.feed.know(*contracts)

    def _stream(self, now: datetime) -> None:
        parts, plan = self._parts, self._parts.plan
        if parts.live is None or self._is_streaming or plan.why_closed is not None or now < plan.health_start:
            return
        self._is_streaming = True

        def token() -> str | None:
            try:
                return parts.tokens.worth_trying()
            except NoTokenError:
                return None

        parts.feed.start(
            TickStream(
                root=parts.settings.market.stream_root,
                api_key=parts.kite.api_key.reveal(),
                token=token,
                listener=parts.live,
            )
        )

    def _of_clock(self) -> list[Event]:
        if self._remark:
            said, self._remark = self._remark, ""
            return [Noticed(said)]
        jump = self._parts.jumped()
        if jump > timedelta(0):
            seconds = f"{jump.total_seconds():.0f} s"
            return [
                ClockSet(
                    f"the machine's clock jumped ahead by {seconds}, or the machine slept. The session follows it: "
                    "what became due is done now.",
                    is_back=False,
                )
            ]
        if jump < timedelta(0):
            seconds = f"{-jump.total_seconds():.0f} s"
            return [
                ClockSet(
                    f"the machine's clock was set back by {seconds}. The session goes on by its own seconds, which may "
                    "be ahead of the exchange's: look at the clock",
                    is_back=True,
                )
            ]
        return []

    def _of_stream(self, now: datetime) -> list[Event]:
        """Say that the stream is down, unless it is for want of a login, which is said by who needs it."""
        live, told_at = self._parts.live, self._fault_told_at
        # A stream that was not there yet is no fault.
        why = live.fault if live is not None and self._was_lost else ""
        if not why:
            self._fault_told = ""
        if live is None or why == self._fault_told or live.login_required:
            return []
        if told_at is not None and timedelta(0) <= now - told_at < _TOLD_AGAIN_AFTER:
            return []
        self._fault_told, self._fault_told_at = why, now
        return [Noticed(f"{why}. Prices and candles are asked for until it is back.")]

    def _of_token(self) -> list[Event]:
        if real_s() - self._looked_s < _LOOK_FOR_TOKEN_S:
            return []
        self._looked_s = real_s()
        if not self._parts.tokens.changed():
            return []
        _LOG.info("there is a new access token")
        self._options.hurry()
        return [TokenChanged()]


def kind_of(is_sandbox: bool) -> str:  # noqa: FBT001 - the name of the function says what it is
    """Return where orders go, as the journal has it."""
    return "sandbox" if is_sandbox else "kite"
