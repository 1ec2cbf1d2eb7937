"""Profit and loss of trades and of a day: gross, charges, net. Exact, in paise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

import msgspec

from fsm_trader.core.charges import FIRST_DAY, charges
from fsm_trader.core.money import Paise, nearest_paise
from fsm_trader.core.orders import Role
from fsm_trader.core.trades import Trade


class TradeResult(msgspec.Struct, frozen=True):
    """What a trade has made so far. *entry_paise* and *exit_paise* are average prices to the nearest paisa.

    *charges_are_known* is False for a day before the table of charges begins: they count as zero.
    """

    trade_id: str
    quantity: int
    entry_paise: Paise | None
    exit_paise: Paise | None
    gross_paise: Paise
    charges_paise: Paise
    charges_are_known: bool = True

    @property
    def net_paise(self) -> Paise:
        """Gross less charges."""
        return Paise(self.gross_paise - self.charges_paise)


def trade_result(trade: Trade, *, mark_paise: int | None = None) -> TradeResult:
    """Compute a trade's result; units still held count at *mark_paise*, or at cost where None."""
    bought, sold = trade.value_paise(Role.ENTRY), trade.value_paise(Role.EXIT)
    cost, day = Paise(0), _day_of(trade)
    if trade.executed_orders and day >= FIRST_DAY:
        cost = charges(day=day, bought_paise=bought, sold_paise=sold, orders=trade.executed_orders).total
    entry, leave = trade.average_paise(Role.ENTRY), trade.average_paise(Role.EXIT)
    return TradeResult(
        trade_id=trade.trade_id,
        quantity=trade.filled(Role.ENTRY),
        entry_paise=None if entry is None else nearest_paise(entry),
        exit_paise=None if leave is None else nearest_paise(leave),
        gross_paise=Paise(trade.gross_paise(mark_paise)),
        charges_paise=cost,
        charges_are_known=day >= FIRST_DAY,
    )


class Nets:
    """Net results, asked for again and again: one is reckoned anew only where its trade or its price has changed."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Trade, int | None, int]] = {}
        self._asked: Sequence[Trade] | None = None
        self._held_at: tuple[tuple[int, int | None], ...] = ()
        self._total = 0

    def of(self, trades: Sequence[Trade], marks: Mapping[int, int]) -> int:
        """Return the net result in paise of *trades*, open ones at the newest price of their contract.

        Of a tuple that was asked for last time too only the prices of what is held are looked at: it cannot change.
        """
        is_same = trades is self._asked and isinstance(trades, tuple)
        if not is_same or any(marks.get(token) != mark for token, mark in self._held_at):
            self._asked = trades
            self._held_at = tuple((token, marks.get(token)) for token in {_token(each) for each in trades if each.held})
            self._total = self._sum(trades, marks)
        return self._total

    def _sum(self, trades: Iterable[Trade], marks: Mapping[int, int]) -> int:
        before, self._known = self._known, {}
        total = 0
        for trade in trades:
            mark = marks.get(_token(trade))
            kept = before.get(trade.trade_id)
            if kept is None or kept[0] is not trade or kept[1] != mark:
                kept = (trade, mark, trade_result(trade, mark_paise=mark).net_paise)
            self._known[trade.trade_id] = kept
            total += kept[2]
        return total


def net_of(trades: Sequence[Trade], marks: Mapping[int, int]) -> int:
    """Net result in paise of *trades*, open ones at the newest price of their contract."""
    return Nets().of(trades, marks)


def _token(trade: Trade) -> int:
    return trade.contract.token


def _day_of(trade: Trade) -> date:
    return (trade.filled_at or trade.opened_at).date()
