"""Ticks and order updates: packets beside real ones, subscriptions, and the unmodified KiteTicker on the wire."""

from __future__ import annotations

import base64
import json
import struct
import subprocess
import sys
import threading
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from kiteconnect import KiteTicker

from fsm_trader.simulate.sandbox.depth import Depth, Level
from fsm_trader.simulate.sandbox.packets import index_packet, message, option_packet
from fsm_trader.simulate.sandbox.stream import Subscriber
from fsm_trader.simulate.sandbox.tape import Shown

from .conftest import LONGEST_S, MOCKS, SYMBOL

INDEX = 256265
_PAUSE = threading.Event()  # never set: it only lets a moment of real time pass
AT = datetime.fromisoformat("2021-07-05T10:41:27+05:30")


def _parsed(*packets: bytes) -> list[dict]:
    (whole,) = message(packets)
    return KiteTicker("key", "token")._parse_binary(whole)


def _shown(prices: dict) -> Shown:
    ohlc = {name: round(value * 100) for name, value in prices["ohlc"].items()}
    volume = prices["volume"]
    turnover = round(prices["average_price"] * 100) * volume
    last = round(prices["last_price"] * 100)
    return Shown(AT, last, ohlc["open"], ohlc["high"], ohlc["low"], prices["last_quantity"], volume, turnover)


@pytest.mark.skipif(not MOCKS.is_dir(), reason="no kite-mocks in a folder shared beside the checkout")
def test_a_full_packet_is_byte_for_byte_a_real_one_but_for_yesterdays_close():
    told = json.loads((MOCKS / "ticker_full.json").read_text())
    real = base64.b64decode((MOCKS / "ticker_full.packet").read_text())
    sides = [
        tuple(Level(round(row["price"] * 100), row["quantity"], row["orders"]) for row in told["depth"][side])
        for side in ("buy", "sell")
    ]

    ours = option_packet(told["instrument_token"], "full", _shown(told), Depth(*sides), AT)

    assert len(ours) == len(real) == 184
    totals, close = slice(20, 28), slice(40, 44)  # the real totals count levels that are not shown
    blank = bytes(8), bytes(4)
    assert [b"".join((each[:20], blank[0], each[28:40], blank[1], each[44:])) for each in (ours, real)] == [
        b"".join((real[:20], blank[0], real[28:40], blank[1], real[44:]))
    ] * 2
    assert struct.unpack(">2I", ours[totals]) == tuple(sum(level.quantity for level in side) for side in sides)
    assert ours[close] == bytes(4)


def test_each_mode_has_its_size_and_the_client_reads_it():
    shown = Shown(AT, 15005, 15000, 15100, 14900, 65, 650, 650 * 15010)
    sizes = {mode: len(option_packet(45100 * 256 + 2, mode, shown, Depth(), AT)) for mode in ("ltp", "quote", "full")}
    index = {mode: index_packet(INDEX, mode, shown, AT) for mode in ("ltp", "quote", "full")}

    ticks = _parsed(*index.values(), option_packet(45100 * 256 + 2, "full", shown, Depth(), AT))

    assert sizes == {"ltp": 8, "quote": 44, "full": 184}
    assert {mode: len(packet) for mode, packet in index.items()} == {"ltp": 8, "quote": 28, "full": 32}
    assert [tick["mode"] for tick in ticks] == ["ltp", "quote", "full", "full"]
    assert [tick["tradable"] for tick in ticks] == [False, False, False, True]
    assert {tick["last_price"] for tick in ticks} == {150.05}
    assert ticks[1]["ohlc"] == {"high": 151.0, "low": 149.0, "open": 150.0, "close": 0.0}
    assert ticks[2]["exchange_timestamp"] == datetime.fromtimestamp(AT.timestamp())  # noqa: DTZ006 - as the client does
    assert ticks[3]["average_traded_price"] == 150.1


def test_a_subscriber_gets_what_stands_and_then_what_is_new(sandbox):
    exchange = sandbox.service.kite.exchange
    option = exchange.contracts[SYMBOL].token
    now = sandbox.at("09:30:30")
    subscriber = Subscriber(exchange, now)
    assert subscriber.hear(json.dumps({"a": "subscribe", "v": [option, INDEX, 1]})) is None
    assert subscriber.hear(json.dumps({"a": "mode", "v": ["full", [option]]})) is None

    (first,) = subscriber.due(now)[1]
    nothing = subscriber.due(now + timedelta(seconds=0.9))
    (still,) = subscriber.due(now + timedelta(seconds=5))[1]
    (later,) = subscriber.due(now + timedelta(seconds=30, milliseconds=500))[1]

    parse = KiteTicker("key", "token")._parse_binary
    assert {tick["instrument_token"]: tick["mode"] for tick in parse(first)} == {option: "full", INDEX: "quote"}
    assert nothing == ([], [])
    assert [tick["last_price"] for tick in parse(still)] == [tick["last_price"] for tick in parse(first)]
    assert [tick["instrument_token"] for tick in parse(later)].count(INDEX) == 3  # :40, :59 and the next minute's :00
    subscriber.hear(json.dumps({"a": "unsubscribe", "v": [option, INDEX]}))
    assert subscriber.due(now + timedelta(minutes=2)) == ([], [])


def test_a_slow_reader_gets_the_newest_ticks_and_no_more(sandbox):
    exchange = sandbox.service.kite.exchange
    now = sandbox.at("09:30:30")
    subscriber = Subscriber(exchange, now)
    subscriber.hear(json.dumps({"a": "subscribe", "v": [INDEX]}))
    subscriber.due(now)

    (late,) = subscriber.due(now + timedelta(hours=2, seconds=2))[1]

    ticks = KiteTicker("key", "token")._parse_binary(late)
    assert len(ticks) == 9  # the last prices of the path, and the one that stands
    assert ticks[-1]["last_price"] == exchange.tape(INDEX).at(now + timedelta(hours=2, seconds=2)).last / 100


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '"text"',
        '{"a": "subscribe"}',
        '{"a": "subscribe", "v": ["x"]}',
        '{"a": "mode", "v": ["best", [1]]}',
        '{"a": "unsubscribe", "v": 1}',
        json.dumps({"a": "subscribe", "v": list(range(3001))}),
    ],
)
def test_a_message_that_is_none_is_answered_and_changes_nothing(sandbox, text):
    subscriber = Subscriber(sandbox.service.kite.exchange, sandbox.at("09:30:30"))

    assert json.loads(subscriber.hear(text))["type"] == "error"

    assert subscriber.due(sandbox.service.kite.clock.now()) == ([], [])


def _ticker(sandbox, seconds: float, token: str | None = None, *, buys: bool = False) -> dict:
    more = [SYMBOL, f"http://{sandbox.address}"] if buys else []
    option = sandbox.service.kite.exchange.contracts[SYMBOL].token
    process = subprocess.Popen(
        [
            *(sys.executable, "-W", "ignore", str(Path(__file__).with_name("ticker.py")), f"ws://{sandbox.address}"),
            *(token or sandbox.token, str(seconds), str(INDEX), str(option), *more),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    watchdog = threading.Timer(LONGEST_S, process.kill)
    watchdog.start()
    try:
        assert process.stdout.readline() == "connected\n"
        while process.poll() is None:
            # Forty seconds of the day in one.
            sandbox.hand.seconds += 0.8
            _PAUSE.wait(0.02)
        return json.loads(process.stdout.read())
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        process.stdout.close()


def test_the_unmodified_ticker_gets_ticks_heartbeats_and_order_updates(sandbox):
    sandbox.at("09:30:30")
    option = sandbox.service.kite.exchange.contracts[SYMBOL].token

    seen = _ticker(sandbox, 1.5, buys=True)

    modes = {(tick["instrument_token"], tick["mode"]) for tick in seen["ticks"]}
    assert modes == {(option, "full"), (INDEX, "quote")}
    assert len([tick for tick in seen["ticks"] if tick["instrument_token"] == INDEX]) > 1
    assert 1 in seen["messages"]
    assert [(row["status"], row["tag"], row["filled_quantity"]) for row in seen["updates"]] == [
        ("COMPLETE", "ticker1", 65)
    ]
    assert seen["errors"] == []


def test_a_ticker_with_a_bad_token_is_turned_away(sandbox):
    seen = _ticker(sandbox, 0.2, "wrong")

    assert seen["ticks"] == []
    assert "403" in seen["errors"][0][1]


def test_a_silent_stream_says_nothing_and_a_closed_one_ends(sandbox_with):
    sandbox = sandbox_with(
        '{kind: silent_stream, from: "09:30", until: "10:00"}', '{kind: closed_stream, from: "11:00"}', limits=False
    )
    sandbox.at("09:30:30")
    silent = _ticker(sandbox, 0.5)
    sandbox.at("10:59:55")
    cut = _ticker(sandbox, 1.2)
    sandbox.at("11:10:00")
    closed = _ticker(sandbox, 0.2)

    assert (silent["messages"], silent["errors"]) == ([], [])
    assert cut["ticks"] != []
    assert cut["closes"][0][0] == 1006
    assert closed["ticks"] == []
    assert "503" in closed["errors"][0][1]
