"""One run of the sample day for all pages that quote it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from .pages import ROOT, trader


class SampleDay(NamedTuple):
    """A folder in which the sample day was played, and what the run printed."""

    folder: Path
    done: subprocess.CompletedProcess[str]


@pytest.fixture
def two_files(tmp_path: Path) -> Path:
    """A folder with the repository's own session.yaml and strategies.yaml, and nothing else."""
    for name in ("session.yaml", "strategies.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def sample_day(tmp_path_factory: pytest.TempPathFactory) -> SampleDay:
    folder = tmp_path_factory.mktemp("sample_day")
    for name in ("session.yaml", "strategies.yaml"):
        shutil.copy(ROOT / name, folder)
    done = trader("session.yaml", "--log", "none", folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return SampleDay(folder, done)
