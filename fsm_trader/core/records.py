"""What the journal may hold: frozen, typed records. A row is one record; a decision's rows are committed together.

A record is never changed after it was shipped: a new field has a default, a new meaning is a new record.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from fsm_trader.core.candles import Candle
from fsm_trader.core.contracts import OptionContract
from fsm_trader.core.money import Paise
from fsm_trader.core.orders import Fill, OrderReport, OrderRequest, Role
from fsm_trader.core.settings import ExitRules

Answer = Literal["accepted", "refused", "unknown", "absent", "lapsed"]


class Deadline(msgspec.Struct, frozen=True):
    """When a state's time is up, and the trigger that is fired then."""

    at: datetime
    trigger: str


class _Record(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind"):
    """Base of all records: the tag names the kind of row."""


class Carried(msgspec.Struct, frozen=True):
    """A trade that is open when a session begins, and how many rows the journal has of it."""

    trade_id: str
    rows: int


class Inherited(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a session takes over from the ones before: with the rows of the carried trades, all that is needed of them.

    *last_number* is the highest trade number used on this trading day; *requests* are the newest that were met.
    """

    carried: tuple[Carried, ...] = ()
    last_number: int = 0
    halted: bool = False
    flatten_asked: bool = False
    requests: tuple[str, ...] = ()


class RunStarted(_Record, frozen=True, tag="run_started"):
    """A process began to write. *machines* maps machine name to definition hash.

    *inherits* is there in the row that begins a session. Journals of 0.1.0 do not have it. *broker* says where orders
    went: empty on paper, ``kite``, or ``sandbox``.
    """

    session: str
    version: str
    settings_digest: str
    machines: dict[str, str]
    pid: int
    found: str = ""
    inherits: Inherited | None = None
    broker: str = ""


class RunStopped(_Record, frozen=True, tag="run_stopped"):
    """A process ended in order; *exit_code* as documented, *open_trades* are left to the next start."""

    exit_code: int
    reason: str
    open_trades: tuple[str, ...] = ()


class SessionMoved(_Record, frozen=True, tag="session_moved"):
    """The session machine made a transition (source equals dest for one that stays); *detail* is for people."""

    trigger: str
    source: str
    dest: str
    reason: str = ""
    deadline: Deadline | None = None
    detail: str = ""


class HealthSeen(_Record, frozen=True, tag="health_seen"):
    """What a health check found; *faults* is empty when all is well."""

    faults: tuple[str, ...] = ()
    login_required: bool = False


class CandlesSeen(_Record, frozen=True, tag="candles_seen"):
    """Completed candles that decisions were made on."""

    candles: tuple[Candle, ...]


class InputRefused(_Record, frozen=True, tag="input_refused"):
    """A fact from outside was unusable and skipped: what, and why."""

    what: str
    why: str


class SignalSeen(_Record, frozen=True, tag="signal_seen"):
    """A strategy said BUY or EXIT on a completed candle."""

    strategy: str
    signal: int
    candle_start: datetime
    index_paise: Paise


class EntryBlocked(_Record, frozen=True, tag="entry_blocked"):
    """A BUY was not followed; every reason is named."""

    strategy: str
    candle_start: datetime
    reasons: tuple[str, ...]


class TradeOpened(_Record, frozen=True, tag="trade_opened"):
    """A trade came to be, with all it needs to be managed under whatever the files say later.

    *adopts* is the tag of an order that turned up under no open trade; such a trade is only led out.
    """

    trade_id: str
    number: int
    strategy: str
    contract: OptionContract
    lots: int
    quantity: int
    product: str
    exits: ExitRules
    machine: str
    candle_start: datetime
    index_paise: Paise
    adopts: str = ""


class TradeMoved(_Record, frozen=True, tag="trade_moved"):
    """The trade machine made a transition; *price_paise* is the option price the decision was made on."""

    trade_id: str
    trigger: str
    source: str
    dest: str
    reason: str = ""
    deadline: Deadline | None = None
    price_paise: Paise | None = None


class LevelsSet(_Record, frozen=True, tag="levels_set"):
    """Stop and target from the actual average fill, and the end of the holding time."""

    trade_id: str
    stop_paise: Paise | None
    target_paise: Paise | None
    hold_until: datetime | None


class OrderIntended(_Record, frozen=True, tag="order_intended"):
    """An order is about to leave: committed before it does."""

    trade_id: str
    role: Role
    attempt: int
    request: OrderRequest
    policy: str


class OrderAnswered(_Record, frozen=True, tag="order_answered"):
    """What became of sending an order. *sends* counts the requests that left.

    ``lapsed`` is said of an order whose trading day was over before its fate was read: it can do nothing any more.
    """

    trade_id: str
    tag: str
    answer: Answer
    order_id: str | None = None
    message: str = ""
    sends: int = 1


class CancelIntended(_Record, frozen=True, tag="cancel_intended"):
    """A cancellation is about to leave."""

    trade_id: str
    tag: str
    order_id: str
    policy: str


class CancelAnswered(_Record, frozen=True, tag="cancel_answered"):
    """What became of asking for a cancellation: a request, not a fact about the order."""

    trade_id: str
    tag: str
    answer: Answer
    message: str = ""


class OrderSeen(_Record, frozen=True, tag="order_seen"):
    """The broker's book tells something new of one of our orders."""

    trade_id: str
    tag: str
    report: OrderReport


class FillSeen(_Record, frozen=True, tag="fill_seen"):
    """The broker's book holds a fill that was not known."""

    trade_id: str
    tag: str
    fill: Fill


class OrderAdopted(_Record, frozen=True, tag="order_adopted"):
    """An order that carries our tag and belonged to no open trade is this trade's entry from here on (I11)."""

    trade_id: str
    report: OrderReport


class SoldOutside(_Record, frozen=True, tag="sold_outside"):
    """Units of a trade are gone from the broker's net position by no order of ours (I4).

    *value_paise* is what foreign sales in the book brought for them, None where no such sale was found.
    """

    trade_id: str
    quantity: int
    value_paise: int | None
    text: str


class Found(msgspec.Struct, frozen=True):
    """One thing a comparison with the broker found: the rule that made it, and the finding in words."""

    rule: str
    text: str


class Reconciled(_Record, frozen=True, tag="reconciled"):
    """What the broker was found to hold against what the journal believes: every finding."""

    findings: tuple[Found, ...]


class DamageFound(_Record, frozen=True, tag="damage_found"):
    """Committed rows may be gone from the journal: nothing is bought before the broker was asked for long enough."""

    findings: tuple[str, ...]


class AlarmRaised(_Record, frozen=True, tag="alarm_raised"):
    """Something a person should look at; *level* grows while it lasts.

    *stops_entries*: the process that says so takes no entry any more.
    """

    text: str
    trade_id: str | None = None
    level: int = 1
    stops_entries: bool = False


class OperatorAsked(_Record, frozen=True, tag="operator_asked"):
    """A person asked for halt, resume or flatten; *request* is the id it was left under, met once and never again."""

    verb: Literal["halt", "resume", "flatten"]
    by: str = ""
    request: str = ""


Record = (
    RunStarted
    | RunStopped
    | SessionMoved
    | HealthSeen
    | CandlesSeen
    | InputRefused
    | SignalSeen
    | EntryBlocked
    | TradeOpened
    | TradeMoved
    | LevelsSet
    | OrderIntended
    | OrderAnswered
    | CancelIntended
    | CancelAnswered
    | OrderSeen
    | FillSeen
    | OrderAdopted
    | SoldOutside
    | Reconciled
    | DamageFound
    | AlarmRaised
    | OperatorAsked
)


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One journal row: sequence number (from 1, no gaps), time, session and record."""

    seq: int
    at: datetime
    session: str
    record: Record


_encoder = msgspec.json.Encoder(decimal_format="string", order="deterministic")
_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


def encode(record: Record) -> str:
    """Write a record as JSON; the same record always gives the same text."""
    return _encoder.encode(record).decode()


def decode(body: str | bytes) -> Record:
    """Read a record back, exactly.

    Raises:
        msgspec.ValidationError: the text is not a record of this version or an earlier one.
    """
    return _decoder.decode(body)


def kind_of(record: Record) -> str:
    """Return the row kind of a record, ``trade_moved``."""
    return str(type(record).__struct_config__.tag)


def trade_of(record: Record) -> str | None:
    """Return the trade a record belongs to, None for the session's own rows."""
    return getattr(record, "trade_id", None)
