"""``sandbox``: a Kite-compatible server on this machine, over a recorded day, until it is told to stop."""

from __future__ import annotations

import argparse
import ipaddress
import sys
from urllib.parse import urlsplit

import msgspec

from fsm_trader.app.files import settings_of
from fsm_trader.app.sandbox import Ready, Wishes, serve_sandbox, session_path, write_session
from fsm_trader.core.settings import Settings
from fsm_trader.errors import SetupError
from fsm_trader.simulate.sandbox.fault_file import read_plan


def call(options: argparse.Namespace) -> int:
    """Serve; faults of the files, the address and the plan are raised before anything listens."""
    settings = settings_of(options.file)
    if options.write_session is not None:
        session_path(settings, options.write_session)
    wishes = Wishes(
        host=_loopback(options.host),
        port=options.port,
        speed=options.speed,
        book=options.book,
        plan=read_plan(options.faults, options.fault),
        limits=not options.no_limits,
        catch_up=options.catch_up,
        redirect=_redirect(options.redirect_url),
    )
    came_to = serve_sandbox(settings, wishes, lambda ready: _show(options, settings, ready))
    if not options.json:
        print(f"stopped at {came_to:%H:%M:%S} of {came_to:%Y-%m-%d}; the same command goes on from there")
    return 0


def _show(options: argparse.Namespace, settings: Settings, ready: Ready) -> None:
    written = None if options.write_session is None else write_session(settings, ready, options.write_session)
    if options.json:
        print(
            msgspec.json.encode(
                {**msgspec.structs.asdict(ready), "session": None if written is None else str(written)}
            ).decode()
        )
    else:
        print(_text(ready, None if written is None else str(written)))
    sys.stdout.flush()


def _text(ready: Ready, written: str | None) -> str:
    token = ready.access_token or "none is good any more: log in"
    lines = [
        f"{ready.label}",
        f"stands at {ready.now}, speed {ready.speed:g}; it runs from the first request with a token on",
        "",
        f"  REST        {ready.root}",
        f"  websocket   {ready.stream_root}",
        f"  login       {ready.login_url}",
        f"  clock       {ready.clock_url}",
        f"  api secret  {ready.api_secret}   (for a login)",
        "",
        f"export KITE_API_KEY={ready.api_key}",
        f"export KITE_ACCESS_TOKEN={token}" if ready.access_token else f"# access token: {token}",
        "",
    ]
    if written is not None:
        return "\n".join([*lines, f"{written} is ready for it", "Ctrl-C ends it; the day can be gone on with."])
    return "\n".join(
        [
            *lines,
            "broker:",
            "  kind: kite",
            "  kite:",
            f"    root: {ready.root}",
            "    api_key: ${KITE_API_KEY}",
            "    access_token: ${KITE_ACCESS_TOKEN}",
            "market:",
            "  recorded: null",
            f"  stream_root: {ready.stream_root}",
            "",
            "Ctrl-C ends it; the day can be gone on with.",
        ]
    )


def _loopback(host: str) -> str:
    try:
        if ipaddress.ip_address(host).is_loopback:
            return host
    except ValueError:
        if host == "localhost":
            return "127.0.0.1"
    raise SetupError.at(
        "--host",
        f"was {host}; expected a loopback address such as 127.0.0.1: its keys are no secret, and nothing is TLS",
    )


def _redirect(url: str | None) -> str | None:
    if url is None:
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SetupError.at("--redirect-url", f"was {url}; expected such as http://127.0.0.1:8000/")
    try:
        _loopback(parts.hostname)
    except SetupError as error:
        message = f"leads to {parts.hostname}; expected a loopback address such as 127.0.0.1"
        raise SetupError.at("--redirect-url", message) from error
    return url
