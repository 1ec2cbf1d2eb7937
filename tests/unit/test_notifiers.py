"""Notices into the log, to several targets, and the texts they carry."""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from fsm_trader.core.money import Paise
from fsm_trader.core.signals import Signal
from fsm_trader.notify import messages
from fsm_trader.notify.both import Notifiers
from fsm_trader.notify.log import LogNotifier
from fsm_trader.notify.messages import ConfirmedEntry, TradeSummary
from fsm_trader.notify.protocol import Notice
from fsm_trader.notify.told import ToldKeys

LOG = logging.getLogger("fsm_trader.test_notifiers")
DAY = datetime(2026, 6, 17, tzinfo=timezone(timedelta(hours=5, minutes=30)))
PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "telegram.md"

ENTRY = ConfirmedEntry(
    trade_id="T-260617-003",
    symbol="NIFTY2661624400CE",
    quantity=65,
    ordered=65,
    average_paise=Paise(10000),
    at=DAY.replace(hour=10, minute=31, second=4),
    stop_paise=Paise(8000),
    target_paise=Paise(13000),
    hold_until=DAY.replace(hour=11, minute=1, second=4),
)
SUMMARY = TradeSummary(
    trade_id="T-260617-003",
    strategy="donchian_ce",
    symbol="NIFTY2661624400CE",
    quantity=65,
    index_paise=Paise(2440510),
    signal_at=DAY.replace(hour=10, minute=30),
    entry_paise=Paise(10000),
    entry_at=DAY.replace(hour=10, minute=31, second=4),
    entry_order_ids=("260617000123",),
    exit_paise=Paise(11000),
    exit_at=DAY.replace(hour=10, minute=52, second=9),
    exit_order_ids=("260617000188", "260617000191"),
    stop_paise=Paise(8000),
    target_paise=Paise(13000),
    reason="strategy_exit",
    gross_paise=Paise(65000),
    charges_paise=Paise(6386),
)


class Kept:
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.closed_with: list[float] = []

    def tell(self, notice: Notice) -> None:
        self.told.append(notice.key)

    def close(self, timeout_s: float) -> None:
        self.closed_with.append(timeout_s)


class Broken(Kept):
    """Breaks its promise."""

    def tell(self, notice: Notice) -> None:
        super().tell(notice)
        raise RuntimeError("secret-in-the-text")

    def close(self, timeout_s: float) -> None:
        super().close(timeout_s)
        raise RuntimeError("secret-in-the-text")


def test_every_target_is_told_and_a_broken_one_harms_no_other(caplog):
    first, broken, last = Kept(), Broken(), Kept()
    both = Notifiers(first, broken, last, log=LOG)

    both.tell(Notice("1", "text"))
    both.tell(Notice("2", "text"))
    both.close(3.0)

    assert first.told == last.told == ["1", "2"]
    assert broken.told == ["1"]
    assert first.closed_with == broken.closed_with == last.closed_with == [3.0]
    assert "Broken: raised RuntimeError; expected it never to raise; left out" in caplog.text
    assert "secret" not in caplog.text


def test_closing_goes_on_past_a_target_that_hangs(monkeypatch):
    release = threading.Event()
    hanging, other = Kept(), Kept()
    hanging.close = lambda timeout_s: bool(release.wait(10))  # type: ignore[method-assign] - the fault under test
    monkeypatch.setattr("fsm_trader.notify.both._GRACE_S", 0.01)

    Notifiers(hanging, other, log=LOG).close(0.01)

    assert not release.is_set()
    assert other.closed_with == [0.01]
    release.set()


def test_the_log_says_each_notice_once_on_one_line_critical_ones_louder(caplog):
    caplog.set_level(logging.INFO)
    notifier = LogNotifier(LOG)

    notifier.tell(Notice("7-entry", "Entry filled\nBought 65"))
    notifier.tell(Notice("7-entry", "Entry filled\nBought 65"))
    notifier.tell(Notice("9-alarm", "look at the account", critical=True))
    notifier.close(1.0)

    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "notice 7-entry: Entry filled | Bought 65"),
        ("CRITICAL", "notice 9-alarm: look at the account"),
    ]


def test_the_memory_of_keys_is_bounded_and_forgets_the_oldest():
    told = ToldKeys(limit=2)

    news = [told.is_new(key) for key in ("a", "b", "a", "c", "b", "a")]

    assert news == [True, True, False, True, False, True]
    assert len(told._keys) == 2


def test_a_signal_names_strategy_index_and_candle():
    facts = {"strategy": "donchian_ce", "underlying": "NIFTY 50", "index_paise": Paise(2440510)}
    at = DAY.replace(hour=10, minute=30)

    buy = messages.signal_text(**facts, signal=Signal.BUY, candle_start=at, to_open_trade=False)
    leave = messages.signal_text(**facts, signal=Signal.EXIT, candle_start=at, to_open_trade=True)

    assert buy == "BUY signal: donchian_ce\nNIFTY 50 24,405.10 at the close of the candle of 10:30"
    assert leave.startswith("EXIT signal for the open trade: donchian_ce\n")


def test_a_buy_that_was_not_followed_tells_every_reason():
    text = messages.entry_blocked_text(
        strategy="donchian_ce", candle_start=DAY.replace(hour=10, minute=30), reasons=("unhealthy", "a trade is open")
    )

    assert text.splitlines() == [
        "BUY not followed: donchian_ce, candle of 10:30",
        "unhealthy",
        "a trade is open",
    ]


def test_an_order_placed_says_side_quantity_and_the_brokers_number():
    entry = messages.entry_placed_text(trade_id="T1", symbol="NIFTYX", quantity=130, lots=2, order_id="26061700")
    leave = messages.exit_placed_text(
        trade_id="T1", symbol="NIFTYX", quantity=130, reason="stop_loss", price_paise=Paise(7995), order_id=None
    )

    assert entry == "Entry order placed: T1\nBUY 130 NIFTYX (2 lots)\nOrder 26061700"
    assert leave == ("Exit order placed: T1\nSELL 130 NIFTYX\nWhy: stop loss at 79.95\nOrder number not known yet")


def test_a_filled_entry_tells_price_stop_target_and_holding_limit():
    text = messages.entry_confirmed_text(ENTRY)

    assert "Bought 65 NIFTY2661624400CE at 100.00, 10:31:04" in text
    assert "Stop 80.00, target 130.00, holding limit until 11:01:04" in text


def test_a_part_filled_entry_without_exit_rules_says_so():
    facts = {name: getattr(ENTRY, name) for name in ENTRY.__struct_fields__}
    bare = facts | {"ordered": 130, "stop_paise": None, "target_paise": None, "hold_until": None}

    text = messages.entry_confirmed_text(ConfirmedEntry(**bare))

    assert "Bought 65 of 130 ordered NIFTY2661624400CE" in text
    assert "Stop none, target none, holding limit none" in text


def test_a_failed_entry_says_why_and_that_nothing_is_held():
    text = messages.entry_failed_text(
        trade_id="T1", symbol="NIFTYX", quantity=65, reason="insufficient_margin", sends=3
    )

    assert text.splitlines()[1:] == [
        "BUY 65 NIFTYX: insufficient margin",
        "Requests sent: 3. No position is held.",
    ]


def test_an_exit_in_trouble_says_that_the_position_may_be_held():
    text = messages.exit_trouble_text(trade_id="T1", symbol="NIFTYX", quantity=65, reason="", attempt=2)

    assert "SELL 65 NIFTYX, attempt 2: no reason given" in text
    assert "may still be held" in text


def test_the_summary_of_a_trade_holds_everything_and_takes_the_charges_off():
    text = messages.trade_summary_text(SUMMARY)

    assert text.splitlines() == [
        "Trade closed: T-260617-003, profit 586.14",
        "NIFTY2661624400CE, 65 units, donchian_ce",
        "Signal: index 24,405.10, candle of 10:30",
        "Entry: 100.00 at 10:31:04, order 260617000123",
        "Exit: 110.00 at 10:52:09, orders 260617000188, 260617000191",
        "Why: strategy exit (stop 80.00, target 130.00)",
        "Gross 650.00, charges 63.86, net 586.14",
    ]


@pytest.mark.parametrize(
    ("gross", "headline"), [(-20000, "loss -263.86"), (6386, "nothing won or lost 0.00"), (6387, "profit 0.01")]
)
def test_the_headline_of_a_summary_goes_by_the_net_result(gross, headline):
    facts = {name: getattr(SUMMARY, name) for name in SUMMARY.__struct_fields__}

    text = messages.trade_summary_text(TradeSummary(**facts | {"gross_paise": Paise(gross), "exit_order_ids": ()}))

    assert text.splitlines()[0].endswith(f", {headline}")
    assert "no order of ours" in text


def test_an_alarm_tells_its_level_and_trade():
    assert messages.alarm_text(text="exit refused", level=2, trade_id="T1") == (
        "ALARM (level 2) of trade T1\nexit refused"
    )
    assert messages.alarm_text(text="anchor ahead", level=1, trade_id=None) == "ALARM (level 1)\nanchor ahead"


@pytest.mark.parametrize("news", list(messages._HEADLINES))
def test_session_news_tell_what_when_why_and_what_is_open(news):
    at = DAY.replace(hour=9, minute=20)

    text = messages.session_text(
        news=news, session="nifty", at=at, details=("token refused",), open_trades=("T1", "T2")
    )
    calm = messages.session_text(news=news, session="nifty", at=at)

    assert text.splitlines()[1:] == ["2026-06-17 09:20:00", "token refused", "Open trades: T1, T2"]
    assert text.startswith("nifty ")
    assert calm.endswith("No trade is open.")


def test_the_messages_on_the_telegram_page_are_the_ones_that_are_sent():
    page = PAGE.read_text(encoding="utf-8")

    assert messages.entry_confirmed_text(ENTRY) in page
    assert messages.trade_summary_text(SUMMARY) in page
