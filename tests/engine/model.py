"""A small model of a trader's life: a broker whose every order has a fate told in advance, and what may be asked of it.

It shares no code with the paper broker and none with the engine. It knows what is held, every order and what became of
it, and what must never happen (the invariants of the architecture): ``wrongs`` is what it saw of that.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from fsm_trader.core.money import Paise
from fsm_trader.core.orders import Fill, NetPosition, OrderBook, OrderReport, OrderRequest, OrderStatus, Side
from fsm_trader.errors import LoginRequiredError, OutcomeUnknownError, RefusedError, UnavailableError

from .market import OPEN
from .oracles import Killed

# What may become of an order; a crash ends the process right before or after the broker takes it.
FATES = (
    "fill",
    "half",
    "rest",
    "late_fill",
    "reject",
    "refuse",
    "busy",
    "lost_answer",
    "lost_request",
    "late",
    "very_late",
    "killed_before",
    "killed_after",
)
CANCEL_FATES = ("done", "lost_answer", "lost_request", "refuse", "filled")

LATENCY = timedelta(milliseconds=300)
LATE = timedelta(seconds=25)
# Beyond the settling time. Only an entry may come as late as that: an exit is sent again after it, and the one that
# came last could sell what another trade holds. No protocol can do anything about such a broker.
VERY_LATE = timedelta(seconds=150)

_BEFORE = OPEN - timedelta(hours=1)


class Order(msgspec.Struct):
    """An order as the broker has it. *arrives* is when it takes it, *due* when it does the next thing by itself."""

    order_id: str
    request: OrderRequest
    fate: str
    arrives: datetime
    updated_at: datetime
    due: datetime | None
    filled: int = 0
    status: OrderStatus = OrderStatus.WORKING
    is_ours: bool = True


class World:
    """The broker, and what a person may do there.

    Attributes:
        fates, cancels: what becomes of the next orders and cancellations, first in, first out.
        silent_until, logged_out_until: until when reads fail; logged out, orders are refused too.
        changed_at: when anything last became different for one who reads.
        halted: the newest word of a person was halt or flatten.
    """

    def __init__(
        self, now: Callable[[], datetime], price: Callable[[], Paise], window: tuple[datetime, datetime]
    ) -> None:
        self._now, self._price, self._window = now, price, window
        self.orders: list[Order] = []
        self.fills: list[Fill] = []
        self.fates: list[str] = []
        self.cancels: list[str] = []
        self.wrongs: list[str] = []
        self.halted = False
        self.silent_until = self.logged_out_until = self.changed_at = _BEFORE

    # The broker's calls.

    def place(self, request: OrderRequest) -> str:
        now = self._turn()
        fate = self.fates.pop(0) if self.fates else "fill"
        self._judge(request, now)
        if fate == "killed_before":
            raise Killed
        if self.is_logged_out or fate in ("refuse", "busy"):
            raise RefusedError(f"model: {fate}", may_pass=fate == "busy" and not self.is_logged_out)
        if request.side is Side.SELL and request.quantity > self.sellable:
            raise RefusedError(f"model: {self.sellable} can be sold")
        if fate == "lost_request":
            raise OutcomeUnknownError("model: no answer, and none came")
        order = self._take(request, fate, now)
        if fate == "killed_after":
            raise Killed
        if fate in ("lost_answer", "late", "very_late"):
            raise OutcomeUnknownError("model: no answer")
        return order.order_id

    def cancel(self, order_id: str) -> None:
        self._turn()
        fate = self.cancels.pop(0) if self.cancels else "done"
        order = next(order for order in self.orders if order.order_id == order_id)
        if self.is_logged_out or order.status.is_terminal or fate == "refuse":
            raise RefusedError(f"model: {order.status}")
        if fate == "filled":
            self._fill(order, order.request.quantity - order.filled)
            raise RefusedError("model: just filled")
        if fate != "lost_request":
            self._end(order, OrderStatus.CANCELLED)
        if fate != "done":
            raise OutcomeUnknownError("model: no answer")

    def check(self) -> None:
        now = self._turn()
        if self.is_logged_out:
            raise LoginRequiredError("model: logged out")
        if now < self.silent_until:
            raise UnavailableError("model: silent")

    def book(self) -> OrderBook:
        self.check()
        return self.truth()

    def positions(self) -> tuple[NetPosition, ...]:
        self.check()
        return self.net()

    # What a person does on the broker's own screen.

    def sell_by_hand(self, like: OrderRequest, quantity: int) -> None:
        request = msgspec.structs.replace(like, side=Side.SELL, quantity=quantity, tag="BYHAND")
        order = self._take(request, "hand", self._turn())
        order.is_ours = False
        self._fill(order, quantity)

    def cancel_by_hand(self, order: Order) -> None:
        self._end(order, OrderStatus.CANCELLED)

    # What is true.

    def truth(self) -> OrderBook:
        now = self._turn()
        known = {order.order_id: order for order in self.orders if order.arrives <= now}
        fills = tuple(fill for fill in self.fills if fill.order_id in known)
        return OrderBook(tuple(_row(order) for order in known.values()), fills, now)

    def net(self) -> tuple[NetPosition, ...]:
        self._turn()
        if not self.orders or not self.held:
            return ()
        one = self.orders[0].request
        return (NetPosition(one.exchange, one.tradingsymbol, one.product, self.held),)

    @property
    def is_logged_out(self) -> bool:
        return self._now() < self.logged_out_until

    @property
    def held(self) -> int:
        return sum(order.filled if order.request.side is Side.BUY else -order.filled for order in self.orders)

    @property
    def working(self) -> list[Order]:
        return [order for order in self.orders if order.status is OrderStatus.WORKING]

    @property
    def arrived(self) -> list[Order]:
        return [order for order in self.working if order.arrives <= self._now()]

    @property
    def sellable(self) -> int:
        promised = (order.request.quantity - order.filled for order in self.arrived if order.request.side is Side.SELL)
        return self.held - sum(promised)

    def filled_of(self, tag: str) -> int:
        return sum(order.filled for order in self.orders if order.request.tag == tag)

    def bring_back(self) -> None:
        """End every trouble: what comes from here on is a broker as one wishes for."""
        self.fates.clear()
        self.cancels.clear()
        self.logged_out_until = self.silent_until = _BEFORE

    def _judge(self, request: OrderRequest, now: datetime) -> None:
        live = [order.request for order in self.working if order.is_ours and order.request.side is request.side]
        if any(other.tag[:12] == request.tag[:12] for other in live):
            self.wrongs.append(f"I2: {request.tag} at {now:%H:%M:%S} beside a live one of its kind")
        if request.side is Side.BUY and (self.halted or not self._window[0] <= now < self._window[1]):
            self.wrongs.append(f"I9: {request.tag} at {now:%H:%M:%S}, halted: {self.halted}")
        if any(order.request.tag == request.tag for order in self.orders):
            self.wrongs.append(f"I6: {request.tag} at {now:%H:%M:%S} a second time")

    def _take(self, request: OrderRequest, fate: str, now: datetime) -> Order:
        is_entry = request.side is Side.BUY
        wait = {"late": LATE, "very_late": VERY_LATE if is_entry else LATE}.get(fate, timedelta(0))
        due = None if fate in ("rest", "hand") else now + wait + (LATE if fate == "late_fill" else LATENCY)
        order = Order(f"M{len(self.orders) + 1:05d}", request, fate, now + wait, now + wait, due)
        self.orders.append(order)
        self.changed_at = now
        return order

    def _turn(self) -> datetime:
        """Let everything happen that was due."""
        now = self._now()
        for order in self.working:
            if order.due is not None and order.due <= now:
                order.due = None
                left = order.request.quantity - order.filled
                # A sale that comes in when another one was quicker is turned down.
                if order.fate == "reject" or (order.request.side is Side.SELL and left > self.held):
                    self._end(order, OrderStatus.REJECTED)
                elif order.fate == "half":
                    self._fill(order, order.request.quantity // 2)
                else:
                    self._fill(order, left)
        return now

    def _fill(self, order: Order, quantity: int) -> None:
        order.filled += quantity
        number = f"{order.order_id}-{len(self.fills) + 1}"
        self.fills.append(Fill(number, order.order_id, quantity, self._price(), self._now()))
        if order.filled == order.request.quantity:
            order.status = OrderStatus.COMPLETE
        self.changed_at = order.updated_at = self._now()

    def _end(self, order: Order, status: OrderStatus) -> None:
        order.status, order.due = status, None
        self.changed_at = order.updated_at = self._now()


def _row(order: Order) -> OrderReport:
    request = order.request
    return OrderReport(
        order_id=order.order_id,
        tag=request.tag,
        exchange=request.exchange,
        tradingsymbol=request.tradingsymbol,
        token=request.token,
        side=request.side,
        product=request.product,
        quantity=request.quantity,
        filled_quantity=order.filled,
        status=order.status,
        updated_at=order.updated_at,
    )
