"""Kite's JSON as our records: strict where money hangs on it, blind to what it does not know.

A book that cannot be read in full is no book: a row of ours that is unreadable makes the whole read fail. Rows that
belong to someone else (another program, a person, another segment) are left out when they cannot be read, and named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from fsm_trader.core.money import Paise, price_seen, rupees
from fsm_trader.core.orders import (
    Fill,
    NetPosition,
    OrderBook,
    OrderKind,
    OrderReport,
    OrderRequest,
    OrderStatus,
    Side,
)
from fsm_trader.core.tags import read_tag
from fsm_trader.errors import UnavailableError

T = TypeVar("T")
Row = Mapping[str, Any]

INDIA = ZoneInfo("Asia/Kolkata")
REGULAR = "regular"
_TIME_LENGTH = len("2026-06-17 09:15:00")
_DONE = {status.value: status for status in OrderStatus if status.is_terminal}


class BookRead(msgspec.Struct, frozen=True):
    """A book, and what was left out of it: rows of others that could not be read."""

    book: OrderBook
    left_out: tuple[str, ...]


def order_form(request: OrderRequest, *, limit_paise: Paise | None = None) -> dict[str, str | int]:
    """Return the arguments of the client's ``place_order`` for one request; prices are exact decimals.

    Args:
        request: what is asked.
        limit_paise: send a market order as a limit order at this price.
    """
    price = request.price_paise if limit_paise is None else limit_paise
    form: dict[str, str | int] = {
        "variety": REGULAR,
        "exchange": request.exchange,
        "tradingsymbol": request.tradingsymbol,
        "transaction_type": request.side.value,
        "quantity": request.quantity,
        "product": request.product,
        "order_type": request.kind.value if limit_paise is None else OrderKind.LIMIT.value,
        "validity": request.validity,
        "tag": request.tag,
    }
    if price is not None:
        form["price"] = str(rupees(price))
    if request.trigger_paise is not None:
        form["trigger_price"] = str(rupees(request.trigger_paise))
    if request.market_protection is not None and limit_paise is None:
        form["market_protection"] = f"{request.market_protection:f}"
    return form


def read_book(orders: Iterable[Any], trades: Iterable[Any], read_at: datetime) -> BookRead:
    """Make a book of Kite's orders and of its trades, read after them.

    Raises:
        UnavailableError: a row that may be ours cannot be read, so the book would not be complete.
    """
    reports, left_out = _reports(orders, read_at)
    foreign = {report.order_id for report in reports if not _is_ours(report.tag)} | left_out.keys()
    fills: list[Fill] = []
    others = [f"order {order_id}: {why}" for order_id, why in left_out.items()]
    for row in trades:
        try:
            fills.append(_fill(row))
        except ValueError as error:
            order_id = row.get("order_id") if isinstance(row, Mapping) else None
            if not isinstance(order_id, str) or order_id not in foreign:
                raise _incomplete("trade", error) from error
            others.append(f"trade of order {order_id}: {error}")
    return BookRead(OrderBook(tuple(reports), tuple(fills), read_at, is_whole=not others), tuple(others))


def read_positions(data: Row) -> tuple[NetPosition, ...]:
    """Return the net positions, those of quantity 0 left out. Kite's last price in them is not looked at.

    Raises:
        UnavailableError: they cannot be read.
    """
    net = data.get("net")
    if not isinstance(net, list):
        raise UnavailableError(
            f"Kite, positions: net is a {type(net).__name__}; expected a list; nothing changed, it is asked again"
        )
    held: dict[tuple[str, str, str], int] = {}
    for row in net:
        try:
            key = (_text(row, "exchange"), _text(row, "tradingsymbol"), _text(row, "product"))
            held[key] = held.get(key, 0) + _whole(row, "quantity")
        except ValueError as error:
            raise _incomplete("position", error) from error
    return tuple(NetPosition(*key, quantity) for key, quantity in held.items() if quantity)


def read_time(value: object) -> datetime:
    """Return a time of Kite, ``2026-06-17 09:15:00``, which is Indian, as an aware one.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, str) or len(value) != _TIME_LENGTH:
        raise ValueError(f"time {value!r}; expected one such as 2026-06-17 09:15:00")
    return datetime.fromisoformat(value).replace(tzinfo=INDIA)


def _reports(orders: Iterable[Any], read_at: datetime) -> tuple[list[OrderReport], dict[str, str]]:
    """Return the rows as reports, and by their ids why those of others could not be read."""
    reports: list[OrderReport] = []
    left_out: dict[str, str] = {}
    for row in orders:
        try:
            reports.append(_report(row, read_at))
        except ValueError as error:
            # Without its tag nobody can say whose it is; with it, only ours has to be readable.
            if not isinstance(row, Mapping) or "tag" not in row or _is_ours(_tag(row)):
                raise _incomplete("order", error) from error
            left_out[str(row.get("order_id"))] = str(error)
    return reports, left_out


def _report(row: Row, read_at: datetime) -> OrderReport:
    quantity, filled = _units(row, "quantity"), _units(row, "filled_quantity")
    if filled > quantity:
        raise ValueError(f"filled_quantity {filled} of {quantity}")
    status = _text(row, "status")
    stamps = (row.get(key) for key in ("exchange_update_timestamp", "exchange_timestamp", "order_timestamp"))
    changed = next((stamp for stamp in stamps if stamp), None)
    token = row.get("instrument_token")
    return OrderReport(
        order_id=_text(row, "order_id"),
        tag=_tag(row),
        exchange=_text(row, "exchange"),
        tradingsymbol=_text(row, "tradingsymbol"),
        token=token if type(token) is int else 0,
        side=_side(row),
        product=_text(row, "product"),
        quantity=quantity,
        filled_quantity=filled,
        # "There may be other values as well" (Kite's page on orders): what is not known to be over may still fill.
        status=_DONE.get(status, OrderStatus.WORKING),
        updated_at=read_at if changed is None else read_time(changed),
        raw_status=status,
        message=str(row.get("status_message") or row.get("status_message_raw") or ""),
    )


def _fill(row: Row) -> Fill:
    quantity = _units(row, "quantity")
    price = _price(row, "average_price")
    if quantity < 1 or price < 1:
        raise ValueError(f"{quantity} units at {price} paise")
    stamps = (row.get(key) for key in ("fill_timestamp", "exchange_timestamp"))
    return Fill(
        fill_id=_text(row, "trade_id"),
        order_id=_text(row, "order_id"),
        quantity=quantity,
        price_paise=price,
        at=read_time(next((stamp for stamp in stamps if stamp), None)),
    )


def _tag(row: Row) -> str | None:
    """Return our tag where there is one: Kite adds tags of its own, in ``tags``, and may list ours there."""
    tag, tags = row.get("tag"), row.get("tags")
    seen = [each for each in (tag, *(tags if isinstance(tags, list) else ())) if isinstance(each, str) and each]
    return next((each for each in seen if _is_ours(each)), tag if isinstance(tag, str) and tag else None)


def _is_ours(tag: str | None) -> bool:
    return read_tag(tag) is not None


def _side(row: Row) -> Side:
    return _one_of(row, "transaction_type", Side)


def _one_of(row: Row, key: str, kind: Callable[[str], T]) -> T:
    text = _text(row, key)
    try:
        return kind(text)
    except ValueError as error:
        raise ValueError(f"{key} {text!r}") from error


def _text(row: object, key: str) -> str:
    value = row.get(key) if isinstance(row, Mapping) else None
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key} {value!r}; expected a text")
    return value


def _whole(row: object, key: str) -> int:
    value = row.get(key) if isinstance(row, Mapping) else None
    # Kite sends whole numbers as 65 or as 65.0.
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if type(value) is not int:
        raise ValueError(f"{key} {value!r}; expected a whole number")
    return value


def _units(row: Row, key: str) -> int:
    units = _whole(row, key)
    if units < 0:
        raise ValueError(f"{key} {units}; expected none below zero")
    return units


def _price(row: Row, key: str) -> Paise:
    value = row.get(key)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return price_seen(value)
    raise ValueError(f"{key} {value!r}; expected a number")


def _incomplete(what: str, error: ValueError) -> UnavailableError:
    return UnavailableError(
        f"Kite, order book: a {what} that cannot be read ({error}); expected all of them, since half a book proves "
        "nothing; nothing changed, it is asked again"
    )
