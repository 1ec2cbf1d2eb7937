"""From a journal to the present: only the rows that are needed are read, so that a restart costs what is open."""

from __future__ import annotations

from fsm_trader.core.ledger import PASSING, Ledger, trade_from
from fsm_trader.core.records import Carried, Entry, Inherited, RunStarted
from fsm_trader.journal.look_up import DaySoFar
from fsm_trader.journal.read import JournalReader
from fsm_trader.journal.store import JournalStore

# A request that was met is taken away at once; one that outlived its trader is among the newest.
_REQUESTS_INHERITED = 50


def recall(reader: JournalReader) -> Ledger:
    """Return the present as the journal tells it, every row that is read held against its hash.

    Read are the newest session from its first row on, and the rows of the trades it carries from earlier ones. A
    session that a version 0.1.0 began does not say what it carries; then every row is read.

    Raises:
        VerificationError: a row that is needed is false, missing or cannot be read.
        HaltError: the rows contradict each other.
    """
    newest = reader.newest_session()
    if newest is None:
        return Ledger()
    begins, head = newest
    record = begins.record
    if not isinstance(record, RunStarted):
        return Ledger().fold(reader.checked())
    if record.inherits is None:
        return replay(reader, begins, head)
    trades = [
        trade_from(reader.checked_trade(each.trade_id, before=begins.seq, rows=each.rows))
        for each in record.inherits.carried
    ]
    before = begins.seq - 1
    return Ledger.carrying(trades, seq=before).fold(reader.checked(after=before, head=head))


def replay(reader: JournalReader, begins: Entry, head: str) -> Ledger:
    """Return the present from every row there is, each held against its hash.

    The candles, signals, refusals and health checks of sessions that are over are not decoded: the row that begins a
    session forgets them. All other rows are folded.

    Args:
        reader: of the journal.
        begins: the row that begins the newest session.
        head: the hash of the row before it.

    Raises:
        VerificationError: a row is false, missing or cannot be read.
        HaltError: the rows contradict each other.
    """
    before = begins.seq - 1
    past = Ledger().fold_past(reader.checked(before=begins.seq, unread=PASSING), seq=before)
    return past.fold(reader.checked(after=before, head=head))


def inherited(ledger: Ledger, journal: JournalStore, day: DaySoFar) -> Inherited:
    """Return what a session that begins now takes over from the ones before.

    Args:
        ledger: the present, as the journal tells it.
        journal: the same journal, asked for the number of rows of each open trade.
        day: what the journal has of the new session's trading day.
    """
    return Inherited(
        carried=tuple(Carried(trade.trade_id, journal.count_of(trade.trade_id)) for trade in ledger.open_trades),
        last_number=day.last_number,
        halted=ledger.halted,
        flatten_asked=ledger.flatten_asked,
        requests=tuple(ledger.requests)[-_REQUESTS_INHERITED:],
    )
