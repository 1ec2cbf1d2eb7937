"""When the session lives and how much it may lose: sections session and risk."""

from __future__ import annotations

import difflib
import itertools
import zoneinfo
from collections.abc import Sequence
from datetime import time
from decimal import Decimal
from pathlib import Path
from typing import Literal

from fsm_trader.config.fields import Section
from fsm_trader.config.files import is_file, is_there
from fsm_trader.config.keys import SESSION_FILE
from fsm_trader.config.paths import read_path
from fsm_trader.core.limits import LEAST_ORDERS_PER_DAY, ORDERS_KEPT_PER_TRADE
from fsm_trader.core.money import paise
from fsm_trader.core.settings import RiskSettings, SessionSettings, Window
from fsm_trader.errors import SetupError
from fsm_trader.strict_yaml import Node, Reader

_ON_STOP: tuple[Literal["leave", "flatten"], ...] = ("leave", "flatten")
_CALENDARS = ("NSE", "always")
_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}"
_MIDNIGHT = time(0)
# A moment of the day with the key it was read from; None where it is missing or faulty.
_Moment = tuple[str, Node | None, time | None]


def read_session(top: Section, folder: Path) -> SessionSettings:
    """Read ``session``; windows out of order are faults, and a calendar file with its own."""
    section = top.section("session", SESSION_FILE["session"])
    health, trading = _window(section, "health_check"), _window(section, "trading")
    square_off = _moment(section, "square_off", "square_off")
    _check_order(top.reader, [*health, *trading, square_off])
    return SessionSettings(
        name=section.text("name", "", _NAME, "1 to 40 letters, digits, _ . or -"),
        timezone=_zone(section),
        calendar=section.choice("calendar", _CALENDARS, "NSE"),
        health_check=_settled(health),
        trading=_settled(trading),
        square_off=square_off[2] or _MIDNIGHT,
        poll_interval=section.duration("poll_interval", "5s", "100ms", "5m"),
        health_interval=section.duration("health_interval", "30s", "1s", "1h"),
        on_stop=section.choice("on_stop", _ON_STOP, "leave"),
        calendar_file=_calendar_file(section, folder),
    )


def _calendar_file(section: Section, folder: Path) -> Path | None:
    node = section.given("calendar_file")
    if node is None:
        return None
    # Imported here: few sessions name such a file, and a status should not read a calendar.
    from fsm_trader.market.calendar_files import read_calendar  # noqa: PLC0415 - lazy on purpose, see above

    path = read_path(section.reader, node, folder, "")
    if node.refused or path == folder:
        return None
    if is_there(path) and not is_file(path):
        # A pipe would hang whoever opens it.
        section.reader.fault(node, f"{path} is no file; expected a calendar in TOML")
        return None
    try:
        read_calendar(path)
    except SetupError as error:
        section.reader.faults.extend(error.faults)
        return None
    return path


def _window(section: Section, key: str) -> tuple[_Moment, _Moment]:
    window = section.section(key, SESSION_FILE[f"session.{key}"])
    return _moment(window, "start", f"{key}.start"), _moment(window, "end", f"{key}.end")


def _moment(section: Section, key: str, name: str) -> _Moment:
    node = section.get(key)
    return name, node, None if node is None else section.reader.time_of_day(node)


def _settled(window: tuple[_Moment, _Moment]) -> Window:
    return Window(window[0][2] or _MIDNIGHT, window[1][2] or _MIDNIGHT)


def _check_order(reader: Reader, moments: Sequence[_Moment]) -> None:
    """Refuse a day that is not health start < end <= trading start < end <= square-off."""
    for (earlier, _, start), (later, node, end) in itertools.pairwise(moments):
        if start is None or end is None or node is None:
            continue
        is_window = later.endswith(".end")
        if end < start or (is_window and end == start):
            than = "later than" if is_window else "not before"
            reader.fault(node, f"was {_shown(end)}; expected {later} {than} {earlier}, which is {_shown(start)}")


def _shown(moment: time) -> str:
    return moment.isoformat("auto" if moment.second else "minutes")


def _zone(section: Section) -> str:
    name = section.text("timezone", "Asia/Kolkata", r"[A-Za-z0-9_+./-]{1,60}", "a time zone such as Asia/Kolkata")
    node = section.get("timezone")
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        if node is not None:
            close = difflib.get_close_matches(name, sorted(zoneinfo.available_timezones()), n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            section.reader.fault(node, f"unknown time zone {name!r}; expected one such as Asia/Kolkata.{hint}")
    return name


def read_risk(top: Section) -> RiskSettings:
    """Read ``risk``; amounts are whole paise."""
    section = top.section("risk", SESSION_FILE["risk"])
    return RiskSettings(
        max_open_trades=section.integer("max_open_trades", 1, 1, 20),
        max_trades_per_day=section.integer("max_trades_per_day", 10, 1, 1000),
        max_daily_loss_paise=_daily_loss(section),
        # Kite's own limits: 10 orders a second and 5,000 a day for one account.
        max_orders_per_second=section.integer("max_orders_per_second", 5, 1, 10),
        max_orders_per_day=_orders_per_day(section),
    )


def _orders_per_day(section: Section) -> int:
    value = section.integer("max_orders_per_day", 200, 1, 5000)
    node = section.get("max_orders_per_day")
    if node is not None and value < LEAST_ORDERS_PER_DAY:
        section.reader.fault(
            node,
            f"was {value}; expected at least {LEAST_ORDERS_PER_DAY}: an entry, and the {ORDERS_KEPT_PER_TRADE} orders "
            "that are kept for the way out of each trade; below that entries are blocked",
        )
    return value


def _daily_loss(section: Section) -> int:
    node = section.get("max_daily_loss")
    amount = None if node is None else section.reader.number(node, least=Decimal(1), most=Decimal(10**9))
    if node is None or amount is None:
        return paise(10_000)
    try:
        return paise(amount)
    except ValueError:
        section.reader.fault(node, f"was {node.text}; expected rupees with at most two decimals")
        return 0
