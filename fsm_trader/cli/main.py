"""The command line's one table of verbs. A verb's own module is imported only when it is called."""

from __future__ import annotations

import argparse
import importlib
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from fsm_trader import __version__
from fsm_trader.cli.steady import steady_output
from fsm_trader.errors import (
    JournalBusyError,
    LoginRequiredError,
    SetupError,
    TraderError,
    VerificationError,
)

_CODES = """exit codes:
  0  done and flat
  1  unexpected error
  2  configuration refused, nothing was started
  3  stopped with a position still open: it is in the journal and resumes
  4  another process holds the journal
  5  login required
  6  a check or verification failed
  130  interrupted before anything was started, or while reading
"""
_EXAMPLE = "python -m fsm_trader"
_LONGEST_WAIT_S = 600
_LAST_PORT = 65_535
_LEAST_SPEED, _MOST_SPEED = 0.01, 100_000
_MOST_ROWS = 1_000_000_000
# 128 and the signal's number, as a shell counts it.
_INTERRUPTED = 130


def main(arguments: Sequence[str]) -> int:
    """Parse *arguments*, call the verb, and return the exit code, whoever still listens to what is said."""
    with steady_output() as output:
        code = _do(arguments)
    return 1 if output.trouble and code == 0 else code


def _do(arguments: Sequence[str]) -> int:
    parser = _parser()
    words = list(arguments)
    verbs = _verbs(parser)
    if words and not words[0].startswith("-") and words[0] not in verbs:
        # ``python -m fsm_trader session.yaml`` runs the day; a mistyped verb has no file of its name.
        if not Path(words[0]).suffix and not Path(words[0]).exists():
            parser.error(f"no verb and no file {words[0]!r}; expected a session file, or one of {', '.join(verbs)}")
        words.insert(0, "run")
    options = parser.parse_args(words)
    if not hasattr(options, "module"):
        parser.print_help()
        return 0
    return _call(options)


def console() -> None:
    """Entry point of the installed command."""
    sys.exit(main(sys.argv[1:]))


def _call(options: argparse.Namespace) -> int:
    try:
        module = importlib.import_module(f"fsm_trader.cli.{options.module}")
        code: int = module.call(options)
    except KeyboardInterrupt:
        print("interrupted; no trader runs that was not running before", file=sys.stderr)
        return _INTERRUPTED
    except TraderError as error:
        print(error, file=sys.stderr)
        return _code_of(error)
    return code


def _code_of(error: TraderError) -> int:
    codes: tuple[tuple[type[TraderError], int], ...] = (
        (SetupError, 2),
        (JournalBusyError, 4),
        (LoginRequiredError, 5),
        (VerificationError, 6),
    )
    return next((code for kind, code in codes if isinstance(error, kind)), 1)


def _verbs(parser: argparse.ArgumentParser) -> tuple[str, ...]:
    actions = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))  # noqa: SLF001
    return tuple(next(actions).choices)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fsm_trader",
        description="A live intraday option trader whose session and trades are explicit, journaled state machines.",
        epilog=f"example:\n  {_EXAMPLE} session.yaml          runs the day\n\n{_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fsm_trader {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", title="verbs")
    _run(verbs)
    _check(verbs)
    _status(verbs)
    _asks(verbs)
    _journal(verbs)
    _diagram(verbs)
    _service(verbs)
    _drill(verbs)
    _sandbox(verbs)
    _login(verbs)
    return parser


Verbs = argparse._SubParsersAction  # noqa: SLF001 - argparse has no public name for what add_subparsers returns


def _verb(verbs: Verbs[argparse.ArgumentParser], name: str, help_: str, example: str) -> argparse.ArgumentParser:
    verb = verbs.add_parser(
        name,
        help=help_,
        description=help_[0].upper() + help_[1:] + ".",
        epilog=f"example:\n  {_EXAMPLE} {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.set_defaults(module=name)
    return verb


def _file(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("file", type=Path, metavar="session.yaml", help="the session file")


def _json(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--json", action="store_true", help="print JSON for programs instead of text for people")


def _run(verbs: Verbs[argparse.ArgumentParser]) -> None:
    verb = _verb(verbs, "run", "run the day (the verb may be left out)", "run session.yaml")
    _file(verb)
    _json(verb)
    verb.add_argument("--quiet", action="store_true", help="show no progress, no transitions and no closing table")
    verb.add_argument(
        "--log",
        metavar="LEVEL",
        choices=["DEBUG", "INFO", "WARNING", "ERROR", "none"],
        help="least level of log lines on standard error (INFO; WARNING when that is a terminal)",
    )


def _check(verbs: Verbs[argparse.ArgumentParser]) -> None:
    verb = _verb(verbs, "check", "check every file and print the day as a timetable", "check session.yaml")
    _file(verb)
    _json(verb)


def _status(verbs: Verbs[argparse.ArgumentParser]) -> None:
    verb = _verb(verbs, "status", "say where the session stands, also while it runs", "status session.yaml")
    _file(verb)
    _json(verb)


def _asks(verbs: Verbs[argparse.ArgumentParser]) -> None:
    for name, help_ in (
        ("flatten", "get out of every trade now and stay out until resume, from another shell"),
        ("halt", "take no entries until resume; the open trade is managed, from another shell"),
        ("resume", "take entries again after a halt or a flatten, from another shell"),
    ):
        verb = _verb(verbs, name, help_, f"{name} session.yaml")
        verb.set_defaults(module="ask", verb=name)
        _file(verb)
        _json(verb)
        verb.add_argument(
            "--wait",
            type=_seconds,
            default=5.0,
            metavar="SECONDS",
            help="how long to wait for a running trader to have it in its journal, up to 600 (5)",
        )


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= _LONGEST_WAIT_S:
        raise argparse.ArgumentTypeError(f"was {text!r}; expected seconds from 0 to {_LONGEST_WAIT_S}")
    return value


def _count(text: str) -> int:
    # No journal has more rows, and what Python can count is not what it can keep.
    if not text.isascii() or not text.isdigit() or len(text) > len(str(_MOST_ROWS)) or int(text) > _MOST_ROWS:
        raise argparse.ArgumentTypeError(f"was {text[:60]!r}; expected a whole number from 0 to {_MOST_ROWS}")
    return int(text)


def _diagram(verbs: Verbs[argparse.ArgumentParser]) -> None:
    help_ = "draw both machines, from the definitions that run: Mermaid, DOT and SVG"
    verb = _verb(verbs, "diagram", help_, "diagram session.yaml -o out/")
    _file(verb)
    _json(verb)
    verb.add_argument("-o", "--out", type=Path, default=Path("out"), metavar="FOLDER", help="where to write (out/)")


def _service(verbs: Verbs[argparse.ArgumentParser]) -> None:
    help_ = "print a hardened systemd unit for the session; nothing is installed"
    verb = _verb(verbs, "service", help_, "service session.yaml -o fsm-trader.service")
    _file(verb)
    verb.add_argument("-o", "--out", type=Path, metavar="FILE", help="a file instead of standard output")
    verb.add_argument(
        "--user", default="fsm_trader", metavar="NAME", help="the system user it runs as, never root (fsm_trader)"
    )


def _drill(verbs: Verbs[argparse.ArgumentParser]) -> None:
    help_ = "kill and fault this session on simulated days, in memory: a matrix that passes, or exit 6"
    verb = _verb(verbs, "drill", help_, "drill session.yaml --seeds 1000")
    _file(verb)
    _json(verb)
    verb.add_argument("--seeds", type=_count, default=200, metavar="N", help="how many seeded days to play (200)")
    verb.add_argument("--first-seed", type=_count, default=0, metavar="N", help="seed of the first of them (0)")
    verb.add_argument("--no-matrix", action="store_true", help="only seeded days, not the kill matrix")
    verb.add_argument("--double", action="store_true", help="kill each process that follows, too; takes an hour")
    one = verb.add_mutually_exclusive_group()
    one.add_argument("--seed", type=_count, metavar="N", help="play the day of one seed and print its journal")
    one.add_argument("--case", metavar="TEXT", help="play one case of the matrix, as a failure names it")


def _sandbox(verbs: Verbs[argparse.ArgumentParser]) -> None:
    help_ = "serve a recorded day as Kite would, on this machine: orders, candles and ticks, with planned faults"
    verb = _verb(verbs, "sandbox", help_, "sandbox session.yaml --write-session on-sandbox.yaml")
    _file(verb)
    _json(verb)
    verb.add_argument("--host", default="127.0.0.1", help="loopback address to listen at (127.0.0.1)")
    verb.add_argument("--port", type=_port, default=8923, help="port to listen at, 0 for any that is free (8923)")
    verb.add_argument("--speed", type=_speed, metavar="N", help="seconds of the day in a second (market.speed, or 60)")
    verb.add_argument("--book", type=Path, metavar="FILE", help="where the day is kept (sandbox.db by the paper book)")
    verb.add_argument("--faults", type=Path, metavar="plan.yaml", help="what goes wrong, and when")
    verb.add_argument("--fault", action="append", default=[], metavar="{...}", help="one more fault; may be repeated")
    verb.add_argument("--no-limits", action="store_true", help="do not keep Kite's rate limits")
    verb.add_argument("--catch-up", action="store_true", help="go on where the day would stand had it not been stopped")
    verb.add_argument("--redirect-url", metavar="URL", help="where a login sends the browser (it shows the token)")
    verb.add_argument(
        "--write-session", metavar="FILE", help="write a session file that trades here, beside the given one"
    )


def _login(verbs: Verbs[argparse.ArgumentParser]) -> None:
    verb = _verb(verbs, "login", "log in at Kite and keep today's access token for the trader", "login session.yaml")
    _file(verb)
    _json(verb)
    verb.add_argument("--open", action="store_true", help="open the login page in a browser")
    how = verb.add_mutually_exclusive_group()
    how.add_argument("--request-token", metavar="TOKEN", help="what the login ended with, instead of being asked")
    how.add_argument(
        "--listen", type=_port, metavar="PORT", help="catch the redirect on 127.0.0.1:PORT, instead of being asked"
    )
    verb.add_argument(
        "--wait",
        type=_seconds,
        default=300.0,
        metavar="SECONDS",
        help="how long to wait for the redirect, up to 600 (300)",
    )


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= _LAST_PORT):
        raise argparse.ArgumentTypeError(f"was {text!r}; expected a port from 0 to {_LAST_PORT}")
    return int(text)


def _speed(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not _LEAST_SPEED <= value <= _MOST_SPEED:
        raise argparse.ArgumentTypeError(f"was {text!r}; expected a number from {_LEAST_SPEED} to {_MOST_SPEED}")
    return value


def _journal(verbs: Verbs[argparse.ArgumentParser]) -> None:
    verb = _verb(verbs, "journal", "read the journal: list, verify, export", "journal verify session.yaml")
    asks = verb.add_subparsers(metavar="list|verify|export", required=True, dest="ask")
    for name, help_ in (
        ("list", "print rows, newest last"),
        ("verify", "recompute the hash chain; exit 6 and the first bad row when it does not hold"),
        ("export", "write every row as a line of JSON"),
    ):
        ask = _verb(asks, name, help_, f"journal {name} session.yaml")
        ask.set_defaults(module="journal")
        _file(ask)
        if name != "export":
            _json(ask)
        if name == "list":
            ask.add_argument("--trade", metavar="ID", help="rows of one trade only")
            ask.add_argument("--session", metavar="ID", help="rows of one session only")
            ask.add_argument("--kind", metavar="KIND", help="rows of one kind only, such as trade_moved")
            ask.add_argument("--last", type=_count, metavar="N", default=50, help="how many rows, 0 for all (50)")
        if name == "export":
            ask.add_argument("-o", "--out", type=Path, metavar="FILE", help="a file instead of standard output")
