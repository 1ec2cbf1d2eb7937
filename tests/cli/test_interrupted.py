"""Ctrl-C and SIGTERM at any moment of a run: it ends in order, with the right code and without a traceback."""

from __future__ import annotations

import signal

import pytest

from fsm_trader.app import run as app_run
from fsm_trader.app.stops import StopSignals
from fsm_trader.cli import main as command_line
from fsm_trader.core.events import StopAsked
from fsm_trader.core.records import RunStopped, SignalSeen
from fsm_trader.notify.log import LogNotifier

SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture(autouse=True)
def _leave_the_handlers_as_they_were():
    before = [signal.getsignal(number) for number in SIGNALS]
    yield
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_at_the_start_it_is_kept_until_the_session_can_end_in_order(folder, monkeypatch, number):
    begin = app_run.open_world

    def begin_late(*args, **kwargs):
        signal.raise_signal(number)
        return begin(*args, **kwargs)

    monkeypatch.setattr(app_run, "open_world", begin_late)

    said = folder.run()

    assert (said.code, said.err) == (0, "")
    assert folder.entries()[-1].record == RunStopped(0, number.name, ())
    assert folder.rows_of(SignalSeen) == []


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_during_the_closing_notices_it_changes_nothing(folder, monkeypatch, number):
    def close(_self: LogNotifier, timeout_s: float) -> None:
        signal.raise_signal(number)

    monkeypatch.setattr(LogNotifier, "close", close)

    said = folder.run()

    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines()[-1] == "2026-06-17: CLOSED, flat. Flat."
    assert folder.entries()[-1].record == RunStopped(0, "flat", ())


def test_a_start_that_hangs_can_be_left_with_a_second_one(folder, monkeypatch):
    def hang(*_args, **_kwargs):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("the second one was not obeyed")

    monkeypatch.setattr(app_run, "open_world", hang)

    said = folder.run()

    assert (said.code, said.out) == (130, "")
    assert said.err == "interrupted; no trader runs that was not running before\n"
    folder.assert_nothing_was_started()


def test_before_a_verb_began_it_is_one_line(folder, monkeypatch):
    def interrupted(_name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command_line.importlib, "import_module", interrupted)

    said = folder.do("status")

    assert (said.code, said.out) == (130, "")
    assert said.err.count("\n") == 1


def test_what_comes_while_the_loop_listens_is_handed_over_at_once():
    heard: list[StopAsked] = []

    with StopSignals() as stops:
        signal.raise_signal(signal.SIGTERM)
        with stops.heard_by(heard.append):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    assert heard == [StopAsked("SIGTERM"), StopAsked("SIGINT")]
