"""How much may be asked of Kite, and when: one set of budgets for every thread of the process.

Kite counts by the account and answers 429 above its limits; whoever goes on is blocked. So every request asks here
first. A limit is exact: never more than *most* in any stretch of its length, where a bucket that refills would let
nearly twice as many through. It must not know what a request says.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from datetime import date, datetime, timedelta
from typing import Literal

import msgspec

from fsm_trader.core.clock import Clock
from fsm_trader.errors import RefusedError, UnavailableError

_LOG = logging.getLogger(__name__)

ReadKind = Literal["quote", "historical", "other"]

_SECOND, _MINUTE = timedelta(seconds=1), timedelta(minutes=1)
_FIRST_PAUSE = timedelta(seconds=1)
_LONGEST_PAUSE = timedelta(seconds=30)
# Three quiet minutes after a 429, and the next one is a first one again.
_PAUSE_FORGOTTEN = timedelta(minutes=3)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What is taken of Kite's limits (kite.trade, "Exceptions and errors", read 2026-11): always less than they allow.

    Args:
        orders_per_second: Kite allows 10; at 10 a strategy must also be registered (SEBI, 2026-04-01).
        orders_per_minute: Kite allows 400.
        orders_per_day: Kite allows 5,000; refused requests count.
        kept_per_second, kept_per_minute, kept_per_day: of these, only exits and cancellations may use the last ones.
        quotes_per_second: Kite allows 1.
        historical_per_second: Kite allows 3.
        others_per_second: Kite allows 10.
        longest_wait: a read or an exit that would wait longer than this fails instead.
    """

    orders_per_second: int = 8
    orders_per_minute: int = 360
    orders_per_day: int = 4500
    kept_per_second: int = 4
    kept_per_minute: int = 120
    kept_per_day: int = 1000
    quotes_per_second: int = 1
    historical_per_second: int = 3
    others_per_second: int = 8
    longest_wait: timedelta = timedelta(seconds=5)


class _Rate:
    """At most *most* in any stretch of *length*. Moments are handed out in order, also future ones."""

    def __init__(self, most: int, length: timedelta) -> None:
        self.most = most
        self._length = length
        self._given: deque[datetime] = deque(maxlen=most)

    def next_at(self, now: datetime, *, kept: int = 0) -> datetime:
        """Return the first moment that is free, with the last *kept* places left to others."""
        at = max(now, self._given[-1]) if self._given else now
        places = self.most - kept
        if len(self._given) >= places:
            at = max(at, self._given[-places] + self._length)
        return at

    def give(self, moment: datetime) -> None:
        self._given.append(moment)

    def mend(self, now: datetime, longest_wait: timedelta) -> None:
        """Forget what lies in an impossible future: the wall clock was set back."""
        if self._given and self._given[-1] > now + longest_wait:
            self._given.clear()


class Budgets:
    """Lets requests through in time. Safe to call from several threads.

    Args:
        clock: the session's; waits happen on it.
        limits: how much of what.
        orders_today: order requests of today that an earlier process sent.
    """

    def __init__(self, clock: Clock, limits: Limits | None = None, *, orders_today: int = 0) -> None:
        self._clock = clock
        self._limits = limits or Limits()
        self._lock = threading.Lock()
        limits = self._limits
        self._orders = (
            (_Rate(limits.orders_per_second, _SECOND), limits.kept_per_second),
            (_Rate(limits.orders_per_minute, _MINUTE), limits.kept_per_minute),
        )
        self._reads = {
            "quote": _Rate(limits.quotes_per_second, _SECOND),
            "historical": _Rate(limits.historical_per_second, _SECOND),
            "other": _Rate(limits.others_per_second, _SECOND),
        }
        self._day: date = clock.now().date()
        self._orders_today = orders_today
        self._reads_from: datetime | None = None
        self._entries_from: datetime | None = None
        self._exits_from: datetime | None = None
        self._paused_at: datetime | None = None
        self._pause = _FIRST_PAUSE

    @property
    def orders_today(self) -> int:
        """Order requests let through today, those of earlier processes included."""
        with self._lock:
            self._turn_day(self._clock.now())
            return self._orders_today

    def take_read(self, kind: ReadKind) -> None:
        """Wait until a read of this kind may leave.

        Raises:
            UnavailableError: it would have to wait too long; nothing was sent.
        """
        with self._lock:
            now = self._clock.now()
            rate = self._reads[kind]
            rate.mend(now, self._longest)
            at = max(rate.next_at(now), self._until(self._reads_from, now))
            wait = at - now
            if wait > self._longest:
                raise UnavailableError(
                    f"Kite, {kind} request: our own budget is used up for {wait.total_seconds():.1f} s; expected at "
                    f"most {self._longest.total_seconds():g} s; nothing was sent, it is asked again"
                )
            rate.give(at)
        self._clock.sleep(wait.total_seconds())

    def take_entry(self) -> None:
        """Let an entry order through at once, or not at all: a late entry is another trade.

        Raises:
            RefusedError: no place is free, or the rest is kept for exits; nothing was sent.
        """
        with self._lock:
            now = self._clock.now()
            self._turn_day(now)
            left = self._limits.orders_per_day - self._limits.kept_per_day - self._orders_today
            if left <= 0:
                raise RefusedError(
                    f"Kite, entry order: {self._orders_today} order requests today; the {self._limits.kept_per_day} "
                    f"left of {self._limits.orders_per_day} are kept for exits; nothing was sent"
                )
            at = self._order_at(now, self._entries_from, is_entry=True)
            if at > now:
                raise RefusedError(
                    f"Kite, entry order: our own budget of order requests is used up for "
                    f"{(at - now).total_seconds():.1f} s; nothing was sent, it may be asked again",
                    may_pass=True,
                )
            self._give_order(at)

    def take_exit(self) -> None:
        """Wait until an exit order or a cancellation may leave; the kept part of the budget is theirs.

        Raises:
            RefusedError: it would have to wait too long; nothing was sent.
        """
        with self._lock:
            now = self._clock.now()
            self._turn_day(now)
            if self._orders_today >= self._limits.orders_per_day:
                raise RefusedError(
                    f"Kite, exit order: {self._orders_today} order requests today, all that are taken of Kite's "
                    "limit; nothing was sent; leave the position by hand"
                )
            at = self._order_at(now, self._exits_from, is_entry=False)
            wait = at - now
            if wait > self._longest:
                raise RefusedError(
                    f"Kite, exit order: our own budget of order requests is used up for {wait.total_seconds():.1f} s; "
                    "nothing was sent, it may be asked again",
                    may_pass=True,
                )
            self._give_order(at)
        self._clock.sleep(wait.total_seconds())

    def too_many(self, *, of_orders: bool, retry_after_s: float | None = None) -> None:
        """Pause after a 429: reads first and longest, entries with them when orders were meant, exits last and least.

        Args:
            of_orders: it was the answer to an order request.
            retry_after_s: what the answer asked for, in seconds; a pause is never longer than 30 s.
        """
        with self._lock:
            now = self._clock.now()
            fresh = self._paused_at is None or not timedelta(0) <= now - self._paused_at < _PAUSE_FORGOTTEN
            self._pause = _FIRST_PAUSE if fresh else min(2 * self._pause, _LONGEST_PAUSE)
            self._paused_at = now
            asked = timedelta(seconds=min(retry_after_s or 0.0, _LONGEST_PAUSE.total_seconds()))
            pause = max(self._pause, asked)
            self._reads_from = now + pause
            if of_orders:
                self._entries_from = now + pause
                self._exits_from = now + min(max(_FIRST_PAUSE, asked), self._longest)
        _LOG.warning(
            "Kite answered 429 to %s: reads%s pause for %.1f s",
            "an order" if of_orders else "a read",
            " and entries" if of_orders else "",
            pause.total_seconds(),
        )

    @property
    def _longest(self) -> timedelta:
        return self._limits.longest_wait

    def _order_at(self, now: datetime, not_before: datetime | None, *, is_entry: bool) -> datetime:
        at = self._until(not_before, now)
        for rate, kept in self._orders:
            rate.mend(now, self._longest)
            at = max(at, rate.next_at(now, kept=kept if is_entry else 0))
        return at

    def _give_order(self, at: datetime) -> None:
        for rate, _ in self._orders:
            rate.give(at)
        self._orders_today += 1

    def _turn_day(self, now: datetime) -> None:
        if now.date() != self._day:
            self._day, self._orders_today = now.date(), 0

    def _until(self, moment: datetime | None, now: datetime) -> datetime:
        # A pause that ends later than any pause can is one from before the wall clock was set back.
        if moment is None or moment <= now or moment > now + _LONGEST_PAUSE:
            return now
        return moment
