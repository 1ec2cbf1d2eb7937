"""One websocket connection on a plain or TLS socket: the one door to ``websockets`` (its core without input or output).

It verifies TLS, follows no redirect, asks no environment for a proxy and never formats the address it was given: the
query of that address holds the token. It knows no tick; one thread uses it, and only ``Waker.wake`` comes from others.
"""

from __future__ import annotations

import logging
import selectors
import socket
import ssl
import time
from collections.abc import Callable
from ipaddress import ip_address
from urllib.parse import urlencode, urlsplit

import certifi
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import CLOSED, CLOSING, OPEN, Event
from websockets.uri import WebSocketURI

from fsm_trader.errors import LoginRequiredError, SetupError, UnavailableError

Message = bytes | str
_READ_BYTES = 65_536
_PART_S = 0.2
_MOST_PARTS = 1_000  # of one message; empty ones would not count towards its length
_FORBIDDEN = 403
_NORMAL_CLOSURE = 1000
# The library writes the request line, token and all, to its logger when that listens to DEBUG. This one never listens.
# Not one of ``getLogger``: those can be turned on by a configuration of logging, by name or all together.
_MUTED = logging.Logger("fsm_trader.kite.muted")  # noqa: LOG001 - reasons above
_MUTED.disabled = True


class Waker:
    """Ends a wait in another thread. Close it after that thread has ended."""

    def __init__(self) -> None:
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)
        self._far.setblocking(False)

    def fileno(self) -> int:
        """Return what a selector watches."""
        return self._near.fileno()

    def wake(self) -> None:
        """End the present wait, or else the next one; safe from any thread, and nothing once closed."""
        try:
            self._far.send(b"\0")
        except (BlockingIOError, OSError):
            # Full of wakes that were not used yet, or closed: one more would say nothing new.
            return

    def wait(self, timeout_s: float) -> None:
        """Wait for a wake, at most *timeout_s* seconds."""
        with selectors.DefaultSelector() as selector:
            selector.register(self, selectors.EVENT_READ)
            if selector.select(max(0.0, timeout_s)):
                self.drain()

    def drain(self) -> None:
        """Forget the wakes that came."""
        try:
            self._near.recv(4096)
        except BlockingIOError:
            return

    def close(self) -> None:
        """Give the sockets back."""
        self._near.close()
        self._far.close()


class Address:
    """Where to connect to; its repr shows the host alone.

    Args:
        root: ``wss://HOST[:PORT][/PATH]``; ``ws`` only to this machine.

    Raises:
        SetupError: *root* is no such address, or the token would travel in the clear.
    """

    def __init__(self, root: str) -> None:
        try:
            parts = urlsplit(root)
            port = parts.port
        except ValueError as error:
            raise SetupError.at("stream", "is no address; expected wss://HOST[:PORT][/PATH]") from error
        if parts.scheme not in ("wss", "ws") or not parts.hostname or "@" in parts.netloc or parts.query:
            raise SetupError.at("stream", "is no such address; expected wss://HOST[:PORT][/PATH] and nothing more")
        self.is_secure = parts.scheme == "wss"
        self.host = parts.hostname
        if not self.is_secure and not _is_loopback(self.host):
            message = f"plain ws to {self.host}: the token would travel in the clear; expected wss"
            raise SetupError.at("stream", message)
        self.port = port or (443 if self.is_secure else 80)
        self.path = parts.path or "/"

    def __repr__(self) -> str:
        return f"Address({self.host}:{self.port})"


class Connection:
    """An open connection; build it with its handshake done.

    Args:
        address: where to.
        secrets: the query of the request; shown nowhere.
        waker: ends a ``receive`` early.
        timeout_s: for the whole opening; later, for one write.
        most_bytes: a longer message ends the connection.
        tls: verifies the server in place of certifi's list.
        is_given_up: asked during the handshake: the connection is not wanted any more.
        now_s: seconds that only go forward.

    Raises:
        LoginRequiredError: the server answered 403: it does not accept the token.
        UnavailableError: no connection came about.
    """

    def __init__(  # noqa: PLR0913 - keyword-only, and each is a fact of one connection
        self,
        address: Address,
        *,
        secrets: dict[str, str],
        waker: Waker,
        timeout_s: float,
        most_bytes: int,
        tls: ssl.SSLContext | None = None,
        is_given_up: Callable[[], bool] = lambda: False,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._waker = waker
        self._is_given_up = is_given_up
        self._timeout_s = timeout_s
        self._now_s = now_s
        self._early: list[Event] = []
        self._parts: list[Frame] = []
        self._over = ""
        uri = WebSocketURI(address.is_secure, address.host, address.port, address.path, urlencode(secrets))
        self._protocol = ClientProtocol(uri, max_size=most_bytes, logger=_MUTED)
        deadline_s = now_s() + timeout_s
        self._socket = _open_socket(address, timeout_s, tls)
        self._selector = selectors.DefaultSelector()
        try:
            self._selector.register(self._socket, selectors.EVENT_READ, "socket")
            self._selector.register(waker, selectors.EVENT_READ, "waker")
            self._shake_hands(deadline_s)
        except UnavailableError:
            self.close()
            raise

    def receive(self, timeout_s: float) -> list[Message]:
        """Return the whole messages that came, none when *timeout_s* passed or a wake came first.

        Raises:
            UnavailableError: the connection is over.
        """
        # What came in one piece with the answer to the handshake is taken before anything is waited for.
        events, self._early = self._early or self._events(timeout_s), []
        messages = [message for event in events if (message := self._message(event)) is not None]
        if self._over and not messages:
            raise UnavailableError(self._over)
        return messages

    def send(self, text: str) -> None:
        """Send one text message.

        Raises:
            UnavailableError: the connection is over.
        """
        if not self._over:
            self._protocol.send_text(text.encode())
            self._flush()
        if self._over:
            raise UnavailableError(self._over)

    def close(self) -> None:
        """Say goodbye where that is possible, without waiting for an answer, and give the socket back."""
        if self._protocol.state is OPEN and not self._over:
            self._protocol.send_close(_NORMAL_CLOSURE)
            self._flush()
        self._selector.close()
        self._socket.close()

    def _shake_hands(self, deadline_s: float) -> None:
        self._protocol.send_request(self._protocol.connect())
        self._flush()
        while self._protocol.state is not OPEN:
            left_s = deadline_s - self._now_s()
            if self._over or left_s <= 0 or self._is_given_up():
                raise UnavailableError(self._over or f"stream: no answer to the handshake in {self._timeout_s:g} s")
            events = self._events(left_s)
            if self._protocol.handshake_exc is not None:
                raise _refusal(next((event for event in events if isinstance(event, Response)), None))
            self._early.extend(event for event in events if isinstance(event, Frame))

    def _events(self, timeout_s: float) -> list[Event]:
        if self._over or not self._is_readable(timeout_s):
            return []
        try:
            # Waits only where a part of a TLS record came, and not long: a wake must not wait with it.
            self._socket.settimeout(_PART_S)
            data = self._socket.recv(_READ_BYTES)
        except (TimeoutError, ssl.SSLWantReadError):
            return []
        except OSError as error:
            self._over = f"stream: the connection broke ({_words(error)})"
            return []
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        events = self._protocol.events_received()
        self._flush()
        if self._protocol.state in (CLOSING, CLOSED) and not self._over:
            self._over = self._ending()
        return events

    def _is_readable(self, timeout_s: float) -> bool:
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            return True
        ready = {key.data for key, _ in self._selector.select(timeout_s)}
        if "waker" in ready:
            self._waker.drain()
        return "socket" in ready

    def _message(self, event: Event) -> Message | None:
        """Put the fragments of a message together; the library has bounded their sum."""
        if not isinstance(event, Frame) or event.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return None
        self._parts.append(event)
        if not event.fin:
            if len(self._parts) > _MOST_PARTS:
                self._over = self._over or "stream: a message in too many parts"
                self._parts.clear()
            return None
        parts, self._parts = self._parts, []
        data = b"".join(bytes(part.data) for part in parts)
        return data if parts[0].opcode is Opcode.BINARY else data.decode("utf-8", errors="replace")

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            try:
                self._socket.settimeout(self._timeout_s)
                if data:
                    self._socket.sendall(data)
                else:
                    self._socket.shutdown(socket.SHUT_WR)
            except OSError as error:
                self._over = self._over or f"stream: the connection broke ({_words(error)})"
                return

    def _ending(self) -> str:
        # The reason that a server gives is its own text: it could hold what we sent, so only numbers are told.
        received, sent = self._protocol.close_rcvd, self._protocol.close_sent
        if received is not None:
            return f"stream: the server closed the connection (code {received.code})"
        if sent is not None:
            return f"stream: the server's bytes break the protocol (code {sent.code})"
        return "stream: the connection was cut"


def _open_socket(address: Address, timeout_s: float, tls: ssl.SSLContext | None) -> socket.socket:
    try:
        plain = socket.create_connection((address.host, address.port), timeout=timeout_s)
    except OSError as error:
        raise UnavailableError(f"stream: no connection to {address.host}:{address.port} ({_words(error)})") from error
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not address.is_secure:
            return plain
        verifier = tls or ssl.create_default_context(cafile=certifi.where())
        return verifier.wrap_socket(plain, server_hostname=address.host)
    except OSError as error:
        plain.close()
        raise UnavailableError(f"stream: no TLS with {address.host}:{address.port} ({_words(error)})") from error


def _refusal(answer: Response | None) -> UnavailableError:
    """Say why there is no websocket, by the number alone: the words of an answer may repeat the request."""
    if answer is None:
        return UnavailableError("stream: the server's answer to the handshake is no HTTP response of a websocket")
    if answer.status_code == _FORBIDDEN:
        return LoginRequiredError("stream: the server answered 403: it does not accept the access token")
    return UnavailableError(f"stream: the server answered {answer.status_code}; expected 101, a websocket")


def _words(error: OSError) -> str:
    return f"{type(error).__name__}: {error.strerror or error}"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
