"""A record is written the same way every time, and read back as it was or not at all."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import get_args

import msgspec
import pytest

from fsm_trader.core.orders import Role
from fsm_trader.core.records import AlarmRaised, OperatorAsked, Record, RunStarted, decode, encode, kind_of, trade_of

from .rows import bought, filled, intended, opened, run_started, sold

KINDS = get_args(Record)


def test_every_record_has_a_kind_of_its_own() -> None:
    kinds = [kind.__struct_config__.tag for kind in KINDS]

    assert len(set(kinds)) == len(kinds)
    assert all(kind == kind.lower() and kind.replace("_", "").isalpha() for kind in kinds)


def test_every_record_is_frozen() -> None:
    assert [kind for kind in KINDS if not kind.__struct_config__.frozen] == []


@pytest.mark.parametrize("record", [run_started(), *bought(1, 10005), *sold(1, 12000)], ids=kind_of)
def test_what_was_written_is_read_back(record) -> None:
    assert decode(encode(record)) == record
    assert type(decode(encode(record))) is type(record)


def test_equal_records_give_the_same_text_whatever_order_a_mapping_was_filled_in() -> None:
    one = RunStarted("s", "v", "d", {"session": "1", "trade": "2"}, 1)
    other = RunStarted("s", "v", "d", {"trade": "2", "session": "1"}, 1)

    assert one == other
    assert encode(one) == encode(other)


def test_the_text_of_a_row_stays_as_old_journals_have_it() -> None:
    assert encode(AlarmRaised("look", "20260617-001", 2)) == (
        '{"kind":"alarm_raised","text":"look","trade_id":"20260617-001","level":2}'
    )
    assert encode(filled(1, Role.ENTRY, 75, 10005)) == (
        '{"kind":"fill_seen","trade_id":"20260617-001","tag":"FT260617001E01WA6QGD","fill":{"fill_id":"1-entry-1-a",'
        '"order_id":"1-entry-1","quantity":75,"price_paise":10005,"at":"2026-06-17T09:30:00+05:30"}}'
    )


def test_fractions_and_durations_keep_every_digit() -> None:
    exits = decode(encode(opened())).exits  # type: ignore[union-attr]  # a trade_opened row has exits

    assert str(exits.stop_loss) == "0.2"
    assert exits.max_hold == timedelta(minutes=30)
    assert decode(encode(intended(1, Role.ENTRY))).request.market_protection == Decimal(-1)  # type: ignore[union-attr]


def test_a_float_is_no_amount() -> None:
    text = encode(filled(1, Role.ENTRY, 75, 10005)).replace("10005", "10005.5")

    with pytest.raises(msgspec.ValidationError, match=r"price_paise"):
        decode(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"kind":"moon_seen","text":"full"}',
        '{"text":"no kind"}',
        '{"kind":"alarm_raised"}',
        '{"kind":"alarm_raised","text":5}',
        '{"kind":"operator_asked","verb":"panic"}',
        '{"kind":"alarm_raised","text":"cut o',
        "[]",
        "",
    ],
)
def test_a_record_of_an_unknown_kind_or_form_is_refused(text) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode(text)


def test_a_later_version_may_have_more_fields() -> None:
    assert decode('{"kind":"operator_asked","verb":"halt","by":"me","mood":"calm"}') == OperatorAsked("halt", "me")


def test_a_record_knows_the_trade_it_belongs_to() -> None:
    assert trade_of(opened()) == "20260617-001"
    assert trade_of(run_started()) is None
    assert trade_of(AlarmRaised("of the session")) is None
