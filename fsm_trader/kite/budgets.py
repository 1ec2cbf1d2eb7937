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

ReadKind = Literal["quote", "historical", "other", "prompt"]
"""What Kite counts apart. *prompt* are others that an exit waits for: a part of their budget is kept for them."""

Asked = Literal["order"] | ReadKind

_SECOND, _MINUTE = timedelta(seconds=1), timedelta(minutes=1)
_FIRST_PAUSE = timedelta(seconds=1)
_LONGEST_PAUSE = timedelta(seconds=30)
# The order book may not be out of sight for longer, whatever was asked too often.
_LONGEST_OF_OTHERS = timedelta(seconds=2)
# Three quiet minutes after a 429, and the next one is a first one again.
_PAUSE_FORGOTTEN = timedelta(minutes=3)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What is taken of Kite's limits (kite.trade, "Exceptions and errors", read 2026-11): always less than they allow.

    Of quotes and candles Kite's own numbers are taken, for a second that is longer than Kite's.

    Args:
        orders_per_second: Kite allows 10; at 10 a strategy must also be registered (SEBI, 2026-04-01).
        orders_per_minute: Kite allows 400.
        orders_per_day: Kite allows 5,000; refused requests count. Above it exits go on, and Kite judges.
        kept_per_second, kept_per_minute, kept_per_day: of these, only exits and cancellations may use the last ones.
        quotes_per_second: Kite allows 1.
        historical_per_second: Kite allows 3.
        margin: added to the second of quotes and of candles: not every request travels equally fast.
        others_per_second: Kite allows 10.
        kept_others: of these, only the reads that an exit waits for may use so many: one look takes three.
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
    margin: timedelta = timedelta(milliseconds=100)
    others_per_second: int = 8
    kept_others: int = 3
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


class _Pause:
    """Time off after a 429, twice as long each time until it was quiet for a while.

    Args:
        longest: of a pause, also where the answer asks for more.
    """

    def __init__(self, longest: timedelta) -> None:
        self._longest = longest
        self._length = _FIRST_PAUSE
        self._began: datetime | None = None
        self._until: datetime | None = None

    def begin(self, now: datetime, asked: timedelta) -> timedelta:
        """Pause from now on, and return for how long."""
        fresh = self._began is None or not timedelta(0) <= now - self._began < _PAUSE_FORGOTTEN
        self._length = _FIRST_PAUSE if fresh else min(2 * self._length, self._longest)
        self._began = now
        pause = min(max(self._length, asked), self._longest)
        self._until = now + pause
        return pause

    def over_at(self, now: datetime) -> datetime:
        """Return when it is over, *now* where nothing pauses."""
        # A pause that ends later than any pause can is one from before the wall clock was set back.
        if self._until is None or self._until <= now or self._until > now + self._longest:
            return now
        return self._until


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
        # The two parts of "other" are counted apart: a read that waits in one stands in nobody's way in the other.
        kept = min(limits.kept_others, limits.others_per_second - 1)
        counted = _SECOND + limits.margin
        self._reads: dict[ReadKind, tuple[_Rate, ...]] = {
            "quote": (_Rate(limits.quotes_per_second, counted),),
            "historical": (_Rate(limits.historical_per_second, counted),),
            "other": (_Rate(limits.others_per_second - kept, _SECOND),),
        }
        self._reads["prompt"] = (*((_Rate(kept, _SECOND),) if kept > 0 else ()), *self._reads["other"])
        of_others = _Pause(_LONGEST_OF_OTHERS)
        self._pauses: dict[ReadKind, _Pause] = {
            "quote": _Pause(_LONGEST_PAUSE),
            "historical": _Pause(_LONGEST_PAUSE),
            "other": of_others,
            "prompt": of_others,
        }
        self._entry_pause, self._exit_pause = _Pause(_LONGEST_PAUSE), _Pause(limits.longest_wait)
        self._day: date = clock.now().date()
        self._orders_today = orders_today
        self._told_of_day = False

    @property
    def orders_today(self) -> int:
        """Order requests let through today, those of earlier processes included."""
        with self._lock:
            self._turn_day(self._clock.now())
            return self._orders_today

    def take_read(self, kind: ReadKind, within: timedelta | None = None) -> None:
        """Wait until a read of this kind may leave.

        Args:
            kind: what Kite counts it as.
            within: fail rather than wait longer than this; never longer than the longest wait of all.

        Raises:
            UnavailableError: it would have to wait too long; nothing was sent.
        """
        longest = self._longest if within is None else min(within, self._longest)
        with self._lock:
            now = self._clock.now()
            rates = self._reads[kind]
            for each in rates:
                each.mend(now, self._longest)
            rate = min(rates, key=lambda each: each.next_at(now))
            at = max(rate.next_at(now), self._pauses[kind].over_at(now))
            wait = at - now
            if wait > longest:
                raise UnavailableError(
                    f"Kite, {kind} request: our own budget is used up for {wait.total_seconds():.1f} s; expected at "
                    f"most {longest.total_seconds():g} s; nothing was sent, it is asked again"
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
            at = self._order_at(now, self._entry_pause, is_entry=True)
            if at > now:
                raise RefusedError(
                    f"Kite, entry order: our own budget of order requests is used up for "
                    f"{(at - now).total_seconds():.1f} s; nothing was sent, it may be asked again",
                    may_pass=True,
                )
            self._give_order(at)

    def take_exit(self) -> None:
        """Wait until an exit order or a cancellation may leave; the kept part of the budget is theirs.

        The number of a day stops none of them: whether there is still one left is for Kite to say.

        Raises:
            RefusedError: it would have to wait too long; nothing was sent.
        """
        with self._lock:
            now = self._clock.now()
            self._turn_day(now)
            at = self._order_at(now, self._exit_pause, is_entry=False)
            wait = at - now
            if wait > self._longest:
                raise RefusedError(
                    f"Kite, exit order: our own budget of order requests is used up for {wait.total_seconds():.1f} s; "
                    "nothing was sent, it may be asked again",
                    may_pass=True,
                )
            self._give_order(at)
            sent = self._orders_today
            is_news = sent > self._limits.orders_per_day and not self._told_of_day
            self._told_of_day = self._told_of_day or is_news
        if is_news:
            _LOG.warning(
                "Kite, exit order: %d order requests today, above our own limit of %d; exits and cancellations go on "
                "until Kite refuses them; be ready to leave what is held by hand",
                sent,
                self._limits.orders_per_day,
            )
        self._clock.sleep(wait.total_seconds())

    def too_many(self, asked: Asked, *, retry_after_s: float | None = None) -> None:
        """Pause after a 429 what it was the answer to, and nothing else: entries before exits.

        Args:
            asked: what was asked too often.
            retry_after_s: what the answer asked for, in seconds; a pause is never longer than 30 s, of exits than the
                longest wait, and of the order book, the trades and the positions than 2 s.
        """
        wished = timedelta(seconds=min(retry_after_s or 0.0, _LONGEST_PAUSE.total_seconds()))
        with self._lock:
            now = self._clock.now()
            if asked == "order":
                pause = self._entry_pause.begin(now, wished)
                # Never doubled: what is held has to be left.
                self._exit_pause = _Pause(self._longest)
                self._exit_pause.begin(now, wished)
            else:
                pause = self._pauses[asked].begin(now, wished)
        _LOG.warning(
            "Kite answered 429: %s pause for %.1f s",
            "entries" if asked == "order" else f"{asked} requests",
            pause.total_seconds(),
        )

    @property
    def _longest(self) -> timedelta:
        return self._limits.longest_wait

    def _order_at(self, now: datetime, pause: _Pause, *, is_entry: bool) -> datetime:
        at = pause.over_at(now)
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
            self._day, self._orders_today, self._told_of_day = now.date(), 0, False
