"""Journals of every released version: their chains hold, they are read as they were written, and come to the same."""

from __future__ import annotations

import gzip
import json
import os
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fsm_trader.app.recall import recall
from fsm_trader.cli.main import main
from fsm_trader.core.ledger import Ledger
from fsm_trader.core.records import decode, encode, kind_of, trade_of
from fsm_trader.journal.chain import GENESIS, row_hash
from fsm_trader.journal.read import JournalReader
from fsm_trader.journal.store import JournalStore

from .outcome import outcome_of

GOLDEN = Path(__file__).with_name("golden")
ROOT = Path(__file__).resolve().parents[2]
JOURNALS = sorted(GOLDEN.glob("*/*.jsonl.gz"))
LEFT_OPEN = sorted(GOLDEN.glob("*/*.tar.gz"))
MOST_BYTES = 200_000

Row = tuple[int, str, str, str | None, str, str, str]
every_journal = pytest.mark.parametrize("golden", JOURNALS, ids=lambda path: str(path.relative_to(GOLDEN)))


def rows_of(golden: Path) -> list[Row]:
    """The rows as they were stored: the body's text is that of its JSON."""
    lines = gzip.decompress(golden.read_bytes()).decode().splitlines()
    return [_row(json.loads(line)) for line in lines]


def _row(line: dict[str, Any]) -> Row:
    body = json.dumps(line["body"], separators=(",", ":"), ensure_ascii=False)
    return line["seq"], line["at"], line["session"], line["trade_id"], line["kind"], body, line["hash"]


def expected_of(golden: Path) -> dict[str, Any]:
    name = golden.name.removesuffix(".jsonl.gz")
    found: dict[str, Any] = json.loads(golden.with_name(f"{name}.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture
def on_disk(tmp_path):
    """Put the rows of a golden journal into a journal of today's schema."""

    def write(golden: Path) -> Path:
        file = tmp_path / "journal.db"
        with closing(JournalStore(f"sqlite:///{file}")):
            pass
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", rows_of(golden))
        return file

    return write


def test_there_is_a_golden_journal_of_the_first_release_and_all_are_small() -> None:
    assert {path.parent.name for path in JOURNALS} >= {"0.1.0"}
    for release in GOLDEN.iterdir():
        assert sum(path.stat().st_size for path in release.iterdir()) < MOST_BYTES


@every_journal
def test_the_chain_of_a_golden_journal_holds_to_its_head(golden) -> None:
    head = GENESIS
    for row in rows_of(golden):
        head = row_hash(head, row[:6])
        assert head == row[6], f"row {row[0]}"

    assert head == expected_of(golden)["head"]


@every_journal
def test_every_record_is_read_and_would_be_written_as_it_was(golden) -> None:
    for seq, _, _, trade_id, kind, body, _ in rows_of(golden):
        record = decode(body)
        assert (kind_of(record), trade_of(record), encode(record)) == (kind, trade_id, body), f"row {seq}"


@every_journal
def test_a_golden_journal_comes_to_what_its_own_version_made_of_it(golden, on_disk) -> None:
    expected = expected_of(golden)
    del expected["head"]

    with JournalReader(f"sqlite:///{on_disk(golden)}") as reader:
        assert outcome_of(reader.checked()) == expected


@every_journal
def test_a_golden_journal_verifies_and_is_recalled_whole(golden, on_disk) -> None:
    with JournalReader(f"sqlite:///{on_disk(golden)}") as reader:
        found, recalled, whole = reader.verify(), recall(reader), Ledger().fold(reader.checked())

    assert (found.fault, found.rows) == (None, expected_of(golden)["rows"])
    assert vars(recalled) == vars(whole)


def test_a_golden_journal_that_was_changed_is_noticed(on_disk) -> None:
    seq, *middle, body, found = rows_of(JOURNALS[0])[10]

    assert row_hash(rows_of(JOURNALS[0])[9][6], (seq, *middle, f"{body} ")) != found


@pytest.mark.parametrize("left", LEFT_OPEN, ids=lambda path: str(path.relative_to(GOLDEN)))
def test_a_trade_that_a_released_version_left_open_is_led_to_its_end_by_todays(left, tmp_path) -> None:
    with tarfile.open(left) as archive:
        archive.extractall(tmp_path, filter="data")
    url = f"sqlite:///{tmp_path / 'var' / 'fsm_trader.db'}"
    with JournalReader(url) as reader:
        (before,) = recall(reader).open_trades

    done = subprocess.run(
        [sys.executable, "-m", "fsm_trader", "session.yaml", "--quiet", "--log", "none"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    with JournalReader(url) as reader:
        ledger = recall(reader)
    after = ledger.trades[before.trade_id]
    assert done.returncode == 0, done.stderr
    assert (before.state, after.state, ledger.open_trades) == ("ACTIVE", "CLOSED", [])
    assert (after.machine, after.opened_at, after.orders[0]) == (before.machine, before.opened_at, before.orders[0])
    assert main(["journal", "verify", str(tmp_path / "session.yaml")]) == 0
