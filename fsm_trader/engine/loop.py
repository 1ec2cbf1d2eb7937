"""The one loop, for live, paper, drill and backtest alike: take events, do what is due, wait for the next moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

from fsm_trader.core.clock import Clock
from fsm_trader.core.events import Event
from fsm_trader.engine.trader import Trader
from fsm_trader.engine.work import Inbox

# An order that was just handed to its thread has left by then: both need the interpreter.
_TOLD_AFTER = timedelta(milliseconds=5)
News = Callable[[], Sequence[Event]]


def no_news() -> Sequence[Event]:
    """Return nothing: all that happens comes by the inbox."""
    return ()


def run(
    trader: Trader, *, inbox: Inbox, clock: Clock, longest_wait: timedelta | None = None, news: News = no_news
) -> None:
    """Run a session until it is over or the process is told to stop.

    Args:
        trader: the session at work.
        inbox: where events come in.
        clock: what is waited on.
        longest_wait: the loop turns at least this often, in the clock's time; None: only when something is due.
        news: asked once at each turn: what waits in a place of its own because it may come faster than it is taken.

    Raises:
        HaltError: the journal cannot be written, or an invariant is false.
    """
    with trader.floor.telling_later():
        _turn(trader, inbox=inbox, clock=clock, longest_wait=longest_wait, news=news)


def _turn(trader: Trader, *, inbox: Inbox, clock: Clock, longest_wait: timedelta | None, news: News) -> None:
    guard = trader.floor.guard
    guard(trader.start)
    tell_at: datetime | None = None
    while True:
        guard(partial(_take, trader, news))
        _drain(trader, inbox)
        now = clock.now()
        guard(partial(trader.on_time, now))
        _drain(trader, inbox)
        if trader.is_over:
            return
        trader.floor.passed(now)
        guard(partial(trader.plan_next, clock.now()))
        moment = trader.next_moment
        if longest_wait is not None:
            moment = min(moment, clock.now() + longest_wait)
        tell_at = _tell(trader, tell_at, clock.now())
        guard(trader.floor.worker.turn_ended)
        clock.wait_until(moment if tell_at is None else min(moment, tell_at))


def _tell(trader: Trader, tell_at: datetime | None, now: datetime) -> datetime | None:
    """Tell the observers when it is time to, and return when that is; None when there is nothing to tell."""
    if not trader.floor.has_untold:
        return None
    if tell_at is not None and now >= tell_at:
        trader.floor.tell()
        return None
    return now + _TOLD_AFTER if tell_at is None else tell_at


def _take(trader: Trader, news: News) -> None:
    for event in news():
        trader.floor.guard(partial(trader.handle, event))


def _drain(trader: Trader, inbox: Inbox) -> None:
    while (event := inbox.take()) is not None:
        trader.floor.guard(partial(trader.handle, event))
