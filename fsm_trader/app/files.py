"""From a path on the command line to settings, machines, a day and its windows."""

from __future__ import annotations

import os
import sys
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from fsm_trader.config.load import load_for_reading, load_settings
from fsm_trader.core.charges import FIRST_DAY
from fsm_trader.core.day import DayPlan, plan_day
from fsm_trader.core.settings import Settings
from fsm_trader.errors import Fault, SetupError
from fsm_trader.journal.store import file_of
from fsm_trader.journal.tables import open_engine
from fsm_trader.machines.load import load_machine
from fsm_trader.machines.names import MachineKind
from fsm_trader.machines.spec import MachineSpec
from fsm_trader.market.calendar import calendar_for
from fsm_trader.market.recorded import RecordedDay, open_recorded
from fsm_trader.notify.telegram_settings import check_settings
from fsm_trader.ops.places import why_not_writable
from fsm_trader.strategy import registry

# An exit that is refused or rests has to be sent again before the market closes.
_LEAST_TO_CLOSE = timedelta(minutes=5)


def settings_of(path: Path) -> Settings:
    """Read session.yaml and all it names, with this process's environment.

    Raises:
        SetupError: every fault of every file.
    """
    find_strategies_beside(path)
    return load_settings(path, environ=os.environ, check_strategy=registry.check, check_machine=_machine_faults)


def settings_for_reading(path: Path) -> tuple[Settings, tuple[Fault, ...]]:
    """Read what a verb needs that only reads the journal, and return what else is wrong with the files.

    No secret but the journal's is looked up, and nobody's code is imported.

    Raises:
        SetupError: the journal cannot be found or understood with this file.
    """
    return load_for_reading(path, environ=os.environ)


def find_strategies_beside(path: Path) -> None:
    """Let a strategy named ``package.module:Class`` live beside the session file."""
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)


def _machine_faults(path: Path, kind: MachineKind) -> tuple[Fault, ...]:
    try:
        load_machine(path, kind)
    except SetupError as error:
        return error.faults
    return ()


def check_start(settings: Settings) -> None:
    """Refuse what a start could only refuse after it had begun: nothing is made, opened or connected to.

    Raises:
        SetupError: all at once: a live broker, which this version has not; a bot token that is none; a journal no
            driver speaks to; a log, journal or book that cannot be written where it should be.
    """
    faults: list[Fault] = []
    source, broker = str(settings.source), settings.broker
    if broker.kind != "paper":
        message = f"was {broker.kind}; expected paper: this version has no live broker"
        faults.append(Fault(source, "$.broker.kind", message))
    try:
        open_engine(settings.journal_url).dispose()
    except SetupError as error:
        faults.extend(error.faults)
    if settings.telegram is not None:
        try:
            check_settings(settings.telegram)
        except SetupError as error:
            faults.extend(error.faults)
    for place, path in (
        ("$.log.file", settings.log.file),
        ("$.journal.url", file_of(settings.journal_url)),
        ("$.broker.paper.book", broker.paper.book),
    ):
        why = None if path is None else why_not_writable(path)
        if why is not None:
            faults.append(Fault(str(path), place, f"cannot be written ({why}); expected a file this user may write"))
    if faults:
        raise SetupError(faults)


def machines_of(settings: Settings) -> tuple[MachineSpec, MachineSpec]:
    """Load the session and the trade machine that *settings* name, checked.

    Raises:
        SetupError: every fault of both definitions.
    """
    faults: list[Fault] = []
    specs: list[MachineSpec] = []
    for path, kind in ((settings.machines.session, "session"), (settings.machines.trade, "trade")):
        try:
            specs.append(load_machine(path, "session" if kind == "session" else "trade"))
        except SetupError as error:
            faults.extend(error.faults)
    if faults:
        raise SetupError(faults)
    return specs[0], specs[1]


def recorded_day(settings: Settings, *, day: str | None = None) -> RecordedDay:
    """Open the recorded day of *settings*, or another one of its days.

    Raises:
        SetupError: there is no such day, a file of it is unusable, or nobody knows what trading cost on it.
    """
    market = settings.market if day is None else msgspec.structs.replace(settings.market, day=day)
    recorded = open_recorded(market, zone=ZoneInfo(settings.session.timezone))
    if recorded.day < FIRST_DAY:
        raise SetupError.at(
            str(settings.source),
            f"{recorded.day} lies before {FIRST_DAY}, where the table of charges begins; expected a day from then on",
            "$.market.recorded" if settings.market.day is None else "$.market.day",
        )
    return recorded


def day_plan(settings: Settings, day: date) -> DayPlan:
    """Lay the session's windows on a day.

    A day outside the calendar's range is taken as a trading day, because recorded data of it exist; a holiday or a
    weekend inside the range is not, unless ``session.calendar`` is ``always``. On a day that closes early (and where
    ``session.square_off`` is too late for any day) entries end and positions are squared off 5 minutes before the
    close: after it no exit can be done.
    """
    calendar = calendar_for(settings.session.calendar)
    plan = plan_day(settings.session, day, why_closed=calendar.why_closed(day) if calendar.covers(day) else None)
    closes_at = datetime.combine(day, calendar.hours(day)[1], plan.square_off.tzinfo)
    square_off = min(plan.square_off, closes_at - _LEAST_TO_CLOSE)
    return msgspec.structs.replace(
        plan, square_off=square_off, trading_end=min(plan.trading_end, square_off), closes_at=closes_at
    )
