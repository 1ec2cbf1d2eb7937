"""``run``: the day, with its progress, each transition as it happens, and a closing table."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table

from fsm_trader.app.files import settings_of
from fsm_trader.app.run import Outcome, run
from fsm_trader.core.day import DayPlan
from fsm_trader.core.ledger import FINAL_TRADE_STATES, Ledger
from fsm_trader.core.money import show_rupees
from fsm_trader.core.orders import Role
from fsm_trader.core.records import (
    AlarmRaised,
    CandlesSeen,
    Entry,
    EntryBlocked,
    FillSeen,
    HealthSeen,
    InputRefused,
    LevelsSet,
    OperatorAsked,
    Record,
    RunStarted,
    SessionMoved,
    SignalSeen,
    TradeMoved,
    TradeOpened,
    trade_of,
)
from fsm_trader.core.results import trade_result
from fsm_trader.core.signals import Signal
from fsm_trader.core.summary import summarise
from fsm_trader.core.trades import Trade

_WIDE = 108
_PIPE_WIDTH = 200
_SHOWN: tuple[type, ...] = (
    RunStarted,
    SessionMoved,
    HealthSeen,
    InputRefused,
    SignalSeen,
    EntryBlocked,
    TradeOpened,
    TradeMoved,
    FillSeen,
    LevelsSet,
    AlarmRaised,
    OperatorAsked,
)
_STYLES: dict[str, str] = {"ACTIVE": "green", "PENDING_EXIT": "yellow", "CLOSED": "bold", "FAILED": "red"}


def call(options: argparse.Namespace) -> int:
    """Run the day; the exit code says how it ended."""
    settings = settings_of(options.file)
    level = options.log or ("WARNING" if sys.stderr.isatty() else "INFO")
    # A pipe has no width of its own; one that holds the whole table serves a reader best.
    console = _SteadyConsole(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    view = View(console, quiet=options.quiet or options.json)
    with view.showing():
        outcome = run(settings, watch=view.watch, console_level=None if level == "none" else level)
    if options.json:
        print(json.dumps(_report(outcome), indent=2))
    elif not options.quiet:
        view.close(outcome)
    return outcome.exit_code


class _SteadyConsole(Console):
    """A console that falls silent when its reader leaves; the library's own would end the process, position and all."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


class View:
    """What a person sees of a run. A console that went away (a closed pipe) never disturbs the run."""

    def __init__(self, console: Console, *, quiet: bool) -> None:
        self._console = console
        self._quiet = quiet
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )
        self._task: TaskID | None = None
        self._plan: DayPlan | None = None
        self._said_hour = -1

    @contextlib.contextmanager
    def showing(self) -> Iterator[None]:
        """Show progress while the block runs."""
        with self._progress:
            yield

    def watch(self, label: str, plan: DayPlan) -> tuple[View, ...]:
        """Learn which day is run."""
        self._plan = plan
        self._task = self._progress.add_task("", total=(plan.square_off - plan.health_start).total_seconds())
        self._print(f"[bold]{label}[/bold]")
        return (self,)

    def committed(self, entries: Sequence[Entry], ledger: Ledger) -> None:
        """Print the rows a person wants to see."""
        for entry in entries:
            if isinstance(entry.record, _SHOWN) and not _is_idle_talk(entry.record, ledger):
                self._print(_line(entry))

    def passed(self, now: datetime) -> None:
        """Move the bar; without a terminal, say each hour once."""
        if self._quiet or self._plan is None or self._task is None:
            return
        done = (now - self._plan.health_start).total_seconds()
        self._progress.update(self._task, completed=max(done, 0), description=f"{now:%H:%M:%S}")
        if not self._console.is_terminal and now.hour != self._said_hour:
            self._said_hour = now.hour
            whole = (self._plan.square_off - self._plan.health_start).total_seconds()
            self._print(f"{now:%H:%M:%S}  ... {min(max(done / whole, 0), 1):.0%} of the day")

    def close(self, outcome: Outcome) -> None:
        """Print the closing table and how the run ended."""
        trades = outcome.ledger.session_trades
        if trades:
            self._print(closing_table(trades, outcome.ledger, width=self._console.width))
        else:
            self._print("No trade was opened.")
        left = [trade.trade_id for trade in outcome.ledger.open_trades]
        end = f"{', '.join(left)} still open; the next start goes on with it." if left else "Flat."
        self._print(f"{outcome.ledger.session}: {outcome.ledger.state}, {outcome.reason.replace('_', ' ')}. {end}")

    def _print(self, what: str | Table) -> None:
        if self._quiet:
            return
        try:
            self._console.print(what)
        except OSError:
            self._quiet = True


def closing_table(trades: Sequence[Trade], ledger: Ledger, *, width: int) -> Table:
    """Lay out trades with charges and net P&L, and their sums; a narrow terminal does without the contract's name."""
    wide = width >= _WIDE
    table = Table(title=f"Trades of {ledger.session}", box=SIMPLE_HEAD, padding=(0, 1 if wide else 0), pad_edge=False)
    for name in ("trade", *(["contract"] if wide else []), "quantity", "in", "out", "why", "gross", "charges", "net"):
        right = name in ("quantity", "in", "out", "gross", "charges", "net")
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    gross = charges = 0
    for trade in trades:
        result = trade_result(trade, mark_paise=ledger.marks.get(trade.contract.token))
        gross, charges = gross + result.gross_paise, charges + result.charges_paise
        is_over = trade.state in FINAL_TRADE_STATES
        table.add_row(
            trade.trade_id,
            *([trade.contract.tradingsymbol] if wide else []),
            str(result.quantity),
            _when_and_price(trade, Role.ENTRY, result.entry_paise),
            _when_and_price(trade, Role.EXIT, result.exit_paise),
            (trade.exit_reason or trade.reason).replace("_", " ") if is_over else f"open: {trade.state}",
            show_rupees(result.gross_paise),
            show_rupees(result.charges_paise),
            show_rupees(result.net_paise),
        )
    table.add_section()
    blank = [""] * (5 if wide else 4)
    table.add_row("sum", *blank, show_rupees(gross), show_rupees(charges), show_rupees(gross - charges))
    return table


def _report(outcome: Outcome) -> dict[str, object]:
    ledger = outcome.ledger
    return {
        "exit_code": outcome.exit_code,
        "reason": outcome.reason,
        "session": ledger.session,
        "state": ledger.state,
        "open_trades": [trade.trade_id for trade in ledger.open_trades],
        "trades": [
            {
                "trade_id": trade.trade_id,
                "strategy": trade.strategy,
                "state": trade.state,
                "tradingsymbol": trade.contract.tradingsymbol,
                "quantity": result.quantity,
                "entry_paise": result.entry_paise,
                "exit_paise": result.exit_paise,
                "reason": trade.exit_reason or trade.reason,
                "gross_paise": result.gross_paise,
                "charges_paise": result.charges_paise,
                "net_paise": result.net_paise,
            }
            for trade in ledger.session_trades
            for result in (trade_result(trade, mark_paise=ledger.marks.get(trade.contract.token)),)
        ],
    }


def _is_idle_talk(record: Record, ledger: Ledger) -> bool:
    """Tell whether a signal can change nothing: a BUY while the strategy is in, an EXIT while it is out."""
    if not isinstance(record, SignalSeen | EntryBlocked):
        return False
    is_in = any(trade.strategy == record.strategy for trade in ledger.open_trades)
    says_exit = isinstance(record, SignalSeen) and record.signal == Signal.EXIT
    return is_in != says_exit


def _line(entry: Entry) -> str:
    record: Record = entry.record
    style = _style(record)
    words = summarise(record).replace("[", r"\[")
    text = f"{entry.at:%H:%M:%S}  {trade_of(record) or 'session':<13}{words}"
    return f"[{style}]{text}[/{style}]" if style else text


def _style(record: Record) -> str:
    if isinstance(record, AlarmRaised):
        return "bold red"
    if isinstance(record, TradeMoved):
        return _STYLES.get(record.dest, "cyan")
    if isinstance(record, SessionMoved):
        return "bold cyan"
    return "dim" if isinstance(record, CandlesSeen | InputRefused | HealthSeen | EntryBlocked) else ""


def _when_and_price(trade: Trade, role: Role, price: int | None) -> str:
    fills = [fill for order in trade.orders_of(role) for fill in order.fills]
    return f"{max(fill.at for fill in fills):%H:%M} {show_rupees(price)}" if fills and price is not None else "-"
