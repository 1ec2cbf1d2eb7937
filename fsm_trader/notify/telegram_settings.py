"""What Telegram settings must keep to, before anything is started. Knows no network and shows no secret."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from fsm_trader.core.settings import TelegramSettings
from fsm_trader.errors import Fault, SetupError

# Characters that a URL path carries unchanged, so that the token looks the same wherever a library may write it.
_TOKEN = re.compile(r"[A-Za-z0-9:._~-]+")


def check_settings(settings: TelegramSettings) -> None:
    """Refuse settings that cannot work or could show the token, all faults at once.

    Raises:
        SetupError: names each fault and where its value came from, never the value of a secret.
    """
    faults: list[Fault] = []
    if not _is_safe(settings.root):
        expected = "an https:// address without user, query or fragment (http:// only for this machine)"
        message = f"{_shown(settings.root)}; expected {expected}"
        faults.append(Fault("notify.telegram", "$.notify.telegram.root", message))
    if not _TOKEN.fullmatch(settings.token.reveal()):
        message = f"the value from {settings.token.source} is no bot token; expected letters, digits and : . _ ~ - only"
        faults.append(Fault("notify.telegram", "$.notify.telegram.token", message))
    if not settings.chat_id.reveal().strip():
        message = f"the value from {settings.chat_id.source} is empty; expected the number or @name of a chat"
        faults.append(Fault("notify.telegram", "$.notify.telegram.chat_id", message))
    if settings.timeout.total_seconds() <= 0:
        message = f"{settings.timeout.total_seconds()} s; expected more than zero"
        faults.append(Fault("notify.telegram", "$.notify.telegram.timeout", message))
    if faults:
        raise SetupError(faults)


def _is_safe(root: str) -> bool:
    try:
        parts = urlsplit(root)
        host, _ = parts.hostname, parts.port  # reading the port is what checks it
    except ValueError:
        return False
    if not host or "@" in parts.netloc or parts.query or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))


def _shown(root: str) -> str:
    # A password or a token may have slipped into the address, so only its harmless parts are repeated.
    try:
        parts = urlsplit(root)
    except ValueError:
        return "an address that cannot be read"
    return f"an address that begins {parts.scheme}://{parts.hostname or ''}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
