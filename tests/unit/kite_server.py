"""A server that answers, byte for byte, as it is told: on this machine, ended by whoever started it."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

LIMIT_S = 10.0
Step = Callable[["Visit"], bool]


class Got(NamedTuple):
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: str
    connection: int


class Visit(NamedTuple):
    """A connection, and the request that was read from it; None where a step comes before the reading."""

    connection: socket.socket
    got: Got | None
    over: threading.Event


class KiteServer:
    """Answers each request with the next step; the last one answers all that follow.

    A step gets the visit and returns whether the connection stays open.
    """

    def __init__(self, *steps: Step, tls: ssl.SSLContext | None = None) -> None:
        self.steps: list[Step] = list(steps)
        self.got: list[Got] = []
        self._tls = tls
        self._over = threading.Event()
        self._changed = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]
        self._open: list[socket.socket] = []
        self.connections = self.closed = 0
        self._threads[0].start()

    @property
    def root(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._listener.getsockname()[1]}"

    def now_answers(self, *steps: Step) -> None:
        self.steps[:] = steps

    def wait_for(self, requests: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.got) >= requests, LIMIT_S)

    def wait_for_closed(self, connections: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.closed >= connections, LIMIT_S)

    def close(self) -> None:
        self._over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(LIMIT_S)
            assert not thread.is_alive()
        for connection in self._open:
            connection.close()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection, self.connections))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError):
            if self._tls is not None:
                connection.settimeout(LIMIT_S)
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            while not self._over.is_set():
                if self.steps and getattr(self.steps[0], "before_reading", False):
                    keep = self._next()(Visit(connection, None, self._over))
                else:
                    got = _read(connection, number)
                    if got is None:
                        break
                    step = self._next()
                    with self._changed:
                        self.got.append(got)
                        self._changed.notify_all()
                    keep = step(Visit(connection, got, self._over))
                if not keep:
                    break
        connection.close()
        with self._changed:
            self.closed += 1
            self._changed.notify_all()

    def _next(self) -> Step:
        with self._changed:
            return self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]


def _read(connection: socket.socket, number: int) -> Got | None:
    head = b""
    while b"\r\n\r\n" not in head:
        part = connection.recv(65536)
        if not part:
            return None
        head += part
    head, _, body = head.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    length = int(headers.get("content-length", 0))
    while len(body) < length:
        body += connection.recv(65536)
    method, path, _ = first.split(" ")
    return Got(method, path, headers, body.decode(), number)


# Steps.


def reply(status: int, body: str | bytes, kind: str | None = "application/json", *more: str) -> Step:
    """A whole answer; *kind* is its content type, None leaves that header out."""
    raw = body if isinstance(body, bytes) else body.encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(raw)}", *more]
    lines += [] if kind is None else [f"Content-Type: {kind}"]
    return raw_reply("\r\n".join(lines).encode() + b"\r\n\r\n" + raw)


def raw_reply(raw: bytes, *, keep: bool = True) -> Step:
    """Any bytes at all; *keep* leaves the connection open."""

    def step(visit: Visit) -> bool:
        visit.connection.sendall(raw)
        return keep

    return step


def success(data: object) -> Step:
    return reply(200, json.dumps({"status": "success", "data": data}))


def error(status: int, kind: str | None, message: str | None, *more: str) -> Step:
    body = {"status": "error", "data": None}
    body |= {} if kind is None else {"error_type": kind}
    body |= {} if message is None else {"message": message}
    return reply(status, json.dumps(body), "application/json", *more)


def close_after_reading(visit: Visit) -> bool:
    return False


def reset_after_reading(visit: Visit) -> bool:
    visit.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def reset_before_reading(visit: Visit) -> bool:
    """Leave what came unread; without waiting for it the reset may arrive before anything was sent."""
    visit.connection.recv(1, socket.MSG_PEEK)
    visit.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


reset_before_reading.before_reading = True  # type: ignore[attr-defined]


def say_nothing(visit: Visit) -> bool:
    visit.over.wait(LIMIT_S)
    return False


def drip(visit: Visit) -> bool:
    """Send a byte of an endless header now and then, so that no single wait is long."""
    with contextlib.suppress(OSError):
        visit.connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        for _ in range(int(LIMIT_S / 0.05)):
            if visit.over.wait(0.05):
                break
            visit.connection.sendall(b"a")
    return False


@contextlib.contextmanager
def serving(*steps: Step, tls: ssl.SSLContext | None = None) -> Iterator[KiteServer]:
    server = KiteServer(*steps, tls=tls)
    try:
        yield server
    finally:
        server.close()
