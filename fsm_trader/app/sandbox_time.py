"""The time of a sandbox that a session trades on: read from it again and again, and followed.

The sandbox's day begins with the first request that carries its token. Until then, and while nobody answers, seconds
are real ones, so that whoever waits for a login or for the sandbox goes on asking.
"""

from __future__ import annotations

import http.client
import logging
import threading
from datetime import datetime, timedelta
from http import HTTPStatus
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import msgspec

from fsm_trader.errors import SetupError
from fsm_trader.kite.root import is_here
from fsm_trader.ops.clock import pause_s, real_s
from fsm_trader.ops.followed import FollowedClock

_PATH = "/sandbox/clock"
_PLACE = "$.broker.kite.root"
NOT_HTTP = (
    "is https on this machine, where only a sandbox is expected, and that speaks http; expected http, or null for "
    "Zerodha itself"
)
"""What is wrong with such an address; no sandbox can be asked for there."""

_TIMEOUT_S = 2.0
_WITHIN_S = 5.0
_TRY_EVERY_S = 0.2
_LOOK_EVERY_S = 0.5
_LOOK_WHILE_WAITING_S = 0.05
# A reading is as old as its answer took; only one that is behind by more than this real time is a day set back.
_SET_BACK_S = 0.75
_MOST_BYTES = 65_536
_LOG = logging.getLogger(__name__)


class SandboxTime(msgspec.Struct, frozen=True):
    """What a sandbox says of its day."""

    now: datetime
    speed: float
    state: str


class _Answer(msgspec.Struct, frozen=True):
    data: SandboxTime


class Follower:
    """Keeps a clock at a sandbox's time, from a thread of its own.

    Args:
        root: the sandbox's base address.
        first: the first reading.
        zone: the one the clock shows.
        not_before: nothing earlier is shown; None: *first* is the earliest.
    """

    def __init__(self, root: str, first: SandboxTime, *, zone: ZoneInfo, not_before: datetime | None) -> None:
        start = first.now.astimezone(zone)
        self._root = root
        self.first = first
        self.clock = FollowedClock(start if not_before is None else max(start, not_before.astimezone(zone)))
        self._take(first)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fsm-sandbox-time", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread and give the clock's descriptors back."""
        self._over.set()
        self._thread.join(_TIMEOUT_S)
        self.clock.close()

    def _run(self) -> None:
        every_s = _LOOK_WHILE_WAITING_S
        while not self._over.wait(every_s):
            try:
                seen = read_sandbox_time(self._root)
            except OSError:
                seen = None
            if seen is not None:
                self._take(seen)
                every_s = _LOOK_WHILE_WAITING_S if seen.state == "waiting" else _LOOK_EVERY_S
            elif self.clock.speed != 1.0:
                _LOG.warning("the sandbox does not tell its time; seconds are real ones until it does")
                self.clock.follow(self.clock.followed, 1.0)

    def _take(self, seen: SandboxTime) -> None:
        clock = self.clock
        if seen.state != "running":
            if clock.speed != 1.0:
                clock.follow(clock.followed, 1.0)
            return
        behind = seen.now - clock.followed
        # A reading is never ahead of the sandbox, so a clock behind it is wrong for certain.
        is_set_back = behind < -timedelta(seconds=_SET_BACK_S * seen.speed)
        if clock.speed != seen.speed or behind > timedelta(0) or is_set_back:
            clock.follow(seen.now, seen.speed)


def find_sandbox(root: str | None) -> SandboxTime | None:
    """Return a sandbox's time, None where *root* is no address of this machine.

    Whoever else answers on this machine is refused: a session must not take real orders for a sandbox's, or a tunnel's
    far end for this machine.

    Raises:
        SetupError: nobody answers, or it is no sandbox; nothing was started.
    """
    if root is None or not is_here(urlsplit(root).hostname or ""):
        return None
    if urlsplit(root).scheme != "http":
        raise SetupError.at(root, NOT_HTTP, _PLACE)
    found = _first_answer(root)
    if found is None:
        raise SetupError.at(
            root,
            "answers, and not as a sandbox; expected one on this machine: real orders go to Zerodha's own address, "
            "where the root is null",
            _PLACE,
        )
    return found


def read_sandbox_time(root: str) -> SandboxTime | None:
    """Return what a sandbox says of its day, None where who answers has no such clock.

    Raises:
        OSError: nobody answers.
    """
    parts = urlsplit(root)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", _PATH)
        response = connection.getresponse()
        body = response.read(_MOST_BYTES)
    except http.client.HTTPException as error:
        raise ConnectionError(f"an answer that is no HTTP: {type(error).__name__}") from error
    finally:
        connection.close()
    if response.status != HTTPStatus.OK:
        return None
    try:
        return msgspec.json.decode(body, type=_Answer).data
    except msgspec.MsgspecError:
        return None


def _first_answer(root: str) -> SandboxTime | None:
    """Ask until somebody answers; a sandbox may be starting too."""
    until_s = real_s() + _WITHIN_S
    while True:
        try:
            return read_sandbox_time(root)
        except OSError as error:
            if real_s() >= until_s:
                raise SetupError.at(
                    root,
                    f"does not answer ({error.strerror or error}); expected a sandbox: start it first, or name another "
                    "address",
                    _PLACE,
                ) from error
        pause_s(_TRY_EVERY_S)
