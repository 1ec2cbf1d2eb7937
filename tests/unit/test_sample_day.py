"""The bundled sample day: made by its generator, and holding every kind of exit under the default strategies."""

from __future__ import annotations

import gzip
from collections import Counter
from datetime import datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest

import fsm_trader
from fsm_trader.core.candles import Candle
from fsm_trader.core.contracts import OptionKind
from fsm_trader.core.settings import MarketSettings, OptionRule, UnderlyingSettings
from fsm_trader.market.calendar import calendar_for
from fsm_trader.market.recorded import RecordedDay, open_recorded
from fsm_trader.market.selection import select_option
from fsm_trader.simulate.sample_day import DEFAULT_SEED, main, write_day

BUNDLED = Path(fsm_trader.__file__).parent / "market" / "data" / "sample" / "2026-06-17"
ZONE = ZoneInfo("Asia/Kolkata")
INDEX = 256265
RULE = OptionRule(kind=OptionKind.CE, strike="nearest", expiry="nearest")
LENGTH = 20
CHECK = timedelta(seconds=5)
MAX_HOLD = timedelta(minutes=30)


class Held(msgspec.Struct, kw_only=True):
    """A simulated trade: when and at what price (paise) it began and ended, why, and its extremes in between."""

    bought_at: datetime
    bought: int
    token: int
    sold_at: datetime | None = None
    sold: int = 0
    why: str = ""
    least: float = 0.0
    most: float = 0.0


def settings(recorded: Path | str = "sample") -> MarketSettings:
    return MarketSettings(
        underlying=UnderlyingSettings("NIFTY", "NIFTY 50", "NSE", INDEX),
        recorded=recorded,
        day=None,
        speed=0.0,
        premiums="recorded",
        lot_size=None,
        feed="poll",
        stream_root=None,
        max_candle_age=timedelta(seconds=150),
    )


def signals(candles: tuple[Candle, ...]) -> dict[datetime, str]:
    """Donchian by brute force: what each candle says, by the time it is complete."""
    said: dict[datetime, str] = {}
    bands = []
    for index in range(len(candles)):
        window = candles[max(0, index + 1 - LENGTH) : index + 1]
        bands.append((max(c.high for c in window), max(c.high for c in window) + min(c.low for c in window)))
    for index in range(LENGTH + 1, len(candles)):
        now, before = candles[index].close, candles[index - 1].close
        if 2 * now < bands[index - 1][1] and 2 * before >= bands[index - 2][1]:
            said[candles[index].end] = "EXIT"
        elif now > bands[index - 1][0] and before <= bands[index - 2][0]:
            said[candles[index].end] = "BUY"
    return said


def simulate(day: RecordedDay, *, fill_delay_s: int = 1, cost_paise: int = 0, check: timedelta = CHECK) -> list[Held]:
    """Play the default strategy: buy one second after the signal, look every five seconds, one trade at a time."""
    candles = day.candles(INDEX, after=None, now=day.closes_at)
    said = signals(candles)
    closes = {candle.end: candle.close for candle in candles}
    contracts = day.contracts("NIFTY", day.day)
    trades: list[Held] = []
    held: Held | None = None
    now = day.opens_at
    while now < day.closes_at:
        if held is not None and now >= held.bought_at + timedelta(seconds=fill_delay_s):
            why = reason(day, held, said, now)
            if why:
                held.sold_at, held.why = now, why
                held.sold = day.price(held.token, now + timedelta(seconds=fill_delay_s)).last - cost_paise
                held = None
        elif held is None and said.get(now) == "BUY" and time(9, 20) <= now.time() < time(15, 0):
            contract = select_option(contracts, RULE, spot_paise=closes[now], day=day.day)
            bought_at = now + timedelta(seconds=fill_delay_s)
            bought = day.price(contract.token, bought_at).last + cost_paise
            held = Held(bought_at=bought_at, bought=bought, token=contract.token)
            trades.append(held)
        now += check
    return trades


def reason(day: RecordedDay, held: Held, said: dict[datetime, str], now: datetime) -> str:
    change = day.price(held.token, now).last / held.bought - 1
    held.least, held.most = min(held.least, change), max(held.most, change)
    checks = {
        "stop_loss": change <= -0.20,
        "target": change >= 0.30,
        "signal": said.get(now) == "EXIT",
        "max_hold": now >= held.bought_at + MAX_HOLD,
        "end_of_day": now.time() >= time(15, 10),
    }
    return next((why for why, holds in checks.items() if holds), "")


@pytest.fixture(scope="module")
def day() -> RecordedDay:
    return open_recorded(settings(), zone=ZONE)


@pytest.fixture(scope="module")
def trades(day: RecordedDay) -> list[Held]:
    return simulate(day)


def test_the_generator_writes_the_bundled_day_again(tmp_path: Path) -> None:
    write_day(tmp_path / "2026-06-17", DEFAULT_SEED)

    assert sorted(path.name for path in tmp_path.joinpath("2026-06-17").iterdir()) == sorted(
        path.name for path in BUNDLED.iterdir()
    )
    for path in BUNDLED.iterdir():
        # Gzip bytes depend on the zlib at hand; what is inside must not.
        unpack = gzip.decompress if path.suffix == ".gz" else bytes
        assert unpack((tmp_path / "2026-06-17" / path.name).read_bytes()) == unpack(path.read_bytes()), path.name


def test_two_runs_of_the_generator_give_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        main([str(tmp_path / name), "--seed", str(seed)])

    same, again, other = ((tmp_path / name / "options.csv.gz").read_bytes() for name in "abc")
    assert same == again
    assert same != other


def test_the_bundled_day_is_small_and_says_that_it_is_generated(day: RecordedDay) -> None:
    assert sum(path.stat().st_size for path in BUNDLED.iterdir()) < 700_000
    assert "GENERATED, not recorded" in (BUNDLED / "README.txt").read_text()
    assert "generated, not recorded" in day.label


def test_the_bundled_day_is_a_whole_trading_day_without_a_bad_row(day: RecordedDay) -> None:
    candles = day.candles(INDEX, after=None, now=day.closes_at)
    contracts = day.contracts("NIFTY", day.day)

    assert calendar_for("NSE").is_trading_day(day.day)
    assert day.skipped == ()
    assert [candle.start for candle in candles] == [day.opens_at + timedelta(minutes=n) for n in range(375)]
    assert {contract.lot_size for contract in contracts} == {65}
    assert {f"{contract.expiry}" for contract in contracts} == {"2026-06-23", "2026-06-30"}
    assert all(len(day.candles(contract.token, after=None, now=day.closes_at)) == 375 for contract in contracts)


def test_every_minute_has_its_nearest_strike_in_both_expiries(day: RecordedDay) -> None:
    contracts = day.contracts("NIFTY", day.day)
    for candle in day.candles(INDEX, after=None, now=day.closes_at):
        for skip in (0, 10):
            rule = msgspec.structs.replace(RULE, skip_days=skip)
            chosen = select_option(contracts, rule, spot_paise=candle.close, day=day.day)
            assert abs(chosen.strike_paise - candle.close) <= 2_500


def test_calls_and_puts_agree_with_the_index(day: RecordedDay) -> None:
    by_terms = {(c.expiry, c.strike_paise, c.kind): c.token for c in day.contracts("NIFTY", day.day)}
    noon = day.opens_at.replace(hour=12, minute=0)
    spot = day.price(INDEX, noon).last
    for (expiry, strike, kind), token in by_terms.items():
        if kind is OptionKind.CE:
            put = by_terms[expiry, strike, OptionKind.PE]
            carry = day.price(token, noon).last - day.price(put, noon).last - (spot - strike)
            assert 0 < carry < 7_500  # interest on the strike to expiry, below 75 points


def test_the_day_holds_every_kind_of_exit_in_six_to_ten_trades(trades: list[Held]) -> None:
    kinds = Counter(trade.why for trade in trades)

    assert 6 <= len(trades) <= 10
    assert set(kinds) == {"stop_loss", "target", "signal", "max_hold", "end_of_day"}


@pytest.mark.parametrize(
    ("fill_delay_s", "cost_paise", "check_s"),
    [(0, 0, 5), (2, 10, 5), (5, 25, 5), (1, 100, 1), (3, 50, 10), (1, -50, 15), (8, 25, 20)],
)
def test_other_fills_and_slower_looks_give_the_same_trades(
    day: RecordedDay, trades: list[Held], fill_delay_s: int, cost_paise: int, check_s: int
) -> None:
    others = simulate(day, fill_delay_s=fill_delay_s, cost_paise=cost_paise, check=timedelta(seconds=check_s))

    assert [(trade.token, trade.why) for trade in others] == [(trade.token, trade.why) for trade in trades]


def test_the_margins_of_each_exit_are_wide(day: RecordedDay, trades: list[Held]) -> None:
    for trade in trades:
        ended = trade.sold_at
        reached = [price / trade.bought - 1 for _, price in day.prices(trade.token, after=ended - CHECK, until=ended)]
        beyond = day.prices(trade.token, after=ended, until=ended + timedelta(minutes=3))
        if trade.why == "stop_loss":
            assert min(reached) < -0.28
            assert ended - trade.bought_at < timedelta(minutes=3)
        elif trade.why == "target":
            assert max(price for _, price in beyond) / trade.bought - 1 > 0.40
        else:
            assert trade.least > -0.10
            assert trade.most < 0.20


def test_no_new_signal_falls_so_near_an_exit_that_a_later_fill_would_change_the_trades(
    day: RecordedDay, trades: list[Held]
) -> None:
    said = signals(day.candles(INDEX, after=None, now=day.closes_at))
    buys = [at for at, word in said.items() if word == "BUY" and at.time() < time(15, 0)]
    for trade in trades:
        near = [at for at in buys if at > trade.bought_at and abs(at - trade.sold_at) < timedelta(seconds=90)]
        assert near == []
