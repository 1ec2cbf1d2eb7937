"""The command line up to the first decision about an open trade, where the process ends: run by ``restarts`` only."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from fsm_trader.cli.main import main
from fsm_trader.core.trades import Trade
from fsm_trader.engine.trades import TradeDesk


def decided(_desk: TradeDesk, trade: Trade, trigger: str, **_named: object) -> NoReturn:
    """Say what would be decided about, and end: nothing is closed, as nothing is when a process is killed."""
    print(f"{trade.trade_id} {trade.state} {trade.held} held: {trigger}", flush=True)
    os._exit(0)


if __name__ == "__main__":
    TradeDesk.step = decided  # type: ignore[method-assign]  # what comes after the first decision is not measured
    sys.exit(main(sys.argv[1:]))
