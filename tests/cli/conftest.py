"""A session folder as a user would have it, the command line in this process, and what the journal says."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

import fsm_trader
from fsm_trader.cli.main import main
from fsm_trader.core.records import Entry
from fsm_trader.journal.read import JournalReader
from fsm_trader.ops.lock import holder_of

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = Path(fsm_trader.__file__).parent / "market" / "data" / "sample" / "2026-06-17"
LONGEST_RUN_S = 30


class Said(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    err: str


class Folder:
    """A folder with the repo's two files. Commands are run from outside of it, with the path of its session file."""

    def __init__(self, path: Path, said: Callable[[], tuple[str, str]]) -> None:
        self.path = path
        self.session = path / "session.yaml"
        self.journal = path / "var" / "fsm_trader.db"
        self._said = said

    def write_files(self) -> Folder:
        for name in ("session.yaml", "strategies.yaml"):
            shutil.copyfile(ROOT / name, self.path / name)
        return self

    def edit(self, old: str, new: str, name: str = "session.yaml") -> None:
        path = self.path / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    def record(self, day: str = "2026-06-17") -> Path:
        """Put the sample day into the folder as a recorded one, on another date if need be, and name it."""
        place = self.path / "days" / day
        place.mkdir(parents=True)
        texts = {name: (SAMPLE / name).read_text(encoding="utf-8") for name in ("index.csv", "instruments.csv")}
        texts["options.csv"] = gzip.decompress((SAMPLE / "options.csv.gz").read_bytes()).decode()
        for name, text in texts.items():
            (place / name).write_text(text.replace("2026-06-17T", f"{day}T"), encoding="utf-8")
        self.edit("recorded: sample", f"recorded: days/{day}")
        return place

    def do(self, verb: str, *options: str) -> Said:
        """Run a verb on the session file in this process; ``journal list`` is one verb."""
        self._said()
        code = main([*verb.split(), str(self.session), *options])
        return Said(code, *self._said())

    def run(self, *options: str) -> Said:
        return self.do("run", "--log", "none", *options)

    def entries(self) -> list[Entry]:
        with JournalReader(f"sqlite:///{self.journal}") as reader:
            return list(reader.entries())

    def rows_of(self, kind: type) -> list[Entry]:
        return [entry for entry in self.entries() if isinstance(entry.record, kind)]

    def assert_nothing_was_started(self) -> None:
        assert not self.journal.exists()
        assert holder_of(self.journal) is None


def process(folder: Folder, *words: str, env: dict[str, str] | None = None) -> Said:
    """Run the command line as a process of its own in the folder, with nothing but *env* in its environment."""
    done = subprocess.run(
        [sys.executable, "-m", "fsm_trader", *words],
        cwd=folder.path,
        env={"PYTHONPATH": str(ROOT), **(env or {})},
        capture_output=True,
        text=True,
        timeout=LONGEST_RUN_S,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Folder:
    return Folder(tmp_path, capsys.readouterr).write_files()


@pytest.fixture
def as_process(folder: Folder) -> Callable[..., Said]:
    return lambda *words, **env: process(folder, *words, env=env)


@pytest.fixture(scope="session")
def whole_day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the sample day was played once, by a process in its own folder with an empty environment."""
    path = tmp_path_factory.mktemp("whole")
    done = process(Folder(path, lambda: ("", "")).write_files(), "session.yaml")
    assert done.code == 0, done.err
    (path / "out.txt").write_text(done.out, encoding="utf-8")
    return path


@pytest.fixture
def played(whole_day: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Folder:
    """A copy of that folder, to do with as one likes."""
    shutil.copytree(whole_day, tmp_path, dirs_exist_ok=True)
    return Folder(tmp_path, capsys.readouterr)
