"""A feed that is told of prices before anybody asks: an entry is one commit, and its price is there when it is due."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from fsm_trader.core.candles import MINUTE, Candle, PriceSeen
from fsm_trader.core.contracts import OptionContract
from fsm_trader.core.records import CandlesSeen, EntryBlocked, OrderIntended, SignalSeen, TradeMoved, TradeOpened
from fsm_trader.core.results import Nets
from fsm_trader.core.trades import Trade
from fsm_trader.errors import UnavailableError

from .bench import BUY, EXIT, Bench
from .given import session, strategy
from .market import INDEX, ScriptedMarket, at

IN = {"09:30": BUY}
ENTRY_ROWS = [CandlesSeen, SignalSeen, TradeOpened, TradeMoved, OrderIntended]


class PromptMarket(ScriptedMarket):
    """Knows the price of what it follows; *age* makes it old, *odd* makes it no price at all."""

    def __init__(
        self, *, age: timedelta = timedelta(0), odd: bool = False, follows: bool = True, has_candles: bool = True
    ) -> None:
        super().__init__()
        self.age, self.odd, self.follows, self.has_candles = age, odd, follows, has_candles
        self.handed: list[datetime] = []
        self.hears = False
        self.watched: dict[int, datetime] = {}
        self.asked: list[str] = []

    def hears_orders(self, now: datetime) -> bool:
        return self.hears and now is not None

    def watch(self, contract: OptionContract, now: datetime) -> None:
        if self.follows:
            self.watched.setdefault(contract.token, now)

    def candles_at_hand(self, token: int, *, after: datetime | None, now: datetime) -> tuple[Candle, ...] | None:
        self.handed.append(now)
        return self.candles(token, after=after, now=now) if token == INDEX and self.has_candles else None

    def price_at_hand(self, token: int, now: datetime) -> PriceSeen | None:
        price = super().price(token, now)
        if token not in self.watched or price is None:
            return None
        return replace(price, at=now - self.age, last=0 if self.odd else price.last)

    def price(self, token: int, now: datetime) -> PriceSeen | None:
        self.asked.append(f"{now:%H:%M}")
        return super().price(token, now)


def commits_of(day: Bench, monkeypatch: pytest.MonkeyPatch) -> list[list[type]]:
    """Return a list that grows by the kinds of the rows of each commit."""
    inner = day.journal.append
    made: list[list[type]] = []

    def noting(when, session, records):
        made.append([type(record) for record in records])
        return inner(when, session, records)

    monkeypatch.setattr(day.journal, "append", noting)
    return made


def test_candle_signal_and_intent_are_one_commit_where_the_price_is_at_hand(bench, monkeypatch):
    market = PromptMarket()
    day = bench(IN, market=market)
    commits = commits_of(day, monkeypatch)

    day.run()

    assert ENTRY_ROWS in commits
    assert [TradeOpened, TradeMoved, OrderIntended] not in commits
    assert day.trade.state == "CLOSED"
    # Each candle is journaled once, the one with the entry too.
    starts = [candle.start for row in day.rows(CandlesSeen) for candle in row.candles if candle.token == INDEX]
    assert len(starts) == len(set(starts))
    assert at("09:30") in starts


def test_candles_that_are_at_hand_are_taken_in_the_same_turn_and_others_are_read(bench, monkeypatch):
    read: dict[bool, list[int]] = {}
    for has_candles in (True, False):
        day = bench(IN, market=PromptMarket(has_candles=has_candles))
        read[has_candles] = []
        made = day.floor.effects.read_candles

        def noting(token, after, made=made, of=read[has_candles]):
            of.append(token)
            return made(token, after)

        monkeypatch.setattr(day.floor.effects, "read_candles", noting)
        day.run()
        assert day.trade.state == "CLOSED"

    assert INDEX not in read[True]
    assert read[False].count(INDEX) > 100


def test_a_feed_that_says_its_candles_are_late_is_asked_for_them_so_that_it_is_told(bench, monkeypatch):
    market = PromptMarket()
    monkeypatch.setattr(market, "candles_at_hand", _late)
    day = bench(IN, market=market)

    day.run()

    assert day.trade.state == "CLOSED"


def _late(_token, *, after, now):
    del after, now
    raise UnavailableError("market: no candle though it opened; it is asked again")


def test_what_may_be_bought_is_followed_from_the_first_candles_on(bench):
    market = PromptMarket()

    bench({}, market=market).run()

    (followed_at,) = market.watched.values()
    assert followed_at < at("09:20")


@pytest.mark.parametrize("market", [PromptMarket(follows=False), PromptMarket(odd=True)], ids=["unknown", "odd"])
def test_a_price_that_is_not_at_hand_is_asked_for_after_the_candle_is_written_down(bench, monkeypatch, market):
    day = bench(IN, market=market)
    commits = commits_of(day, monkeypatch)

    day.run()

    assert [CandlesSeen, SignalSeen] in commits
    assert [TradeOpened, TradeMoved, OrderIntended] in commits
    assert market.asked[0] == "09:31"


def test_an_old_price_at_hand_buys_nothing_by_itself(bench, monkeypatch):
    market = PromptMarket(age=timedelta(minutes=10))
    day = bench(IN, market=market)
    commits = commits_of(day, monkeypatch)

    day.run()

    assert ENTRY_ROWS not in commits
    assert market.asked[0] == "09:31"


def test_what_is_against_an_entry_is_journaled_though_its_price_is_at_hand(bench):
    day = bench({"09:30": BUY, "09:31": BUY}, market=PromptMarket()).run()

    (blocked,) = day.rows(EntryBlocked)
    assert blocked.reasons[0] == "the strategy has an open trade"
    assert len(day.trades) == 1


def test_two_words_on_one_candle_are_written_down_before_either_is_followed(bench, monkeypatch):
    two = (strategy("one"), strategy("two"))
    day = bench({"one": {"09:30": BUY}, "two": {"09:30": EXIT}}, market=PromptMarket(), strategies=two)
    commits = commits_of(day, monkeypatch)

    day.run()

    assert [CandlesSeen, SignalSeen, SignalSeen] in commits
    assert [TradeOpened, TradeMoved, OrderIntended] in commits
    assert len(day.trades) == 1


def test_a_defect_on_the_short_way_leaves_the_candle_written_down_once_and_no_entry(bench, monkeypatch):
    day = bench(IN, market=PromptMarket())
    monkeypatch.setattr(day.floor.effects, "price_at_hand", lambda _token: 1 // 0)

    day.run(fault="a step failed with ZeroDivisionError: integer division or modulo by zero")

    starts = [candle.start for row in day.rows(CandlesSeen) for candle in row.candles if candle.token == INDEX]
    assert starts.count(at("09:30")) == 1
    assert day.trades == []


def test_a_candle_that_a_health_check_was_given_is_read_at_once_all_the_same(bench, monkeypatch):
    # Polls fall on few of the minutes at which health is checked.
    market = PromptMarket()
    day = bench({}, market=market, session=session(poll_interval=timedelta(seconds=50)))
    checks: list[datetime] = []
    check = day.floor.effects.check_health

    def checking(*args):
        checks.append(day.clock.now())
        return check(*args)

    monkeypatch.setattr(day.floor.effects, "check_health", checking)

    day.run()

    assert len(checks) > 10
    # The first one is tried twice, a second apart: there is no candle yet.
    missed = [
        check for check in checks if not any(check <= read < check + timedelta(seconds=2) for read in market.handed)
    ]
    assert not [each for each in missed if each < day.plan.square_off - MINUTE]


def test_a_net_result_is_reckoned_anew_only_where_its_trade_or_its_price_changed(bench, monkeypatch):
    day = bench(IN, market=PromptMarket()).run()
    reckoned: list[int | None] = []
    gross = Trade.gross_paise

    def counting(self, mark):
        reckoned.append(mark)
        return gross(self, mark)

    monkeypatch.setattr(Trade, "gross_paise", counting)
    nets, token = Nets(), day.trade.contract.token

    first = nets.of(day.trades, {})
    assert nets.of(day.trades, {}) == first
    assert reckoned == [None]
    assert nets.of([*day.trades, replace(day.trade, trade_id="another")], {token: 9000}) == 2 * first
    assert reckoned == [None, 9000, 9000]


@pytest.mark.parametrize("hears", [True, False])
def test_an_exit_looks_first_unless_we_would_have_been_told_of_every_order(bench, monkeypatch, hears):
    market = PromptMarket()
    market.hears = hears
    day = bench({**IN, "09:39": EXIT}, market=market)
    looked: list[datetime] = []
    missing = day.floor.effects._missing

    def looking(request, **by):
        looked.append(day.clock.now())
        return missing(request, **by)

    monkeypatch.setattr(day.floor.effects, "_missing", looking)

    day.run()

    assert day.trade.exit_reason == "strategy_exit"
    assert looked == ([] if hears else [at("09:40")])


def test_what_the_broker_said_of_positions_holds_until_an_order_moves_and_not_for_long(bench):
    market = PromptMarket()
    day = bench(IN, market=market)
    floor, now = day.floor, day.clock.now()

    assert not floor.is_net_known(now)
    floor.net_asked_at = now
    assert floor.is_net_known(now)
    assert not floor.is_net_known(now + timedelta(microseconds=1))
    floor.orders_moved_at = now
    assert not floor.is_net_known(now)
    floor.orders_moved_at = now - timedelta(seconds=1)
    day.clock.sleep(4)
    assert not floor.is_net_known(now)
    market.hears = True
    assert floor.is_net_known(now)
    day.clock.sleep(200)
    assert not floor.is_net_known(now)
