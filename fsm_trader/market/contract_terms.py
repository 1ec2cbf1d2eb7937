"""Lot sizes and freeze quantities with dates, for data that names none.

The instrument dump of the day always wins: this table only answers where no dump is at hand.
"""

from __future__ import annotations

import tomllib
from datetime import date
from functools import cache
from importlib.resources import files

import msgspec


class _Term(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"first": "from", "last": "to"}):
    name: str
    units: int
    source: str
    first: date = date.min
    last: date = date.max


class _TermsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    lots: tuple[_Term, ...]
    freeze: tuple[_Term, ...]


def lot_size_for(name: str, expiry: date) -> int | None:
    """Return the units in a lot of options on *name* that expire on *expiry*, None where it is not known."""
    return _units(_terms().lots, name, expiry)


def freeze_quantity_for(name: str, day: date) -> int | None:
    """Return the most units of options on *name* in one order on *day*, None where it is not certain."""
    return _units(_terms().freeze, name, day)


def _units(terms: tuple[_Term, ...], name: str, day: date) -> int | None:
    return next((term.units for term in terms if term.name == name and term.first <= day <= term.last), None)


@cache
def _terms() -> _TermsFile:
    text = files("fsm_trader.market").joinpath("data", "contract_terms.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), _TermsFile)
