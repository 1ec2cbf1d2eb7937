"""``login``: a person logs in at Kite; today's access token is stored for the trader, and never shown."""

from __future__ import annotations

import argparse
import json
import os
import sys
import webbrowser

from fsm_trader.app.login import LoggedIn, Login, login_of
from fsm_trader.kite.login import Redirect, new_state, request_token_of


def call(options: argparse.Namespace) -> int:
    """Log in; what goes wrong is raised and ends with code 2 (files) or 5 (the login)."""
    login = login_of(options.file, dict(os.environ))
    try:
        done = login.finish(_request_token(options, login))
    except KeyboardInterrupt:
        stored = "the token was stored" if login.has_stored else "nothing was stored"
        print(f"\nlogin: broken off; {stored}", file=sys.stderr)
        raise
    if options.json:
        print(
            json.dumps(
                {
                    "user": done.user,
                    "issued_at": done.issued_at.isoformat(),
                    "dies_at": done.dies_at.isoformat(),
                    "file": str(done.file),
                    "doubt": done.doubt,
                },
                indent=2,
            )
        )
    else:
        print(_text(done))
    return 0


def _request_token(options: argparse.Namespace, login: Login) -> str:
    if options.request_token is not None:
        return request_token_of(options.request_token)
    if options.listen is not None:
        redirect = Redirect(options.listen)
        try:
            _show(options, login.url(state=redirect.state))
            print(f"waiting for the login on 127.0.0.1:{redirect.port} ...", file=sys.stderr, flush=True)
            return redirect.wait(options.wait)
        finally:
            redirect.close()
    state = new_state()
    _show(options, login.url(state=state))
    print("paste the request token, or the whole address the login ended at:", file=sys.stderr, flush=True)
    return request_token_of(sys.stdin.readline(), state=state)


def _show(options: argparse.Namespace, url: str) -> None:
    print(f"log in at:\n  {url}", file=sys.stderr if options.json else sys.stdout, flush=True)
    if options.open and not webbrowser.open(url):
        print("no browser could be opened: open the address yourself", file=sys.stderr, flush=True)


def _text(done: LoggedIn) -> str:
    lines = [
        f"{done.user} is logged in until {done.dies_at:%Y-%m-%d %H:%M}; the token is in {done.file}",
        "A trader that runs takes it up by itself.",
    ]
    if done.doubt:
        lines.append(f"note: Kite gave the token and did not confirm it yet: {done.doubt}")
    return "\n".join(lines)
