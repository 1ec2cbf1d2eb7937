"""A run as a service: what the manager is told, and the sign of life that is given only while everything is fresh."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from fsm_trader.config.load import load_settings
from fsm_trader.core.ledger import Ledger
from fsm_trader.core.records import Entry
from fsm_trader.core.settings import Settings
from fsm_trader.core.status import one_line
from fsm_trader.engine.floor import Floor
from fsm_trader.engine.trader import WATCHING
from fsm_trader.errors import HaltError
from fsm_trader.journal.store import JournalStore, file_of
from fsm_trader.ops.clock import real_s
from fsm_trader.ops.systemd import ServiceSocket
from fsm_trader.strategy import registry

_LOG = logging.getLogger(__name__)
# Real seconds: the loop turns at least this often under a service manager, and a status is sent no more often.
_TURN_S = 1.0
_BROKER_SLACK = timedelta(minutes=2)
# Notices under way are given 10 seconds, files are closed, and a loaded machine takes its time.
_CLOSE_S = 30


class ServiceObserver:
    """Tells a service manager how the session is.

    ``READY`` once the loop turns, ``STATUS`` when its line changes, ``WATCHDOG`` at a third of the time allowed and
    only while nothing is stale.

    Args:
        manager: who is told.
        floor: settings, ledger and when the broker was last heard.
        check_journal: proves that the journal can be written; HaltError where it cannot.
        now_s: real seconds that only go forward.
    """

    def __init__(
        self,
        manager: ServiceSocket,
        floor: Floor,
        *,
        check_journal: Callable[[datetime], None],
        now_s: Callable[[], float] = real_s,
    ) -> None:
        self._manager = manager
        self._floor = floor
        self._check_journal = check_journal
        self._now_s = now_s
        self._is_ready = False
        self._line = ""
        self._told = ""
        self._told_at = -_TURN_S
        self._written_at = now_s()
        self._beat_at = now_s()
        self._watched_since: datetime | None = None
        self._stale: tuple[str, ...] = ()

    def committed(self, entries: Sequence[Entry], ledger: Ledger) -> None:  # noqa: ARG002 - the protocol names it
        """Take note that the journal was written, and tell a status that changed."""
        self._written_at = self._now_s()
        self._line = one_line(ledger)
        self._tell()

    def passed(self, now: datetime) -> None:
        """Say that the session is taken up, and give a sign of life when one is due."""
        if self._floor.ledger.state not in WATCHING or self._floor.logged_out:
            self._watched_since = None
        elif self._watched_since is None:
            self._watched_since = now
        self.ready()
        self._tell()
        watchdog_s = self._manager.watchdog_s
        if watchdog_s is not None and self._now_s() - self._beat_at >= watchdog_s / 3:
            self._beat_at = self._now_s()
            self._beat(now, watchdog_s / 3)

    def ready(self) -> None:
        """Say once that the session is taken up."""
        if not self._is_ready:
            self._is_ready = True
            self._line = one_line(self._floor.ledger)
            self._manager.say("READY=1", f"STATUS={self._words()}")
            self._told, self._told_at = self._words(), self._now_s()

    def stale(self, now: datetime) -> tuple[str, ...]:
        """Return what is not fresh, in words; empty when all is well.

        Candles and broker are wanted while the session watches the market, from the moment this process began to;
        while it squares off, candles decide nothing any more. Where a person must log in nothing is wanted: to be
        killed and started again would not help.
        """
        since, ledger, settings = self._watched_since, self._floor.ledger, self._floor.settings
        if since is None or self._floor.logged_out:
            return ()
        faults: list[str] = []
        candle = ledger.last_candle.get(settings.market.underlying.token)
        of_candles = now - max(since, since if candle is None else candle.end)
        if of_candles > settings.market.max_candle_age and ledger.state != "SQUARING_OFF":
            faults.append(f"no candle for {_seconds(of_candles)}")
        heard = self._floor.broker_heard_at
        of_broker = now - max(since, since if heard is None else heard)
        if of_broker > _BROKER_SLACK + 2 * settings.session.health_interval:
            faults.append(f"no good answer of the broker for {_seconds(of_broker)}")
        return tuple(faults)

    def _beat(self, now: datetime, every_s: float) -> None:
        faults = self.stale(now)
        if self._now_s() - self._written_at >= every_s:
            try:
                self._check_journal(now)
                self._written_at = self._now_s()
            except HaltError as error:
                faults = (*faults, str(error))
        if not faults:
            self._manager.say("WATCHDOG=1")
        self._note(faults)

    def _note(self, faults: tuple[str, ...]) -> None:
        if bool(faults) != bool(self._stale):
            if faults:
                _LOG.error("no sign of life to the service manager: %s", "; ".join(faults))
            else:
                _LOG.info("everything is fresh again")
        self._stale = faults
        self._tell()

    def _tell(self) -> None:
        words = self._words()
        if self._is_ready and words != self._told and self._now_s() - self._told_at >= _TURN_S:
            self._manager.say(f"STATUS={words}")
            self._told, self._told_at = words, self._now_s()

    def _words(self) -> str:
        return f"{self._line}; NOT FRESH: {'; '.join(self._stale)}" if self._stale else self._line


@contextmanager
def serving(
    floor: Floor, journal: JournalStore, environ: Mapping[str, str], *, second: timedelta | None = None
) -> Iterator[timedelta | None]:
    """Tell the service manager, where there is one, how the block goes.

    Args:
        floor: the session.
        journal: its journal.
        environ: where the manager's socket is named.
        second: what passes of the session's time in a real second; None: as ``market.speed`` says.

    Yields:
        The longest the loop may wait at a time, in the session's time; None: as long as it likes.
    """
    manager = ServiceSocket(environ)
    if not manager.is_there:
        yield None
        return
    observer = ServiceObserver(manager, floor, check_journal=journal.check)
    floor.watch(observer)
    try:
        yield _longest_wait(floor, manager, second)
        # A day that was over before the loop turned once was taken up too: it must not look like a start that failed.
        observer.ready()
    finally:
        manager.say("STOPPING=1", f"STATUS=ended: {one_line(floor.ledger)}")
        manager.close()


def secrets_of(path: Path, environ: Mapping[str, str]) -> tuple[Settings, tuple[str, ...]]:
    """Read a session file as if every secret it names were there, and return their names too.

    Values are taken from *environ* where they are there, which matters for a journal's URL only.

    Raises:
        SetupError: a file is faulty.
    """
    asked = _AnySecret(environ)
    settings = load_settings(path, environ=asked, check_strategy=registry.check)
    return settings, tuple(dict.fromkeys(asked.names))


def written_folders(settings: Settings) -> tuple[Path, ...]:
    """Return the folders a run writes to: of the journal, the log, and the paper book where there is one.

    What a live session keeps beside these lies in the first of them; the token file is read, and written by ``login``.
    """
    file = file_of(settings.journal_url)
    book = [settings.broker.paper.book] if settings.broker.kind == "paper" else []
    files = [*([] if file is None else [file]), *book, settings.log.file]
    return tuple(dict.fromkeys(each.absolute().parent for each in files))


def stop_timeout_s(settings: Settings) -> int:
    """Return how long an orderly stop may take, in seconds: with ``on_stop: flatten`` the exits are waited for."""
    if settings.session.on_stop == "leave":
        return _CLOSE_S
    # Refused or resting three times, and once looked up because its fate was unknown.
    exits = 3 * settings.broker.exit_timeout + settings.broker.settle
    return _CLOSE_S + round(exits.total_seconds())


class _AnySecret(Mapping[str, str]):
    """An environment in which every name that is asked for has a value, and which remembers the names."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.names: list[str] = []

    def __contains__(self, name: object) -> bool:
        self.names.append(str(name))
        return True

    def __getitem__(self, name: str) -> str:
        return self._environ.get(name, "stand-in")

    def __iter__(self) -> Iterator[str]:
        return iter(self._environ)

    def __len__(self) -> int:
        return len(self._environ)


def _longest_wait(floor: Floor, manager: ServiceSocket, second: timedelta | None) -> timedelta | None:
    real = min(_TURN_S, _TURN_S if manager.watchdog_s is None else manager.watchdog_s / 3)
    if second is not None:
        return real * second
    if not floor.clock.is_virtual:
        return timedelta(seconds=real)
    speed = floor.settings.market.speed
    return timedelta(seconds=real * speed) if speed > 0 else None


def _seconds(age: timedelta) -> str:
    return f"{age.total_seconds():.0f} s"
