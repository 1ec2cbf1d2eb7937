"""The screen says where the session stands, what comes next and why no entry is taken."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest

from fsm_trader.core.candles import Candle
from fsm_trader.core.ledger import Ledger
from fsm_trader.core.money import Paise
from fsm_trader.core.orders import Role
from fsm_trader.core.records import (
    AlarmRaised,
    CandlesSeen,
    Deadline,
    EntryBlocked,
    HealthSeen,
    LevelsSet,
    SessionMoved,
    SignalSeen,
    TradeMoved,
)
from fsm_trader.core.results import net_of, trade_result
from fsm_trader.core.status import Status, status

from .rows import (
    CONTRACT,
    LOT,
    PLAN,
    ZONE,
    Story,
    at,
    bought,
    intended,
    moved,
    opened,
    run_started,
    settings,
    sold,
    trading,
)

ID = "20260617-001"


@pytest.fixture
def story() -> Story:
    told = Story()
    told.tell("09:14", run_started())
    return told


@pytest.fixture
def show(tmp_path):
    def shown(ledger: Ledger, *, plan=PLAN, holder=None, zone=ZONE, strategies=("donchian_ce",)) -> Status:
        return status(settings(tmp_path, strategies=strategies), ledger, plan, holder=holder, zone=zone)

    return shown


def mark(price: int) -> CandlesSeen:
    paise = Paise(price)
    return CandlesSeen((Candle(CONTRACT.token, at("09:40"), paise, paise, paise, paise),))


def test_an_empty_journal_waits_for_its_first_run(show) -> None:
    found = show(Ledger(), plan=None)

    assert (found.state, found.session, found.at, found.since, found.rows) == ("no session yet", "", None, None, 0)
    assert found.next_step == "the first run"
    assert found.healthy == "not checked yet"
    assert found.strategies[0].blocked == ("no session yet",)
    assert (found.open_trades, found.closed, found.net_paise, found.running) == ((), (), 0, None)


def test_a_waiting_session_says_when_the_health_check_begins(show, story) -> None:
    found = show(story.ledger, holder="process 17 on desk")

    assert (found.name, found.state, found.running) == ("nifty-intraday", "WAITING", "process 17 on desk")
    assert (found.at, found.since) == (at("09:14"), at("09:14"))
    assert found.next_step == "09:15:00 health check begins"
    assert found.strategies[0].blocked == (
        "session is WAITING, entries need TRADING",
        "outside the trading window",
    )


@pytest.mark.parametrize(
    ("clock", "following"),
    [
        ("09:15", "09:20:00 entries begin"),
        ("09:20", "15:00:00 entries end"),
        ("15:00", "15:10:00 every open trade is squared off"),
        ("15:10", "the session closes when flat"),
    ],
)
def test_each_part_of_the_day_names_the_next(show, story, clock, following) -> None:
    story.tell(clock, HealthSeen())

    assert show(story.ledger).next_step == following


def test_a_holiday_says_that_nothing_comes(show, story) -> None:
    closed = msgspec.structs.replace(PLAN, why_closed="Muharram")

    assert show(story.ledger, plan=closed).next_step == "nothing: Muharram"


def test_a_trading_session_shows_its_open_trade_with_levels_and_result(show, story) -> None:
    story.tell("09:20", HealthSeen(), trading())
    story.tell("09:30", *bought(1, 10000), LevelsSet(ID, Paise(8000), Paise(13000), at("10:00")))
    story.tell("09:41", mark(10500))

    found = show(story.ledger)

    (trade,) = found.open_trades
    assert (found.state, found.healthy, found.orders_today) == ("TRADING", "healthy", 1)
    assert found.closed == ()
    assert (trade.state, trade.since, trade.held, trade.tradingsymbol) == (
        "ACTIVE",
        at("09:30"),
        LOT,
        CONTRACT.tradingsymbol,
    )
    assert (trade.entry_paise, trade.last_paise, trade.stop_paise, trade.target_paise) == (10000, 10500, 8000, 13000)
    assert trade.next_step == "stop at 80.00, target at 130.00, out at 10:00:00 at the latest"
    assert found.gross_paise == LOT * 500
    assert found.net_paise == trade.net_paise == LOT * 500 - found.charges_paise
    assert found.charges_paise > 0
    assert found.strategies[0].blocked == ("the strategy has an open trade", "1 of at most 1 trades are open")


def test_a_trade_without_levels_waits_for_the_strategy(show, story) -> None:
    story.tell("09:30", *bought(1, 10000))

    (trade,) = show(story.ledger).open_trades

    assert trade.next_step == "the strategy's exit or the end of the day"


def test_a_trade_that_waits_for_an_order_names_it_and_the_deadline(show, story) -> None:
    until = Deadline(at("09:30:20"), "entry_timeout")
    story.tell("09:30", opened(), TradeMoved(ID, "open", "IDLE", "PENDING_ENTRY", deadline=until))
    before = show(story.ledger).open_trades[0].next_step
    order = intended(1, Role.ENTRY)
    story.tell("09:30:01", order)

    (trade,) = show(story.ledger).open_trades

    assert before == "waits for its next order; entry_timeout at 09:30:20"
    assert trade.next_step == f"waits for entry order {order.request.tag} to be done; entry_timeout at 09:30:20"
    assert (trade.held, trade.entry_paise, trade.last_paise, trade.net_paise) == (0, None, None, 0)


def test_a_trade_on_its_way_out_names_its_exit_order(show, story) -> None:
    story.tell("09:30", *bought(1, 10000), *sold(1, 12000)[:3])

    (trade,) = show(story.ledger).open_trades

    assert trade.next_step == "waits for exit order 1-exit-1 to be done"


def test_a_closed_session_shows_what_the_day_made(show, story) -> None:
    story.tell("09:30", *bought(1, 10000), *sold(1, 12000), *bought(2, 10000), *sold(2, 9000))
    story.tell("09:50", opened(3), moved(3, "IDLE", "FAILED"))
    story.tell("15:30", SessionMoved("clock", "SQUARING_OFF", "CLOSED", "flat"))

    found = show(story.ledger)

    assert (found.state, found.reason, found.open_trades) == ("CLOSED", "flat", ())
    assert found.next_step == "nothing: the session is over"
    assert [result.trade_id for result in found.closed] == [f"20260617-00{number}" for number in (1, 2, 3)]
    assert found.gross_paise == LOT * 1000
    assert found.net_paise == found.gross_paise - found.charges_paise == net_of(story.ledger.session_trades, {})
    assert found.loss_limit_paise == 1_000_000


def test_an_open_trade_of_an_earlier_day_is_shown_but_not_counted_today(show, story) -> None:
    story.tell("14:00", *bought(1, 10000))
    story.tell("09:14", run_started("2026-06-18"), mark(9000), session="2026-06-18")

    found = show(story.ledger)

    assert [trade.trade_id for trade in found.open_trades] == [ID]
    assert found.open_trades[0].net_paise == trade_result(story.ledger.open_trades[0], mark_paise=9000).net_paise
    assert (found.gross_paise, found.net_paise, found.closed) == (0, 0, ())


def test_each_strategy_shows_its_last_word_and_its_last_refusal(show, story) -> None:
    story.tell("09:20", trading(), SignalSeen("donchian_ce", 1, at("09:29"), Paise(1)))
    story.tell("09:30", EntryBlocked("donchian_ce", at("09:29"), ("halted", "late")))
    story.tell("09:31", SignalSeen("other", -1, at("09:30"), Paise(1)))

    first, second, third = show(story.ledger, strategies=("donchian_ce", "other", "silent")).strategies

    assert (first.name, first.last_signal, first.last_refusal) == ("donchian_ce", "BUY 09:29", "09:29 halted; late")
    assert (second.last_signal, second.last_refusal) == ("EXIT 09:30", "")
    assert (third.last_signal, third.blocked) == ("none", ())


def test_faults_and_alarms_are_shown(show, story) -> None:
    story.tell("09:31:05", HealthSeen(("account: no token", "candles: none")), AlarmRaised("look"))

    found = show(story.ledger)

    assert found.healthy == "account: no token; candles: none"
    assert found.alarms == ("09:31:05 look",)


def test_a_process_that_takes_no_entry_until_a_restart_says_so_until_the_next_one(show, story) -> None:
    story.tell("09:20", trading(), AlarmRaised("the disk is full", stops_entries=True), AlarmRaised("look"))
    before = show(story.ledger).strategies[0].blocked

    story.tell("09:40", run_started())

    assert before == ("the disk is full",)
    assert "the disk is full" not in show(story.ledger).strategies[0].blocked


def test_times_are_shown_in_the_zone_that_was_asked_for(show, story) -> None:
    until = Deadline(at("09:30:20"), "entry_timeout")
    story.tell("09:30", *bought(1, 10000), LevelsSet(ID, None, None, at("10:00")), AlarmRaised("look"))
    story.tell("09:30", opened(2), TradeMoved("20260617-002", "open", "IDLE", "PENDING_ENTRY", deadline=until))

    found = show(story.ledger, zone=ZoneInfo("UTC"))

    trade, waiting = found.open_trades
    assert (found.at, found.at.utcoffset()) == (at("09:30"), timedelta(0))
    assert (trade.since.utcoffset(), trade.hold_until.utcoffset()) == (timedelta(0), timedelta(0))
    assert trade.next_step == "out at 04:30:00 at the latest"
    assert waiting.next_step == "waits for its next order; entry_timeout at 04:00:20"
    assert found.alarms == ("04:00:00 look",)
