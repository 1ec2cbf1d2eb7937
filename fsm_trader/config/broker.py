"""Who takes the orders: section broker with paper and kite."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec

from fsm_trader.config.fields import Section
from fsm_trader.config.keys import SESSION_FILE
from fsm_trader.config.paths import read_path, read_root, sqlite_file
from fsm_trader.config.secrets import STAND_IN, Secrets
from fsm_trader.core.settings import BrokerSettings, KiteSettings, PaperSettings, Secret
from fsm_trader.strict_yaml import Reader

BrokerKind = Literal["paper", "kite"]
_KINDS: tuple[BrokerKind, ...] = ("paper", "kite")
_PRODUCTS: tuple[Literal["MIS", "NRML"], ...] = ("MIS", "NRML")
_ORDER_TYPES: tuple[Literal["market", "limit"], ...] = ("market", "limit")
_NONE, _ALL = Decimal(0), Decimal(1)
_BROKERS_CHOICE = Decimal(-1)
_KEPT_IN = "kite_token.json"


def read_kind(top: Section) -> BrokerKind | None:
    """Return the broker's kind, None where it is faulty; the fault is reported by :func:`read_broker`."""
    section = Section(Reader(), top.given("broker"), SESSION_FILE["broker"])
    node = section.get("kind")
    return next((kind for kind in _KINDS if node is None or node.value == kind), None)


def read_broker(top: Section, folder: Path, secrets: Secrets, *, logs_in: bool = False) -> BrokerSettings:
    """Read ``broker``. Kite's secrets are looked up only when Kite is used: paper needs no environment.

    Args:
        top: the session file.
        folder: where relative paths start.
        secrets: looks secrets up.
        logs_in: for a login: the app's secret is needed, which a trader has no use for, and a file for the token.
    """
    section = top.section("broker", SESSION_FILE["broker"])
    kind = section.choice("kind", _KINDS, "paper")
    return BrokerSettings(
        kind=kind,
        product=section.choice("product", _PRODUCTS, "MIS"),
        entry_timeout=section.duration("entry_timeout", "20s", "1s", "5m"),
        exit_timeout=section.duration("exit_timeout", "10s", "1s", "5m"),
        settle=section.duration("settle", "90s", "1s", "1h"),
        order_poll_interval=section.duration("order_poll_interval", "1s", "100ms", "1m"),
        reconcile_interval=section.duration("reconcile_interval", "1m", "5s", "10m"),
        paper=_paper(section.section("paper", SESSION_FILE["broker.paper"]), folder),
        kite=_kite(section, folder, secrets, is_used=kind == "kite", logs_in=logs_in),
    )


def _paper(section: Section, folder: Path) -> PaperSettings:
    return PaperSettings(
        book=read_path(section.reader, section.get("book"), folder, "var/paper.db"),
        latency=section.duration("latency", "300ms", "0s", "1m"),
        spread_ticks=section.integer("spread_ticks", 1, 0, 1000),
        slippage_ticks=section.integer("slippage_ticks", 1, 0, 1000),
        partial_fills=section.percent("partial_fills", _NONE, _NONE, _ALL),
        rejects=section.percent("rejects", _NONE, _NONE, _ALL),
        seed=section.integer("seed", 1, 0, 2**63 - 1),
    )


def _kite(broker: Section, folder: Path, secrets: Secrets, *, is_used: bool, logs_in: bool) -> KiteSettings | None:
    section = broker.section("kite", SESSION_FILE["broker.kite"])
    if is_used:
        _check_keys(broker, section, logs_in=logs_in)
    root_node, token_file = section.given("root"), section.given("token_file")
    # The client joins its routes to the host alone.
    read = partial(read_root, section.reader, secure="https", plain="http", may_have_path=False)
    settings = KiteSettings(
        root=None if root_node is None else read(root_node),
        api_key=_secret(section, "api_key", secrets, is_used=is_used) or STAND_IN,
        api_secret=_secret(section, "api_secret", secrets, is_used=is_used and logs_in),
        access_token=_secret(section, "access_token", secrets, is_used=is_used and not logs_in),
        token_file=None if token_file is None else read_path(section.reader, token_file, folder, "token"),
        timeout=section.duration("timeout", "7s", "100ms", "1m"),
        order_type=section.choice("order_type", _ORDER_TYPES, "market"),
        market_protection=_market_protection(section),
    )
    return settings if is_used else None


def _check_keys(broker: Section, section: Section, *, logs_in: bool) -> None:
    place = section.place or broker.place
    if place is None:
        return
    if section.given("api_key") is None:
        broker.reader.fault(place, "kite.api_key is missing; broker.kind kite needs it, as ${NAME}")
    token = section.given("access_token")
    if token is not None and section.given("token_file") is not None:
        expected = "expected one of them: a token from outside, or the file that login keeps it in"
        broker.reader.fault(place, f"kite.access_token and kite.token_file: both are given; {expected}")
    if not logs_in:
        return
    if token is not None:
        broker.reader.fault(token, "is given, and login keeps the token in a file; expected it to be left out")
    if section.given("api_secret") is None:
        broker.reader.fault(place, "kite.api_secret is missing; a login needs it, as ${NAME}")


def _secret(section: Section, key: str, secrets: Secrets, *, is_used: bool) -> Secret | None:
    node = section.given(key)
    if node is None:
        return None
    if is_used:
        return secrets.read(node)
    secrets.name(node)  # the syntax is checked all the same
    return None


def _market_protection(section: Section) -> Decimal:
    """Read the percentage; 0 leaves a market order unprotected, which Kite refuses since 2026-04-01."""
    node = section.get("market_protection")
    value = None if node is None else section.reader.number(node, least=_BROKERS_CHOICE, most=Decimal(100))
    if node is None or value is None:
        return _BROKERS_CHOICE
    if value <= 0 and value != _BROKERS_CHOICE:
        section.reader.fault(node, f"was {node.text}; expected -1 (Kite's choice) or a percentage above 0, up to 100")
    return value


def with_token_file(broker: BrokerSettings, journal_url: str, folder: Path) -> BrokerSettings:
    """Return the settings with the place of the token where none was named: beside the journal, or in ``var``."""
    kite = broker.kite
    if kite is None or kite.access_token is not None or kite.token_file is not None:
        return broker
    journal = sqlite_file(journal_url)
    path = (folder / "var" if journal is None else journal.parent) / _KEPT_IN
    return msgspec.structs.replace(broker, kite=msgspec.structs.replace(kite, token_file=path))
