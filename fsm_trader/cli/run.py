"""``run``: the day, with its progress, each transition as it happens, and a closing table."""

from __future__ import annotations

import argparse
import json
import sys

from fsm_trader.app.files import settings_of
from fsm_trader.app.run import Outcome, run
from fsm_trader.app.stops import StopSignals
from fsm_trader.cli.view import View
from fsm_trader.core.results import trade_result


def call(options: argparse.Namespace) -> int:
    """Run the day; the exit code says how it ended."""
    level = options.log or ("WARNING" if sys.stderr.isatty() else "INFO")
    with StopSignals() as stops:
        settings = settings_of(options.file)
        view = View(quiet=options.quiet or options.json)
        with view.showing():
            outcome = run(
                settings,
                watch=view.watch,
                console_level=None if level == "none" else level,
                console=view.log_lines if sys.stderr.isatty() else None,
                stops=stops,
            )
            view.close(outcome)
    if options.json:
        print(json.dumps(_report(outcome), indent=2))
    return outcome.exit_code


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
