"""The Telegram notifier against a real HTTP server on this machine."""

from __future__ import annotations

import json
import logging
import math
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from msgspec.structs import replace

from fsm_trader.core.settings import Secret, TelegramSettings
from fsm_trader.machines.load import builtin_session
from fsm_trader.notify.protocol import Notice
from fsm_trader.notify.telegram import RetryRule, TelegramNotifier, rule_of

TOKEN = "7001:AAE-not_a_real.token"  # noqa: S105 - made up for the tests
QUICK = RetryRule(attempts=3, critical_attempts=6, first_wait_s=0.001, longest_wait_s=0.004)
PATIENCE_S = 10.0

Answering = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    server: TelegramServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.take(self, body)

    def answer(self, status: int, body: Any) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name the base class calls
        pass


class TelegramServer(ThreadingHTTPServer):
    """Answers each request as the next of *plan* says, then always ok; remembers all it was sent."""

    daemon_threads = False  # closing the server waits for its threads

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.plan: list[Answering] = []
        self.paths: list[str] = []
        self.bodies: list[dict[str, str]] = []
        self.arrived = threading.Semaphore(0)
        self.release = threading.Event()

    def take(self, handler: Handler, body: dict[str, str]) -> None:
        self.paths.append(handler.path)
        self.bodies.append(body)
        act = self.plan.pop(0) if self.plan else ok
        self.arrived.release()
        act(handler)

    @property
    def texts(self) -> list[str]:
        return [body["text"] for body in self.bodies]

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent: a client that gave up leaves a broken pipe."""


def ok(handler: Handler) -> None:
    handler.answer(200, {"ok": True, "result": {"message_id": 1}})


def status(code: int, body: Any) -> Answering:
    return lambda handler: handler.answer(code, body)


def hang(handler: Handler) -> None:
    handler.server.release.wait(PATIENCE_S)


def hang_then_ok(handler: Handler) -> None:
    hang(handler)
    ok(handler)


def tell_one_and_close(notifier: TelegramNotifier) -> None:
    notifier.tell(Notice("1", "text"))
    notifier.close(PATIENCE_S)


def redirect(handler: Handler) -> None:
    handler.send_response(302)
    handler.send_header("Location", "/elsewhere")
    handler.end_headers()


def close_connection(handler: Handler) -> None:
    handler.close_connection = True


@pytest.fixture
def server() -> Iterator[TelegramServer]:
    with TelegramServer() as telegram:
        thread = threading.Thread(target=telegram.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield telegram
        telegram.release.set()
        telegram.shutdown()
        thread.join(PATIENCE_S)


@pytest.fixture
def open_notifier(server: TelegramServer) -> Iterator[Callable[..., TelegramNotifier]]:
    opened: list[TelegramNotifier] = []

    def open_one(**changes: Any) -> TelegramNotifier:
        timeout = changes.pop("timeout", timedelta(seconds=PATIENCE_S))
        notifier = TelegramNotifier(settings(server.root, timeout), **{"rule": QUICK, **changes})
        opened.append(notifier)
        return notifier

    yield open_one
    server.release.set()
    for notifier in opened:
        notifier.close(PATIENCE_S)
        notifier._thread.join(PATIENCE_S)
        assert not notifier._thread.is_alive()


def settings(root: str, timeout: timedelta) -> TelegramSettings:
    token, chat_id = Secret(TOKEN, "TELEGRAM_BOT_TOKEN"), Secret("-100500", "TELEGRAM_CHAT_ID")
    return TelegramSettings(root=root, token=token, chat_id=chat_id, timeout=timeout)


def test_notices_arrive_once_each_in_order_in_the_configured_chat(server, open_notifier):
    notifier = open_notifier()

    for number in range(5):
        notifier.tell(Notice(f"{number}-signal", f"text {number}"))
    notifier.close(PATIENCE_S)

    assert server.texts == [f"text {number}" for number in range(5)]
    assert set(server.paths) == {f"/bot{TOKEN}/sendMessage"}
    assert {body["chat_id"] for body in server.bodies} == {"-100500"}


def test_a_key_is_told_once(server, open_notifier):
    notifier = open_notifier()

    for text in ("first", "again"):
        notifier.tell(Notice("7-entry", text))
    notifier.tell(Notice("8-entry", "other"))
    notifier.close(PATIENCE_S)

    assert server.texts == ["first", "other"]


@pytest.mark.parametrize(
    "trouble",
    [status(500, {"ok": False}), status(502, b"<html>bad gateway</html>"), close_connection],
    ids=["HTTP 500", "a gateway's page", "closed connection"],
)
def test_a_passing_failure_is_tried_again_before_the_next_notice(server, open_notifier, trouble):
    server.plan = [trouble, trouble]
    notifier = open_notifier()

    notifier.tell(Notice("1", "first"))
    notifier.tell(Notice("2", "second"))
    notifier.close(PATIENCE_S)

    assert server.texts == ["first", "first", "first", "second"]


def test_a_server_that_hangs_is_left_after_the_timeout_and_asked_again(server, open_notifier):
    server.plan = [hang]
    notifier = open_notifier(timeout=timedelta(milliseconds=50))

    tell_one_and_close(notifier)

    assert server.texts == ["text", "text"]


def test_tell_returns_while_the_server_still_hangs_and_a_full_queue_drops_the_oldest_uncritical(server, open_notifier):
    server.plan = [hang_then_ok]
    notifier = open_notifier()
    notifier.tell(Notice("in hand", "in hand"))
    assert server.arrived.acquire(timeout=PATIENCE_S)

    notifier.tell(Notice("critical", "critical", critical=True))
    for number in range(202):
        notifier.tell(Notice(str(number), f"text {number}"))

    # Every tell is back although the one request the server got is not answered yet.
    assert not server.release.is_set()
    assert server.texts == ["in hand"]
    server.release.set()
    notifier.close(PATIENCE_S)
    told = [text for text in server.texts if "dropped" not in text]
    assert told == ["in hand", "critical", *(f"text {number}" for number in range(3, 202))]
    assert [text for text in server.texts if "dropped" in text] == [
        "3 notices were dropped: Telegram was out of reach or too slow. The journal holds every fact."
    ]


def test_when_all_that_waits_is_critical_the_newest_are_kept(server, open_notifier):
    server.plan = [hang_then_ok]
    notifier = open_notifier()
    notifier.tell(Notice("in hand", "in hand"))
    assert server.arrived.acquire(timeout=PATIENCE_S)

    for number in range(201):
        notifier.tell(Notice(str(number), f"text {number}", critical=True))
    server.release.set()
    notifier.close(PATIENCE_S)

    assert "text 0" not in server.texts
    assert server.texts[-1] == "text 200"


def test_an_answer_429_is_obeyed(server, open_notifier):
    server.plan = [status(429, {"ok": False, "error_code": 429, "parameters": {"retry_after": 17}})]
    waits: list[float] = []
    notifier = open_notifier(wait=lambda seconds: bool(waits.append(seconds)))

    tell_one_and_close(notifier)

    assert waits == [17.0]
    assert server.texts == ["text", "text"]


def test_waits_double_up_to_their_cap_and_an_absurd_retry_after_is_capped(server, open_notifier):
    flood = status(429, {"ok": False, "parameters": {"retry_after": 10**9}})
    odd = status(429, {"ok": False, "parameters": {"retry_after": "soon"}})
    server.plan = [status(500, {}), status(500, {}), status(500, {}), odd, flood]
    waits: list[float] = []
    rule = RetryRule(attempts=6, first_wait_s=1.0, longest_wait_s=3.0, longest_flood_wait_s=120.0)
    notifier = open_notifier(rule=rule, wait=lambda seconds: bool(waits.append(seconds)))

    tell_one_and_close(notifier)

    assert waits == [1.0, 2.0, 3.0, 3.0, 120.0]


@pytest.mark.parametrize(("critical", "requests"), [(False, 3), (True, 6)])
def test_no_request_for_a_notice_begins_after_its_time_and_a_critical_one_has_four_times_as_long(
    server, open_notifier, critical, requests
):
    server.plan = [status(500, {})] * 20
    passed = [0.0]

    def wait(seconds: float) -> bool:
        passed[0] += seconds
        return False

    # Requests begin after 0, 1, 3, 7, 15 and 31 seconds.
    rule = RetryRule(attempts=20, critical_attempts=20, first_wait_s=1.0, within_s=6.0 if not critical else 8.0)
    notifier = open_notifier(rule=rule, wait=wait, elapsed=lambda: passed[0])

    notifier.tell(Notice("1", "text", critical=critical))
    notifier.close(PATIENCE_S)

    assert server.texts.count("text") == requests


def test_the_built_in_policy_is_how_a_notice_is_tried():
    policy = builtin_session().policies["notify"]

    rule = rule_of(policy)

    assert (rule.attempts, rule.critical_attempts, rule.within_s) == (5, 20, 300.0)
    assert [rule.wait_s(attempt, None) for attempt in range(1, 8)] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0]
    assert rule_of(replace(policy, within=None)).within_s == math.inf


@pytest.mark.parametrize("change", [{"attempts": 1}, {"on": ("not_done",)}])
def test_a_policy_that_repeats_nothing_sends_a_notice_once(change):
    rule = rule_of(replace(builtin_session().policies["notify"], **change))

    assert (rule.attempts, rule.critical_attempts) == (1, 1)


def test_a_clear_refusal_is_not_tried_again_and_is_logged(server, open_notifier, caplog):
    server.plan = [status(400, {"ok": False, "description": f"Bad Request: chat not found for {TOKEN}"})]
    notifier = open_notifier()

    notifier.tell(Notice("1", "first"))
    notifier.close(PATIENCE_S)

    assert server.texts == ["first"]
    assert "HTTP 400 'Bad Request: chat not found for ***'" in caplog.text
    assert TOKEN not in caplog.text


def test_a_redirect_is_not_followed(server, open_notifier):
    server.plan = [redirect]
    notifier = open_notifier()

    tell_one_and_close(notifier)

    assert server.paths == [f"/bot{TOKEN}/sendMessage"]


def test_attempts_end_and_the_loss_is_told_once_telegram_is_back(server, open_notifier, caplog):
    server.plan = [status(500, {})] * QUICK.attempts
    notifier = open_notifier()

    notifier.tell(Notice("1", "lost"))
    notifier.tell(Notice("2", "arrives"))
    notifier.close(PATIENCE_S)

    assert server.texts[:4] == ["lost", "lost", "lost", "arrives"]
    assert server.texts[4].startswith("1 notice was dropped")
    assert len(server.texts) == 5
    assert "notice 1: HTTP 500 ''; given up after request 3" in caplog.text


def test_a_critical_notice_is_tried_longer(server, open_notifier):
    server.plan = [status(500, {})] * (QUICK.critical_attempts - 1)
    notifier = open_notifier()

    notifier.tell(Notice("1", "position at risk", critical=True))
    notifier.close(PATIENCE_S)

    assert server.texts == ["position at risk"] * QUICK.critical_attempts


def test_close_is_bounded_while_the_server_hangs_and_says_what_is_left(server, open_notifier, caplog):
    server.plan = [hang]
    notifier = open_notifier()
    for number in range(3):
        notifier.tell(Notice(str(number), f"text {number}"))
    assert server.arrived.acquire(timeout=PATIENCE_S)

    notifier.close(0.02)

    assert not server.release.is_set()
    assert "3 notices were not delivered before the end" in caplog.text


def test_close_ends_a_long_wait_between_attempts(server, open_notifier):
    server.plan = [status(429, {"ok": False, "parameters": {"retry_after": 250}})]
    notifier = open_notifier()
    notifier.tell(Notice("1", "text"))
    assert server.arrived.acquire(timeout=PATIENCE_S)

    notifier.close(0.02)

    notifier._thread.join(PATIENCE_S)
    assert not notifier._thread.is_alive()
    assert server.texts == ["text"]


def test_closing_an_idle_notifier_says_nothing_and_ends_its_thread(open_notifier, caplog):
    notifier = open_notifier()

    notifier.close(PATIENCE_S)
    notifier.close(PATIENCE_S)

    assert not notifier._thread.is_alive()
    assert caplog.text == ""


def test_a_notice_after_the_end_is_not_sent_but_logged(server, open_notifier, caplog):
    notifier = open_notifier()
    notifier.close(PATIENCE_S)

    notifier.tell(Notice("late", "text"))

    assert server.texts == []
    assert "notice late came after the end" in caplog.text


def test_the_token_shows_in_no_log_not_even_the_http_librarys_own(server, open_notifier, caplog):
    caplog.set_level(logging.DEBUG)
    server.plan = [status(500, {"description": TOKEN}), close_connection]
    notifier = open_notifier()
    tell_one_and_close(notifier)

    assert "sendMessage" in caplog.text  # the library did log its URL: the mask was tried
    assert TOKEN not in caplog.text
    assert TOKEN not in repr(notifier)


def test_a_refused_connection_is_named_without_the_address(caplog):
    with TelegramServer() as gone:
        root = gone.root
    notifier = TelegramNotifier(settings(root, timedelta(seconds=PATIENCE_S)), rule=QUICK)

    tell_one_and_close(notifier)

    assert "ConnectionError (Connection refused)" in caplog.text
    assert "1 notice was not delivered before the end" in caplog.text
    assert TOKEN not in caplog.text
    assert "bot" not in caplog.text


def test_a_proxy_of_the_environment_never_sees_a_message(server, open_notifier, monkeypatch):
    with TelegramServer() as gone:
        monkeypatch.setenv("http_proxy", gone.root)
        monkeypatch.setenv("HTTP_PROXY", gone.root)
    notifier = open_notifier()

    tell_one_and_close(notifier)

    assert server.texts == ["text"]


@pytest.mark.parametrize(("text", "units"), [("a" * 5000, 4002), ("a" + "\U0001f4c8" * 3000, 4001), ("short", 5)])
def test_a_long_text_is_cut_to_what_telegram_takes(server, open_notifier, text, units):
    notifier = open_notifier()

    notifier.tell(Notice("1", text))
    notifier.close(PATIENCE_S)

    (sent,) = server.texts
    assert len(sent.encode("utf-16-le")) // 2 == units
    assert text.startswith(sent.removesuffix(" …"))


@pytest.mark.parametrize(
    "body",
    [b"", b"not json", b'{"x":' + b"[" * 60_000, b'{"ok": "yes"}', b"x" * 200_000],
    ids=["nothing", "no JSON", "deep", "wrong type", "long"],
)
def test_an_answer_that_is_not_telegrams_does_not_stop_the_thread(server, open_notifier, body):
    server.plan = [status(500, body)]
    notifier = open_notifier()

    tell_one_and_close(notifier)

    assert server.texts == ["text", "text"]


def drip(first: bytes) -> Answering:
    """Answer *first*, and then a byte at a time for as long as anybody listens."""

    def act(handler: Handler) -> None:
        handler.wfile.write(first)
        handler.close_connection = True
        # Nobody releases it before the end: it only paces the drops.
        while not handler.server.release.wait(0.02):
            handler.wfile.write(b"x")
            handler.wfile.flush()

    return act


def test_a_server_that_drips_bytes_is_cut_off_and_asked_again(server, open_notifier, caplog):
    server.plan = [drip(b"")]
    notifier = open_notifier(timeout=timedelta(milliseconds=200))

    tell_one_and_close(notifier)

    assert server.texts == ["text", "text"]
    assert "no whole answer within 0.4 s; request 1 of 3" in caplog.text
    assert "not delivered" not in caplog.text


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nX-Slow: ", id="headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{", id="body"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n{", id="body without end"),
    ],
)
def test_an_answer_that_drips_after_its_status_is_cut_off_and_the_status_counts(server, open_notifier, caplog, first):
    server.plan = [drip(first)]
    notifier = open_notifier(timeout=timedelta(milliseconds=200))

    notifier.tell(Notice("1", "text"))
    notifier.tell(Notice("2", "next"))
    notifier.close(PATIENCE_S)

    assert server.texts == ["text", "next"]
    assert caplog.text == ""


class Defective(RetryRule, frozen=True, kw_only=True):
    """Stands for a defect of a kind nobody foresaw, in the middle of a delivery."""

    def wait_s(self, attempt: int, retry_after_s: float | None) -> float:
        raise RuntimeError(TOKEN)


def test_a_defect_costs_one_notice_and_is_said(server, open_notifier, caplog):
    server.plan = [status(500, {})]
    notifier = open_notifier(rule=Defective(attempts=3))

    notifier.tell(Notice("1", "lost"))
    notifier.tell(Notice("2", "next"))
    notifier.close(PATIENCE_S)

    assert server.texts[:2] == ["lost", "next"]
    assert server.texts[2].startswith("1 notice was dropped")
    assert "telegram: notice 1: raised RuntimeError, which nobody foresaw" in caplog.text
    assert TOKEN not in caplog.text
