"""The one loop, for live, paper, drill and backtest alike: take events, do what is due, wait for the next moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial

from fsm_trader.core.clock import Clock
from fsm_trader.core.events import Event
from fsm_trader.engine.trader import Trader
from fsm_trader.engine.work import Inbox

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
    guard = trader.floor.guard
    guard(trader.start)
    while True:
        for event in news():
            guard(partial(trader.handle, event))
        _drain(trader, inbox)
        now = clock.now()
        guard(partial(trader.on_time, now))
        _drain(trader, inbox)
        if trader.is_over:
            return
        trader.floor.passed(now)
        guard(partial(trader.plan_next, clock.now()))
        moment = trader.next_moment
        clock.wait_until(moment if longest_wait is None else min(moment, clock.now() + longest_wait))


def _drain(trader: Trader, inbox: Inbox) -> None:
    while (event := inbox.take()) is not None:
        trader.floor.guard(partial(trader.handle, event))
