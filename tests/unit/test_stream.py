"""The stream over a real websocket on this machine: what it asks for, what it passes on, and how it heals."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from websockets.sync.server import ServerConnection

from fsm_trader.errors import SetupError
from fsm_trader.kite.stream import StreamLimits, TickStream
from fsm_trader.kite.ticks import Tick

from . import packets
from .ticker_server import WAIT_S, Heard, Ticker, ticker

KEY, TOKEN = "key-of-the-app", "token-of-the-day"
TICK = Tick(256265, 2_450_000, 1_781_000_000, 1_781_000_000)
TICKS = packets.message(packets.index_full(TICK))
QUICK = StreamLimits(open_s=2, silence_s=0.3, first_tick_s=WAIT_S, first_pause_s=0.02, longest_pause_s=0.05)
PATIENT = StreamLimits(open_s=2, first_pause_s=0.02, longest_pause_s=0.05)


@contextmanager
def followed(
    root: str, limits: StreamLimits = PATIENT, *, token: Callable[[], str | None] = lambda: TOKEN, **more: object
) -> Iterator[tuple[TickStream, Heard]]:
    heard = Heard()
    stream = TickStream(root=root, api_key=KEY, token=token, listener=heard, limits=limits, **more)
    stream.watch([256265])
    stream.start()
    try:
        yield stream, heard
    finally:
        stream.close()
        assert not stream._thread.is_alive()


def idle(connection: ServerConnection, seconds: float) -> None:
    """Listen for so long at most."""
    with suppress(TimeoutError):
        connection.recv(timeout=seconds)


def ticking(connection: ServerConnection) -> None:
    """Answer a subscription with one tick, then only listen."""
    connection.recv(timeout=WAIT_S)
    connection.recv(timeout=WAIT_S)
    connection.send(TICKS)
    connection.recv(timeout=4 * WAIT_S)


def test_it_shows_its_token_subscribes_in_full_mode_and_hands_ticks_on() -> None:
    with ticker(ticking) as server, followed(server.root) as (_, heard):
        assert heard.next("ticks") == ("ticks", [TICK])

    assert server.paths == [f"/?api_key={KEY}&access_token={TOKEN}"]


def test_more_and_fewer_instruments_are_asked_for_at_once() -> None:
    server_script = Ticker([])
    with ticker(server_script.follow) as server, followed(server.root) as (stream, heard):
        heard.next("opened")
        asked = [server_script.asked.get(timeout=WAIT_S) for _ in range(2)]
        stream.watch([256265, 17])
        asked += [server_script.asked.get(timeout=WAIT_S) for _ in range(2)]
        stream.watch([17])
        asked.append(server_script.asked.get(timeout=WAIT_S))

    assert asked == [
        {"a": "subscribe", "v": [256265]},
        {"a": "mode", "v": ["full", [256265]]},
        {"a": "subscribe", "v": [17]},
        {"a": "mode", "v": ["full", [17]]},
        {"a": "unsubscribe", "v": [256265]},
    ]


def test_more_instruments_than_one_connection_takes_are_refused() -> None:
    stream = TickStream(root="wss://localhost", api_key=KEY, token=lambda: TOKEN, listener=Heard())

    with pytest.raises(ValueError, match="3001 instruments"):
        stream.watch(range(3001))

    stream.close()


def test_an_order_update_says_only_that_the_book_is_worth_reading() -> None:
    def script(connection: ServerConnection) -> None:
        connection.send('{"type": "order", "data": {"order_id": "1", "status": "COMPLETE"}}')
        connection.recv(timeout=4 * WAIT_S)

    with ticker(script) as server, followed(server.root) as (_, heard):
        assert heard.next("order", "lost") == ("order", None)


@pytest.mark.parametrize(
    "text", ["", "[1]", "nothing", '"order"', '{"type": "message", "data": "x"}', '{"data": {}}', '{"type": 7}', "null"]
)
def test_a_text_that_says_nothing_to_us_costs_nothing(text: str) -> None:
    def script(connection: ServerConnection) -> None:
        connection.send(text)
        connection.send(TICKS)
        connection.recv(timeout=4 * WAIT_S)

    with ticker(script) as server, followed(server.root) as (_, heard):
        assert heard.next("ticks", "lost", "order") == ("ticks", [TICK])


def test_a_message_in_fragments_is_put_together() -> None:
    def script(connection: ServerConnection) -> None:
        connection.send([TICKS[:3], TICKS[3:11], TICKS[11:]])
        connection.recv(timeout=4 * WAIT_S)

    with ticker(script) as server, followed(server.root) as (_, heard):
        assert heard.next("ticks", "lost") == ("ticks", [TICK])


def test_a_connection_that_breaks_is_made_anew_and_subscribed_anew() -> None:
    def breaking(connection: ServerConnection) -> None:
        connection.recv(timeout=WAIT_S)
        connection.socket.shutdown(socket.SHUT_RDWR)

    with ticker(breaking, ticking) as server, followed(server.root) as (_, heard):
        kinds = [heard.next("opened", "lost", "ticks")[0] for _ in range(4)]

    assert kinds == ["opened", "lost", "opened", "ticks"]
    assert len(server.paths) == 2


def test_silence_is_a_fault_though_the_connection_stands() -> None:
    def silent(connection: ServerConnection) -> None:
        connection.send(TICKS)
        connection.recv(timeout=WAIT_S)
        connection.recv(timeout=WAIT_S)
        connection.recv(timeout=WAIT_S)

    with ticker(silent, ticking) as server, followed(server.root, QUICK) as (_, heard):
        lost = heard.next("lost")
        again = [heard.next("opened", "ticks")[0] for _ in range(2)]

    assert lost == ("lost", ("stream: nothing was heard for 0.3 s; connecting anew", False))
    assert again == ["opened", "ticks"]


def test_heartbeats_keep_a_quiet_connection() -> None:
    def beating(connection: ServerConnection) -> None:
        connection.send(TICKS)
        for _ in range(10):
            connection.send(b"\x00")
            idle(connection, 0.1)
        connection.send(TICKS)
        connection.recv(timeout=4 * WAIT_S)

    with ticker(beating) as server, followed(server.root, QUICK) as (_, heard):
        kinds = [heard.next("ticks", "lost")[0] for _ in range(2)]

    assert kinds == ["ticks", "ticks"]


def test_heartbeats_without_a_tick_are_no_subscription() -> None:
    def beating(connection: ServerConnection) -> None:
        while True:
            connection.send(b"\x00")
            idle(connection, 0.05)

    limits = StreamLimits(open_s=2, silence_s=1, first_tick_s=0.2, first_pause_s=0.02, longest_pause_s=0.05)
    with ticker(beating, ticking) as server, followed(server.root, limits) as (_, heard):
        lost, ticked = heard.next("lost"), heard.next("ticks")

    assert "no tick in the 0.2 s after the subscription" in str(lost[1])
    assert ticked == ("ticks", [TICK])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x00\x02\x00\xb8short", "ends inside packet 1"),
        (bytes(2**20 + 1), "the server's bytes break the protocol"),
    ],
)
def test_a_message_that_cannot_be_trusted_ends_the_connection_and_the_next_one_serves(data: bytes, why: str) -> None:
    def broken(connection: ServerConnection) -> None:
        connection.send(data)
        connection.recv(timeout=WAIT_S)
        connection.recv(timeout=WAIT_S)
        connection.recv(timeout=WAIT_S)

    with ticker(broken, ticking) as server, followed(server.root) as (_, heard):
        lost, ticked = heard.next("lost"), heard.next("ticks")

    assert why in str(lost[1])
    assert ticked == ("ticks", [TICK])


def test_a_refused_token_is_not_shown_again_until_there_is_another() -> None:
    tokens = ["dead-token"]

    with ticker(ticking) as server:
        server.refuse_with = 403
        with followed(server.root, token=lambda: tokens[-1]) as (_, heard):
            first, second, third = (heard.next("lost")[1] for _ in range(3))
            attempts = len(server.paths)
            server.refuse_with = None
            tokens.append(TOKEN)
            ticked = heard.next("ticks")

    assert first == ("stream: the server answered 403: it does not accept the access token", True)
    assert second == third == ("stream: the server refused this access token; a person must log in", True)
    assert attempts == 1
    assert ticked == ("ticks", [TICK])


def test_without_a_token_nothing_is_sent_and_a_login_is_asked_for() -> None:
    with ticker(ticking) as server, followed(server.root, token=lambda: None) as (_, heard):
        lost = heard.next("lost")

    assert lost[1][1] is True
    assert server.paths == []


def test_another_refusal_names_its_number_only() -> None:
    with ticker(ticking) as server:
        server.refuse_with = 502
        with followed(server.root) as (_, heard):
            lost = heard.next("lost")

    assert lost == ("lost", ("stream: the server answered 502; expected 101, a websocket", False))


def test_a_redirect_is_not_followed() -> None:
    with ticker(ticking) as server:
        server.refuse_with = 301
        with followed(server.root) as (_, heard):
            lost = heard.next("lost")
            heard.next("lost")

    assert "answered 301" in str(lost[1])
    assert {path.partition("?")[0] for path in server.paths} == {"/"}


@contextmanager
def raw_server(answer: bytes, *, hangs: bool = False) -> Iterator[str]:
    """Answer every connection with *answer* and close it, or keep it open."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        listening.settimeout(0.1)
        is_over = threading.Event()
        kept: list[socket.socket] = []

        def run() -> None:
            while not is_over.is_set():
                try:
                    accepted, _ = listening.accept()
                except TimeoutError:
                    continue
                kept.append(accepted)
                accepted.settimeout(1)
                accepted.recv(4096)
                accepted.sendall(answer)
                if not hangs:
                    accepted.close()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            is_over.set()
            thread.join()
            for each in kept:
                each.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>gateway</html>",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nhello",
        b"\xff" * 50,
    ],
)
def test_an_answer_that_is_no_handshake_is_a_fault_like_another(answer: bytes) -> None:
    with raw_server(answer) as root, followed(root) as (_, heard):
        lost = heard.next("lost", "opened")

    assert lost[0] == "lost"
    assert lost[1][1] is False


def test_a_server_that_never_answers_is_left_in_time() -> None:
    limits = StreamLimits(open_s=0.2, first_pause_s=0.02, longest_pause_s=0.05)
    with raw_server(b"HTTP/1.1 101 Swi", hangs=True) as root, followed(root, limits) as (_, heard):
        assert heard.next("lost")[1] == ("stream: no answer to the handshake in 0.2 s", False)


def test_closing_does_not_wait_for_a_server_that_never_answers() -> None:
    with raw_server(b"", hangs=True) as root:
        stream = TickStream(root=root, api_key=KEY, token=lambda: TOKEN, listener=Heard())
        stream.start()
        began = time.monotonic()
        stream.close()

    assert time.monotonic() - began < WAIT_S
    assert not stream._thread.is_alive()


def test_nobody_there_is_a_fault_like_another() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]

    with followed(f"ws://127.0.0.1:{port}") as (_, heard):
        lost = heard.next("lost")

    assert f"no connection to 127.0.0.1:{port} (ConnectionRefusedError" in str(lost[1])


def test_a_listener_that_fails_costs_the_connection_and_not_the_stream(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Heard):
        def ticks(self, ticks: object) -> None:
            super().ticks(ticks)
            raise RuntimeError("a defect of ours")

    heard = Failing()
    with ticker(ticking) as server:
        stream = TickStream(root=server.root, api_key=KEY, token=lambda: TOKEN, listener=heard, limits=PATIENT)
        stream.watch([256265])
        stream.start()
        kinds = [heard.next("ticks", "lost")[0] for _ in range(3)]
        stream.close()

    assert kinds == ["ticks", "lost", "ticks"]
    assert "a way nobody planned for" in caplog.text


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO])
def test_neither_key_nor_token_is_ever_told(caplog: pytest.LogCaptureFixture, level: int) -> None:
    caplog.set_level(level)
    caplog.set_level(level, "websockets")

    def telling(connection: ServerConnection) -> None:
        connection.recv(timeout=WAIT_S)
        connection.recv(timeout=WAIT_S)
        connection.send('{"type": "error", "data": "bad token ' + TOKEN + " of " + KEY + '"}')
        connection.close(1008, f"{KEY} {TOKEN}")

    told: list[object] = []
    with ticker(telling) as server, followed(server.root) as (stream, heard):
        told += [heard.next("lost"), repr(stream), repr(stream._address)]
        server.refuse_with = 400
        told.append(heard.next("lost"))
        server.refuse_with = 403
        told.append(heard.next("lost"))

    own = [record.getMessage() for record in caplog.records if record.name.startswith("fsm_trader")]
    assert any("(not shown)" in text for text in own)
    from_client = [r for r in caplog.records if r.name.startswith(("fsm_trader", "websockets.client"))]
    for text in [*map(str, told), *(record.getMessage() for record in from_client)]:
        assert KEY not in text
        assert TOKEN not in text


@pytest.mark.parametrize(
    "root",
    ["ws://example.com", "ws://10.0.0.1:80", "http://127.0.0.1", "wss://", "wss://user@host", "wss://host?a=b", "wss://h:x"],
)  # fmt: skip
def test_an_address_that_would_show_the_token_is_refused(root: str) -> None:
    with pytest.raises(SetupError):
        TickStream(root=root, api_key=KEY, token=lambda: TOKEN, listener=Heard())


def self_signed(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return a server's context with a certificate for *name* and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    names: list[x509.GeneralName] = [x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name)]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2100, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, key_pem = folder / "certificate.pem", folder / "key.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(pem, key_pem)
    return serving, ssl.create_default_context(cafile=str(pem))


@pytest.mark.parametrize(
    ("name", "says", "trusts"),
    [
        ("127.0.0.1", "", True),
        ("127.0.0.1", "no TLS with 127.0.0.1", False),
        ("another.example", "no TLS with 127.0.0.1", True),
    ],
)
def test_a_certificate_must_be_trusted_and_be_that_of_the_host(
    tmp_path: Path, name: str, says: str, *, trusts: bool
) -> None:
    serving, trusting = self_signed(tmp_path, name)
    with ticker(ticking, tls=serving) as server:
        more = {"tls": trusting} if trusts else {}
        with followed(server.root, **more) as (_, heard):
            kind, what = heard.next("ticks", "lost")

    assert kind == ("lost" if says else "ticks")
    assert says in str(what)
    assert len(server.paths) == (0 if says else 1)


def test_a_context_that_does_not_verify_is_refused() -> None:
    loose = ssl.create_default_context()
    loose.check_hostname = False

    with pytest.raises(ValueError, match="does not verify"):
        TickStream(root="wss://localhost", api_key=KEY, token=lambda: TOKEN, listener=Heard(), tls=loose)
