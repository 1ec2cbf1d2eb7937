"""Notices to a Telegram chat over HTTP, from a thread of its own. Knows nothing of trades; trading never waits for it.

The bot token is part of every URL: no exception text of the HTTP library is ever logged, and its own log is masked.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from fsm_trader.core.settings import TelegramSettings
from fsm_trader.machines.spec import LONGEST_WAIT, PolicySpec
from fsm_trader.notify.notice_queue import NoticeQueue
from fsm_trader.notify.protocol import Notice
from fsm_trader.notify.telegram_settings import check_settings

if TYPE_CHECKING:
    import requests

    from fsm_trader.notify.line import Line

_LOG = logging.getLogger(__name__)
_QUEUE_LIMIT = 200
# What needs a person now is worth more patience than news.
_CRITICAL_TIMES = 4
_BODY_BYTES_MAX = 65_536
_CAUSES_MAX = 10
# The time-out bounds the connecting and each single read; connecting and the whole answer together get this many.
_TIMEOUTS_IN_ALL = 2
# Telegram takes 4096 UTF-16 units in one message (core.telegram.org/bots/api#sendmessage); a little is left free.
_TEXT_UNITS_MAX = 4_000
_HTTP_LOGS = ("urllib3.connectionpool", "urllib3.util.retry")


class RetryRule(msgspec.Struct, frozen=True, kw_only=True):
    """How long one notice is tried: the machine definition's policy ``notify``, as this channel understands it.

    Args:
        attempts: requests for a notice; at least 1.
        critical_attempts: requests for a critical notice.
        first_wait_s, longest_wait_s: seconds, above zero.
        backoff: each wait is this many times the one before.
        within_s: no request for a notice begins later than this after its first one, for a critical one
            ``_CRITICAL_TIMES`` as late.
        longest_flood_wait_s: most seconds that an answer 429 can make us wait.
    """

    attempts: int = 5
    critical_attempts: int = 20
    first_wait_s: float = 1.0
    longest_wait_s: float = LONGEST_WAIT.total_seconds()
    backoff: float = 2.0
    within_s: float = math.inf
    longest_flood_wait_s: float = 300.0

    def wait_s(self, attempt: int, retry_after_s: float | None) -> float:
        """Return the seconds to wait after the failed *attempt* (from 1), obeying Telegram where it names a time."""
        if retry_after_s is not None:
            return min(max(retry_after_s, 0.0), self.longest_flood_wait_s)
        grown_s: float = self.first_wait_s * self.backoff ** (attempt - 1)
        return min(grown_s, self.longest_wait_s)

    def is_too_late(self, passed_s: float, *, critical: bool) -> bool:
        """Tell whether a request that begins *passed_s* seconds after the first one comes too late."""
        return passed_s > self.within_s * (_CRITICAL_TIMES if critical else 1)


def rule_of(policy: PolicySpec) -> RetryRule:
    """Return how a notice is tried under *policy*: a critical one four times as often and as long.

    A policy of one attempt, or that does not repeat what gave no answer, means each notice is sent once.
    """
    attempts = policy.attempts if "unavailable" in policy.on else 1
    return RetryRule(
        attempts=attempts,
        critical_attempts=attempts * _CRITICAL_TIMES if attempts > 1 else 1,
        first_wait_s=policy.wait.total_seconds(),
        backoff=float(policy.backoff),
        within_s=math.inf if policy.within is None else policy.within.total_seconds(),
    )


_RULE = RetryRule()


class _Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one request; *is_final* when asking again cannot help."""

    what: str
    delivered: bool = False
    is_final: bool = False
    retry_after_s: float | None = None


class _Parameters(msgspec.Struct, frozen=True):
    retry_after: float | None = None


class _Answer(msgspec.Struct, frozen=True):
    """The part of a Telegram answer that is used; every other field is passed over."""

    ok: bool | None = None
    description: str = ""
    parameters: _Parameters | None = None


class _Mask(logging.Filter):
    """Hides the token in the lines of the HTTP library, which writes whole URLs at level DEBUG."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self._token = token

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if self._token in text:
            record.msg, record.args = text.replace(self._token, "***"), ()
        return True


class TelegramNotifier:
    """Sends notices in order, one at a time, with retries; a message may come twice but is never lost unsaid.

    Args:
        settings: where the notices go. *root* may be plain http only for an address of this machine.
        rule: how often and how patiently a notice is tried.
        wait: waits that many seconds and returns True when the notifier was told to stop; None: really waits.
        elapsed: seconds on a clock that only goes forward.
        log: where retries, losses and refusals are said.

    Raises:
        SetupError: the settings cannot be used; no thread was started.
    """

    def __init__(
        self,
        settings: TelegramSettings,
        *,
        rule: RetryRule = _RULE,
        wait: Callable[[float], bool] | None = None,
        elapsed: Callable[[], float] = time.monotonic,
        log: logging.Logger = _LOG,
    ) -> None:
        check_settings(settings)
        self._settings = settings
        self._rule = rule
        self._log = log
        self._stop = threading.Event()
        self._wait = wait or self._stop.wait
        self._elapsed = elapsed
        self._queue = NoticeQueue(_QUEUE_LIMIT)
        self._in_hand = 0
        self._session, self._line = _new_session()
        self._mask = _Mask(settings.token.reveal())
        for name in _HTTP_LOGS:
            logging.getLogger(name).addFilter(self._mask)
        self._thread = threading.Thread(target=self._run, name="telegram", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"TelegramNotifier({urlsplit(self._settings.root).hostname})"

    def tell(self, notice: Notice) -> None:
        """Queue the notice and return at once; a key that was told before is passed over."""
        if not self._queue.put(notice):
            self._log.warning("telegram: notice %s came after the end; not sent", notice.key)

    def close(self, timeout_s: float) -> None:
        """Send what waits, for at most *timeout_s* seconds, and stop; what is left then is counted in the log."""
        if self._stop.is_set():
            return
        self._queue.close()
        self._thread.join(max(0.0, timeout_s))
        self._stop.set()
        # The notice in hand when the time is up may or may not have arrived: it counts as lost, for it is not known.
        lost = self._in_hand + self._queue.clear() + self._queue.take_dropped()
        if lost:
            self._log.error("telegram: %s not delivered before the end", _count(lost))

    def _run(self) -> None:
        try:
            while not self._stop.is_set() and (notice := self._queue.take()) is not None:
                self._in_hand = 1
                self._try(notice)
                self._in_hand = 0
        finally:
            self._session.close()
            self._line.close()
            for name in _HTTP_LOGS:
                logging.getLogger(name).removeFilter(self._mask)

    def _try(self, notice: Notice) -> None:
        # Nobody would miss this thread, and every later notice would wait for it in vain: this is the wall, so it has
        # no finer sieve. Only the kind of the error is logged: its text may hold an address with the token in it.
        try:
            self._send(notice)
        except Exception as error:  # noqa: BLE001 - a defect costs one notice, reasons above
            self._queue.count_dropped(1)
            line = "telegram: notice %s: raised %s, which nobody foresaw; it may not have arrived, the next is tried"
            self._log.error(line, notice.key, type(error).__name__)

    def _send(self, notice: Notice) -> None:
        if not self._deliver(notice):
            self._queue.count_dropped(1)
            return
        # A delivery proves that the way is open: now the person learns what did not come through it.
        dropped = self._queue.take_dropped()
        if dropped:
            self._log.warning("telegram: %s dropped", _count(dropped))
            text = f"{_count(dropped)} dropped: Telegram was out of reach or too slow. The journal holds every fact."
            if not self._deliver(Notice("dropped", text)):
                self._queue.count_dropped(dropped)

    def _deliver(self, notice: Notice) -> bool:
        attempts = self._rule.critical_attempts if notice.critical else self._rule.attempts
        began_s = self._elapsed()
        for attempt in range(1, attempts + 1):
            outcome = self._post(notice.text)
            if outcome.delivered:
                return True
            wait_s = self._rule.wait_s(attempt, outcome.retry_after_s)
            late = self._rule.is_too_late(self._elapsed() - began_s + wait_s, critical=notice.critical)
            if outcome.is_final or attempt == attempts or late:
                self._log.error("telegram: notice %s: %s; given up after request %d", notice.key, outcome.what, attempt)
                return False
            line = "telegram: notice %s: %s; request %d of %d, next in %.1f s"
            self._log.warning(line, notice.key, outcome.what, attempt, attempts, wait_s)
            if self._wait(wait_s):
                return False
        return False

    def _post(self, text: str) -> _Outcome:
        timeout_s = self._settings.timeout.total_seconds()
        longest_s = _TIMEOUTS_IN_ALL * timeout_s
        try:
            with (
                self._line.at_most(longest_s),
                self._session.post(
                    f"{self._settings.root.rstrip('/')}/bot{self._settings.token.reveal()}/sendMessage",
                    json={"chat_id": self._settings.chat_id.reveal(), "text": _fitting(text)},
                    timeout=(timeout_s, timeout_s),
                    allow_redirects=False,
                    stream=True,
                ) as response,
            ):
                return self._outcome(response.status_code, _body(response))
        except OSError as error:  # every requests.RequestException is one
            if self._line.was_cut:
                return _Outcome(what=f"no whole answer within {longest_s:g} s")
            return _Outcome(what=self._masked(_cause(error)))

    def _outcome(self, status: int, body: bytes) -> _Outcome:
        answer = _read_answer(body)
        if 200 <= status < 300 and answer.ok is not False:
            return _Outcome(what="delivered", delivered=True)
        what = self._masked(f"HTTP {status} {answer.description[:200]!r}")
        if status == 429:
            return _Outcome(what=what, retry_after_s=answer.parameters.retry_after if answer.parameters else None)
        return _Outcome(what=what, is_final=status < 500)

    def _masked(self, text: str) -> str:
        return text.replace(self._settings.token.reveal(), "***")


def _new_session() -> tuple[requests.Session, Line]:
    import requests  # noqa: PLC0415 - heavy, and needed only where Telegram is configured
    from requests.adapters import HTTPAdapter  # noqa: PLC0415 - the same

    from fsm_trader.notify.line import Line, pools_on  # noqa: PLC0415 - it imports the HTTP library's own library

    session, line = requests.Session(), Line()
    for scheme in ("http://", "https://"):
        adapter = HTTPAdapter()
        adapter.poolmanager.pool_classes_by_scheme = pools_on(line)
        session.mount(scheme, adapter)
    # Neither a proxy nor a .netrc of the machine's environment may see or change a request that holds the token.
    session.trust_env = False
    return session, line


def _fitting(text: str) -> str:
    units = text.encode("utf-16-le", errors="replace")
    if len(units) <= 2 * _TEXT_UNITS_MAX:
        return units.decode("utf-16-le")
    # A pair of units cut in the middle is left out.
    return units[: 2 * _TEXT_UNITS_MAX].decode("utf-16-le", errors="ignore") + " …"


def _body(response: requests.Response) -> bytes:
    body = b""
    # The status came whole, and is enough to go by where the rest does not come: what was taken is not sent twice.
    with contextlib.suppress(OSError):
        for chunk in response.iter_content(_BODY_BYTES_MAX):
            body += chunk
            if len(body) >= _BODY_BYTES_MAX:
                break
    return body


def _read_answer(body: bytes) -> _Answer:
    try:
        return msgspec.json.decode(body, type=_Answer)
    except (ValueError, RecursionError):
        # A gateway's page instead of Telegram's JSON: the status alone says what to do.
        return _Answer()


def _cause(error: BaseException) -> str:
    """Name a failed request by kind and by the system's own words, never by its text: that holds the URL."""
    seen: BaseException | None = error
    for _ in range(_CAUSES_MAX):
        if isinstance(seen, OSError) and seen.strerror:
            return f"{type(error).__name__} ({seen.strerror})"
        seen = (seen.__cause__ or seen.__context__) if seen else None
    return type(error).__name__


def _count(notices: int) -> str:
    return "1 notice was" if notices == 1 else f"{notices} notices were"
