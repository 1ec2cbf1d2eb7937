"""The program writes what its next start needs: a play begun after another is recalled without reading the first."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from fsm_trader.app.files import settings_of
from fsm_trader.app.recall import recall
from fsm_trader.core.ledger import Ledger
from fsm_trader.core.records import Inherited, RunStarted
from fsm_trader.journal.read import JournalReader


def told(ledger: Ledger) -> dict[str, object]:
    known = copy.deepcopy(vars(ledger))
    known["_numbers"] = ledger.next_trade_number()
    return known


@pytest.fixture
def both(session_file: Path):
    """The present, recalled and from every row, and the numbers of the rows that were read for the first."""

    def read() -> tuple[Ledger, Ledger, int]:
        with JournalReader(settings_of(session_file).journal_url) as reader:
            newest = reader.newest_session()
            assert newest is not None
            return recall(reader), Ledger().fold(reader.entries()), newest[0].seq

    return read


def test_the_second_play_of_a_day_goes_on_with_its_numbers_and_reads_nothing_of_the_first(run_day, journal, both):
    run_day()
    first = len(journal())
    run_day()

    recalled, whole, begins = both()
    starts = [entry.record for entry in journal() if isinstance(entry.record, RunStarted)]
    assert [row.inherits for row in starts] == [Inherited(), Inherited(last_number=8)]
    assert begins == first + 1
    assert told(recalled) == told(whole)
    assert [trade.number for trade in recalled.session_trades] == list(range(9, 17))
    assert recalled.session == "2026-06-17.2"
