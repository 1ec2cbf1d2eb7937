"""Standard output and error that outlive their reader: what a verb came to never depends on who still listens.

A reader who leaves (``| head``) is no news. A file that cannot be written (a full disk) is, and is said once.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import TextIO, cast


class Steady(io.TextIOBase):
    """Passes text on to another stream until that fails, and swallows it from then on.

    Attributes:
        is_gone: nobody gets what is written: whoever makes much of it may stop.
        trouble: why, in words; empty where the reader just left.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.is_gone = False
        self.trouble = ""

    @property
    def encoding(self) -> str:  # type: ignore[override]  # the stub has a plain attribute, which this one reads like
        """Name of the stream's encoding."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        """Tell whether a person's terminal reads this."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """Return the stream's descriptor.

        Raises:
            OSError: it has none.
        """
        return self._stream.fileno()

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str, /) -> int:
        """Write *text*; what the encoding cannot say is written as an escape."""
        if not self.is_gone:
            try:
                self._stream.write(text.encode(self.encoding, "backslashreplace").decode(self.encoding))
            except OSError as error:
                self._leave(error)
        return len(text)

    def flush(self) -> None:
        """Hand on what waits in the stream's buffer."""
        if not self.is_gone:
            try:
                self._stream.flush()
            except OSError as error:
                self._leave(error)

    def _leave(self, error: OSError) -> None:
        self.is_gone = True
        if not isinstance(error, BrokenPipeError):
            self.trouble = error.strerror or type(error).__name__
        # What still waits in the buffer is tried again at the end of the process, and must go somewhere then.
        with contextlib.suppress(OSError):
            descriptor = self._stream.fileno()
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)


@contextlib.contextmanager
def steady_output() -> Iterator[Steady]:
    """Make standard output and error steady while the block runs, and flush them after it."""
    # Without a stream (it was closed by whoever started this process) there is nobody to write for either.
    out, errors = (Steady(stream if stream is not None else io.StringIO()) for stream in (sys.stdout, sys.stderr))
    # All that anybody asks of such a file is there.
    as_out, as_errors = cast("TextIO", out), cast("TextIO", errors)
    with contextlib.redirect_stdout(as_out), contextlib.redirect_stderr(as_errors):
        try:
            yield out
        finally:
            out.flush()
            if out.trouble:
                print(
                    f"standard output: cannot be written ({out.trouble}); what was to be said there is lost",
                    file=sys.stderr,
                )
            errors.flush()
