"""What holds of money, tags, orders, trades and records whatever the values."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from fsm_trader.core.contracts import OptionContract, OptionKind
from fsm_trader.core.ledger import Ledger
from fsm_trader.core.money import Paise, paise, price_seen, round_to_tick, rupees
from fsm_trader.core.orders import Fill, OrderKind, OrderReport, OrderRequest, OrderStatus, Role, Side, merge
from fsm_trader.core.records import (
    FillSeen,
    OrderIntended,
    OrderSeen,
    Record,
    RunStarted,
    SignalSeen,
    TradeOpened,
    decode,
    encode,
    kind_of,
    trade_of,
)
from fsm_trader.core.settings import ExitRules
from fsm_trader.core.summary import summarise
from fsm_trader.core.tags import TAG_LENGTH, TagParts, make_tag, owner_of, read_tag
from fsm_trader.core.trades import Trade, apply, open_trade
from fsm_trader.journal.memory import MemoryJournal

NOW = datetime(2026, 6, 17, 4, 0, tzinfo=UTC)
PAISE = st.integers(-(10**12), 10**12).map(Paise)
LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

# --- money ---------------------------------------------------------------------------------------------------------


@given(amount=PAISE)
def test_rupees_and_paise_are_the_same_amount(amount: int) -> None:
    assert paise(rupees(amount)) == amount
    assert paise(str(rupees(amount))) == amount


@given(amount=st.integers(-(10**9), 10**9))
def test_a_price_that_came_as_a_binary_float_is_the_paise_that_were_meant(amount: int) -> None:
    assert price_seen(amount / 100) == amount


@given(price=st.fractions(-(10**9), 10**9, max_denominator=10**6), tick=st.integers(1, 500))
def test_rounding_to_the_tick_goes_outward_by_less_than_a_tick(price: Fraction, tick: int) -> None:
    down, up = round_to_tick(price, tick, up=False), round_to_tick(price, tick, up=True)

    assert down % tick == up % tick == 0
    assert down <= price <= up
    assert price - down < tick
    assert up - price < tick


# --- tags ----------------------------------------------------------------------------------------------------------

PARTS = st.builds(
    TagParts,
    day=st.dates(date(2000, 1, 1), date(2099, 12, 31)),
    trade_number=st.integers(1, 36**3 - 1),
    role=st.sampled_from(Role),
    attempt=st.integers(1, 36**2 - 1),
    owner=st.text(max_size=30).map(owner_of),
)


@given(parts=PARTS)
def test_a_tag_is_read_back_as_it_was_made(parts: TagParts) -> None:
    tag = make_tag(parts)

    assert len(tag) == TAG_LENGTH
    assert tag.isascii()
    assert tag.isalnum()
    assert read_tag(tag) == parts


@given(one=PARTS, other=PARTS)
def test_two_tags_are_equal_only_for_the_same_intent(one: TagParts, other: TagParts) -> None:
    assert (make_tag(one) == make_tag(other)) == (one == other)


@given(parts=PARTS, place=st.integers(0, TAG_LENGTH - 1), letter=st.sampled_from(LETTERS))
def test_a_tag_with_one_wrong_character_is_not_ours(parts: TagParts, place: int, letter: str) -> None:
    tag = make_tag(parts)
    changed = tag[:place] + letter + tag[place + 1 :]

    assert (read_tag(changed) is None) == (changed != tag)


@given(parts=PARTS, place=st.integers(0, TAG_LENGTH - 2))
def test_a_tag_with_two_neighbours_swapped_is_not_ours(parts: TagParts, place: int) -> None:
    tag = make_tag(parts)
    changed = tag[:place] + tag[place + 1] + tag[place] + tag[place + 2 :]

    assert (read_tag(changed) is None) == (changed != tag)


@given(text=st.text(max_size=24) | st.text(LETTERS, min_size=18, max_size=18).map("FT".__add__))
def test_what_is_read_as_a_tag_is_exactly_what_would_be_made(text: str) -> None:
    parts = read_tag(text)

    assert parts is None or make_tag(parts) == text


# --- orders --------------------------------------------------------------------------------------------------------


def told(status: OrderStatus, filled: int) -> OrderReport:
    return OrderReport("17", "tag", "NFO", "X", 1, Side.BUY, "MIS", 75, filled, status, NOW)


@st.composite
def tellings(draw: st.DrawFn) -> list[OrderReport]:
    """What a broker may tell of one order: any order, any repetition, one end at most."""
    reports = [told(OrderStatus.WORKING, filled) for filled in draw(st.lists(st.integers(0, 75), min_size=1))]
    end = draw(st.sampled_from(OrderStatus))
    if end.is_terminal:
        reports.append(told(end, draw(st.integers(0, 75))))
    return draw(st.permutations(reports)) + draw(st.lists(st.sampled_from(reports)))


def merged(reports: list[OrderReport]) -> OrderReport:
    known = merge(None, reports[0])
    for report in reports:
        known = merge(known, report)
    return known


@given(reports=tellings(), seed=st.randoms())
def test_an_order_ends_the_same_in_whatever_order_and_however_often_it_is_told(reports, seed) -> None:
    shuffled = list(reports)
    seed.shuffle(shuffled)

    one, other = merged(reports), merged(shuffled)

    assert one == other
    assert one.filled_quantity == max(report.filled_quantity for report in reports)
    assert one.status.is_terminal == any(report.status.is_terminal for report in reports)


@given(reports=st.lists(st.builds(told, st.sampled_from(OrderStatus), st.integers(0, 75)), min_size=1))
def test_an_order_never_goes_back_whatever_the_broker_tells(reports: list[OrderReport]) -> None:
    known = reports[0]
    for report in reports:
        after = merge(known, report)
        assert after.filled_quantity >= max(known.filled_quantity, report.filled_quantity)
        assert after.status is known.status or not known.status.is_terminal
        assert merge(after, report) == after
        known = after


# --- trades --------------------------------------------------------------------------------------------------------

CONTRACT = OptionContract("NFO", "X", 1, "NIFTY", date(2026, 6, 18), Paise(2440000), OptionKind.CE, 75, 5)
OPENED = TradeOpened("T", 1, "s", CONTRACT, 1, 75, "MIS", ExitRules(), "m", NOW, Paise(1))
TAGS = {Role.ENTRY: ("E1", "E2"), Role.EXIT: ("X1", "X2", "X3")}
ROLES = {tag: role for role, tags in TAGS.items() for tag in tags}


def intent(tag: str) -> OrderIntended:
    side = Side.BUY if ROLES[tag] is Role.ENTRY else Side.SELL
    request = OrderRequest(tag, "NFO", "X", 1, side, 75, "MIS", OrderKind.MARKET)
    return OrderIntended("T", ROLES[tag], 1, request, "place")


FILLS = st.builds(
    lambda tag, number, quantity, price: FillSeen("T", tag, Fill(f"{tag}-{number}", tag, quantity, price, NOW)),
    st.sampled_from(sorted(ROLES)),
    st.integers(0, 4),
    st.integers(1, 75),
    st.integers(5, 10**6).map(Paise),
)


def fold(records: list[Record]) -> Trade:
    trade = open_trade(OPENED, NOW, "S", "IDLE")
    for record in (*map(intent, ROLES), *records):
        trade = apply(trade, record, NOW)
    return trade


@given(fills=st.lists(FILLS, max_size=12))
def test_the_position_is_the_sum_of_the_fills_each_counted_once(fills: list[FillSeen]) -> None:
    trade = fold(list(fills))

    first: dict[str, FillSeen] = {}
    for fill in fills:
        first.setdefault(fill.fill.fill_id, fill)
    signs = {Role.ENTRY: 1, Role.EXIT: -1}
    assert trade.held == sum(signs[ROLES[fill.tag]] * fill.fill.quantity for fill in first.values())
    for role in Role:
        known = [fill.fill for fill in first.values() if ROLES[fill.tag] is role]
        assert trade.value_paise(role) == sum(fill.quantity * fill.price_paise for fill in known)
    assert type(trade.gross_paise(100)) is int


@given(fills=st.lists(FILLS, max_size=8), data=st.data())
def test_rows_told_again_change_nothing(fills: list[FillSeen], data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from([*map(intent, ROLES), *fills])))

    assert fold([*fills, *again]) == fold(list(fills))


@given(reports=tellings(), fills=st.lists(FILLS.filter(lambda fill: fill.tag == "E1"), max_size=5))
def test_an_order_is_never_settled_before_all_its_fills_were_read(reports, fills) -> None:
    order = fold([*(OrderSeen("T", "E1", report) for report in reports), *fills]).order("E1")

    assert order.is_settled == (order.status.is_terminal and order.filled >= order.report.filled_quantity)


# --- records -------------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(codec="utf-8"), max_size=30)


def fixed_offset(moment: datetime) -> datetime:
    """Python compares no moment of a clock change as equal across zones; a journal holds offsets, not zones."""
    return moment.astimezone(timezone(moment.utcoffset() or timedelta(0)))


ZONES = st.timezones() | st.just(UTC)
VALUES: dict[object, st.SearchStrategy[object]] = {
    str: TEXT,
    int: st.integers(-(2**53), 2**53),
    bool: st.booleans(),
    date: st.dates(),
    datetime: st.datetimes(datetime(2015, 1, 1), datetime(2035, 1, 1), timezones=ZONES).map(fixed_offset),
    timedelta: st.timedeltas(timedelta(0), timedelta(days=2)),
    Decimal: st.decimals(-1000, 1000, allow_nan=False, allow_infinity=False),
    type(None): st.none(),
}


GENERIC: dict[object, Callable[..., st.SearchStrategy[Any]]] = {
    Literal: lambda *words: st.sampled_from(words),
    Union: lambda *kinds: st.one_of(*map(value_of, kinds)),
    UnionType: lambda *kinds: st.one_of(*map(value_of, kinds)),
    tuple: lambda kind, _ellipsis: st.lists(value_of(kind), max_size=3).map(tuple),
    dict: lambda key, value: st.dictionaries(value_of(key), value_of(value), max_size=3),
}


def value_of(kind: Any) -> st.SearchStrategy[Any]:
    """Draw any value of a field's type: the types that records are made of, and no other."""
    kind = getattr(kind, "__supertype__", kind)
    if kind in VALUES:
        return VALUES[kind]
    if get_origin(kind) is not None:
        return GENERIC[get_origin(kind)](*get_args(kind))
    if issubclass(kind, Enum):
        return st.sampled_from(list(kind))
    return st.builds(kind, **{field.name: value_of(field.type) for field in msgspec.structs.fields(kind)})


# A strategy's word is one of three, whatever an int could be.
WORDS = {SignalSeen: value_of(SignalSeen).map(lambda row: msgspec.structs.replace(row, signal=row.signal % 3 - 1))}
RECORDS = st.one_of(*(WORDS[kind] if kind in WORDS else value_of(kind) for kind in get_args(Record)))


@given(record=RECORDS)
def test_a_record_is_read_back_as_it_was_written(record: Record) -> None:
    text = encode(record)

    found = decode(text)

    assert found == record
    assert type(found) is type(record)
    assert encode(found) == text
    assert msgspec.json.decode(text)["kind"] == kind_of(record)
    assert trade_of(found) == getattr(record, "trade_id", None)


@given(record=RECORDS)
def test_every_record_is_told_in_one_printable_line(record: Record) -> None:
    line = summarise(record)

    assert line.strip()
    assert line.isprintable()


@given(machines=st.dictionaries(TEXT, TEXT, max_size=5), data=st.data())
def test_equal_records_are_written_in_equal_bytes(machines: dict[str, str], data: st.DataObject) -> None:
    other = dict(data.draw(st.permutations(sorted(machines.items()))))

    assert encode(RunStarted("s", "v", "d", machines, 1)) == encode(RunStarted("s", "v", "d", other, 1))


# --- ledger --------------------------------------------------------------------------------------------------------


@given(fills=st.lists(FILLS, max_size=6), cut=st.integers(0, 12))
def test_a_ledger_that_was_interrupted_and_read_again_is_the_same(fills: list[FillSeen], cut: int) -> None:
    journal = MemoryJournal()
    journal.append(NOW, "S", [RunStarted("S", "v", "d", {}, 1), OPENED, *map(intent, ROLES), *fills])
    at_once = Ledger().fold(journal.entries)

    in_two = Ledger().fold(journal.entries[:cut]).fold(journal.entries[cut:])

    assert in_two.trades == at_once.trades
    assert (in_two.seq, in_two.orders_today, in_two.order_times) == (
        at_once.seq,
        at_once.orders_today,
        at_once.order_times,
    )
