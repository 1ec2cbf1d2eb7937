"""Paths relative to the file they stand in, and addresses of other machines. It opens nothing and connects nowhere."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from fsm_trader.config.secrets import VARIABLE, Secrets
from fsm_trader.strict_yaml import Node, Reader

_PATH = r"[^~\x00-\x1f][^\x00-\x1f]*"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\+[A-Za-z0-9_]+)?://.*")
# SQLAlchemy's own idea of where a password stands; urlsplit overlooks one that holds a slash.
_PASSWORD = re.compile(r"(?P<before>[\w+]+://[^:/]*:)(?P<password>[^@]*)@(?P<after>.*)", re.DOTALL)
_SECRET_WORDS = re.compile(r"pass|pwd|secret|token", re.IGNORECASE)
_STAND_IN = "sqlite:////nowhere"


class ConcealedUrl(str):
    """A database address that holds a password: usable as text, but its repr, and so that of settings, hides it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'(database address with a secret)'"


def read_path(reader: Reader, node: Node | None, folder: Path, default: str) -> Path:
    """Return an absolute path; a relative one starts at *folder*, the folder of the file it stands in."""
    text = None if node is None else reader.text(node, pattern=_PATH, expected="a path (~ is not expanded)")
    return folder / (default if text is None else text)


def read_root(reader: Reader, node: Node, *, secure: str, plain: str, may_have_path: bool = True) -> str | None:
    """Return the base address of a server without a slash at its end.

    Args:
        reader: collects the faults.
        node: the address.
        secure: scheme that may be used everywhere, ``https`` or ``wss``.
        plain: its unencrypted twin, for this machine only: a token would travel in the clear.
        may_have_path: whether what is asked for is joined to its path, and not to the host alone.
    """
    wanted = (
        f"{secure}://HOST[:PORT]{'[/PATH]' if may_have_path else ''}, or {plain}://127.0.0.1[:PORT] on this machine"
    )
    text = reader.text(node, expected=wanted)
    if text is None:
        return None
    fault = _root_fault(text, secure, plain)
    if not fault and not may_have_path and urlsplit(text).path.strip("/"):
        fault = "has a path, which would be left out"
    if fault:
        reader.fault(node, f"{fault}; expected {wanted}")
        return None
    return text.rstrip("/")


def _root_fault(text: str, secure: str, plain: str) -> str | None:
    parts = _split(text)
    if parts is None or parts.scheme not in (secure, plain) or not parts.hostname or not re.fullmatch("[!-~]+", text):
        return "is not such an address"
    if "@" in parts.netloc or parts.query or parts.fragment:
        return "holds a user, password, query or fragment (not shown)"
    if parts.scheme == plain and not _is_loopback(parts.hostname):
        return f"plain {plain} to {parts.hostname}: the token would travel in the clear"
    return None


def _split(text: str) -> SplitResult | None:
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises ValueError when it is none
    except ValueError:
        return None
    return parts


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_journal_url(reader: Reader, node: Node | None, folder: Path, secrets: Secrets) -> str:
    """Return an SQLAlchemy URL; the path of a SQLite file is made absolute, starting at *folder*.

    A password comes from the environment: the whole URL is ``${NAME}``, or its password is.
    """
    if node is None:
        return _absolute_sqlite("sqlite:///var/fsm_trader.db", folder)
    if node.refused or not isinstance(node.value, str):
        reader.text(node, expected="an SQLAlchemy URL such as sqlite:///var/fsm_trader.db")
        return _STAND_IN
    url, concealed = _resolved(node, node.value, secrets)
    fault = _journal_fault(url, concealed=concealed)
    if fault:
        reader.fault(node, fault)
        return _STAND_IN
    url = _absolute_sqlite(url, folder)
    return ConcealedUrl(url) if concealed else url


def _resolved(node: Node, text: str, secrets: Secrets) -> tuple[str, bool]:
    whole = re.fullmatch(VARIABLE, text)
    if whole:
        return secrets.find(node, whole[1]).reveal() or _STAND_IN, True
    parts = _PASSWORD.fullmatch(text)
    variable = re.fullmatch(VARIABLE, parts["password"]) if parts else None
    if parts and variable and not _has_secret_option(text):
        return f"{parts['before']}{quote(secrets.find(node, variable[1]).reveal(), safe='')}@{parts['after']}", True
    return text, False


def _journal_fault(url: str, *, concealed: bool) -> str | None:
    if not _URL.fullmatch(url):
        return "is not an SQLAlchemy URL (not shown); expected one such as sqlite:///var/fsm_trader.db"
    if not concealed and (_PASSWORD.fullmatch(url) or _has_secret_option(url)):
        return "holds a literal password (not shown); expected ${NAME} in its place: secrets come from the environment"
    if "${" in url:
        return "holds ${...} in the middle; expected it as the whole URL or as the password"
    return _sqlite_fault(url) if _is_sqlite(url) else None


def _has_secret_option(url: str) -> bool:
    return any(_SECRET_WORDS.search(name) for name, _ in parse_qsl(url.partition("?")[2]))


def _sqlite_fault(url: str) -> str | None:
    kind, _, rest = url.partition("://")
    path, _, options = rest.partition("?")
    if kind not in ("sqlite", "sqlite+pysqlite"):
        return f"asks for the driver {kind.partition('+')[2]}; expected none: the journal is written with Python's own"
    if options:
        # How long a lock is waited for, and all that makes a commit durable, is not a matter of taste.
        return "holds options behind a question mark; expected none: how the file is written is fixed"
    if not path.startswith("/"):
        return "names no file; expected three slashes before a relative path, as in sqlite:///var/fsm_trader.db"
    if path in ("/", "/:memory:") or path.startswith("/file:"):
        return "names no file on disk; expected one: a journal in memory forgets the open trade in a crash"
    if path.endswith("/") or "\0" in unquote(path):
        return "cannot be the name of a file; expected one, as in sqlite:///var/fsm_trader.db"
    return None


def _is_sqlite(url: str) -> bool:
    return re.match(r"sqlite(\+[a-z0-9_]+)?://", url) is not None


def _absolute_sqlite(url: str, folder: Path) -> str:
    head, _, rest = url.partition(":///")
    path, mark, query = rest.partition("?")
    if not _is_sqlite(url) or path.startswith("/"):
        return url
    return f"{head}:///{quote(str(folder / unquote(path)), safe='/ +')}{mark}{query}"


def sqlite_file(url: str) -> Path | None:
    """Return the file of a SQLite journal whose URL was read here, None for another database."""
    _, _, rest = url.partition(":///")
    return Path(unquote(rest.partition("?")[0])) if _is_sqlite(url) else None
