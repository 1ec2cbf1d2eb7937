"""Readings are due on a grid of the day, and none is asked for twice at a time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm_trader.engine.polls import Polls, ReadingKey, next_on_grid

from .rows import DAY, at

BOOK, PRICE = ReadingKey("book"), ReadingKey("price", 12345)


@pytest.mark.parametrize(
    ("now", "seconds", "following"),
    [
        ("09:20", 5, "09:20:05"),
        ("09:20:04.999999", 5, "09:20:05"),
        ("09:20:05", 5, "09:20:10"),
        ("00:00", 60, "00:01"),
        ("09:20:01", 7, "09:20:07"),  # 33,607 s after midnight, 4,801 times 7
    ],
)
def test_the_next_moment_is_the_next_multiple_counted_from_midnight(now, seconds, following) -> None:
    assert next_on_grid(at(now), timedelta(seconds=seconds)) == at(following)


def test_the_grid_begins_anew_at_midnight() -> None:
    tomorrow = at("00:00", DAY + timedelta(days=1))

    assert next_on_grid(at("23:59:58"), timedelta(seconds=7)) == tomorrow
    assert next_on_grid(at("12:00"), timedelta(days=3)) == tomorrow


MOMENTS = st.timedeltas(timedelta(0), timedelta(days=1) - timedelta(microseconds=1)).map(at("00:00").__add__)
INTERVALS = st.timedeltas(timedelta(milliseconds=1), timedelta(hours=30))


@given(now=MOMENTS, interval=INTERVALS, later=st.floats(0, 0.999))
def test_every_start_of_the_process_polls_at_the_same_moments(now, interval, later) -> None:
    following = next_on_grid(now, interval)

    assert now < following <= now + interval
    between = now + (following - now) * later
    assert between == following or next_on_grid(between, interval) == following


def test_a_wish_is_due_at_its_moment_and_not_before() -> None:
    polls = Polls()
    polls.want(BOOK, at("09:30"))

    assert polls.take_due(at("09:29:59.999999")) == []
    assert polls.next_due() == at("09:30")
    assert polls.take_due(at("09:30")) == [BOOK]


def test_the_earlier_of_two_wishes_stands() -> None:
    polls = Polls()
    for clock in ("09:31", "09:30", "09:32"):
        polls.want(BOOK, at(clock))

    assert polls.next_due() == at("09:30")


def test_a_reading_under_way_is_not_asked_for_again_until_it_is_done() -> None:
    polls = Polls()
    polls.want(BOOK, at("09:30"))
    polls.take_due(at("09:30"))
    polls.want(BOOK, at("09:30:05"))

    while_under_way = (polls.take_due(at("09:30:59")), polls.next_due())
    polls.done(BOOK)

    assert while_under_way == ([], at("09:31"))
    assert polls.next_due() == at("09:30:05")
    assert polls.take_due(at("09:30:59")) == [BOOK]


def test_a_reading_that_never_answers_is_asked_for_anew_after_a_minute() -> None:
    polls = Polls()
    polls.want(BOOK, at("09:30"))
    polls.take_due(at("09:30"))
    polls.want(BOOK, at("09:30:05"))

    early, late = polls.take_due(at("09:30:59")), polls.take_due(at("09:31"))

    assert (early, late) == ([], [BOOK])


def test_a_wish_that_was_taken_is_not_taken_again() -> None:
    polls = Polls()
    polls.want(BOOK, at("09:30"))
    polls.take_due(at("09:30"))
    polls.done(BOOK)

    assert polls.take_due(at("09:40")) == []
    assert polls.next_due() is None


def test_a_reading_that_hangs_holds_up_no_other() -> None:
    polls = Polls()
    polls.want(BOOK, at("09:30"))
    polls.take_due(at("09:30"))
    polls.want(PRICE, at("09:31"))

    assert polls.next_due() == at("09:31")
    assert polls.take_due(at("09:31")) == [PRICE]


def test_readings_of_two_instruments_are_two_readings() -> None:
    polls = Polls()
    other = ReadingKey("price", 1)
    for key in (PRICE, other):
        polls.want(key, at("09:30"))

    assert polls.take_due(at("09:30")) == [PRICE, other]
