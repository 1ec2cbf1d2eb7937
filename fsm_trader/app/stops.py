"""SIGTERM and SIGINT from the first moment of a run to its last: each is heard, and none cuts a step in two."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

from fsm_trader.core.events import StopAsked

_MOST_KEPT = 2


class StopSignals:
    """Keeps what comes before the loop listens, hands over what comes while it does, and passes over what comes after.

    Before the loop a second SIGINT is a KeyboardInterrupt: a start that hangs must be possible to leave. After it
    everything that is left to do has a bound of its own.
    """

    def __init__(self) -> None:
        self._kept: list[StopAsked] = []
        self._put: Callable[[StopAsked], None] | None = None
        self._was_heard = False
        self._before: dict[int, signal.Handlers | Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._told) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def heard_by(self, put: Callable[[StopAsked], None]) -> Iterator[None]:
        """Hand every signal to *put* while the block runs, those that came before it first."""
        self._put, self._was_heard = put, True
        while self._kept:
            put(self._kept.pop(0))
        try:
            yield
        finally:
            self._put = None

    def _told(self, number: int, _frame: FrameType | None) -> None:
        asked = StopAsked(signal.Signals(number).name)
        if self._put is not None:
            self._put(asked)
        elif not self._was_heard:
            if self._kept and number == signal.SIGINT:
                raise KeyboardInterrupt
            self._kept = [*self._kept, asked][:_MOST_KEPT]
