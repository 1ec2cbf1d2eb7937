"""One websocket connection: what it subscribed to, and what is to be sent to it next. Knows no websocket library.

Source: kite.trade/docs/connect/v3/websocket. Ticks are drawn, not pushed: a reader that is slow gets the newest ones.
An instrument ticks at each price of its path and, as liquid ones do, every second between, with the price that stands.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec

from fsm_trader.simulate.sandbox.depth import depth_around
from fsm_trader.simulate.sandbox.exchange import Exchange
from fsm_trader.simulate.sandbox.packets import MODES, Mode, index_packet, message, option_packet
from fsm_trader.simulate.sandbox.tape import Shown

_MOST_TOKENS = 3000
_MOST_UPDATES = 1000
_NEWEST = 8
_TICKS_EVERY = timedelta(seconds=1)


class Subscriber:
    """A connection's subscriptions and its place in the day.

    Args:
        exchange: the prices.
        now: the day's present.
    """

    def __init__(self, exchange: Exchange, now: datetime) -> None:
        self._exchange = exchange
        self._modes: dict[int, Mode] = {}
        self._ticked: dict[int, datetime] = {}
        self._updates: deque[bytes] = deque(maxlen=_MOST_UPDATES)
        self._sent_until = now

    def hear(self, text: str) -> str | None:
        """Take a client's message, and return what to answer: an error in words, or None."""
        try:
            said = msgspec.json.decode(text.encode())
        except msgspec.MsgspecError:
            return _error("Invalid JSON.")
        action, value = (said.get("a"), said.get("v")) if isinstance(said, dict) else (None, None)
        if action == "mode" and isinstance(value, list) and len(value) == 2 and value[0] in MODES:
            return self._subscribe(value[1], value[0])
        if action == "subscribe":
            return self._subscribe(value, None)
        if action == "unsubscribe":
            return self._unsubscribe(value)
        return _error("Unknown request.")

    def add_update(self, row: dict[str, Any]) -> None:
        """Queue an order update; of more than 1000 that wait, the oldest are left out."""
        self._updates.append(msgspec.json.encode({"type": "order", "data": row}))

    def due(self, now: datetime) -> tuple[list[str], list[bytes]]:
        """Return the text and the binary messages that are due, and go on from *now*."""
        texts = [self._updates.popleft().decode() for _ in range(len(self._updates))]
        packets = [packet for _, packet in sorted(self._packets(now), key=lambda each: each[0])]
        self._sent_until = now
        return texts, message(packets)

    def pass_over(self, now: datetime) -> None:
        """Go on from *now* without a word: what was due is never sent."""
        self._updates.clear()
        self._sent_until = now

    def _subscribe(self, tokens: Any, mode: Mode | None) -> str | None:
        if not _are_tokens(tokens):
            return _error("Unknown request.")
        if len({*self._modes, *tokens}) > _MOST_TOKENS:
            return _error(f"At most {_MOST_TOKENS} instruments on one connection.")
        for token in tokens:
            self._modes[token] = mode or self._modes.get(token, "quote")
            # The next tick is a snapshot of what stands.
            self._ticked.pop(token, None)
        return None

    def _unsubscribe(self, tokens: Any) -> str | None:
        if not _are_tokens(tokens):
            return _error("Unknown request.")
        for token in tokens:
            self._modes.pop(token, None)
        return None

    def _packets(self, now: datetime) -> Iterator[tuple[datetime, bytes]]:
        for token, mode in self._modes.items():
            tape = self._exchange.tape(token)
            if tape is None:
                # Kite passes over what it does not know.
                continue
            ticked = self._ticked.get(token)
            new = () if ticked is None else tape.between(self._sent_until, now, most=_NEWEST)
            for shown in new:
                yield shown.at, self._packet(token, mode, shown, shown.at)
                ticked = self._ticked[token] = shown.at
            shown_now = tape.at(now)
            if shown_now is not None and (ticked is None or now - ticked >= _TICKS_EVERY):
                yield now, self._packet(token, mode, shown_now, now)
                self._ticked[token] = now

    def _packet(self, token: int, mode: Mode, shown: Shown, at: datetime) -> bytes:
        contract = self._exchange.contract_of(token)
        if contract is None:
            return index_packet(token, mode, shown, at)
        depth = depth_around(shown.last, contract, spread_ticks=self._exchange.settings.spread_ticks)
        return option_packet(token, mode, shown, depth, at)


def _are_tokens(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, int) and not isinstance(each, bool) for each in value)


def _error(text: str) -> str:
    return msgspec.json.encode({"type": "error", "data": text}).decode()
