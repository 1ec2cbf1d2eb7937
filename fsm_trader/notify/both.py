"""Several notifiers as one. Knows the protocol only; a broken target never reaches the others or the trader."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial

from fsm_trader.notify.protocol import Notice, Notifier

_LOG = logging.getLogger(__name__)
_GRACE_S = 0.5


class Notifiers:
    """Tells every target, each on its own: one that raises is left out from then on, and that is logged.

    Args:
        targets: told in this order.
        log: where a broken target is named.
    """

    def __init__(self, *targets: Notifier, log: logging.Logger = _LOG) -> None:
        self._targets = targets
        self._broken: set[int] = set()
        self._log = log

    def tell(self, notice: Notice) -> None:
        """Hand the notice to every target that still works."""
        for place, target in enumerate(self._targets):
            if place not in self._broken:
                self._guard(place, partial(target.tell, notice))

    def close(self, timeout_s: float) -> None:
        """Close every target, broken ones too, side by side, so that each has the whole of *timeout_s* seconds."""
        closers = [
            threading.Thread(target=self._guard, args=(place, partial(target.close, timeout_s)), daemon=True)
            for place, target in enumerate(self._targets)
        ]
        for closer in closers:
            closer.start()
        for closer in closers:
            # A target that keeps its promise is back by then; one that hangs is left behind with its thread.
            closer.join(timeout_s + _GRACE_S)

    def _guard(self, place: int, call: Callable[[], None]) -> None:
        # The protocol forbids targets to raise. One that does has a defect of a kind nobody foresaw, and a message to a
        # person must not be able to end a process that holds a position: this is the wall, so it has no finer sieve.
        # Only the kind of the error is logged, because its text may hold an address with a token in it.
        try:
            call()
        except Exception as error:  # noqa: BLE001 - the one wall between notifiers and trading, reasons above
            self._broken.add(place)
            name = type(self._targets[place]).__name__
            self._log.error("%s: raised %s; expected it never to raise; left out", name, type(error).__name__)
