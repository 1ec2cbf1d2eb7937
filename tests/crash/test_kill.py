"""A trader killed at any moment goes on where it stood: in its session, at its time, with one entry, and ends flat."""

from __future__ import annotations

import signal

import pytest

from fsm_trader.core.orders import Role

from .conftest import Desk, assert_whole_day, ended, told

# Moments at which nothing is lost: the rest of the day is that of an undisturbed day, trade for trade.
NOTHING_LOST = [
    pytest.param("before", "run started", 1, id="before the first row"),
    pytest.param("after", "run started", 1, id="after the first row"),
    pytest.param("after", "HEALTH_CHECK -> TRADING", 1, id="when trading begins"),
    pytest.param("book_after", "BUY OPEN PENDING", 1, id="the broker has the entry, its answer is lost"),
    pytest.param("before", "PENDING_ENTRY -> ACTIVE", 2, id="filled at the broker, the fill not journaled"),
    pytest.param("inside", "PENDING_ENTRY -> ACTIVE", 2, id="inside the commit of the fill"),
    pytest.param("after", "PENDING_ENTRY -> ACTIVE", 2, id="just bought"),
    pytest.param("before", "(stop loss)", 1, id="the stop was seen, the decision not journaled"),
    pytest.param("inside", "(stop loss)", 1, id="inside the commit of the exit's intent"),
    pytest.param("after", "says EXIT on the candle of 10:21", 1, id="the strategy said EXIT, no decision yet"),
    pytest.param("before", "(max hold)", 1, id="the holding time was over, the decision not journaled"),
    pytest.param("book_after", "SELL OPEN PENDING", 3, id="the broker has the exit, its answer is lost"),
    pytest.param("book_after", "SELL COMPLETE", 3, id="sold at the broker, nobody was told"),
    pytest.param("after", "PENDING_EXIT -> CLOSED", 3, id="between two trades"),
    pytest.param("after", "TRADING -> SQUARING_OFF", 1, id="when squaring off begins"),
    pytest.param("after", "SQUARING_OFF -> CLOSED", 1, id="closed, the end not journaled"),
    pytest.param("after", "run stopped", 1, id="after the last row"),
]


@pytest.mark.parametrize(("moment", "what", "nth"), NOTHING_LOST)
def test_a_killed_day_is_played_on_to_the_same_trades(desk: Desk, whole_day, moment, what, nth):
    desk.run_until_dead(moment, what, nth)
    before = desk.entries()

    code = desk.run()

    ledger = assert_whole_day(desk, before)
    assert code == 0
    assert [told(trade) for trade in ledger.session_trades] == whole_day


@pytest.mark.parametrize("what", ["open_world", "_open_journal", "_begin", "_trader"])
def test_a_kill_during_start_up_leaves_nothing_behind_that_the_next_start_stumbles_over(desk: Desk, whole_day, what):
    desk.run_until_dead("start_up", what)
    before = desk.entries()

    code = desk.run()

    ledger = assert_whole_day(desk, before)
    assert code == 0
    assert before == []
    assert [told(trade) for trade in ledger.session_trades] == whole_day


def test_a_restart_killed_again_and_again_still_comes_to_the_same_trades(desk: Desk, whole_day):
    for moment, what in (
        ("after", "PENDING_ENTRY -> ACTIVE"),
        ("after", "run started"),
        ("after", "TRADING -> HEALTH_CHECK"),
        ("book_after", "SELL OPEN PENDING"),
        ("before", "PENDING_EXIT -> CLOSED"),
    ):
        desk.run_until_dead(moment, what)
    before = desk.entries()

    code = desk.run()

    ledger = assert_whole_day(desk, before)
    assert code == 0
    assert [told(trade) for trade in ledger.session_trades] == whole_day


# Moments after which the day differs, on purpose.


def test_a_buy_whose_intent_was_not_committed_is_not_made_up_for(desk: Desk, whole_day):
    desk.run_until_dead("before", "IDLE -> PENDING_ENTRY", 2)
    before = desk.entries()

    code = desk.run()

    trades = assert_whole_day(desk, before).session_trades
    lost = trades[1]
    assert code == 0
    assert not any(entry.record for entry in before if getattr(entry.record, "trade_id", None) == lost.trade_id)
    # Nothing was bought on the BUY of 10:17; the strategy's next one, two minutes later, is followed.
    assert f"{lost.candle_start:%H:%M}" == "10:19"
    assert [told(trade) for trade in trades if trade is not lost] == whole_day[:1] + whole_day[2:]


def test_an_entry_that_never_reached_the_broker_is_given_up_and_never_sent_again(desk: Desk, whole_day):
    desk.run_until_dead("after", "IDLE -> PENDING_ENTRY", 2)
    before = desk.entries()

    code = desk.run()

    trades = assert_whole_day(desk, before).session_trades
    given_up = trades[1]
    assert code == 0
    assert (given_up.state, given_up.reason, given_up.filled(Role.ENTRY)) == ("FAILED", "entry_absent", 0)
    assert [order.answer for order in given_up.orders] == ["absent"]
    # It is looked up for broker.settle, 90 s, first; the BUY after that is a trade of its own.
    assert (given_up.since - given_up.opened_at).total_seconds() >= 90
    assert [told(trade) for trade in trades[3:]] == whole_day[2:]


def test_an_exit_that_never_reached_the_broker_is_sent_again_once_it_is_proved_absent(desk: Desk, whole_day):
    desk.run_until_dead("after", "(stop loss)", 1)
    before = desk.entries()

    code = desk.run()

    trades = assert_whole_day(desk, before).session_trades
    again = trades[2]
    first, second = again.orders_of(Role.EXIT)
    assert code == 0
    assert (first.answer, second.answer) == ("absent", "accepted")
    assert (second.intended_at - first.intended_at).total_seconds() >= 90
    assert again.exit_reason == "stop_loss"
    assert [told(trade) for trade in trades if trade is not again] == whole_day[:2] + whole_day[3:]


# The same from outside: a process that knows nothing of its end.

STATES = {
    "PENDING_ENTRY": "SELECT 1 FROM transitions WHERE dest = 'PENDING_ENTRY'",
    "ACTIVE": "SELECT 1 FROM transitions WHERE dest = 'ACTIVE'",
    "PENDING_EXIT": "SELECT 1 FROM transitions WHERE dest = 'PENDING_EXIT'",
}


@pytest.mark.parametrize("state", STATES)
def test_a_process_killed_from_outside_while_a_trade_is_open_leaves_it_to_the_next_one(desk: Desk, state):
    # Orders take long, so that a trade stays long enough in each state to be caught there.
    desk.edit("entry_timeout: 20s", "paper: {latency: 50s}\n  entry_timeout: 2m")
    desk.edit("exit_timeout: 10s", "exit_timeout: 2m")
    desk.set_speed("1000")
    process = desk.start()
    desk.wait_for(process, STATES[state])

    process.send_signal(signal.SIGKILL)

    assert ended(process) == -signal.SIGKILL
    before = desk.entries()
    (caught,) = desk.ledger().open_trades
    assert caught.state == state
    assert desk.run() == 0
    ended_as = assert_whole_day(desk, before).trades[caught.trade_id].state
    # A price that ran away in those 50 seconds may have left the entry unfilled; what was held can only be CLOSED.
    assert ended_as == "CLOSED" or (ended_as, caught.held) == ("FAILED", 0)


@pytest.mark.parametrize("rows", [60, 190, 320, 450])
def test_a_process_killed_somewhere_in_the_day_is_followed_by_one_that_ends_it(desk: Desk, rows):
    desk.set_speed("max")
    process = desk.start()
    desk.wait_for(process, "SELECT 1 FROM events WHERE seq >= ?", rows)

    process.send_signal(signal.SIGKILL)

    # On a loaded machine it may have ended by itself before the signal came; then nothing was left to play.
    if ended(process) == 0:
        pytest.skip("the day was over before the signal came")
    before = desk.entries()
    assert len(before) >= rows
    assert desk.run() == 0
    assert_whole_day(desk, before)
