"""Whether an instrument dump can be traded on: checks beyond its form, which ``market.instruments`` sees to."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import date, timedelta

import msgspec

from fsm_trader.core.contracts import OptionContract, OptionKind
from fsm_trader.core.money import show_rupees
from fsm_trader.errors import SetupError, UnavailableError
from fsm_trader.market.instruments import LEAST_ROWS, parse_instruments


class DumpLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Below what a dump counts as cut or as another day's.

    Args:
        least_rows: rows of all instruments together.
        least_expiries: of the underlying.
        nearest_expiry: at most so far away; NIFTY's are a week apart, other indices' a month.
        least_strikes: of the nearest expiry, each with a call and a put.
        lot_size: what the settings say a lot is; None: they say nothing.
    """

    least_rows: int = LEAST_ROWS
    least_expiries: int = 2
    nearest_expiry: timedelta = timedelta(days=40)
    least_strikes: int = 5
    lot_size: int | None = None


class Listing(msgspec.Struct, frozen=True):
    """The options of one underlying, and how many rows the dump had; *doubt* says why it may not be today's."""

    contracts: tuple[OptionContract, ...]
    rows: int
    doubt: str = ""


def read_dump(data: bytes, name: str, *, where: str, day: date, limits: DumpLimits) -> Listing:
    """Return the options on *name* of a dump that can be traded on.

    Raises:
        UnavailableError: the dump is cut, malformed, stale or odd; the faults are listed.
    """
    try:
        lines = data.decode("utf-8-sig").splitlines(keepends=True)
        contracts = parse_instruments(lines, name, where=where, day=day, least_rows=limits.least_rows)
    except UnicodeDecodeError as error:
        raise UnavailableError(f"{where}: is not UTF-8 ({error.reason}); expected CSV; it is not used") from error
    except SetupError as error:
        shown = "; ".join(str(fault) for fault in error.faults[:5])
        raise UnavailableError(f"{shown}; the dump is not used") from error
    faults = odd_listing(contracts, day, limits)
    if faults:
        raise UnavailableError(f"{where}: {'; '.join(faults)}; the dump is not used")
    return Listing(contracts, len(lines) - 1, _doubt(lines, name, day))


def odd_listing(contracts: Sequence[OptionContract], day: date, limits: DumpLimits) -> list[str]:
    """Say what a whole dump of *day* would not show."""
    expiries = sorted({contract.expiry for contract in contracts})
    nearest = [contract for contract in contracts if contract.expiry == expiries[0]]
    faults: list[str] = []
    if len(expiries) < limits.least_expiries:
        faults.append(f"{len(expiries)} expiries; expected at least {limits.least_expiries}")
    if expiries[0] - day > limits.nearest_expiry:
        faults.append(f"the nearest expiry is {expiries[0]}; expected one within {limits.nearest_expiry.days} days")
    return [*faults, *_odd_strikes(nearest, limits.least_strikes), *_odd_lots(nearest, limits.lot_size)]


def _odd_strikes(nearest: Sequence[OptionContract], least: int) -> list[str]:
    calls, puts = ({one.strike_paise for one in nearest if one.kind is kind} for kind in OptionKind)
    alone = sorted(calls ^ puts)
    faults: list[str] = []
    if len(calls & puts) < least:
        faults.append(f"{len(calls & puts)} strikes with call and put in the nearest expiry; expected at least {least}")
    if alone:
        shown = ", ".join(show_rupees(strike) for strike in alone[:3])
        faults.append(f"{len(alone)} strikes of the nearest expiry lack their call or their put ({shown})")
    return faults


def _odd_lots(nearest: Sequence[OptionContract], expected: int | None) -> list[str]:
    lots = {contract.lot_size for contract in nearest}
    if expected is None or lots == {expected}:
        return []
    return [f"lot sizes {sorted(lots)}; market.lot_size says {expected}"]


def _doubt(lines: Sequence[str], name: str, day: date) -> str:
    """Tell a dump made before *day* by what has expired since; the rows are of a form that was checked."""
    header, *rows = csv.reader(lines, strict=True)
    at_name, at_expiry = header.index("name"), header.index("expiry")
    old = {cells[at_expiry] for cells in rows if cells[at_name] == name}
    expired = sorted(each for each in old if each and each < day.isoformat())
    return f"still lists {name} of {expired[-1]}: made before {day}" if expired else ""
