"""Kite's websocket followed from a thread of its own: connect, subscribe, watch for silence, connect again.

What comes is handed to a listener in that thread. Order updates carry nothing that is believed: they only say that the
order book is worth reading. Knows no candle and no price, and never shows the token: not in an error, a log or a repr.
"""

from __future__ import annotations

import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec

from fsm_trader.errors import LoginRequiredError, UnavailableError
from fsm_trader.kite.connection import Address, Connection, Message, Waker
from fsm_trader.kite.ticks import Tick, parse_message

ZERODHA_ROOT = "wss://ws.kite.trade"
MOST_TOKENS = 3_000
"""Kite takes no more instruments on one connection."""

_LOG = logging.getLogger(__name__)
_MOST_WORDS = 200


class StreamLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How long is waited for what, in real seconds.

    Args:
        open_s: for a connection with its handshake, and for one write.
        silence_s: without any message; Kite sends a heartbeat every couple of seconds.
        first_tick_s: from a subscription until the first tick of any instrument.
        first_pause_s, longest_pause_s: before the first new connection; doubled up to the longest.
        same_token_s: before a token that was refused is shown again.
        most_bytes: of one message; 3,000 full packets are 558,002.
    """

    open_s: float = 10.0
    silence_s: float = 10.0
    first_tick_s: float = 20.0
    first_pause_s: float = 0.5
    longest_pause_s: float = 30.0
    same_token_s: float = 60.0
    most_bytes: int = 2**20


class StreamListener(Protocol):
    """Who is told. Called in the stream's thread, one call at a time; a call must be quick and must not raise."""

    def opened(self) -> None:
        """A new connection stands; nothing has come by it yet."""
        ...

    def heard(self) -> None:
        """Something came, if only a heartbeat."""
        ...

    def ticks(self, ticks: Sequence[Tick]) -> None:
        """Ticks came, in the order of the exchange for each instrument."""
        ...

    def order_update(self) -> None:
        """Something happened to some order of this account: the order book is worth reading."""
        ...

    def lost(self, why: str, *, login_required: bool) -> None:
        """There is no connection, or no more; the next try follows by itself."""
        ...


class TickStream:
    """A subscription that heals itself. Start it once; ``watch`` may be called at any time from any thread.

    Args:
        root: base address of the websocket, None for Zerodha's; ``ws`` only to this machine.
        api_key: of the Kite Connect app.
        token: gives today's access token, None where there is none.
        listener: who is told.
        limits: how long is waited.
        tls: verifies the server in place of certifi's list.
        now_s: seconds that only go forward.

    Raises:
        SetupError: *root* is no usable address.
        ValueError: *tls* does not verify.
    """

    def __init__(  # noqa: PLR0913 - keyword-only: where, as whom, to whom, how long
        self,
        *,
        root: str | None,
        api_key: str,
        token: Callable[[], str | None],
        listener: StreamListener,
        limits: StreamLimits | None = None,
        tls: ssl.SSLContext | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        if tls is not None and not (tls.check_hostname and tls.verify_mode is ssl.CERT_REQUIRED):
            raise ValueError("tls: a context that does not verify certificate and host name; expected one that does")
        self._address = Address(ZERODHA_ROOT if root is None else root)
        self._api_key = api_key
        self._token = token
        self._listener = listener
        self._limits = limits or StreamLimits()
        self._tls = tls
        self._now_s = now_s
        self._waker = Waker()
        self._wanted: frozenset[int] = frozenset()
        self._is_closing = False
        self._refused: tuple[str, float] | None = None
        # A daemon: a look-up of a name that hangs must not keep a process from ending.
        self._thread = threading.Thread(target=self._run, name="fsm-stream", daemon=True)

    def __repr__(self) -> str:
        return f"TickStream({self._address})"

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._thread.start()

    def watch(self, tokens: Iterable[int]) -> None:
        """Say which instruments are wanted from now on, in full mode; the others are given up.

        Raises:
            ValueError: more than Kite takes on one connection.
        """
        wanted = frozenset(tokens)
        if len(wanted) > MOST_TOKENS:
            raise ValueError(f"{len(wanted)} instruments; expected at most {MOST_TOKENS} on one connection")
        if wanted != self._wanted:
            self._wanted = wanted
            self._waker.wake()

    def close(self, timeout_s: float = 5.0) -> None:
        """End the connection and the thread; at most *timeout_s* seconds are waited. It cannot be started again."""
        self._is_closing = True
        self._waker.wake()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        if not self._thread.is_alive():
            self._waker.close()

    def _run(self) -> None:
        pause_s = self._limits.first_pause_s
        while not self._is_closing:
            began_s = self._now_s()
            try:
                self._follow_once()
            except UnavailableError as error:
                self._tell_lost(str(error), login_required=isinstance(error, LoginRequiredError))
            except Exception as error:  # noqa: BLE001 - a defect must not end the stream unsaid: told and tried again
                _LOG.exception("the stream failed in a way nobody planned for")
                self._tell_lost(f"stream: unexpected {type(error).__name__}", login_required=False)
            if self._now_s() - began_s > self._limits.longest_pause_s:
                pause_s = self._limits.first_pause_s
            self._pause(pause_s)
            pause_s = min(2 * pause_s, self._limits.longest_pause_s)

    def _tell_lost(self, why: str, *, login_required: bool) -> None:
        if not self._is_closing:
            self._listener.lost(why, login_required=login_required)

    def _pause(self, pause_s: float) -> None:
        until_s = self._now_s() + pause_s
        while not self._is_closing and (left_s := until_s - self._now_s()) > 0:
            self._waker.wait(left_s)

    def _follow_once(self) -> None:
        token = self._usable_token()
        try:
            connection = Connection(
                self._address,
                secrets={"api_key": self._api_key, "access_token": token},
                waker=self._waker,
                timeout_s=self._limits.open_s,
                most_bytes=self._limits.most_bytes,
                tls=self._tls,
                is_given_up=lambda: self._is_closing,
                now_s=self._now_s,
            )
        except LoginRequiredError:
            self._refused = (token, self._now_s())
            raise
        try:
            self._refused = None
            self._listener.opened()
            self._follow(connection)
        finally:
            connection.close()

    def _usable_token(self) -> str:
        """Return a token that was not refused a moment ago: a dead one must not hammer on the server's door."""
        token = self._token()
        if not token:
            raise LoginRequiredError("stream: there is no access token; expected one of today: a person must log in")
        refused, at_s = self._refused or ("", 0.0)
        if refused == token and self._now_s() - at_s < self._limits.same_token_s:
            raise LoginRequiredError("stream: the server refused this access token; a person must log in")
        return token

    def _follow(self, connection: Connection) -> None:
        subscribed: frozenset[int] = frozenset()
        heard_s = self._now_s()
        tick_due_s: float | None = None
        while not self._is_closing:
            wanted = self._wanted
            if wanted != subscribed:
                self._subscribe(connection, wanted, subscribed)
                if not subscribed:
                    tick_due_s = self._now_s() + self._limits.first_tick_s
                subscribed = wanted
            due_s = heard_s + self._limits.silence_s
            messages = connection.receive(max(0.0, min(due_s, tick_due_s or due_s) - self._now_s()))
            now_s = self._now_s()
            if messages:
                heard_s = now_s
                self._listener.heard()
                if self._take(messages):
                    tick_due_s = None
            elif now_s - heard_s >= self._limits.silence_s:
                raise UnavailableError(f"stream: nothing was heard for {self._limits.silence_s:g} s; connecting anew")
            if tick_due_s is not None and now_s >= tick_due_s:
                raise UnavailableError(
                    f"stream: no tick in the {self._limits.first_tick_s:g} s after the subscription; connecting anew"
                )

    def _subscribe(self, connection: Connection, wanted: frozenset[int], subscribed: frozenset[int]) -> None:
        fresh, old = sorted(wanted - subscribed), sorted(subscribed - wanted)
        if fresh:
            connection.send(_request("subscribe", fresh))
            connection.send(_request("mode", ["full", fresh]))
        if old:
            connection.send(_request("unsubscribe", old))

    def _take(self, messages: Sequence[Message]) -> bool:
        """Hand the messages on, and say whether a tick was among them."""
        is_ticking = False
        for message in messages:
            if isinstance(message, str):
                self._take_text(message)
                continue
            ticks, skipped = parse_message(message)
            if skipped:
                _LOG.warning("stream: %d packets of a kind not known here were left out", skipped)
            if ticks:
                is_ticking = True
                self._listener.ticks(ticks)
        return is_ticking

    def _take_text(self, text: str) -> None:
        try:
            said = msgspec.json.decode(text, type=_Said)
        except msgspec.DecodeError:
            # The broker's other messages are for people; one that cannot be read is no reason to stop watching.
            _LOG.warning("stream: a text of %d characters is no message known here", len(text))
            return
        if said.type == "order":
            self._listener.order_update()
        elif said.type == "error":
            _LOG.warning("stream: the server says: %s", self._hushed(str(said.data)))

    def _hushed(self, words: str) -> str:
        for secret in (self._api_key, self._token()):
            words = words.replace(secret, "(not shown)") if secret else words
        return words[:_MOST_WORDS]


class _Said(msgspec.Struct, frozen=True):
    type: str = ""
    data: object = None


def _request(what: str, about: object) -> str:
    return msgspec.json.encode({"a": what, "v": about}).decode()
