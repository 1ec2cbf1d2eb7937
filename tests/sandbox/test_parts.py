"""The sandbox's parts on their own: the day's clock and numbering, the tape, the account's file, a book that fails."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kiteconnect import exceptions

from fsm_trader.core.candles import Candle
from fsm_trader.errors import SetupError, UnavailableError
from fsm_trader.simulate.sandbox.account import Account
from fsm_trader.simulate.sandbox.clock import DayClock
from fsm_trader.simulate.sandbox.day import PlayedDay
from fsm_trader.simulate.sandbox.forms import KiteError
from fsm_trader.simulate.sandbox.limits import Limits
from fsm_trader.simulate.sandbox.tape import merged

from .conftest import SYMBOL, buy

DAWN = datetime.fromisoformat("2026-06-17T09:13:00+05:30")
DUSK = datetime.fromisoformat("2026-06-17T16:00:00+05:30")


@given(st.lists(st.floats(0, 10_000), min_size=1), st.floats(0.01, 100_000))
def test_a_day_waits_runs_at_its_speed_and_stops(waits, speed):
    real = [5.0]
    clock = DayClock(DAWN, DUSK, speed, seconds=lambda: real[0])
    real[0] += waits[0]
    assert (clock.now(), clock.state) == (DAWN, "waiting")
    assert clock.begin()
    began = real[0]

    for wait in waits:
        before = clock.now()
        real[0] += wait
        assert before <= clock.now() <= DUSK
        assert not clock.begin()

    passed = timedelta(seconds=min((real[0] - began) * speed, 86_400))
    assert abs(clock.now() - min(DAWN + passed, DUSK)) < timedelta(milliseconds=1)
    assert clock.state == ("over" if clock.now() == DUSK else "running")


@pytest.mark.parametrize("speed", [0, -1, float("inf"), float("nan")])
def test_a_speed_that_is_none_is_refused(speed):
    with pytest.raises(ValueError, match="finite number above zero"):
        DayClock(DAWN, DUSK, speed)


def test_every_minute_of_the_tape_is_the_recorded_candle_with_its_volume(sandbox):
    exchange = sandbox.service.kite.exchange
    token = exchange.contracts[SYMBOL].token
    recorded = exchange.day.candles(token, after=None, now=exchange.day.closes_at)

    built = exchange.tape(token).candles(exchange.day.opens_at, exchange.day.closes_at, now=exchange.day.closes_at)

    assert [msgspec.structs.replace(candle, token=token) for candle in built] == list(recorded)
    assert exchange.tape(token).at(exchange.day.closes_at).volume == sum(candle.volume for candle in recorded)


@given(st.integers(1, 375), st.sampled_from([3, 5, 10, 15, 30, 60]))
def test_long_candles_hold_all_of_the_short_ones(count, minutes):
    opens_at = datetime.fromisoformat("2026-06-17T09:15:00+05:30")
    short = [
        Candle(1, opens_at + timedelta(minutes=n), 100 + n, 120 + n % 7, 90 - n % 5, 110 + n, volume=n)
        for n in range(count)
    ]

    long = merged(short, minutes=minutes, opens_at=opens_at)

    assert len(long) == -(-count // minutes)
    assert sum(candle.volume for candle in long) == sum(candle.volume for candle in short)
    assert (long[0].open, long[-1].close) == (short[0].open, short[-1].close)
    assert max(candle.high for candle in long) == max(candle.high for candle in short)
    assert all((candle.start - opens_at) % timedelta(minutes=minutes) == timedelta(0) for candle in long)


def test_contracts_without_a_token_of_kites_get_one_and_keep_their_prices(sandbox):
    recorded = sandbox.service.kite.exchange.day._recorded
    now = recorded.closes_at
    first, second = recorded.contracts("NIFTY", recorded.day)[:2]

    class Renumbered:
        """The recorded day under tokens that differ in the last byte only, as days without a dump may have them."""

        def __getattr__(self, name):
            return getattr(recorded, name)

        def candles(self, token, **given):
            return recorded.candles({7: first.token, 9: second.token}[token], **given)

    listed = [msgspec.structs.replace(first, token=7), msgspec.structs.replace(second, token=9)]

    day = PlayedDay(Renumbered(), listed, 256265)

    tokens = [contract.token for contract in day.contracts]
    assert [token % 256 for token in tokens] == [2, 2]
    assert len(set(tokens)) == 2
    assert day.candles(tokens[1], after=None, now=now) == recorded.candles(second.token, after=None, now=now)


def test_tokens_are_kept_for_their_play_and_forgotten_with_it(tmp_path):
    file = tmp_path / "tokens"
    first = Account(file, play=1, now=DAWN).newest_token()

    assert Account(file, play=1, now=DAWN).newest_token() == first
    account = Account(file, play=2, now=DAWN)
    assert account.newest_token() != first
    account.log_out(account.newest_token())
    assert account.newest_token() is None
    assert Account(file, play=2, now=DAWN).newest_token() is None


def test_a_file_of_tokens_that_cannot_be_read_or_written_is_refused(tmp_path):
    (tmp_path / "tokens").write_text("not json")

    with pytest.raises(SetupError, match="cannot be read"):
        Account(tmp_path / "tokens", play=1, now=DAWN)
    with pytest.raises(SetupError, match="cannot be written"):
        Account(tmp_path / "nowhere" / "tokens", play=1, now=DAWN)
    assert (tmp_path / "tokens").read_text() == "not json"


def test_at_speed_the_rates_allow_for_the_networks_jitter_and_no_more():
    slow, fast = Limits(1), Limits(400)
    passed = {}
    for name, limits in (("slow", slow), ("fast", fast)):
        passed[name] = 0
        for _ in range(50):
            try:
                limits.take("quote", DAWN)
            except KiteError:
                break
            passed[name] += 1

    assert passed == {"slow": 1, "fast": 3}


def test_a_book_that_cannot_be_written_is_answered_as_a_failure_of_the_order_system(sandbox, monkeypatch):
    client = sandbox.client()
    sandbox.at("09:30:00")

    def fails(*_given):
        raise UnavailableError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(sandbox.book, "commit", fails)
        with pytest.raises(exceptions.NetworkException, match="kitetrade-oms") as failed:
            buy(client)
        assert failed.value.code == 503

    # It was not lost: what could not be saved is saved with the next call.
    sandbox.at("09:30:01")
    assert [row["tag"] for row in client.orders()] == ["tag1"]
