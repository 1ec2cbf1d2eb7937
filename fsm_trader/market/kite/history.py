"""Today's candles by the historical interface: settled, of the session, in order, each minute once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from fsm_trader.core.candles import MINUTE, Candle
from fsm_trader.market.kite.answers import read_history
from fsm_trader.market.kite.protocol import MarketWire

_REST_OF_MINUTE = timedelta(seconds=59)
Hours = Callable[[date], tuple[datetime, datetime]]
"""Gives the first instant of a day's session and the first one after it, aware."""


class History:
    """Reads candles; keeps nothing.

    Args:
        wire: answers within Kite's budget of three a second, waiting for it where it must.
        zone: the exchange's.
        hours: the session of a day.
        settle: a candle is believed this long after its end. Kite's newest minute is still wrong three seconds after
            it, and its staff advise more than ten (research: forum discussion 6011).
    """

    def __init__(self, wire: MarketWire, *, zone: ZoneInfo, hours: Hours, settle: timedelta) -> None:
        self._wire = wire
        self._zone = zone
        self._hours = hours
        self._settle = settle

    def _due(self, *, after: datetime | None, now: datetime) -> tuple[datetime, datetime] | None:
        """Return the starts of the first and the last candle that can be had at *now*, None when there is none.

        Args:
            after: only candles that started later; earlier days count as the morning of today.
            now: the present.
        """
        opens_at, closes_at = self._hours(now.astimezone(self._zone).date())
        first = opens_at if after is None or after < opens_at else after.astimezone(self._zone) + MINUTE
        last = min(now - self._settle, closes_at).astimezone(self._zone).replace(second=0, microsecond=0) - MINUTE
        return (first, last) if first <= last else None

    def candles(self, token: int, *, after: datetime | None, now: datetime) -> tuple[Candle, ...]:
        """Return the settled one-minute candles of today's session that started later than *after*, oldest first.

        Nothing is asked while there can be none.

        Raises:
            UnavailableError: no usable answer.
        """
        due = self._due(after=after, now=now)
        if due is None:
            return ()
        first, last = due
        # Both ends are inclusive. A server may bring the running candle along all the same: it is left out below.
        answer = self._wire.historical(token, first, last + _REST_OF_MINUTE, "minute")
        by_start = {candle.start: candle for candle in read_history(answer, token, self._zone)}
        return tuple(by_start[start] for start in sorted(by_start) if first <= start <= last)
