"""Asks for the day's options until they are there: what cannot be had now is asked for again, at a growing distance."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from fsm_trader.core.clock import Clock
from fsm_trader.core.contracts import OptionContract
from fsm_trader.core.day import DayPlan
from fsm_trader.core.events import ContractsRead, Event, ReadFailed
from fsm_trader.errors import LoginRequiredError, UnavailableError
from fsm_trader.market.kite.instruments import MADE_AT, InstrumentStore

_FIRST_PAUSE = timedelta(seconds=5)
_LONGEST_PAUSE = timedelta(minutes=2)
# One that is there and may not be today's serves what is held; nothing is bought until today's is there.
_STALE_PAUSE = timedelta(minutes=1)
_AFTER_MADE = timedelta(minutes=1)
_LOG = logging.getLogger(__name__)


class OptionsOfDay:
    """Knows whether the options must be asked for, and asks. ``job`` is for a worker, all else for the loop.

    Args:
        store: who is asked.
        name: the underlying's, as in the dump.
        plan: the day.
        clock: the session's.
        known: takes the contracts by trading symbol, before anybody is told of them.
    """

    def __init__(
        self,
        store: InstrumentStore,
        name: str,
        *,
        plan: DayPlan,
        clock: Clock,
        known: Callable[[tuple[OptionContract, ...]], None],
    ) -> None:
        self._store = store
        self._name = name
        self._plan = plan
        self._clock = clock
        self._known = known
        self._lock = threading.Lock()
        self._is_asking = False
        self._pause = _FIRST_PAUSE
        self._is_noted = False
        # A day that is not traded has no use for them.
        self._at: datetime | None = None if plan.why_closed is not None else clock.now()

    def is_due(self, now: datetime) -> bool:
        """Tell whether ``job`` should be done now; True once for each time it is due."""
        with self._lock:
            if self._is_asking or self._at is None or now < self._at:
                return False
            self._is_asking = True
            return True

    def hurry(self) -> None:
        """Ask at once where an answer is wanting: what was in the way may be gone."""
        with self._lock:
            if self._at is not None:
                self._at, self._pause = self._clock.now(), _FIRST_PAUSE

    def job(self) -> Event:
        """Ask once, and say when to ask again. It never raises: one that did would be asked for no more."""
        try:
            found = self._store.contracts(self._name, self._plan.day)
            self._known(found.contracts)
            return ContractsRead(found.contracts, self._answered(found.note), found.note)
        except UnavailableError as error:
            self._ask_again()
            return ReadFailed("instruments", str(error), None, isinstance(error, LoginRequiredError))
        except Exception as error:  # noqa: BLE001 - the outermost frame of a job: a defect is told, and asked again
            _LOG.exception("the day's options could not be read in a way nobody planned for")
            self._ask_again()
            return ReadFailed("instruments", f"unexpected {type(error).__name__}: {error}")
        finally:
            with self._lock:
                self._is_asking = False

    def _ask_again(self) -> None:
        with self._lock:
            self._at = self._clock.now() + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def _answered(self, note: str) -> str:
        """Settle when to ask again, and return what a person is told: one doubt, and not each wording of it."""
        now = self._clock.now()
        made_at = datetime.combine(self._plan.day, MADE_AT, now.tzinfo) + _AFTER_MADE
        with self._lock:
            was_noted, self._is_noted = self._is_noted, bool(note)
            self._at = max(now + _STALE_PAUSE, made_at) if note else None
        return note if not was_noted else ""


class KnownContracts(msgspec.Struct):
    """Contracts by trading symbol; those of open trades are known before today's are."""

    by_symbol: dict[str, OptionContract]

    def add(self, contracts: tuple[OptionContract, ...]) -> None:
        """Take in contracts; a dictionary made whole is put in the place of the old one, so readers need no lock."""
        self.by_symbol = {**self.by_symbol, **{contract.tradingsymbol: contract for contract in contracts}}

    def find(self, symbol: str) -> OptionContract | None:
        """Return the contract of a symbol, None when it is not known."""
        return self.by_symbol.get(symbol)
