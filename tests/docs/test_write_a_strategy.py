"""The page about writing a strategy, run: its code, its tests, its YAML and its entry point."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from fsm_trader.core.candles import MINUTE, Candle
from fsm_trader.core.signals import Signal
from fsm_trader.strategy import registry

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "how-to" / "write-a-strategy.md").read_text(encoding="utf-8")
OPENING = datetime(2026, 3, 27, 9, 15, tzinfo=timezone(timedelta(hours=5, minutes=30)))


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that holds the page's two Python files and is searched for modules, as a session file's is."""
    strategy, its_test = _blocks("python")
    (tmp_path / "rising_closes.py").write_text(strategy, encoding="utf-8")
    (tmp_path / "test_rising_closes.py").write_text(its_test, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "rising_closes", raising=False)
    return tmp_path


def _said(strategy: object, closes: list[int]) -> list[Signal]:
    candles = [Candle(256265, OPENING + n * MINUTE, close, close, close, close) for n, close in enumerate(closes)]
    return [strategy.update(candle) for candle in candles]


def test_the_pages_strategy_is_built_by_module_and_class_and_follows_candles(folder: Path) -> None:
    strategy = registry.build("rising_closes:RisingCloses", {"count": 3, "least_percent": Decimal("0.5")})

    said = _said(strategy, [1000, 1002, 1004, 1006, 1005, 1006, 1007, 1008])

    buy, hold, leave = Signal.BUY, Signal.HOLD, Signal.EXIT
    assert said == [hold, hold, hold, buy, leave, hold, hold, hold]  # the second run rises by 0.3 % only


def test_the_pages_yaml_names_a_class_that_takes_its_params(folder: Path) -> None:
    [block] = _blocks("yaml")
    [entry] = yaml.safe_load(block)["strategies"].values()
    params = {
        name: Decimal(str(value)) if isinstance(value, float) else value for name, value in entry["params"].items()
    }

    fault = registry.check(entry["class"], params)

    assert fault is None


def test_the_pages_own_tests_pass(folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), str(folder)]

    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout


def test_the_pages_entry_point_makes_the_short_name_known(folder: Path) -> None:
    assert "unknown strategy" in (registry.check("RisingCloses", {"count": 3}) or "")
    project = tomllib.loads(_blocks("toml")[0])["project"]
    metadata = folder / "my_strategies-1.0.dist-info"
    metadata.mkdir()
    names = "\n".join(f"{name} = {target}" for name, target in project["entry-points"][registry.GROUP].items())
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{names}\n")

    strategy = registry.build("RisingCloses", {"count": 3})

    assert strategy.warmup == 4
