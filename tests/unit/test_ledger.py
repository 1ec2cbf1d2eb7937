"""The ledger is what the journal tells, and refuses a journal that contradicts itself."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from fsm_trader.core.candles import Candle
from fsm_trader.core.ledger import Ledger
from fsm_trader.core.money import Paise
from fsm_trader.core.orders import Role
from fsm_trader.core.records import (
    AlarmRaised,
    CancelIntended,
    CandlesSeen,
    DamageFound,
    Deadline,
    Entry,
    EntryBlocked,
    HealthSeen,
    InputRefused,
    OperatorAsked,
    RunStopped,
    SessionMoved,
    SignalSeen,
)
from fsm_trader.errors import HaltError

from .rows import (
    INDEX_TOKEN,
    SESSION,
    Story,
    answered,
    at,
    bought,
    filled,
    intended,
    moved,
    opened,
    picture,
    run_started,
    sold,
    tag_of,
    trading,
)

NEXT = "2026-06-18"


def candle(close: int, clock: str = "09:29") -> Candle:
    price = Paise(close)
    return Candle(INDEX_TOKEN, at(clock), price, price, price, price)


@pytest.fixture
def story() -> Story:
    told = Story()
    told.tell("09:14", run_started())
    told.tell("09:20", trading())
    return told


@pytest.mark.parametrize("seq", [0, 1, 2, 4, 9])
def test_a_gap_or_a_repetition_in_the_numbers_is_refused_and_nothing_changes(story, seq) -> None:
    before = picture(story.ledger)

    with pytest.raises(HaltError, match=f"row {seq} follows row 2; expected row 3"):
        story.ledger.apply(Entry(seq, at("09:30"), SESSION, opened()))

    assert picture(story.ledger) == before


@pytest.mark.parametrize(
    "record",
    [
        moved(7, "IDLE", "PENDING_ENTRY"),
        intended(7, Role.ENTRY),
        filled(7, Role.ENTRY, 75, 10000),
        AlarmRaised("of no trade", "20260617-007"),
    ],
)
def test_a_row_of_a_trade_that_was_never_opened_is_refused_and_nothing_changes(story, record) -> None:
    before = picture(story.ledger)

    with pytest.raises(HaltError, match="trade 20260617-007, which was never opened"):
        story.ledger.apply(Entry(3, at("09:30"), SESSION, record))

    assert picture(story.ledger) == before


def test_a_row_that_its_trade_refuses_counts_for_nothing(story) -> None:
    story.tell("09:30", opened())
    before = picture(story.ledger)

    with pytest.raises(HaltError, match="no order with tag"):
        story.ledger.apply(Entry(4, at("09:31"), SESSION, CancelIntended("20260617-001", "unknown", "1", "cancel")))

    assert picture(story.ledger) == before


def test_a_trade_is_not_opened_twice(story) -> None:
    story.tell("09:30", opened())
    before = picture(story.ledger)

    with pytest.raises(HaltError, match="which is known already"):
        story.ledger.apply(Entry(4, at("09:31"), SESSION, opened()))

    assert picture(story.ledger) == before


def test_a_replay_of_the_rows_gives_the_same_ledger_as_the_running_one(story) -> None:
    story.tell("09:29", CandlesSeen((candle(2441235),)), HealthSeen(("late",)))
    story.tell("09:30", *bought(1, 10000))
    story.tell("09:40", *sold(1, 12000))
    story.tell("09:41", *bought(2, 11000), AlarmRaised("look"))

    assert picture(Ledger().fold(story.journal.entries)) == picture(story.ledger)


def test_open_trades_and_those_of_the_session_are_told_apart(story) -> None:
    ledger = story.tell("09:30", *bought(1, 10000), *sold(1, 12000), *bought(2, 11000), opened(3))
    story.tell("09:31", moved(3, "IDLE", "FAILED"))

    assert [trade.number for trade in ledger.open_trades] == [2]
    assert [trade.number for trade in ledger.session_trades] == [1, 2, 3]
    assert ledger.trades_today == 3


def test_orders_and_cancellations_are_counted_with_their_times(story) -> None:
    tag = tag_of(1, Role.ENTRY)

    ledger = story.tell("09:30", opened(), intended(1, Role.ENTRY), answered(1, Role.ENTRY))
    story.tell("09:31", CancelIntended("20260617-001", tag, "1-entry-1", "cancel"))

    assert ledger.orders_today == 2
    assert list(ledger.order_times) == [at("09:30"), at("09:31")]


def test_a_new_session_forgets_the_day_but_keeps_open_trades(story) -> None:
    story.tell("09:30", *bought(1, 10000), *sold(1, 12000), *bought(2, 11000))
    story.tell(
        "09:40",
        CandlesSeen((candle(2441235),)),
        HealthSeen(("late",)),
        AlarmRaised("look"),
        SignalSeen("donchian_ce", -1, at("09:39"), Paise(2441235)),
        EntryBlocked("donchian_ce", at("09:39"), ("late",)),
        SessionMoved("clock", "TRADING", "UNHEALTHY", "stale", Deadline(at("09:41"), "check")),
    )
    assert len(story.ledger.session_trades) == 2

    ledger = story.tell("09:00", run_started(NEXT), session=NEXT)

    assert [trade.number for trade in ledger.trades.values()] == [2]
    assert ledger.session_trades == ()
    assert (ledger.orders_today, ledger.trades_today, list(ledger.order_times)) == (0, 0, [])
    assert (ledger.state, ledger.since, ledger.reason, ledger.deadline) == ("WAITING", at("09:00"), "", None)
    assert (ledger.marks, ledger.last_candle, ledger.signals, ledger.blocked) == ({}, {}, {}, {})
    assert (ledger.exits_said, list(ledger.alarms), ledger.health) == ({}, [], None)


def test_a_restart_in_the_same_session_goes_on_where_it_was(story) -> None:
    story.tell("09:30", *bought(1, 10000))
    before = picture(story.ledger)

    after = picture(story.tell("09:35", RunStopped(3, "SIGTERM"), run_started()))

    expected = before | {"seq": before["seq"] + 2, "at": at("09:35"), "last_run": run_started(), "stopped": None}
    assert after == expected


def test_orders_of_an_earlier_play_of_the_day_do_not_count_as_just_sent(story) -> None:
    story.tell("14:00", *bought(1, 10000), *sold(1, 12000))

    ledger = story.tell("09:14", run_started(f"{SESSION}.2"), session=f"{SESSION}.2")

    assert [when for when in ledger.order_times if when > at("09:14") - timedelta(seconds=1)] == []


def test_trade_numbers_are_unique_for_a_day_over_its_plays(story) -> None:
    story.tell("09:30", *bought(1, 10000), *sold(1, 12000))
    story.tell("09:14", run_started(f"{SESSION}.2"), session=f"{SESSION}.2")
    second = story.ledger.next_trade_number()
    story.tell("09:30", opened(2), session=f"{SESSION}.2")
    third = story.ledger.next_trade_number()

    story.tell("09:14", run_started(NEXT), session=NEXT)
    other_day = story.ledger.next_trade_number()
    story.tell("09:14", run_started(f"{SESSION}.3"), session=f"{SESSION}.3")

    assert (second, third, other_day, story.ledger.next_trade_number()) == (2, 3, 1, 3)


def test_a_halt_holds_over_sessions_until_resume(story) -> None:
    halted = story.tell("09:30", OperatorAsked("halt")).halted
    story.tell("09:00", run_started(NEXT), session=NEXT)
    next_day = story.ledger.halted

    story.tell("09:01", OperatorAsked("resume"), session=NEXT)

    assert (halted, next_day, story.ledger.halted) == (True, True, False)


def test_flatten_halts_as_well_and_a_plain_halt_does_not_flatten(story) -> None:
    flatten = story.tell("09:30", OperatorAsked("flatten"))
    asked = (flatten.halted, flatten.flatten_asked)
    story.tell("09:31", OperatorAsked("halt"))

    assert asked == (True, True)
    assert (story.ledger.halted, story.ledger.flatten_asked) == (True, False)


def test_ids_of_requests_are_remembered_over_sessions_and_the_oldest_are_forgotten(story) -> None:
    for number in range(1001):
        story.tell("09:30", OperatorAsked("halt", "ops", f"r{number}"))
    story.tell("09:31", OperatorAsked("resume"))
    story.tell("09:00", run_started(NEXT), session=NEXT)

    assert (len(story.ledger.requests), "r0" in story.ledger.requests) == (1000, False)
    assert {"r1", "r1000"} <= set(story.ledger.requests)


def test_a_session_that_stays_in_its_state_keeps_its_time_and_reason(story) -> None:
    story.tell("09:30", SessionMoved("health_seen", "TRADING", "UNHEALTHY", "stale_candles"))

    ledger = story.tell("09:31", SessionMoved("clock", "UNHEALTHY", "UNHEALTHY"))

    assert (ledger.state, ledger.since, ledger.reason) == ("UNHEALTHY", at("09:30"), "stale_candles")


def test_the_newest_candle_of_an_instrument_is_its_mark(story) -> None:
    other = msgspec.structs.replace(candle(500), token=1)

    ledger = story.tell("09:31", CandlesSeen((candle(100), candle(200, "09:30"), other)))

    assert ledger.marks == {INDEX_TOKEN: 200, 1: 500}
    assert ledger.last_candle[INDEX_TOKEN] == candle(200, "09:30")


def test_the_newest_word_of_a_strategy_and_its_newest_refusal_are_kept(story) -> None:
    first, second = (SignalSeen("donchian_ce", 1, at(clock), Paise(1)) for clock in ("09:29", "09:35"))
    refused = EntryBlocked("donchian_ce", at("09:35"), ("late",))

    ledger = story.tell("09:36", first, second, refused, InputRefused("candle", "broken"))

    assert ledger.signals == {"donchian_ce": (at("09:36"), second)}
    assert ledger.blocked == {"donchian_ce": (at("09:36"), refused)}


def test_an_exit_that_was_said_is_remembered_whatever_was_said_since(story) -> None:
    words = [("09:29", -1), ("09:35", -1), ("09:36", 1), ("09:37", 0)]

    ledger = story.tell("09:38", *(SignalSeen("donchian_ce", word, at(clock), Paise(1)) for clock, word in words))

    assert ledger.exits_said == {"donchian_ce": at("09:35")}


def test_alarms_of_trades_and_of_the_session_are_kept_but_never_without_end(story) -> None:
    story.tell("09:30", opened(), AlarmRaised("of the trade", "20260617-001"))

    ledger = story.tell("09:31", *(AlarmRaised(f"alarm {number}") for number in range(100)))

    assert len(ledger.alarms) == 20
    assert ledger.alarms[-1] == (at("09:31"), AlarmRaised("alarm 99"))


def test_a_run_that_ended_in_order_is_known_until_the_next_begins(story) -> None:
    stopped = story.tell("15:30", RunStopped(0, "over")).stopped
    story.tell("15:31", run_started())

    assert stopped == RunStopped(0, "over")
    assert story.ledger.stopped is None


def test_after_damage_trades_are_numbered_on_from_a_hundred_later_and_its_time_is_known() -> None:
    story = Story()
    story.tell("09:14", run_started())
    story.tell("09:30", *bought(1, 10000))
    before = story.ledger.next_trade_number()

    story.tell("09:31", DamageFound(("rows are gone",)))

    assert story.ledger.next_trade_number() == before + 100
    assert story.ledger.damaged_at == at("09:31")
