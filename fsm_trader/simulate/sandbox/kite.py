"""The sandbox's answers: every call of Kite's that it simulates, over the exchange, the account and the day's clock.

It must not know HTTP or websockets; ``server`` carries what is decided here. One thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from urllib.parse import parse_qsl, urlencode

from fsm_trader.broker.paper.order import PaperOrder
from fsm_trader.core.candles import Candle
from fsm_trader.core.orders import Fill
from fsm_trader.core.settings import UnderlyingSettings
from fsm_trader.errors import RefusedError, UnavailableError
from fsm_trader.simulate.sandbox import market_rows, order_rows, portfolio_rows
from fsm_trader.simulate.sandbox.account import API_KEY, Account
from fsm_trader.simulate.sandbox.calls import Answer, Call, Route
from fsm_trader.simulate.sandbox.clock import DayClock
from fsm_trader.simulate.sandbox.depth import depth_around
from fsm_trader.simulate.sandbox.exchange import Exchange
from fsm_trader.simulate.sandbox.forms import NOT_CANCELLABLE, KiteError, order_request, refusal
from fsm_trader.simulate.sandbox.order_rows import Row
from fsm_trader.simulate.sandbox.tape import Shown, merged

_INTERVALS = {
    "minute": 1,
    "3minute": 3,
    "5minute": 5,
    "10minute": 10,
    "15minute": 15,
    "30minute": 30,
    "60minute": 60,
    "day": 24 * 60,
}
_MOST_ASKED = {"quote": 500, "ohlc": 1000, "ltp": 1000}
_VARIETIES = ("amo", "co", "iceberg", "auction", "regular")
_OMS_FAILED = "Request failed (kitetrade-oms)."
_Dealt = tuple[PaperOrder, Fill]


class Kite:
    """Answers calls at the exchange's present, which is kept before anyone is told of it.

    Args:
        exchange: orders and prices.
        account: tokens.
        clock: the day's time.
        underlying: the index.
        redirect: where a login page sends the browser, None: it shows the request token.
    """

    def __init__(
        self,
        exchange: Exchange,
        account: Account,
        clock: DayClock,
        underlying: UnderlyingSettings,
        *,
        redirect: str | None = None,
    ) -> None:
        self.exchange = exchange
        self.account = account
        self.clock = clock
        self._underlying = underlying
        self._redirect = redirect
        self._answers: dict[str, Callable[[Call, dict[str, str]], Answer]] = {
            "clock": self._clock,
            "login": self._login,
            "session": self._session,
            "logout": self._logout,
            "profile": lambda _call, _parts: Answer.data(portfolio_rows.profile()),
            "margins": self._margins,
            "holdings": lambda _call, _parts: Answer.data([]),
            "positions": lambda _call, _parts: Answer.data(self.positions(timedelta(0))),
            "place": self._place,
            "modify": self._modify,
            "cancel": self._cancel,
            "orders": lambda _call, _parts: Answer.data(self.order_book()),
            "order": self._order,
            "order_trades": self._order_trades,
            "trades": lambda _call, _parts: Answer.data(self.trades()),
            "instruments": self._instruments,
            "historical": self._historical,
            "quote": self._quote,
            "ohlc": self._quote,
            "ltp": self._quote,
        }

    def answer(self, route: Route, call: Call, parts: dict[str, str]) -> Answer:
        """Carry a call out and return the answer, an error among them.

        Args:
            route: which call it is.
            call: the request.
            parts: named parts of its path.
        """
        try:
            _check_version(call)
            return self._answers[route.name](call, parts)
        except KiteError as error:
            return Answer.error(error)
        except UnavailableError:
            # The book could not be written: what was asked may be done.
            return Answer.error(KiteError(_OMS_FAILED, "NetworkException", 503))

    def order_book(self) -> list[Row]:
        """Return the order book's rows, in the order the orders came."""
        return [self._row(order) for order in self.exchange.orders]

    def trades(self) -> list[Row]:
        """Return all fills as trades, in the order they were made."""
        dealt = sorted(self._dealt(self.exchange.now), key=lambda each: each[1].at)
        return [order_rows.trade_row(order, fill, self.exchange.play) for order, fill in dealt]

    def positions(self, age: timedelta) -> Row:
        """Return the positions as they stood *age* ago."""
        then = self.exchange.now - age

        def last(token: int) -> int:
            tape = self.exchange.tape(token)
            shown = tape.at(then) if tape else None
            return shown.last if shown else 0

        return portfolio_rows.positions(self._dealt(then), last)

    def tag_of(self, route: Route, call: Call, parts: dict[str, str]) -> str | None:
        """Return the tag of the order that a call is about, None when it is about none or the order has none."""
        if route.name == "place":
            return call.form.get("tag")
        order = self.exchange.order(parts.get("order_id", ""))
        return None if order is None else order_rows.client_tag(order)

    def _clock(self, _call: Call, _parts: dict[str, str]) -> Answer:
        clock, day = self.clock, self.exchange.day
        return Answer.data(
            {
                "now": self.exchange.now.isoformat(),
                "speed": clock.speed,
                "state": clock.state,
                "day": day.date.isoformat(),
                "opens_at": day.opens_at.isoformat(),
                "closes_at": day.closes_at.isoformat(),
            }
        )

    def _login(self, call: Call, _parts: dict[str, str]) -> Answer:
        token = self.account.request_token(call.asked("api_key"))
        if self._redirect is None:
            text = (
                "<!doctype html><title>Sandbox login</title><p>The sandbox asks for no password. "
                f"Request token, good once and for five minutes:<p><code>{token}</code>"
            )
            return Answer(200, text.encode(), "text/html")
        mark = "&" if "?" in self._redirect else "?"
        own = dict(parse_qsl(call.asked("redirect_params")))
        asked = {"action": "login", "type": "login", "status": "success", "request_token": token, **own}
        return Answer(302, b"", "text/html", f"{self._redirect}{mark}{urlencode(asked)}")

    def _session(self, call: Call, _parts: dict[str, str]) -> Answer:
        key, request_token, proof = (call.form.get(name, "") for name in ("api_key", "request_token", "checksum"))
        now = self.exchange.now
        token = self.account.exchange(key, request_token, proof, now)
        # As real answers have them: the profile, and beside the token some fields that nobody needs.
        return Answer.data(
            {
                **portfolio_rows.profile(),
                "avatar_url": "",
                "api_key": API_KEY,
                "access_token": token,
                "public_token": token[::-1],
                "enctoken": "",
                "refresh_token": "",
                "silo": "",
                "login_time": order_rows.stamp(now),
            }
        )

    def _logout(self, call: Call, _parts: dict[str, str]) -> Answer:
        self.account.log_out(call.asked("access_token"))
        return Answer.data(data=True)

    def _margins(self, _call: Call, parts: dict[str, str]) -> Answer:
        segments = portfolio_rows.margins(self._dealt(self.exchange.now))
        return Answer.data(segments[parts["segment"]] if "segment" in parts else segments)

    def _place(self, call: Call, parts: dict[str, str]) -> Answer:
        _refuse_variety(parts["variety"])
        request = order_request(call.form, self.exchange.contracts.get)
        try:
            return Answer.data({"order_id": self.exchange.place(request)})
        except RefusedError as error:
            raise refusal(error) from error

    def _modify(self, _call: Call, _parts: dict[str, str]) -> Answer:
        raise KiteError("The sandbox does not simulate modifications: cancel the order and place another.")

    def _cancel(self, _call: Call, parts: dict[str, str]) -> Answer:
        _refuse_variety(parts["variety"])
        self._found(parts)
        try:
            self.exchange.cancel(parts["order_id"])
        except RefusedError as error:
            raise KiteError(NOT_CANCELLABLE, "OrderException") from error
        return Answer.data({"order_id": parts["order_id"]})

    def _order(self, _call: Call, parts: dict[str, str]) -> Answer:
        order = self._found(parts)
        fills, latency = self.exchange.fills_of(order.order_id), self.exchange.settings.latency
        return Answer.data(order_rows.history(order, fills, self.exchange.now, latency))

    def _order_trades(self, _call: Call, parts: dict[str, str]) -> Answer:
        order = self._found(parts)
        fills = self.exchange.fills_of(order.order_id)
        return Answer.data([order_rows.trade_row(order, fill, self.exchange.play) for fill in fills])

    def _instruments(self, _call: Call, parts: dict[str, str]) -> Answer:
        day = self.exchange.day
        text = market_rows.dump(day.contracts, self._underlying, parts.get("exchange"), day.date)
        return Answer(200, text.encode(), "text/csv")

    def _historical(self, call: Call, parts: dict[str, str]) -> Answer:
        minutes = _INTERVALS.get(parts["interval"])
        if minutes is None:
            raise KiteError("Invalid `interval`.")
        tape = self.exchange.tape(int(parts["token"]))
        if tape is None:
            raise KiteError("Invalid `instrument_token`.")
        first, last = (self._moment(call.asked(name), name) for name in ("from", "to"))
        day = self.exchange.day
        # The whole day is merged before it is cut, so that a long candle does not depend on where it is asked from.
        candles: Iterable[Candle] = tape.candles(day.opens_at, day.closes_at, now=self.exchange.now)
        if minutes > 1:
            candles = merged(candles, minutes=minutes, opens_at=day.opens_at)
        is_day = parts["interval"] == "day"
        cut = [
            candle for candle in candles if first <= candle.start <= last or (is_day and _covers(first, last, candle))
        ]
        rows = market_rows.candle_rows(cut, oi=call.asked("oi") == "1", whole_day=is_day)
        return Answer.data({"candles": rows})

    def _quote(self, call: Call, _parts: dict[str, str]) -> Answer:
        name = call.path.rpartition("/")[2]
        keys = call.all_asked("i")
        if not keys:
            raise KiteError("No instruments were asked for: `i` is missing.")
        if len(keys) > _MOST_ASKED[name]:
            raise KiteError(f"At most {_MOST_ASKED[name]} instruments at once.")
        rows = ((key, self._quoted(name, key)) for key in keys)
        return Answer.data({key: row for key, row in rows if row is not None})

    def _quoted(self, name: str, key: str) -> Row | None:
        now, exchange = self.exchange.now, self.exchange
        token = self._token_of(key)
        tape = None if token is None else exchange.tape(token)
        shown: Shown | None = tape.at(now) if tape else None
        if token is None or shown is None:
            return None
        if name != "quote":
            return (market_rows.last_price_row if name == "ltp" else market_rows.candle_so_far_row)(token, shown)
        contract = exchange.contract_of(token)
        if contract is None:
            return market_rows.index_quote(token, shown, now)
        depth = depth_around(shown.last, contract, spread_ticks=exchange.settings.spread_ticks)
        return market_rows.option_quote(token, shown, depth, now)

    def _token_of(self, key: str) -> int | None:
        """Return the token of ``NFO:SYMBOL``, or of a token written as digits; None when there is none."""
        if key.isascii() and key.isdigit():
            return int(key)
        if key == f"{self._underlying.exchange}:{self._underlying.symbol}":
            return self._underlying.token
        exchange, _, symbol = key.partition(":")
        contract = self.exchange.contracts.get(symbol)
        return contract.token if contract and contract.exchange == exchange else None

    def _row(self, order: PaperOrder) -> Row:
        latency = self.exchange.settings.latency
        status = order_rows.status_at(order, self.exchange.now, latency)
        return order_rows.order_row(order, self.exchange.fills_of(order.order_id), status, latency)

    def _found(self, parts: dict[str, str]) -> PaperOrder:
        order = self.exchange.order(parts["order_id"])
        if order is None:
            raise KiteError("Couldn't find that `order_id`.", "GeneralException", 404)
        return order

    def _dealt(self, until: datetime) -> list[_Dealt]:
        exchange = self.exchange
        return [
            (order, fill) for order in exchange.orders for fill in exchange.fills_of(order.order_id) if fill.at <= until
        ]

    def _moment(self, text: str, name: str) -> datetime:
        try:
            return datetime.fromisoformat(text).replace(tzinfo=self.exchange.day.opens_at.tzinfo)
        except ValueError as error:
            raise KiteError(f"Invalid `{name}`. Expected `yyyy-mm-dd hh:mm:ss`.") from error


def _check_version(call: Call) -> None:
    if call.version not in (None, "3"):
        raise KiteError("Invalid `X-Kite-Version`. Expected 3.")


def _covers(first: datetime, last: datetime, candle: Candle) -> bool:
    return first.date() <= candle.start.date() <= last.date()


def _refuse_variety(variety: str) -> None:
    if variety not in _VARIETIES:
        raise KiteError("Invalid `variety`.")
    if variety != "regular":
        raise KiteError(f"The sandbox does not simulate {variety} orders; it takes regular ones.")
