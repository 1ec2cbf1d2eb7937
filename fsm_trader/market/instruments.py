"""Options of one underlying from an instrument dump in Kite's CSV form (kite.trade/docs/connect/v3/market-quotes).

The dump is the only source of contracts: trading symbols are never built. A dump with one wrong row is not used at all,
because what it left out cannot be known. Knows no network; the caller says where the lines come from.
"""

from __future__ import annotations

import csv
import difflib
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from fsm_trader.core.contracts import OptionContract, OptionKind
from fsm_trader.core.money import Paise, paise
from fsm_trader.errors import Fault, SetupError
from fsm_trader.market.contract_terms import freeze_quantity_for
from fsm_trader.market.tables import csv_lines

COLUMNS = (
    "instrument_token",
    "exchange_token",
    "tradingsymbol",
    "name",
    "last_price",
    "expiry",
    "strike",
    "tick_size",
    "lot_size",
    "instrument_type",
    "segment",
    "exchange",
)
LEAST_ROWS = 1_000  # the NFO dump has tens of thousands of rows; far fewer means that it was cut
_SEGMENT = "NFO-OPT"
_EXCHANGE = "NFO"
_MOST_FAULTS = 20

_Placed = tuple[str, str]  # a fault: ":line" or nothing, and its message


def read_instruments(path: Path, name: str, *, day: date, least_rows: int = LEAST_ROWS) -> tuple[OptionContract, ...]:
    """Read a dump from a plain or gzipped file; see :func:`parse_instruments`.

    Raises:
        SetupError: the file cannot be read or its contents cannot be used.
    """
    return parse_instruments(csv_lines(path), name, where=str(path), day=day, least_rows=least_rows)


def parse_instruments(
    lines: Sequence[str], name: str, *, where: str, day: date, least_rows: int = LEAST_ROWS
) -> tuple[OptionContract, ...]:
    """Return the calls and puts on *name* that have not expired before *day*, in the order of the dump.

    Args:
        lines: the dump, line ends kept.
        name: underlying as the dump names it, ``NIFTY``.
        where: what to call the dump in messages.
        day: trading day; it also chooses the freeze quantity.
        least_rows: fewer rows than this and the dump counts as cut.

    Raises:
        SetupError: the dump is cut, malformed, stale or knows no options on *name*; the first 20 faults are listed.
    """
    header, rows, faults = _rows(lines, where, least_rows)
    contracts: list[OptionContract] = []
    if not faults:
        places = {column: header.index(column) for column in COLUMNS}
        ours = [row[places["name"]] == name and row[places["segment"]] == _SEGMENT for row in rows]
        contracts, faults = _contracts(rows, ours, places, freeze_quantity_for(name, day))
        faults += _repeated(rows, ours, places)
        faults += _lots_mixed(contracts)
        if not any(ours):
            faults.append(_unknown_name(rows, places, name))
    listed = tuple(contract for contract in contracts if contract.expiry >= day)
    if not faults and not listed:
        last = max(contract.expiry for contract in contracts)
        faults.append(("", f"the last {name} expiry is {last}; expected one on or after {day}: the dump is stale"))
    if faults:
        raise SetupError(_bounded(faults, where))
    return listed


def _rows(lines: Sequence[str], where: str, least_rows: int) -> tuple[list[str], list[list[str]], list[_Placed]]:
    if not lines:
        raise SetupError.at(where, "is empty; expected an instrument dump")
    try:
        rows = list(csv.reader(lines, strict=True))
    except csv.Error as error:
        raise SetupError.at(where, f"is not CSV ({error}); expected comma separated values") from error
    header = rows[0]
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        raise SetupError.at(f"{where}:1", f"no column {', '.join(missing)}; expected {', '.join(COLUMNS)}")
    faults: list[_Placed] = [
        (f":{line}", f"{len(row)} fields; expected {len(header)} as in the header")
        for line, row in enumerate(rows[1:], start=2)
        if len(row) != len(header)
    ]
    if not lines[-1].endswith(("\n", "\r")):
        faults.append((f":{len(lines)}", "the last line has no line end; expected one: the dump is cut off"))
    if len(rows) - 1 < least_rows:
        faults.append(("", f"{len(rows) - 1} rows; expected at least {least_rows}: the dump looks cut"))
    return header, rows[1:], faults


def _contracts(
    rows: list[list[str]], ours: list[bool], places: dict[str, int], freeze_quantity: int | None
) -> tuple[list[OptionContract], list[_Placed]]:
    contracts: list[OptionContract] = []
    faults: list[_Placed] = []
    for line, row in enumerate(rows, start=2):
        if not ours[line - 2]:
            continue
        contract, wrong = _contract({column: row[place] for column, place in places.items()}, freeze_quantity)
        faults += ((f":{line}", message) for message in wrong)
        if contract is not None:
            contracts.append(contract)
    return contracts, faults


def _repeated(rows: list[list[str]], ours: list[bool], places: dict[str, int]) -> list[_Placed]:
    # A token shared with any other row, ours or not, would bring that instrument's prices to our trade.
    faults: list[_Placed] = []
    for column in ("instrument_token", "tradingsymbol"):
        place = places[column]
        lines: dict[str, int] = {}
        for line, row in enumerate(rows, start=2):
            earlier = lines.setdefault(row[place], line)
            if earlier != line and (ours[line - 2] or ours[earlier - 2]):
                faults.append((f":{line}", f"{column} {row[place]} stands also in line {earlier}; expected once"))
    return faults


def _contract(cells: dict[str, str], freeze_quantity: int | None) -> tuple[OptionContract | None, list[str]]:
    faults: list[str] = []
    token = _whole(cells, "instrument_token", faults)
    lot_size = _whole(cells, "lot_size", faults)
    strike = _money(cells, "strike", faults)
    tick = _money(cells, "tick_size", faults)
    try:
        expiry = date.fromisoformat(cells["expiry"])
    except ValueError:
        faults.append(f"expiry {cells['expiry']!r}; expected a date YYYY-MM-DD")
        expiry = date.min
    if cells["instrument_type"] not in OptionKind.__members__:
        faults.append(f"instrument_type {cells['instrument_type']!r}; expected CE or PE in segment {_SEGMENT}")
    if cells["exchange"] != _EXCHANGE:
        faults.append(f"exchange {cells['exchange']!r}; expected {_EXCHANGE}")
    if not cells["tradingsymbol"].strip():
        faults.append("tradingsymbol is empty; expected the exchange's name of the contract")
    if faults:
        return None, faults
    contract = OptionContract(
        exchange=_EXCHANGE,
        tradingsymbol=cells["tradingsymbol"],
        token=token,
        name=cells["name"],
        expiry=expiry,
        strike_paise=strike,
        kind=OptionKind(cells["instrument_type"]),
        lot_size=lot_size,
        tick_paise=tick,
        freeze_quantity=freeze_quantity,
    )
    return contract, []


def _whole(cells: dict[str, str], column: str, faults: list[str]) -> int:
    text = cells[column]
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0
    if number < 1:
        faults.append(f"{column} {text!r}; expected a whole number of at least 1")
    return number


def _money(cells: dict[str, str], column: str, faults: list[str]) -> Paise:
    text = cells[column]
    try:
        amount = paise(text)
    except ValueError:
        amount = Paise(0)  # told below, with the same words as a price of zero
    if amount < 1:
        faults.append(f"{column} {text!r}; expected whole paise above zero")
    return amount


def _unknown_name(rows: list[list[str]], places: dict[str, int], name: str) -> _Placed:
    seen = {row[places["name"]] for row in rows if row[places["segment"]] == _SEGMENT}
    close = difflib.get_close_matches(name, sorted(seen), n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"{len(seen)} other names are listed"
    return "", f"no options on {name!r}; expected rows with that name in segment {_SEGMENT}; {hint}"


def _lots_mixed(contracts: list[OptionContract]) -> list[_Placed]:
    lots: dict[date, set[int]] = {}
    for contract in contracts:
        lots.setdefault(contract.expiry, set()).add(contract.lot_size)
    return [
        ("", f"lot sizes {sorted(sizes)} within expiry {expiry}; expected one")
        for expiry, sizes in sorted(lots.items())
        if len(sizes) > 1
    ]


def _bounded(faults: list[_Placed], where: str) -> list[Fault]:
    more = len(faults) - _MOST_FAULTS
    shown = [*faults[:_MOST_FAULTS], *([("", f"and {more} more faults")] if more > 0 else [])]
    return [Fault(where + place, "", message) for place, message in shown]
