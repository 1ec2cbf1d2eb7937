"""Printing for readers of every kind: quick, slow, asleep, gone. Pipes are real ones."""

from __future__ import annotations

import fcntl
import io
import os
import threading
from collections.abc import Iterator

import pytest

from fsm_trader.ops import printer as printers
from fsm_trader.ops.printer import Outlet, Printer

PATIENCE_S = 10.0
SMALL = 4096


class Pipe:
    """A pipe of one page, its writing end as a text stream."""

    def __init__(self, encoding: str = "utf-8") -> None:
        self.reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, SMALL)
        self.stream = os.fdopen(writer, "w", encoding=encoding)

    def read_all(self) -> str:
        """Close the writing end here and read until every copy of it is closed."""
        self.stream.close()
        parts = []
        while part := os.read(self.reader, SMALL):
            parts.append(part)
        return b"".join(parts).decode()

    def leave(self) -> None:
        os.close(self.reader)
        self.reader = -1

    def close(self) -> None:
        self.stream.close()
        if self.reader >= 0:
            self.leave()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


def test_lines_come_out_in_order_and_whole(pipe):
    printer = Printer(Outlet(pipe.stream))
    lines = [f"line {number}\n" for number in range(300)]

    for line in lines:
        printer.print(line)

    assert printer.close() == 0
    assert pipe.read_all() == "".join(lines)


def test_a_reader_who_sleeps_keeps_nobody_waiting_and_the_end_comes_all_the_same(pipe, monkeypatch):
    monkeypatch.setattr(printers, "_STALL_S", 0.05)
    printer = Printer(Outlet(pipe.stream))

    for number in range(300):
        printer.print(f"{number:>99}\n")
    lost = printer.close()

    said = threading.Thread(target=pipe.leave)
    said.start()
    said.join(PATIENCE_S)
    assert 300 - SMALL // 100 - 1 <= lost <= 300
    printer._thread.join(PATIENCE_S)
    assert not printer._thread.is_alive()


def test_when_too_much_waits_the_oldest_goes_and_the_reader_is_told(pipe):
    printer = Printer(Outlet(pipe.stream), limit=3)
    begun, go_on = threading.Event(), threading.Event()
    printer.put(lambda: (begun.set(), go_on.wait(PATIENCE_S)))
    assert begun.wait(PATIENCE_S)

    for number in range(7):
        printer.print(f"line {number}\n")
    go_on.set()

    assert printer.close() == 4
    told = "... 4 lines are left out here: their reader was too slow\n"
    assert pipe.read_all() == f"{told}line 4\nline 5\nline 6\n"


def test_of_what_replaces_itself_only_the_latest_is_done_and_after_all_else(pipe):
    printer = Printer(Outlet(pipe.stream))
    begun, go_on = threading.Event(), threading.Event()
    done = []
    printer.put(lambda: (begun.set(), go_on.wait(PATIENCE_S)))
    assert begun.wait(PATIENCE_S)

    for number in range(5):
        printer.replace(lambda number=number: done.append(number))
    printer.put(lambda: done.append("line"))
    go_on.set()

    assert printer.close() == 0
    assert done == ["line", 4]


def test_an_act_that_raises_costs_only_itself(pipe):
    printer = Printer(Outlet(pipe.stream))

    printer.print("before\n")
    printer.put(lambda: 1 // 0)
    printer.print("after\n")

    assert printer.close() == 1
    assert pipe.read_all() == "before\nafter\n"


def test_a_reader_who_left_is_counted_and_raises_nowhere(pipe):
    pipe.leave()
    printer = Printer(Outlet(pipe.stream))

    printer.print("one\n")
    printer.print("two\n")

    assert printer.close() == 2


def test_what_comes_after_the_end_is_counted_and_closing_again_changes_nothing(pipe):
    printer = Printer(Outlet(pipe.stream))
    printer.close()

    printer.print("late\n")

    assert (printer.close(), printer.close()) == (1, 1)
    assert pipe.read_all() == ""


def test_what_the_encoding_cannot_say_is_written_as_an_escape():
    pipe = Pipe(encoding="ascii")
    outlet = Outlet(pipe.stream)

    outlet.write("₹ 100\n")
    outlet.close()

    assert outlet.encoding == "ascii"
    assert pipe.read_all() == "\\u20b9 100\n"
    pipe.close()


def test_a_descriptor_made_non_blocking_by_another_is_waited_for(pipe):
    os.set_blocking(pipe.stream.fileno(), False)
    text = "x" * (3 * SMALL)
    printer = Printer(Outlet(pipe.stream))
    printer.print(text)

    read = 0
    while read < len(text):
        read += len(os.read(pipe.reader, SMALL))

    assert printer.close() == 0
    assert read == len(text)


def test_a_stream_in_memory_is_written_to_and_left_open():
    stream = io.StringIO()
    printer = Printer(Outlet(stream))

    printer.print("line\n")

    assert printer.close() == 0
    assert stream.getvalue() == "line\n"


def test_where_there_is_no_stream_every_line_is_lost():
    printer = Printer(Outlet(None))

    printer.print("line\n")

    assert printer.close() == 1
