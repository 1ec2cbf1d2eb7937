"""Keeps keys and tokens out of the lines that the libraries below us log when somebody turns them on.

At level DEBUG ``urllib3`` writes whole addresses, and the client, should it be told to, headers, forms and answers: at
a login and a logout the tokens are among them. Our own lines never hold one; nobody needs this for them.
"""

from __future__ import annotations

import logging
import re
import threading

from fsm_trader.kite.telling import Mask

# A filter of a logger is not asked about the lines of loggers below it, so each is named.
LIBRARIES = (
    "kiteconnect",
    "kiteconnect.connect",
    "requests",
    "requests.sessions",
    "urllib3",
    "urllib3.connection",
    "urllib3.connectionpool",
    "urllib3.poolmanager",
    "urllib3.response",
    "urllib3.util.retry",
)
_STARS = "***"
_FIELDS = re.compile(
    r"\b((?:api_key|api_secret|access_token|refresh_token|public_token|enctoken|request_token|checksum)"
    r"""["']?\s*[=:]\s*["']?)[^&\s"',}\\]+""",
    re.IGNORECASE,
)
_HEADER = re.compile(r"\btoken [^\s:'\"]+:[^\s'\",}\\]+")


class HiddenInLogs(logging.Filter):
    """Masks what is secret in the libraries' lines, by its value and by the name it goes under.

    Safe to call from several threads; close it when nothing is sent any more.

    Args:
        secrets: values that are never shown.
    """

    def __init__(self, *secrets: str) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._secrets = frozenset(secrets)
        self._mask = Mask(*secrets)
        for name in LIBRARIES:
            logging.getLogger(name).addFilter(self)

    def hide(self, *secrets: str) -> None:
        """Hide these values too from now on."""
        if self._secrets.issuperset(secrets):
            return
        with self._lock:
            self._secrets |= frozenset(secrets)
            self._mask = Mask(*self._secrets)

    def close(self) -> None:
        """Leave the libraries' loggers as they were."""
        for name in LIBRARIES:
            logging.getLogger(name).removeFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask a line; one that cannot be put together is left out, because its parts would be shown instead."""
        try:
            text = record.getMessage()
        except (TypeError, ValueError, KeyError):
            return False
        record.msg, record.args = self._masked(text), ()
        if record.exc_info and record.exc_info[0] is not None:
            record.exc_text = self._masked(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        return True

    def _masked(self, text: str) -> str:
        text = _FIELDS.sub(rf"\1{_STARS}", self._mask.over(text))
        return _HEADER.sub(f"token {_STARS}", text)
