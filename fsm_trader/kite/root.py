"""Which base addresses a token may travel to."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from fsm_trader.errors import SetupError


def check_root(root: str | None) -> None:
    """Refuse a base address that would carry the token in the clear, or that the client would not use as it stands.

    Raises:
        SetupError: with the reason; user and password in it are not shown.
    """
    fault = _fault(root) if root is not None else ""
    if fault:
        raise SetupError.at("Kite", f"root {fault}; expected https://HOST, or http:// on this machine")


def _fault(root: str) -> str:
    try:
        parts = urlsplit(root)
        _ = parts.port  # raises ValueError where it is none
    except ValueError:
        return "is no address (not shown)"
    if not parts.hostname or parts.scheme not in ("http", "https"):
        return f"begins with {parts.scheme or 'no scheme'}://"
    if "@" in parts.netloc or parts.query or parts.fragment:
        return "holds a user, a password, a query or a fragment (not shown)"
    if parts.path not in ("", "/"):
        # The client joins its routes to the host alone.
        return f"has the path {parts.path}, which would be left out"
    if parts.scheme == "http" and not is_here(parts.hostname):
        return f"is plain http to {parts.hostname}: the token would travel in the clear"
    return ""


def is_here(host: str) -> bool:
    """Tell whether a host name or address is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
