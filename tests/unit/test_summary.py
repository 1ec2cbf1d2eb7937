"""Every row is told in one line of plain words."""

from __future__ import annotations

from typing import get_args

import pytest

from fsm_trader.core.candles import Candle
from fsm_trader.core.money import Paise
from fsm_trader.core.orders import OrderStatus, Role
from fsm_trader.core.records import (
    AlarmRaised,
    CancelAnswered,
    CancelIntended,
    CandlesSeen,
    DamageFound,
    EntryBlocked,
    Found,
    HealthSeen,
    InputRefused,
    LevelsSet,
    OperatorAsked,
    OrderAdopted,
    OrderAnswered,
    Reconciled,
    Record,
    RunStopped,
    SessionMoved,
    SignalSeen,
    SoldOutside,
    TradeMoved,
)
from fsm_trader.core.summary import summarise

from .rows import at, filled, intended, opened, run_started, seen, tag_of, trading

ID, TAG = "20260617-001", tag_of(1, Role.ENTRY)
P = Paise
CANDLE = Candle(256265, at("09:29"), P(100), P(120), P(90), P(110))
LATER = Candle(256265, at("09:31"), P(110), P(120), P(90), P(115))
STAYED = SessionMoved("clock", "TRADING", "TRADING")

LINES: list[tuple[Record, str]] = [
    (run_started(), "run started for session 2026-06-17 by process 1"),
    (RunStopped(0, "the session is over"), "run stopped with code 0: the session is over"),
    (RunStopped(3, "SIGTERM", (ID,)), "run stopped with code 3: SIGTERM, open: 20260617-001"),
    (trading(), "HEALTH_CHECK -> TRADING on clock"),
    (STAYED, "TRADING on clock"),
    (HealthSeen(), "healthy"),
    (HealthSeen(("account: no",), login_required=True), "not healthy: account: no"),
    (CandlesSeen((CANDLE,)), "1 candle(s) of instrument 256265, 09:29, close 1.10"),
    (CandlesSeen((CANDLE, LATER)), "2 candle(s) of instrument 256265, 09:29 to 09:31, close 1.15"),
    (CandlesSeen(()), "no candles"),
    (InputRefused("candle", "low above high"), "candle skipped: low above high"),
    (SignalSeen("d", 1, at("09:29"), P(2441235)), "d says BUY on the candle of 09:29, index 24,412.35"),
    (SignalSeen("d", -1, at("09:29"), P(100)), "d says EXIT on the candle of 09:29, index 1.00"),
    (EntryBlocked("d", at("09:29"), ("halted", "late")), "d: BUY of 09:29 not followed: halted; late"),
    (opened(), "opened by donchian_ce: 75 NIFTY2661824400CE, index 24,412.35"),
    (
        TradeMoved(ID, "price", "ACTIVE", "PENDING_EXIT", "stop_loss", price_paise=P(8000)),
        "ACTIVE -> PENDING_EXIT on price (stop loss) at 80.00",
    ),
    (LevelsSet(ID, P(8000), P(13000), at("10:00")), "stop 80.00, target 130.00, held until 10:00:00 at the longest"),
    (LevelsSet(ID, None, None, None), "stop none, target none, held until none at the longest"),
    (
        intended(1, Role.ENTRY),
        f"intends entry order, attempt 1: BUY 75 NIFTY2661824400CE MARKET tag {TAG}",
    ),
    (OrderAnswered(ID, TAG, "refused", None, "no margin"), f"order {TAG} refused: no margin"),
    (CancelIntended(ID, TAG, "17", "cancel"), f"intends to cancel order 17 tag {TAG}"),
    (CancelAnswered(ID, TAG, "accepted"), f"cancellation {TAG} accepted"),
    (seen(1, Role.ENTRY, OrderStatus.WORKING, 25), "order 1-entry-1 is WORKING (WORKING), 25 of 75 filled"),
    (filled(1, Role.ENTRY, 75, 10005), "filled 75 at 100.05, order 1-entry-1"),
    (
        OrderAdopted(ID, seen(1, Role.ENTRY, OrderStatus.WORKING, 25).report),
        f"adopts order 1-entry-1 tag {TAG}: it belonged to no open trade",
    ),
    (SoldOutside(ID, 75, None, "75 were sold outside"), "75 units are gone: 75 were sold outside"),
    (Reconciled((Found("as_believed", "75 are held"),)), "asked the broker: 75 are held [as_believed]"),
    (Reconciled(()), "asked the broker: nothing is held"),
    (DamageFound(("ten rows are gone",)), "rows of the journal are gone: ten rows are gone"),
    (AlarmRaised("look here", ID, 3), "ALARM level 3: look here"),
    (OperatorAsked("halt", "ops"), "a person asked for halt: ops"),
]


@pytest.mark.parametrize(("record", "line"), LINES)
def test_a_row_is_told_in_these_words(record, line) -> None:
    assert summarise(record) == line


def test_every_kind_of_row_is_told_above() -> None:
    assert {type(record) for record, _ in LINES} == set(get_args(Record))


def test_what_others_put_into_a_message_cannot_break_or_colour_the_line() -> None:
    line = summarise(InputRefused("feed", "bad\nrow \x1b[31mred\u2028end, \u20b95 \N{BULLET}"))

    assert line == "feed skipped: bad\\nrow \\x1b[31mred\\u2028end, \u20b95 \N{BULLET}"
    assert line.isprintable()
