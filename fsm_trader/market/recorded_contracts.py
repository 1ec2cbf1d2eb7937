"""The contracts of a recorded day: from its instrument dump, or from the columns of its options table.

A table without a dump has no tokens; they are derived from the trading symbols, so the same contract has the same token
in every run. Knows no prices.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import date

from fsm_trader.core.contracts import OptionContract, OptionKind
from fsm_trader.core.money import Paise, price_seen
from fsm_trader.core.settings import MarketSettings
from fsm_trader.errors import Fault, SetupError
from fsm_trader.market.black_scholes import TICK_PAISE
from fsm_trader.market.contract_terms import freeze_quantity_for, lot_size_for
from fsm_trader.market.instruments import read_instruments
from fsm_trader.market.recorded_files import DayFiles
from fsm_trader.market.tables import Table

CONTRACT_COLUMNS = ("tradingsymbol", "expiry", "strike", "instrument_type")
_FIRST_TOKEN = 10**9  # far above any token the exchange has given out
_MOST_FAULTS = 20

_Row = tuple[object, object, object, object, object]


def contracts_of_day(found: DayFiles, table: Table, settings: MarketSettings) -> tuple[OptionContract, ...]:
    """Return the options on the underlying that the day lists.

    Raises:
        SetupError: the dump cannot be used, or the table describes a contract in two ways or not at all.
    """
    name, index_token = settings.underlying.name, settings.underlying.token
    if found.instruments is None:
        return _from_table(table, settings, found.day)
    # A dump kept beside one day may hold just that day's contracts.
    contracts = read_instruments(found.instruments, name, day=found.day, least_rows=1)
    if any(contract.token == index_token for contract in contracts):
        raise SetupError.at(str(found.instruments), f"token {index_token} is an option's; expected the index's own")
    return contracts


def tokens_for(symbols: Iterable[str]) -> dict[str, int]:
    """Return a token for each symbol, derived from its text alone unless two symbols collide."""
    tokens: dict[str, int] = {}
    taken: set[int] = set()
    for symbol in sorted(set(symbols)):
        token = _FIRST_TOKEN + int.from_bytes(hashlib.sha256(symbol.encode()).digest()[:8], "big") % _FIRST_TOKEN
        while token in taken:
            token += 1
        taken.add(token)
        tokens[symbol] = token
    return tokens


def lot_size_of(settings: MarketSettings, expiry: date) -> int:
    """Return the lot size from ``market.lot_size``, or else from the dated table.

    Raises:
        SetupError: neither knows it.
    """
    lot_size = settings.lot_size or lot_size_for(settings.underlying.name, expiry)
    if lot_size is None:
        name = settings.underlying.name
        raise SetupError.at(
            "market.lot_size", f"not known for {name} options of {expiry}; expected a number here or instruments.csv"
        )
    return lot_size


def _from_table(table: Table, settings: MarketSettings, day: date) -> tuple[OptionContract, ...]:
    name = settings.underlying.name
    rows = [row for row in _rows(table, name) if row[1] == name]
    faults = _described_twice(rows, table.where)
    terms = {}
    for row in rows:
        try:
            terms[str(row[0])] = _terms(row)
        except ValueError as error:
            faults.append(Fault(table.where, "", f"contract {row[0]!r}: {error}"))
    if not rows:
        names = ", ".join(sorted({str(row[1]) for row in _rows(table, name)})[:5])
        faults.append(Fault(table.where, "", f"no options on {name!r}; found {names}; expected some"))
    if faults:
        raise SetupError(faults[:_MOST_FAULTS])
    tokens = tokens_for(terms)
    freeze = freeze_quantity_for(name, day)
    return tuple(
        OptionContract(
            exchange="NFO",
            tradingsymbol=symbol,
            token=tokens[symbol],
            name=name,
            expiry=expiry,
            strike_paise=strike,
            kind=kind,
            lot_size=lot_size_of(settings, expiry),
            tick_paise=TICK_PAISE,
            freeze_quantity=freeze,
        )
        for symbol, (expiry, strike, kind) in sorted(terms.items(), key=lambda item: (item[1], item[0]))
    )


def _rows(table: Table, name: str) -> list[_Row]:
    names = table.column("name") or [name] * len(table)
    symbols, expiries, strikes, kinds = (table.columns[column] for column in CONTRACT_COLUMNS)
    return list(dict.fromkeys(zip(symbols, names, expiries, strikes, kinds, strict=True)))


def _described_twice(rows: list[_Row], where: str) -> list[Fault]:
    seen: dict[object, _Row] = {}
    return [
        Fault(where, "", f"contract {row[0]!r} is described as {row[2:]} and as {seen[row[0]][2:]}; expected once")
        for row in rows
        if seen.setdefault(row[0], row) != row
    ]


def _terms(row: _Row) -> tuple[date, Paise, OptionKind]:
    symbol, _, expiry, strike, kind = row
    if not isinstance(symbol, str) or not symbol:
        raise ValueError("has no trading symbol; expected a text")
    day = date.fromisoformat(expiry[:10] if isinstance(expiry, str) else str(expiry)[:10])
    strike_paise = price_seen(strike) if isinstance(strike, int | float | str) else 0
    if strike_paise <= 0:
        raise ValueError(f"strike {strike!r}; expected a number above zero")
    if kind not in ("CE", "PE"):
        raise ValueError(f"instrument_type {kind!r}; expected CE or PE")
    return day, Paise(strike_paise), OptionKind(str(kind))
