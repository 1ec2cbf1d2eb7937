"""The policies of the session's definition reach what they are for: the readings and the notices."""

from __future__ import annotations

import logging
from importlib.resources import files

import pytest

from fsm_trader.app import run as app
from fsm_trader.app.files import machines_of, settings_of
from fsm_trader.engine.act import Effects
from fsm_trader.notify.telegram import TelegramNotifier

_SESSION = files("fsm_trader.machines").joinpath("session.yaml").read_text()
_TRADE = files("fsm_trader.machines").joinpath("trade.yaml").read_text()


@pytest.fixture
def own_machine(session_file, edit):
    """Let a copy of a built-in machine run, with a text of it replaced."""

    def write(kind: str, old: str, new: str) -> None:
        text = _SESSION if kind == "session" else _TRADE
        assert text.count(old) == 1
        session_file.with_name(f"my-{kind}.yaml").write_text(text.replace(old, new))
        edit("session.yaml", f"{kind}: builtin", f"{kind}: my-{kind}.yaml")

    return write


def test_readings_are_made_under_the_policies_of_the_sessions_own_file(own_machine, run_day, monkeypatch):
    own_machine("session", "  lookup: {attempts: 2,", "  lookup: {attempts: 4,")
    made: list[Effects] = []
    monkeypatch.setattr(app, "Effects", lambda **parts: made.append(Effects(**parts)) or made[-1])

    outcome = run_day()

    assert outcome.exit_code == 0
    assert made[0]._policies["read_book"].attempts == 4
    assert made[0]._policies["read_price"].attempts == 2


def test_notices_are_tried_under_the_policy_of_the_sessions_own_file(own_machine, session_file, edit, monkeypatch):
    own_machine("session", "  notify: {attempts: 5,", "  notify: {attempts: 2,")
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "123456:a-token-of-this-test")
    monkeypatch.setenv("TELEGRAM_CHAT_ID", "42")
    edit("session.yaml", "# notify: ", "notify: ")
    edit("session.yaml", "#   telegram: {token", '  telegram: {root: "http://127.0.0.1:9", token')
    settings = settings_of(session_file)

    notifier = app._notifier(settings, machines_of(settings)[0])

    (telegram,) = [each for each in notifier._targets if isinstance(each, TelegramNotifier)]
    notifier.close(0.0)
    assert (telegram._rule.attempts, telegram._rule.critical_attempts) == (2, 8)


def test_a_run_says_what_its_machines_deserve_a_second_look_for(own_machine, run_day, caplog):
    own_machine("trade", "conditions: exit_rejected, after: alarm,", "conditions: exit_rejected,")
    caplog.set_level(logging.WARNING, logger="fsm_trader")

    run_day()

    assert "my-trade.yaml:14:5 $.states[3]: PENDING_EXIT raises no alarm on exit_update" in caplog.text
