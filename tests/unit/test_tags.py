"""An order tag says whose order it is, and a damaged one says nothing."""

from __future__ import annotations

import itertools
import string
from datetime import date

import pytest

from fsm_trader.core.orders import Role
from fsm_trader.core.tags import TAG_LENGTH, TagParts, make_tag, owner_of, read_tag

DAY = date(2026, 6, 17)
OWNER = owner_of("nifty-intraday")
LETTERS = string.digits + string.ascii_uppercase
SOME = [
    make_tag(TagParts(day, number, role, attempt, owner))
    for day, number, role, attempt, owner in (
        (DAY, 1, Role.ENTRY, 1, OWNER),
        (DAY, 46655, Role.EXIT, 1295, OWNER),
        (date(2099, 12, 31), 20, Role.ENTRY, 36, "ZZZZZ"),
        (date(2000, 1, 1), 1296, Role.EXIT, 2, "00000"),
    )
]


def test_a_tag_is_twenty_letters_and_digits_that_begin_as_ours() -> None:
    for tag in SOME:
        assert len(tag) == TAG_LENGTH == 20
        assert set(tag) <= set(LETTERS)
        assert tag.startswith("FT")


def test_a_tag_shows_the_day_the_trade_and_the_attempt_to_a_person() -> None:
    tag = make_tag(TagParts(DAY, 20, Role.EXIT, 3, OWNER))

    assert tag[:19] == f"FT26061700KX03{OWNER}"


def test_no_two_intents_of_a_day_share_a_tag() -> None:
    tags = [
        make_tag(TagParts(DAY, number, role, attempt, OWNER))
        for number in (*range(1, 60), 1296, 46655)
        for role in Role
        for attempt in (*range(1, 40), 1295)
    ]

    assert len(set(tags)) == len(tags)


@pytest.mark.parametrize("tag", SOME)
def test_no_single_wrong_character_passes(tag) -> None:
    for place, letter in itertools.product(range(TAG_LENGTH), LETTERS + "-"):
        if letter != tag[place]:
            assert read_tag(tag[:place] + letter + tag[place + 1 :]) is None


def test_no_swap_of_different_neighbours_passes() -> None:
    swapped = 0
    for number, attempt in itertools.product(range(1, 3000, 7), (1, 2, 35, 36, 1295)):
        tag = make_tag(TagParts(DAY, number, Role.ENTRY, attempt, OWNER))
        for place in range(TAG_LENGTH - 1):
            left, right = tag[place], tag[place + 1]
            if left != right:
                swapped += 1
                assert read_tag(tag[:place] + right + left + tag[place + 2 :]) is None

    assert swapped > 20_000


@pytest.mark.parametrize(
    "tag",
    [
        None,
        "",
        "FT",
        "my own order",
        SOME[0].lower(),
        SOME[0] + "0",
        SOME[0][:-1],
        " " + SOME[0][1:],
        SOME[0].replace("2", "\N{ARABIC-INDIC DIGIT TWO}"),
    ],
)
def test_a_tag_of_somebody_else_is_not_read_as_ours(tag) -> None:
    assert read_tag(tag) is None


@pytest.mark.parametrize(
    "parts",
    [
        TagParts(DAY, 0, Role.ENTRY, 1, OWNER),
        TagParts(DAY, 46656, Role.ENTRY, 1, OWNER),
        TagParts(DAY, 1, Role.ENTRY, 0, OWNER),
        TagParts(DAY, 1, Role.ENTRY, 1296, OWNER),
        TagParts(date(2100, 1, 1), 1, Role.ENTRY, 1, OWNER),
        TagParts(date(1999, 12, 31), 1, Role.ENTRY, 1, OWNER),
        TagParts(DAY, 1, Role.ENTRY, 1, "ABCD"),
        TagParts(DAY, 1, Role.ENTRY, 1, "abcde"),
        TagParts(DAY, 1, Role.ENTRY, 1, "AB-DE"),
    ],
)
def test_what_does_not_fit_a_tag_is_refused_with_the_values(parts) -> None:
    with pytest.raises(ValueError, match="order tag") as refused:
        make_tag(parts)

    assert str(parts.trade_number) in str(refused.value)


def test_the_owner_keeps_the_orders_of_two_sessions_apart() -> None:
    names = [f"session-{number}" for number in range(500)] + ["nifty-intraday", "nifty-intraday ", "NIFTY", ""]
    owners = {owner_of(name) for name in names}

    assert len(owners) == len(names)
    assert all(len(owner) == 5 and set(owner) <= set(LETTERS) for owner in owners)
    assert owner_of("nifty-intraday") == OWNER
