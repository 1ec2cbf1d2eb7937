"""Durations and percentages are read exactly, whatever they are."""

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm_trader.strict_yaml import Reader, parse, parse_duration, show_duration

MILLISECOND = timedelta(milliseconds=1)


@given(st.integers(0, 10**12))
def test_a_shown_duration_reads_back_as_itself(milliseconds):
    duration = milliseconds * MILLISECOND

    assert parse_duration(show_duration(duration)) == duration


@given(st.lists(st.integers(0, 10**6), min_size=4, max_size=4))
def test_a_duration_is_the_sum_of_its_parts(parts):
    hours, minutes, seconds, milliseconds = parts

    read = parse_duration(f"{hours}h{minutes}m{seconds}s{milliseconds}ms")

    assert read // MILLISECOND == ((hours * 60 + minutes) * 60 + seconds) * 1000 + milliseconds


@given(st.text(alphabet="0123456789hms. -+", max_size=12))
def test_what_is_read_as_a_duration_is_whole_and_not_negative(text):
    try:
        duration = parse_duration(text)
    except ValueError:
        return

    assert duration >= timedelta(0)
    assert not duration % MILLISECOND
    assert text


@pytest.mark.parametrize(
    "text", ["", "90", "1.5s", "-5s", "5 s", "5S", "30s1m", "1h1h", "s", "5sec", "\u0665s", "1" * 10 + "s"]
)
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize("duration", [timedelta(microseconds=1), timedelta(seconds=-1)])
def test_a_duration_that_cannot_be_written_is_refused(duration):
    with pytest.raises(ValueError, match="whole milliseconds"):
        show_duration(duration)


@given(st.decimals(min_value=0, max_value=100, places=4))
def test_a_percentage_is_exactly_a_hundredth_of_what_stands_there(number):
    reader = Reader()

    fraction = reader.percent(parse(f"{number:f}%", source="f"), least=Decimal(0), most=Decimal(1))

    assert reader.faults == []
    assert fraction is not None
    assert fraction * 100 == number
