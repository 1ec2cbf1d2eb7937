"""A broker with planned trouble, over the paper matching engine. It outlives every process of the trader.

It plays the world's part: it loses answers, takes orders late, shows old books, refuses, lets people trade by hand.
What is true it keeps apart from what it shows. It must not know the trader or its journal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random  # noqa: TID251 - seeded: the same trouble every time

import msgspec

from fsm_trader.broker.paper.matching import FindContract, Matching
from fsm_trader.core.clock import Clock
from fsm_trader.core.contracts import OptionContract
from fsm_trader.core.orders import (
    Fill,
    NetPosition,
    OrderBook,
    OrderKind,
    OrderReport,
    OrderRequest,
    OrderStatus,
    Side,
)
from fsm_trader.core.parts import next_part
from fsm_trader.core.tags import read_tag
from fsm_trader.errors import LoginRequiredError, OutcomeUnknownError, RefusedError, UnavailableError
from fsm_trader.simulate.drill.crash import Boundaries
from fsm_trader.simulate.drill.scenario import HandKind, Mishap, Scenario, SpellKind

# What people put on their orders: not one of our tags.
_HAND = "BYHAND"

# Longer than any age a decision may be made on.
_NOT_TRADED = timedelta(minutes=20)

Key = tuple[str, str, str]
"""Exchange, trading symbol and product: what a position is found under."""

Later = Callable[[datetime, Callable[[], None]], None]
"""Has the world do something at a moment."""


class ShakyBroker:
    """The Broker protocol as one process sees it, and the truth behind it.

    Args:
        truth: the matching engine.
        clock: the world's time.
        find_contract: what is listed.
        opens_at: what the scenario's seconds are counted from.
        scenario: the trouble that is planned.
        later: has the world do something at a moment: an order that is still on its way arrives.

    Attributes:
        boundaries: of the process that calls now.
        watch: told of each order request before the broker does anything about it.
        under_way: requests that will still arrive.
        met: how often each planned trouble was met, by name.
        foreign: units bought by hand, by exchange, symbol and product; *sold_by_hand_at* when ours were last sold.
        told_at: when it last told its positions.
        crossed: units that people sold while an order of ours was selling them.
    """

    def __init__(
        self,
        truth: Matching,
        clock: Clock,
        *,
        find_contract: FindContract,
        opens_at: datetime,
        scenario: Scenario,
        later: Later,
    ) -> None:
        self.truth = truth
        self.boundaries = Boundaries(None)
        self.watch: Callable[[OrderRequest], None] = lambda _request: None
        self.under_way: list[OrderRequest] = []
        self.met: Counter[str] = Counter()
        self.foreign: Counter[Key] = Counter()
        self.sold_by_hand_at: dict[Key, datetime] = {}
        self.told_at: datetime | None = None
        self.crossed: Counter[Key] = Counter()
        self._clock = clock
        self.find_contract = find_contract
        self._opens_at = opens_at
        self._scenario = scenario
        self._kinds = frozenset(spell.kind for spell in scenario.spells)
        self._later = later
        self._draw = Random(scenario.seed + 7)  # noqa: S311 - a drill must be repeatable, not unguessable
        self._calls: Counter[tuple[str, str]] = Counter()
        self._versions: dict[str, list[OrderReport]] = {}
        self._taken_at: dict[str, datetime] = {}

    # What the trader calls.

    def check(self) -> None:
        """Answer, unless silence is planned."""
        self._cross("check called")
        self._answer_read("check")
        self._cross("check returned")

    def place(self, request: OrderRequest) -> str:
        """Take an order, or what is planned instead."""
        self._cross("place called")
        self.watch(request)
        now = self._advance()
        self._refuse_logged_out("place")
        mishap = self._mishap("place", request.side)
        kind = mishap.kind if mishap else None
        if kind in ("busy", "refuse"):
            self._cross("place returned")
            raise RefusedError(f"drill broker: {request.tag}: {kind} (planned)", may_pass=kind == "busy")
        if kind == "late_arrival" and mishap is not None:
            self.under_way.append(request)
            self._later(now + timedelta(seconds=mishap.delay_s), lambda: self._arrive(request))
        if kind in ("lost_request", "server_error", "late_arrival"):
            self._cross("place returned")
            raise OutcomeUnknownError(f"drill broker: {request.tag}: {kind} (planned); it may be placed")
        try:
            order_id = self._take(request)
        except RefusedError:
            self._cross("place returned")
            if kind == "lost_answer":
                raise OutcomeUnknownError(f"drill broker: {request.tag}: the answer is lost (planned)") from None
            raise
        self._cross("place returned")
        if kind == "lost_answer":
            raise OutcomeUnknownError(f"drill broker: {request.tag}: the answer is lost (planned)")
        return order_id

    def cancel(self, order_id: str) -> None:
        """Take a cancellation, or what is planned instead."""
        self._cross("cancel called")
        now = self._advance()
        self._refuse_logged_out("cancel")
        side = self._side_of(order_id)
        mishap = self._mishap("cancel", side)
        kind = mishap.kind if mishap else None
        if kind in ("busy", "refuse"):
            self._cross("cancel returned")
            raise RefusedError(f"drill broker: cancel of {order_id}: {kind} (planned)", may_pass=kind == "busy")
        if kind != "lost_request":
            try:
                self.truth.cancel(order_id, now)
            except RefusedError:
                if kind != "lost_answer":
                    self._cross("cancel returned")
                    raise
        self._cross("cancel returned")
        if kind is not None:
            raise OutcomeUnknownError(f"drill broker: cancel of {order_id}: {kind} (planned)")

    def book(self) -> OrderBook:
        """Show the book: as it is, or as is planned."""
        self._cross("book called")
        now = self._answer_read("book")
        book = self._as_shown(self.truth.book(), now)
        self._cross("book returned")
        return book

    def positions(self) -> tuple[NetPosition, ...]:
        """Show the net positions: as they are, or as they were."""
        self._cross("positions called")
        now = self._answer_read("positions")
        spell = self._spell("stale_positions", now)
        shown = self.truth.positions() if spell is None else self._positions_at(now - spell)
        if self._spell("no_positions", now) is not None:
            shown = ()
        self.told_at = now
        self._cross("positions returned")
        return shown

    # What the world does by itself.

    def hand(self, kind: HandKind, *, other: OptionContract) -> None:
        """Let somebody trade by hand on the account; *other* is a contract the trader may never touch."""
        now = self._advance()
        if kind == "cancel_ours":
            working = [row for row in self.truth.book().orders if row.status is OrderStatus.WORKING]
            ours = [row for row in working if read_tag(row.tag) is not None]
            if ours:
                self.met["hand cancel_ours"] += 1
                self.truth.cancel(ours[-1].order_id, now)
            return
        if kind == "buy_other":
            self._by_hand(kind, other, Side.BUY, other.lot_size, "NRML")
            return
        for each in self.truth.positions():
            # What is being sold already nobody sells beside it: that is not promised to end well.
            on_sale = self._on_sale(_key(each)) if kind == "sell_ours" else 0
            ours_now = each.quantity - self.foreign[_key(each)] - on_sale
            contract = self.find_contract(each.tradingsymbol)
            if ours_now > 0 and contract is not None:
                side = Side.SELL if kind == "sell_ours" else Side.BUY
                # People are held to the freeze quantity too, and leave it at one order.
                self._by_hand(kind, contract, side, next_part(ours_now, contract), each.product)
                return

    def now(self) -> datetime:
        """Return the world's time."""
        return self._clock.now()

    def settle(self) -> None:
        """Let everything happen that happens up to now."""
        self._advance()

    def _on_sale(self, key: Key) -> int:
        """Return how many units orders may still sell, those included that have not arrived."""
        sent = sum(row.quantity for row in self.under_way if row.side is Side.SELL and _key(row) == key)
        rows = (row for row in self.truth.book().orders if row.side is Side.SELL and not row.status.is_terminal)
        return sent + sum(row.quantity - row.filled_quantity for row in rows if _key(row) == key)

    def _by_hand(self, kind: HandKind, contract: OptionContract, side: Side, quantity: int, product: str) -> None:
        request = OrderRequest(
            tag=_HAND,
            exchange=contract.exchange,
            tradingsymbol=contract.tradingsymbol,
            token=contract.token,
            side=side,
            quantity=quantity,
            product=product,
            kind=OrderKind.MARKET,
            market_protection=Decimal(-1),
            # At once or not at all: people do not leave an order lying that keeps the trader's own from being taken.
            validity="IOC",
        )
        try:
            self._take(request)
        except RefusedError:
            return  # What the broker refuses changes nothing.
        self.met[f"hand {kind}"] += 1
        key = (request.exchange, request.tradingsymbol, request.product)
        if side is Side.BUY:
            self.foreign[key] += quantity
        else:
            self.sold_by_hand_at[key] = self._clock.now()
            # Orders of ours that sell the same already will fill all the same: nobody can prevent that.
            self.crossed[key] += sum(
                row.quantity - row.filled_quantity
                for row in self.truth.book().orders
                if row.side is Side.SELL
                and row.status is OrderStatus.WORKING
                and (row.exchange, row.tradingsymbol, row.product) == key
                and read_tag(row.tag) is not None
            )

    def _arrive(self, request: OrderRequest) -> None:
        self.under_way.remove(request)
        try:
            self._take(request)
        except RefusedError:
            self.met["late arrival refused"] += 1

    def _take(self, request: OrderRequest) -> str:
        order_id = self.truth.place(request, self._clock.now())
        self._taken_at[order_id] = self._clock.now()
        return order_id

    # What is planned.

    def _cross(self, name: str) -> None:
        self.boundaries.cross(name)

    def _advance(self) -> datetime:
        now = self._clock.now()
        self.truth.advance(now)
        return now

    def _mishap(self, call: str, side: Side) -> Mishap | None:
        letter = "B" if side is Side.BUY else "S"
        self._calls[call, letter] += 1
        self._calls[call, ""] += 1
        for mishap in self._scenario.mishaps:
            number = self._calls[call, mishap.side]
            if mishap.call == call and mishap.side in ("", letter) and 0 <= number - mishap.first < mishap.count:
                self.met[f"{call} {mishap.kind}"] += 1
                return mishap
        return None

    def _spell(self, kind: SpellKind, now: datetime) -> timedelta | None:
        """Return how late answers are while a spell of *kind* lasts, None while none does."""
        if kind not in self._kinds:
            return None
        second = (now - self._opens_at).total_seconds()
        for spell in self._scenario.spells:
            if spell.kind == kind and spell.since_s <= second < spell.until_s:
                self.met[f"spell {kind}"] += 1
                return timedelta(seconds=spell.delay_s)
        return None

    def hides_sales(self, now: datetime) -> bool:
        """Tell whether positions cannot be read now, or only as they were."""
        second = (now - self._opens_at).total_seconds()
        return any(
            spell.kind in ("unavailable", "stale_positions") and spell.since_s <= second < spell.until_s
            for spell in self._scenario.spells
        )

    def is_silent(self, now: datetime, is_index: bool) -> bool:  # noqa: FBT001 - the market asks by place
        """Tell whether the feed gives no answer now."""
        return self._spell("no_index" if is_index else "no_prices", now) is not None

    def price_age(self, now: datetime) -> timedelta:
        """Return how long ago options were last traded, as the feed tells it."""
        return _NOT_TRADED if self._spell("old_prices", now) is not None else timedelta(0)

    def _answer_read(self, call: str) -> datetime:
        now = self._advance()
        if self._spell("login_required", now) is not None:
            self._cross(f"{call} returned")
            raise LoginRequiredError("drill broker: the token is not accepted (planned); a person must log in")
        if self._spell("unavailable", now) is not None:
            self._cross(f"{call} returned")
            raise UnavailableError("drill broker: no answer (planned); it is asked again")
        return now

    def _refuse_logged_out(self, call: str) -> None:
        if self._spell("login_required", self._clock.now()) is not None:
            self._cross(f"{call} returned")
            raise RefusedError(f"drill broker: {call}: the token is not accepted (planned)")

    def _as_shown(self, book: OrderBook, now: datetime) -> OrderBook:
        if not self._scenario.spells:
            return book
        orders, fills = book.orders, book.fills
        for row in orders:
            versions = self._versions.setdefault(row.order_id, [])
            if not versions or versions[-1] is not row:
                versions.append(row)
        if (delay := self._spell("stale_book", now)) is not None:
            orders, fills = self._orders_at(orders, fills, now - delay)
        if (delay := self._spell("hidden_orders", now)) is not None:
            seen_since = now - delay
            orders = tuple(row for row in orders if self._taken_at[row.order_id] <= seen_since)
        if (delay := self._spell("late_fills", now)) is not None:
            fills = tuple(fill for fill in fills if fill.at <= now - delay)
        if self._spell("doubled_rows", now) is not None:
            orders, fills = orders + orders, fills + fills
        if self._spell("old_rows", now) is not None:
            orders = tuple(self._older(row) for row in orders)
        if orders is not book.orders or fills is not book.fills:
            mixed, parts = list(orders), list(fills)
            self._draw.shuffle(mixed)
            self._draw.shuffle(parts)
            return OrderBook(tuple(mixed), tuple(parts), book.read_at)
        return book

    def _orders_at(
        self, orders: tuple[OrderReport, ...], fills: tuple[Fill, ...], then: datetime
    ) -> tuple[tuple[OrderReport, ...], tuple[Fill, ...]]:
        """Return the book as it stood: rows that changed since are shown working, with what had filled by then."""
        kept = tuple(fill for fill in fills if fill.at <= then)
        filled: Counter[str] = Counter()
        for fill in kept:
            filled[fill.order_id] += fill.quantity
        rows = tuple(
            row
            if row.updated_at <= then
            else msgspec.structs.replace(row, status=OrderStatus.WORKING, filled_quantity=filled[row.order_id])
            for row in orders
            if self._taken_at[row.order_id] <= then
        )
        return rows, kept

    def _older(self, row: OrderReport) -> OrderReport:
        """Return a row as it once was, now and then: updates that overtake each other."""
        return self._draw.choice(self._versions[row.order_id]) if self._draw.random() < 0.5 else row

    def _positions_at(self, then: datetime) -> tuple[NetPosition, ...]:
        net: Counter[Key] = Counter()
        book = self.truth.book()
        rows = {row.order_id: row for row in book.orders}
        for fill in book.fills:
            row = rows[fill.order_id]
            if fill.at <= then:
                net[row.exchange, row.tradingsymbol, row.product] += (
                    fill.quantity if row.side is Side.BUY else -fill.quantity
                )
        return tuple(NetPosition(*key, quantity) for key, quantity in net.items() if quantity)

    def _side_of(self, order_id: str) -> Side:
        parts = read_tag(self.truth.tag_of(order_id))
        return Side.SELL if parts is not None and parts.role == "exit" else Side.BUY


def _key(position: NetPosition | OrderRequest | OrderReport) -> Key:
    return (position.exchange, position.tradingsymbol, position.product)
