"""Printing for a reader who may be slow, asleep or gone: a bounded queue and a thread of its own, so that nobody waits.

A terminal stopped with Ctrl-S, a pager or a pipe nobody reads blocks whoever writes to it. It knows no rows and no log.
"""

from __future__ import annotations

import io
import os
import select
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TextIO

Act = Callable[[], object]
Stream = TextIO | io.TextIOBase

# More than a day's lines; about 2 MB when all of them wait.
_LIMIT = 10_000
_STALL_S = 2.0
_LONGEST_CLOSE_S = 10.0
_LOOK_AGAIN_S = 0.5


class Outlet(io.TextIOBase):
    """A text file on another one's descriptor that shares neither its buffer nor its lock.

    The interpreter dies when it finds the lock of ``sys.stdout`` held by a thread that hangs in a write, and would take
    the exit code with it. What the encoding cannot say is written as an escape. Without a descriptor the other file
    itself is written to; without a file every write is an error.

    Args:
        stream: the file; it is never closed here.
    """

    def __init__(self, stream: Stream | None) -> None:
        self._stream = stream
        self._encoding = getattr(stream, "encoding", None) or "utf-8"
        self._descriptor: int | None = None
        if stream is not None:
            try:
                stream.flush()
                self._descriptor = os.dup(stream.fileno())
            except (OSError, ValueError):
                # A stream in memory, or a closed one, has no descriptor.
                self._descriptor = None

    @property
    def encoding(self) -> str:  # type: ignore[override]  # the stub has a plain attribute, which this one reads like
        """Name of the stream's encoding."""
        return self._encoding

    def isatty(self) -> bool:
        """Tell whether a person's terminal reads this."""
        return self._descriptor is not None and os.isatty(self._descriptor)

    def fileno(self) -> int:
        """Return the descriptor.

        Raises:
            OSError: there is none.
        """
        if self._descriptor is None:
            raise io.UnsupportedOperation("fileno: the stream has no descriptor")
        return self._descriptor

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str, /) -> int:
        """Write *text*, for as long as its reader takes.

        Raises:
            OSError: the reader left, or the file cannot be written.
            ValueError: the stream in memory was closed.
        """
        if self._descriptor is not None:
            self._write_all(self._descriptor, memoryview(text.encode(self._encoding, "backslashreplace")))
        elif self._stream is not None:
            self._stream.write(text.encode(self._encoding, "backslashreplace").decode(self._encoding))
            self._stream.flush()
        else:
            raise OSError("nothing is there to write to")
        return len(text)

    def _write_all(self, descriptor: int, data: memoryview) -> None:
        # Without a bound on purpose: only a printer's thread waits here, and nobody waits for that for long.
        while data:
            try:
                data = data[os.write(descriptor, data) :]
            except BlockingIOError:
                # Another program made the descriptor non-blocking for all who share it.
                select.select([], [descriptor], [], _LOOK_AGAIN_S)

    def close(self) -> None:
        """Give the descriptor back; the stream stays open."""
        descriptor, self._descriptor = self._descriptor, None
        self._stream = None
        if descriptor is not None:
            os.close(descriptor)
        super().close()


class Printer:
    """Does what is put into it, one after the other, in a thread of its own; putting never waits.

    When too much waits the oldest goes, and how much that was is said as soon as the reader reads again. An act that
    raises is counted and costs nobody else anything.

    Args:
        outlet: where the acts write to, and where it is said what was left out; closed at the end.
        limit: most acts that wait; at least 1.
    """

    def __init__(self, outlet: Outlet, *, limit: int = _LIMIT) -> None:
        self._outlet = outlet
        self._limit = limit
        self._acts: deque[Act] = deque()
        self._latest: Act | None = None
        self._changed = threading.Condition()
        self._is_closed = False
        self._untold = 0
        self._done = 0
        self._lost = 0
        self._thread = threading.Thread(target=self._run, name="printer", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Acts that were left out, failed, or came after the end."""
        with self._changed:
            return self._lost

    def print(self, text: str) -> None:
        """Put the writing of *text*, as it is, into the queue."""
        self.put(partial(self._outlet.write, text))

    def put(self, act: Act) -> None:
        """Queue *act*."""
        with self._changed:
            if self._is_closed:
                self._lost += 1
                return
            self._acts.append(act)
            if len(self._acts) > self._limit:
                self._acts.popleft()
                self._untold += 1
                self._lost += 1
            self._changed.notify_all()

    def replace(self, act: Act) -> None:
        """Have *act* done when nothing else waits, in place of an earlier one that was not done yet."""
        with self._changed:
            self._latest = act
            self._changed.notify_all()

    def close(self) -> int:
        """Finish what waits and stop; return how many acts were lost altogether. Closing again changes nothing.

        It gives up after 2 s in which nothing at all was done, and after 10 s in any case.
        """
        with self._changed:
            was_closed, self._is_closed = self._is_closed, True
            self._changed.notify_all()
        if was_closed:
            return self.lost
        for _ in range(round(_LONGEST_CLOSE_S / _STALL_S)):
            before = self._done
            self._thread.join(_STALL_S)
            if not self._thread.is_alive() or self._done == before:
                break
        with self._changed:
            # What the thread has in hand while it hangs may never come out: it counts as lost.
            self._lost += len(self._acts) + self._thread.is_alive()
            self._acts.clear()
            self._latest = None
            return self._lost

    def _run(self) -> None:
        try:
            while (act := self._take()) is not None:
                self._do(act)
        finally:
            self._outlet.close()

    def _take(self) -> Act | None:
        with self._changed:
            # Bounded by the owner: close() wakes this wait, and only this daemon thread waits here.
            self._changed.wait_for(lambda: self._acts or self._latest or self._is_closed)
            if self._untold:
                untold, self._untold = self._untold, 0
                return partial(self._outlet.write, f"... {untold} lines are left out here: their reader was too slow\n")
            if self._acts:
                return self._acts.popleft()
            act, self._latest = self._latest, None
            return act

    def _do(self, act: Act) -> None:
        # Whatever goes wrong with showing something (a reader who left, a text that cannot be laid out) is no reason to
        # show nothing any more, and is nobody's business outside: this is the wall, so it has no finer sieve.
        try:
            act()
        except Exception:  # noqa: BLE001 - the wall between showing and trading, reasons above
            with self._changed:
                self._lost += 1
        finally:
            self._done += 1
