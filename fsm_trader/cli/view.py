"""What a person sees of a run: a bar, a line for each row that matters, a closing table.

Whatever the screen does, the run is not disturbed: rows are laid out and printed by a printer, never where they happen.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import TextIO, cast

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from fsm_trader.app.run import Outcome
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
from fsm_trader.ops.printer import Act, Outlet, Printer

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


class _SteadyConsole(Console):
    """A console that falls silent when its reader leaves; the library's own would end the process, position and all."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


class _LogLines(io.TextIOBase):
    """Takes the lines of the log where they share the terminal with the bar, which moves out of their way."""

    def __init__(self, view: View) -> None:
        self._view = view

    def write(self, text: str, /) -> int:
        self._view.print(Text(text.removesuffix("\n")))
        return len(text)


class View:
    """Shows a run on standard output, from a thread of its own: no reader and no fault of the screen disturbs the run.

    Args:
        quiet: shows nothing.
    """

    def __init__(self, *, quiet: bool) -> None:
        outlet = Outlet(sys.stdout)
        # A pipe has no width of its own; one that holds the whole table serves a reader best.
        file = cast("TextIO", outlet)  # All that the library asks of one is there.
        self._console = _SteadyConsole(file=file, highlight=False, width=None if outlet.isatty() else _PIPE_WIDTH)
        self._printer = None if quiet else Printer(outlet)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task: TaskID | None = None
        self._plan: DayPlan | None = None
        self._said_hour = -1

    @property
    def log_lines(self) -> io.TextIOBase | None:
        """Where log lines go that are for the same terminal, None where they need no such care."""
        return _LogLines(self) if self._printer is not None and self._console.is_terminal else None

    @contextlib.contextmanager
    def showing(self) -> Iterator[None]:
        """Show progress while the block runs, and finish what waits to be printed after it, within 10 s."""
        self._do(self._progress.start)
        try:
            yield
        finally:
            self._finish()

    def watch(self, label: str, plan: DayPlan) -> tuple[View, ...]:
        """Learn which day is run."""
        self._plan = plan
        self._do(partial(self._begin_bar, (plan.square_off - plan.health_start).total_seconds()))
        self.print(Text(label, style="bold"))
        return (self,)

    def committed(self, entries: Sequence[Entry], ledger: Ledger) -> None:
        """Print the rows a person wants to see."""
        for entry in entries:
            if isinstance(entry.record, _SHOWN) and not _is_idle_talk(entry.record, ledger):
                self._do(partial(self._print_row, entry))

    def passed(self, now: datetime) -> None:
        """Move the bar; without a terminal, say each hour once."""
        if self._printer is None or self._plan is None:
            return
        if self._console.is_terminal:
            done = (now - self._plan.health_start).total_seconds()
            self._printer.replace(partial(self._move_bar, max(done, 0), f"{now:%H:%M:%S}"))
        elif now.hour != self._said_hour:
            self._said_hour = now.hour
            self._do(partial(self._print_hour, now, self._plan))

    def close(self, outcome: Outcome) -> None:
        """Print the closing table and how the run ended."""
        self._do(self._progress.stop)
        self._do(partial(self._print_end, outcome))

    def print(self, text: Text) -> None:
        """Have a line printed; it must not be changed any more."""
        self._do(partial(self._console.print, text))

    def _do(self, act: Act) -> None:
        if self._printer is not None:
            self._printer.put(act)

    def _print_row(self, entry: Entry) -> None:
        self._console.print(_line(entry))

    def _print_hour(self, now: datetime, plan: DayPlan) -> None:
        part = (now - plan.health_start) / (plan.square_off - plan.health_start)
        self._console.print(Text(f"{now:%H:%M:%S}  ... {min(max(part, 0), 1):.0%} of the day"))

    def _print_end(self, outcome: Outcome) -> None:
        trades = outcome.ledger.session_trades
        if trades:
            self._console.print(closing_table(trades, outcome.ledger, width=self._console.width))
        else:
            self._console.print(Text("No trade was opened."))
        left = [trade.trade_id for trade in outcome.ledger.open_trades]
        end = f"{', '.join(left)} still open; the next start goes on with it." if left else "Flat."
        reason = outcome.reason.replace("_", " ")
        self._console.print(Text(f"{outcome.ledger.session}: {outcome.ledger.state}, {reason}. {end}"))

    def _begin_bar(self, total_s: float) -> None:
        self._task = self._progress.add_task("", total=total_s)

    def _move_bar(self, done_s: float, description: str) -> None:
        if self._task is not None:
            self._progress.update(self._task, completed=done_s, description=description)

    def _finish(self) -> None:
        self._do(self._progress.stop)
        lost = 0 if self._printer is None else self._printer.close()
        if lost and not self._console.quiet:
            # The reader of standard error may sleep as well.
            errors = Printer(Outlet(sys.stderr))
            errors.print(
                f"lines that could not be shown: {lost}; they were not read in time, or could not be written\n"
            )
            errors.close()


def closing_table(trades: Sequence[Trade], ledger: Ledger, *, width: int) -> Table:
    """Lay out trades with charges and net P&L, and their sums; a narrow terminal does without the contract's name."""
    wide = width >= _WIDE
    # Texts, not strings: a string would be read as markup, and reasons and names come from others.
    title = Text(f"Trades of {ledger.session}", style="table.title")
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1 if wide else 0), pad_edge=False)
    for name in ("trade", *(["contract"] if wide else []), "quantity", "in", "out", "why", "gross", "charges", "net"):
        right = name in ("quantity", "in", "out", "gross", "charges", "net")
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    gross = charges = 0
    for trade in trades:
        result = trade_result(trade, mark_paise=ledger.marks.get(trade.contract.token))
        gross, charges = gross + result.gross_paise, charges + result.charges_paise
        is_over = trade.state in FINAL_TRADE_STATES
        cells = (
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
        table.add_row(*map(Text, cells))
    table.add_section()
    blank = [""] * (5 if wide else 4)
    table.add_row("sum", *blank, show_rupees(gross), show_rupees(charges), show_rupees(gross - charges))
    return table


def _is_idle_talk(record: Record, ledger: Ledger) -> bool:
    """Tell whether a signal can change nothing: a BUY while the strategy is in, an EXIT while it is out."""
    if not isinstance(record, SignalSeen | EntryBlocked):
        return False
    is_in = any(trade.strategy == record.strategy for trade in ledger.open_trades)
    says_exit = isinstance(record, SignalSeen) and record.signal == Signal.EXIT
    return is_in != says_exit


def _line(entry: Entry) -> Text:
    record: Record = entry.record
    words = f"{entry.at:%H:%M:%S}  {trade_of(record) or 'session':<13}{summarise(record)}"
    return Text(words, style=_style(record))


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
