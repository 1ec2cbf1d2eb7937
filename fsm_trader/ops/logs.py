"""The log of a run: console and rotating file, stamped with the session's time. It is no record: that is the journal.

A log that cannot be written never stops trading: lost lines are counted and said once. What goes to standard error goes
through a printer, so that a reader who is slow or asleep delays nobody.
"""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from collections.abc import Callable
from datetime import datetime
from logging.handlers import RotatingFileHandler

from fsm_trader.core.clock import Clock
from fsm_trader.core.settings import LogSettings
from fsm_trader.errors import SetupError
from fsm_trader.ops.printer import Outlet, Printer, Stream

ROOT_LOGGER = "fsm_trader"
_FORMAT = "%(clock_time)s %(levelname)-8s %(module)s:%(lineno)d %(message)s"
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
_NEEDS_QUOTES = re.compile(r'[\s"=\\\x00-\x1f\x7f]')


class _ClockTime(logging.Filter):
    """Stamps a record with the session clock, so that a replayed day's log tells the time of that day."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def filter(self, record: logging.LogRecord) -> bool:
        # Once for a record, so that console and file show the same time.
        if not hasattr(record, "clock_time"):
            record.clock_time = self._clock.now().isoformat(timespec="milliseconds")
        return True


class _OneLine(logging.Formatter):
    """Keeps a message on its line, so that nobody's text can look like another entry; tracebacks follow below."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name logging calls
        return _CONTROL.sub(
            lambda found: found.group().encode("unicode_escape").decode(), super().formatMessage(record)
        )


class _Unfailing(logging.Handler):
    """A handler whose failures are counted; the first is said on standard error, the rest are silent.

    Attributes:
        say: takes that one line without waiting.
    """

    lost_lines = 0
    place = ""
    say: Callable[[str], None]

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name logging calls
        self.lost_lines += 1
        if self.lost_lines > 1:
            return
        error = sys.exception()
        what = f"{type(error).__name__}: {error}"
        self.say(
            f"log {self.place}: {what}; the line {record.module}:{record.lineno} is lost; "
            "trading goes on, further lost lines are only counted\n"
        )

    def close(self) -> None:
        try:
            super().close()
        except OSError:
            self.lost_lines += 1


class _File(_Unfailing, RotatingFileHandler):
    """Writes where it is called: a disk answers.

    Attributes:
        trouble: standard error, which is let go last.
    """

    trouble: Printer | None = None

    def close(self) -> None:
        super().close()
        if self.trouble is not None:
            self.trouble.close()


class _Lines(io.TextIOBase):
    """What a handler of logging takes for its stream: all that is written is put into a printer."""

    def __init__(self, printer: Printer) -> None:
        self._printer = printer

    def write(self, text: str, /) -> int:
        self._printer.print(text)
        return len(text)


class _Console(_Unfailing, logging.StreamHandler[_Lines]):
    """Hands each line to a printer, which may lose it and counts that."""

    def __init__(self, printer: Printer) -> None:
        super().__init__(_Lines(printer))
        self._printer = printer
        self._lost_there = 0

    def close(self) -> None:
        super().close()
        lost_there = self._printer.close()
        self.lost_lines += lost_there - self._lost_there
        self._lost_there = lost_there


class Logs:
    """The log that is set up; close it to give the file back and leave the logger as it was."""

    def __init__(self, handlers: tuple[_Unfailing, ...]) -> None:
        self._handlers = handlers

    @property
    def lost_lines(self) -> int:
        """Lines that could not be written, console and file together; whole once the log is closed."""
        return sum(handler.lost_lines for handler in self._handlers)

    def close(self) -> None:
        """Take the handlers off the logger and close them; closing again changes nothing.

        Lines that still wait for the console get 2 s without progress, 10 s at most; the file says how many were lost.
        """
        _remove(self._handlers)


def setup_logging(
    settings: LogSettings, *, clock: Clock, console_level: str | None = "INFO", stream: Stream | None = None
) -> Logs:
    """Send what the package logs to the console and to a file that is appended to and rotated.

    A log set up before is closed first.

    Args:
        settings: file, least level of the file, and when it is rotated. The file's folder is made when it is missing.
        clock: gives the time of every line.
        console_level: least level on the console; None: nothing goes there.
        stream: the console; None is standard error.

    Raises:
        SetupError: the file cannot be opened for writing; the log set up before goes on.
        ValueError: *console_level* is no level.
    """
    logger = logging.getLogger(ROOT_LOGGER)
    level = None if console_level is None else logging.getLevelNamesMapping().get(console_level)
    if console_level is not None and level is None:
        raise ValueError(f"console_level was {console_level!r}; expected a level such as INFO")
    file = _open_file(settings)
    _remove([handler for handler in logger.handlers if isinstance(handler, _Unfailing)])
    errors = file.trouble = Printer(Outlet(sys.stderr))
    handlers: list[_Unfailing] = []
    if level is not None:
        console = _Console(errors if stream is None else Printer(Outlet(stream)))
        console.setLevel(level)
        console.place = "console"
        handlers.append(console)
    handlers.append(file)
    for handler in handlers:
        handler.say = errors.print
        handler.addFilter(_ClockTime(clock))
        handler.setFormatter(_OneLine(_FORMAT))
        logger.addHandler(handler)
    logger.setLevel(min(handler.level for handler in handlers))
    return Logs(tuple(handlers))


def prove_log(settings: LogSettings) -> None:
    """Open the log file as a run will, and close it again.

    Raises:
        SetupError: the file cannot be opened for writing.
    """
    _open_file(settings).close()


def step(
    logger: logging.Logger,
    message: str,
    *,
    session: str,
    trade: str | None = None,
    seq: int | None = None,
    level: int = logging.INFO,
    **fields: object,
) -> None:
    """Log one step of the session as one line: the message, then ``key=value`` pairs.

    Args:
        logger: the logger of the module that speaks.
        message: what happened, in a few fixed words.
        session: name of the session.
        trade: trade the step belongs to, left out when None.
        seq: journal sequence of the fact that caused it, left out when None.
        level: level of the line.
        fields: further values; times are written as ISO 8601, text that needs it is quoted as in JSON.
    """
    if not logger.isEnabledFor(level):
        return
    pairs = {"session": session, "trade": trade, "seq": seq}
    words = [f"{key}={_value(value)}" for key, value in pairs.items() if value is not None]
    words += [f"{key}={_value(value)}" for key, value in fields.items()]
    logger.log(level, "%s %s", message, " ".join(words), stacklevel=2)


def _open_file(settings: LogSettings) -> _File:
    try:
        settings.file.parent.mkdir(parents=True, exist_ok=True)
        handler = _File(
            settings.file,
            mode="a",
            maxBytes=settings.max_bytes,
            backupCount=settings.backups,
            encoding="utf-8",
            errors="backslashreplace",
        )
    except OSError as error:
        message = f"the log cannot be opened ({error.strerror or error}); expected a file this user may write"
        raise SetupError.at(str(settings.file), message, "$.log.file") from error
    handler.setLevel(settings.level)
    handler.place = str(settings.file)
    return handler


def _remove(handlers: list[_Unfailing] | tuple[_Unfailing, ...]) -> None:
    logger = logging.getLogger(ROOT_LOGGER)
    for handler in handlers:
        is_in_use = handler in logger.handlers
        logger.removeHandler(handler)
        handler.close()
        if is_in_use and isinstance(handler, _Console) and handler.lost_lines:
            # The file, which is closed after the console, is the place that can still be told.
            line = (
                "lines that could not be shown on the console: %d; they were not read in time, or could not be written"
            )
            logger.warning(line, handler.lost_lines)
    if not logger.handlers:
        logger.setLevel(logging.NOTSET)


def _value(value: object) -> str:
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    return json.dumps(text, ensure_ascii=False) if not text or _NEEDS_QUOTES.search(text) else text
