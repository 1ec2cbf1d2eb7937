"""A machine file named in session.yaml is what runs, and the journal keeps it."""

from __future__ import annotations

import hashlib
from importlib.resources import files

from fsm_trader.app.files import settings_of
from fsm_trader.core.records import RunStarted
from fsm_trader.journal.read import JournalReader

_BUILT_IN = files("fsm_trader.machines").joinpath("trade.yaml").read_text()
_STRATEGY_EXIT = (
    "  - {trigger: check, source: ACTIVE, dest: PENDING_EXIT, conditions: strategy_exit, after: place_exit, "
    "reason: strategy_exit}\n"
)


def test_the_built_in_machine_leaves_on_the_strategys_word(run_day):
    outcome = run_day()

    assert "strategy_exit" in {trade.exit_reason for trade in outcome.ledger.session_trades}


def test_a_copy_without_the_strategys_exit_never_leaves_on_it(session_file, edit, run_day):
    assert _STRATEGY_EXIT in _BUILT_IN
    session_file.with_name("my-trade.yaml").write_text(_BUILT_IN.replace(_STRATEGY_EXIT, ""))
    edit("session.yaml", "trade: builtin", "trade: my-trade.yaml")

    outcome = run_day()

    reasons = {trade.exit_reason for trade in outcome.ledger.session_trades}
    assert outcome.exit_code == 0
    assert reasons
    assert "strategy_exit" not in reasons


def test_the_journal_keeps_the_definition_that_ran_under_its_hash(session_file, edit, run_day, journal):
    text = _BUILT_IN.replace("# The life of one trade.", "# My life of one trade.")
    session_file.with_name("my-trade.yaml").write_text(text)
    edit("session.yaml", "trade: builtin", "trade: my-trade.yaml")

    outcome = run_day()

    digest = hashlib.sha256(text.encode()).hexdigest()
    started = next(entry.record for entry in journal() if isinstance(entry.record, RunStarted))
    with JournalReader(settings_of(session_file).journal_url) as reader:
        kept = reader.definitions()
    assert started.machines["trade"] == digest
    assert kept[digest] == text
    assert {trade.machine for trade in outcome.ledger.session_trades} == {digest}
