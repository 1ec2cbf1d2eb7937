"""What all days of a drill share, made once: the user's settings and machines, a compressed day, listed contracts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec

from fsm_trader.core.contracts import OptionContract, OptionKind
from fsm_trader.core.day import DayPlan, plan_day
from fsm_trader.core.money import Paise
from fsm_trader.core.settings import PaperSettings, SessionSettings, Settings, StrategySettings, Window
from fsm_trader.machines.load import parse_machine
from fsm_trader.machines.run import Machine
from fsm_trader.machines.spec import MachineSpec
from fsm_trader.simulate.drill.oracles import Edge, edges_of
from fsm_trader.simulate.drill.scenario import (
    EDITED,
    HEALTH_MINUTE,
    SHORT_END_MINUTE,
    SHORT_SQUARE_OFF_MINUTE,
    SQUARE_OFF_MINUTE,
    TRADING_END_MINUTE,
    TRADING_MINUTE,
    Scenario,
)

DAY = date(2026, 6, 17)
MINUTES = 90
SPOT_PAISE = 2_440_000
_OPENS = time(9, 15)
_LOT, _TICK, _FREEZE = 75, 5, 1_800
_STRIKES = range(23_900, 24_950, 50)
_EXPIRIES = (date(2026, 6, 23), date(2026, 6, 30), date(2026, 7, 7), date(2026, 7, 28))
# What an edited definition gives as its reasons, so that a trade that moves under the wrong one shows it.
_REASON = re.compile(r"(\breason:\s*)(\w+)")
_EDITED = rf"\1\2{EDITED}"


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """What every day of one drill is played with.

    Args:
        settings: the user's, with the day compressed; a scenario changes the paper broker's and the holding time.
        plans: hours of the compressed day, and of the short one.
        opens_at: when the market opens; scenarios count from here.
        contracts: what is listed; the last one is never selected, so that people can trade it by hand.
        session: the session machine.
        trades: trade machines by digest, the user's and its edited copy.
        digests: of the user's trade machine and of the edited copy.
        edges: what each trade machine allows, by digest.
    """

    settings: Settings
    plans: tuple[DayPlan, DayPlan]
    opens_at: datetime
    contracts: tuple[OptionContract, ...]
    session: Machine
    trades: Mapping[str, Machine]
    digests: tuple[str, str]
    edges: Mapping[str, frozenset[Edge]]

    def plan_of(self, scenario: Scenario) -> DayPlan:
        """Return the hours of one day."""
        plan = self.plans[scenario.is_short]
        return msgspec.structs.replace(plan, why_closed="a holiday (planned)") if scenario.is_holiday else plan

    def contracts_of(self, scenario: Scenario) -> tuple[OptionContract, ...]:
        """Return what is listed on one day."""
        lots = scenario.freeze_lots
        if lots is None:
            return self.contracts
        return tuple(msgspec.structs.replace(each, freeze_quantity=lots * each.lot_size) for each in self.contracts)

    def settings_of(self, scenario: Scenario) -> Settings:
        """Return the settings of one day."""
        paper = msgspec.structs.replace(
            self.settings.broker.paper,
            latency=timedelta(seconds=scenario.latency_s),
            partial_fills=scenario.partial_fills,
            rejects=scenario.rejects,
            seed=scenario.seed,
        )
        broker = msgspec.structs.replace(self.settings.broker, paper=paper)
        strategies = tuple(_held(each, scenario.max_hold_s) for each in self.settings.strategies)
        return msgspec.structs.replace(self.settings, broker=broker, strategies=strategies)


def stage_of(settings: Settings, session: MachineSpec, trade: MachineSpec) -> Stage:
    """Set the stage.

    Args:
        settings: the user's.
        session: the user's session machine.
        trade: the user's trade machine.
    """
    edited = parse_machine(_REASON.sub(_EDITED, trade.text), kind="trade", source=f"{trade.source}, edited")
    short = _compressed(settings)
    plan = plan_day(short.session, DAY, why_closed=None)
    end, square_off = (plan.health_start + timedelta(minutes=at) for at in (SHORT_END_MINUTE, SHORT_SQUARE_OFF_MINUTE))
    specs = (trade, edited)
    return Stage(
        settings=short,
        plans=(plan, msgspec.structs.replace(plan, trading_end=end, square_off=square_off)),
        opens_at=datetime.combine(DAY, _OPENS, tzinfo=ZoneInfo(short.session.timezone)),
        contracts=_listed(short),
        session=Machine(session),
        trades={spec.digest: Machine(spec) for spec in specs},
        digests=(trade.digest, edited.digest),
        edges={spec.digest: edges_of(spec) for spec in specs},
    )


def _compressed(settings: Settings) -> Settings:
    """Keep every time-out, interval, limit and rule, and bring the hours of the day close together."""
    session: SessionSettings = msgspec.structs.replace(
        settings.session,
        health_check=Window(_minute(HEALTH_MINUTE), _minute(TRADING_MINUTE)),
        trading=Window(_minute(TRADING_MINUTE), _minute(TRADING_END_MINUTE)),
        square_off=_minute(SQUARE_OFF_MINUTE),
    )
    paper: PaperSettings = msgspec.structs.replace(
        settings.broker.paper, partial_fills=Decimal(0), rejects=Decimal(0), latency=timedelta(0)
    )
    broker = msgspec.structs.replace(settings.broker, kind="paper", paper=paper, kite=None)
    # Two lots at least, because one lot never fills in parts.
    strategies = tuple(
        msgspec.structs.replace(each, interval_s=60, lots=max(each.lots, 2)) for each in settings.strategies
    )
    return msgspec.structs.replace(settings, session=session, broker=broker, strategies=strategies)


def _held(strategy: StrategySettings, max_hold_s: float | None) -> StrategySettings:
    if max_hold_s is None:
        return strategy
    exits = msgspec.structs.replace(strategy.exits, max_hold=timedelta(seconds=max_hold_s))
    return msgspec.structs.replace(strategy, exits=exits)


def _minute(number: int) -> time:
    return (datetime.combine(DAY, _OPENS) + timedelta(minutes=number)).time()


def _listed(settings: Settings) -> tuple[OptionContract, ...]:
    name = settings.market.underlying.name
    chain = [
        _contract(name, expiry, strike, kind, token)
        for token, (expiry, strike, kind) in enumerate(
            ((expiry, strike, kind) for expiry in _EXPIRIES for strike in _STRIKES for kind in OptionKind), start=1_000
        )
    ]
    # Far from every price: no rule selects it.
    return (*chain, _contract(name, _EXPIRIES[-1], 40_000, OptionKind.CE, 999))


def _contract(name: str, expiry: date, strike: int, kind: OptionKind, token: int) -> OptionContract:
    return OptionContract(
        exchange="NFO",
        tradingsymbol=f"{name}{expiry:%y%m%d}{strike}{kind}",
        token=token,
        name=name,
        expiry=expiry,
        strike_paise=Paise(strike * 100),
        kind=kind,
        lot_size=_LOT,
        tick_paise=_TICK,
        freeze_quantity=_FREEZE,
    )
