"""Connections to a host by its name, within a time: the lookup is waited for, and never for longer than that.

A name server that hangs cannot be interrupted, and it must not hold an exit: what was found before stands in for it.
That is safe, for TLS asks whoever answers for the name. It knows nothing of HTTP.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future

from urllib3.util.connection import allowed_gai_family

_LOG = logging.getLogger(__name__)
# As ``socket.getaddrinfo`` gives it: family, kind, protocol, canonical name, address.
Found = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]
Option = tuple[int, int, int | bytes]
# With addresses of before at hand a lookup is not worth more.
_LONGEST_LOOKUP_S = 1.0


class Names:
    """Connects, and remembers where hosts were. Safe to call from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[str, int], Sequence[Found]] = {}
        self._asked: dict[tuple[str, int], Future[Sequence[Found]]] = {}

    def connect(self, host: str, port: int, timeout_s: float, options: Iterable[Option]) -> socket.socket:
        """Return a socket connected to the first address that answers; its waits end after *timeout_s* each.

        Args:
            host: name or address.
            port: of the server.
            timeout_s: for lookup and connecting together.
            options: set on the socket.

        Raises:
            OSError: the name is not found (``socket.gaierror``), or no address answers in time.
        """
        ends_s = time.monotonic() + timeout_s
        found = self._find((host, port), timeout_s)
        error: OSError = socket.gaierror(socket.EAI_NONAME, "the name has no address")
        for number, (family, kind, protocol, _, address) in enumerate(found):
            # An even share, so that one that swallows everything leaves time for the others.
            share_s = max(0.001, (ends_s - time.monotonic()) / (len(found) - number))
            connection = socket.socket(family, kind, protocol)
            try:
                for option in options:
                    connection.setsockopt(*option)
                connection.settimeout(share_s)
                connection.connect(address)
            except OSError as why:
                connection.close()
                error = why
            else:
                connection.settimeout(timeout_s)
                return connection
        raise error

    def _find(self, key: tuple[str, int], longest_s: float) -> Sequence[Found]:
        """Return the addresses of a host, those of before where the lookup fails or takes long."""
        with self._lock:
            known = self._known.get(key)
            answer = self._asked.get(key)
            if answer is None:
                answer = self._asked[key] = Future()
                threading.Thread(target=self._look_up, args=(key, answer), name="kite-names", daemon=True).start()
        try:
            return answer.result(min(longest_s, _LONGEST_LOOKUP_S) if known else longest_s)
        except OSError as error:
            # A wait that ended is one of these too, and has no words of its own.
            why = error.strerror or f"no answer from the name server in {longest_s:g} s"
            if not known:
                raise socket.gaierror(socket.EAI_AGAIN, why) from error
            _LOG.warning("the name %s cannot be looked up (%s); its addresses of before are used", key[0], why)
            return known

    def _look_up(self, key: tuple[str, int], answer: Future[Sequence[Found]]) -> None:
        host, port = key
        try:
            found = socket.getaddrinfo(host.strip("[]"), port, allowed_gai_family(), socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            failed = error if isinstance(error, OSError) else socket.gaierror(socket.EAI_NONAME, f"no name: {error}")
            with self._lock:
                del self._asked[key]
            answer.set_exception(failed)
            return
        with self._lock:
            self._known[key] = found
            del self._asked[key]
        answer.set_result(found)
