"""From a path on the command line to settings, machines, a day and its windows."""

from __future__ import annotations

import importlib.util
import os
import sys
from datetime import date, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import msgspec

from fsm_trader.config.load import load_for_reading, load_settings
from fsm_trader.core.charges import FIRST_DAY
from fsm_trader.core.day import DayPlan, plan_day
from fsm_trader.core.ledger import Ledger
from fsm_trader.core.settings import KiteSettings, Settings
from fsm_trader.errors import Fault, SetupError
from fsm_trader.journal.store import file_of
from fsm_trader.journal.tables import open_engine
from fsm_trader.machines.load import load_machine
from fsm_trader.machines.names import MachineKind
from fsm_trader.machines.spec import MachineSpec
from fsm_trader.market.calendar import Calendar, calendar_for
from fsm_trader.market.recorded import RecordedDay, open_recorded
from fsm_trader.notify.telegram_settings import check_settings
from fsm_trader.ops.clock import SystemClock
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
        SetupError: all at once: addresses that Kite cannot be spoken to at, or a calendar that is none; a bot token
            that is none; a journal no driver speaks to; entries at hours at which nothing trades; a log, journal, book
            or folder that cannot be written where it should be.
    """
    faults: list[Fault] = []
    broker = settings.broker
    if broker.kite is not None:
        faults.extend(_kite_faults(settings, broker.kite))
    faults.extend(_window_faults(settings))
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
        ("$.broker.paper.book", broker.paper.book if broker.kite is None else None),
        ("", None if broker.kite is None else dump_folder(settings) / "NFO"),
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
    close: after it no exit can be done. Entries end with the closing auction of the stocks too: the index shows no
    price in it.
    """
    calendar = calendar_of(settings)
    plan = plan_day(settings.session, day, why_closed=calendar.why_closed(day) if calendar.covers(day) else None)
    closes_at = datetime.combine(day, calendar.hours(day)[1], plan.square_off.tzinfo)
    square_off = min(plan.square_off, closes_at - _LEAST_TO_CLOSE)
    ends = [plan.trading_end, square_off]
    if (auction := calendar.auction(day)) is not None:
        ends.append(datetime.combine(day, auction[0], plan.square_off.tzinfo))
    return msgspec.structs.replace(plan, square_off=square_off, trading_end=min(ends), closes_at=closes_at)


def calendar_of(settings: Settings) -> Calendar:
    """Return the calendar that the settings name, corrected by their own file.

    Raises:
        SetupError: that file cannot be used any more.
    """
    return calendar_for(settings.session.calendar, settings.session.calendar_file)


def state_folder(settings: Settings) -> Path:
    """Return where a live session keeps what is neither journal nor log: beside the journal, or beside the log."""
    return (file_of(settings.journal_url) or settings.log.file).parent


def dump_folder(settings: Settings) -> Path:
    """Return where a live session keeps instrument dumps; a sandbox's small ones apart from Kite's."""
    kite = settings.broker.kite
    return state_folder(settings) / ("instruments" if kite is None or _is_real(kite) else "instruments-sandbox")


def live_day(settings: Settings) -> date | None:
    """Return today by the machine's clock where a session goes by that, None where a sandbox tells the day."""
    kite = settings.broker.kite
    if kite is None or not _is_real(kite):
        return None
    clock = SystemClock(ZoneInfo(settings.session.timezone))
    today = clock.now().date()
    clock.close()
    return today


def live_label(settings: Settings) -> str:
    """Say where a live session trades, and how it sees prices."""
    root = None if settings.broker.kite is None else settings.broker.kite.root
    where = "Zerodha, real orders with real money" if root is None else f"Kite at {root}"
    return f"live: {where}; prices by {settings.market.feed}"


def refuse_unknown_day(settings: Settings, day: date) -> None:
    """Refuse to trade live on a day the calendar does not know.

    Raises:
        SetupError: a holiday could be taken for a trading day.
    """
    why = calendar_of(settings).why_not_live(day)
    if why is not None:
        raise SetupError.at(str(settings.source), why, "$.session.calendar")


def refuse_other_broker(settings: Settings, ledger: Ledger, kind: str) -> None:
    """Refuse a journal with open trades of another broker: what is held there would be sold here.

    Args:
        settings: what was asked for.
        ledger: the present, as the journal tells it.
        kind: where orders would go now, as ``RunStarted.broker`` has it.

    Raises:
        SetupError: with the trades.
    """
    before = None if ledger.last_run is None else ledger.last_run.broker
    if before is None or before == kind or not ledger.open_trades:
        return
    ids = ", ".join(trade.trade_id for trade in ledger.open_trades)
    raise SetupError.at(
        str(settings.source),
        f"the journal has open trades ({ids}) that were made on {before or 'paper'}, and orders would go to "
        f"{kind or 'paper'}; expected the broker they were made on, or another journal",
        "$.broker.kind",
    )


def _kite_faults(settings: Settings, kite: KiteSettings) -> list[Fault]:
    """Say why Kite cannot be spoken to with these settings, before anything is connected to."""
    from fsm_trader.app.sandbox_time import NOT_HTTP  # noqa: PLC0415 - only where Kite is spoken
    from fsm_trader.kite.connection import Address  # noqa: PLC0415 - the same
    from fsm_trader.kite.root import check_root  # noqa: PLC0415 - the same

    source, stream_root = str(settings.source), settings.market.stream_root
    faults: list[Fault] = []
    try:
        check_root(kite.root)
    except SetupError as error:
        faults += [Fault(source, "$.broker.kite.root", fault.message) for fault in error.faults]
    try:
        _ = None if stream_root is None else Address(stream_root)
    except SetupError as error:
        faults += [Fault(source, "$.market.stream_root", fault.message) for fault in error.faults]
    if importlib.util.find_spec("kiteconnect") is None:
        faults.append(Fault(source, "$.broker.kind", "kiteconnect is not installed; expected the version pinned here"))
    if settings.market.feed == "stream" and _is_real(kite) is not _is_real_at(stream_root):
        message = f"was {stream_root}, and orders go to {kite.root}; expected both here or both at Kite"
        faults.append(Fault(source, "$.market.stream_root", message))
    if not _is_real(kite):
        if urlsplit(kite.root or "").scheme != "http":
            faults.append(Fault(source, "$.broker.kite.root", f"{kite.root} {NOT_HTTP}"))
        return faults
    if settings.session.calendar != "NSE":
        message = f"was {settings.session.calendar} with real orders; expected NSE: every day would be traded"
        faults.append(Fault(source, "$.session.calendar", message))
    today = live_day(settings)
    why = None if today is None else calendar_of(settings).why_not_live(today)
    return faults if why is None else [*faults, Fault(source, "$.session.calendar", why)]


def _is_real(kite: KiteSettings) -> bool:
    """Tell whether orders go to another machine, which is never a sandbox."""
    return _is_real_at(kite.root)


def _is_real_at(root: str | None) -> bool:
    from fsm_trader.kite.root import is_here  # noqa: PLC0415 - only where Kite is spoken

    return root is None or not is_here(urlsplit(root).hostname or "")


def _window_faults(settings: Settings) -> list[Fault]:
    """Refuse entries at hours at which no known day trades."""
    opens, closes = calendar_of(settings).widest_hours
    trading, source = settings.session.trading, str(settings.source)
    faults: list[Fault] = []
    if trading.start >= closes:
        message = f"was {trading.start:%H:%M}; expected before {closes:%H:%M}, the latest close of the calendar"
        faults.append(Fault(source, "$.session.trading.start", message))
    if trading.end <= opens:
        message = f"was {trading.end:%H:%M}; expected after {opens:%H:%M}, the earliest opening of the calendar"
        faults.append(Fault(source, "$.session.trading.end", message))
    return faults
