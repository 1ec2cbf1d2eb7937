"""What leaves for Kite is what its own client would send, byte for byte, however it is prepared."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal

import pytest
import requests

from fsm_trader.errors import UnavailableError
from fsm_trader.kite import line
from fsm_trader.kite.line import _whole

from .kite_server import Got, KiteServer, raw_reply, serving, success
from .kite_wires import KEY, ORDER, TOKEN, wire_to


@pytest.fixture
def server() -> Iterator[KiteServer]:
    serving = KiteServer(success({"order_id": "1"}))
    yield serving
    serving.close()


def sent_by_ours(server: KiteServer, order: dict[str, object]) -> Got:
    wire = wire_to(server.root)
    try:
        wire.place(order, is_exit=True)
    finally:
        wire.close()
    return server.got[-1]


def sent_by_theirs(server: KiteServer, order: dict[str, object]) -> Got:
    from kiteconnect import KiteConnect

    client = KiteConnect(KEY, root=server.root)
    client.set_access_token(TOKEN)
    try:
        client.place_order(**order)
    finally:
        client.reqsession.close()
    return server.got[-1]


@pytest.mark.parametrize(
    "order",
    [
        ORDER,
        ORDER | {"order_type": "LIMIT", "price": "101.05", "market_protection": None},
        ORDER | {"tradingsymbol": "M&M 26 CE+", "tag": "ü/?=&%"},
        ORDER | {"price": Decimal("101.05"), "order_type": "LIMIT"},
    ],
    ids=["market", "limit", "odd letters", "another kind of number"],
)
def test_an_order_leaves_as_zerodhas_own_client_would_send_it(server: KiteServer, order: dict[str, object]) -> None:
    ours, theirs = sent_by_ours(server, order), sent_by_theirs(server, order)

    assert (ours.method, ours.path, ours.body) == (theirs.method, theirs.path, theirs.body)
    assert ours.headers == theirs.headers


def test_a_long_answer_is_put_together_once_and_one_without_end_is_refused() -> None:
    part = bytes(2**15)
    began_s = time.process_time()

    whole = _whole(itertools.repeat(part, 2_000))

    # Added up part by part it takes ten seconds and more.
    assert time.process_time() - began_s < 3
    assert len(whole) == 2_000 * len(part)
    with pytest.raises(requests.exceptions.ContentDecodingError, match="more than 67108864 bytes"):
        _whole(itertools.repeat(part))


def test_an_answer_that_is_too_long_is_not_waited_for_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "_LARGEST_BODY", 100_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000000\r\n\r\n"
    with (
        serving(raw_reply(head + bytes(300_000))) as server,
        closing(wire_to(server.root)) as wire,
        # Its time-out would say ReadTimeout.
        pytest.raises(UnavailableError, match="ContentDecodingError"),
    ):
        wire.orders()
