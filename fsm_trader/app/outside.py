"""What lies outside the trader, as a run sees it: broker, market and time, played or live."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from fsm_trader.broker.protocol import Broker
from fsm_trader.core.clock import Clock
from fsm_trader.core.contracts import OptionContract
from fsm_trader.core.day import DayPlan
from fsm_trader.core.events import Event
from fsm_trader.engine.work import Inbox, Worker
from fsm_trader.market.protocol import MarketFeed


class Outside(Protocol):
    """A world to trade in, opened for one session."""

    @property
    def label(self) -> str:
        """What it is, for people."""
        ...

    @property
    def kind(self) -> str:
        """Where orders go, as the journal has it."""
        ...

    @property
    def plan(self) -> DayPlan:
        """The day and its windows."""
        ...

    @property
    def session(self) -> str:
        """The session's id: the day, numbered from the second time on that it is begun in one journal."""
        ...

    @property
    def clock(self) -> Clock:
        """The session's time."""
        ...

    @property
    def broker(self) -> Broker:
        """Who takes the orders."""
        ...

    @property
    def feed(self) -> MarketFeed:
        """Where candles and prices come from."""
        ...

    @property
    def contracts(self) -> tuple[OptionContract, ...]:
        """The options that may be bought; empty where they come by ``news``."""
        ...

    @property
    def skipped(self) -> tuple[str, ...]:
        """What of the data was left out, and why."""
        ...

    @property
    def second(self) -> timedelta | None:
        """What passes of its time in a real second, which is how long ``news`` may go unasked; None: it has none."""
        ...

    def connect(self, inbox: Inbox) -> Worker:
        """Return what carries the session's calls out; what the world tells of itself wakes the loop of *inbox*."""
        ...

    def news(self) -> Sequence[Event]:
        """Return what has happened and was not asked for; from the loop's thread."""
        ...

    def over(self, now: datetime) -> None:
        """Take note that nothing can be traded any more on this day."""
        ...

    def close(self) -> None:
        """Give back what the world holds; a second call does nothing."""
        ...
