"""A session folder as a user would have it: the two files of the repo, and runs of it in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fsm_trader.app.files import settings_of
from fsm_trader.app.run import Outcome, run
from fsm_trader.core.records import Entry
from fsm_trader.journal.read import JournalReader

_ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def session_file(tmp_path: Path) -> Path:
    for name in ("session.yaml", "strategies.yaml"):
        (tmp_path / name).write_text((_ROOT / name).read_text())
    return tmp_path / "session.yaml"


@pytest.fixture
def edit(session_file: Path) -> Callable[[str, str, str], None]:
    """Replace a text that must be there in one of the folder's files."""

    def replace(name: str, old: str, new: str) -> None:
        path = session_file.with_name(name)
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return replace


@pytest.fixture
def run_day(session_file: Path) -> Callable[[], Outcome]:
    return lambda: run(settings_of(session_file), watch=lambda _label, _plan: (), console_level=None)


@pytest.fixture
def journal(session_file: Path) -> Callable[[], list[Entry]]:
    def read() -> list[Entry]:
        with JournalReader(settings_of(session_file).journal_url) as reader:
            return list(reader.entries())

    return read
