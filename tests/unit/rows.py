"""Journal rows of a small trading day, for the tests of everything that folds or shows them."""

from __future__ import annotations

import copy
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

from fsm_trader.core.contracts import OptionContract, OptionKind
from fsm_trader.core.day import DayPlan, plan_day
from fsm_trader.core.ledger import Ledger
from fsm_trader.core.money import Paise
from fsm_trader.core.orders import Fill, OrderKind, OrderReport, OrderRequest, OrderStatus, Role, Side
from fsm_trader.core.records import (
    FillSeen,
    OrderAnswered,
    OrderIntended,
    OrderSeen,
    Record,
    RunStarted,
    SessionMoved,
    TradeMoved,
    TradeOpened,
)
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
from fsm_trader.core.tags import TagParts, make_tag, owner_of
from fsm_trader.journal.memory import MemoryJournal

ZONE = ZoneInfo("Asia/Kolkata")
DAY = date(2026, 6, 17)
SESSION = "2026-06-17"
LOT = 75
INDEX_TOKEN = 256265
CONTRACT = OptionContract(
    exchange="NFO",
    tradingsymbol="NIFTY2661824400CE",
    token=12345,
    name="NIFTY",
    expiry=date(2026, 6, 18),
    strike_paise=Paise(2440000),
    kind=OptionKind.CE,
    lot_size=LOT,
    tick_paise=5,
)
RISK = RiskSettings(
    max_open_trades=1,
    max_trades_per_day=10,
    max_daily_loss_paise=1_000_000,
    max_orders_per_second=5,
    max_orders_per_day=200,
)
SESSION_SETTINGS = SessionSettings(
    name="nifty-intraday",
    timezone="Asia/Kolkata",
    calendar="NSE",
    health_check=Window(time(9, 15), time(9, 20)),
    trading=Window(time(9, 20), time(15)),
    square_off=time(15, 10),
    poll_interval=timedelta(seconds=5),
    health_interval=timedelta(minutes=1),
    on_stop="leave",
)
PLAN: DayPlan = plan_day(SESSION_SETTINGS, DAY, why_closed=None)


def at(clock: str, day: date = DAY) -> datetime:
    """A moment of the day, in the session's zone."""
    return datetime.combine(day, time.fromisoformat(clock), tzinfo=ZONE)


def settings(folder: Path, *, risk: RiskSettings = RISK, strategies: tuple[str, ...] = ("donchian_ce",)) -> Settings:
    seconds = timedelta(seconds=1)
    return Settings(
        source=folder / "session.yaml",
        session=SESSION_SETTINGS,
        broker=BrokerSettings(
            kind="paper",
            product="MIS",
            entry_timeout=20 * seconds,
            exit_timeout=10 * seconds,
            settle=90 * seconds,
            order_poll_interval=seconds,
            reconcile_interval=seconds,
            paper=PaperSettings(
                book=folder / "book.db",
                latency=seconds,
                spread_ticks=1,
                slippage_ticks=1,
                partial_fills=Decimal(0),
                rejects=Decimal(0),
                seed=1,
            ),
            kite=None,
        ),
        market=MarketSettings(
            underlying=UnderlyingSettings("NIFTY", "NIFTY 50", "NSE", INDEX_TOKEN),
            recorded="sample",
            day=None,
            speed=0,
            premiums="recorded",
            lot_size=None,
            feed="poll",
            stream_root=None,
            max_candle_age=150 * seconds,
        ),
        journal_url=f"sqlite:///{folder}/journal.db",
        telegram=None,
        risk=risk,
        strategies=tuple(
            StrategySettings(
                name=name,
                class_name="DonchianBreakout",
                params={},
                interval_s=60,
                option=OptionRule(kind=OptionKind.CE, strike="nearest", expiry="nearest"),
                lots=1,
                exits=ExitRules(),
            )
            for name in strategies
        ),
        machines=MachineFiles(session=None, trade=None),
        log=LogSettings(file=folder / "log", level="INFO", max_bytes=1_000_000, backups=1),
        digest="d" * 64,
    )


def run_started(session: str = SESSION) -> RunStarted:
    return RunStarted(session=session, version="0.1.0", settings_digest="d" * 64, machines={"trade": "m" * 64}, pid=1)


def trading() -> SessionMoved:
    return SessionMoved(trigger="clock", source="HEALTH_CHECK", dest="TRADING")


def opened(number: int = 1, *, strategy: str = "donchian_ce", contract: OptionContract = CONTRACT) -> TradeOpened:
    return TradeOpened(
        trade_id=f"20260617-{number:03d}",
        number=number,
        strategy=strategy,
        contract=contract,
        lots=1,
        quantity=LOT,
        product="MIS",
        exits=ExitRules(stop_loss=Decimal("0.2"), target=Decimal("0.3"), max_hold=timedelta(minutes=30)),
        machine="m" * 64,
        candle_start=at("09:29"),
        index_paise=Paise(2441235),
    )


def tag_of(number: int, role: Role, attempt: int = 1) -> str:
    return make_tag(TagParts(DAY, number, role, attempt, owner_of("nifty-intraday")))


def intended(number: int, role: Role, *, attempt: int = 1, quantity: int = LOT) -> OrderIntended:
    request = OrderRequest(
        tag=tag_of(number, role, attempt),
        exchange="NFO",
        tradingsymbol=CONTRACT.tradingsymbol,
        token=CONTRACT.token,
        side=Side.BUY if role is Role.ENTRY else Side.SELL,
        quantity=quantity,
        product="MIS",
        kind=OrderKind.MARKET,
        market_protection=Decimal(-1),
    )
    return OrderIntended(f"20260617-{number:03d}", role, attempt, request, "place")


def report(
    number: int,
    role: Role,
    status: OrderStatus,
    filled: int,
    *,
    attempt: int = 1,
    order_id: str | None = None,
    message: str = "",
) -> OrderReport:
    return OrderReport(
        order_id=order_id or f"{number}-{role}-{attempt}",
        tag=tag_of(number, role, attempt),
        exchange="NFO",
        tradingsymbol=CONTRACT.tradingsymbol,
        token=CONTRACT.token,
        side=Side.BUY if role is Role.ENTRY else Side.SELL,
        product="MIS",
        quantity=LOT,
        filled_quantity=filled,
        status=status,
        updated_at=at("09:30:02"),
        raw_status=status.value,
        message=message,
    )


def seen(number: int, role: Role, status: OrderStatus, filled: int, *, attempt: int = 1) -> OrderSeen:
    what = report(number, role, status, filled, attempt=attempt)
    return OrderSeen(f"20260617-{number:03d}", tag_of(number, role, attempt), what)


def filled(
    number: int, role: Role, quantity: int, price_paise: int, *, attempt: int = 1, fill: str = "a", clock: str = "09:30"
) -> FillSeen:
    order_id = f"{number}-{role}-{attempt}"
    what = Fill(f"{order_id}-{fill}", order_id, quantity, Paise(price_paise), at(clock))
    return FillSeen(f"20260617-{number:03d}", tag_of(number, role, attempt), what)


def answered(number: int, role: Role, *, attempt: int = 1) -> OrderAnswered:
    return OrderAnswered(
        f"20260617-{number:03d}", tag_of(number, role, attempt), "accepted", f"{number}-{role}-{attempt}"
    )


def moved(number: int, source: str, dest: str, *, trigger: str = "told", reason: str = "") -> TradeMoved:
    return TradeMoved(f"20260617-{number:03d}", trigger, source, dest, reason)


def bought(number: int, price_paise: int, *, strategy: str = "donchian_ce") -> tuple[Record, ...]:
    """Every row of a trade from its opening until it is ACTIVE with one lot."""
    role = Role.ENTRY
    return (
        opened(number, strategy=strategy),
        moved(number, "IDLE", "PENDING_ENTRY"),
        intended(number, role),
        answered(number, role),
        seen(number, role, OrderStatus.COMPLETE, LOT),
        filled(number, role, LOT, price_paise),
        moved(number, "PENDING_ENTRY", "ACTIVE"),
    )


def sold(number: int, price_paise: int, *, reason: str = "target") -> tuple[Record, ...]:
    """Every row from ACTIVE to CLOSED."""
    role = Role.EXIT
    return (
        moved(number, "ACTIVE", "PENDING_EXIT", reason=reason),
        intended(number, role),
        answered(number, role),
        seen(number, role, OrderStatus.COMPLETE, LOT),
        filled(number, role, LOT, price_paise, clock="09:40"),
        moved(number, "PENDING_EXIT", "CLOSED"),
    )


class Story:
    """A journal in memory and the ledger that follows it."""

    def __init__(self) -> None:
        self.journal = MemoryJournal()
        self.ledger = Ledger()

    def tell(self, clock: str, *records: Record, session: str = SESSION) -> Ledger:
        self.ledger.fold(self.journal.append(at(clock), session, records))
        return self.ledger


def picture(ledger: Ledger) -> dict[str, object]:
    """Everything a ledger knows, for comparing two."""
    known = dict(vars(ledger))
    # What it keeps at hand of its trades: whether it was asked for them is no knowledge.
    known.pop("_kept_open", None)
    known.pop("_kept_of_session", None)
    return copy.deepcopy(known)
