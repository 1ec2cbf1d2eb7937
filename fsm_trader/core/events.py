"""What reaches the engine from outside. Each carries its own facts; none says what to do."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from fsm_trader.core.candles import Candle, PriceSeen
from fsm_trader.core.contracts import OptionContract
from fsm_trader.core.orders import NetPosition, OrderBook
from fsm_trader.core.records import Answer

Reading = Literal["candles", "price", "book", "standing", "health", "instruments"]


class CandlesRead(msgspec.Struct, frozen=True):
    """Completed candles of one instrument, oldest first as far as the source keeps its promise."""

    token: int
    candles: tuple[Candle, ...]


class PriceRead(msgspec.Struct, frozen=True):
    """The last price of one instrument."""

    price: PriceSeen


class BookRead(msgspec.Struct, frozen=True):
    """A complete read of the broker's orders and fills."""

    book: OrderBook


class StandingRead(msgspec.Struct, frozen=True):
    """The broker's book and net positions, read one after the other: what it knows of us now."""

    book: OrderBook
    positions: tuple[NetPosition, ...]


class ReadFailed(msgspec.Struct, frozen=True):
    """A read gave nothing usable; it will be asked again."""

    reading: Reading
    why: str
    token: int | None = None
    login_required: bool = False


class SendAnswered(msgspec.Struct, frozen=True):
    """The answer to a sent order."""

    trade_id: str
    tag: str
    answer: Answer
    order_id: str | None = None
    message: str = ""
    sends: int = 1


class CancelDone(msgspec.Struct, frozen=True):
    """The answer to a request to cancel."""

    trade_id: str
    tag: str
    answer: Answer
    message: str = ""


class HealthRead(msgspec.Struct, frozen=True):
    """What a health check found; *asked_at* is when it began to ask, None where nobody asked."""

    faults: tuple[str, ...] = ()
    login_required: bool = False
    asked_at: datetime | None = None


class Asked(msgspec.Struct, frozen=True):
    """A person's order from outside the process.

    Args:
        request: id under which it was left for this process, empty where it has none.
        fault: why the request could not be read and is taken as halt, empty where it could.
    """

    verb: Literal["halt", "resume", "flatten"]
    by: str = ""
    request: str = ""
    fault: str = ""


class ContractsRead(msgspec.Struct, frozen=True):
    """The options of the day.

    Args:
        contracts: what is held is known by them in any case.
        note: what a person should know, each doubt once; empty when there is nothing new.
        stale: why they may not be today's, empty when they are; nothing is bought on stale ones.
    """

    contracts: tuple[OptionContract, ...]
    note: str = ""
    stale: str = ""


class OrdersMoved(msgspec.Struct, frozen=True):
    """Something happened to some order of the account: the broker is worth asking. What it was is not believed."""


class TokenChanged(msgspec.Struct, frozen=True):
    """A person has logged in: what waited for that may be asked again at once."""


class Noticed(msgspec.Struct, frozen=True):
    """A source of facts has a fault of its own that a person should know of; others stand in for it."""

    text: str


class ClockSet(msgspec.Struct, frozen=True):
    """The machine's clock was set, ahead or back, while the session runs."""

    text: str
    is_back: bool


class StopAsked(msgspec.Struct, frozen=True):
    """The process was told to end: a signal's name."""

    why: str


Event = (
    CandlesRead
    | PriceRead
    | BookRead
    | StandingRead
    | ReadFailed
    | SendAnswered
    | CancelDone
    | HealthRead
    | Asked
    | StopAsked
    | ContractsRead
    | OrdersMoved
    | TokenChanged
    | Noticed
    | ClockSet
)
