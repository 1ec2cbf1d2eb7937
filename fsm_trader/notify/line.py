"""A connection that can be cut: the HTTP library bounds each read, so a server that drips bytes could hold it for ever.

Imported only where HTTP is spoken. It knows no message and no token.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection


class Line:
    """Holds the one connection that is in use, and cuts it when its time is up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: socket.socket | None = None
        self.was_cut = False

    @contextlib.contextmanager
    def at_most(self, seconds: float) -> Iterator[None]:
        """Cut the connection when the block takes longer than *seconds*: what waits in it ends or fails (OSError)."""
        self.was_cut = False
        cutter = threading.Timer(seconds, self._cut)
        cutter.daemon = True
        cutter.start()
        try:
            yield
        finally:
            cutter.cancel()

    def take(self, connection: socket.socket) -> None:
        """Hold a new connection in place of the one before."""
        # A descriptor of our own: TLS takes the one of the connection over, and both speak of the same connection.
        mine = connection.dup()
        with self._lock:
            before, self._held = self._held, mine
        if before is not None:
            before.close()
        if self.was_cut:
            self._cut()

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            held, self._held = self._held, None
        if held is not None:
            held.close()

    def _cut(self) -> None:
        self.was_cut = True
        with self._lock, contextlib.suppress(OSError):
            # It may be closed already, by either side.
            if self._held is not None:
                self._held.shutdown(socket.SHUT_RDWR)


def pools_on(line: Line) -> dict[str, type[HTTPConnectionPool]]:
    """Return connection pools by scheme whose connections *line* holds."""

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            connection = super()._new_conn()
            line.take(connection)
            return connection

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            connection = super()._new_conn()
            line.take(connection)
            return connection

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
