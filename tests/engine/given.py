"""Settings as a test wants them: everything has a value, and a test names only what its scenario is about."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from fsm_trader.core.contracts import OptionKind
from fsm_trader.core.settings import (
    BrokerSettings,
    ExitRules,
    LogSettings,
    MachineFiles,
    MarketSettings,
    OptionRule,
    PaperSettings,
    RiskSettings,
    SessionSettings,
    Settings,
    StrategySettings,
    UnderlyingSettings,
    Window,
)

from .market import INDEX


def exits(
    *, stop: str | None = "0.2", target: str | None = "0.3", max_hold: timedelta | None = timedelta(minutes=30)
) -> ExitRules:
    return ExitRules(
        stop_loss=None if stop is None else Decimal(stop),
        target=None if target is None else Decimal(target),
        max_hold=max_hold,
    )


def strategy(name: str = "one", *, lots: int = 1, interval_s: int = 60, **kept: Any) -> StrategySettings:
    return StrategySettings(
        name=name,
        class_name="Scripted",
        params={},
        interval_s=interval_s,
        option=kept.get("option", OptionRule(kind=OptionKind.CE, strike="nearest", expiry="nearest")),
        lots=lots,
        exits=kept.get("exits", exits()),
    )


def risk(**limits: int) -> RiskSettings:
    known = {
        "max_open_trades": 1,
        "max_trades_per_day": 10,
        "max_daily_loss_paise": 1_000_000,
        "max_orders_per_second": 5,
        "max_orders_per_day": 200,
    }
    return RiskSettings(**{**known, **limits})


def paper(book: Path, **behaviour: Any) -> PaperSettings:
    known: dict[str, Any] = {
        "latency": timedelta(milliseconds=300),
        "spread_ticks": 1,
        "slippage_ticks": 1,
        "partial_fills": Decimal(0),
        "rejects": Decimal(0),
        "seed": 1,
    }
    return PaperSettings(book=book, **{**known, **behaviour})


def session(**changes: Any) -> SessionSettings:
    """A short day: entries to 10:10, out at 10:15. Tests of the day's hours use ``WHOLE_DAY``."""
    known = SessionSettings(
        name="bench",
        timezone="Asia/Kolkata",
        calendar="always",
        health_check=Window(time(9, 15), time(9, 20)),
        trading=Window(time(9, 20), time(10, 10)),
        square_off=time(10, 15),
        poll_interval=timedelta(seconds=5),
        health_interval=timedelta(minutes=1),
        on_stop="leave",
    )
    return replace(known, **changes)


WHOLE_DAY = {"trading": Window(time(9, 20), time(15, 0)), "square_off": time(15, 10)}
"""The hours of the seed."""

BRIEF_DAY = {
    "trading": Window(time(9, 20), time(9, 45)),
    "square_off": time(9, 47),
    "poll_interval": timedelta(seconds=20),
}
"""For tests that need many days."""


def settings_of(
    folder: Path,
    strategies: Iterable[StrategySettings],
    limits: RiskSettings,
    session: SessionSettings,
    broker: dict[str, Any],
    behaviour: dict[str, Any],
) -> Settings:
    waits: dict[str, Any] = {
        "entry_timeout": timedelta(seconds=20),
        "exit_timeout": timedelta(seconds=10),
        "settle": timedelta(seconds=90),
        "order_poll_interval": timedelta(seconds=1),
        "reconcile_interval": timedelta(minutes=1),
    }
    return Settings(
        source=folder / "session.yaml",
        session=session,
        broker=BrokerSettings(
            kind="paper", product="MIS", paper=paper(folder / "book.db", **behaviour), kite=None, **{**waits, **broker}
        ),
        market=MarketSettings(
            underlying=UnderlyingSettings("NIFTY", "NIFTY 50", "NSE", INDEX),
            recorded="sample",
            day=None,
            speed=0,
            premiums="recorded",
            lot_size=None,
            feed="poll",
            stream_root=None,
            max_candle_age=timedelta(seconds=150),
        ),
        journal_url="",
        telegram=None,
        risk=limits,
        strategies=tuple(strategies),
        machines=MachineFiles(session=None, trade=None),
        log=LogSettings(file=folder / "log", level="INFO", max_bytes=1, backups=0),
        digest="settings",
    )
