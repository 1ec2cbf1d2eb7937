"""The wire to Kite: what leaves, over which connection, and where the token may travel."""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
import json
import logging
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta
from urllib.parse import parse_qsl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fsm_trader.errors import LoginRequiredError, RefusedError, SetupError, UnavailableError
from fsm_trader.kite.budgets import Budgets, Limits
from fsm_trader.kite.hurry import Hurry
from fsm_trader.kite.standing import REFUSAL_STANDS_FOR, TOKEN_TRIED_EVERY

from .kite_server import Visit, error, raw_reply, reply, say_nothing, serving, success
from .kite_wires import KEY, MANY, NINE, ORDER, TOKEN, virtual_clock, wire_to

PROFILE = success({"user_id": "AB1234"})
ACCEPTED = success({"order_id": "260617000000001"})
DEAD = error(403, "TokenException", "Token is invalid or has expired.")
CANDLES_ASKED = "from=2026-06-17+10%3A00%3A00&to=2026-06-17+10%3A05%3A00&interval=minute&continuous=0&oi=0"
NO_IP = error(400, "PermissionException", "No IPs configured for this app.")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A key and a certificate for 127.0.0.1 that signs itself."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(datetime(2100, 1, 1, tzinfo=dt.UTC))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return folder


def server_side(authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "cert.pem", authority / "key.pem")
    return context


def trusting(authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(authority / "cert.pem")
    return context


def test_an_order_leaves_as_kites_documentation_says():
    with serving(ACCEPTED) as server, closing(wire_to(server.root)) as wire:
        order_id = wire.place(ORDER, is_exit=False)

    [got] = server.got
    assert order_id == "260617000000001"
    assert (got.method, got.path) == ("POST", "/orders/regular")
    assert dict(parse_qsl(got.body)) == {name: str(value) for name, value in ORDER.items()}
    assert got.headers["authorization"] == f"token {KEY}:{TOKEN}"
    assert got.headers["x-kite-version"] == "3"
    assert got.headers["user-agent"] == "Kiteconnect-python/5.2.2"


def test_a_request_token_is_exchanged_once_without_any_token_of_ours():
    given = {"access_token": TOKEN, "login_time": "2026-06-17 08:40:00", "user_id": "AB1234"}
    with serving(success(given)) as server, closing(wire_to(server.root, token=lambda: None)) as wire:
        answer = wire.exchange("rrequest0001", "ssecret0001")

    [got] = server.got
    checksum = hashlib.sha256(f"{KEY}rrequest0001ssecret0001".encode()).hexdigest()
    assert answer["access_token"] == TOKEN
    assert (got.method, got.path) == ("POST", "/session/token")
    assert dict(parse_qsl(got.body)) == {"api_key": KEY, "request_token": "rrequest0001", "checksum": checksum}
    assert "authorization" not in got.headers


def test_a_request_token_that_kite_does_not_take_is_not_shown_and_our_token_stays_alive():
    spent = error(403, "TokenException", "rrequest0001 is invalid or ssecret0001 is.")
    with serving(spent, PROFILE) as server, closing(wire_to(server.root)) as wire:
        with pytest.raises(LoginRequiredError) as refused:
            wire.exchange("rrequest0001", "ssecret0001")
        wire.profile()

    assert "rrequest0001" not in str(refused.value)
    assert "ssecret0001" not in str(refused.value)


def test_each_read_asks_its_own_address():
    ten = datetime(2026, 6, 17, 4, 30, tzinfo=dt.UTC)
    with serving(success({"any": 1})) as server, closing(wire_to(server.root)) as wire:
        wire.profile()
        wire.positions()
        wire.quote(["NSE:NIFTY 50", 256265])
        wire.historical(256265, ten, ten + timedelta(minutes=5), "minute")
        server.now_answers(success([]))
        wire.orders()
        wire.trades()
        server.now_answers(reply(200, "instrument_token\n1\n", "text/csv"))
        dump = wire.instruments("NFO")
        server.now_answers(success({"order_id": "5"}))
        wire.cancel("5")

    assert [f"{got.method} {got.path}" for got in server.got] == [
        "GET /user/profile",
        "GET /portfolio/positions",
        "GET /quote?i=NSE%3ANIFTY+50&i=256265",
        f"GET /instruments/historical/256265/minute?{CANDLES_ASKED}",
        "GET /orders",
        "GET /trades",
        "GET /instruments/NFO",
        "DELETE /orders/regular/5",
    ]
    assert dump == b"instrument_token\n1\n"


def test_answers_are_handed_on_as_they_were():
    row = {"order_timestamp": "2026-06-17 09:30:00", "quantity": 65}
    with serving(success([row])) as server, closing(wire_to(server.root)) as wire:
        assert wire.orders() == [row]
        assert wire.trades() == [row]
        server.now_answers(success({"candles": [["2026-06-17T09:15:00+0530", 1, 2, 3, 4, 5]]}))
        assert wire.historical(1, NINE, NINE, "minute") == {"candles": [["2026-06-17T09:15:00+0530", 1, 2, 3, 4, 5]]}


@pytest.mark.parametrize("read", ["orders", "trades", "positions", "profile"])
def test_an_answer_of_another_kind_is_no_answer(read):
    with (
        serving(success("text")) as server,
        closing(wire_to(server.root)) as wire,
        pytest.raises(UnavailableError, match="a str where a"),
    ):
        getattr(wire, read)()


def test_one_connection_serves_one_call_after_the_other():
    with serving(PROFILE) as server, closing(wire_to(server.root)) as wire:
        for _ in range(5):
            wire.profile()

    assert server.connections == 1


def test_reads_do_not_use_the_connection_of_orders():
    def read():
        with pytest.raises(UnavailableError):
            wire.positions()

    timeout = timedelta(seconds=0.5)
    with serving(ACCEPTED, say_nothing, ACCEPTED) as server, closing(wire_to(server.root, timeout=timeout)) as wire:
        wire.place(ORDER, is_exit=True)
        reader = threading.Thread(target=read)
        reader.start()
        server.wait_for(2)
        wire.place(ORDER, is_exit=True)
        reader.join()

    assert [(got.path, got.connection) for got in server.got] == [
        ("/orders/regular", 1),
        ("/portfolio/positions", 2),
        ("/orders/regular", 1),
    ]


def test_a_connection_that_the_server_has_closed_is_not_used_for_an_order():
    body = json.dumps({"status": "success", "data": {"order_id": "1"}}).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with serving(raw_reply(head + body, keep=False), ACCEPTED) as server, closing(wire_to(server.root)) as wire:
        wire.place(ORDER, is_exit=True)
        server.wait_for_closed(1)

        assert wire.place(ORDER, is_exit=True) == "260617000000001"

    assert server.connections == 2


def test_an_idle_order_connection_is_kept_warm_and_then_used():
    with serving(PROFILE) as server, closing(wire_to(server.root, warm_after=timedelta(milliseconds=1))) as wire:
        server.wait_for(1)
        for thread in threading.enumerate():
            if thread.name == "kite-warmer":
                thread.join()
        server.now_answers(ACCEPTED)
        wire.place(ORDER, is_exit=True)

    assert [(got.path, got.connection) for got in server.got[:2]] == [("/user/profile", 1), ("/orders/regular", 1)]


def test_warming_without_a_token_sends_nothing():
    asked = threading.Event()

    def no_token():
        asked.set()

    with serving(PROFILE) as server:
        with closing(wire_to(server.root, token=no_token, warm_after=timedelta(milliseconds=1))):
            assert asked.wait(5)
        assert server.got == []


def test_many_threads_get_their_own_answers():
    def echo(visit: Visit) -> bool:
        return success({"path": visit.got.path})(visit)

    with serving(echo) as server, closing(wire_to(server.root)) as wire, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: (n, wire.quote([n])["path"]), range(160)))

    assert answers == [(n, f"/quote?i={n}") for n in range(160)]
    assert server.connections <= 8 + 4


def test_a_redirect_is_not_followed():
    with serving(reply(302, "", "text/html", "Location: http://127.0.0.1:1/"), PROFILE) as server:
        with closing(wire_to(server.root)) as wire, pytest.raises(UnavailableError):
            wire.profile()
        assert len(server.got) == 1


def test_cookies_are_not_kept():
    with serving(reply(200, '{"status": "success", "data": {}}', "application/json", "Set-Cookie: a=b")) as server:
        with closing(wire_to(server.root)) as wire:
            wire.profile()
            wire.profile()
        assert "cookie" not in server.got[1].headers


def test_the_environment_has_no_say(monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with serving(PROFILE) as server, closing(wire_to(server.root)) as wire:
        wire.profile()

    assert server.got[0].headers["authorization"] == f"token {KEY}:{TOKEN}"


def test_a_known_authority_is_trusted(authority):
    with (
        serving(ACCEPTED, tls=server_side(authority)) as server,
        closing(wire_to(server.root, trust=trusting(authority))) as wire,
    ):
        assert wire.place(ORDER, is_exit=True)


def test_the_authorities_are_not_read_anew_for_each_connection(authority, monkeypatch):
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 36\r\n\r\n"
    once = raw_reply(head + b'{"status":"success","data":{"a": 1}}', keep=False)
    with (
        serving(once, tls=server_side(authority)) as server,
        closing(wire_to(server.root, trust=trusting(authority))) as wire,
    ):
        read = []
        monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", lambda *_args, **_given: read.append(1))
        for number in range(1, 4):
            wire.profile()
            server.wait_for_closed(number)

    assert server.connections == 3
    assert read == []


def test_an_unknown_authority_is_not_and_nothing_leaves(authority, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority / "cert.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "cert.pem"))
    with serving(ACCEPTED, tls=server_side(authority)) as server:
        with closing(wire_to(server.root)) as wire, pytest.raises(RefusedError) as refused:
            wire.place(ORDER, is_exit=True)
        assert server.got == []
    assert refused.value.may_pass


def test_a_certificate_for_another_name_is_not_trusted(authority):
    with serving(ACCEPTED, tls=server_side(authority)) as server:
        root = server.root.replace("127.0.0.1", "localhost")
        with closing(wire_to(root, trust=trusting(authority))) as wire, pytest.raises(RefusedError):
            wire.place(ORDER, is_exit=True)
        assert server.got == []


def test_a_context_that_does_not_verify_is_refused():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    with pytest.raises(ValueError, match="does not verify"):
        wire_to(None, trust=context)


@pytest.mark.parametrize(
    "root",
    [
        "http://api.kite.trade",
        "http://192.168.1.5:8080",
        "ftp://127.0.0.1",
        "https://",
        "127.0.0.1:80",
        "https://a:b@api.kite.trade",
        "https://api.kite.trade/v3",
        "https://api.kite.trade?x=1",
        "http://127.0.0.1:99999",
        "http://localhost.example.com",
    ],
)
def test_an_address_that_is_not_safe_is_refused(root):
    with pytest.raises(SetupError) as refused:
        wire_to(root)
    assert "a:b" not in str(refused.value)


@pytest.mark.parametrize(
    "root", [None, "https://api.kite.trade", "https://api.kite.trade/", "http://localhost:1", "http://[::1]:1"]
)
def test_a_safe_address_is_taken(root):
    wire_to(root).close()


def test_without_a_token_nothing_is_sent():
    with serving(PROFILE) as server:
        with closing(wire_to(server.root, token=lambda: None)) as wire:
            with pytest.raises(LoginRequiredError):
                wire.profile()
            with pytest.raises(RefusedError, match="a person must log in") as refused:
                wire.place(ORDER, is_exit=True)
        assert server.got == []
    assert not refused.value.may_pass


def test_a_dead_token_is_not_tried_by_every_read_but_by_every_exit():
    clock = virtual_clock()
    with serving(DEAD) as server, closing(wire_to(server.root, clock)) as wire:
        for _ in range(5):
            with pytest.raises(LoginRequiredError):
                wire.orders()
        with pytest.raises(RefusedError):
            wire.place(ORDER, is_exit=False)
        assert len(server.got) == 1
        for _ in range(2):
            with pytest.raises(RefusedError):
                wire.place(ORDER, is_exit=True)
        assert len(server.got) == 3

        clock.sleep(TOKEN_TRIED_EVERY.total_seconds())
        server.now_answers(PROFILE)
        wire.profile()
        wire.profile()


def test_a_new_token_is_used_at_once():
    tokens = [TOKEN]
    with serving(DEAD) as server, closing(wire_to(server.root, token=lambda: tokens[-1])) as wire:
        with pytest.raises(LoginRequiredError):
            wire.profile()
        tokens.append("ttoken0003")
        server.now_answers(PROFILE)
        wire.profile()

    assert server.got[-1].headers["authorization"].endswith(":ttoken0003")


def test_a_refusal_by_address_stands_until_an_order_is_taken_or_time_has_passed():
    clock = virtual_clock()
    with serving(NO_IP) as server, closing(wire_to(server.root, clock)) as wire:
        before = wire.standing_refusal
        with pytest.raises(RefusedError) as refused:
            wire.place(ORDER, is_exit=True)
        during = wire.standing_refusal
        with pytest.raises(RefusedError, match="nothing was sent"):
            wire.place(ORDER, is_exit=False)
        assert len(server.got) == 1
        server.now_answers(ACCEPTED)
        wire.place(ORDER, is_exit=True)
        after = wire.standing_refusal
        server.now_answers(NO_IP)
        with pytest.raises(RefusedError):
            wire.place(ORDER, is_exit=True)
        clock.sleep(REFUSAL_STANDS_FOR.total_seconds())
        later = wire.standing_refusal

    assert not refused.value.may_pass
    assert "register its IP" in during
    assert (before, after, later) == ("", "", "")


def test_a_429_pauses_reads_and_leaves_exits_nearly_free():
    clock = virtual_clock()
    start = clock.now()
    busy = error(429, "NetworkException", "Too many requests", "Retry-After: 3")
    with serving(busy, PROFILE, ACCEPTED) as server, closing(wire_to(server.root, clock)) as wire:
        with pytest.raises(UnavailableError):
            wire.profile()
        wire_free_at = clock.now()
        server.now_answers(ACCEPTED)
        wire.place(ORDER, is_exit=True)
        assert clock.now() == wire_free_at == start
        server.now_answers(PROFILE)
        wire.profile()

    assert clock.now() - start == timedelta(seconds=2)


def test_a_429_to_an_order_request_keeps_the_order_book_in_sight():
    clock = virtual_clock()
    busy = error(429, "NetworkException", "Too many requests", "Retry-After: 3")
    with serving(busy, success([])) as server, closing(wire_to(server.root, clock)) as wire:
        with pytest.raises(RefusedError) as refused:
            wire.place(ORDER, is_exit=True)
        assert wire.orders() == []

    assert refused.value.may_pass
    assert clock.now() == NINE


def test_spent_requests_stop_entries_also_where_they_come_with_a_429():
    spent = error(429, "NetworkException", "Maximum allowed order requests exceeded.")
    with serving(spent) as server, closing(wire_to(server.root)) as wire:
        with pytest.raises(RefusedError) as refused:
            wire.place(ORDER, is_exit=True)
        with pytest.raises(RefusedError, match="every order is refused"):
            wire.place(ORDER, is_exit=False)
        assert len(server.got) == 1

    assert not refused.value.may_pass


def standing(visit: Visit) -> bool:
    return success({"net": []} if visit.got.path == "/portfolio/positions" else [visit.got.path])(visit)


def test_a_glance_reads_the_orders_before_trades_and_positions():
    with serving(standing) as server, closing(wire_to(server.root)) as wire:
        answers = wire.glance(timedelta(seconds=5))
        first, *others = [got.path for got in server.got]

    assert answers == (["/orders"], ["/trades"], {"net": []})
    assert first == "/orders"
    assert sorted(others) == ["/portfolio/positions", "/trades"]


@pytest.mark.parametrize("silent", ["/orders", "/trades", "/portfolio/positions"])
def test_a_glance_is_over_in_time_whichever_read_has_no_answer(silent):
    def step(visit: Visit) -> bool:
        return (say_nothing if visit.got.path == silent else standing)(visit)

    with serving(step) as server, closing(wire_to(server.root, timeout=timedelta(seconds=5))) as wire:
        began_s = time.monotonic()
        with pytest.raises(UnavailableError):
            wire.glance(timedelta(seconds=0.2))
        took_s = time.monotonic() - began_s

    assert 0.2 <= took_s < 2


def test_a_glance_is_over_in_time_while_a_name_is_being_looked_up(monkeypatch):
    is_over = threading.Event()

    def hang(*_args, **_kwargs):
        is_over.wait(10)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    with closing(wire_to("https://kite.invalid")) as wire:
        began_s = time.monotonic()
        with pytest.raises(UnavailableError, match=r"within 0\.2 s"):
            wire.glance(timedelta(seconds=0.2))
        took_s = time.monotonic() - began_s
        is_over.set()
        join_hurried()

    assert took_s < 2


def join_hurried() -> None:
    for thread in threading.enumerate():
        if thread.name == "kite-hurry":
            thread.join(10)
            assert not thread.is_alive()


def test_a_glance_that_its_budget_holds_up_for_too_long_sends_nothing():
    clock = virtual_clock()
    budgets = Budgets(clock, MANY)
    budgets.too_many("other")
    with serving(standing) as server, closing(wire_to(server.root, clock, budgets=budgets)) as wire:
        with pytest.raises(UnavailableError, match="budget"):
            wire.glance(timedelta(seconds=0.5))
        assert server.got == []


def test_a_glance_without_a_token_asks_for_a_person_and_sends_nothing():
    with serving(standing) as server:
        with closing(wire_to(server.root, token=lambda: None)) as wire, pytest.raises(LoginRequiredError):
            wire.glance(timedelta(seconds=1))
        assert server.got == []


def test_a_glance_tries_a_token_that_was_refused_a_moment_ago_and_other_reads_do_not():
    with serving(DEAD, standing) as server, closing(wire_to(server.root)) as wire:
        for _ in range(2):
            with pytest.raises(LoginRequiredError):
                wire.orders()
        assert [got.path for got in server.got] == ["/orders"]

        assert wire.glance(timedelta(seconds=5))[0] == ["/orders"]


def test_calls_in_a_hurry_that_never_end_do_not_pile_up():
    hurry, is_over = Hurry(), threading.Event()
    answers = [hurry.start("quotes", lambda: is_over.wait(10)) for _ in range(12)]
    with pytest.raises(UnavailableError, match="12 calls"):
        hurry.start("quotes", is_over.wait)
    is_over.set()
    join_hurried()

    assert all(answer.result(0) for answer in answers)
    assert hurry.start("quotes", lambda: "again").result(10) == "again"
    join_hurried()


def test_a_quote_in_a_hurry_is_a_quote():
    with serving(success({"NFO:X": {}})) as server, closing(wire_to(server.root)) as wire:
        assert wire.quote(["NFO:X"], within=timedelta(seconds=5)) == {"NFO:X": {}}


def test_entries_stop_before_the_budget_of_exits_is_touched():
    clock = virtual_clock()
    limits = Limits(orders_per_second=4, kept_per_second=2)
    with serving(ACCEPTED) as server, closing(wire_to(server.root, clock, budgets=Budgets(clock, limits))) as wire:
        wire.place(ORDER, is_exit=False)
        wire.place(ORDER, is_exit=False)
        with pytest.raises(RefusedError) as refused:
            wire.place(ORDER, is_exit=False)
        wire.place(ORDER, is_exit=True)
        wire.cancel("1")
        assert len(server.got) == 4
    assert refused.value.may_pass


def test_nothing_of_the_key_or_token_is_in_logs_or_reprs(caplog):
    caplog.set_level(logging.DEBUG)
    with serving(PROFILE, ACCEPTED, DEAD) as server, closing(wire_to(server.root)) as wire:
        wire.profile()
        wire.place(ORDER, is_exit=True)
        with pytest.raises(LoginRequiredError):
            wire.orders()
        shown = repr(wire) + repr(vars(wire))

    assert "urllib3" in {record.name.partition(".")[0] for record in caplog.records}
    for secret in (KEY, TOKEN):
        assert secret not in caplog.text
        assert secret not in shown


def test_the_client_is_loaded_without_its_websocket_framework():
    program = """
import sys
from fsm_trader.kite.line import load_client
load_client()
assert "twisted" not in sys.modules and "autobahn" not in sys.modules, "Twisted was imported"
from kiteconnect import KiteConnect, KiteTicker, exceptions
assert issubclass(load_client(), KiteConnect) and hasattr(KiteTicker, "connect")
assert sys.modules["kiteconnect.connect"].ex is exceptions
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr


def test_closing_ends_every_thread_and_connection():
    with serving(PROFILE) as server:
        wire = wire_to(server.root, budgets=Budgets(virtual_clock(), MANY))
        wire.profile()
        wire.close()
        server.wait_for_closed(1)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("kite-")]
