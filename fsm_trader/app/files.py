"""From a path on the command line to settings, machines, a day and its windows."""

from __future__ import annotations

import os
import sys
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from fsm_trader.config.load import load_settings
from fsm_trader.core.day import DayPlan, plan_day
from fsm_trader.core.settings import Settings
from fsm_trader.errors import Fault, SetupError
from fsm_trader.machines.load import load_machine
from fsm_trader.machines.spec import MachineSpec
from fsm_trader.market.calendar import calendar_for
from fsm_trader.market.recorded import RecordedDay, open_recorded
from fsm_trader.strategy import registry

# An exit that is refused or rests has to be sent again before the market closes.
_LEAST_TO_CLOSE = timedelta(minutes=5)


def settings_of(path: Path) -> Settings:
    """Read session.yaml and all it names, with this process's environment.

    Raises:
        SetupError: every fault of every file.
    """
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        # A strategy named package.module:Class may live beside the session file.
        sys.path.insert(0, folder)
    return load_settings(path, environ=os.environ, check_strategy=registry.check)


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
        SetupError: there is no such day, or a file of it is unusable.
    """
    market = settings.market if day is None else msgspec.structs.replace(settings.market, day=day)
    return open_recorded(market, zone=ZoneInfo(settings.session.timezone))


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
    return msgspec.structs.replace(plan, square_off=square_off, trading_end=min(plan.trading_end, square_off))
