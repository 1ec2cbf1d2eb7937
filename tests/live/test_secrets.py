"""A live session with faults, everything at DEBUG: no key, secret or token is in any file, or in anything it says."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator

import pytest

from .conftest import API_KEY, API_SECRET, Desk
from .nursery import Nursery

FALLS = {"09:15": 100, "09:20": 75}
AGAIN = dict.fromkeys(("09:16", "09:17", "09:18"), "BUY")


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


def log_in(desk: Desk, monkeypatch: pytest.MonkeyPatch, sandbox) -> None:
    request_token = sandbox.request_token()
    checksum = hashlib.sha256(f"{API_KEY}{request_token}{API_SECRET}".encode()).hexdigest()
    desk.secrets += [request_token, checksum]
    assert desk.do(monkeypatch, "login", "--request-token", request_token) == 0


def test_no_secret_is_in_any_file_or_word_of_a_session_with_faults_at_debug(
    desk: Desk, nursery: Nursery, monkeypatch, capsys, caplog
):
    caplog.set_level(logging.DEBUG)
    desk.write(prices=FALLS, says=AGAIN, square_off="09:40")
    sandbox = desk.serve(
        '{kind: token_death, from: "09:18:50"}',
        "{kind: reset_after, call: place, times: 1}",
        "{kind: malformed, call: [profile, orders, positions], chance: 20%, from: '09:17'}",
        '{kind: html_error, call: quote, status: 502, times: 2, message: "token and api_key"}',
        "{kind: http_error, call: trades, status: 403, error_type: PermissionException, times: 1}",
        '{kind: closed_stream, from: "09:17:40", until: "09:18:10"}',
        logs_in=True,
        market__feed="stream",
        risk__max_trades_per_day=1,
        log__level="DEBUG",
    )
    nursery.begin(desk, is_loud=True, until=("PENDING_EXIT -> CLOSED",))
    desk.wait_for_row("SELECT 1 FROM transitions WHERE dest = 'LOGIN_REQUIRED'")
    log_in(desk, monkeypatch, sandbox)
    desk.wait_for_row("SELECT 1 FROM transitions WHERE dest = 'ACTIVE'")
    desk.wait_for_row("SELECT 1 FROM events WHERE kind = 'order_answered' AND body LIKE '%log in%'")
    log_in(desk, monkeypatch, sandbox)

    code = nursery.ended(desk)

    asked = [
        desk.do(monkeypatch, "status"),
        desk.do(monkeypatch, "status", "--json"),
        desk.do(monkeypatch, "check"),
        main_of_journal(desk, "list"),
        main_of_journal(desk, "export", "-o", str(desk.folder / "rows.jsonl")),
    ]
    out, err = capsys.readouterr()
    desk.said += [out, err, caplog.text]
    assert (code, asked) == (0, [0] * 5)
    # What is searched is there, and speaks.
    said = desk.said[0]
    assert "DEBUG:urllib3.connectionpool:" in said
    assert '"POST /orders/regular' in said
    assert "DEBUG:kiteconnect.connect:Request: POST" in said
    assert "'Authorization': 'token ***'" in said
    assert " DEBUG " in (desk.folder / "var" / "on_sandbox.log").read_text()
    assert "TokenException" in (desk.folder / "rows.jsonl").read_text()
    assert '"POST /session/token' in caplog.text
    assert len(desk.secrets) == 6
    desk.assert_sound()


def main_of_journal(desk: Desk, verb: str, *options: str) -> int:
    from fsm_trader.cli.main import main

    return main(["journal", verb, str(desk.session), *options])
