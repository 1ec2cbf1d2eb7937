"""Half an hour of trading in the program's own format: four trades with four ways out, played in a moment.

The strategy says its words by the clock, the option moves as written here, and the session's windows lie close.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from pathlib import Path

from .conftest import Desk

DAY = "2026-06-17"
TRADES = 4
_OPEN = datetime.fromisoformat("2026-06-17T09:15:00+05:30")
_MINUTES = 45
# In rupees, from each minute on; a minute that moves does so at its 20th second.
PRICES = {"09:15": 100, "09:26": 75, "09:28": 100, "09:32": 135, "09:34": 100}

_STRATEGY = '''
"""Says its words by the clock."""

from fsm_trader.core.signals import Signal

SAYS = {"09:17": Signal.BUY, "09:20": Signal.EXIT, "09:23": Signal.BUY, "09:29": Signal.BUY, "09:35": Signal.BUY}


class ByTheClock:
    warmup = 0

    def update(self, candle):
        return SAYS.get(f"{candle.start:%H:%M}", Signal.HOLD)
'''
_SESSION = """
session:
  name: brief
  calendar: always
  health_check: {start: "09:15", end: "09:16"}
  trading: {start: "09:16", end: "09:40"}
  square_off: "09:42"
broker:
  kind: paper
  entry_timeout: 20s
  paper: {latency: 300ms}
market:
  speed: max
  underlying: {name: NIFTY, symbol: "NIFTY 50", exchange: NSE, token: 256265}
  recorded: days
journal: {url: "sqlite:///var/fsm_trader.db"}
risk: {max_trades_per_day: 10, max_daily_loss: 10000}
strategies: {file: strategies.yaml, active: [by_the_clock]}
""".lstrip()
_STRATEGIES = """
strategies:
  by_the_clock:
    class: by_the_clock:ByTheClock
    interval: 1m
    option: {type: CE, strike: nearest, expiry: nearest}
    lots: 2
    exits: {stop_loss: 20%, target: 30%, max_hold: 30m}
""".lstrip()
_INSTRUMENTS = """
instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,instrument_type,segment,exchange
11520770,45003,NIFTY2662324600CE,NIFTY,0.0,2026-06-23,24600.0,0.05,65,CE,NFO-OPT,NFO
""".lstrip()


def prepare(desk: Desk, *, days: tuple[str, ...] = (DAY,)) -> None:
    """Let a desk play brief days, and nothing else."""
    for name, text in (
        ("session.yaml", _SESSION),
        ("strategies.yaml", _STRATEGIES),
        ("by_the_clock.py", _STRATEGY.lstrip()),
    ):
        (desk.folder / name).write_text(text, encoding="utf-8")
    for day in days:
        record(desk.folder / "days" / day)


def record(place: Path, prices: Mapping[str, int] = PRICES) -> None:
    """Write the files of one day; its folder's name is the day."""
    place.mkdir(parents=True)
    shift = date.fromisoformat(place.name) - _OPEN.date()
    index, options = ["ts,open,high,low,close\n"], ["ts,tradingsymbol,open,high,low,close,volume\n"]
    last = 0
    for number in range(_MINUTES):
        start = _OPEN + timedelta(minutes=number)
        before, last = last, prices.get(f"{start:%H:%M}", last)
        first = before or last
        ts = (start + shift).isoformat()
        index.append(f"{ts},24600.00,24600.00,24600.00,24600.00\n")
        options.append(f"{ts},NIFTY2662324600CE,{first},{max(first, last)},{min(first, last)},{last},6500\n")
    for name, lines in (("index.csv", index), ("options.csv", options), ("instruments.csv", [_INSTRUMENTS])):
        (place / name).write_text("".join(lines), encoding="utf-8")
