"""Requests from another shell, both sides: a verb leaves one and waits for the journal to show it, a run meets it."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from fsm_trader.core.events import Asked
from fsm_trader.core.ledger import Ledger
from fsm_trader.core.records import Entry, OperatorAsked
from fsm_trader.core.settings import Settings
from fsm_trader.errors import SetupError, VerificationError
from fsm_trader.journal.read import JournalReader
from fsm_trader.journal.store import file_of
from fsm_trader.ops.clock import SystemClock
from fsm_trader.ops.lock import holder_of
from fsm_trader.ops.requests import Requests, RequestWatcher, Verb

_LOOK_EVERY_S = 0.1


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a request.

    Args:
        running: the process that holds the journal, None when none does.
        outcome: the journal has it (*row*); it is left for the next start; or a process runs that has not met it yet.
        trouble: why the journal could not be read, empty where it could.
    """

    verb: Verb
    request: str
    running: str | None
    outcome: Literal["journaled", "left", "waiting"]
    row: int | None = None
    trouble: str = ""


def requests_of(settings: Settings) -> Requests | None:
    """Return the folder of requests of a session, None where the journal is no file."""
    file = file_of(settings.journal_url)
    return None if file is None else Requests(file)


def ask(settings: Settings, verb: Verb, *, wait_s: float) -> Asking:
    """Leave a request for the trader of a session, and wait for its journal to show it.

    Args:
        settings: whose session.
        verb: what is asked for.
        wait_s: most seconds to wait while a trader runs; 0 looks once. Where none runs there is nothing to wait for.

    Raises:
        SetupError: the request could not be left; nothing was asked.
    """
    file = file_of(settings.journal_url)
    if file is None:
        raise SetupError.at(
            str(settings.source),
            f"is no file, and a request is left beside one; expected a sqlite journal to {verb} its trader from here",
            "$.journal.url",
        )
    clock = SystemClock(ZoneInfo(settings.session.timezone))
    newest, _ = _look(settings.journal_url, after=None, request="")
    request = Requests(file).leave(verb, by=_who(), at=clock.now())
    # Counted, not read off a clock that may jump.
    for _ in range(round(wait_s / _LOOK_EVERY_S)):
        if holder_of(file) is None:
            break
        row, _ = _look(settings.journal_url, after=newest, request=request)
        if row is not None:
            break
        clock.sleep(_LOOK_EVERY_S)
    clock.close()
    running = holder_of(file)
    row, trouble = _look(settings.journal_url, after=newest, request=request)
    outcome: Literal["journaled", "left", "waiting"] = "left" if running is None else "waiting"
    return Asking(
        verb=verb,
        request=request,
        running=running,
        outcome="journaled" if row is not None else outcome,
        row=row,
        trouble=trouble,
    )


class RequestObserver:
    """Puts a request away once its row is committed."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    def committed(self, entries: Sequence[Entry], ledger: Ledger) -> None:  # noqa: ARG002 - the protocol names it
        """Remove the files of the requests among the rows."""
        for entry in entries:
            if isinstance(entry.record, OperatorAsked) and entry.record.request:
                self._requests.met(entry.record.request)

    def passed(self, now: datetime) -> None:
        """Do nothing: time alone meets no request."""


@contextmanager
def heeding(requests: Requests | None, ledger: Ledger, tell: Callable[[Asked], None]) -> Iterator[None]:
    """Hand requests to *tell* while the block runs, those that wait already before it begins.

    A file whose request the journal has, left by a process that died in between, is put away first.
    """
    if requests is None:
        yield
        return
    met = frozenset(ledger.requests)
    with suppress(OSError):  # The watcher, who needs the folder too, says what is wrong with it.
        for request in requests.waiting():
            if request in met:
                requests.met(request)
    watcher = RequestWatcher(requests, tell)
    try:
        yield
    finally:
        watcher.close()


def _look(url: str, *, after: int | None, request: str) -> tuple[int | None, str]:
    """Return the row of a request among those after *after*, and why the journal could not be read.

    Without *after* it is the newest row there is.
    """
    try:
        with JournalReader(url) as reader:
            if after is None:
                return reader.newest(), ""
            rows = (entry for entry in reader.entries(after=after) if _is_of(entry, request))
            return next((entry.seq for entry in rows), None), ""
    except (SetupError, VerificationError) as error:
        # A trader that starts is just making it, or it is damaged: the request is left all the same.
        return (0 if after is None else None), str(error).partition("\n")[0]


def _is_of(entry: Entry, request: str) -> bool:
    return isinstance(entry.record, OperatorAsked) and entry.record.request == request


def _who() -> str:
    """Name the user, and the one behind ``sudo``."""
    number = os.getuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:
        name = f"user {number}"
    behind = os.environ.get("SUDO_USER", "")
    return f"{name} for {behind}" if behind and behind != name and behind.isprintable() else name
