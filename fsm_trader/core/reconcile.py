"""What the broker holds against what the journal believes: pure findings, each with the rule that made it.

Positions are compared by exchange, symbol and product, over all open trades together. Foreign positions and foreign
parts of a position are left alone and named.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from fsm_trader.core.orders import NetPosition, OrderBook, OrderReport, Side, merge
from fsm_trader.core.tags import read_tag
from fsm_trader.core.trades import Trade

Key = tuple[str, str, str]


class Rule(StrEnum):
    """Which rule decided."""

    AS_BELIEVED = "as_believed"
    SOLD_OUTSIDE = "sold_outside"
    BIGGER_OUTSIDE = "bigger_outside"
    SHORT_OUTSIDE = "short_outside"
    FOREIGN_POSITION = "foreign_position"
    UNKNOWN_ORDER = "unknown_order"
    LATE_FILL = "late_fill"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing found.

    Args:
        trade_id: the trade it concerns, None for foreign positions and unknown orders.
        quantity: units concerned: believed, sold outside, too many, short, foreign, or filled.
        order_id: the order, for rules about orders; *tradingsymbol* the contract, for foreign positions.
        text: the finding in words.
    """

    rule: Rule
    trade_id: str | None
    quantity: int
    text: str
    order_id: str | None = None
    tradingsymbol: str = ""


def compare_positions(trades: Iterable[Trade], positions: Iterable[NetPosition]) -> tuple[Finding, ...]:
    """Compare what open trades hold with the broker's net positions.

    A trade with an order that may still fill is not judged: its position is moving. Where less is held than believed,
    the newest trade is taken as the one that was sold.

    Args:
        trades: all open trades.
        positions: a complete read, no older than the reads the trades were brought up to date with.
    """
    net = {(each.exchange, each.tradingsymbol, each.product): each.quantity for each in positions}
    by_key: dict[Key, list[Trade]] = {}
    for trade in trades:
        by_key.setdefault(key_of(trade), []).append(trade)
    found: list[Finding] = []
    for key, of_key in by_key.items():
        if not any(trade.has_open_order for trade in of_key):
            found += _judge(of_key, net.get(key, 0))
    for key, quantity in net.items():
        if quantity and key not in by_key:
            text = f"{quantity} {key[1]} ({key[2]}) are held and no open trade of ours holds them: left alone"
            found.append(
                Finding(rule=Rule.FOREIGN_POSITION, trade_id=None, quantity=quantity, text=text, tradingsymbol=key[1])
            )
    return tuple(found)


def net_in_book(book: OrderBook, key: Key) -> int | None:
    """Return what the orders of the day leave the account of a position; below zero: it is short.

    None where the book cannot tell: a row was left out, or the contract was also traded under another product, so that
    a part of the position may have been converted.
    """
    rows: dict[str, OrderReport] = {}
    for row in book.orders:
        if (row.exchange, row.tradingsymbol) == key[:2]:
            # A book may hold a row more than once.
            rows[row.order_id] = merge(rows.get(row.order_id), row)
    moved = [row for row in rows.values() if row.filled_quantity or not row.status.is_terminal]
    if not book.is_whole or any(row.product != key[2] for row in moved):
        return None
    return sum(row.filled_quantity if row.side is Side.BUY else -row.filled_quantity for row in moved)


def unknown_orders(known_tags: Iterable[str], reports: Iterable[OrderReport], *, owner: str) -> tuple[Finding, ...]:
    """Find orders in the book that carry our tag and that the journal never intended (I11)."""
    known = set(known_tags)
    found: list[Finding] = []
    for report in reports:
        parts = read_tag(report.tag)
        if parts is None or parts.owner != owner or report.tag in known:
            continue
        found.append(
            Finding(
                rule=Rule.UNKNOWN_ORDER,
                trade_id=None,
                quantity=report.filled_quantity,
                order_id=report.order_id,
                text=(
                    f"order {report.order_id} ({report.side} {report.quantity} {report.tradingsymbol}, "
                    f"{report.filled_quantity} filled, {report.status}) carries our tag {report.tag} "
                    "and is not in this journal"
                ),
            )
        )
    return tuple(found)


def key_of(trade: Trade) -> Key:
    """Return what a position of this trade is found under."""
    return (trade.contract.exchange, trade.contract.tradingsymbol, trade.product)


def _judge(trades: list[Trade], net: int) -> list[Finding]:
    believed = sum(trade.held for trade in trades)
    symbol = trades[0].contract.tradingsymbol
    if net == believed:
        return [
            Finding(
                rule=Rule.AS_BELIEVED,
                trade_id=trade.trade_id,
                quantity=trade.held,
                text=f"{trade.trade_id}: {trade.held} {symbol} are held, as believed",
            )
            for trade in trades
        ]
    if net > believed:
        text = f"{net} {symbol} are held, {net - believed} more than our {believed}: the rest is left alone"
        return [Finding(rule=Rule.BIGGER_OUTSIDE, trade_id=None, quantity=net - believed, text=text)]
    found = _sold(trades, believed - max(net, 0), symbol)
    if net < 0:
        text = f"{symbol} is sold short by {-net}, by nobody of ours: left alone"
        found.append(Finding(rule=Rule.SHORT_OUTSIDE, trade_id=None, quantity=-net, text=text))
    return found


def _sold(trades: list[Trade], missing: int, symbol: str) -> list[Finding]:
    found: list[Finding] = []
    for trade in reversed(trades):
        gone = min(missing, trade.held)
        if gone > 0:
            text = f"{trade.trade_id}: {gone} of {trade.held} {symbol} are not shown by the broker any more"
            found.append(Finding(rule=Rule.SOLD_OUTSIDE, trade_id=trade.trade_id, quantity=gone, text=text))
            missing -= gone
    return found
