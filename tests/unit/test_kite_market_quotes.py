"""One request answers for all who ask; one that hangs blinds nobody but its own asker for longer than the patience."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest

from fsm_trader.core.candles import PriceSeen
from fsm_trader.errors import LoginRequiredError, UnavailableError
from fsm_trader.market.kite.quotes import QuoteBoard

from .kite_market import INDIA, at

ENOUGH_S = 20.0
NOW = at("10:00:10")
LONG, SHORT = timedelta(seconds=ENOUGH_S), timedelta(milliseconds=20)
KEYS = {number: f"NFO:C{number}" for number in range(1, 9)}


class Request:
    """A request under way; the test says how it ends."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        self.keys = keys
        self._over = threading.Event()
        self._fails: Exception | None = None

    def answer(self) -> None:
        self._over.set()

    def fail(self, error: Exception) -> None:
        self._fails = error
        self._over.set()

    def wait(self) -> None:
        assert self._over.wait(ENOUGH_S)
        if self._fails is not None:
            raise self._fails


class HeldWire:
    """Lets each quote request hang until the test ends it, or all of them go through from a moment on."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.prices = dict.fromkeys(KEYS.values(), 100.0)
        self.is_open = False
        self._began = threading.Semaphore(0)

    def quote(self, instruments: Sequence[str | int]) -> dict[str, Any]:
        request = Request(tuple(str(key) for key in instruments))
        self.requests.append(request)
        self._began.release()
        if not self.is_open:
            request.wait()
        return {
            KEYS[number]: {
                "instrument_token": number,
                "last_price": self.prices[KEYS[number]],
                "last_trade_time": "2026-11-23 10:00:07",
            }
            for number in KEYS
            if KEYS[number] in request.keys
        }

    def began(self) -> Request:
        """Return the newest request once it has begun."""
        assert self._began.acquire(timeout=ENOUGH_S)
        return self.requests[-1]

    def historical(self, *_: object) -> object:
        raise AssertionError("no candles are asked for here")

    def instruments(self, *_: object) -> bytes:
        raise AssertionError("no dump is asked for here")


class Asker:
    """Asks for one price in a thread of its own."""

    def __init__(self, board: QuoteBoard, token: int) -> None:
        self._board = board
        self._token = token
        self.price: PriceSeen | None = None
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.price = self._board.price(self._token, KEYS[self._token], NOW)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test looks at it
            self.error = error

    def ended(self) -> Asker:
        self.thread.join(ENOUGH_S)
        assert not self.thread.is_alive()
        return self

    def waits(self) -> bool:
        self.thread.join(0.05)
        return self.thread.is_alive()


@pytest.fixture
def wire() -> Iterator[HeldWire]:
    made = HeldWire()
    yield made
    for request in made.requests:
        request.answer()


def board_of(wire: HeldWire, patience: timedelta) -> QuoteBoard:
    return QuoteBoard(wire, zone=INDIA, keep=timedelta(seconds=1), patience=patience)


def test_one_failure_is_told_to_everybody_who_waited_for_it_and_asked_for_once(wire: HeldWire) -> None:
    board = board_of(wire, LONG)
    askers = [Asker(board, 1)]
    request = wire.began()
    askers += [Asker(board, token) for token in (2, 3, 4)]
    assert all(asker.waits() for asker in askers)

    request.fail(UnavailableError("quote: timed out"))

    assert [str(asker.ended().error) for asker in askers] == ["quote: timed out"] * 4
    assert len(wire.requests) == 1


def test_whoever_needs_a_login_is_told_so_however_it_waited(wire: HeldWire) -> None:
    board = board_of(wire, LONG)
    askers = [Asker(board, 1)]
    request = wire.began()
    askers.append(Asker(board, 1))
    assert askers[1].waits()

    request.fail(LoginRequiredError("no token"))

    assert all(isinstance(asker.ended().error, LoginRequiredError) for asker in askers)


def test_a_request_that_hangs_holds_nobody_else_up(wire: HeldWire) -> None:
    board = board_of(wire, SHORT)
    hung = Asker(board, 1)
    wire.began()

    others = [Asker(board, token) for token in (2, 3, 4)]
    second = wire.began()
    assert all(asker.waits() for asker in others)
    wire.is_open = True
    second.answer()

    assert [asker.ended().price is not None for asker in others] == [True, True, True]
    assert hung.waits()
    assert "NFO:C1" in second.keys


def test_an_instrument_whose_request_hangs_is_answered_by_the_next_one(wire: HeldWire) -> None:
    board = board_of(wire, SHORT)
    hung = Asker(board, 1)
    wire.began()

    again = Asker(board, 1)
    wire.began().answer()

    assert again.ended().price is not None
    assert hung.waits()


def test_no_more_than_two_requests_hang_at_a_time(wire: HeldWire) -> None:
    board = board_of(wire, SHORT)
    askers = [Asker(board, 1)]
    wire.began()
    askers += [Asker(board, token) for token in (2, 3, 4, 5, 6)]
    wire.began()
    assert all(asker.waits() for asker in askers)

    hanging = tuple(wire.requests)
    wire.is_open = True
    for request in hanging:
        request.fail(UnavailableError("quote: timed out"))

    assert len(hanging) == 2
    assert [str(asker.ended().error) for asker in askers] == ["quote: timed out"] * 6


def test_an_answer_that_comes_late_takes_the_place_of_no_newer_one(wire: HeldWire) -> None:
    board = board_of(wire, SHORT)
    hung = Asker(board, 1)
    first = wire.began()
    newer = Asker(board, 1)
    wire.began().answer()
    newer.ended()
    wire.prices["NFO:C1"] = 50.0

    first.answer()
    hung.ended()

    kept = Asker(board, 1).ended()
    assert newer.price is not None
    assert kept.price == newer.price
    assert len(wire.requests) == 2


def test_who_comes_while_others_are_asked_for_is_asked_for_next(wire: HeldWire) -> None:
    board = board_of(wire, LONG)
    first = Asker(board, 1)
    request = wire.began()
    late = Asker(board, 2)
    assert late.waits()

    request.answer()
    wire.began().answer()

    assert first.ended().price is not None
    assert late.ended().price is not None
    assert [request.keys for request in wire.requests] == [("NFO:C1",), ("NFO:C1", "NFO:C2")]


def test_after_a_failure_the_next_one_asks_anew(wire: HeldWire) -> None:
    board = board_of(wire, LONG)
    failed = Asker(board, 1)
    wire.began().fail(UnavailableError("quote: 503"))
    failed.ended()

    again = Asker(board, 1)
    wire.began().answer()

    assert again.ended().price is not None
