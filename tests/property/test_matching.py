"""The matching engine under any script: stepping and restarting change nothing, and money and quantities add up."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from fsm_trader.broker.paper.matching import Market, Matching, Progress
from fsm_trader.broker.paper.order import PaperOrder, happens
from fsm_trader.broker.paper.pricing import AUTO_PROTECTION, protected_limit
from fsm_trader.core.contracts import OptionContract, OptionKind
from fsm_trader.core.money import Paise
from fsm_trader.core.orders import Fill, OrderKind, OrderRequest, OrderStatus, Side
from fsm_trader.core.settings import PaperSettings
from fsm_trader.errors import RefusedError

OPEN = datetime(2026, 6, 17, 9, 15, tzinfo=UTC)
CLOSE = OPEN + timedelta(seconds=24)
LOT = 65
CONTRACTS = {
    name: OptionContract(
        exchange="NFO",
        tradingsymbol=name,
        token=token,
        name="NIFTY",
        expiry=date(2026, 6, 23),
        strike_paise=Paise(2440000),
        kind=OptionKind.CE,
        lot_size=LOT,
        tick_paise=5,
    )
    for name, token in (("CALL", 101), ("PUT", 102))
}

EVERY_HALF_SECOND = [OPEN + timedelta(seconds=halves / 2) for halves in range(50)]

# Few instants and few prices, so that arrivals, prices, due times and steps often meet.
moments = st.sampled_from(EVERY_HALF_SECOND)
prices = st.integers(18, 24).map(lambda ticks: ticks * 5)
paths = st.lists(st.tuples(moments, prices), max_size=25).map(
    lambda points: [(OPEN, 105), *sorted(points, key=lambda point: point[0])]
)


@st.composite
def requests(draw):
    kind = draw(st.sampled_from(OrderKind))
    name = draw(st.sampled_from(sorted(CONTRACTS)))
    return OrderRequest(
        tag=f"T{draw(st.integers(1, 9))}",
        exchange="NFO",
        tradingsymbol=name,
        token=CONTRACTS[name].token,
        side=draw(st.sampled_from([Side.BUY, Side.BUY, Side.SELL])),
        quantity=draw(st.integers(1, 3)) * LOT,
        product="MIS",
        kind=kind,
        price_paise=draw(prices) if kind is OrderKind.LIMIT else None,
        trigger_paise=draw(prices) if kind is OrderKind.STOP else None,
        market_protection=None if kind is OrderKind.LIMIT else draw(st.sampled_from([Decimal(-1), Decimal(20)])),
        validity=draw(st.sampled_from(["DAY", "DAY", "IOC"])),
    )


acts = st.lists(st.tuples(moments, st.one_of(requests(), st.integers(1, 6))), max_size=10).map(
    lambda acts: sorted(acts, key=lambda act: act[0])
)
behaviours = st.builds(
    PaperSettings,
    book=st.just(Path("unused")),
    latency=st.sampled_from([timedelta(0), timedelta(milliseconds=300), timedelta(seconds=1), timedelta(seconds=3)]),
    spread_ticks=st.integers(0, 2),
    slippage_ticks=st.integers(0, 2),
    partial_fills=st.sampled_from([Decimal(0), Decimal("0.5"), Decimal(1)]),
    rejects=st.sampled_from([Decimal(0), Decimal("0.2")]),
    seed=st.integers(0, 3),
)
worlds = st.tuples(behaviours, st.tuples(paths, paths), st.booleans())


class Script:
    """Prices of both tokens; the standing one closes the list with its own time or, as allowed, stamped *until*."""

    def __init__(self, of_call, of_put, *, stamps_until: bool) -> None:
        self.points = {101: of_call, 102: of_put}
        self.stamps_until = stamps_until

    def prices(self, token, *, after, until):
        known = [point for point in self.points[token] if point[0] <= until]
        new = [point for point in known if point[0] > after]
        if self.stamps_until:
            return (*new, *((until, last) for _, last in known[-1:]))
        return tuple(new or known[-1:])


def begin(world, progress=None) -> Matching:
    behaviour, points, stamps_until = world
    market = Market(Script(*points, stamps_until=stamps_until), CONTRACTS.get, OPEN, CLOSE)
    return Matching(behaviour, market, id_prefix="1", progress=progress or Progress(OPEN))


def perform(matching: Matching, when: datetime, act: OrderRequest | int) -> str | None:
    """Place, or cancel the n-th order; return the words of a refusal."""
    try:
        if isinstance(act, OrderRequest):
            matching.place(act, when)
        else:
            matching.cancel(f"1{act:06d}", when)
    except RefusedError as error:
        return str(error)
    return None


def restarted(matching: Matching, world) -> Matching:
    """Go through the bytes that a book would hold."""
    progress = Progress(
        matching.now,
        tuple(msgspec.json.decode(msgspec.json.encode(order), type=PaperOrder) for order in matching._orders.values()),
        tuple(msgspec.json.decode(msgspec.json.encode(fill), type=Fill) for fill in matching.book().fills),
    )
    return begin(world, progress)


def play(world, script, steps=(), *, restart=False):
    matching, refusals = begin(world), []
    # A step of the same instant as an act comes after it: the sort is stable.
    for when, act in sorted([*script, *((step, None) for step in steps)], key=lambda item: item[0]):
        if act is None:
            matching.advance(when)
            matching = restarted(matching, world) if restart else matching
        else:
            refusals.append(perform(matching, when, act))
    matching.advance(CLOSE + timedelta(seconds=20))
    return matching, refusals


@settings(deadline=None, max_examples=400)
@given(worlds, acts, st.one_of(st.just(EVERY_HALF_SECOND), st.lists(moments, max_size=15)))
def test_many_small_steps_lead_to_the_same_fills_as_few_big_ones(world, script, steps):
    big, big_refusals = play(world, script)
    small, small_refusals = play(world, script, steps)

    assert small.book() == big.book()
    assert small_refusals == big_refusals


@settings(deadline=None)
@given(worlds, acts, st.lists(moments, max_size=6))
def test_a_restart_anywhere_changes_nothing(world, script, steps):
    through, _ = play(world, script)
    again, _ = play(world, script, steps, restart=True)

    assert again.book() == through.book()
    assert again.positions() == through.positions()


@settings(deadline=None)
@given(worlds, acts)
def test_what_is_saved_step_by_step_is_all_there_is(world, script):
    matching, orders, fills = begin(world), {}, []
    for when, act in [*script, (CLOSE, None)]:
        if act is None:
            matching.advance(when)
        else:
            perform(matching, when, act)
        unsaved = matching.unsaved()
        orders |= {order.order_id: order for order in unsaved.orders}
        fills += unsaved.fills
        matching.mark_saved()

    saved = begin(world, Progress(matching.now, tuple(orders.values()), tuple(fills)))
    assert saved.book() == matching.book()


@settings(deadline=None)
@given(worlds, acts)
def test_quantities_and_prices_add_up(world, script):
    matching, refusals = play(world, script)
    book = matching.book()
    filled = {row.order_id: 0 for row in book.orders}
    for fill in book.fills:
        filled[fill.order_id] += fill.quantity
        assert fill.quantity > 0
        assert fill.quantity % LOT == 0
        assert fill.price_paise > 0
        assert fill.price_paise % 5 == 0
        assert OPEN <= fill.at <= CLOSE

    assert len(book.orders) == sum(1 for _, act in script if isinstance(act, OrderRequest)) - sum(
        refusal is not None and "nothing was placed" in refusal for refusal in refusals
    )
    assert len({fill.fill_id for fill in book.fills}) == len(book.fills)
    for row in book.orders:
        assert row.filled_quantity == filled[row.order_id] <= row.quantity
        assert row.status.is_terminal
        assert (row.status is OrderStatus.COMPLETE) == (row.filled_quantity == row.quantity)
    assert all(position.quantity > 0 for position in matching.positions())


@settings(deadline=None)
@given(worlds, acts)
def test_no_order_fills_before_its_latency_or_worse_than_its_limit(world, script):
    matching, _ = play(world, script)
    orders = matching._orders

    for fill in matching.book().fills:
        order = orders[fill.order_id]
        assert fill.at >= order.arrived_at + world[0].latency
        assert order.limit_paise is not None
        if order.request.side is Side.BUY:
            assert fill.price_paise <= order.limit_paise
        else:
            assert fill.price_paise >= order.limit_paise


@given(st.integers(1, 200000), st.sampled_from(Side), st.integers(1, 100).map(Decimal), st.sampled_from([1, 5, 10]))
def test_a_protected_limit_is_on_the_tick_and_never_on_the_near_side_of_the_price(last, side, percent, tick):
    for protection in (percent, AUTO_PROTECTION):
        limit = protected_limit(Paise(last), side, protection=protection, tick_paise=tick)

        assert limit % tick == 0
        assert limit > 0
        if side is Side.BUY:
            assert limit >= last
        else:
            assert limit <= max(last, tick)


@given(st.integers(), st.text("ABC123", max_size=20))
def test_a_draw_is_the_same_every_time_and_the_bounds_are_never_and_always(seed, tag):
    drawn = [happens(Decimal("0.5"), seed=seed, tag=tag, what="reject") for _ in range(2)]

    assert drawn[0] == drawn[1]
    assert not happens(Decimal(0), seed=seed, tag=tag, what="reject")
    assert happens(Decimal(1), seed=seed, tag=tag, what="reject")


def test_about_the_given_share_of_tags_is_drawn():
    drawn = sum(happens(Decimal("0.2"), seed=1, tag=f"T{number}", what="reject") for number in range(2000))

    assert 330 < drawn < 470
