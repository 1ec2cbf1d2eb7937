"""The world a paper session trades in (``Outside``): a recorded day, a broker with a book of its own, the day's clock.

The world outlives the trader: a run that was stopped or killed goes on at the moment the world stands at.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from fsm_trader.app.files import day_plan, recorded_day
from fsm_trader.broker.paper.book import PaperBook, World
from fsm_trader.broker.paper.broker import PaperBroker
from fsm_trader.core.clock import Clock
from fsm_trader.core.contracts import OptionContract
from fsm_trader.core.day import DayPlan
from fsm_trader.core.events import Event
from fsm_trader.core.ledger import Ledger
from fsm_trader.core.settings import Settings
from fsm_trader.core.tags import owner_of, read_tag
from fsm_trader.engine.session import FINAL
from fsm_trader.engine.work import Inbox, InlineWorker
from fsm_trader.errors import Fault, SetupError, UnavailableError
from fsm_trader.journal.look_up import DaySoFar
from fsm_trader.market.recorded import RecordedDay, days
from fsm_trader.ops.clock import ScaledClock, VirtualClock

# The world wakes up a little before the first window opens.
_BEFORE_OPEN = timedelta(minutes=1)
_LOG = logging.getLogger(__name__)

History = Callable[[date], DaySoFar]


class PaperWorld(msgspec.Struct, frozen=True):
    """Everything outside the trader.

    Args:
        session: the session's id: the day, numbered from the second time on that it is begun in one journal.
    """

    recorded: RecordedDay
    plan: DayPlan
    clock: Clock
    contracts: tuple[OptionContract, ...]
    broker: PaperBroker
    book: PaperBook
    session: str

    @property
    def label(self) -> str:
        """Which day it is."""
        return self.recorded.label

    @property
    def feed(self) -> RecordedDay:
        """The recorded day."""
        return self.recorded

    @property
    def skipped(self) -> tuple[str, ...]:
        """What of the data was left out, and why."""
        return tuple(self.recorded.skipped)

    @property
    def kind(self) -> str:
        """Empty: what the journals of paper sessions have always said."""
        return ""

    @property
    def second(self) -> timedelta | None:
        """None: there is no news, and nobody outside lives in its time."""
        return None

    def connect(self, inbox: Inbox) -> InlineWorker:
        """Return who makes each call at once, as a virtual clock needs."""
        return InlineWorker(inbox)

    def news(self) -> Sequence[Event]:
        """Return nothing: a recorded day tells what it is asked."""
        return ()

    def over(self, now: datetime) -> None:
        """End the day, so that the next start begins another one."""
        self.book.finish(now)

    def close(self) -> None:
        """Do nothing: the book is closed by who opened it."""


def open_world(settings: Settings, ledger: Ledger, book: PaperBook, history: History) -> PaperWorld:
    """Go on with the day that is being played, or begin the next one.

    Args:
        settings: what was asked for.
        ledger: the present, as the journal tells it.
        book: the world's own file.
        history: tells what the journal has of a trading day.

    Raises:
        SetupError: the data, the book and the journal do not fit together; nothing was started.
    """
    playing = _world_in_play(book)
    recorded = _day_to_play(settings, book, ledger)
    contracts = _contracts(settings, recorded)
    dawn = _dawn(settings, recorded)
    # Begun only now: a day that turned out unusable must not be the one the next start is held to.
    world = playing or book.begin(recorded.day, dawn)
    is_dawn = world.now <= dawn
    clock = _clock(settings, book, world, None if is_dawn else ledger.at)
    broker = PaperBroker(
        settings=settings.broker.paper,
        clock=clock,
        prices=recorded,
        find_contract={contract.tradingsymbol: contract for contract in contracts}.get,
        book=book,
        hours=(recorded.opens_at, recorded.closes_at),
    )
    _refuse_orphans(settings, ledger, world, broker)
    return PaperWorld(
        recorded,
        day_plan(settings, recorded.day),
        clock,
        contracts,
        broker,
        book,
        _session_id(ledger, world, history, is_dawn=is_dawn),
    )


def _world_in_play(book: PaperBook) -> World | None:
    world = book.world
    return None if world is None or world.finished else world


def _day_to_play(settings: Settings, book: PaperBook, ledger: Ledger) -> RecordedDay:
    playing = _world_in_play(book)
    if playing is not None:
        _refuse_other_day(settings, playing)
        try:
            return recorded_day(settings, day=playing.day.isoformat())
        except SetupError as error:
            raise SetupError([*error.faults, _in_play(settings, playing)]) from error
    if ledger.open_trades and not _was_played_last(book, ledger):
        ids = ", ".join(trade.trade_id for trade in ledger.open_trades)
        raise SetupError.at(
            str(settings.broker.paper.book),
            f"holds no world that is being played, but the journal has open trades ({ids}); expected the book they "
            "were traded in: put it back, or begin a new journal",
        )
    return recorded_day(settings, day=_next_day(settings, book))


def _was_played_last(book: PaperBook, ledger: Ledger) -> bool:
    """Tell whether the book's newest play is the journal's newest session: what that left open is in the right book."""
    return book.world is not None and ledger.session.startswith(book.world.day.isoformat())


def _refuse_orphans(settings: Settings, ledger: Ledger, world: World, broker: PaperBroker) -> None:
    """Refuse a world with orders that the journal knows nothing of: nobody would look after what they hold."""
    orders = broker.book().orders
    owner = owner_of(settings.session.name)
    strangers = [row for row in orders if (parts := read_tag(row.tag)) is not None and parts.owner != owner]
    if strangers:
        raise SetupError.at(
            str(settings.broker.paper.book),
            f"stands at {world.now:%H:%M:%S} of {world.day} with {len(strangers)} orders of another session than "
            f"{settings.session.name}; expected a book of its own for each session",
        )
    if ledger.session.startswith(world.day.isoformat()):
        return
    if orders:
        raise SetupError.at(
            str(settings.broker.paper.book),
            f"stands at {world.now:%H:%M:%S} of {world.day} with {len(orders)} orders, and the journal has no session "
            "of that day; expected the journal they were sent from: put it back, or begin a new book",
        )


def _in_play(settings: Settings, world: World) -> Fault:
    return Fault(
        str(settings.broker.paper.book),
        "",
        f"{world.day} is being played here and stands at {world.now:%H:%M:%S}; expected its data until it is over, or "
        "another broker.paper.book",
    )


def _refuse_other_day(settings: Settings, world: World) -> None:
    wanted = settings.market.day
    if wanted is not None and wanted != world.day.isoformat():
        raise SetupError.at(
            str(settings.source),
            f"was {wanted}, but {world.day} is being played in {settings.broker.paper.book} and stands at "
            f"{world.now:%H:%M:%S}; expected that day until it is over, or another broker.paper.book",
            "$.market.day",
        )


def _next_day(settings: Settings, book: PaperBook) -> str:
    if settings.market.day is not None:
        return settings.market.day
    there = days(settings.market, zone=ZoneInfo(settings.session.timezone))
    played = set(book.played_days())
    return next((day for day in there if day not in played), there[0]).isoformat()


def _dawn(settings: Settings, recorded: RecordedDay) -> datetime:
    return min(day_plan(settings, recorded.day).health_start, recorded.opens_at) - _BEFORE_OPEN


def _clock(settings: Settings, book: PaperBook, world: World, journaled: datetime | None) -> Clock:
    zone = ZoneInfo(settings.session.timezone)
    start = world.now.astimezone(zone)
    if journaled is not None:
        # After a power cut the book's clock may be a moment behind the journal; time never goes back.
        start = max(start, journaled.astimezone(zone))

    def keep(now: datetime) -> None:
        try:
            book.save_now(now)
        except UnavailableError as error:
            # A clock that could not be saved is saved with the next move; a position must not wait for it.
            _LOG.warning("%s", error)

    if settings.market.speed > 0:
        return ScaledClock(start, settings.market.speed, keep)
    return VirtualClock(start, keep)


def _session_id(ledger: Ledger, world: World, history: History, *, is_dawn: bool) -> str:
    day = world.day.isoformat()
    # A process that died in the world's first moment left a session that has not moved either: it goes on.
    has_not_moved = ledger.at == world.now and ledger.state != FINAL
    if ledger.session.startswith(day) and (not is_dawn or has_not_moved):
        return ledger.session
    before = history(world.day).sessions
    return f"{day}.{before + 1}" if before else day


def _contracts(settings: Settings, recorded: RecordedDay) -> tuple[OptionContract, ...]:
    try:
        return recorded.contracts(settings.market.underlying.name, recorded.day)
    except UnavailableError as error:
        raise SetupError.at(str(settings.source), str(error), "$.market.underlying.name") from error
