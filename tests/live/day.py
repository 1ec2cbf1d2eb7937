"""A short day in the program's own format, with a dump that Kite could have sent; the strategy speaks by the clock."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

DAY = "2026-06-17"
SYMBOL = "NIFTY2662324600CE"
# In rupees, from each minute on; a minute that moves does so at its 20th second.
FOUR_TRADES = {"09:15": 100, "09:26": 75, "09:28": 100, "09:32": 135, "09:34": 100}
# Each BUY is said again: one whose price comes late, on a busy machine, is not followed, and the next one is.
_BUYS = ("09:17", "09:18", "09:23", "09:24", "09:29", "09:30", "09:35", "09:36", "09:37")
FOUR_SIGNALS = {**dict.fromkeys(_BUYS, "BUY"), "09:20": "EXIT"}
_OPEN = datetime.fromisoformat(f"{DAY}T09:15:00+05:30")
_MINUTES = 45
_STRATEGY = '''
"""Says its words by the clock."""

from fsm_trader.core.signals import Signal

SAYS = {says}


class ByTheClock:
    warmup = 0

    def update(self, candle):
        return Signal[SAYS.get(f"{{candle.start:%H:%M}}", "HOLD")]
'''
_SESSION = """
session:
  name: brief
  calendar: always
  health_check: {{start: "09:15", end: "09:17"}}
  trading: {{start: "09:17", end: "09:40"}}
  square_off: "{square_off}"
  health_interval: 5s
  poll_interval: 2s
broker:
  kind: paper
  entry_timeout: 60s
  exit_timeout: 20s
  settle: 60s
  reconcile_interval: 20s
  paper: {{latency: {latency}}}
market:
  underlying: {{name: NIFTY, symbol: "NIFTY 50", exchange: NSE, token: 256265}}
  recorded: days
journal: {{url: "sqlite:///var/paper_day.db"}}
risk: {{max_trades_per_day: 10, max_daily_loss: 100000}}
strategies: {{file: strategies.yaml, active: [by_the_clock]}}
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
_COLUMNS = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,instrument_type,"
    "segment,exchange\n"
)


def write(
    folder: Path,
    *,
    prices: Mapping[str, int],
    says: Mapping[str, str],
    latency: str = "300ms",
    square_off: str = "09:42",
) -> None:
    """Write the session, its strategy and its recorded day."""
    for name, text in (
        ("session.yaml", _SESSION.format(latency=latency, square_off=square_off)),
        ("strategies.yaml", _STRATEGIES),
        ("by_the_clock.py", _STRATEGY.lstrip().format(says=dict(says))),
    ):
        (folder / name).write_text(text, encoding="utf-8")
    _record(folder / "days" / DAY, prices)


def _record(place: Path, prices: Mapping[str, int]) -> None:
    place.mkdir(parents=True)
    index, options = ["ts,open,high,low,close\n"], ["ts,tradingsymbol,open,high,low,close,volume\n"]
    last = 0
    for number in range(_MINUTES):
        start = _OPEN + timedelta(minutes=number)
        before, last = last, prices.get(f"{start:%H:%M}", last)
        first, ts = before or last, start.isoformat()
        index.append(f"{ts},24600.00,24600.00,24600.00,24600.00\n")
        options.append(f"{ts},{SYMBOL},{first},{max(first, last)},{min(first, last)},{last},6500\n")
    for name, lines in (("index.csv", index), ("options.csv", options), ("instruments.csv", _instruments())):
        (place / name).write_text("".join(lines), encoding="utf-8")


def _instruments() -> list[str]:
    """Two expiries of six strikes, each with its call and its put: what a whole dump shows at the least."""
    rows = [_COLUMNS]
    for week, (code, expiry) in enumerate((("26623", "2026-06-23"), ("26630", "2026-06-30"))):
        for number in range(12):
            strike, kind = 24450 + 50 * (number // 2), ("CE", "PE")[number % 2]
            exchange_token = 45000 + 100 * week + number
            rows.append(
                f"{exchange_token * 256 + 2},{exchange_token},NIFTY{code}{strike}{kind},NIFTY,0.0,{expiry},{strike}.0,"
                f"0.05,65,{kind},NFO-OPT,NFO\n"
            )
    return rows
