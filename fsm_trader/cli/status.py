"""``status``: one screen that fits an ssh window."""

from __future__ import annotations

import argparse

import msgspec

from fsm_trader.app.report import status_of
from fsm_trader.cli.reading import settings_to_read_with
from fsm_trader.core.charges import FIRST_DAY
from fsm_trader.core.money import show_rupees
from fsm_trader.core.status import Status, TradeStatus

_ALARMS_SHOWN = 3


def call(options: argparse.Namespace) -> int:
    """Print where the session stands."""
    found = status_of(settings_to_read_with(options.file))
    if options.json:
        print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        print("\n".join(_lines(found)))
    return 0


def _lines(found: Status) -> list[str]:
    at = f"{found.at:%Y-%m-%d %H:%M:%S}" if found.at is not None else "no rows yet"
    since = f" since {found.since:%H:%M:%S}" if found.since is not None else ""
    reason = f" ({found.reason.replace('_', ' ')})" if found.reason else ""
    lines = [
        f"{found.name}   session {found.session or 'none yet'}   as of {at}",
        f"process    {found.running or 'not running'}",
        f"session    {found.state}{since}{reason}",
        f"health     {found.healthy}{_halted(found)}",
        f"next       {found.next_step}",
    ]
    lines += [f"asked      {each}: waits for a process to meet it" for each in found.waiting]
    for strategy in found.strategies:
        entries = "; ".join(strategy.blocked) if strategy.blocked else "may be taken"
        label = "blocked: " if strategy.blocked else ""
        lines.append(f"entries    {strategy.name}: {label}{entries} (last signal {strategy.last_signal})")
        if strategy.last_refusal:
            lines.append(f"           last BUY not followed: {strategy.last_refusal}")
    for trade in found.open_trades:
        lines += _trade(trade)
    if not found.open_trades:
        lines.append("trades     none is open")
    lines.append(
        f"today      {len(found.closed)} closed; gross {show_rupees(found.gross_paise)}, charges "
        f"{show_rupees(found.charges_paise)}, net {show_rupees(found.net_paise)} rupees "
        f"(no entry below -{show_rupees(found.loss_limit_paise)}); {found.orders_today} orders"
    )
    if not found.charges_are_known:
        lines.append(f"note       charges before {FIRST_DAY} are not known and count as zero")
    lines += [f"alarm      {alarm}" for alarm in found.alarms[-_ALARMS_SHOWN:]]
    lines.append(f"journal    {found.rows} rows")
    return lines


def _halted(found: Status) -> str:
    if not found.halted:
        return ""
    return f", HALTED by a person until resume{': everything out' if found.flatten_asked else ''}"


def _trade(trade: TradeStatus) -> list[str]:
    entry = f"bought at {show_rupees(trade.entry_paise)}" if trade.entry_paise is not None else "not filled yet"
    last = f", last {show_rupees(trade.last_paise)}" if trade.last_paise is not None else ""
    held = f"{trade.state} since {trade.since:%H:%M:%S}: {trade.held} {trade.tradingsymbol}"
    return [
        f"trade      {trade.trade_id} {held}, {entry}{last}, net {show_rupees(trade.net_paise)}",
        f"           {trade.next_step}",
    ]
