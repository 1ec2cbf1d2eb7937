"""Notices into the log, so that a run without Telegram says the same things. Knows no network."""

from __future__ import annotations

import logging
import threading

from fsm_trader.notify.protocol import Notice
from fsm_trader.notify.told import ToldKeys


class LogNotifier:
    """Writes each notice as one line: critical ones as CRITICAL, the others as INFO.

    Args:
        log: where the lines go.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._told = ToldKeys()

    def tell(self, notice: Notice) -> None:
        """Write the notice, once for each key."""
        with self._lock:
            is_new = self._told.is_new(notice.key)
        if is_new:
            level = logging.CRITICAL if notice.critical else logging.INFO
            self._log.log(level, "notice %s: %s", notice.key, " | ".join(notice.text.splitlines()))

    def close(self, timeout_s: float) -> None:
        """Return at once: nothing waits here, whatever *timeout_s* allows."""
