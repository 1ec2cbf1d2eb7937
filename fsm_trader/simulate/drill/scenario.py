"""What one seed means: a day of signals, prices, trouble at the broker, hands, words, and ends of the process.

Pure: the same seed gives the same day on every machine and for every start.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from random import Random  # noqa: TID251 - one seeded stream of draws makes one day
from typing import Literal, get_args

import msgspec

OrderMishap = Literal["lost_answer", "lost_request", "late_arrival", "busy", "server_error", "refuse"]
CancelMishap = Literal["lost_answer", "lost_request", "busy", "refuse"]
SpellKind = Literal[
    "unavailable",
    "login_required",
    "stale_book",
    "hidden_orders",
    "late_fills",
    "doubled_rows",
    "old_rows",
    "stale_positions",
    "no_positions",
    "no_index",
    "no_prices",
    "old_prices",
]
HandKind = Literal["sell_ours", "cancel_ours", "buy_same", "buy_other"]

# In this order, because a seed draws from them.
ORDER_MISHAPS: tuple[OrderMishap, ...] = get_args(OrderMishap)
CANCEL_MISHAPS: tuple[CancelMishap, ...] = get_args(CancelMishap)
SPELLS: tuple[SpellKind, ...] = get_args(SpellKind)
HANDS: tuple[HandKind, ...] = get_args(HandKind)

# The day of a drill, counted from the open. Entries from minute 2 on; out from minute 14.
HEALTH_MINUTE, TRADING_MINUTE, TRADING_END_MINUTE, SQUARE_OFF_MINUTE = 0, 2, 12, 14
# The short one, for a single trade.
SHORT_END_MINUTE, SHORT_SQUARE_OFF_MINUTE = 7, 8
# What every reason of an edited machine ends with.
EDITED = "_edited"
# A process is there before the market opens, as a rule.
EARLY_S = -20.0
# Trouble starts before the square-off and is over some minutes after it: a day that never heals proves nothing.
_LAST_TROUBLE_S = (SQUARE_OFF_MINUTE + 4) * 60
# A broker answers late, not for ever: what it shows late it shows within half of the settling time.
_SLOWEST_PART = Decimal("0.4")


class Mishap(msgspec.Struct, frozen=True, kw_only=True):
    """What goes wrong with orders.

    Args:
        call: which request.
        kind: what happens to it. ``late_arrival``: no answer, and the order reaches the broker *delay_s* later.
        side: entries (``B``), exits (``S``) or both (empty).
        first: the first request of its call and side that goes wrong, from 1.
        count: how many in a row.
    """

    call: Literal["place", "cancel"]
    kind: OrderMishap
    side: Literal["B", "S", ""] = ""
    first: int = 1
    count: int = 1
    delay_s: float = 0.0


class Spell(msgspec.Struct, frozen=True, kw_only=True):
    """A time in which something is wrong: seconds after the open; *delay_s* is how far behind an answer is."""

    kind: SpellKind
    since_s: float
    until_s: float
    delay_s: float = 0.0


class Hand(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody else does on the account, *at_s* seconds after the open."""

    kind: HandKind
    at_s: float


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """What a person asks of the trader: ``stop`` is a signal to the process, which starts again after a while."""

    verb: Literal["halt", "resume", "flatten", "stop"]
    at_s: float


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One day.

    Args:
        seed: of prices and of everything the paper exchange draws.
        signals: for each strategy, by place: minute after the open at which a candle starts, and what is said of it.
        kills: at which boundary each process ends, counted from its own start; below zero: counted only while a trade
            is open. Further processes live on.
        pauses_s: how long nothing runs after each end.
        lost_commits: newest transactions that are gone after the first end, as after damage that the anchor notices.
        edits_machine: the trade machine's file is edited after the first end: open trades keep theirs (I8).
        roughness: how far a price may step, as a part of itself.
        rejects, partial_fills: chances of an order, 0 to 1.
        latency_s: from an order's arrival until it can fill.
        starts_s: when the first process starts.
        is_holiday: nothing is traded on this day.
        is_short: the day is just long enough for one trade.
        max_hold_s: longest holding time in this day, None: as configured.
        is_prompt: the feed has candles and prices at hand before it is asked, as a stream has.
        freeze_lots: most lots the exchange takes in one order, None: far more than anybody wants.
    """

    seed: int
    signals: tuple[tuple[tuple[int, int], ...], ...] = ()
    mishaps: tuple[Mishap, ...] = ()
    spells: tuple[Spell, ...] = ()
    hands: tuple[Hand, ...] = ()
    words: tuple[Word, ...] = ()
    kills: tuple[int, ...] = ()
    pauses_s: tuple[float, ...] = ()
    lost_commits: int = 0
    edits_machine: bool = False
    roughness: float = 0.03
    rejects: Decimal = Decimal(0)
    partial_fills: Decimal = Decimal(0)
    latency_s: float = 0.3
    starts_s: float = EARLY_S
    is_holiday: bool = False
    is_short: bool = False
    max_hold_s: float | None = None
    is_prompt: bool = False
    freeze_lots: int | None = None


def scenario_of(seed: int, *, strategies: int, settle: timedelta) -> Scenario:
    """Draw the day of a seed.

    Args:
        seed: any whole number.
        strategies: how many are configured.
        settle: after so long an order that was not seen counts as absent; nothing stays hidden longer.
    """
    draw = Random(seed)  # noqa: S311 - a drill must be repeatable, not unguessable
    slowest_s = settle.total_seconds() * float(_SLOWEST_PART)
    signals = tuple(_signals(draw) for _ in range(strategies))
    return Scenario(
        seed=seed,
        signals=signals,
        mishaps=tuple(_mishap(draw, slowest_s) for _ in range(draw.choice((0, 0, 1, 2, 3)))),
        spells=tuple(_spell(draw, signals, slowest_s) for _ in range(draw.choice((0, 0, 1, 1, 2)))),
        hands=tuple(_hand(draw, signals) for _ in range(draw.choice((0, 0, 0, 0, 1, 2)))),
        words=_words(draw),
        kills=tuple(_kill(draw) for _ in range(draw.choice((0, 1, 1, 2, 3)))),
        pauses_s=tuple(draw.choice((0.0, 1.5, 20.0, 150.0)) for _ in range(3)),
        lost_commits=draw.choice((0,) * 9 + (1, 3, 8, 14)),
        edits_machine=draw.random() < 0.3,
        roughness=draw.choice((0.0, 0.01, 0.03, 0.08)),
        rejects=draw.choice((Decimal(0), Decimal(0), Decimal("0.3"))),
        partial_fills=draw.choice((Decimal(0), Decimal(1))),
        latency_s=draw.choice((0.0, 0.3, 0.3, 2.0, 2.0, 12.0, 12.0, 100.0)),
        starts_s=_moment(draw) if draw.random() < 0.12 else EARLY_S,
        is_holiday=draw.random() < 0.01,
        max_hold_s=draw.choice((None, None, 120.0, 400.0)),
        is_prompt=draw.random() < 0.5,
        # A trade has two lots at least. This is the last draw: the days of older seeds stay what they were.
        freeze_lots=1 if draw.random() < 0.2 else None,
    )


def _signals(draw: Random) -> tuple[tuple[int, int], ...]:
    said: dict[int, int] = {}
    for _ in range(draw.choice((1, 2, 2, 3, 4))):
        minute = draw.randint(TRADING_MINUTE - 1, TRADING_END_MINUTE)
        said[minute] = 1
        if draw.random() < 0.6:
            said[minute + draw.randint(1, 6)] = -1
    return tuple(sorted(said.items()))


def _kill(draw: Random) -> int:
    """Most ends come while a trade is open: the others are many and alike."""
    return -draw.randint(1, 45) if draw.random() < 0.75 else draw.randint(1, 90)


def _moment(draw: Random) -> float:
    return round(draw.uniform(0, SQUARE_OFF_MINUTE * 60 + 60), 1)


def _mishap(draw: Random, slowest_s: float) -> Mishap:
    call: Literal["place", "cancel"] = draw.choice(("place", "place", "place", "cancel"))
    side: Literal["B", "S", ""] = draw.choice(("B", "S", "S", ""))
    if side == "B":
        # An entry may even arrive when it was given up long ago: then it is taken over and led out.
        slowest_s *= 5
    return Mishap(
        call=call,
        kind=draw.choice(ORDER_MISHAPS) if call == "place" else draw.choice(CANCEL_MISHAPS),
        side=side,
        first=draw.randint(1, 4),
        count=draw.choice((1, 1, 2, 3)),
        delay_s=round(draw.uniform(0.1, slowest_s), 1),
    )


def _spell(draw: Random, signals: tuple[tuple[tuple[int, int], ...], ...], slowest_s: float) -> Spell:
    minutes = [minute for said in signals for minute, _ in said]
    since = _moment(draw)
    if minutes and draw.random() < 0.7:
        # Around a signal, because there is nothing to disturb where nothing is done.
        since = round((draw.choice(minutes) + 1) * 60 + draw.uniform(-30, 60), 1)
    return Spell(
        kind=draw.choice(SPELLS),
        since_s=since,
        until_s=min(since + round(draw.choice((5.0, 40.0, 200.0)) * draw.random(), 1) + 0.1, _LAST_TROUBLE_S),
        delay_s=round(draw.uniform(0.5, slowest_s), 1),
    )


def _hand(draw: Random, signals: tuple[tuple[tuple[int, int], ...], ...]) -> Hand:
    minutes = [minute for said in signals for minute, _ in said]
    at_s = _moment(draw)
    if minutes and draw.random() < 0.5:
        # Right before something is done about a signal: the trader has had no time to see it by itself.
        at_s = round((draw.choice(minutes) + 1) * 60 - draw.uniform(4, 40), 1)
    return Hand(kind=draw.choice(HANDS), at_s=at_s)


def _words(draw: Random) -> tuple[Word, ...]:
    kinds: Sequence[tuple[Literal["halt", "resume", "flatten", "stop"], ...]] = (
        (),
        (),
        (),
        (),
        ("halt", "resume"),
        ("flatten",),
        ("flatten", "resume"),
        ("halt",),
        ("stop",),
    )
    verbs = draw.choice(kinds)
    moments = sorted(_moment(draw) + draw.choice((0.0, 0.0, EARLY_S)) for _ in verbs)
    return tuple(Word(verb=verb, at_s=at) for verb, at in zip(verbs, moments, strict=True))
