"""A recorded day played back: candles and prices as they were at any instant, for the feed and for the paper broker.

It answers for the time it is asked about and keeps no position of its own, so a restarted process sees the same market.
It must not know the engine, the broker or the calendar's verdict on the day: the app decides whether a day is played.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from fsm_trader.core.candles import Candle, PriceSeen
from fsm_trader.core.contracts import OptionContract
from fsm_trader.core.money import Paise
from fsm_trader.core.settings import MarketSettings
from fsm_trader.errors import SetupError, UnavailableError
from fsm_trader.market.calendar import calendar_for
from fsm_trader.market.candle_rows import Session, read_candles
from fsm_trader.market.modelled import FLAT_VOLATILITY, index_only_contracts, model_candles
from fsm_trader.market.recorded_contracts import CONTRACT_COLUMNS, contracts_of_day
from fsm_trader.market.recorded_files import DayFiles, days, locate
from fsm_trader.market.series import Series
from fsm_trader.market.tables import CANDLE_COLUMNS, read_table

__all__ = ["RecordedDay", "days", "open_recorded"]

_INDEX_CLOSES = time(15, 30)  # the index of the cash market has no candles of its own after this
Loader = Callable[[int], tuple[Candle, ...] | None]


class RecordedDay:
    """One recorded day: a MarketFeed and the paper broker's PriceSource. Safe to call from several threads.

    Args:
        session: opening and closing time, aware; ``day`` is their date.
        label: what is played, for people; it says so when premiums are computed.
        skipped: a sentence for each kind of row that was left out.
        contracts: options listed on the day.
        load: gives the candles of a token, None for a token that is not of this day.
        index_token: instrument token of the index.
    """

    def __init__(
        self,
        session: Session,
        *,
        label: str,
        skipped: tuple[str, ...],
        contracts: Sequence[OptionContract],
        load: Loader,
        index_token: int,
    ) -> None:
        self.day: date = session.opens_at.date()
        self.opens_at: datetime = session.opens_at
        self.closes_at: datetime = session.closes_at
        self.label = label
        self.skipped = skipped
        self._contracts = tuple(contracts)
        self._load = load
        self._index_token = index_token
        # Filled when first asked for. Two threads may build the same series; both results are equal.
        self._series: dict[int, Series] = {}

    def candles(self, token: int, *, after: datetime | None, now: datetime) -> tuple[Candle, ...]:
        """Return the one-minute candles that started later than *after* and are complete at *now*.

        Raises:
            UnavailableError: the token is not of this day.
        """
        return self._of(token).complete(after=after, now=now)

    def price(self, token: int, now: datetime) -> PriceSeen | None:
        """Return the last price of the path inside the minutes (see ``market.series``), None before the first.

        Raises:
            UnavailableError: the token is not of this day.
        """
        return self._of(token).price(now)

    def prices(self, token: int, *, after: datetime, until: datetime) -> tuple[tuple[datetime, Paise], ...]:
        """Return the prices in (*after*, *until*], closed by the one that stands at *until*, stamped *until*.

        Raises:
            UnavailableError: the token is not of this day.
        """
        return self._of(token).path(after=after, until=until)

    def contracts(self, name: str, day: date) -> tuple[OptionContract, ...]:
        """Return the options on *name* of the recorded day.

        Raises:
            UnavailableError: another day is asked for, or nothing is listed on *name*.
        """
        if day != self.day:
            raise UnavailableError(f"recorded day {self.day}: contracts of {day} were asked for; nothing was read")
        listed = tuple(contract for contract in self._contracts if contract.name == name)
        if not listed:
            names = ", ".join(sorted({contract.name for contract in self._contracts})) or "none"
            raise UnavailableError(f"recorded day {self.day}: no options on {name!r}; the day has {names}")
        return listed

    def next_candle_at(self, now: datetime) -> datetime | None:
        """Return when the next index candle is complete, None when none is left."""
        return self._of(self._index_token).next_end(now)

    def _of(self, token: int) -> Series:
        series = self._series.get(token)
        if series is None:
            candles = self._load(token)
            if candles is None:
                raise UnavailableError(f"recorded day {self.day}: no instrument with token {token}; nothing was read")
            self._series[token] = series = Series(token, candles)
        return series


class _Opened(msgspec.Struct, frozen=True):
    """What every kind of recorded day starts from: its files, hours and usable index candles."""

    files: DayFiles
    session: Session
    settings: MarketSettings
    index: tuple[Candle, ...]
    skipped: tuple[str, ...]


def open_recorded(settings: MarketSettings, *, zone: ZoneInfo) -> RecordedDay:
    """Open the recorded day that *settings* name: ``market.day``, or the first day there is.

    Rows outside the session, and rows that cannot be used, are left out and counted in ``skipped``. The session's hours
    are the exchange's for that day; whether the day is a trading day is not asked here.

    Args:
        settings: where the days are, and how missing premiums are made up.
        zone: the session's; times without an offset are local to it.

    Raises:
        SetupError: a file is missing or unusable, or no candle of the index is left.
    """
    found = locate(settings, zone=zone)
    opens, closes = calendar_for("NSE").hours(found.day)
    session = Session(
        datetime.combine(found.day, opens, zone),
        datetime.combine(found.day, closes, zone),
        zone=zone,
        one_day=found.one_day,
    )
    index, skipped = _index_candles(found, session, settings.underlying.token)
    opened = _Opened(found, session, settings, index, skipped)
    if found.options is not None:
        return _with_options(opened, found.options)
    if settings.premiums == "model":
        return _with_model(opened)
    raise SetupError.at(
        str(found.place),
        "no options are recorded; expected options.csv, options.csv.gz or options.parquet beside the index, "
        "or market.premiums: model",
    )


def _index_candles(found: DayFiles, session: Session, token: int) -> tuple[tuple[Candle, ...], tuple[str, ...]]:
    closes_at = min(session.closes_at, datetime.combine(found.day, _INDEX_CLOSES, session.zone))
    hours = Session(session.opens_at, closes_at, zone=session.zone, one_day=found.one_day)
    candles, skipped = read_candles(found.index, hours, token=token)
    if not candles.get(token):
        reasons = "; ".join(skipped) or "no row is of that day"
        raise SetupError.at(str(found.place), f"no usable index candle on {found.day} ({reasons}); expected some")
    return candles[token], (*found.index.skipped, *skipped)


def _with_options(opened: _Opened, options: Path) -> RecordedDay:
    found, index_token = opened.files, opened.settings.underlying.token
    needed = ("tradingsymbol",) if found.instruments else CONTRACT_COLUMNS
    table = read_table(options, required=(*CANDLE_COLUMNS, *needed))
    contracts = contracts_of_day(found, table, opened.settings)
    tokens = {contract.tradingsymbol: contract.token for contract in contracts}
    traded, left_out = read_candles(table, opened.session, tokens=tokens)
    # An instrument that is listed but did not trade is known, and has no candles.
    candles = {**dict.fromkeys(tokens.values(), ()), **traded, index_token: opened.index}
    return RecordedDay(
        opened.session,
        label=_label(opened),
        skipped=(*opened.skipped, *table.skipped, *left_out),
        contracts=contracts,
        load=candles.get,
        index_token=index_token,
    )


def _label(opened: _Opened) -> str:
    if opened.settings.recorded == "sample":
        return f"{opened.files.day}, the bundled sample day: generated, not recorded"
    return f"{opened.files.day}, recorded index and options ({opened.files.place})"


def _with_model(opened: _Opened) -> RecordedDay:
    found, index, index_token = opened.files, opened.index, opened.settings.underlying.token
    contracts = index_only_contracts(index, opened.settings, found.day)
    known = {contract.token: contract for contract in contracts}

    def load(token: int) -> tuple[Candle, ...] | None:
        if token == index_token:
            return index
        return model_candles(known[token], index, opened.session.zone) if token in known else None

    volatility = f"{FLAT_VOLATILITY:.0%} volatility"
    return RecordedDay(
        opened.session,
        label=f"{found.day}, recorded index ({found.place}); premiums computed (Black-Scholes, {volatility})",
        skipped=opened.skipped,
        contracts=contracts,
        load=load,
        index_token=index_token,
    )
