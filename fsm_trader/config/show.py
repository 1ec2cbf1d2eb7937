"""Settings as a person reads them: laid out like the files, ready for JSON, secrets masked."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from fsm_trader.config.paths import ConcealedUrl
from fsm_trader.core.money import rupees
from fsm_trader.core.settings import (
    BrokerSettings,
    MarketSettings,
    SessionSettings,
    Settings,
    StrategySettings,
    Window,
)
from fsm_trader.strict_yaml import show_duration


def describe(settings: Settings) -> dict[str, Any]:
    """Return settings under the keys of the files, durations and percentages as they are written there."""
    telegram = settings.telegram
    return {
        "source": str(settings.source),
        "digest": settings.digest,
        "session": _session(settings.session),
        "broker": _broker(settings.broker),
        "market": _market(settings.market),
        "journal": {"url": repr(settings.journal_url)[1:-1] if _is_concealed(settings) else settings.journal_url},
        "notify": {
            "telegram": telegram
            and {
                "root": telegram.root,
                "token": repr(telegram.token),
                "chat_id": repr(telegram.chat_id),
                "timeout": show_duration(telegram.timeout),
            }
        },
        "risk": {
            "max_open_trades": settings.risk.max_open_trades,
            "max_trades_per_day": settings.risk.max_trades_per_day,
            "max_daily_loss": f"{rupees(settings.risk.max_daily_loss_paise):f}",
            "max_orders_per_second": settings.risk.max_orders_per_second,
            "max_orders_per_day": settings.risk.max_orders_per_day,
        },
        "strategies": {strategy.name: _strategy(strategy) for strategy in settings.strategies},
        "machines": {"session": _file(settings.machines.session), "trade": _file(settings.machines.trade)},
        "log": {
            "file": str(settings.log.file),
            "level": settings.log.level,
            "max_size": settings.log.max_bytes // 1_000_000,
            "backups": settings.log.backups,
        },
    }


def _is_concealed(settings: Settings) -> bool:
    return isinstance(settings.journal_url, ConcealedUrl)


def _session(session: SessionSettings) -> dict[str, Any]:
    return {
        "name": session.name,
        "timezone": session.timezone,
        "calendar": session.calendar,
        "calendar_file": None if session.calendar_file is None else str(session.calendar_file),
        "health_check": _window(session.health_check),
        "trading": _window(session.trading),
        "square_off": session.square_off.isoformat(),
        "poll_interval": show_duration(session.poll_interval),
        "health_interval": show_duration(session.health_interval),
        "on_stop": session.on_stop,
    }


def _window(window: Window) -> dict[str, str]:
    return {"start": window.start.isoformat(), "end": window.end.isoformat()}


def _broker(broker: BrokerSettings) -> dict[str, Any]:
    paper, kite = broker.paper, broker.kite
    return {
        "kind": broker.kind,
        "product": broker.product,
        "entry_timeout": show_duration(broker.entry_timeout),
        "exit_timeout": show_duration(broker.exit_timeout),
        "settle": show_duration(broker.settle),
        "order_poll_interval": show_duration(broker.order_poll_interval),
        "reconcile_interval": show_duration(broker.reconcile_interval),
        "paper": {
            "book": str(paper.book),
            "latency": show_duration(paper.latency),
            "spread_ticks": paper.spread_ticks,
            "slippage_ticks": paper.slippage_ticks,
            "partial_fills": _percent(paper.partial_fills),
            "rejects": _percent(paper.rejects),
            "seed": paper.seed,
        },
        "kite": kite
        and {
            "root": kite.root,
            "api_key": repr(kite.api_key),
            "api_secret": kite.api_secret and repr(kite.api_secret),
            "access_token": kite.access_token and repr(kite.access_token),
            "token_file": kite.token_file and str(kite.token_file),
            "timeout": show_duration(kite.timeout),
            "order_type": kite.order_type,
            "market_protection": f"{kite.market_protection:f}",
        },
    }


def _market(market: MarketSettings) -> dict[str, Any]:
    underlying = market.underlying
    return {
        "underlying": {
            "name": underlying.name,
            "symbol": underlying.symbol,
            "exchange": underlying.exchange,
            "token": underlying.token,
        },
        "recorded": market.recorded and str(market.recorded),
        "day": market.day,
        "speed": market.speed or "max",
        "premiums": market.premiums,
        "lot_size": market.lot_size,
        "feed": market.feed,
        "stream_root": market.stream_root,
        "max_candle_age": show_duration(market.max_candle_age),
    }


def _strategy(strategy: StrategySettings) -> dict[str, Any]:
    option, exits = strategy.option, strategy.exits
    return {
        "class": strategy.class_name,
        "params": _plain(strategy.params),
        "interval": f"{strategy.interval_s // 60}m",
        "option": {
            "type": str(option.kind),
            "strike": option.strike,
            "expiry": {"rule": option.expiry, "skip_days": option.skip_days},
        },
        "lots": strategy.lots,
        "exits": {
            "stop_loss": exits.stop_loss and _percent(exits.stop_loss),
            "target": exits.target and _percent(exits.target),
            "max_hold": exits.max_hold and show_duration(exits.max_hold),
        },
    }


def _percent(fraction: Decimal) -> str:
    return f"{fraction.scaleb(2).normalize():f}%"


def _file(path: Path | None) -> str:
    return "builtin" if path is None else str(path)


def _plain(value: Any) -> Any:
    """Return params with decimals as text: a JSON number would lose their exactness."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return f"{value:f}" if isinstance(value, Decimal) else value
