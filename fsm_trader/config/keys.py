"""Every key of session.yaml and strategies.yaml, by section. It knows names only, not values.

The reference pages in docs/reference are tested against these tables.
"""

from __future__ import annotations

from typing import NamedTuple


class Keys(NamedTuple):
    """The keys of one mapping."""

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


WINDOW = Keys(("start", "end"))

SESSION_FILE: dict[str, Keys] = {
    "": Keys(("session", "market", "strategies"), ("broker", "journal", "notify", "risk", "machines", "log")),
    "session": Keys(
        ("name", "health_check", "trading", "square_off"),
        ("timezone", "calendar", "calendar_file", "poll_interval", "health_interval", "on_stop"),
    ),
    "session.health_check": WINDOW,
    "session.trading": WINDOW,
    "broker": Keys(
        (),
        (
            "kind",
            "product",
            "entry_timeout",
            "exit_timeout",
            "settle",
            "order_poll_interval",
            "reconcile_interval",
            "paper",
            "kite",
        ),
    ),
    "broker.paper": Keys((), ("book", "latency", "spread_ticks", "slippage_ticks", "partial_fills", "rejects", "seed")),
    "broker.kite": Keys(
        (),
        (
            "root",
            "api_key",
            "api_secret",
            "access_token",
            "token_file",
            "timeout",
            "order_type",
            "market_protection",
        ),
    ),
    "market": Keys(
        ("underlying",),
        ("recorded", "day", "speed", "premiums", "lot_size", "feed", "stream_root", "max_candle_age"),
    ),
    "market.underlying": Keys(("name", "symbol", "exchange", "token")),
    "journal": Keys((), ("url",)),
    "notify": Keys((), ("telegram",)),
    "notify.telegram": Keys(("token", "chat_id"), ("root", "timeout")),
    "risk": Keys(
        (),
        (
            "max_open_trades",
            "max_trades_per_day",
            "max_daily_loss",
            "max_orders_per_second",
            "max_orders_per_day",
        ),
    ),
    "strategies": Keys(("active",), ("file",)),
    "machines": Keys((), ("session", "trade")),
    "log": Keys((), ("file", "level", "max_size", "backups")),
}

STRATEGIES_FILE: dict[str, Keys] = {
    "": Keys(("strategies",)),
    "NAME": Keys(("class", "option", "exits"), ("params", "interval", "lots")),
    "NAME.option": Keys(("type",), ("strike", "expiry")),
    "NAME.option.expiry": Keys((), ("rule", "skip_days")),
    "NAME.exits": Keys((), ("stop_loss", "target", "max_hold")),
}

# What YAML itself refuses under these places is told without its text: it may be a secret, under a misspelt key too.
SECRET_PLACES = ("$.broker.kite.", "$.notify.telegram.", "$.journal.url")
OPEN_PLACES = (
    "$.broker.kite.root",
    "$.broker.kite.timeout",
    "$.broker.kite.order_type",
    "$.broker.kite.market_protection",
    "$.notify.telegram.root",
    "$.notify.telegram.timeout",
)
