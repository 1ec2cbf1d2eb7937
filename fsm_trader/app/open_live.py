"""Opens the world of a live session: whose time, which token, which connections.

Nobody is asked for anything but a sandbox for its time; see ``app.live`` for what happens then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from fsm_trader.app.files import (
    calendar_of,
    day_plan,
    dump_folder,
    refuse_other_broker,
    refuse_unknown_day,
    state_folder,
)
from fsm_trader.app.live import LiveWorld, Parts, kind_of
from fsm_trader.app.options_of_day import KnownContracts
from fsm_trader.app.sandbox_time import Follower, SandboxTime, find_sandbox
from fsm_trader.broker.kite.broker import KiteBroker
from fsm_trader.core.clock import Clock
from fsm_trader.core.ledger import Ledger
from fsm_trader.core.settings import KiteSettings, Settings
from fsm_trader.engine.session import FINAL
from fsm_trader.errors import SetupError
from fsm_trader.journal.look_up import DaySoFar
from fsm_trader.kite.budgets import Budgets
from fsm_trader.kite.tokens import FixedToken, TokenFile, Tokens
from fsm_trader.kite.wire import KiteWire
from fsm_trader.market.kite.dump import DumpLimits
from fsm_trader.market.kite.feed import KiteFeed
from fsm_trader.market.kite.instruments import InstrumentStore
from fsm_trader.market.kite.live import LiveTicks
from fsm_trader.ops.clock import LEAST_JUMP, SystemClock

_LOG = logging.getLogger(__name__)

History = Callable[[date], DaySoFar]


def open_live_world(settings: Settings, ledger: Ledger, history: History) -> LiveWorld:
    """Open today's world.

    Args:
        settings: what was asked for.
        ledger: the present, as the journal tells it.
        history: tells what the journal has of a trading day.

    Raises:
        SetupError: today cannot be traded by the calendar, who answers on this machine is no sandbox or nobody does, or
            the journal has open trades of another broker.
    """
    kite = settings.broker.kite
    if kite is None:
        raise SetupError.at(str(settings.source), "is missing; expected it with kind kite", "$.broker.kite")
    with ExitStack() as stack:
        first = find_sandbox(kite.root)
        refuse_other_broker(settings, ledger, kind_of(first is not None))
        follower, clock = _time(settings, kite, first, ledger, stack)
        day = clock.now().date()
        refuse_unknown_day(settings, day)
        plan, is_again = day_plan(settings, day), first is not None and _is_played(ledger, first.now)
        tokens = _tokens(settings, kite, clock)
        wire = _wire(kite, tokens, clock, sent=ledger.orders_today if _is_of(ledger, day) else 0)
        stack.callback(wire.close)
        feed, store, live = _feed(settings, wire, clock)
        stack.callback(feed.close)
        known = KnownContracts({})
        # What is held is looked after before, and without, the day's dump.
        held = tuple(trade.contract for trade in ledger.open_trades)
        known.add(held)
        feed.know(*held)
        parts = Parts(
            settings=settings,
            kite=kite,
            session=_session_id(ledger, day, history, is_again=is_again),
            plan=plan,
            clock=clock,
            follower=follower,
            jumped=clock.take_jump if isinstance(clock, SystemClock) else timedelta,
            tokens=tokens,
            wire=wire,
            feed=feed,
            live=live,
            store=store,
            broker=KiteBroker(wire=wire, clock=clock, find_contract=known.find, order_type=kite.order_type),
            known=known,
            remark=_remark(ledger, clock.now()) if follower is None else "",
        )
        return LiveWorld(parts, stack.pop_all().close)


def _time(
    settings: Settings, kite: KiteSettings, first: SandboxTime | None, ledger: Ledger, stack: ExitStack
) -> tuple[Follower | None, Clock]:
    """Return the session's clock: the machine's, or one that follows the sandbox that *first* is of."""
    zone = ZoneInfo(settings.session.timezone)
    if first is None or kite.root is None:
        clock = SystemClock(zone)
        stack.callback(clock.close)
        return None, clock
    # A sandbox's day that was played to its end may be played again; in any other case time does not go back.
    not_before = None if _is_played(ledger, first.now) else ledger.at
    if not_before is not None and not_before > first.now:
        _LOG.warning(
            "the sandbox stands at %s, earlier than the journal's last row: nothing is done until it has come to %s",
            f"{first.now.astimezone(zone):%H:%M:%S}",
            f"{not_before.astimezone(zone):%H:%M:%S}",
        )
    follower = Follower(kite.root, first, zone=zone, not_before=not_before)
    stack.callback(follower.close)
    return follower, follower.clock


def _remark(ledger: Ledger, now: datetime) -> str:
    if ledger.at is None or ledger.at - now <= LEAST_JUMP:
        return ""
    last = ledger.at.astimezone(now.tzinfo)
    return (
        f"the journal's last row is of {last:%Y-%m-%d %H:%M:%S}, and the machine's clock shows "
        f"{now:%Y-%m-%d %H:%M:%S}: one of them is wrong. The session goes by the clock as it is now."
    )


def _is_played(ledger: Ledger, now: datetime) -> bool:
    """Tell whether the journal's newest session is over and lies ahead of *now*: the day is begun anew."""
    return ledger.state == FINAL and not ledger.open_trades and ledger.at is not None and now < ledger.at


def _is_of(ledger: Ledger, day: date) -> bool:
    return ledger.session.startswith(day.isoformat())


def _session_id(ledger: Ledger, day: date, history: History, *, is_again: bool) -> str:
    if _is_of(ledger, day) and not is_again:
        return ledger.session
    before = history(day).sessions
    return f"{day}.{before + 1}" if before else day.isoformat()


def _tokens(settings: Settings, kite: KiteSettings, clock: Clock) -> Tokens:
    if kite.access_token is not None:
        return FixedToken(kite.access_token.reveal())
    path = kite.token_file or state_folder(settings) / "kite_token.json"
    how = f"python -m fsm_trader login {settings.source.name}"
    return TokenFile(path, api_key=kite.api_key.reveal(), clock=clock, how=how)


def _wire(kite: KiteSettings, tokens: Tokens, clock: Clock, *, sent: int) -> KiteWire:
    return KiteWire(
        root=kite.root,
        api_key=kite.api_key.reveal(),
        token=tokens.worth_trying,
        timeout=kite.timeout,
        clock=clock,
        budgets=Budgets(clock, orders_today=sent),
    )


def _feed(settings: Settings, wire: KiteWire, clock: Clock) -> tuple[KiteFeed, InstrumentStore, LiveTicks | None]:
    zone = ZoneInfo(settings.session.timezone)
    store = InstrumentStore(
        wire,
        folder=dump_folder(settings),
        clock_now=clock.now,
        zone=zone,
        limits=DumpLimits(lot_size=settings.market.lot_size),
    )
    live = LiveTicks(clock, zone) if settings.market.feed == "stream" else None
    feed = KiteFeed(
        wire, store=store, underlying=settings.market.underlying, calendar=calendar_of(settings), zone=zone, live=live
    )
    return feed, store, live
