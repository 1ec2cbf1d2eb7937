"""Typed, frozen settings: what session.yaml and strategies.yaml mean. ``config`` fills them, others only read."""

from __future__ import annotations

from datetime import time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import msgspec

from fsm_trader.core.contracts import OptionKind


class Secret:
    """A value that never shows: not in a log, an error, the journal or a repr."""

    __slots__ = ("_value", "source")

    def __init__(self, value: str, source: str) -> None:
        self._value = value
        self.source = source

    def reveal(self) -> str:
        """Return the value, for the one call that needs it."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret(from {self.source})"

    __str__ = __repr__


class Window(msgspec.Struct, frozen=True):
    """A part of the day, local to the session's time zone; *start* is inside, *end* is not."""

    start: time
    end: time


class SessionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """When the session lives. Times are local to *timezone*; *calendar_file* corrects the calendar that ships."""

    name: str
    timezone: str
    calendar: str
    health_check: Window
    trading: Window
    square_off: time
    poll_interval: timedelta
    health_interval: timedelta
    on_stop: Literal["leave", "flatten"]
    calendar_file: Path | None = None


class PaperSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the paper broker behaves.

    Args:
        book: the broker's own file; it outlives the trader's process.
        latency: from an order's arrival until it can fill.
        spread_ticks: half the bid-ask spread, in ticks; a buy pays it, a sell gives it.
        slippage_ticks: further ticks against a market order.
        partial_fills: chance, 0 to 1, that an order fills in two parts, *latency* apart.
        rejects: chance, 0 to 1, that an order is rejected.
        seed: draws are derived from it and the order's tag, so a restart draws the same.
    """

    book: Path
    latency: timedelta
    spread_ticks: int
    slippage_ticks: int
    partial_fills: Decimal
    rejects: Decimal
    seed: int


class KiteSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach Zerodha Kite, and whether market orders leave as such or as priced limit orders.

    Args:
        api_secret: for a login alone; None where nobody logs in.
        access_token: given from outside; None: it is in *token_file*, where a login puts it.
    """

    root: str | None
    api_key: Secret
    api_secret: Secret | None = None
    access_token: Secret | None
    token_file: Path | None
    timeout: timedelta
    order_type: Literal["market", "limit"]
    market_protection: Decimal


class BrokerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Who takes the orders, and how long the trader waits for what.

    Args:
        settle: how long an unknown outcome is looked up before the order counts as absent.
        order_poll_interval: how often the order book is read while an order of ours is live.
        reconcile_interval: how often the broker's positions and all orders with our tag are compared with the journal.
    """

    kind: Literal["paper", "kite"]
    product: Literal["MIS", "NRML"]
    entry_timeout: timedelta
    exit_timeout: timedelta
    settle: timedelta
    order_poll_interval: timedelta
    reconcile_interval: timedelta
    paper: PaperSettings
    kite: KiteSettings | None


class UnderlyingSettings(msgspec.Struct, frozen=True):
    """The index that gives signals: option name in the dump, quote symbol, exchange and instrument token."""

    name: str
    symbol: str
    exchange: str
    token: int


class MarketSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is watched.

    Args:
        recorded: ``sample``, a folder or file of recorded days, or None for live candles.
        day: which recorded day to play; None: the only one, or the first not yet played.
        speed: 0 plays as fast as it can; 60 plays a minute a second.
        premiums: ``recorded``, or ``model``: option candles computed (Black-Scholes) where only an index is given.
        lot_size: units in a lot where the data names none; None: from the dated table.
        max_candle_age: no decision on candles older than this.
    """

    underlying: UnderlyingSettings
    recorded: Path | Literal["sample"] | None
    day: str | None
    speed: float
    premiums: Literal["recorded", "model"]
    lot_size: int | None
    feed: Literal["poll", "stream"]
    stream_root: str | None
    max_candle_age: timedelta


class RiskSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Limits on entries; exits are always allowed. ``max_daily_loss_paise`` is a positive amount, net of charges."""

    max_open_trades: int
    max_trades_per_day: int
    max_daily_loss_paise: int
    max_orders_per_second: int
    max_orders_per_day: int


class OptionRule(msgspec.Struct, frozen=True, kw_only=True):
    """Which option to buy.

    Args:
        kind: call or put.
        strike: nearest strike to spot, or the nearest on one side of it.
        expiry: the nearest expiry, or the nearest that is the last of its month.
        skip_days: expiries fewer than this many calendar days away are passed over.
    """

    kind: OptionKind
    strike: Literal["nearest", "at_or_above", "at_or_below"]
    expiry: Literal["nearest", "nearest_monthly"]
    skip_days: int = 0


class ExitRules(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When to leave: fractions of the actual average entry price (0.20 is 20 %), and the longest holding time."""

    stop_loss: Decimal | None = None
    target: Decimal | None = None
    max_hold: timedelta | None = None


class StrategySettings(msgspec.Struct, frozen=True, kw_only=True):
    """One configured strategy. *lots* is at least 1; *interval_s* is a whole number of minutes in seconds."""

    name: str
    class_name: str
    params: dict[str, Any]
    interval_s: int
    option: OptionRule
    lots: int
    exits: ExitRules


class TelegramSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where notices go."""

    root: str
    token: Secret
    chat_id: Secret
    timeout: timedelta


class LogSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The log file (appended to, rotated at *max_bytes*) and the least level written."""

    file: Path
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"]
    max_bytes: int
    backups: int


class MachineFiles(msgspec.Struct, frozen=True, kw_only=True):
    """A path for each machine definition; None is the built-in one."""

    session: Path | None
    trade: Path | None


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything one run was told. *digest* is the SHA-256 of the files it was read from, secrets not among them."""

    source: Path
    session: SessionSettings
    broker: BrokerSettings
    market: MarketSettings
    journal_url: str
    telegram: TelegramSettings | None
    risk: RiskSettings
    strategies: tuple[StrategySettings, ...]
    machines: MachineFiles
    log: LogSettings
    digest: str
