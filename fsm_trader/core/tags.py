"""Order tags: 20 letters and digits that say whose order it is, unique for every intent.

    FT 260617 0K3 E 01 7QZ4M C
    │  │      │   │ │  │     └ check character
    │  │      │   │ │  └ owner: session name, hashed (5)
    │  │      │   │ └ attempt, base 36 (2)
    │  │      │   └ E entry, X exit
    │  │      └ trade number of the day, base 36 (3)
    │  └ trading day, yymmdd
    └ ours

Kite takes at most 20 characters and refuses longer tags (it does not cut them), and has no idempotency key of its
own: the tag is how an order whose answer was lost is found again.
"""

from __future__ import annotations

import hashlib
from datetime import date

import msgspec

from fsm_trader.core.orders import Role

TAG_LENGTH = 20
_PREFIX = "FT"
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ROLES = {Role.ENTRY: "E", Role.EXIT: "X"}


class TagParts(msgspec.Struct, frozen=True):
    """What a tag says."""

    day: date
    trade_number: int
    role: Role
    attempt: int
    owner: str


def owner_of(session_name: str) -> str:
    """Return five characters that keep two sessions of one account from adopting each other's orders."""
    return _base36(int.from_bytes(hashlib.sha256(session_name.encode()).digest()[:8], "big") % 36**5, 5)


def make_tag(parts: TagParts) -> str:
    """Write the tag of one order intent.

    Raises:
        ValueError: a number does not fit (trade 1..46655, attempt 1..1295).
    """
    if not (1 <= parts.trade_number < 36**3 and 1 <= parts.attempt < 36**2):
        raise ValueError(f"trade {parts.trade_number}, attempt {parts.attempt} do not fit an order tag")
    body = (
        f"{_PREFIX}{parts.day:%y%m%d}{_base36(parts.trade_number, 3)}{_ROLES[parts.role]}"
        f"{_base36(parts.attempt, 2)}{parts.owner}"
    )
    return body + _check(body)


def read_tag(tag: str | None) -> TagParts | None:
    """Return what a tag says, or None when it is not one of ours."""
    if tag is None or len(tag) != TAG_LENGTH or not tag.startswith(_PREFIX) or _check(tag[:-1]) != tag[-1]:
        return None
    roles = {letter: role for role, letter in _ROLES.items()}
    try:
        day = date(2000 + int(tag[2:4]), int(tag[4:6]), int(tag[6:8]))
        return TagParts(day, int(tag[8:11], 36), roles[tag[11]], int(tag[12:14], 36), tag[14:19])
    except (ValueError, KeyError):
        return None


def _base36(number: int, width: int) -> str:
    text = ""
    for _ in range(width):
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text


def _check(body: str) -> str:
    # Weights that differ by place catch a swapped pair as well as a single wrong character (37 is prime).
    total = sum((place + 1) * (ord(character) % 37) for place, character in enumerate(body))
    return _DIGITS[total % 37 % 36]
