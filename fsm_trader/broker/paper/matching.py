"""The matching engine: orders and prices in, states and fills out, in the order of time.

Pure: no clock, file or random number. It serves the paper broker, and whoever else needs a market. What happens does
not depend on how often ``advance`` is called: an order is looked at when it is due and at each price, and never else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

import msgspec

from fsm_trader.broker.paper.execution import Seen, Step, band_limit, end_by_cancel, end_by_close, meet_price, run_due
from fsm_trader.broker.paper.order import PaperOrder, row_of
from fsm_trader.broker.paper.refusals import request_faults
from fsm_trader.broker.protocol import PriceSource
from fsm_trader.core.contracts import OptionContract
from fsm_trader.core.money import Paise
from fsm_trader.core.orders import Fill, NetPosition, OrderBook, OrderKind, OrderReport, OrderRequest, Side
from fsm_trader.core.settings import PaperSettings
from fsm_trader.errors import RefusedError, UnavailableError

FindContract = Callable[[str], OptionContract | None]
"""Returns the contract of a trading symbol, None when it is not listed."""

_TICK_OF_TIME = timedelta(microseconds=1)


class Market(msgspec.Struct, frozen=True):
    """Where orders meet.

    Args:
        prices: what was traded, and when.
        find_contract: the listed contracts.
        opens_at: orders are taken from here on.
        closes_at: orders are taken before this; what is working then is cancelled.
    """

    prices: PriceSource
    find_contract: FindContract
    opens_at: datetime
    closes_at: datetime


class Progress(msgspec.Struct, frozen=True):
    """How far a world has come: its present, its orders and fills so far. Handed in again, it goes on from there."""

    now: datetime
    orders: tuple[PaperOrder, ...] = ()
    fills: tuple[Fill, ...] = ()


class Matching:
    """Matches orders against prices.

    Args:
        settings: latency, spread, slippage and the chances of rejections and partial fills.
        market: prices, contracts and hours.
        id_prefix: what all order ids begin with; a different one for every play keeps ids apart.
        progress: where to go on from.
        may_short: sell what is not held, as a real account with margin would; for drills, which must see it happen.
    """

    def __init__(
        self, settings: PaperSettings, market: Market, *, id_prefix: str, progress: Progress, may_short: bool = False
    ) -> None:
        self._settings = settings
        self._market = market
        self._id_prefix = id_prefix
        self._may_short = may_short
        self._now = progress.now
        self._orders: dict[str, PaperOrder] = {}
        self._rows: dict[str, OrderReport] = {}
        self._working: dict[str, PaperOrder] = {}
        self._fills: list[Fill] = []
        self._held: dict[tuple[str, str, str], int] = {}
        self._unsaved_orders: dict[str, PaperOrder] = {}
        self._saved_fills = len(progress.fills)
        for order in sorted(progress.orders, key=lambda order: order.number):
            self._keep(order)
        for fill in progress.fills:
            self._book(fill)
        self._unsaved_orders.clear()

    @property
    def now(self) -> datetime:
        """The instant everything is matched up to."""
        return self._now

    def place(self, request: OrderRequest, at: datetime) -> str:
        """Accept an order that arrives at *at* and return its id; it can fill from *at* plus the latency on.

        An arrival before the engine's present counts as arriving now.

        Raises:
            RefusedError: the order is not acceptable; all reasons are named and nothing changed.
        """
        self.advance(at)
        contract = self._market.find_contract(request.tradingsymbol)
        faults = [*self._hours_faults(), *request_faults(request, contract, sellable=self._sellable(request))]
        if faults or contract is None:
            raise _refused(request, faults)
        order = self._new_order(request, contract)
        self._keep(order)
        self.advance(self._now)
        return order.order_id

    def cancel(self, order_id: str, at: datetime) -> None:
        """Ask at *at* for a cancellation, which takes effect after the latency unless the order fills before.

        Asking again while it is under way changes nothing.

        Raises:
            RefusedError: there is no such order, or it is done.
        """
        self.advance(at)
        order = self._orders.get(order_id)
        if order is None:
            raise RefusedError(f"paper broker: cancel of {order_id!r}: no such order today; nothing was changed")
        if order.is_done:
            raise RefusedError(
                f"paper broker: cancel of {order_id}: the order cannot be cancelled, it is {order.state}; "
                "nothing was changed"
            )
        if order.cancel_at is None:
            cancel_at = self._now + self._settings.latency
            self._keep(msgspec.structs.replace(order, cancel_at=cancel_at, updated_at=self._now))
            self.advance(self._now)

    def advance(self, until: datetime) -> None:
        """Let everything happen that happens up to and at *until*; an instant in the past changes nothing.

        At one instant prices come first, then what is due, in the order of arrival.

        Raises:
            UnavailableError: the price source gives no price for a working order; nothing changed.
        """
        if until < self._now:
            return
        if self._working:
            self._play(min(until, self._market.closes_at))
        if until >= self._market.closes_at:
            for order in tuple(self._working.values()):
                self._take(end_by_close(order, self._market.closes_at))
        self._now = until

    def book(self) -> OrderBook:
        """Return all orders and fills, as of the engine's present."""
        return OrderBook(tuple(self._rows.values()), tuple(self._fills), self._now)

    def tag_of(self, order_id: str) -> str | None:
        """Return the tag of an order, None when there is no such order."""
        order = self._orders.get(order_id)
        return None if order is None else order.request.tag

    def positions(self) -> tuple[NetPosition, ...]:
        """Return what the fills add up to, closed positions left out."""
        return tuple(NetPosition(*key, quantity) for key, quantity in self._held.items() if quantity)

    def unsaved(self) -> Progress:
        """Return the orders changed and the fills made since the last ``mark_saved``."""
        return Progress(self._now, tuple(self._unsaved_orders.values()), tuple(self._fills[self._saved_fills :]))

    def mark_saved(self) -> None:
        """Note that all of ``unsaved`` is safe."""
        self._unsaved_orders.clear()
        self._saved_fills = len(self._fills)

    def _new_order(self, request: OrderRequest, contract: OptionContract) -> PaperOrder:
        try:
            last = self._standing_price(contract.token)
        except UnavailableError as error:
            raise _refused(request, [f"{contract.tradingsymbol} has no price yet"]) from error
        number = len(self._orders) + 1
        order = PaperOrder(
            order_id=f"{self._id_prefix}{number:06d}",
            number=number,
            request=request,
            lot_size=contract.lot_size,
            tick_paise=contract.tick_paise,
            arrived_at=self._now,
            updated_at=self._now,
            due=self._now + self._settings.latency,
            limit_paise=request.price_paise,
        )
        if request.kind is not OrderKind.MARKET:
            return order
        return msgspec.structs.replace(order, limit_paise=band_limit(order, last))

    def _play(self, horizon: datetime) -> None:
        # All prices are read before anything changes, so that a source that fails leaves nothing half done.
        tokens = sorted({order.request.token for order in self._working.values()})
        standing = {token: self._standing_price(token) for token in tokens}
        points = [
            (at, token, last)
            for token in tokens
            for at, last in self._market.prices.prices(token, after=self._now, until=horizon)
            # The source also tells the price that stood before: it is in `standing`.
            if self._now < at <= horizon
        ]
        for at, token, last in sorted(points, key=lambda point: point[0]):
            self._run_due_until(at - _TICK_OF_TIME, standing)
            standing[token] = last
            self._show(token, Seen(at, last))
        self._run_due_until(horizon, standing)

    def _run_due_until(self, limit: datetime, standing: dict[int, Paise]) -> None:
        # Each turn uses up a due time or a cancellation, and an order has at most three of them in its life.
        while (found := self._next_due()) is not None and found[0] <= limit:
            at, is_cancel, order_id = found
            order = self._working[order_id]
            if is_cancel:
                self._take(end_by_cancel(order, at))
            else:
                self._take(run_due(order, Seen(at, standing[order.request.token]), self._settings))

    def _next_due(self) -> tuple[datetime, bool, str] | None:
        working = self._working.values()
        dues = [(order.due, False, order.order_id) for order in working if order.due is not None]
        cancels = [(order.cancel_at, True, order.order_id) for order in working if order.cancel_at is not None]
        return min([*dues, *cancels], default=None)

    def _show(self, token: int, seen: Seen) -> None:
        for order in tuple(self._working.values()):
            if order.request.token == token and order.due is None:
                self._take(meet_price(order, seen, self._settings))

    def _take(self, step: Step) -> None:
        if step.order is not self._orders[step.order.order_id]:
            self._keep(step.order)
        if step.fill is not None:
            self._book(step.fill)

    def _keep(self, order: PaperOrder) -> None:
        self._orders[order.order_id] = self._unsaved_orders[order.order_id] = order
        self._rows[order.order_id] = row_of(order)
        if order.is_done:
            self._working.pop(order.order_id, None)
        else:
            self._working[order.order_id] = order

    def _book(self, fill: Fill) -> None:
        request = self._orders[fill.order_id].request
        key = (request.exchange, request.tradingsymbol, request.product)
        signed = fill.quantity if request.side is Side.BUY else -fill.quantity
        self._held[key] = self._held.get(key, 0) + signed
        self._fills.append(fill)

    def _sellable(self, request: OrderRequest) -> int:
        if self._may_short:
            return request.quantity
        key = (request.exchange, request.tradingsymbol, request.product)
        promised = sum(
            order.open_quantity
            for order in self._working.values()
            if order.request.side is Side.SELL
            and (order.request.exchange, order.request.tradingsymbol, order.request.product) == key
        )
        return self._held.get(key, 0) - promised

    def _hours_faults(self) -> tuple[str, ...]:
        opens, closes = self._market.opens_at, self._market.closes_at
        if opens <= self._now < closes:
            return ()
        return (f"time {self._now.isoformat()}; orders are taken from {opens.isoformat()} to {closes.isoformat()}",)

    def _standing_price(self, token: int) -> Paise:
        points = self._market.prices.prices(token, after=self._now, until=self._now)
        if not points:
            raise UnavailableError(
                f"paper broker: token {token} has no price at {self._now.isoformat()}; expected the last one traded; "
                "nothing changed"
            )
        return points[-1][1]


def _refused(request: OrderRequest, faults: Iterable[str]) -> RefusedError:
    return RefusedError(f"paper broker: order {request.tag!r}: {'; '.join(faults)}; nothing was placed")
