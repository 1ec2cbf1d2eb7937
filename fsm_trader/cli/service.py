"""``service``: a hardened systemd unit for a session file, to be saved and looked at by whoever runs the machine."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from fsm_trader.app.files import find_strategies_beside
from fsm_trader.app.service import secrets_of, stop_timeout_s, written_folders
from fsm_trader.errors import SetupError
from fsm_trader.ops.systemd import Unit


def call(options: argparse.Namespace) -> int:
    """Print the unit, or write it to a file; nothing is installed."""
    path = options.file.absolute()
    find_strategies_beside(path)
    settings, secrets = secrets_of(path, os.environ)
    unit = Unit(
        session_file=path,
        name=f"fsm-trader-{settings.session.name}",
        # Not resolved: the interpreter of a virtual environment is a link, and its place is what counts.
        python=Path(sys.executable),
        user=options.user,
        written=written_folders(settings),
        secrets=secrets,
        stop_timeout_s=stop_timeout_s(settings),
    )
    text = unit.text()
    if options.out is None:
        print(text, end="")
        return 0
    if options.out.suffix != ".service":
        raise SetupError.at(str(options.out), "is not named as a unit; expected a name that ends in .service")
    try:
        options.out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SetupError.at(str(options.out), f"cannot be written: {error.strerror}; expected a file") from error
    print(f"{options.out}: to be saved as /etc/systemd/system/{unit.name}.service")
    return 0
