"""Kite as a broker: one request is one order with one tag, and the book only ever grows.

It checks what Kite would refuse, since refused requests count; it reads orders before trades, so that no fill is
missing that an order shows; it keeps what was once seen, so that a late answer cannot take a fill back. What becomes of
an order it never guesses. It must not know trades, strategies or the journal.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import date, timedelta
from typing import Literal

from fsm_trader.broker.kite.pricing import marketable_limit
from fsm_trader.broker.paper.refusals import contract_faults, form_faults
from fsm_trader.core.clock import Clock
from fsm_trader.core.contracts import OptionContract
from fsm_trader.core.money import Paise
from fsm_trader.core.orders import (
    Fill,
    NetPosition,
    OrderBook,
    OrderKind,
    OrderReport,
    OrderRequest,
    OrderStatus,
    Side,
    merge,
)
from fsm_trader.core.tags import is_of_one_trade
from fsm_trader.errors import RefusedError, UnavailableError
from fsm_trader.kite.shapes import BookRead, order_form, read_book, read_positions
from fsm_trader.kite.wire import KiteWire

_LOG = logging.getLogger(__name__)

FindContract = Callable[[str], OptionContract | None]
"""Returns the contract of a trading symbol, None when it is not listed."""

OrderType = Literal["market", "limit"]
SEGMENT = "NFO"
# What an order may wait for its quote; then an exit leaves as a market order, and an entry not at all.
_QUOTE_WITHIN = timedelta(seconds=1)


class KiteBroker:
    """The Broker protocol over the wire, and ``PromptBroker``. Safe to call from several threads.

    Args:
        wire: every request goes through it.
        clock: the session's.
        find_contract: the contracts of today's dump.
        order_type: ``market`` sends a market order with its protection, which Kite turns into a limit order; ``limit``
            reads a quote and sends that limit order itself.
    """

    def __init__(
        self, *, wire: KiteWire, clock: Clock, find_contract: FindContract, order_type: OrderType = "market"
    ) -> None:
        self._wire = wire
        self._clock = clock
        self._find_contract = find_contract
        self._order_type = order_type
        self._lock = threading.Lock()
        self._day: date | None = None
        self._reports: dict[str, OrderReport] = {}
        self._fills: dict[tuple[str, str], Fill] = {}
        self._told: set[str] = set()

    def check(self) -> None:
        """Ask for the account. That its token works proves nothing about orders: a standing refusal is told too.

        Raises:
            LoginRequiredError: a person must log in.
            UnavailableError: no usable answer, no options on this account, or every order is refused.
        """
        exchanges = self._wire.profile().get("exchanges")
        if isinstance(exchanges, list) and SEGMENT not in exchanges:
            raise UnavailableError(f"Kite, profile: the account trades on {exchanges}; expected {SEGMENT} among them")
        refusal = self._wire.standing_refusal
        if refusal:
            raise UnavailableError(f"Kite takes no order at present, so no entry is sent: {refusal}")

    def place(self, request: OrderRequest) -> str:
        """Send one order, once, and return Kite's order id.

        A request above the freeze quantity is not cut up here: each order has an intent and a tag of its own.

        Raises:
            RefusedError: proved that no order exists; ``may_pass`` tells whether asking again can help.
            OutcomeUnknownError: an order may exist.
        """
        faults = self._faults(request)
        if faults:
            raise RefusedError(f"order {request.tag!r}: {'; '.join(faults)}; nothing was sent")
        form = order_form(request, limit_paise=self._limit(request))
        return self._wire.place(form, is_exit=request.side is Side.SELL)

    def cancel(self, order_id: str) -> None:
        """Ask for a cancellation; whether it happened is read from the book.

        Raises:
            RefusedError: the order cannot be cancelled (often because it is done).
            OutcomeUnknownError: no clear answer.
        """
        self._wire.cancel(order_id)

    def book(self) -> OrderBook:
        """Read all orders and fills of the day, and add what was seen of them before.

        Raises:
            UnavailableError: no usable answer (LoginRequiredError among them).
        """
        # The moment before the first request: whatever was sent earlier than this had its chance to show.
        read_at = self._clock.now()
        orders = self._wire.orders()
        return self._seen(read_book(orders, self._wire.trades(), read_at))

    def positions(self) -> tuple[NetPosition, ...]:
        """Read net positions by exchange, symbol and product, closed ones left out.

        Raises:
            UnavailableError: no usable answer (LoginRequiredError among them).
        """
        return read_positions(self._wire.positions())

    def glance(self, within: timedelta) -> tuple[OrderBook, tuple[NetPosition, ...]]:
        """Read book and net positions right before an exit: within that time, or not at all.

        Raises:
            UnavailableError: no usable answer in time (LoginRequiredError among them).
        """
        read_at = self._clock.now()
        orders, trades, positions = self._wire.glance(within)
        return self._seen(read_book(orders, trades, read_at)), read_positions(positions)

    def _faults(self, request: OrderRequest) -> tuple[str, ...]:
        contract = self._find_contract(request.tradingsymbol)
        if request.side is Side.SELL:
            # A position must not be kept from being left by a dump of ours that may be wrong: Kite judges.
            return form_faults(request)
        if contract is None:
            return (*form_faults(request), f"instrument {request.exchange}:{request.tradingsymbol} is not listed")
        return (*form_faults(request), *contract_faults(request, contract))

    def _limit(self, request: OrderRequest) -> Paise | None:
        """Return the limit to send a market order at, None to send it as it is.

        Raises:
            RefusedError: an entry has no price to go by; nothing was sent.
        """
        contract = self._find_contract(request.tradingsymbol)
        if self._order_type == "market" or request.kind is not OrderKind.MARKET or contract is None:
            return None
        key = f"{request.exchange}:{request.tradingsymbol}"
        try:
            quote = self._wire.quote([key], within=_QUOTE_WITHIN).get(key)
            sold = self._sold_parts(request)
            now = self._clock.now()
            return marketable_limit(quote, request, tick_paise=contract.tick_paise, now=now, sold_parts=sold)
        except UnavailableError as error:
            if request.side is Side.SELL:
                _LOG.warning("order %s leaves as a market order: %s", request.tag, error)
                return None
            raise RefusedError(f"order {request.tag!r}: {error}; nothing was sent", may_pass=True) from error
        except Exception as error:
            if request.side is Side.SELL:
                _LOG.exception("order %s leaves as a market order: its limit cannot be reckoned", request.tag)
                return None
            raise RefusedError(f"order {request.tag!r}: {error!r}; nothing was sent") from error

    def _sold_parts(self, request: OrderRequest) -> int:
        with self._lock:
            reports = tuple(self._reports.values())
        done = [row for row in reports if row.side is request.side and row.status is OrderStatus.COMPLETE]
        return sum(1 for row in done if is_of_one_trade(row.tag, request.tag))

    def _seen(self, read: BookRead) -> OrderBook:
        with self._lock:
            self._tell(read.left_out)
            return self._grown(read.book)

    def _grown(self, book: OrderBook) -> OrderBook:
        if self._day != book.read_at.date():
            # Kite's book is of one day; ids may come again.
            self._day = book.read_at.date()
            self._reports.clear()
            self._fills.clear()
        for report in book.orders:
            self._reports[report.order_id] = merge(self._reports.get(report.order_id), report)
        for fill in book.fills:
            self._fills.setdefault((fill.order_id, fill.fill_id), fill)
        return OrderBook(tuple(self._reports.values()), tuple(self._fills.values()), book.read_at, book.is_whole)

    def _tell(self, left_out: tuple[str, ...]) -> None:
        for text in left_out:
            if text not in self._told:
                self._told.add(text)
                _LOG.warning("Kite, order book: left out, since it is not ours and cannot be read: %s", text)
