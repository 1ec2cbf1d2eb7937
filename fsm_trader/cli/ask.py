"""``flatten``, ``halt`` and ``resume``: a person's word to the trader of a session, from another shell."""

from __future__ import annotations

import argparse
import sys

import msgspec

from fsm_trader.app.requests import Asking, ask
from fsm_trader.cli.reading import settings_to_read_with

_MEANING = {
    "flatten": "everything out, and no entries until resume",
    "halt": "no entries until resume; the open trade is managed",
    "resume": "entries again, once everything was checked",
}


def call(options: argparse.Namespace) -> int:
    """Leave the request and say what became of it; 1 when a running trader has not met it in time."""
    found = ask(settings_to_read_with(options.file), options.verb, wait_s=options.wait)
    if options.json:
        print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        print(_words(found), file=sys.stderr if found.outcome == "waiting" else sys.stdout)
    return 1 if found.outcome == "waiting" else 0


def _words(found: Asking) -> str:
    asked = f"{found.verb} is asked for: {_MEANING[found.verb]}."
    match found.outcome:
        case "journaled":
            return f"{asked}\nIt is in the journal, row {found.row}, and in force; {_running(found)}."
        case "left":
            return f"{asked}\nNo trader runs now: the next start obeys it before it takes any entry."
        case "waiting":
            trouble = f" ({found.trouble})" if found.trouble else ""
            return (
                f"{asked}\nNOT YET IN FORCE: held by {found.running}, and the journal does not show it{trouble}. "
                "The request stays; look at status, and at the broker's own screen."
            )


def _running(found: Asking) -> str:
    return "no trader runs now" if found.running is None else f"the trader is {found.running}"
