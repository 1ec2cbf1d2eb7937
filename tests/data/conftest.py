"""Real recordings from the folder beside the checkout, read there as they are; without it these tests are skipped."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from fsm_trader.cli.main import main
from fsm_trader.core.records import CandlesSeen, Entry, InputRefused
from fsm_trader.journal.read import JournalReader

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
NIFTY, BANKNIFTY = 256265, 260105


class Said(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    err: str


class Folder:
    """A session folder, the command line in this process, and the journal it leaves."""

    def __init__(self, path: Path, said: Callable[[], tuple[str, str]]) -> None:
        self.path = path
        self.session = path / "session.yaml"
        self._said = said
        for name in ("session.yaml", "strategies.yaml"):
            shutil.copyfile(ROOT / name, path / name)

    def edit(self, old: str, new: str) -> None:
        text = self.session.read_text(encoding="utf-8")
        assert old in text
        self.session.write_text(text.replace(old, new), encoding="utf-8")

    def play(self, place: Path, **market: str) -> None:
        """Name what is recorded, and further keys of ``market``."""
        lines = [f'recorded: "{place}"', *(f"{key}: {value}" for key, value in market.items())]
        self.edit("recorded: sample ", "\n  ".join(lines) + " ")

    def do(self, verb: str, *options: str) -> Said:
        self._said()
        code = main([*verb.split(), str(self.session), *options])
        return Said(code, *self._said())

    def run(self) -> Said:
        return self.do("run", "--log", "none")

    def entries(self) -> list[Entry]:
        with JournalReader(f"sqlite:///{self.path / 'var' / 'fsm_trader.db'}") as reader:
            return list(reader.entries())

    def rows_of(self, kind: type) -> list[Entry]:
        return [entry for entry in self.entries() if isinstance(entry.record, kind)]

    def index_starts(self, token: int = NIFTY) -> list[str]:
        """The times of the index candles that decisions were made on."""
        seen = [entry.record for entry in self.rows_of(CandlesSeen)]
        return [f"{candle.start:%H:%M}" for row in seen for candle in row.candles if candle.token == token]

    def reasons(self) -> str:
        return "\n".join(entry.record.why for entry in self.rows_of(InputRefused))


@pytest.fixture
def folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Folder:
    return Folder(tmp_path, capsys.readouterr)


@pytest.fixture
def data() -> Callable[[str], Path]:
    def place_of(name: str) -> Path:
        place = DATA / name
        if not place.exists():
            pytest.skip(f"no real data here: {name} is not in the folder shared/data beside the checkout")
        return place

    return place_of
