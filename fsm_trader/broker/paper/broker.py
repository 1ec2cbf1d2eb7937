"""The paper broker: the Broker protocol over the matching engine, a book on disk, a clock and planned faults.

Every call first lets the market catch up with the clock and saves what happened; only then does it answer. It must not
know the trader: what it accepted it remembers in its own book, also when nobody was left to hear the answer.
"""

from __future__ import annotations

import threading
from collections import Counter
from datetime import datetime
from typing import Literal

from fsm_trader.broker.paper.book import PaperBook
from fsm_trader.broker.paper.faults import FaultPlan, OrderFaultKind, order_fault, read_fault
from fsm_trader.broker.paper.matching import FindContract, Market, Matching
from fsm_trader.broker.protocol import PriceSource
from fsm_trader.core.clock import Clock
from fsm_trader.core.orders import NetPosition, OrderBook, OrderRequest
from fsm_trader.core.settings import PaperSettings
from fsm_trader.errors import LoginRequiredError, OutcomeUnknownError, RefusedError, SetupError, UnavailableError


class PaperBroker:
    """A broker that trades paper money at given prices. Safe to call from several threads.

    Args:
        settings: how it behaves.
        clock: the world's time.
        prices: what was traded, and when.
        find_contract: the listed contract of a trading symbol, None when there is none.
        book: its file, with a play begun; the broker goes on from what is in it, and closes it.
        hours: when the market opens and closes, aware.
        faults: what goes wrong on purpose. Attempts are counted from the start of the process.

    Raises:
        SetupError: no play was begun in the book, or it cannot be read.
    """

    def __init__(  # noqa: PLR0913 - the composition root names every part of the world; all are keyword-only.
        self,
        *,
        settings: PaperSettings,
        clock: Clock,
        prices: PriceSource,
        find_contract: FindContract,
        book: PaperBook,
        hours: tuple[datetime, datetime],
        faults: FaultPlan | None = None,
    ) -> None:
        world = book.world
        if world is None:
            raise SetupError.at("paper broker", "a book in which no play was begun; expected PaperBook.begin before it")
        self._clock = clock
        self._book = book
        self._faults = faults
        self._attempts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        market = Market(prices, find_contract, opens_at=hours[0], closes_at=hours[1])
        self._matching = Matching(settings, market, id_prefix=world.id_prefix, progress=book.load())

    def check(self) -> None:
        """Let the market catch up; it fails only as planned, or when the book cannot be written."""
        with self._lock:
            self._catch_up_for_read()

    def place(self, request: OrderRequest) -> str:
        """Accept one order, save it, and return its id.

        Raises:
            RefusedError: the order is not acceptable, or a fault was planned; nothing was placed.
            OutcomeUnknownError: a fault was planned, or the book could not be written.
        """
        with self._lock:
            self._catch_up_for_order("place", request.tag)
            fault = self._fault_of("place", request.tag)
            try:
                order_id = self._matching.place(request, self._matching.now)
                self._save()
            except UnavailableError as error:
                raise OutcomeUnknownError(f"paper broker: order {request.tag!r} may be placed; {error}") from error
            except RefusedError as error:
                if fault != "lost_answer":
                    raise
                raise _lost("place", request.tag) from error
            if fault == "lost_answer":
                raise _lost("place", request.tag)
            return order_id

    def cancel(self, order_id: str) -> None:
        """Take a request to cancel and save it; the order book tells whether it succeeded.

        Raises:
            RefusedError: there is no such order, it is done, or a fault was planned.
            OutcomeUnknownError: a fault was planned, or the book could not be written.
        """
        with self._lock:
            tag = self._matching.tag_of(order_id) or order_id
            self._catch_up_for_order("cancel", tag)
            fault = self._fault_of("cancel", tag)
            try:
                self._matching.cancel(order_id, self._matching.now)
                self._save()
            except UnavailableError as error:
                raise OutcomeUnknownError(f"paper broker: order {order_id} may be cancelled; {error}") from error
            except RefusedError as error:
                if fault != "lost_answer":
                    raise
                raise _lost("cancel", tag) from error
            if fault == "lost_answer":
                raise _lost("cancel", tag)

    def book(self) -> OrderBook:
        """Return all orders and fills of this play.

        Raises:
            UnavailableError: a fault was planned (LoginRequiredError among them), or the book cannot be written.
        """
        with self._lock:
            self._catch_up_for_read()
            return self._matching.book()

    def positions(self) -> tuple[NetPosition, ...]:
        """Return what all fills of this play add up to.

        Raises:
            UnavailableError: a fault was planned (LoginRequiredError among them), or the book cannot be written.
        """
        with self._lock:
            self._catch_up_for_read()
            return self._matching.positions()

    def close(self) -> None:
        """Close the book; the world stands still until it is opened again."""
        with self._lock:
            self._book.close()

    def _catch_up(self) -> None:
        self._matching.advance(self._clock.now())
        self._save()

    def _save(self) -> None:
        progress = self._matching.unsaved()
        if progress.orders or progress.fills:
            # What could not be saved stays unsaved and goes with the next call.
            self._book.commit(progress)
            self._matching.mark_saved()

    def _catch_up_for_read(self) -> None:
        self._catch_up()
        fault = read_fault(self._faults, self._matching.now)
        if fault == "login_required":
            raise LoginRequiredError("paper broker: the token is not accepted (planned fault); a person must log in")
        if fault == "unavailable":
            raise UnavailableError("paper broker: no answer (planned fault); expected one; it is asked again")

    def _catch_up_for_order(self, call: str, tag: str) -> None:
        try:
            self._catch_up()
        except UnavailableError as error:
            raise RefusedError(f"paper broker: {call} {tag!r}: {error}; nothing was sent", may_pass=True) from error
        if read_fault(self._faults, self._matching.now) == "login_required":
            raise RefusedError(f"paper broker: {call} {tag!r}: the token is not accepted (planned fault)")

    def _fault_of(self, call: Literal["place", "cancel"], tag: str) -> OrderFaultKind | None:
        self._attempts[call, tag] += 1
        fault = order_fault(self._faults, call=call, tag=tag, attempt=self._attempts[call, tag])
        if fault == "lost_request":
            raise _lost(call, tag)
        if fault in ("busy", "refuse"):
            raise RefusedError(
                f"paper broker: {call} {tag!r}: {'too many requests' if fault == 'busy' else 'refused'} "
                "(planned fault); nothing was done",
                may_pass=fault == "busy",
            )
        return fault


def _lost(call: str, tag: str) -> OutcomeUnknownError:
    return OutcomeUnknownError(
        f"paper broker: {call} {tag!r}: no answer (planned fault); it may be done: look it up by its tag"
    )
