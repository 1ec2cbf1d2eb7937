"""``check``: every file read and checked, and the day as a timetable with its limits in rupees."""

from __future__ import annotations

import argparse
import json
from datetime import date

from fsm_trader.app.files import (
    calendar_of,
    check_start,
    day_plan,
    live_day,
    live_label,
    machines_of,
    recorded_day,
    settings_of,
)
from fsm_trader.config.show import describe
from fsm_trader.core.money import show_rupees
from fsm_trader.core.settings import Settings, StrategySettings
from fsm_trader.machines.caution import warnings_of
from fsm_trader.market.calendar import window_notes


def call(options: argparse.Namespace) -> int:
    """Check the files; faults are raised and end with exit code 2."""
    settings = settings_of(options.file)
    check_start(settings)
    specs = machines_of(settings)
    recorded = recorded_day(settings) if settings.market.recorded is not None else None
    digests = {spec.kind: spec.digest for spec in specs}
    warnings = [str(fault) for spec in specs for fault in warnings_of(spec)]
    if options.json:
        answer = {"ok": True, "warnings": warnings, "settings": describe(settings), "machines": digests}
        print(json.dumps(answer, indent=2))
        return 0
    for warning in warnings:
        print(f"warning: {warning}")
    print(f"{options.file}: nothing is wrong with it or the files it names.\n")
    session = settings.session
    today = None if recorded is not None else live_day(settings)
    day = recorded.label if recorded is not None else live_label(settings)
    print(f"  session     {session.name} ({session.timezone}, calendar {session.calendar})")
    print(f"  broker      {settings.broker.kind}, product {settings.broker.product}")
    print(f"  market      {settings.market.underlying.symbol}: {day}")
    print(f"  journal     {settings.journal_url}")
    print(f"  {session.health_check.start:%H:%M}-{session.health_check.end:%H:%M} health check")
    print(f"  {session.trading.start:%H:%M}-{session.trading.end:%H:%M} entries")
    print(f"  {session.square_off:%H:%M}       every open trade is squared off")
    for note in _notes(settings, today if recorded is None else recorded.day):
        print(f"  note        {note}")
    _limits(settings)
    for strategy in settings.strategies:
        print(_strategy(strategy))
    for kind, digest in digests.items():
        print(f"  {kind:8}    machine {digest[:12]}")
    return 0


def _notes(settings: Settings, day: date | None) -> list[str]:
    """Say what is not as usual on the day that would be run: no trading at all, other hours, an early close."""
    if day is None:
        return []
    notes = list(window_notes(calendar_of(settings), settings.session, day))
    plan = day_plan(settings, day)
    if plan.why_closed is None and plan.square_off.time() != settings.session.square_off:
        at = f"{plan.square_off:%H:%M}"
        notes.append(f"on {day} entries end and open trades are squared off at {at}: the market closes soon after")
    return notes


def _limits(settings: Settings) -> None:
    risk = settings.risk
    print(
        f"  limits      {risk.max_open_trades} open, {risk.max_trades_per_day} a day, no entry once "
        f"{show_rupees(risk.max_daily_loss_paise)} rupees are lost, {risk.max_orders_per_day} orders a day"
    )


def _strategy(strategy: StrategySettings) -> str:
    exits = strategy.exits
    parts = [
        f"stop {exits.stop_loss:.0%}" if exits.stop_loss is not None else "no stop",
        f"target {exits.target:.0%}" if exits.target is not None else "no target",
        f"at most {exits.max_hold}" if exits.max_hold is not None else "no holding limit",
    ]
    option = strategy.option
    return (
        f"  strategy    {strategy.name}: {strategy.class_name}, {strategy.lots} lot(s) of {option.kind} "
        f"({option.strike} strike, {option.expiry} expiry), {', '.join(parts)}"
    )
