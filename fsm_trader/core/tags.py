"""Order tags: 20 letters and digits that say whose order it is, unique for every intent.

    FT 260617 0K3 E 01 7QZ4M C
    │  │      │   │ │  │     └ check character: no single wrong one and no swapped neighbours pass
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
from functools import lru_cache

import msgspec

from fsm_trader.core.orders import Role

TAG_LENGTH = 20
_PREFIX = "FT"
_OWNER_LENGTH = 5
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ALPHABET = frozenset(_DIGITS)
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
    return _base36(
        int.from_bytes(hashlib.sha256(session_name.encode()).digest()[:8], "big") % 36**_OWNER_LENGTH, _OWNER_LENGTH
    )


def make_tag(parts: TagParts) -> str:
    """Write the tag of one order intent.

    Raises:
        ValueError: a part does not fit (trade 1..46655, attempt 1..1295, year 2000..2099, owner of ``owner_of``).
    """
    if not _fits(parts):
        raise ValueError(
            f"order tag: trade {parts.trade_number}, attempt {parts.attempt}, day {parts.day}, owner {parts.owner!r}; "
            "expected trade 1..46655, attempt 1..1295, a year 2000..2099 and five capitals or digits"
        )
    year, month, day = parts.day.year % 100, parts.day.month, parts.day.day
    body = (
        f"{_PREFIX}{year:02}{month:02}{day:02}{_base36(parts.trade_number, 3)}{_ROLES[parts.role]}"
        f"{_base36(parts.attempt, 2)}{parts.owner}"
    )
    return body + _check(body)


# A book is read every second and its tags never change; the bound is far above a day's orders.
@lru_cache(maxsize=20_000)
def read_tag(tag: str | None) -> TagParts | None:
    """Return what a tag says, or None when it is not one of ours."""
    if tag is None or len(tag) != TAG_LENGTH or not tag.startswith(_PREFIX) or not _ALPHABET.issuperset(tag):
        return None
    if _check(tag[:-1]) != tag[-1]:
        return None
    roles = {letter: role for role, letter in _ROLES.items()}
    try:
        day = date(2000 + int(tag[2:4]), int(tag[4:6]), int(tag[6:8]))
        parts = TagParts(day, int(tag[8:11], 36), roles[tag[11]], int(tag[12:14], 36), tag[14:19])
    except (ValueError, KeyError):
        return None
    return parts if _fits(parts) else None


def is_of_one_trade(left: str | None, right: str | None) -> bool:
    """Tell whether two tags are ours and name the same trade, whatever their roles and attempts."""
    one, other = read_tag(left), read_tag(right)
    if one is None or other is None:
        return False
    return (one.day, one.trade_number, one.owner) == (other.day, other.trade_number, other.owner)


def _fits(parts: TagParts) -> bool:
    return (
        1 <= parts.trade_number < 36**3
        and 1 <= parts.attempt < 36**2
        and 2000 <= parts.day.year <= 2099
        and len(parts.owner) == _OWNER_LENGTH
        and _ALPHABET.issuperset(parts.owner)
    )


def _base36(number: int, width: int) -> str:
    text = ""
    for _ in range(width):
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text


def _plus(left: int, right: int) -> int:
    """Add two values of GF(4) x GF(9)."""
    four = (left // 9) ^ (right // 9)
    high = (left // 3 + right // 3) % 3
    return four * 9 + high * 3 + (left + right) % 3


def _times_root(value: int) -> int:
    """Multiply by the root: x of GF(4) = GF(2)[x]/(x^2+x+1), beside 1+i of GF(9) = GF(3)[i]/(i^2+1)."""
    four, high, low = value // 9, value // 3 % 3, value % 3
    return (0, 2, 3, 1)[four] * 9 + (high + low) % 3 * 3 + (low - high) % 3


def _row(total: int) -> bytes:
    """Return what follows *total*, by the code of the next character."""
    row = bytearray(ord(_DIGITS[-1]) + 1)
    for digit, character in enumerate(_DIGITS):
        row[ord(character)] = _times_root(_plus(total, digit))
    return bytes(row)


# An order waits for its tag, so nothing of it is reckoned twice.
_NEXT = tuple(_row(total) for total in range(36))


def _check(body: str) -> str:
    # A weighted sum modulo 36 cannot catch everything: no weight is prime to 36 together with its neighbour. In the
    # product of the fields of 4 and 9 elements the powers of one root do: the root makes every single wrong character
    # show, and the root less one, which can be divided by as well, every swap of two neighbours.
    total = 0
    for code in body.encode():
        total = _NEXT[total][code]
    return _DIGITS[total]
