"""What is watched: section market."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Literal

from fsm_trader.config.broker import BrokerKind
from fsm_trader.config.fields import Section
from fsm_trader.config.files import is_there
from fsm_trader.config.keys import SESSION_FILE
from fsm_trader.config.paths import read_path, read_root
from fsm_trader.core.settings import MarketSettings, UnderlyingSettings

_PREMIUMS: tuple[Literal["recorded", "model"], ...] = ("recorded", "model")
_FEEDS: tuple[Literal["poll", "stream"], ...] = ("poll", "stream")
_EXCHANGES = ("NSE", "BSE")
_LEAST_SPEED, _MOST_SPEED = Decimal("0.01"), Decimal(100_000)
_MOST_TOKEN = 2**32 - 1


def read_market(top: Section, folder: Path, kind: BrokerKind | None) -> MarketSettings:
    """Read ``market``; what is recorded must fit the broker *kind* (None: not known, not checked)."""
    section = top.section("market", SESSION_FILE["market"])
    lot_size, stream_root = section.given("lot_size"), section.given("stream_root")
    return MarketSettings(
        underlying=_underlying(section),
        recorded=_recorded(section, folder, kind),
        day=_day(section),
        speed=_speed(section),
        premiums=section.choice("premiums", _PREMIUMS, "recorded"),
        lot_size=None if lot_size is None else section.reader.integer(lot_size, least=1, most=100_000),
        feed=_feed(section, kind),
        stream_root=None if stream_root is None else read_root(section.reader, stream_root, secure="wss", plain="ws"),
        max_candle_age=section.duration("max_candle_age", "150s", "10s", "1h"),
    )


def _underlying(market: Section) -> UnderlyingSettings:
    section = market.section("underlying", SESSION_FILE["market.underlying"])
    return UnderlyingSettings(
        name=section.text("name", "", r"[A-Z0-9&-]{1,40}", "a name as in the instrument dump, such as NIFTY"),
        symbol=section.text("symbol", "", r"[A-Za-z0-9&][A-Za-z0-9& ._-]{0,39}", 'a symbol such as "NIFTY 50"'),
        exchange=section.choice("exchange", _EXCHANGES, "NSE"),
        token=section.integer("token", 0, 1, _MOST_TOKEN),
    )


def _recorded(section: Section, folder: Path, kind: BrokerKind | None) -> Path | Literal["sample"] | None:
    node = section.get("recorded")
    if node is None:
        return None if kind == "kite" else "sample"
    if section.reader.is_null(node):
        if kind == "paper":
            live = "live candles come with broker.kind: kite"
            section.reader.fault(node, f"was null; the paper broker needs recorded data: sample or a path ({live})")
        return None
    if kind == "kite":
        section.reader.fault(node, "recorded data with broker.kind kite; expected null: real orders need live candles")
        return None
    if node.value == "sample":
        return "sample"
    path = read_path(section.reader, node, folder, "sample")
    if isinstance(node.value, str) and not is_there(path):
        section.reader.fault(node, f"{path} does not exist; expected sample, or a folder or file of recorded days")
    return path


def _feed(section: Section, kind: BrokerKind | None) -> Literal["poll", "stream"]:
    feed = section.choice("feed", _FEEDS, "poll")
    node = section.get("feed")
    if node is not None and feed == "stream" and kind == "paper":
        section.reader.fault(
            node, "was stream with broker.kind paper; expected poll: a recorded day comes by no stream"
        )
    return feed


def _day(section: Section) -> str | None:
    node = section.given("day")
    if node is None:
        return None
    expected = "a day such as 2026-06-17, or null"
    text = section.reader.text(node, pattern=r"[0-9]{4}-[0-9]{2}-[0-9]{2}", expected=expected)
    if text is None:
        return None
    try:
        date.fromisoformat(text)
    except ValueError:
        section.reader.fault(node, f"was {text}, which is no day of the calendar; expected {expected}")
    return text


def _speed(section: Section) -> float:
    """Read how many times faster than life a recorded day is played; 0 stands for max."""
    node = section.get("speed")
    if node is None or node.value == "max":
        return 0.0
    if isinstance(node.value, str) and not node.refused:
        section.reader.fault(
            node, f"was {node.text[:60]!r}; expected max or a number from {_LEAST_SPEED} to {_MOST_SPEED}"
        )
        return 0.0
    return float(section.reader.number(node, least=_LEAST_SPEED, most=_MOST_SPEED) or 0)
