"""The market behind the sandbox: the paper broker's matching engine and book, told what time it is.

It keeps every order whole, where the Broker protocol shows only rows, and tells listeners what changed. It must not
know Kite's words, HTTP or clocks. One thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec

from fsm_trader.broker.paper.book import PaperBook
from fsm_trader.broker.paper.matching import Market, Matching
from fsm_trader.broker.paper.order import PaperOrder
from fsm_trader.core.contracts import OptionContract
from fsm_trader.core.orders import Fill, OrderBook, OrderRequest
from fsm_trader.core.settings import PaperSettings
from fsm_trader.errors import SetupError, UnavailableError
from fsm_trader.simulate.sandbox.day import PlayedDay
from fsm_trader.simulate.sandbox.tape import Tape

NO_TAG = "sbxNoTag"
"""Begins the stand-in that the engine is given for an order without a tag; no client may send one of its own."""

_MORE_DIGITS = "0000"
OnChange = Callable[["Change"], None]


class Change(msgspec.Struct, frozen=True):
    """An order as it was (None when it is new) and as it is."""

    before: PaperOrder | None
    after: PaperOrder


class Exchange:
    """Orders and fills of one play, saved in the book as they change.

    Args:
        settings: how the matching engine behaves.
        day: prices, hours, and what may be traded.
        book: the file, with a play begun; this closes it.

    Raises:
        SetupError: no play was begun in the book, or it cannot be read.
    """

    def __init__(self, settings: PaperSettings, day: PlayedDay, book: PaperBook) -> None:
        world = book.world
        if world is None:
            raise SetupError.at("sandbox", "a book in which no play was begun; expected PaperBook.begin before it")
        progress = book.load()
        self.settings = settings
        self.day = day
        self.play = world.play
        self.contracts = {contract.tradingsymbol: contract for contract in day.contracts}
        self._by_token = {contract.token: contract for contract in day.contracts}
        self._book = book
        self._tapes: dict[int, Tape] = {}
        self._orders = {order.order_id: order for order in progress.orders}
        self._fills: dict[str, list[Fill]] = {order.order_id: [] for order in progress.orders}
        self._listeners: list[OnChange] = []
        market = Market(day, self.contracts.get, opens_at=day.opens_at, closes_at=day.closes_at)
        # Four digits more make 19, as Kite's ids have had since August 2025.
        self._matching = Matching(settings, market, id_prefix=world.id_prefix + _MORE_DIGITS, progress=progress)
        for fill in progress.fills:
            self._fills[fill.order_id].append(fill)

    @property
    def now(self) -> datetime:
        """The instant everything is matched up to."""
        return self._matching.now

    @property
    def orders(self) -> tuple[PaperOrder, ...]:
        """All orders of this play, in the order they came."""
        return tuple(self._orders.values())

    def order(self, order_id: str) -> PaperOrder | None:
        """Return an order, None when there is none of that id."""
        return self._orders.get(order_id)

    def contract_of(self, token: int) -> OptionContract | None:
        """Return the option of a token, None for the index and for tokens that are not of this day."""
        return self._by_token.get(token)

    def fills_of(self, order_id: str) -> tuple[Fill, ...]:
        """Return the fills of an order, first one first."""
        return tuple(self._fills.get(order_id, ()))

    def engine_book(self) -> OrderBook:
        """Return the matching engine's own account of orders and fills."""
        return self._matching.book()

    def tape(self, token: int) -> Tape | None:
        """Return what an instrument shows, None for a token that is not of this day."""
        if token not in self._tapes:
            try:
                self._tapes[token] = Tape.of(self.day, token)
            except UnavailableError:
                # A client may ask for anything; that it is not there is the answer.
                return None
        return self._tapes[token]

    def listen(self, on_change: OnChange) -> None:
        """Tell *on_change* of every order that changes, once it is saved."""
        self._listeners.append(on_change)

    def advance(self, now: datetime) -> None:
        """Let everything happen up to *now*, and save it.

        Raises:
            UnavailableError: the book cannot be written; what happened is saved with the next call.
        """
        self._matching.advance(now)
        self._save()

    def place(self, request: OrderRequest) -> str:
        """Accept an order at the engine's present and return its id; one with an empty tag gets a stand-in.

        Raises:
            RefusedError: the order is not acceptable; nothing changed.
            UnavailableError: the book cannot be written; the order is saved with the next call.
        """
        if not request.tag:
            request = msgspec.structs.replace(request, tag=f"{NO_TAG}{len(self._orders) + 1:08d}")
        order_id = self._matching.place(request, self._matching.now)
        self._save()
        return order_id

    def cancel(self, order_id: str) -> None:
        """Ask for a cancellation at the engine's present.

        Raises:
            RefusedError: there is no such order, or it is done.
            UnavailableError: the book cannot be written; the request is saved with the next call.
        """
        self._matching.cancel(order_id, self._matching.now)
        self._save()

    def save_time(self) -> None:
        """Save the present alone, cheaply.

        Raises:
            UnavailableError: the book cannot be written.
        """
        self._book.save_now(self._matching.now)

    def finish(self) -> None:
        """Note that the day was played to its end.

        Raises:
            UnavailableError: the book cannot be written.
        """
        self._book.finish(self._matching.now)

    def close(self) -> None:
        """Close the book."""
        self._book.close()

    def _save(self) -> None:
        progress = self._matching.unsaved()
        if not progress.orders and not progress.fills:
            return
        self._book.commit(progress)
        self._matching.mark_saved()
        changes = [Change(self._orders.get(order.order_id), order) for order in progress.orders]
        for order in progress.orders:
            self._orders[order.order_id] = order
            self._fills.setdefault(order.order_id, [])
        for fill in progress.fills:
            self._fills[fill.order_id].append(fill)
        for change in changes:
            for listener in self._listeners:
                listener(change)
