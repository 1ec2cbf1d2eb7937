"""The generator of the bundled sample day: one made-up NIFTY day in the form of a recorded one.

    python -m fsm_trader.simulate.sample_day OUTDIR [--seed N]

The index follows a fixed plan of drifts, quiet ranges and jumps with small seeded noise, so that the default strategy
meets every kind of exit; premiums are Black-Scholes with a slight smile. The same seed gives the same bytes. It is a
tool: nothing at run time imports it, and it must not know the strategies or the engine.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from fsm_trader.core.contracts import OptionKind
from fsm_trader.core.money import Paise, rupees
from fsm_trader.market.black_scholes import Option, premium_paise

DAY = date(2026, 6, 17)
DEFAULT_SEED = 17
WEEKLY, MONTHLY = date(2026, 6, 23), date(2026, 6, 30)
LOT = 65
_ZONE = ZoneInfo("Asia/Kolkata")
_OPENS_AT = datetime(2026, 6, 17, 9, 15, tzinfo=_ZONE)
_FIRST_LEVEL = 2_460_000  # paise of an index point
_STEP = 5_000
_FIRST_EXCHANGE_TOKEN = 45_100
_HEADER = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,"
    "instrument_type,segment,exchange"
)


class Segment(msgspec.Struct, frozen=True):
    """A part of the day: how long, where the index goes, how restless it is.

    Args:
        minutes: length.
        change: points from its start to its end, in a straight line.
        noise: most points a close lies off that line.
        wick: most points a minute reaches beyond its open and close.
    """

    minutes: int
    change: float
    noise: float = 1.5
    wick: float = 2.5


# In brackets: how the default Donchian strategy's trade of that part ends. Twenty minutes and more of range lie before
# each break-out, so that the bands have forgotten what came earlier.
PLAN = (
    Segment(26, 0, 4, 4),  # opening range
    Segment(1, 16),  # break-out, then a rally [target]
    Segment(8, 170),
    Segment(3, -25),
    Segment(24, 0, 3, 3),
    Segment(1, 14),  # break-out that fails [strategy signal]
    Segment(2, 4),
    Segment(6, -34),
    Segment(24, 0, 3, 3),
    Segment(1, 14),  # break-out into a sudden fall [stop-loss]
    Segment(1, 2),
    Segment(1, -125),
    Segment(1, -20),
    Segment(4, 40),
    Segment(24, 0, 3, 3),
    Segment(1, 10, 0.5),  # break-out into a slow climb [holding time]
    Segment(26, 18, 0.8, 1.2),
    Segment(8, -2, 0.8, 1.2),
    Segment(6, -25),
    Segment(32, -5, 3, 3),  # lunch
    Segment(1, 14),  # a small rise and back [strategy signal]
    Segment(10, 34),
    Segment(8, -48),
    Segment(26, 0, 3, 3),
    Segment(1, 14),  # break-out, then a rally [target]
    Segment(8, 150),
    Segment(4, -30),
    Segment(26, 0, 3, 3),
    Segment(1, 14),  # break-out that fails [strategy signal]
    Segment(7, -38),
    Segment(37, 0, 3, 3),
    Segment(1, 12, 0.5),  # late break-out, still open when the day is squared off [end of day]
    Segment(26, 16, 0.8, 1.2),
    Segment(19, -12, 3, 3),
)


class IndexMinute(msgspec.Struct, frozen=True):
    """One minute of the index, in paise of a point."""

    start: datetime
    open: int
    high: int
    low: int
    close: int


class Listed(msgspec.Struct, frozen=True):
    """An option of the made-up dump."""

    exchange_token: int
    tradingsymbol: str
    expiry: date
    strike_paise: int
    kind: OptionKind

    @property
    def token(self) -> int:
        """Instrument token, by Kite's rule for NFO: exchange token * 256 + 2."""
        return self.exchange_token * 256 + 2


def index_minutes(seed: int, plan: tuple[Segment, ...] = PLAN) -> list[IndexMinute]:
    """Return the index of the day, minute by minute."""
    minutes: list[IndexMinute] = []
    last = _FIRST_LEVEL
    for number, (line, segment) in enumerate(_lines(plan)):
        close = _on_tick(line + segment.noise * 100 * _between(seed, f"close {number}"))
        reach_up, reach_down = (segment.wick * 100 * _unit(seed, f"{side} {number}") for side in ("high", "low"))
        high, low = _on_tick(max(last, close) + reach_up), _on_tick(min(last, close) - reach_down)
        minutes.append(IndexMinute(_OPENS_AT + timedelta(minutes=number), last, high, low, close))
        last = _on_tick(close + 60 * _between(seed, f"gap {number}"))
    return minutes


def listed_options(index: list[IndexMinute]) -> list[Listed]:
    """Return calls and puts of two expiries, every 50 points, around the day's range."""
    low, high = min(minute.low for minute in index), max(minute.high for minute in index)
    listed: list[Listed] = []
    for expiry, margin in ((WEEKLY, 3), (MONTHLY, 2)):
        for strike in range((low // _STEP - margin) * _STEP, (high // _STEP + 2 + margin) * _STEP, _STEP):
            for kind in OptionKind:
                symbol = f"NIFTY{_expiry_code(expiry)}{strike // 100}{kind}"
                listed.append(Listed(_FIRST_EXCHANGE_TOKEN + len(listed), symbol, expiry, strike, kind))
    return listed


def write_day(folder: Path, seed: int) -> None:
    """Write index.csv, options.csv.gz, instruments.csv and README.txt into *folder*, which is made when missing.

    Raises:
        OSError: a file cannot be written.
    """
    index = index_minutes(seed)
    options = listed_options(index)
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "index.csv": _lines_text(["ts,open,high,low,close", *(_index_row(minute) for minute in index)]),
        "instruments.csv": _lines_text([_HEADER, *_instrument_rows(options)]),
        "README.txt": _readme(seed),
    }
    for name, text in texts.items():
        (folder / name).write_bytes(text.encode())
    rows = _lines_text(["ts,tradingsymbol,open,high,low,close,volume", *_option_rows(options, index, seed)])
    # No time stamp inside, so that the same seed gives the same bytes.
    (folder / "options.csv.gz").write_bytes(gzip.compress(rows.encode(), compresslevel=9, mtime=0))


def main(arguments: list[str] | None = None) -> None:
    """Write the sample day where the command line says."""
    parser = argparse.ArgumentParser(prog="python -m fsm_trader.simulate.sample_day", description="Write a sample day.")
    parser.add_argument("outdir", type=Path, help="folder to write the day's files into")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="whole number; the bundled day has %(default)s")
    given = parser.parse_args(arguments)
    write_day(given.outdir, given.seed)


def _lines(plan: tuple[Segment, ...]) -> Iterator[tuple[float, Segment]]:
    level = float(_FIRST_LEVEL)
    for segment in plan:
        for minute in range(1, segment.minutes + 1):
            yield level + segment.change * 100 * minute / segment.minutes, segment
        level += segment.change * 100


def _option_rows(options: list[Listed], index: list[IndexMinute], seed: int) -> Iterator[str]:
    for minute in index:
        stamp = minute.start.isoformat()
        for option in options:
            yield f"{stamp},{option.tradingsymbol},{_option_cells(option, minute, seed)}"


def _option_cells(option: Listed, minute: IndexMinute, seed: int) -> str:
    terms = Option(option.strike_paise, option.kind, _volatility(option.strike_paise))
    expires_at = datetime(option.expiry.year, option.expiry.month, option.expiry.day, 15, 30, tzinfo=_ZONE)
    left_s = (expires_at - minute.start).total_seconds()
    points = ((minute.open, 0), (minute.low, 30), (minute.high, 30), (minute.close, 59))
    values = [premium_paise(terms, spot, left_s - passed_s) for spot, passed_s in points]
    prices = (values[0], max(values), min(values), values[3])
    return ",".join([*(_price(price) for price in prices), str(_volume(option, minute, seed))])


def _volume(option: Listed, minute: IndexMinute, seed: int) -> int:
    away = abs(option.strike_paise - minute.close) / _STEP
    most_lots = (900 if option.expiry == WEEKLY else 250) / (1 + away)
    drawn = _unit(seed, f"volume {option.tradingsymbol} {minute.start:%H:%M}")
    return LOT * int(most_lots * (0.2 + drawn))


def _volatility(strike_paise: int) -> float:
    # A slight skew and smile about the day's first level.
    away = (strike_paise - _FIRST_LEVEL) / _FIRST_LEVEL
    return 0.13 - 0.15 * away + 15 * away * away


def _instrument_rows(options: list[Listed]) -> Iterator[str]:
    for number, (name, code, lot, tick) in enumerate(
        [("NIFTY", "26JUN", LOT, "0.1"), ("NIFTY", "26JUL", LOT, "0.1"), ("BANKNIFTY", "26JUN", 30, "0.2")]
    ):
        token = _FIRST_EXCHANGE_TOKEN - 100 + number
        expiry = date(2026, 7, 28) if code == "26JUL" else MONTHLY
        yield f"{token * 256 + 2},{token},{name}{code}FUT,{name},0.0,{expiry},0.0,{tick},{lot},FUT,NFO-FUT,NFO"
    for number, strike in enumerate(range(55_000, 55_600, 100)):
        token = _FIRST_EXCHANGE_TOKEN - 90 + number
        kind = "CE" if number % 2 == 0 else "PE"
        symbol = f"BANKNIFTY26JUN{strike}{kind}"
        yield f"{token * 256 + 2},{token},{symbol},BANKNIFTY,0.0,{MONTHLY},{strike}.0,0.05,30,{kind},NFO-OPT,NFO"
    for option in options:
        strike_text = f"{option.strike_paise // 100}.0"
        yield (
            f"{option.token},{option.exchange_token},{option.tradingsymbol},NIFTY,0.0,{option.expiry},{strike_text},"
            f"0.05,{LOT},{option.kind},NFO-OPT,NFO"
        )


def _index_row(minute: IndexMinute) -> str:
    prices = (minute.open, minute.high, minute.low, minute.close)
    return ",".join([minute.start.isoformat(), *(_price(Paise(price)) for price in prices)])


def _readme(seed: int) -> str:
    return (
        f"NIFTY, {DAY:%A} {DAY}: GENERATED, not recorded. No market ever showed these prices.\n\n"
        "Written by: python -m fsm_trader.simulate.sample_day OUTDIR "
        f"--seed {seed}\n"
        "The index follows a plan of drifts, quiet ranges and jumps with small seeded noise. Premiums are computed by\n"
        "Black-Scholes (13 % volatility with a slight smile, 6.5 % interest), volumes are drawn. Symbols, expiries,\n"
        "lot and tick sizes have the form of a Kite instrument dump; the tokens are made up.\n"
        "File forms: docs/reference/recorded-days.md.\n"
    )


def _expiry_code(expiry: date) -> str:
    return "26JUN" if expiry == MONTHLY else f"26{expiry.month}{expiry.day:02}"


def _price(amount: Paise) -> str:
    return str(rupees(amount))


def _lines_text(lines: list[str]) -> str:
    return "\n".join([*lines, ""])


def _on_tick(paise: float) -> int:
    return round(paise / 5) * 5


def _between(seed: int, key: str) -> float:
    return 2 * _unit(seed, key) - 1


def _unit(seed: int, key: str) -> float:
    # A draw from 0 to 1 that depends on nothing but the seed and the key, on every machine and version.
    digest = hashlib.blake2b(f"{seed}/{key}".encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48


if __name__ == "__main__":
    main()
