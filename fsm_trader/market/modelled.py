"""The option chain an index-only day is played with: contracts and candles computed from the index, and named so.

The trading symbols start with ``MODEL-``: no exchange lists them, so none of them can ever be ordered for real.
Knows no file layout.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from fsm_trader.core.candles import Candle
from fsm_trader.core.contracts import OptionContract, OptionKind
from fsm_trader.core.money import Paise
from fsm_trader.core.settings import MarketSettings
from fsm_trader.market.black_scholes import TICK_PAISE, Option, premium_paise
from fsm_trader.market.calendar import Calendar, calendar_for
from fsm_trader.market.contract_terms import freeze_quantity_for
from fsm_trader.market.recorded_contracts import lot_size_of, tokens_for

FLAT_VOLATILITY = 0.13  # a year
STRIKE_STEP_PAISE = 5_000
_MARGIN_STRIKES = 10
_TUESDAYS_SINCE = date(2025, 9, 1)  # NSE moved index expiries from Thursday to Tuesday
_EXPIRY_TIME = time(15, 30)


def index_only_contracts(index: tuple[Candle, ...], settings: MarketSettings, day: date) -> tuple[OptionContract, ...]:
    """Return calls and puts around the day's range, for every weekly expiry to the end of the following month.

    Raises:
        SetupError: the lot size is in neither ``market.lot_size`` nor the dated table.
    """
    name = settings.underlying.name
    strikes = model_strikes(min(candle.low for candle in index), max(candle.high for candle in index))
    listed = [
        (f"MODEL-{name}-{expiry:%Y%m%d}-{strike // 100}{kind}", expiry, strike, kind)
        for expiry in weekly_expiries(day, calendar_for("NSE"))
        for strike in strikes
        for kind in OptionKind
    ]
    tokens = tokens_for([symbol for symbol, *_ in listed])
    lots = {expiry: lot_size_of(settings, expiry) for _, expiry, *_ in listed}
    return tuple(
        OptionContract(
            exchange="NFO",
            tradingsymbol=symbol,
            token=tokens[symbol],
            name=name,
            expiry=expiry,
            strike_paise=Paise(strike),
            kind=kind,
            lot_size=lots[expiry],
            tick_paise=TICK_PAISE,
            freeze_quantity=freeze_quantity_for(name, day),
        )
        for symbol, expiry, strike, kind in listed
    )


def model_candles(contract: OptionContract, index: tuple[Candle, ...], zone: ZoneInfo) -> tuple[Candle, ...]:
    """Compute an option's candles from the index candles, at the flat volatility; volumes are 0."""
    expires_at = datetime.combine(contract.expiry, _EXPIRY_TIME, zone)
    option = Option(contract.strike_paise, contract.kind, FLAT_VOLATILITY)
    return tuple(_candle(contract.token, option, candle, expires_at) for candle in index)


def model_strikes(low_paise: int, high_paise: int) -> range:
    """Return strikes every 50 points from ten below *low_paise* to ten above *high_paise*, in paise."""
    step = STRIKE_STEP_PAISE
    return range(max(1, low_paise // step - _MARGIN_STRIKES) * step, high_paise + (_MARGIN_STRIKES + 1) * step, step)


def weekly_expiries(day: date, calendar: Calendar) -> tuple[date, ...]:
    """Return the weekly expiries from *day* to the end of the following month, in order.

    Thursdays before September 2025, Tuesdays since; a holiday moves one to the trading day before. Days the calendar
    does not cover are taken as they fall.
    """
    end = (day.replace(day=1) + timedelta(days=62)).replace(day=1)
    expiries = (_moved_back(one, calendar) for one in _expiry_weekdays(day, end))
    return tuple(sorted({expiry for expiry in expiries if expiry >= day}))


def _candle(token: int, option: Option, index: Candle, expires_at: datetime) -> Candle:
    left_s = (expires_at - index.start).total_seconds()
    points = ((index.open, 0), (index.low, 30), (index.high, 30), (index.close, 59))
    values = [premium_paise(option, spot, left_s - passed_s) for spot, passed_s in points]
    # A call is highest when the index is, a put when it is lowest; time passing may make an end the extreme.
    return Candle(token, index.start, values[0], max(values), min(values), values[3])


def _expiry_weekdays(day: date, end: date) -> Iterator[date]:
    for ahead in range((end - day).days):
        one = day + timedelta(days=ahead)
        if one.weekday() == (1 if one >= _TUESDAYS_SINCE else 3):
            yield one


def _moved_back(expiry: date, calendar: Calendar) -> date:
    for back in range(7):
        one = expiry - timedelta(days=back)
        if not calendar.covers(one) or calendar.is_trading_day(one):
            return one
    return expiry
