"""The one loop, for live, paper, drill and backtest alike: take events, do what is due, wait for the next moment."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from fsm_trader.core.clock import Clock
from fsm_trader.engine.trader import Trader
from fsm_trader.engine.work import Inbox
from fsm_trader.errors import HaltError


def run(trader: Trader, *, inbox: Inbox, clock: Clock) -> None:
    """Run a session until it is over or the process is told to stop.

    Raises:
        HaltError: the journal cannot be written, or an invariant is false.
    """
    trader.start()
    while True:
        _drain(trader, inbox)
        now = clock.now()
        _guard(trader, partial(trader.on_time, now))
        _drain(trader, inbox)
        if trader.is_over:
            return
        trader.floor.passed(now)
        clock.wait_until(trader.next_moment(clock.now()))


def _drain(trader: Trader, inbox: Inbox) -> None:
    while (event := inbox.take()) is not None:
        _guard(trader, partial(trader.handle, event))


def _guard(trader: Trader, step: Callable[[], None]) -> None:
    """Take one step; a defect of ours costs that step and every further entry, never the care of a position (I5)."""
    try:
        step()
    except HaltError:
        raise
    except Exception as error:  # noqa: BLE001 - the outermost frame of the loop, reasons above
        trader.stumbled(error)
    else:
        trader.stepped()
