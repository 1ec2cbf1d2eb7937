"""Strategies on candles drawn by hand, the parameters they refuse, and the registry that finds them."""

from __future__ import annotations

import sys
import tomllib
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fsm_trader.core.candles import MINUTE, Candle
from fsm_trader.core.signals import Signal
from fsm_trader.errors import SetupError
from fsm_trader.strategy import registry
from fsm_trader.strategy.donchian import DonchianBreakout
from fsm_trader.strategy.moving_average import MovingAverageCross
from fsm_trader.strategy.opening_range import OpeningRange
from fsm_trader.strategy.protocol import Strategy

ROOT = Path(__file__).resolve().parents[2]
OPENING = datetime(2024, 1, 1, 9, 15, tzinfo=timezone(timedelta(hours=5, minutes=30)))
BUY, HOLD, EXIT = Signal.BUY, Signal.HOLD, Signal.EXIT
GOOD = """
class Always:
    def __init__(self, size: int = 1, **more: object) -> None:
        self.warmup = size

    def update(self, candle):
        return 0
"""


def _candle(n: int, low: int, high: int, close: int, *, days: int = 0) -> Candle:
    return Candle(1, OPENING + timedelta(days=days) + n * MINUTE, close, high, low, close)


def _said(strategy: Strategy, bars: list[tuple[int, int, int]], *, days: int = 0) -> list[Signal]:
    return [strategy.update(_candle(n, *bar, days=days)) for n, bar in enumerate(bars)]


def _closes(*closes: int) -> list[tuple[int, int, int]]:
    return [(close, close, close) for close in closes]


# Bars are (low, high, close).
QUIET = [(90, 110, 100)] * 4


def test_donchian_buys_a_close_above_the_previous_upper_band_once() -> None:
    said = _said(DonchianBreakout(2, 1), [*QUIET, (100, 111, 111), (100, 112, 112)])

    assert said == [HOLD, HOLD, HOLD, HOLD, BUY, HOLD]


def test_donchian_does_not_buy_a_close_that_only_touches_the_band() -> None:
    assert _said(DonchianBreakout(2, 1), [*QUIET, (100, 115, 110)])[-1] is HOLD


def test_donchian_exits_below_the_lower_band_or_below_the_middle_as_told() -> None:
    below_the_middle, below_the_lower_band = (80, 110, 99), (80, 110, 89)

    assert _said(DonchianBreakout(2, 1), [*QUIET, below_the_middle])[-1] is HOLD
    assert _said(DonchianBreakout(2, 2), [*QUIET, below_the_middle])[-1] is EXIT
    assert _said(DonchianBreakout(2, 1), [*QUIET, below_the_lower_band])[-1] is EXIT


def test_donchian_compares_with_the_exact_middle() -> None:
    quiet = [(90, 111, 101)] * 4  # The middle is 100.5.

    assert _said(DonchianBreakout(2, 2), [*quiet, (90, 111, 101)])[-1] is HOLD
    assert _said(DonchianBreakout(2, 2), [*quiet, (90, 111, 100)])[-1] is EXIT


def test_donchian_can_signal_on_the_candle_that_ends_its_warm_up_and_no_earlier() -> None:
    strategy = DonchianBreakout(3, 1)

    said = _said(strategy, _closes(10, 10, 10, 10, 20))

    assert said == [HOLD, HOLD, HOLD, HOLD, BUY]
    assert strategy.warmup == len(said)
    assert _said(DonchianBreakout(3, 1), _closes(10, 10, 10, 20))[-1] is HOLD


def test_averages_that_cross_upwards_buy_and_downwards_exit() -> None:
    said = _said(MovingAverageCross(1, 2), _closes(10, 10, 12, 14, 13, 12))

    assert said == [HOLD, HOLD, BUY, HOLD, EXIT, HOLD]


def test_averages_that_meet_are_not_yet_a_crossing() -> None:
    # Fast less slow goes -, 0, + and then +, 0, -: a signal comes when it is past level, not when it is level.
    assert _said(MovingAverageCross(1, 2), _closes(10, 8, 8, 9)) == [HOLD, HOLD, HOLD, BUY]
    assert _said(MovingAverageCross(1, 2), _closes(8, 10, 10, 9)) == [HOLD, HOLD, HOLD, EXIT]


def test_the_opening_range_buys_the_first_close_above_its_high_once_a_day() -> None:
    strategy = OpeningRange(2)
    bars = [(95, 105, 100), (98, 110, 100), (98, 112, 110), (98, 112, 111), (98, 112, 105), (98, 120, 120)]

    assert _said(strategy, bars) == [HOLD, HOLD, HOLD, BUY, HOLD, HOLD]
    assert _said(strategy, bars, days=1) == [HOLD, HOLD, HOLD, BUY, HOLD, HOLD]


def test_the_opening_range_exits_each_time_a_close_falls_below_its_low() -> None:
    bars = [(95, 105, 100), (98, 110, 100), (90, 105, 94), (90, 105, 93), (90, 105, 95), (90, 105, 94)]

    assert _said(OpeningRange(2), bars) == [HOLD, HOLD, EXIT, HOLD, HOLD, EXIT]


def test_the_opening_range_exits_below_its_middle_when_told_to() -> None:
    bars = [(90, 101, 100), (90, 101, 95)]  # The middle is 95.5.

    assert _said(OpeningRange(1, exit_option=2), bars) == [HOLD, EXIT]
    assert _said(OpeningRange(1, exit_option=1), bars) == [HOLD, HOLD]


def test_the_opening_range_ends_by_the_clock_though_candles_are_missing() -> None:
    strategy = OpeningRange(5)
    strategy.update(_candle(0, 95, 105, 100))

    said = strategy.update(_candle(5, 95, 111, 111))

    assert said is BUY


@pytest.mark.parametrize(
    ("name", "params", "words"),
    [
        ("DonchianBreakout", {"length": 1, "exit_option": 1}, "length: was 1; expected a whole number from 2 to 500"),
        ("DonchianBreakout", {"length": 501, "exit_option": 1}, "length: was 501"),
        ("DonchianBreakout", {"length": True, "exit_option": 1}, "length: was True"),
        ("DonchianBreakout", {"length": Decimal("20.5"), "exit_option": 1}, "length: was Decimal('20.5')"),
        ("DonchianBreakout", {"length": "20", "exit_option": 1}, "length: was '20'"),
        ("DonchianBreakout", {"length": 20, "exit_option": 3}, "exit_option: was 3; expected 1 (the lower line) or 2"),
        ("DonchianBreakout", {"length": 20, "exit_option": True}, "exit_option: was True"),
        ("DonchianBreakout", {"length": 20}, "parameter 'exit_option' is missing"),
        ("DonchianBreakout", {"lenght": 20, "exit_option": 1}, "unknown parameter 'lenght'; did you mean 'length'?"),
        ("MovingAverageCross", {"fast": 20, "slow": 20}, "fast: was 20 with slow 20; expected fast below slow"),
        ("MovingAverageCross", {"fast": 0, "slow": 20}, "fast: was 0"),
        ("MovingAverageCross", {"fast": 5, "slow": 501}, "slow: was 501"),
        ("OpeningRange", {"minutes": 0}, "minutes: was 0; expected a whole number from 1 to 360"),
        ("OpeningRange", {"minutes": 15, "exit_option": 0}, "exit_option: was 0"),
        ("OpeningRange", {"minutes": 15, "zzz": 0}, "unknown parameter 'zzz'; known: exit_option, minutes"),
    ],
)
def test_params_that_do_not_fit_are_refused_in_words(name: str, params: dict[str, Any], words: str) -> None:
    fault = registry.check(name, params)

    assert fault is not None
    assert fault.startswith(f"strategy class '{name}': ")
    assert words in fault


def test_all_wrong_parameter_names_are_told_at_once() -> None:
    fault = registry.check("DonchianBreakout", {"size": 20, "exit": 1}) or ""

    assert all(words in fault for words in ("'size'", "'exit'", "'length' is missing", "'exit_option' is missing"))


def test_registered_names_are_built_with_their_params() -> None:
    strategy = registry.build("DonchianBreakout", {"length": 20, "exit_option": 2})

    assert isinstance(strategy, DonchianBreakout)
    assert strategy.warmup == 22
    assert registry.check("MovingAverageCross", {"fast": 5, "slow": 20}) is None
    assert registry.check("OpeningRange", {"minutes": 15}) is None


def test_the_package_registers_the_same_names_as_the_checkout_knows() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert project["entry-points"][registry.GROUP] == registry.BUILT_IN


def test_an_unknown_name_is_told_with_the_nearest_and_all_known_ones() -> None:
    fault = registry.check("DonchianBreakuot", {}) or ""

    assert "unknown strategy; did you mean 'DonchianBreakout'?" in fault
    assert "MovingAverageCross, OpeningRange" in fault
    with pytest.raises(SetupError, match="Nothing was started"):
        registry.find("DonchianBreakuot")


def test_a_dotted_name_without_a_colon_is_told_where_the_colon_goes() -> None:
    assert "expected a colon before the class: my.module:Mine" in (registry.check("my.module.Mine", {}) or "")


@pytest.mark.parametrize("name", [":", "module:", ":Class", "a:b:c", "../evil:Class", "os path:Class", "1a:B"])
def test_a_malformed_target_is_refused(name: str) -> None:
    assert "expected a registered name or package.module:Class" in (registry.check(name, {}) or "")


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A writer of one importable module, ``plugged``, that leaves nothing behind."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(text: str) -> Path:
        path = tmp_path / "plugged.py"
        path.write_text(text, encoding="utf-8")
        return path

    yield write
    sys.modules.pop("plugged", None)


def test_a_class_in_a_file_on_the_path_is_found(module: Any) -> None:
    module(GOOD)

    strategy = registry.build("plugged:Always", {"size": 7, "other": Decimal("0.5")})

    assert strategy.warmup == 7


@pytest.mark.parametrize(
    ("text", "name", "params", "words"),
    [
        (GOOD, "plugged.deeper:Always", {}, "no module 'plugged.deeper'"),
        (GOOD, "unplugged:Always", {}, "no module 'unplugged'; expected it beside the session file or installed"),
        (GOOD, "plugged:Alway", {}, "has no 'Alway'; did you mean 'Always'?"),
        (
            "import nowhere_at_all",
            "plugged:A",
            {},
            "ModuleNotFoundError: No module named 'nowhere_at_all' (plugged.py, line 1)",
        ),
        ("x = 1\ny = x / 0", "plugged:A", {}, "failed with ZeroDivisionError: division by zero (plugged.py, line 2)"),
        ("def broken(:", "plugged:A", {}, "failed with SyntaxError: invalid syntax (plugged.py, line 1)"),
        ("raise SystemExit(0)", "plugged:A", {}, "failed with SystemExit: 0 (plugged.py, line 1)"),
        ("A = 5", "plugged:A", {}, "'A' is of type int; expected a class"),
        ("class A: warmup = 1", "plugged:A", {}, "the class has no method update(candle)"),
        ("class A:\n def update(self, candle): return 0", "plugged:A", {}, "warmup was None; expected a property"),
        ("class A:\n warmup = -1\n def update(self, candle): return 0", "plugged:A", {}, "warmup was -1"),
        ("class A:\n warmup = 1\n def update(self): return 0", "plugged:A", {}, "update does not take one candle"),
        (
            "class A:\n warmup = 1\n def __init__(self): {}['k']\n def update(self, candle): return 0",
            "plugged:A",
            {},
            "building it failed with KeyError: 'k' (plugged.py, line 3)",
        ),
        (
            "class A:\n warmup = property(lambda self: 1 // 0)\n def update(self, candle): return 0",
            "plugged:A",
            {},
            "building it failed with ZeroDivisionError",
        ),
        (GOOD, "fsm_trader.strategy.protocol:Strategy", {}, "Protocols cannot be instantiated"),
        (GOOD, "sys:Always", {}, "module 'sys' (built into Python) has no 'Always'"),
        (GOOD, "builtins:dict", {"size": 1}, "warmup was None"),
    ],
)
def test_what_cannot_be_plugged_in_is_refused_in_words(
    module: Any, text: str, name: str, params: dict[str, Any], words: str
) -> None:
    module(text)

    assert words in (registry.check(name, params) or "")


def _install(folder: Path, package: str, target: str, *, name: str = "Always") -> None:
    metadata = folder / f"{package}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n", encoding="utf-8")
    (metadata / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{name} = {target}\n", encoding="utf-8")


def test_an_installed_package_adds_a_name(module: Any) -> None:
    folder = module(GOOD).parent
    _install(folder, "one", "plugged:Always")

    assert registry.check("Always", {"size": 3}) is None
    assert "did you mean 'Always'?" in (registry.check("Allways", {}) or "")


def test_a_name_that_two_packages_give_to_different_classes_is_refused(module: Any) -> None:
    folder = module(GOOD).parent
    _install(folder, "one", "plugged:Always")
    _install(folder, "two", "plugged:Other")

    fault = registry.check("Always", {}) or ""

    assert "registered as plugged:Always and as plugged:Other" in fault
    assert registry.check("plugged:Always", {}) is None


def test_a_package_cannot_take_a_built_in_name(module: Any) -> None:
    folder = module(GOOD).parent
    _install(folder, "one", "plugged:Always", name="DonchianBreakout")

    assert registry.find("DonchianBreakout") is DonchianBreakout
