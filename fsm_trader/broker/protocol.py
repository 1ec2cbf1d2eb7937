"""The Broker protocol: what every adapter promises, kept by one contract suite (tests/contract)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

from fsm_trader.core.money import Paise
from fsm_trader.core.orders import NetPosition, OrderBook, OrderRequest


class Broker(Protocol):
    """A place that takes orders and tells what became of them. Safe to call from several threads."""

    def check(self) -> None:
        """Ask whether the account answers and our token works.

        Raises:
            LoginRequiredError: a person must log in.
            UnavailableError: no usable answer.
        """
        ...

    def place(self, request: OrderRequest) -> str:
        """Send one order, once, and return the broker's order id. Its fate is read from the book.

        Raises:
            RefusedError: proved that no order exists; ``may_pass`` tells whether asking again can help.
            OutcomeUnknownError: an order may exist.
        """
        ...

    def cancel(self, order_id: str) -> None:
        """Ask for a cancellation; whether it happened is read from the book.

        Raises:
            RefusedError: the order cannot be cancelled (often because it is done).
            OutcomeUnknownError: no clear answer.
        """
        ...

    def book(self) -> OrderBook:
        """Read all orders and fills of the day, completely.

        Raises:
            UnavailableError: no usable answer (LoginRequiredError among them).
        """
        ...

    def positions(self) -> tuple[NetPosition, ...]:
        """Read net positions, closed ones (quantity 0) left out.

        Raises:
            UnavailableError: no usable answer.
        """
        ...


@runtime_checkable
class PromptBroker(Protocol):
    """A broker that also answers in a hurry; one that reads its own memory has no need to."""

    def glance(self, within: timedelta) -> tuple[OrderBook, tuple[NetPosition, ...]]:
        """Read book and net positions right before an exit: within that time, or not at all.

        Args:
            within: all of it must be read by then, on real time; the exit is waiting.

        Raises:
            UnavailableError: no usable answer in time (LoginRequiredError among them).
        """
        ...


class PriceSource(Protocol):
    """The market as a matching engine sees it."""

    def prices(self, token: int, *, after: datetime, until: datetime) -> tuple[tuple[datetime, Paise], ...]:
        """Return the prices an instrument traded at in (*after*, *until*], in time order.

        The price that stands at *until* closes the list even when it was set earlier; empty when none is known.
        """
        ...
