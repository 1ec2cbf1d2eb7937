"""A sandbox's time is found where there is one, and followed through waits, restarts and silence."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from zoneinfo import ZoneInfo

import pytest

from fsm_trader.app import sandbox_time
from fsm_trader.app.sandbox_time import Follower, find_sandbox, read_sandbox_time
from fsm_trader.errors import SetupError

INDIA = ZoneInfo("Asia/Kolkata")
START = datetime(2026, 6, 17, 9, 13, tzinfo=INDIA)
ENOUGH_S = 20.0


class Clock:
    """An HTTP server that says what it is told to say."""

    def __init__(self) -> None:
        self.status = 200
        self.body = b""
        says = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(says.status)
                self.send_header("Content-Length", str(len(says.body)))
                self.end_headers()
                self.wfile.write(says.body)

            def log_message(self, *_words: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.root = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def tell(self, minutes: float, state: str = "running", speed: float = 60.0) -> None:
        now = START + timedelta(minutes=minutes)
        self.body = json.dumps({"data": {"now": now.isoformat(), "speed": speed, "state": state}}).encode()

    def close(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
            self._server.server_close()
            self._thread.join(ENOUGH_S)


@pytest.fixture
def server(monkeypatch) -> Iterator[Clock]:
    monkeypatch.setattr(sandbox_time, "_LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(sandbox_time, "_LOOK_WHILE_WAITING_S", 0.02)
    monkeypatch.setattr(sandbox_time, "_WITHIN_S", 0.1)
    made = Clock()
    yield made
    made.close()


@pytest.fixture
def follow(server):
    made: list[Follower] = []

    def begin(not_before: datetime | None = None) -> Follower:
        made.append(Follower(server.root, read_sandbox_time(server.root), zone=INDIA, not_before=not_before))
        return made[-1]

    yield begin
    for each in made:
        each.close()


def until(seen) -> None:
    end_s = time.monotonic() + ENOUGH_S
    while not seen():
        assert time.monotonic() < end_s
        threading.Event().wait(0.01)


@pytest.mark.parametrize("root", [None, "https://kite.example", "http://kite.example"])
def test_an_address_that_cannot_be_a_sandbox_is_not_asked(root):
    assert find_sandbox(root) is None


@pytest.mark.parametrize("root", ["https://127.0.0.1:1", "https://localhost", "https://[::1]:8923"])
def test_https_on_this_machine_is_neither_a_sandbox_nor_taken_for_real_orders(root):
    with pytest.raises(SetupError, match=r"is https on this machine, where only a sandbox is expected"):
        find_sandbox(root)


def test_a_sandbox_says_its_time(server):
    server.tell(2)

    found = find_sandbox(server.root)

    assert found is not None
    assert (found.now, found.speed, found.state) == (START + timedelta(minutes=2), 60.0, "running")


@pytest.mark.parametrize(("status", "body"), [(404, b"{}"), (200, b"<html>"), (200, b'{"data": {}}'), (200, b"")])
def test_somebody_else_who_answers_on_this_machine_is_refused(server, status, body):
    server.status, server.body = status, body

    with pytest.raises(SetupError, match=r"answers, and not as a sandbox; .* real orders go to Zerodha's own address"):
        find_sandbox(server.root)


def test_where_nobody_answers_the_start_is_refused(server):
    server.close()

    with pytest.raises(SetupError, match=r"does not answer .* expected a sandbox: start it first"):
        find_sandbox(server.root)


def test_what_is_no_http_counts_as_no_answer():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"hello\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(OSError, match="no HTTP"):
            read_sandbox_time(f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread.join(ENOUGH_S)


def test_a_day_that_waits_costs_real_seconds_and_one_that_runs_its_own(server, follow):
    server.tell(0, "waiting")
    follower = follow()
    waiting = follower.clock.speed

    server.tell(1)
    until(lambda: follower.clock.speed == 60.0)

    assert waiting == 1.0
    assert follower.clock.now() >= START + timedelta(minutes=1)


def test_a_sandbox_that_was_set_back_is_waited_for(server, follow):
    server.tell(30)
    follower = follow()
    shown = follower.clock.now()

    server.tell(10)
    until(lambda: follower.clock.followed < START + timedelta(minutes=20))

    assert follower.clock.now() >= shown


def test_while_nobody_tells_the_time_seconds_are_real_ones(server, follow):
    server.tell(5)
    follower = follow()
    assert follower.clock.speed == 60.0

    server.close()

    until(lambda: follower.clock.speed == 1.0)


def test_nothing_before_the_journals_last_row_is_shown(server, follow):
    server.tell(0)
    last = START + timedelta(hours=1)

    assert follow(last).clock.now() == last
