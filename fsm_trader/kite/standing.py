"""What stands between us and Kite beyond one request: a dead token, and refusals that meet every order.

It keeps a dead token from being tried by every poll of the day, and entries from being sent where all are refused.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from fsm_trader.core.clock import Clock

_LOG = logging.getLogger(__name__)

TOKEN_TRIED_EVERY = timedelta(seconds=15)
"""While a token is known to be dead one request in this time tries it; an exit always does."""

REFUSAL_STANDS_FOR = timedelta(minutes=10)
"""After this a refusal that meets every order is forgotten, so that one order tries again."""


class NoTokenError(Exception):
    """No token is worth trying; the text says why."""


class Standing:
    """What is known. Safe to call from several threads.

    Args:
        clock: the session's.
        token: returns the access token of today, None when there is none.
    """

    def __init__(self, clock: Clock, token: Callable[[], str | None]) -> None:
        self._clock = clock
        self._token = token
        self._lock = threading.Lock()
        self._dead: str | None = None
        self._tried_at: datetime | None = None
        self._refusal: tuple[datetime, str] | None = None

    def token(self, *, always: bool = False) -> str:
        """Return the token to use.

        Args:
            always: also one that is known to be dead.

        Raises:
            NoTokenError: there is none, or it is dead and was tried a moment ago.
        """
        token = self._token()
        if not token:
            raise NoTokenError("there is no access token; a person must log in")
        with self._lock:
            if token == self._dead:
                now = self._clock.now()
                if not always and self._is_recent(self._tried_at, now, TOKEN_TRIED_EVERY):
                    raise NoTokenError("Kite did not take our token a moment ago; a person must log in")
                self._tried_at = now
        return token

    def token_refused(self, token: str) -> None:
        """Remember that Kite does not take a token."""
        with self._lock:
            is_new = self._dead != token
            self._dead, self._tried_at = token, self._clock.now()
        if is_new:
            _LOG.error("Kite does not take our token any more; a person must log in")

    def token_worked(self, token: str) -> None:
        """Forget that a token was refused: it was taken."""
        with self._lock:
            if self._dead == token:
                self._dead = None

    def orders_refused(self, why: str) -> None:
        """Remember a refusal that meets every order."""
        with self._lock:
            self._refusal = (self._clock.now(), why)
        _LOG.error("Kite refuses every order: %s", why)

    def order_accepted(self) -> None:
        """Forget such a refusal: an order was taken."""
        with self._lock:
            self._refusal = None

    @property
    def refusal(self) -> str:
        """Why every order is refused at present; empty when nothing is known."""
        with self._lock:
            if self._refusal is None:
                return ""
            since, why = self._refusal
            return why if self._is_recent(since, self._clock.now(), REFUSAL_STANDS_FOR) else ""

    @staticmethod
    def _is_recent(moment: datetime | None, now: datetime, length: timedelta) -> bool:
        # A moment that lies ahead is from before the wall clock was set back.
        return moment is not None and timedelta(0) <= now - moment < length
