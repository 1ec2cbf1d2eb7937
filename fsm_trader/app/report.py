"""What the journal says, for the verbs that only read: status and verification."""

from __future__ import annotations

import hashlib
from datetime import date
from zoneinfo import ZoneInfo

import msgspec

from fsm_trader.app.files import day_plan
from fsm_trader.app.recall import recall
from fsm_trader.core.ledger import Ledger
from fsm_trader.core.settings import Settings
from fsm_trader.core.status import Status, status
from fsm_trader.journal.broken import broken
from fsm_trader.journal.chain import GENESIS
from fsm_trader.journal.read import JournalReader, Verified
from fsm_trader.journal.store import file_of
from fsm_trader.ops.lock import holder_of
from fsm_trader.ops.requests import Requests


def status_of(settings: Settings) -> Status:
    """Say where the session stands, from its journal alone; works while it runs and after.

    Raises:
        SetupError: there is no journal yet, or it cannot be read.
        VerificationError: a row cannot be read.
    """
    with JournalReader(settings.journal_url) as reader:
        ledger = recall(reader)
    file = file_of(settings.journal_url)
    zone = ZoneInfo(settings.session.timezone)
    day = date.fromisoformat(ledger.session[:10]) if ledger.session else None
    plan = None if day is None else day_plan(settings, day)
    holder = holder_of(file) if file is not None else None
    waiting = () if file is None else Requests(file).words(met=frozenset(ledger.requests))
    return status(settings, ledger, plan, holder=holder, zone=zone, waiting=waiting)


def verify(settings: Settings) -> Verified:
    """Recompute the hash chain of the journal, read every row and fold it.

    Raises:
        SetupError: there is no file, or it cannot be opened for a reason that lies outside of it.
    """
    if fault := broken(settings.journal_url):
        return Verified(0, GENESIS, fault, 1)
    with JournalReader(settings.journal_url) as reader:
        found = reader.verify(Ledger().fold)
        if found.fault is not None:
            return found
        for digest, text in reader.definitions().items():
            if hashlib.sha256(text.encode()).hexdigest() != digest:
                fault = f"the machine definition kept under {digest[:12]} is another text than the one it is named by"
                return msgspec.structs.replace(found, fault=fault)
    return found
