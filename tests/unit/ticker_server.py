"""A websocket server on this machine whose every connection follows a script of the test's."""

from __future__ import annotations

import json
import queue
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from fsm_trader.kite.ticks import Tick

Script = Callable[[ServerConnection], None]
WAIT_S = 5.0


class Ticker:
    """What the server saw. ``scripts`` are used up one for each connection; the last one stays."""

    def __init__(self, scripts: Sequence[Script]) -> None:
        self.scripts = list(scripts)
        self.paths: list[str] = []
        self.asked: queue.SimpleQueue[dict[str, object]] = queue.SimpleQueue()
        self.refuse_with: int | None = None
        self.root = ""

    def request(self, connection: ServerConnection, request: Request) -> Response | None:
        self.paths.append(request.path)
        return None if self.refuse_with is None else connection.respond(self.refuse_with, f"no: {request.path}\n")

    def handle(self, connection: ServerConnection) -> None:
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        try:
            script(connection)
        except ConnectionClosed:
            return

    def read(self, connection: ServerConnection) -> dict[str, object]:
        said = json.loads(connection.recv(timeout=WAIT_S))
        self.asked.put(said)
        return said

    def follow(self, connection: ServerConnection) -> None:
        """Read what the client says until it leaves."""
        while True:
            self.asked.put(json.loads(connection.recv(timeout=4 * WAIT_S)))


@contextmanager
def ticker(*scripts: Script, tls: ssl.SSLContext | None = None) -> Iterator[Ticker]:
    """Serve on a free port of this machine until the block ends."""
    seen = Ticker(scripts)
    with serve(seen.handle, "127.0.0.1", 0, process_request=seen.request, ssl=tls, ping_interval=None) as server:
        seen.root = f"{'wss' if tls else 'ws'}://127.0.0.1:{server.socket.getsockname()[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield seen
        finally:
            server.shutdown()
            thread.join()


class Heard:
    """A stream's listener that keeps what it was told, for a test that waits for it."""

    def __init__(self) -> None:
        self.events: queue.SimpleQueue[tuple[str, object]] = queue.SimpleQueue()

    def opened(self) -> None:
        self.events.put(("opened", None))

    def heard(self) -> None:
        self.events.put(("heard", None))

    def ticks(self, ticks: Sequence[Tick]) -> None:
        self.events.put(("ticks", list(ticks)))

    def order_update(self) -> None:
        self.events.put(("order", None))

    def lost(self, why: str, *, login_required: bool) -> None:
        self.events.put(("lost", (why, login_required)))

    def next(self, *kinds: str) -> tuple[str, object]:
        """Return the next event of one of *kinds*."""
        while True:
            event = self.events.get(timeout=WAIT_S)
            if event[0] in kinds:
                return event
