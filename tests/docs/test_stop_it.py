"""The page about stopping says what the verbs say."""

from __future__ import annotations

from pathlib import Path

from fsm_trader.app.requests import Asking
from fsm_trader.cli.ask import _words

from .pages import blocks, missing_chunk, text_of, trader

PAGE = text_of("docs/how-to/stop-it.md")
IN_FORCE, WAITS = blocks(PAGE, "text")


def test_what_is_said_while_nothing_runs_is_the_real_answer(two_files: Path) -> None:
    done = trader("halt", "session.yaml", folder=two_files)

    assert done.returncode == 0
    assert missing_chunk(WAITS, done.stdout) is None
    assert (two_files / "var" / "fsm_trader.db.requests").is_dir()


def test_what_is_said_while_a_trader_runs_is_the_real_answer() -> None:
    running = "process 24352 on desk"
    found = Asking(verb="flatten", request="r", running=running, outcome="journaled", row=62)
    late = Asking(verb="flatten", request="r", running=running, outcome="waiting")

    assert _words(found) == IN_FORCE.strip()
    assert "`NOT YET IN FORCE`" in PAGE
    assert "NOT YET IN FORCE" in _words(late)
