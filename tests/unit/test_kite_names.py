"""Names that are looked up: never waited for longer than said, and what was found before stands in."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import closing
from datetime import timedelta

import pytest

from fsm_trader.errors import RefusedError
from fsm_trader.kite.names import Names

from .kite_server import raw_reply, serving, success
from .kite_wires import ORDER, wire_to

REAL = socket.getaddrinfo
ACCEPTED = success({"order_id": "1"})
BODY = b'{"status": "success", "data": {"order_id": "1"}}'
HEAD = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
ONCE = raw_reply(HEAD.encode() + BODY, keep=False)


class NameServer:
    """Answers as the machine does until it is told to fail or to hang."""

    def __init__(self) -> None:
        self.asked = 0
        self.fails = False
        self.hangs = False
        self.goes_on = threading.Event()

    def __call__(self, *args):
        self.asked += 1
        if self.hangs:
            assert self.goes_on.wait(10)
        if self.fails or self.hangs:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return REAL(*args)


@pytest.fixture
def name_server(monkeypatch):
    served = NameServer()
    monkeypatch.setattr(socket, "getaddrinfo", served)
    yield served
    served.goes_on.set()
    for thread in threading.enumerate():
        if thread.name == "kite-names":
            thread.join(10)
            assert not thread.is_alive()


def test_a_name_server_that_hangs_holds_an_order_no_longer_than_its_time_out_and_nothing_left(name_server):
    name_server.hangs = True
    with closing(wire_to("https://kite.invalid", timeout=timedelta(seconds=0.3))) as wire:
        began_s = time.monotonic()
        with pytest.raises(RefusedError, match="no answer from the name server") as refused:
            wire.place(ORDER, is_exit=True)
        took_s = time.monotonic() - began_s

    assert refused.value.may_pass
    assert 0.3 <= took_s < 1


@pytest.mark.parametrize("trouble", ["hangs", "fails"])
def test_an_order_leaves_for_the_address_of_before_when_its_name_cannot_be_looked_up(name_server, caplog, trouble):
    with serving(ONCE, ACCEPTED) as server:
        root = server.root.replace("127.0.0.1", "localhost")
        with closing(wire_to(root, timeout=timedelta(seconds=5))) as wire:
            wire.cancel("1")
            server.wait_for_closed(1)
            setattr(name_server, trouble, True)
            began_s = time.monotonic()
            order_id = wire.place(ORDER, is_exit=True)
            took_s = time.monotonic() - began_s
            connections = server.connections

    assert (order_id, connections, name_server.asked) == ("1", 2, 2)
    assert took_s < 2
    assert "its addresses of before are used" in caplog.text


def test_a_name_is_looked_up_once_at_a_time(name_server):
    name_server.hangs = True
    names = Names()
    for _ in range(3):
        with pytest.raises(socket.gaierror):
            names.connect("kite.invalid", 443, 0.05, ())

    assert name_server.asked == 1


def test_an_address_that_does_not_answer_leaves_time_for_the_next(monkeypatch):
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as deaf,
        closing(socket.create_server(("127.0.0.1", 0))) as good,
    ):
        deaf.listen(0)
        row = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        found = [(*row, deaf.getsockname()), (*row, good.getsockname())]
        # A queue of nought takes one; who comes after it hears nothing.
        with closing(socket.create_connection(deaf.getsockname())):
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_args: found)
            with closing(Names().connect("kite.invalid", 443, 1.0, ())) as connection:
                reached = connection.getpeername()

    assert reached == found[1][4]


def test_no_address_that_answers_is_an_error_in_time(monkeypatch):
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        address = listener.getsockname()
    row = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args: [row, row])

    with pytest.raises(ConnectionRefusedError):
        Names().connect("kite.invalid", 443, 1.0, ())


def test_a_text_that_is_no_name_is_not_found():
    with pytest.raises(socket.gaierror):
        Names().connect("a" * 300, 443, 5.0, ())
