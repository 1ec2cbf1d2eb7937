"""What a person asks of the trader from another shell: one small file each, kept until the journal has it.

The trader is the journal's only writer, so another process leaves its request in a folder beside the journal. It is
durable: what is left while no trader runs is met by the next one. This module knows files, not what a request does.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec

from fsm_trader.core.events import Asked
from fsm_trader.errors import SetupError

_LOG = logging.getLogger(__name__)
_SUFFIX = ".request.json"
_STAMP = "%Y%m%dT%H%M%S%f"
_STAMP_LENGTH = len("20260617T094200000000")
# Only names this module gives: a name used twice would be taken for a request that was met before.
_NAME = re.compile(r"\d{8}T\d{12}-\d{1,10}" + re.escape(_SUFFIX))
_MOST_AT_ONCE = 100
_MOST_BYTES = 10_000
_LOOK_EVERY_S = 0.2
_CLOSE_S = 5.0

Verb = Literal["halt", "resume", "flatten"]


class _Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    verb: Verb
    by: str


class Requests:
    """The folder of requests beside a journal file.

    Args:
        journal: the journal's file; the folder is ``<journal>.requests``.
    """

    def __init__(self, journal: Path) -> None:
        self._folder = journal.with_name(journal.name + ".requests")

    def prepare(self) -> None:
        """Make the folder, so that it belongs to the trader and not to whoever asks first.

        Raises:
            SetupError: it cannot be made or read.
        """
        try:
            self._make()
            self.waiting()
        except OSError as error:
            raise SetupError.at(
                str(self._folder), f"cannot be used: {error.strerror}; expected a folder for requests from other shells"
            ) from error

    def leave(self, verb: Verb, *, by: str, at: datetime) -> str:
        """Leave a request, durably, and return its id. Ids sort in the order the requests were left.

        Raises:
            SetupError: the folder cannot be written; nothing was asked.
        """
        try:
            self._make()
            request = f"{self._stamp(at)}-{os.getpid()}"
            self._write(request, msgspec.json.encode(_Wish(verb, by)))
        except OSError as error:
            raise SetupError.at(
                str(self._folder),
                f"cannot be written: {error.strerror}; expected to leave a request. Nothing was asked",
            ) from error
        return request

    def waiting(self) -> tuple[str, ...]:
        """Return the ids of the requests that wait, oldest first.

        Raises:
            OSError: the folder cannot be read; one that is missing holds nothing.
        """
        try:
            names = [path.name for path in self._folder.iterdir()]
        except FileNotFoundError:
            return ()
        return tuple(sorted(name.removesuffix(_SUFFIX) for name in names if _NAME.fullmatch(name)))

    def read(self, request: str) -> Asked | None:
        """Return what a request asks for, None when it is gone.

        Somebody wanted something where it cannot be read. The careful answer is a halt that says why.
        """
        path = self._path(request)
        try:
            wish = msgspec.json.decode(_content(path), type=_Wish)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            fault = (
                f"request {path} cannot be read ({error}); expected halt, resume or flatten. It is taken as halt: "
                "no entries until resume; the open trade is managed. Ask again for what was wanted"
            )
            return Asked("halt", by="a request that cannot be read", request=request, fault=fault)
        return Asked(wish.verb, by=wish.by, request=request)

    def words(self, *, met: frozenset[str]) -> tuple[str, ...]:
        """Say what waits and is not among *met*, oldest first, for people."""
        try:
            asked = [self.read(request) for request in self.waiting() if request not in met]
        except OSError as error:
            return (f"requests cannot be read ({error.strerror})",)
        return tuple(f"{each.verb} by {each.by}" for each in asked if each is not None)

    def met(self, request: str) -> None:
        """Put away a request that is in the journal: one that could not be read is kept as ``.unreadable``.

        A file that cannot be put away is no harm: its id is in the journal, and what is there is not done again.
        """
        path = self._path(request)
        found = self.read(request)
        try:
            if found is not None and found.fault:
                path.replace(path.with_suffix(".unreadable"))
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            _LOG.warning("request %s is in the journal, but its file cannot be removed: %s", path, error)

    def _path(self, request: str) -> Path:
        return self._folder / (request + _SUFFIX)

    def _make(self) -> None:
        if self._folder.is_dir():
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        owner = self._folder.parent.stat()
        # Made by root with ``sudo``: the trader's own user must be able to remove what it has met.
        with suppress(PermissionError):
            os.chown(self._folder, owner.st_uid, owner.st_gid)
        _sync_folder(self._folder.parent)

    def _stamp(self, at: datetime) -> str:
        """Return *at* in UTC, or just after the newest request that waits where the clock went back."""
        stamp = at.astimezone(UTC)
        newest = max((request[:_STAMP_LENGTH] for request in self.waiting()), default="")
        if newest >= stamp.strftime(_STAMP):
            with suppress(ValueError):  # A made-up date as name of a file: the clock alone is right.
                stamp = datetime.strptime(newest, _STAMP).replace(tzinfo=UTC) + timedelta(microseconds=1)
        return stamp.strftime(_STAMP)

    def _write(self, request: str, data: bytes) -> None:
        path = self._path(request)
        draft = path.with_suffix(".draft")
        with draft.open("wb") as file:
            # For the trader to read, whoever asks and whatever their umask; nothing in it is secret.
            os.fchmod(file.fileno(), 0o644)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # Whole or not at all: a reader never meets half a request.
        draft.replace(path)
        _sync_folder(self._folder)


class RequestWatcher:
    """Looks for requests while the trader runs, and hands each on once, oldest first.

    What waits already is handed on before the constructor returns.

    Args:
        requests: the folder.
        tell: takes a request; safe to call from another thread.
    """

    def __init__(self, requests: Requests, tell: Callable[[Asked], None]) -> None:
        self._requests = requests
        self._tell = tell
        self._told: set[str] = set()
        self._fault = ""
        self._stop = threading.Event()
        self.look()
        self._thread = threading.Thread(target=self._run, name="requests", daemon=True)
        self._thread.start()

    def look(self) -> None:
        """Hand on what waits and was not handed on before; a folder that cannot be read is looked at again."""
        try:
            waiting = self._requests.waiting()
        except OSError as error:
            self._note(f"requests from other shells cannot be read: {error}; looking again")
            return
        self._note("")
        self._told.intersection_update(waiting)
        for request in [request for request in waiting if request not in self._told][:_MOST_AT_ONCE]:
            asked = self._requests.read(request)
            if asked is not None:
                self._told.add(request)
                self._tell(asked)

    def close(self) -> None:
        """Stop looking; what is left from here on waits for the next start."""
        self._stop.set()
        self._thread.join(_CLOSE_S)

    def _note(self, fault: str) -> None:
        if fault and fault != self._fault:
            _LOG.error("%s", fault)
        self._fault = fault

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_EVERY_S):
            self.look()


def _sync_folder(folder: Path) -> None:
    """Make what was just named in a folder outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _content(path: Path) -> bytes:
    """Return the first bytes of a file without ever waiting: a pipe in its place would hang the reader.

    Raises:
        OSError: it cannot be read, or is no file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "is no file")
        return os.read(descriptor, _MOST_BYTES)
    finally:
        os.close(descriptor)
