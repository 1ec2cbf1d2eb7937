"""One connection to Kite and the client that speaks over it: the one door to ``kiteconnect`` and ``requests``.

The client is Zerodha's own, unchanged but for what is said in ``load_client`` and ``_Session``. A line serves one call
at a time. It tells what an exception alone does not: whether a byte of the request may have left, the answer's real
status, and whether we cut the connection ourselves. Imported only where Kite is spoken: it is heavy.
"""

from __future__ import annotations

import contextlib
import importlib.util
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from functools import cache
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlencode

import certifi
import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from fsm_trader.kite.names import Names

_LARGEST_BODY = 64 * 2**20
_CHUNK = 2**16
_LOADING = threading.Lock()


class Line:
    """A client with a connection of its own, kept open between calls.

    Args:
        root: base address, already checked; None is Zerodha's.
        api_key: the app's key.
        timeout: for connecting, and for each wait for a part of the answer.
        trust: verifies the server.
        names: finds the server; one for all lines.
    """

    def __init__(
        self, *, root: str | None, api_key: str, timeout: timedelta, trust: ssl.SSLContext, names: Names
    ) -> None:
        self.client = load_client()(api_key, root=root, timeout=timeout.total_seconds())
        self.client.reqsession.close()
        self.client.reqsession = _Session(self, trust)
        self.left = False
        self.status: int | None = None
        self.retry_after_s: float | None = None
        self.was_cut = False
        self.used_at_s = time.monotonic()
        self._lock = threading.Lock()
        self._cut_at_s: float | None = None
        self._held: socket.socket | None = None
        self._names, self._timeout_s = names, timeout.total_seconds()

    @contextlib.contextmanager
    def call(self, token: str | None, longest: timedelta) -> Iterator[Any]:
        """Lend the client for one call, which ``cut_overdue`` may end after *longest*."""
        self.left = self.was_cut = False
        self.status = self.retry_after_s = None
        self.client.set_access_token(token)
        with self._lock:
            self._cut_at_s = time.monotonic() + longest.total_seconds()
        try:
            yield self.client
        finally:
            with self._lock:
                self._cut_at_s = None
            self.client.set_access_token(None)
            self.used_at_s = time.monotonic()

    def cut_overdue(self, now_s: float) -> None:
        """Break the connection when the call on it has taken too long: whoever waits for it gets an error."""
        with self._lock:
            if self._cut_at_s is not None and now_s >= self._cut_at_s and self._held is not None:
                self.was_cut = True
                # It may be closed already, by either side.
                with contextlib.suppress(OSError):
                    self._held.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection."""
        self.client.reqsession.close()
        with self._lock:
            held, self._held = self._held, None
        if held is not None:
            held.close()

    def connect(self, host: str, port: int, options: Iterable[Any]) -> socket.socket:
        """Return a new connection, the lookup of its name within the time-out of connecting; it can be cut from now on.

        Raises:
            OSError: there is none.
        """
        connection = self._names.connect(host, port, self._timeout_s, options)
        # Another descriptor to cut it by: TLS takes the first one over.
        mine = connection.dup()
        with self._lock:
            before, self._held = self._held, mine
        if before is not None:
            before.close()
        return connection

    def answered(self, response: requests.Response) -> None:
        """Note what the client does not tell of an answer."""
        self.status = response.status_code
        with contextlib.suppress(KeyError, ValueError):
            # It may also be a date; then our own pause has to do.
            self.retry_after_s = max(0.0, float(response.headers["Retry-After"]))


def new_trust() -> ssl.SSLContext:
    """Return a context that verifies certificate and host name against certifi's list.

    It is read once for all connections: read for each new one it takes most of the time of a first order
    (docs/explanation/kite.md).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certifi.where())
    return context


@cache
def load_client() -> type[Any]:
    """Import the client, without its ticker, and leave its answers as they come.

    ``import kiteconnect`` starts Twisted and a reactor for a websocket client that is not used here. A bare package
    stands in while the client's own module is loaded; who imports from ``kiteconnect`` later gets everything.

    The client turns times into naive ones, candles slowly into dictionaries, and fails as a whole on one empty number
    of an instrument dump; ``shapes`` reads its raw answers instead.
    """
    with _LOADING:
        is_there = "kiteconnect" in sys.modules
        if not is_there:
            spec = importlib.util.find_spec("kiteconnect")
            if spec is None:
                raise ModuleNotFoundError("kiteconnect is not installed; expected the version of pyproject.toml")
            sys.modules["kiteconnect"] = importlib.util.module_from_spec(spec)
        try:
            from kiteconnect.connect import KiteConnect  # noqa: PLC0415 - heavy, and under the stand-in only
        finally:
            if not is_there:
                del sys.modules["kiteconnect"]

    class Client(KiteConnect):  # type: ignore[misc] # the client has no types
        def _format_response(self, data: object) -> object:
            return data

        def _format_historical(self, data: object) -> object:
            return data

        def _parse_instruments(self, data: object) -> object:
            return data

    return Client


class _Session(requests.Session):
    """Goes where it is told and nowhere else: no proxy or .netrc of the machine, no redirect, no cookie, no retry."""

    def __init__(self, line: Line, trust: ssl.SSLContext) -> None:
        super().__init__()
        self.trust_env = False
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._line = line
        self._adapter = _Adapter(line, trust)
        for scheme in ("http://", "https://"):
            self.mount(scheme, self._adapter)
        self._own_headers = dict(self.headers)

    def merge_environment_settings(self, *_args: Any, **_kwargs: Any) -> Any:
        """Return how everything is sent, whatever the machine and the caller say."""
        return {"proxies": {}, "stream": True, "verify": True, "cert": None}

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """Prepare a form of texts and numbers, which is what an order is, as ``requests`` does in a tenth of its time.

        There is nothing to merge: the address is whole, and no cookie, hook or password is ever added.
        """
        form = request.data
        if request.method != "POST" or request.params or request.json or request.files or not _is_plain(form):
            return super().prepare_request(request)
        prepared = requests.PreparedRequest()
        prepared.method, prepared.url, prepared.body = "POST", str(request.url), urlencode(form)
        # A plain dictionary: one that ignores case is copied name by name on its way to the wire.
        prepared.headers = {  # type: ignore[assignment] # reason above
            **self._own_headers,
            **request.headers,
            "Content-Length": str(len(prepared.body)),
            "Content-Type": "application/x-www-form-urlencoded",
        }
        return prepared

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send it once: there is no redirect to follow, no hook to call and no cookie to keep."""
        kwargs.pop("allow_redirects", None)
        return self._adapter.send(request, **kwargs)

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        """Send one request and take its whole answer, up to 64 MB."""
        with super().request(method, url, *args, **kwargs) as response:
            self._line.answered(response)
            # What the client reads next; requests itself sets it so where it does not stream.
            response._content = _whole(response.iter_content(_CHUNK))  # noqa: SLF001 - reason above
        return response


def _whole(parts: Iterable[bytes]) -> bytes:
    """Put an answer together once, at its end: each part would copy all that came before it."""
    kept: list[bytes] = []
    size = 0
    for part in parts:
        size += len(part)
        if size > _LARGEST_BODY:
            raise requests.exceptions.ContentDecodingError(f"an answer of more than {_LARGEST_BODY} bytes")
        kept.append(part)
    return b"".join(kept)


def _is_plain(form: object) -> bool:
    return isinstance(form, dict) and all(type(value) in (str, int) for value in form.values())


class _Adapter(HTTPAdapter):
    """One connection, on the line; TLS always verified, by the context that was made once."""

    def __init__(self, line: Line, trust: ssl.SSLContext) -> None:
        self._line, self._trust = line, trust
        self._pool: Any = None
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **kwargs: Any) -> None:  # noqa: FBT001, FBT002 - the signature of requests
        """Make the pool of this line's connections."""
        super().init_poolmanager(connections, maxsize, block, ssl_context=self._trust, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _pools_on(self._line)

    def get_connection_with_tls_context(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        """Return the pool of this line's one server, looked up once: the client asks for paths below one root."""
        if self._pool is None:
            self._pool = super().get_connection_with_tls_context(request, *args, **kwargs)
        return self._pool

    def close(self) -> None:
        """Close the connection; the manager of pools would only let go of it."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()
        super().close()

    def request_url(self, request: requests.PreparedRequest, proxies: object) -> str:
        """Return path and query: there is no proxy, which would be told the whole address."""
        del proxies
        return request.path_url

    def cert_verify(self, conn: Any, url: str, verify: object, cert: object) -> None:
        """Demand a certificate, and leave its judging to the context: a list named here would be read each time."""
        del url, verify, cert
        conn.cert_reqs, conn.ca_certs = "CERT_REQUIRED", None


class _Whole(HTTPConnection):
    """Sends a request in one piece: head and body apart are two system calls, and two packets on the wire."""

    _parts: list[bytes] | None = None

    def request(self, *args: Any, **kwargs: Any) -> None:
        self._parts = []
        try:
            super().request(*args, **kwargs)
            whole = b"".join(self._parts)
        finally:
            self._parts = None
        self.send(whole)

    def send(self, data: Any) -> None:
        if self._parts is None:
            super().send(data)
        else:
            self._parts.append(data)


def _pools_on(line: Line) -> dict[str, type[HTTPConnectionPool]]:
    class Plain(_Whole):
        def _new_conn(self) -> socket.socket:
            return _connected(line, self)

        def send(self, data: Any) -> None:
            if self._parts is None:
                _before_first_byte(line, self)
            super().send(data)

    class Secure(_Whole, HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _connected(line, self)

        def send(self, data: Any) -> None:
            if self._parts is None:
                _before_first_byte(line, self)
            super().send(data)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def _connected(line: Line, connection: HTTPConnection) -> socket.socket:
    """Connect, with the errors that ``requests`` expects of its connections."""
    try:
        return line.connect(connection.host, connection.port, connection.socket_options or ())
    except socket.gaierror as error:
        raise NameResolutionError(connection.host, connection, error) from error
    except TimeoutError as error:
        raise ConnectTimeoutError(connection, f"no connection to {connection.host} in time") from error
    except OSError as error:
        raise NewConnectionError(connection, f"no connection to {connection.host}: {error}") from error


def _before_first_byte(line: Line, connection: HTTPConnection) -> None:
    """Connect where that is still to be done: what fails until then has certainly not reached the server."""
    if connection.sock is None:
        connection.connect()
    line.left = True
