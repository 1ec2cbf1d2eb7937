"""The command line with one difference: it kills itself at a named moment. Run by the crash tests only."""

from __future__ import annotations

import os
import signal
import sys

from fsm_trader.app import run as app
from fsm_trader.broker.paper.book import PaperBook
from fsm_trader.cli.main import main
from fsm_trader.core.summary import summarise
from fsm_trader.journal.store import JournalStore


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Fuse:
    """Burns down with each time its words are seen."""

    def __init__(self, words: str, times: int) -> None:
        self._words, self._left = words, times

    def blows(self, texts: list[str]) -> bool:
        self._left -= any(self._words in text for text in texts)
        return self._left == 0


def die_around_commit(moment: str, fuse: Fuse) -> None:
    """Die before, inside or after the commit of the rows that hold the words."""
    append, write = JournalStore.append, JournalStore._write

    def dying_append(self, at, session, records):
        if not fuse.blows([summarise(record) for record in records]):
            return append(self, at, session, records)
        if moment == "before":
            die()
        if moment == "inside":
            JournalStore._write = lambda self, rows: (write(self, rows), die())
        entries = append(self, at, session, records)
        die()
        return entries

    JournalStore.append = dying_append


def die_around_book(moment: str, fuse: Fuse) -> None:
    """Die before or after the broker saves an order of the side in the words: the request, or its answer, is lost."""
    commit = PaperBook.commit

    def dying_commit(self, progress):
        blows = fuse.blows([f"{order.request.side} {order.state}" for order in progress.orders])
        if blows and moment == "book_before":
            die()
        commit(self, progress)
        if blows:
            die()

    PaperBook.commit = dying_commit


def die_in_start_up(words: str) -> None:
    """Die before a function of the composition root is called."""
    setattr(app, words, lambda *_args, **_named: die())


if __name__ == "__main__":
    kind, what, nth, *command = sys.argv[1:]
    if kind == "start_up":
        die_in_start_up(what)
    elif kind.startswith("book"):
        die_around_book(kind, Fuse(what, int(nth)))
    else:
        die_around_commit(kind, Fuse(what, int(nth)))
    sys.exit(main(command))
