"""The way from a person's login to an access token: Kite's login page, the redirect it ends in, the exchange.

It must not know where the token is kept. The request token, the secret and the access token are in no error and no log.
"""

from __future__ import annotations

import hmac
import re
import secrets
import threading
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from fsm_trader.errors import LoginRequiredError, SetupError, UnavailableError
from fsm_trader.kite.root import is_here
from fsm_trader.kite.shapes import read_time
from fsm_trader.kite.tokens import INDIA, StoredToken, app_of
from fsm_trader.kite.wire import KiteWire

_LOGIN_PAGE = "https://kite.zerodha.com/connect/login"
_TOKEN = re.compile(r"[A-Za-z0-9]{32}")
_MORE_THAN_A_TOKEN = re.compile(r"[=/?&]")
_SUCCESS = "success"
_WRONG_SECRET = "checksum"  # noqa: S105 - the word in Kite's answer to a secret that does not fit the key
_STATE = "state"
_MOST_QUERY = 4_096
_READ_S = 5.0
_STRANGE = "<!doctype html><meta charset=utf-8><title>fsm_trader</title><p>This is not the login that is waited for."
_DONE = (
    "<!doctype html><meta charset=utf-8><title>fsm_trader</title><p>The login has arrived. You may close this page; "
    "how it went is said where the login was begun."
)


def login_url(root: str | None, api_key: str, *, state: str = "") -> str:
    """Return the address of the page a person logs in at.

    Args:
        root: base address of the REST interface; one on this machine, as the sandbox's, has a login page of its own.
        api_key: the app's; it is a part of the address.
        state: comes back with the redirect, as kite.trade/docs/connect/v3/user says of ``redirect_params``.
    """
    page = f"{root}/connect/login" if root is not None and is_here(urlsplit(root).hostname or "") else _LOGIN_PAGE
    asked = {"v": "3", "api_key": api_key}
    if state:
        asked["redirect_params"] = urlencode({_STATE: state})
    return f"{page}?{urlencode(asked)}"


def new_state() -> str:
    """Return what goes with a login and comes back with its redirect, so that no other login is taken for it."""
    return secrets.token_urlsafe(16)


def request_token_of(text: str, *, state: str = "") -> str:
    """Return the request token in what a person pasted: the token alone, or the whole address they were sent to.

    Args:
        text: what was pasted.
        state: what went with the login; a whole address must hold it. Empty: nobody knows.

    Raises:
        LoginRequiredError: there is none in it, or the address is the end of another login, or of one that failed.
    """
    text = text.strip()
    # Whatever is more than a token is an address, and has to be the end of this login.
    is_token = not _MORE_THAN_A_TOKEN.search(text)
    asked = {"request_token": text} if is_token else _asked(text)
    fault = _fault_of(asked, state="" if is_token else state)
    if fault:
        raise LoginRequiredError(f"login: {fault}. Nothing was stored.")
    return asked["request_token"]


def _fault_of(asked: dict[str, str], *, state: str) -> str:
    token = asked.get("request_token", "")
    if asked.get("status", _SUCCESS) != _SUCCESS:
        return "the address is of a login that did not succeed (not shown); expected status=success in it: log in anew"
    if not token:
        return (
            "no request token in what was given (not shown); expected it, or the whole address that the login ended "
            "at, with request_token=... in it"
        )
    if not _TOKEN.fullmatch(token):
        return "what was given is no request token (not shown); expected 32 letters and digits. Kite was not asked"
    # Whoever gets a person to paste an address with a token of his own would have us trade on his account.
    if state and not _is_same(asked.get(_STATE, ""), state):
        return (
            "the address is not the end of this login (not shown); expected the one that the login page of above led "
            "to, or the request token alone. Kite was not asked"
        )
    return ""


def _is_same(seen: str, state: str) -> bool:
    return hmac.compare_digest(seen.encode(errors="surrogatepass"), state.encode())


def exchange(wire: KiteWire, request_token: str, *, api_key: str, api_secret: str) -> StoredToken:
    """Exchange a request token, once, and return the access token.

    Raises:
        LoginRequiredError: Kite does not take it, or gave no usable answer; a person has to log in anew.
    """
    try:
        answer = wire.exchange(request_token, api_secret)
    except UnavailableError as error:
        if _WRONG_SECRET in str(error):
            raise LoginRequiredError(
                f"login: broker.kite.api_secret does not fit broker.kite.api_key ({error}). Take both from the app's "
                "page at Kite, then log in anew. Nothing was stored."
            ) from None
        raise LoginRequiredError(
            f"login: {error}. A request token serves once and for a few minutes: log in anew. Nothing was stored."
        ) from None
    return StoredToken(
        app=app_of(api_key),
        user=_text(answer, "user_id"),
        issued_at=_issued_at(answer),
        token=_text(answer, "access_token"),
    )


def _text(answer: dict[str, Any], key: str) -> str:
    value = answer.get(key)
    if not isinstance(value, str) or not value:
        raise LoginRequiredError(
            f"login: Kite's answer has no {key}; expected one. The request token is used up: log in anew. Nothing was "
            "stored."
        )
    return value


def _issued_at(answer: dict[str, Any]) -> datetime:
    """Return Kite's own time of the login: it is Kite that lets the token die."""
    seen = answer.get("login_time")
    if isinstance(seen, datetime):
        # The client has read it already, and left the zone out.
        return seen.replace(tzinfo=INDIA)
    try:
        return read_time(seen)
    except ValueError as error:
        raise LoginRequiredError(
            f"login: Kite's answer has a login_time that is none ({error}); log in anew. Nothing was stored."
        ) from None


class Redirect:
    """Waits on this machine for the redirect that a login ends in.

    Args:
        port: of 127.0.0.1; it must be the one in the redirect address of the app. 0: any, for tests.

    Attributes:
        state: goes with the login and comes back; an answer with another one is not of this login.

    Raises:
        SetupError: the port cannot be listened at.
    """

    def __init__(self, port: int) -> None:
        self.state = new_state()
        self._arrived = threading.Event()
        self._outcome = ""
        self._token: str | None = None
        try:
            self._server = HTTPServer(("127.0.0.1", port), self._handler())
        except OSError as error:
            raise SetupError.at(
                "--listen", f"127.0.0.1:{port} cannot be listened at ({error.strerror}); expected a free port"
            ) from None
        self.port: int = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True, name="fsm-login")
        self._thread.start()

    def wait(self, seconds: float) -> str:
        """Return the request token.

        Raises:
            LoginRequiredError: none came within *seconds*, or the login was broken off.
        """
        if not self._arrived.wait(seconds):
            raise LoginRequiredError(
                f"login: nobody came back from the login within {seconds:g} s. Nothing was stored."
            )
        if self._token is None:
            raise LoginRequiredError(f"login: the login ended without a token ({self._outcome}). Nothing was stored.")
        return self._token

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(_READ_S)

    def _take(self, path: str) -> bool:
        """Take a request's path; True when it is the end of this login."""
        asked = _asked(path[:_MOST_QUERY])
        if self._arrived.is_set() or not {"request_token", "status"} & asked.keys():
            return False
        # Whoever lets a browser come here with a token of his own would have us trade on his account.
        if not _is_same(asked.get(_STATE, ""), self.state):
            return False
        token = asked.get("request_token", "")
        if asked.get("status", _SUCCESS) == _SUCCESS and _TOKEN.fullmatch(token):
            self._token = token
        else:
            self._outcome = "it was not a success"
        self._arrived.set()
        return True

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        take = self._take

        class Handler(BaseHTTPRequestHandler):
            timeout = _READ_S

            def do_GET(self) -> None:
                is_end = take(self.path)
                body = (_DONE if is_end else _STRANGE).encode()
                self.send_response(200 if is_end else 404)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                # The address of this page holds the request token: it is not handed on.
                self.send_header("Referrer-Policy", "no-referrer")
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(body)
                self.close_connection = True

            def log_message(self, *_words: object) -> None:
                """Say nothing: a request line holds the request token."""

        return Handler


def _asked(address: str) -> dict[str, str]:
    try:
        query = urlsplit(address).query or address.partition("?")[2] or address
        found = parse_qs(query, max_num_fields=20)
    except ValueError:
        return {}
    # What is there twice says two things; nobody can tell which one was meant.
    return {name: values[0] for name, values in found.items() if len(values) == 1}
