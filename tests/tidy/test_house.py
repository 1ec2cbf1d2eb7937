"""The package keeps the house rules."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from . import rules

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "fsm_trader"
MODULES = {file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8") for file in PACKAGE.rglob("*.py")}

# A ratchet: the only places that catch everything and go on. The list may shrink; whoever adds to it says why here and
# beside the handler.
WALLS = {
    "fsm_trader/app/options_of_day.py": "a defect costs one try; options nobody asks for again end all entries",
    "fsm_trader/engine/act.py": "a call that stumbles must answer all the same; a defect in a look keeps no exit back",
    "fsm_trader/engine/floor.py": "a defect costs one step and further entries, an observer only itself; no position",
    "fsm_trader/engine/signals.py": "a strategy is somebody else's code; where it fails, positions are cared for",
    "fsm_trader/engine/work.py": "a defect in one call must not end, unsaid, the thread that makes all others",
    "fsm_trader/kite/stream.py": "a defect costs one connection; a stream that ends unsaid would blind every stop",
    "fsm_trader/notify/both.py": "a notifier's defect must not end a process that holds a position",
    "fsm_trader/notify/telegram.py": "a defect costs one notice, not the thread that sends all others",
    "fsm_trader/ops/printer.py": "what cannot be shown costs itself, not the screen and not the run",
}


def faults(rule: Callable[[str], list[str]], files: dict[str, str]) -> list[str]:
    return [f"{path}: {fault}" for path, text in sorted(files.items()) for fault in rule(text)]


@pytest.fixture(scope="module")
def tracked() -> dict[str, str]:
    """Every text file of the repository, by its path."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: which files belong to the repository is not known here")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True)
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    texts = {}
    for file in files:
        content = file.read_bytes() if file.is_file() else b"\0"
        if b"\0" not in content:
            texts[file.relative_to(ROOT).as_posix()] = content.decode("utf-8")
    return texts


def test_the_whole_package_is_looked_at() -> None:
    assert len(MODULES) > 100
    assert {"fsm_trader/core/money.py", "fsm_trader/cli/main.py", "fsm_trader/__main__.py"} <= set(MODULES)


@pytest.mark.parametrize(
    "rule", [rules.long_module, rules.long_functions, rules.no_docstring], ids=lambda r: r.__name__
)
def test_every_module_of_the_package_keeps_the_rule(rule) -> None:
    assert faults(rule, MODULES) == []


def test_no_name_of_the_package_is_empty() -> None:
    found = [f"{path}: {fault}" for path, text in MODULES.items() for fault in rules.empty_names(path, text)]

    assert found == []


def test_only_the_listed_walls_catch_everything_and_go_on() -> None:
    found = {path: rules.blind_excepts(text) for path, text in MODULES.items()}

    expected = {path: 2 if path in ("fsm_trader/engine/act.py", "fsm_trader/engine/floor.py") else 1 for path in WALLS}
    assert {path: len(places) for path, places in found.items() if places} == expected


def test_no_file_holds_open_work(tracked) -> None:
    assert faults(rules.open_work, tracked) == []


def test_no_file_names_a_place_of_one_machine_or_a_package_index(tracked) -> None:
    assert faults(rules.machine_places, tracked) == []


def test_every_test_module_says_what_it_is_about() -> None:
    tests = {
        file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("*.py")
    }

    assert len(tests) > 30
    assert faults(rules.no_docstring, tests) == []
