"""Requests and answers as plain records, and which of Kite's calls a request is. Knows no HTTP library."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from fsm_trader.simulate.sandbox.forms import KiteError
from fsm_trader.simulate.sandbox.limits import Rate


class Route(msgspec.Struct, frozen=True):
    """One of Kite's calls: its name here, its rate, and whether it wants a token."""

    name: str
    method: str
    path: re.Pattern[str]
    rate: Rate = "other"
    signed: bool = True


class Call(msgspec.Struct, frozen=True):
    """A request.

    Args:
        method, path: as sent.
        query: names and values, in order; names may repeat.
        form: the body of a form.
        authorization, version: headers Authorization and X-Kite-Version, None where they are absent.
    """

    method: str
    path: str
    query: Sequence[tuple[str, str]] = ()
    form: Mapping[str, str] = {}
    authorization: str | None = None
    version: str | None = None

    def asked(self, name: str) -> str:
        """Return the first value of a name in the query, empty when there is none."""
        return next((value for key, value in self.query if key == name), "")

    def all_asked(self, name: str) -> list[str]:
        """Return every value of a name in the query."""
        return [value for key, value in self.query if key == name]


class Answer(msgspec.Struct, frozen=True):
    """What is sent back."""

    status: int
    body: bytes
    content_type: str = "application/json"
    location: str | None = None

    @classmethod
    def data(cls, data: Any) -> Answer:
        """Wrap data the way Kite does."""
        return cls(200, msgspec.json.encode({"status": "success", "data": data}))

    @classmethod
    def error(cls, error: KiteError) -> Answer:
        """Wrap an error the way Kite does."""
        return cls(error.status, error_body(error.message, error.error_type))


def error_body(message: str, error_type: str) -> bytes:
    """Return the JSON of an error."""
    return msgspec.json.encode({"status": "error", "message": message, "data": None, "error_type": error_type})


def _route(name: str, method: str, path: str, rate: Rate = "other", *, signed: bool = True) -> Route:
    return Route(name, method, re.compile(path), rate, signed)


_ORDER = r"/orders/(?P<order_id>[^/]+)"
_OF_VARIETY = r"/orders/(?P<variety>[^/]+)"
ROUTES = (
    _route("clock", "GET", "/sandbox/clock", signed=False),
    _route("login", "GET", "/connect/login", signed=False),
    _route("session", "POST", "/session/token", signed=False),
    _route("logout", "DELETE", "/session/token", signed=False),
    _route("profile", "GET", "/user/profile"),
    _route("margins", "GET", "/user/margins(?:/(?P<segment>equity|commodity))?"),
    _route("holdings", "GET", "/portfolio/holdings"),
    _route("positions", "GET", "/portfolio/positions"),
    _route("place", "POST", _OF_VARIETY, "order"),
    _route("modify", "PUT", _OF_VARIETY + "/(?P<order_id>[^/]+)", "order"),
    _route("cancel", "DELETE", _OF_VARIETY + "/(?P<order_id>[^/]+)", "order"),
    _route("orders", "GET", "/orders"),
    _route("order_trades", "GET", _ORDER + "/trades"),
    _route("order", "GET", _ORDER),
    _route("trades", "GET", "/trades"),
    _route("instruments", "GET", "/instruments(?:/(?P<exchange>[A-Z]+))?", signed=False),
    _route("historical", "GET", "/instruments/historical/(?P<token>[0-9]+)/(?P<interval>[a-z0-9]+)", "historical"),
    _route("quote", "GET", "/quote", "quote"),
    _route("ohlc", "GET", "/quote/ohlc", "quote"),
    _route("ltp", "GET", "/quote/ltp", "quote"),
)


def route_of(method: str, path: str) -> tuple[Route, dict[str, str]]:
    """Return the call that a request is, and the named parts of its path.

    Raises:
        KiteError: it is none that the sandbox has.
    """
    there = [(route, match) for route in ROUTES if (match := route.path.fullmatch(path))]
    for route, match in there:
        if route.method == method:
            return route, {name: value for name, value in match.groupdict().items() if value is not None}
    if there:
        raise KiteError("Method not allowed.", "GeneralException", 405)
    raise KiteError("Route not found: the sandbox does not simulate it.", "GeneralException", 404)
