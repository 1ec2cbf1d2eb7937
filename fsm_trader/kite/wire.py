"""Every request to Kite's REST interface: within budgets, over warm connections, with errors sorted by what follows.

It raises errors of ``fsm_trader.errors`` only, and none of them holds the key or a token. It must not know trades,
records or the journal: answers are handed on as the JSON they were.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from fsm_trader.core.clock import Clock
from fsm_trader.errors import LoginRequiredError, RefusedError, TraderError, UnavailableError
from fsm_trader.kite.budgets import Asked, Budgets, ReadKind
from fsm_trader.kite.faults import Call, OddAnswerError, Rule, Seen, judge
from fsm_trader.kite.hiding import HiddenInLogs
from fsm_trader.kite.hurry import Deadline, Hurry
from fsm_trader.kite.root import check_root
from fsm_trader.kite.standing import NoTokenError, Standing
from fsm_trader.kite.telling import Mask, cut, error_of, words_of

if TYPE_CHECKING:
    from fsm_trader.kite.line import Line
    from fsm_trader.kite.pool import Pool

T = TypeVar("T")
Json = Any
INDIA = ZoneInfo("Asia/Kolkata")
REGULAR = "regular"
_WARM_AFTER = timedelta(seconds=20)
# The engine gives up waiting for a call after a minute; by then it has ended here.
_LONGEST_CALL = timedelta(seconds=50)
_LONGEST_DUMP = timedelta(seconds=60)
_TOO_MANY = 429


class _Request(msgspec.Struct, frozen=True):
    """One request on its way: what it is in words, how long it may take, and what in it is never shown."""

    call: Call
    what: str
    longest: timedelta
    hidden: tuple[str, ...] = ()
    counted_as: Asked = "other"


class KiteWire:
    """Speaks to Kite for the whole process. Safe to call from several threads; close it when done.

    Args:
        root: base address of the REST interface, ``https``, or ``http`` on this machine; None is Zerodha's.
        api_key: the app's key.
        token: returns the access token of today, None when there is none; asked before each request.
        timeout: for connecting and for each wait for a part of an answer; a call as a whole may take twice as long, at
            most 50 seconds (an instrument dump a minute).
        clock: the session's.
        budgets: how much may be asked.
        trust: verifies the server in place of certifi's list.
        warm_after: an order connection that was idle this long is used for a small read; None: never.

    Raises:
        SetupError: *root* would carry the token in the clear, or cannot be used.
        ValueError: *trust* does not verify.
    """

    def __init__(  # noqa: PLR0913 - the composition root names every part; all are keyword-only.
        self,
        *,
        root: str | None,
        api_key: str,
        token: Callable[[], str | None],
        timeout: timedelta,
        clock: Clock,
        budgets: Budgets,
        trust: ssl.SSLContext | None = None,
        warm_after: timedelta | None = _WARM_AFTER,
    ) -> None:
        from fsm_trader.kite.line import Line, new_trust  # noqa: PLC0415 - heavy, and needed only where Kite is spoken
        from fsm_trader.kite.names import Names  # noqa: PLC0415 - the same
        from fsm_trader.kite.pool import Keeper, Pool  # noqa: PLC0415 - the same

        check_root(root)
        verifier = trust or new_trust()
        if not verifier.check_hostname or verifier.verify_mode is not ssl.CERT_REQUIRED:
            raise ValueError("trust: a context that does not verify certificate and host name; expected one that does")
        self._longest = min(2 * timeout, _LONGEST_CALL)
        self._budgets = budgets
        self._mask = Mask(api_key)
        self._hidden = HiddenInLogs(api_key)
        self._standing = Standing(clock, token)

        names = Names()

        def new_line() -> Line:
            return Line(root=root, api_key=api_key, timeout=timeout, trust=verifier, names=names)

        self._reading, self._ordering = Pool(new_line), Pool(new_line)
        self._hurry = Hurry()
        self._keeper = Keeper((self._reading, self._ordering), self._warm, warm_after)

    def close(self) -> None:
        """Close every connection; one that is in use is closed when its call ends."""
        self._keeper.close()
        self._reading.close()
        self._ordering.close()
        self._hidden.close()

    @property
    def standing_refusal(self) -> str:
        """Why Kite takes no order of ours at present, whatever the token says; empty when nothing is known.

        An address that is not registered, or a day's requests that are spent, meet every order.
        """
        return self._standing.refusal

    def exchange(self, request_token: str, api_secret: str) -> dict[str, Json]:
        """Exchange a request token for an access token, once: Kite takes each request token a single time.

        Returns:
            Kite's answer, with ``access_token`` and ``login_time``, which is Indian and has no zone.

        Raises:
            LoginRequiredError: Kite does not take it; the person has to log in anew.
            UnavailableError: no usable answer; the request token may be used up.
        """
        request = _Request("read", "exchange of the request token", self._longest, (request_token, api_secret))
        self._budgets.take_read("other")
        return self._call(
            self._reading, request, lambda kite: _checked(kite.generate_session(request_token, api_secret), dict), ""
        )

    def profile(self) -> dict[str, Json]:
        """Return the account. That it answers proves that the token works, and nothing about orders."""
        return self._read("other", "profile", lambda kite: kite.profile(), dict)

    def orders(self) -> list[Json]:
        """Return the day's orders, in no particular order."""
        return self._read("other", "orders", lambda kite: kite.orders(), list)

    def trades(self) -> list[Json]:
        """Return the day's executions."""
        return self._read("other", "trades", lambda kite: kite.trades(), list)

    def positions(self) -> dict[str, Json]:
        """Return positions, ``net`` and ``day``."""
        return self._read("other", "positions", lambda kite: kite.positions(), dict)

    def glance(self, within: timedelta) -> tuple[list[Json], list[Json], dict[str, Json]]:
        """Return orders and, read after them side by side, trades and positions: within that time, or not at all.

        What was sold between two reads must not be missing from both: an order that filled is in the orders, or its
        units are gone from the positions, which are read later. A token that Kite did not take a moment ago is tried
        again, as for the exit that waits.

        Raises:
            UnavailableError: no usable answer in time (LoginRequiredError among them).
        """
        by = Deadline(within)
        orders = self._soon("prompt", "orders", lambda kite: kite.orders(), list, by, always=True)()
        trades = self._soon("prompt", "trades", lambda kite: kite.trades(), list, by, always=True)
        positions = self._soon("prompt", "positions", lambda kite: kite.positions(), dict, by, always=True)
        return orders, trades(), positions()

    def quote(self, instruments: Sequence[str | int], *, within: timedelta | None = None) -> dict[str, Json]:
        """Return full quotes by ``EXCHANGE:SYMBOL`` or token, at most 500; what has none is left out.

        Args:
            instruments: what is asked for.
            within: fail rather than answer later than this.
        """

        def ask(kite: Any) -> object:
            return kite.quote(list(instruments))

        if within is None:
            return self._read("quote", "quotes", ask, dict)
        return self._soon("quote", "quotes", ask, dict, Deadline(within))()

    def historical(self, token: int, start: datetime, end: datetime, interval: str) -> dict[str, Json]:
        """Return ``{"candles": [...]}`` from *start* to *end*, both aware; the running candle may be among them."""
        # Kite reads these as Indian time and drops any zone without a word.
        first, last = (f"{moment.astimezone(INDIA):%Y-%m-%d %H:%M:%S}" for moment in (start, end))
        what = f"{interval} candles of {token}"
        return self._read("historical", what, lambda kite: kite.historical_data(token, first, last, interval), dict)

    def instruments(self, exchange: str) -> bytes:
        """Return the instrument dump of an exchange as CSV."""
        what = f"instruments of {exchange}"
        return self._read("other", what, lambda kite: kite.instruments(exchange), bytes, longest=_LONGEST_DUMP)

    def place(self, order: Mapping[str, str | int], *, is_exit: bool) -> str:
        """Send one order, once, and return its id.

        Args:
            order: arguments of the client's ``place_order``; ``shapes.order_form`` makes them.
            is_exit: it may use the budget that is kept for exits.

        Raises:
            RefusedError: proved that no order exists; ``may_pass`` tells whether asking again can help.
            OutcomeUnknownError: an order may exist.
        """
        what = f"order {order.get('tag', 'without a tag')}"
        request = _Request("place", what, self._longest, counted_as="order")
        order_id = self._write(request, lambda kite: _order_id(kite.place_order(**order)), is_exit=is_exit)
        self._standing.order_accepted()
        return order_id

    def cancel(self, order_id: str, variety: str = REGULAR) -> None:
        """Ask for a cancellation, once; the book tells what became of it.

        Raises:
            RefusedError: it is known that the request did nothing.
            OutcomeUnknownError: it may have been taken.
        """
        request = _Request("cancel", f"cancellation of {order_id}", self._longest, counted_as="order")
        self._write(request, lambda kite: _order_id(kite.cancel_order(variety, order_id)), is_exit=True)

    def _read(
        self,
        kind: ReadKind,
        what: str,
        ask: Callable[[Any], object],
        expected: type[T],
        *,
        longest: timedelta | None = None,
    ) -> T:
        request = _Request("read", what, longest or self._longest, counted_as=kind)
        token = self._token_for_read(what)
        self._budgets.take_read(kind)
        return self._call(self._reading, request, lambda kite: _checked(ask(kite), expected), token)

    def _soon(
        self,
        kind: ReadKind,
        what: str,
        ask: Callable[[Any], object],
        expected: type[T],
        by: Deadline,
        *,
        always: bool = False,
    ) -> Callable[[], T]:
        """Begin a read, and return what waits for its answer until the deadline and no longer."""
        token = self._token_for_read(what, always=always)
        self._budgets.take_read(kind, by.left)
        request = _Request("read", what, min(by.left, self._longest), counted_as=kind)
        answer = self._hurry.start(
            what, lambda: self._call(self._reading, request, lambda kite: _checked(ask(kite), expected), token)
        )

        def wait() -> T:
            try:
                return answer.result(by.left.total_seconds())
            except TimeoutError:
                raise UnavailableError(
                    f"Kite, {what}: no answer within {by.within.total_seconds():g} s, which is all that could be "
                    "waited; nothing changed"
                ) from None

        return wait

    def _token_for_read(self, what: str, *, always: bool = False) -> str:
        try:
            return self._standing.token(always=always)
        except NoTokenError as why:
            raise LoginRequiredError(f"Kite, {what}: {why}; nothing was sent") from None

    def _write(self, request: _Request, ask: Callable[[Any], T], *, is_exit: bool) -> T:
        try:
            token = self._standing.token(always=is_exit)
        except NoTokenError as why:
            raise RefusedError(f"Kite, {request.what}: {why}; nothing was sent") from None
        if is_exit:
            self._budgets.take_exit()
        elif self.standing_refusal:
            raise RefusedError(f"Kite, {request.what}: every order is refused at present; nothing was sent")
        else:
            self._budgets.take_entry()
        return self._call(self._ordering, request, ask, token)

    def _call(self, pool: Pool, request: _Request, ask: Callable[[Any], T], token: str) -> T:
        self._hidden.hide(token, *request.hidden)
        with pool.lend() as line, line.call(token, request.longest) as kite:
            try:
                answer = ask(kite)
                _require_success(line.status)
            except Exception as error:  # noqa: BLE001 - sorted and raised again; the client raises nearly everything
                # Without its cause: the text of that may hold an address, a header, or a page that repeats them.
                raise self._failure(request, error, line, token) from None
        self._standing.token_worked(token)
        return answer

    def _failure(self, request: _Request, error: Exception, line: Line, token: str) -> TraderError:
        words = self._mask.over(words_of(error), token, *request.hidden)
        kinds = frozenset(kind.__name__ for kind in type(error).__mro__)
        rule = judge(Seen(call=request.call, raised=kinds, left=line.left, status=line.status, words=words))
        saw = type(error).__name__ if line.status is None else f"HTTP {line.status}, {type(error).__name__}"
        if line.was_cut:
            saw += f", no whole answer within {request.longest.total_seconds():g} s"
        text = f"Kite, {request.what}: {saw}{f' {cut(words)!r}' if words else ''}: {rule.meaning}"
        self._remember(request, rule, line, token, text)
        return error_of(request.call, rule, text)

    def _remember(self, request: _Request, rule: Rule, line: Line, token: str, text: str) -> None:
        if line.status == _TOO_MANY:
            self._budgets.too_many(request.counted_as, retry_after_s=line.retry_after_s)
        if rule.login and token:
            self._standing.token_refused(token)
        if rule.standing:
            self._standing.orders_refused(text)

    def _warm(self) -> None:
        request = _Request("read", "profile", self._longest)
        # What fails here fails again for whoever needs it, and is told then.
        with contextlib.suppress(UnavailableError):
            token = self._token_for_read(request.what)
            self._budgets.take_read("other")
            self._call(self._ordering, request, lambda kite: kite.profile(), token)


def _require_success(status: int | None) -> None:
    # The client looks at the body alone.
    if status is None or not 200 <= status < 300:
        raise OddAnswerError("a success under a failing status")


def _checked(answer: object, expected: type[T]) -> T:
    if not isinstance(answer, expected):
        raise OddAnswerError(f"a {type(answer).__name__} where a {expected.__name__} was expected")
    return answer


def _order_id(answer: object) -> str:
    if isinstance(answer, str) and answer.strip():
        return answer
    raise OddAnswerError("no order id where one was expected")
