"""A process that has to stop with a position open says so where a person looks, journal or not."""

from __future__ import annotations

import pytest

from fsm_trader.core.records import LevelsSet
from fsm_trader.errors import HaltError
from fsm_trader.journal.store import JournalStore


def test_a_journal_that_fails_for_good_calls_a_person_and_names_what_is_open(session_file, run_day, monkeypatch):
    append = JournalStore.append
    held: list[bool] = []

    def fails_once_something_is_held(self, at, session, records):
        if held:
            raise HaltError("journal: the disk is gone (made up by this test)")
        held.extend(True for record in records if isinstance(record, LevelsSet))
        return append(self, at, session, records)

    monkeypatch.setattr(JournalStore, "append", fails_once_something_is_held)

    with pytest.raises(HaltError, match="the disk is gone"):
        run_day()

    log = (session_file.parent / "var" / "fsm_trader.log").read_text()
    (last_words,) = [line for line in log.splitlines() if "this process stops" in line and "CRITICAL run:" in line]
    assert "20260617-001 ACTIVE (65 units)" in last_words
    assert "notice 2026-06-17/halt/" in log
