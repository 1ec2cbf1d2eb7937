"""What a journal comes to, in plain values: computed by the version that wrote it, and by every later one.

It uses only what 0.1.0 had, so that each release can be asked with this file.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fsm_trader.core.ledger import Ledger
from fsm_trader.core.records import Entry
from fsm_trader.core.results import trade_result
from fsm_trader.core.trades import Trade


def outcome_of(entries: Iterable[Entry]) -> dict[str, Any]:
    """Fold a whole journal; trades of every session in it, amounts in paise, times in ISO 8601."""
    ledger = Ledger()
    trades: dict[str, dict[str, Any]] = {}
    sessions: dict[str, str] = {}
    for entry in entries:
        ledger.apply(entry)
        sessions[ledger.session] = ledger.state
        trades |= {trade_id: _trade(trade) for trade_id, trade in ledger.trades.items()}
    return {
        "rows": ledger.seq,
        "at": ledger.at.isoformat() if ledger.at is not None else None,
        "sessions": sessions,
        "open_trades": [trade.trade_id for trade in ledger.open_trades],
        "halted": ledger.halted,
        "orders_today": ledger.orders_today,
        "next_trade_number": ledger.next_trade_number(),
        "marks": {str(token): price for token, price in sorted(ledger.marks.items())},
        "trades": trades,
    }


def _trade(trade: Trade) -> dict[str, Any]:
    result = trade_result(trade)
    return {
        "state": trade.state,
        "reason": trade.reason,
        "exit_reason": trade.exit_reason,
        "quantity": trade.quantity,
        "held": trade.held,
        "entry_paise": result.entry_paise,
        "exit_paise": result.exit_paise,
        "gross_paise": result.gross_paise,
        "charges_paise": result.charges_paise,
        "net_paise": result.net_paise,
        "stop_paise": trade.stop_paise,
        "target_paise": trade.target_paise,
        "hold_until": trade.hold_until.isoformat() if trade.hold_until is not None else None,
        "orders": [[order.tag, order.answer, order.order_id, order.filled] for order in trade.orders],
    }
