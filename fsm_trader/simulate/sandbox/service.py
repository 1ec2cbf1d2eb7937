"""What happens to a request: token, rate, planned fault, answer, and how the answer is to be sent or spoilt.

It knows no HTTP library: ``server`` does to the connection what is said here. One thread at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from typing import Any, Literal

import msgspec

from fsm_trader.errors import UnavailableError
from fsm_trader.simulate.sandbox.account import Anchor
from fsm_trader.simulate.sandbox.calls import Answer, Call, error_body, route_of
from fsm_trader.simulate.sandbox.faults import Faults, Kind, PlannedFault
from fsm_trader.simulate.sandbox.forms import KiteError
from fsm_trader.simulate.sandbox.kite import Kite
from fsm_trader.simulate.sandbox.limits import Limits, too_many

How = Literal["send", "hold", "reset", "cut"]
_NOTHING = Answer(200, b"")
# Nothing is done and nothing said; and: it is done, and nothing of it is said, or half.
_UNHEARD: dict[Kind, How] = {"lost_request": "hold", "reset_before": "reset"}
_UNSAID: dict[Kind, How] = {"lost_answer": "hold", "reset_after": "reset", "half_answer": "cut"}
_HELD = ("lost_request", "lost_answer", "delay")


class Served(msgspec.Struct, frozen=True):
    """An answer and its way.

    Args:
        answer: what is sent, or cut in the middle.
        how: ``send``; ``hold`` the connection without a word and end it; ``reset`` it at once; ``cut`` it in the body.
        delay_s: real seconds before that.
    """

    answer: Answer
    how: How = "send"
    delay_s: float = 0.0


class Service:
    """Takes requests, one at a time.

    Args:
        kite: the answers.
        faults: what goes wrong.
        limits: the rates, None: none are kept.
        wall: the machine's time, for where the day was begun.
    """

    def __init__(self, kite: Kite, faults: Faults, limits: Limits | None, wall: Callable[[], datetime]) -> None:
        self.kite = kite
        self.faults = faults
        self._limits = limits
        self._wall = wall
        self._is_finished = False

    def serve(self, call: Call) -> Served:
        """Carry one request out."""
        try:
            route, parts = route_of(call.method, call.path)
            if route.signed:
                self.sign_in(call.authorization)
            now = self._catch_up()
            if self._limits is not None and route.name not in ("clock", "login"):
                self._limits.take(route.rate, now)
        except KiteError as error:
            return Served(Answer.error(error))
        except UnavailableError:
            return Served(Answer.error(KiteError("Request failed (kitetrade-oms).", "NetworkException", 503)))
        fault = self.faults.meet(route.name, self.kite.tag_of(route, call, parts), now)
        if fault is None:
            return Served(self.kite.answer(route, call, parts))
        return self._spoilt(fault, lambda: self.kite.answer(route, call, parts))

    def sign_in(self, authorization: str | None) -> None:
        """Check a header; the first good one begins the day.

        Raises:
            KiteError: it is not a good one.
            UnavailableError: where the day began cannot be kept.
        """
        now = self.kite.clock.now()
        self.kite.account.check(authorization, now=now, deaths=self.faults.token_deaths(now))
        self.begin()

    def begin(self) -> None:
        """Let the day run, if it does not yet.

        Raises:
            UnavailableError: where it began cannot be kept.
        """
        clock = self.kite.clock
        if clock.begin():
            self.kite.account.set_anchor(Anchor(clock.now(), self._wall(), clock.speed))

    def tick(self) -> None:
        """Let the market catch up with the day, and save the time.

        Raises:
            UnavailableError: the book cannot be written; it is tried again at the next call.
        """
        self._catch_up()
        if self.kite.clock.state == "over" and not self._is_finished:
            self.kite.exchange.finish()
            self._is_finished = True

    def _catch_up(self) -> datetime:
        now = self.kite.clock.now()
        self.kite.exchange.advance(now)
        # Kept before anyone is told, so that after a kill the day stands no earlier than a client saw it stand.
        self.kite.exchange.save_time()
        return now

    def _spoilt(self, fault: PlannedFault, carry_out: Callable[[], Answer]) -> Served:
        held_s = fault.delay.total_seconds() if fault.kind in _HELD else 0.0
        if fault.kind in _UNHEARD:
            return Served(_NOTHING, _UNHEARD[fault.kind], held_s)
        instead = self._instead(fault, carry_out)
        if instead is not None:
            return Served(instead)
        answer = carry_out()
        return Served(_changed(fault.kind, answer), _UNSAID.get(fault.kind, "send"), held_s)

    def _instead(self, fault: PlannedFault, carry_out: Callable[[], Answer]) -> Answer | None:
        if fault.kind == "too_many":
            return Answer.error(too_many())
        if fault.kind == "stale_positions":
            return Answer.data(self.kite.positions(fault.age))
        if fault.kind not in ("http_error", "html_error"):
            return None
        if fault.done:
            carry_out()
        return _error_answer(fault)


def _error_answer(fault: PlannedFault) -> Answer:
    if fault.kind == "http_error":
        return Answer(fault.status, error_body(fault.message, fault.error_type))
    text = f"<html><head><title>{fault.status}</title></head><body><h1>{fault.message}</h1></body></html>"
    return Answer(fault.status, text.encode(), "text/html")


def _changed(kind: Kind, answer: Answer) -> Answer:
    """Return the answer as a fault of its content leaves it; errors stay as they are."""
    spoil = _SPOIL.get(kind)
    if answer.status != HTTPStatus.OK or spoil is None:
        return answer
    return msgspec.structs.replace(answer, body=spoil(answer.body))


def _shuffled(body: bytes) -> bytes:
    rows: list[Any] = msgspec.json.decode(body)["data"]
    return Answer.data(sorted(rows, key=lambda row: hashlib.sha256(msgspec.json.encode(row)).digest())).body


_SPOIL: dict[Kind, Callable[[bytes], bytes]] = {
    "malformed": lambda body: body[: len(body) * 2 // 3],
    "empty_answer": lambda _body: b"",
    "half_dump": lambda body: body[: len(body) // 2],
    "empty_history": lambda _body: Answer.data({"candles": []}).body,
    "unsorted": _shuffled,
}
