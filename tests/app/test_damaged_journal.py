"""A journal that lost rows is told, and nothing is bought before the broker was asked; false rows are refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from fsm_trader.app.run import Outcome
from fsm_trader.broker.paper.broker import PaperBroker
from fsm_trader.core.records import AlarmRaised, Entry, EntryBlocked, Reconciled, RunStarted, TradeOpened
from fsm_trader.engine import loop
from fsm_trader.errors import UnavailableError
from fsm_trader.journal.anchor import path_of

RunDay = Callable[[], Outcome]
Journal = Callable[[], list[Entry]]


class Killed(BaseException):
    """Ends the run as a kill would: nothing catches it."""


@pytest.fixture
def file(session_file: Path) -> Path:
    return session_file.parent / "var" / "fsm_trader.db"


def run_until(run_day: RunDay, monkeypatch: pytest.MonkeyPatch, after_steps: int) -> None:
    """Run the day for some turns of its loop, and end the process there."""
    drain, turns = loop._drain, iter(range(after_steps))

    def counted(trader, inbox) -> None:
        if next(turns, None) is None:
            raise Killed
        drain(trader, inbox)

    with monkeypatch.context() as patched:
        patched.setattr(loop, "_drain", counted)
        with pytest.raises(Killed):
            run_day()


def unavailable(_broker: PaperBroker) -> NoReturn:
    raise UnavailableError("no usable answer")


def alarms_of_the_newest_start(entries: list[Entry]) -> list[str]:
    start = max(place for place, entry in enumerate(entries) if isinstance(entry.record, RunStarted))
    told = [entry.record for entry in entries[start + 1 :] if isinstance(entry.record, AlarmRaised)]
    return [alarm.text for alarm in told]


@pytest.fixture
def interrupted(run_day: RunDay, monkeypatch: pytest.MonkeyPatch, file: Path) -> Path:
    """A journal of a day that was killed before noon, its anchor beside it, and an older copy of the journal."""
    run_until(run_day, monkeypatch, 150)
    shutil.copyfile(file, file.with_name("older.db"))
    run_until(run_day, monkeypatch, 150)
    return file


def test_a_sound_journal_raises_no_alarm_at_a_start(interrupted, run_day, journal):
    run_day()

    assert alarms_of_the_newest_start(journal()) == []


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda file: shutil.copyfile(file.with_name("older.db"), file), "are gone"),
        (lambda file: path_of(file).unlink(), "there is no anchor"),
        (lambda file: path_of(file).write_text("mud"), "the anchor is damaged"),
    ],
    ids=["an older copy put back", "no anchor", "an unreadable anchor"],
)
def test_damage_is_the_first_thing_told_and_nothing_is_bought_before_the_broker_was_asked(
    interrupted, run_day, journal, harm, words
):
    harm(interrupted)
    known = len(journal())

    outcome = run_day()

    started, alarm, *later = (entry.record for entry in journal()[known:])
    asked = next(place for place, record in enumerate(later) if isinstance(record, Reconciled))
    assert isinstance(started, RunStarted)
    assert words in alarm.text
    assert "No entry is taken until the broker was asked about everything; exits go on." in alarm.text
    # A trade that takes over an order of ours, which the broker told of, is none that was entered.
    assert not [record for record in later[:asked] if isinstance(record, TradeOpened) and not record.adopts]
    assert (outcome.exit_code, outcome.ledger.open_trades) == (0, [])


def test_a_broker_that_does_not_answer_leaves_the_damage_as_the_reason_why_nothing_is_bought(
    interrupted, run_day, journal, monkeypatch
):
    path_of(interrupted).unlink()
    known = len(journal())
    monkeypatch.setattr(PaperBroker, "positions", unavailable)

    run_day()

    reasons = {
        reason
        for entry in journal()[known:]
        if isinstance(entry.record, EntryBlocked)
        for reason in entry.record.reasons
        if "damaged" in reason
    }
    assert not [entry for entry in journal()[known:] if isinstance(entry.record, TradeOpened)]
    (reason,) = reasons
    assert reason.startswith("the journal is damaged and the broker was not asked yet: ")
    assert str(path_of(interrupted)) in reason


def test_a_start_after_the_damage_was_told_tells_it_no_more(interrupted, run_day, journal, monkeypatch):
    path_of(interrupted).unlink()
    run_until(run_day, monkeypatch, 20)

    run_day()

    assert alarms_of_the_newest_start(journal()) == []
