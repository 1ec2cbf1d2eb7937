"""A live session is refused where it would trade what nobody can answer for; nothing is started, and no secret told."""

from __future__ import annotations

import socket
from datetime import date
from types import SimpleNamespace

import pytest

from fsm_trader.app.files import refuse_other_broker, settings_of
from fsm_trader.core.ledger import Ledger
from fsm_trader.core.records import RunStarted
from fsm_trader.errors import SetupError


def go_live(folder, monkeypatch, root="null"):
    for name in ("KITE_API_KEY", "KITE_ACCESS_TOKEN"):
        monkeypatch.setenv(name, "not-a-real-key")
    keys = f'{{root: {root}, api_key: "${{KITE_API_KEY}}", access_token: "${{KITE_ACCESS_TOKEN}}"}}'
    folder.edit("kind: paper\n", f"kind: kite\n  kite: {keys}\n")
    folder.edit("recorded: sample", "recorded: null")


def test_a_sandbox_that_does_not_answer_is_refused_and_real_orders_are_not_the_answer(folder, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setattr("fsm_trader.app.sandbox_time._WITHIN_S", 0.1)
    go_live(folder, monkeypatch, f'"http://127.0.0.1:{port}"')

    said = folder.run()

    assert said.code == 2
    assert f"http://127.0.0.1:{port} $.broker.kite.root: does not answer" in said.err
    assert "start it first" in said.err
    assert "not-a-real-key" not in said.err
    folder.assert_nothing_was_started()


@pytest.mark.parametrize("verb", ["check", "run"])
def test_real_orders_on_a_day_the_calendar_does_not_know_are_refused(folder, monkeypatch, verb):
    monkeypatch.setattr("fsm_trader.app.files.live_day", lambda _settings: date(2031, 5, 6))
    go_live(folder, monkeypatch)

    said = folder.do(verb)

    assert said.code == 2
    assert "$.session.calendar: 2031-05-06 is outside the calendar" in said.err
    assert "session.calendar_file" in said.err
    folder.assert_nothing_was_started()


def test_real_orders_with_a_calendar_that_trades_every_day_are_refused(folder, monkeypatch):
    monkeypatch.setattr("fsm_trader.app.files.live_day", lambda _settings: date(2026, 11, 23))
    go_live(folder, monkeypatch)
    folder.edit("calendar: NSE", "calendar: always")

    said = folder.do("check")

    assert said.code == 2
    assert "$.session.calendar: was always with real orders; expected NSE" in said.err


@pytest.mark.parametrize(("root", "stream"), [("null", "ws://127.0.0.1:1"), ('"http://127.0.0.1:1"', "null")])
def test_prices_of_a_sandbox_with_real_orders_and_the_other_way_round_are_refused(folder, monkeypatch, root, stream):
    monkeypatch.setattr("fsm_trader.app.files.live_day", lambda _settings: date(2026, 11, 23))
    go_live(folder, monkeypatch, root)
    folder.edit("feed: poll", f"feed: stream\n  stream_root: {stream}")

    said = folder.do("check")

    assert said.code == 2
    assert "$.market.stream_root" in said.err
    assert "expected both here or both at Kite" in said.err


@pytest.mark.parametrize("verb", ["check", "run"])
def test_https_on_this_machine_is_refused_and_never_announced_as_live(folder, monkeypatch, verb):
    go_live(folder, monkeypatch, '"https://127.0.0.1:1"')

    said = folder.do(verb)

    assert said.code == 2
    assert "$.broker.kite.root: https://127.0.0.1:1 is https on this machine" in said.err
    assert "LIVE" not in said.out
    folder.assert_nothing_was_started()


def test_a_check_of_a_live_session_says_what_it_would_trade_on(folder, monkeypatch):
    go_live(folder, monkeypatch, '"http://127.0.0.1:1"')

    said = folder.do("check")

    assert said.code == 0
    assert "live: Kite at http://127.0.0.1:1; prices by poll" in said.out


def test_a_journal_with_a_trade_left_open_on_paper_is_refused_by_another_broker(folder, monkeypatch):
    before = Ledger()
    before.last_run = RunStarted("2026-06-17", "0.1.0", "d", {}, 1)
    before.trades = {"20260617-001": SimpleNamespace(trade_id="20260617-001", state="ACTIVE")}

    refuse_other_broker(settings_of(folder.session), before, "")
    with pytest.raises(SetupError) as refused:
        refuse_other_broker(settings_of(folder.session), before, "kite")

    assert "open trades (20260617-001) that were made on paper, and orders would go to kite" in str(refused.value)
