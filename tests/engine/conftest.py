"""Benches for the tests of this folder, each in a folder of its own and closed at the end."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Make a bench: ``bench(signals, market=..., ...)``."""
    benches: list[Bench] = []
    numbers = itertools.count()

    def make(*args: Any, **kwargs: Any) -> Bench:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        benches.append(Bench(folder, *args, **kwargs))
        return benches[-1]

    yield make
    for each in benches:
        each.close()
