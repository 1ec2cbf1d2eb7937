"""A process that trades on a paper book and kills itself at a named moment; run by the crash tests only."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from fsm_trader.broker.paper import book as book_module
from fsm_trader.broker.paper.book import PaperBook
from fsm_trader.broker.paper.broker import PaperBroker
from fsm_trader.ops.clock import VirtualClock

from .scripted import CLOSE, DAY, OPEN, Script, find, order, paper_settings


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DyingBook(PaperBook):
    """Dies around the commit of an order."""

    moment = ""

    def commit(self, progress) -> None:
        if self.moment == "before_commit":
            die()
        if self.moment == "in_commit":
            book_module._write_world = lambda *_: die()
        super().commit(progress)
        if self.moment == "after_commit":
            die()


def main(path: Path, moment: str) -> None:
    book = DyingBook(path)
    book.begin(DAY, OPEN)
    book.moment = moment
    clock = VirtualClock(OPEN, book.save_now)
    broker = PaperBroker(
        settings=paper_settings(path),
        clock=clock,
        prices=Script((0, 10000)),
        find_contract=find,
        book=book,
        hours=(OPEN, CLOSE),
    )
    if moment == "after_clock":
        clock.sleep(90)
        die()
    broker.place(order("E1"))
    if moment == "after_place":
        die()
    clock.sleep(5)
    broker.book()
    die()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
