"""A whole day told over real HTTP: every kind of message arrives, in order, and none can hold the day up."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

_TOKEN = "123456:a-token-of-this-test"  # noqa: S105 - made up here and sent to loopback only


class _Telegram(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.texts: list[str] = []
        self.release = threading.Event()
        self.hangs = False


class _Handler(BaseHTTPRequestHandler):
    server: _Telegram

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.hangs:
            self.server.release.wait(30)
        self.server.texts.append(body["text"])
        answer = b'{"ok": true}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_args: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def telegram() -> Iterator[_Telegram]:
    server = _Telegram()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.release.set()
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.fixture
def configured(telegram, edit, monkeypatch):
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", _TOKEN)
    monkeypatch.setenv("TELEGRAM_CHAT_ID", "42")
    root = f"http://127.0.0.1:{telegram.server_port}"
    edit("session.yaml", "# notify: ", "notify: ")
    edit(
        "session.yaml",
        '#   telegram: {token: "${TELEGRAM_BOT_TOKEN}"',
        f'  telegram: {{root: "{root}", token: "${{TELEGRAM_BOT_TOKEN}}"',
    )
    return telegram


def test_a_day_tells_each_trade_from_signal_to_summary(configured, run_day):
    outcome = run_day()

    texts = configured.texts
    first = outcome.ledger.session_trades[0]
    openings = [text.split("\n")[0] for text in texts]
    order = [
        next(place for place, text in enumerate(openings) if text.startswith(start))
        for start in (
            "BUY signal: donchian_ce",
            f"Entry order placed: {first.trade_id}",
            f"Entry filled: {first.trade_id}",
            f"Exit order placed: {first.trade_id}",
            f"Trade closed: {first.trade_id}",
        )
    ]
    assert outcome.exit_code == 0
    assert order == sorted(order)
    assert sum(text.startswith("Trade closed") for text in openings) == len(outcome.ledger.session_trades)
    assert any("Stop 151.05, target 245.45" in text for text in texts)
    assert not any(_TOKEN in text for text in texts)


def test_a_telegram_that_hangs_delays_no_trade(configured, session_file, edit, run_day, monkeypatch):
    configured.hangs = True
    edit("session.yaml", 'chat_id: "${TELEGRAM_CHAT_ID}"', 'chat_id: "${TELEGRAM_CHAT_ID}", timeout: 1s')
    monkeypatch.setattr("fsm_trader.app.run._NOTICES_CLOSE_S", 0.1)

    outcome = run_day()

    assert outcome.exit_code == 0
    assert [trade.state for trade in outcome.ledger.session_trades] == ["CLOSED"] * 8
    log = (session_file.parent / "var" / "fsm_trader.log").read_text()
    assert "not delivered before the end" in log
    assert _TOKEN not in log
