"""Packets of Kite's websocket: every size, round trips, and what a message may not be."""

from __future__ import annotations

import base64
import json
import struct
from datetime import datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fsm_trader.errors import UnavailableError
from fsm_trader.kite.ticks import Level, Tick, parse_message

from . import packets

MOCKS = Path(__file__).resolve().parents[2].parent / "shared" / "kite-mocks"

_U32 = st.integers(0, 2**32 - 1)
_TOKENS = st.builds(
    lambda number, segment: number << 8 | segment, st.integers(1, 2**24 - 1), st.sampled_from([1, 2, 4])
)
_INDICES = st.integers(1, 2**24 - 1).map(lambda number: number << 8 | 9)
_TIMES = st.none() | st.integers(1, 2**32 - 1)
_LEVELS = st.lists(st.builds(Level, _U32, _U32, st.integers(0, 2**16 - 1)), min_size=10, max_size=10)
_SIZES = dict.fromkeys(("volume", "last_quantity", "average", "buy_quantity", "sell_quantity"), _U32)
_DAY = dict.fromkeys(("open", "high", "low", "close"), _U32)
_OI = dict.fromkeys(("oi", "oi_high", "oi_low"), _U32)

LTPS = st.builds(Tick, _TOKENS, _U32).map(lambda tick: (tick, packets.ltp(tick)))
QUOTES = st.builds(Tick, _TOKENS, _U32, **_SIZES, **_DAY).map(lambda tick: (tick, packets.quote(tick)))
FULLS = st.builds(Tick, _TOKENS, _U32, _TIMES, _TIMES, **_SIZES, **_DAY, **_OI, raw_book=_LEVELS.map(packets.book)).map(
    lambda tick: (tick, packets.full(tick))
)
INDEX_QUOTES = st.builds(Tick, _INDICES, _U32, **_DAY).map(lambda tick: (tick, packets.index_quote(tick, 7)))
INDEX_FULLS = st.builds(lambda token, last, at, day: Tick(token, last, at, at, **day), _INDICES, _U32, _TIMES,
                        st.fixed_dictionaries(_DAY)).map(lambda tick: (tick, packets.index_full(tick, 7)))  # fmt: skip
ANY = st.one_of(LTPS, QUOTES, FULLS, INDEX_QUOTES, INDEX_FULLS)


@given(st.lists(ANY, max_size=8))
def test_every_tick_comes_out_of_a_message_as_it_went_in(pairs: list[tuple[Tick, bytes]]) -> None:
    ticks, skipped = parse_message(packets.message(*(packet for _, packet in pairs)))

    assert ticks == [tick for tick, _ in pairs]
    assert skipped == 0


@given(_LEVELS)
def test_the_order_book_is_five_bids_and_five_offers_in_their_order(levels: list[Level]) -> None:
    bids, offers = Tick(1, 1, raw_book=packets.book(levels)).book()

    assert [*bids, *offers] == levels
    assert len(bids) == len(offers) == 5


@given(st.lists(FULLS, min_size=1, max_size=3), st.data())
def test_a_message_that_was_cut_anywhere_is_refused_whole(pairs: list[tuple[Tick, bytes]], data: st.DataObject) -> None:
    whole = packets.message(*(packet for _, packet in pairs))
    length = data.draw(st.integers(2, len(whole) - 1))

    with pytest.raises(UnavailableError, match="ends inside packet"):
        parse_message(whole[:length])


@given(st.binary(max_size=400))
@example(b"\x00\x01\x00")
@example(b"\xff\xff")
def test_any_bytes_are_parsed_or_refused_and_nothing_else_happens(data: bytes) -> None:
    try:
        ticks, skipped = parse_message(data)
    except UnavailableError:
        return
    assert len(ticks) + skipped == (struct.unpack_from(">H", data)[0] if len(data) > 1 else 0)


@pytest.mark.parametrize("heartbeat", [b"", b"\x00", b"\x01"])
def test_a_heartbeat_holds_no_tick(heartbeat: bytes) -> None:
    assert parse_message(heartbeat) == ([], 0)


def test_packets_of_an_unknown_length_or_segment_are_left_out_and_the_others_kept() -> None:
    tick = Tick(256265, 2_450_000)
    currency = struct.pack(">II", 5 << 8 | 3, 834_512_500)

    ticks, skipped = parse_message(packets.message(bytes(60), packets.ltp(tick), currency, b"", packets.ltp(tick)))

    assert ticks == [tick, tick]
    assert skipped == 3


@pytest.mark.skipif(not MOCKS.is_dir(), reason="no folder of Kite's sample answers beside the checkout")
@pytest.mark.parametrize("kind", ["full", "quote"])
def test_the_samples_of_kite_give_the_figures_printed_beside_them(kind: str) -> None:
    packet = base64.b64decode((MOCKS / f"ticker_{kind}.packet").read_text())
    said = json.loads((MOCKS / f"ticker_{kind}.json").read_text())

    (tick,), skipped = parse_message(packets.message(packet))

    assert skipped == 0
    assert (tick.token, tick.last / 100, tick.volume) == (said["instrument_token"], said["last_price"], said["volume"])
    assert (tick.last_quantity, tick.average / 100) == (said["last_quantity"], said["average_price"])
    assert (tick.buy_quantity, tick.sell_quantity) == (said["buy_quantity"], said["sell_quantity"])
    assert {name: getattr(tick, name) / 100 for name in ("open", "high", "low", "close")} == said["ohlc"]
    if kind == "full":
        assert tick.traded_s == datetime.fromisoformat(said["last_trade_time"]).timestamp()
        assert tick.exchange_s == datetime.fromisoformat(said["timestamp"]).timestamp()
        for levels, side in zip(tick.book(), ("buy", "sell"), strict=True):
            shown = [{**msgspec.to_builtins(level), "price": level.price / 100} for level in levels]
            assert shown == said["depth"][side]
