"""Where today's access token is kept: a file for its owner alone, written by ``login``, read anew when it changes.

Kite's tokens live until about six in the morning of the next day. One of another day is not shown to Kite at all: a
person must log in, and that is said in words. The token itself is in no error, log or repr.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import threading
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

import msgspec

from fsm_trader.core.clock import Clock
from fsm_trader.errors import SetupError
from fsm_trader.kite.standing import NoTokenError

INDIA = ZoneInfo("Asia/Kolkata")
DIES_AT = time(6, 0)
"""An access token expires at 6 in the morning of the next day (kite.trade/docs/connect/v3/user)."""

_MOST_BYTES = 65_536
_ROOT = 0
_Mark = tuple[int, int, int, int]


class StoredToken(msgspec.Struct, frozen=True, kw_only=True):
    """An access token, and of what it is one.

    Args:
        app: which app's, as ``app_of`` makes it of the key.
        user: who has logged in, as Kite names the account.
        issued_at: when, aware.
        token: the token.
    """

    app: str
    user: str
    issued_at: datetime
    token: str

    def __repr__(self) -> str:
        return f"StoredToken({self.user}, {self.issued_at})"

    @property
    def dies_at(self) -> datetime:
        """When Kite lets it die: the first six in the morning after it was issued."""
        issued_at = self.issued_at.astimezone(INDIA)
        dies_at = datetime.combine(issued_at.date(), DIES_AT, INDIA)
        return dies_at if dies_at > issued_at else dies_at + timedelta(days=1)

    def is_alive(self, now: datetime) -> bool:
        """Tell whether it is of the day that lasts at *now*; one from the future is of another day too."""
        return self.dies_at - timedelta(days=1) <= now < self.dies_at


class Tokens(Protocol):
    """Gives the access token of now. Safe to call from several threads."""

    def worth_trying(self) -> str:
        """Return the token to show.

        Raises:
            NoTokenError: there is none; the text says why.
        """
        ...

    def changed(self) -> bool:
        """Tell whether there is another token than at the last call."""
        ...


class FixedToken:
    """A token that was given with the settings and cannot change while the process lives."""

    def __init__(self, token: str) -> None:
        self._token = token

    def worth_trying(self) -> str:
        """Return it, however old it may be: nobody said."""
        return self._token

    def changed(self) -> bool:
        """Return False."""
        return False


class TokenFile:
    """A token in a file. Safe to call from several threads.

    Args:
        path: the file; it need not be there yet.
        api_key: the app's; a token of another app is not used.
        clock: the session's.
        how: how a person logs in, for messages.
    """

    def __init__(self, path: Path, *, api_key: str, clock: Clock, how: str) -> None:
        self._path = path
        self._app = app_of(api_key)
        self._clock = clock
        self._how = how
        self._lock = threading.Lock()
        self._mark: _Mark | None = None
        self._stored: StoredToken | None = None
        self._why = ""
        self._told: str | None = None

    def worth_trying(self) -> str:
        """Return today's token; the file is read again when it has changed.

        Raises:
            NoTokenError: there is no file, it cannot be used, or its token is of another day or another app.
        """
        with self._lock:
            self._look()
            stored, why = self._stored, self._why
        if stored is None:
            raise NoTokenError(f"{why}; a person must log in ({self._how})")
        if stored.app != self._app:
            raise NoTokenError(f"the token in {self._path} is of another app; a person must log in ({self._how})")
        if not stored.is_alive(self._clock.now()):
            raise NoTokenError(
                f"the token in {self._path} is of {stored.issued_at.astimezone(INDIA):%Y-%m-%d} and died at "
                f"{stored.dies_at:%Y-%m-%d %H:%M}; a person must log in ({self._how})"
            )
        return stored.token

    def changed(self) -> bool:
        """Tell whether the file holds another token than at the last call."""
        with self._lock:
            self._look()
            token = None if self._stored is None else self._stored.token
            was, self._told = self._told, token
            return token is not None and token != was

    def _look(self) -> None:
        mark = _mark_of(self._path)
        if mark is not None and mark == self._mark:
            return
        self._mark = mark
        try:
            self._stored, self._why = read_token(self._path), ""
        except NoTokenError as error:
            self._stored, self._why = None, str(error)


def app_of(api_key: str) -> str:
    """Return what tells an app's tokens from another's, without the key itself."""
    return hashlib.sha256(api_key.encode()).hexdigest()[:16]


def read_token(path: Path) -> StoredToken:
    """Return what a token file holds.

    Raises:
        NoTokenError: it is not there, is somebody else's, others may read it, or it does not read; the text says which.
    """
    try:
        data, found = _content(path)
    except FileNotFoundError:
        raise NoTokenError(f"there is no access token yet: {path} is not there") from None
    except OSError as error:
        raise NoTokenError(f"{path} cannot be read ({error.strerror})") from None
    # Whoever else may put a token there chooses the account that is traded on.
    if _is_strange(found):
        raise NoTokenError(
            f"{path} belongs to another user (id {found.st_uid}; expected {os.geteuid()}, who runs this, or root), so "
            "its token is not used"
        )
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        raise NoTokenError(f"{path} may be read by others (mode {mode:04o}; expected 0600), so its token is not used")
    try:
        stored = msgspec.json.decode(data, type=StoredToken)
    except msgspec.MsgspecError:
        raise NoTokenError(f"{path} does not hold a token as login writes it") from None
    if not stored.token or stored.issued_at.utcoffset() is None:
        raise NoTokenError(f"{path} does not hold a token as login writes it")
    return stored


def is_of_another(path: Path) -> bool:
    """Tell whether a file is there and belongs to another user, root apart."""
    try:
        return _is_strange(path.stat())
    except OSError:
        return False


def _is_strange(found: os.stat_result) -> bool:
    return found.st_uid not in (os.geteuid(), _ROOT)


def store_token(path: Path, stored: StoredToken) -> None:
    """Write a token file whole or not at all, readable by its owner alone from its first moment.

    Raises:
        SetupError: it cannot be written; an old file is left as it was.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(msgspec.json.encode(stored))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise SetupError.at(str(path), f"cannot be written ({error.strerror}); expected a file for the token") from None


def _content(path: Path) -> tuple[bytes, os.stat_result]:
    """Return the first bytes of a file, and whose it is, without ever waiting: a pipe would hang whoever opens it.

    Raises:
        OSError: it cannot be read, or is no file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is no file")
        return os.read(descriptor, _MOST_BYTES), found
    finally:
        os.close(descriptor)


def _mark_of(path: Path) -> _Mark | None:
    """Return what changes with the file; None while it cannot be looked at."""
    try:
        found = path.stat()
    except OSError:
        return None
    # Owner and mode too: a file that was closed to others may be used from then on.
    return found.st_mtime_ns, found.st_ino, found.st_uid, stat.S_IMODE(found.st_mode)
