"""Order forms as clients send them, into requests to the matching engine; and what Kite says where it refuses one.

Texts are Kite's where they are known from public threads, ours elsewhere. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Literal

from fsm_trader.core.contracts import OptionContract
from fsm_trader.core.money import Paise, paise
from fsm_trader.core.orders import OrderKind, OrderRequest, Side
from fsm_trader.errors import RefusedError
from fsm_trader.simulate.sandbox.exchange import NO_TAG

ErrorType = Literal[
    "GeneralException",
    "InputException",
    "MarginException",
    "NetworkException",
    "OrderException",
    "PermissionException",
    "TokenException",
]
MARKET_UNPROTECTED = (
    "Market orders without market protection are not allowed via API. "
    "Please set market protection or use a Limit order."
)
NOT_CANCELLABLE = "Order cannot be cancelled as it is being processed. Try later."
"""Also, and mostly, said of orders that are done."""

_REQUIRED = ("exchange", "tradingsymbol", "transaction_type", "quantity", "product", "order_type")
_LONGEST_TAG = 20
_MOST_DIGITS = 20


class KiteError(Exception):
    """What the server answers instead of data.

    Args:
        message: Kite's words.
        error_type: the class that the client raises.
        status: HTTP status.
    """

    def __init__(self, message: str, error_type: ErrorType = "InputException", status: int = 400) -> None:
        self.message = message
        self.error_type = error_type
        self.status = status
        super().__init__(message)


def order_request(form: Mapping[str, str], find_contract: Callable[[str], OptionContract | None]) -> OrderRequest:
    """Return what a form of POST /orders/regular asks for; an order without a tag has an empty one.

    Raises:
        KiteError: the form cannot be read, or asks for what the sandbox does not simulate.
    """
    for name in _REQUIRED:
        if not form.get(name):
            raise KiteError(f"Missing or empty field `{name}`")
    kind = _kind(form["order_type"])
    contract = find_contract(form["tradingsymbol"])
    protection = _protection(form.get("market_protection"))
    if kind is not OrderKind.LIMIT and not protection:
        raise KiteError(MARKET_UNPROTECTED)
    return OrderRequest(
        tag=_tag(form.get("tag")),
        exchange=form["exchange"],
        tradingsymbol=form["tradingsymbol"],
        token=contract.token if contract else 0,
        side=_side(form["transaction_type"]),
        quantity=_whole("quantity", form["quantity"]),
        product=form["product"],
        kind=kind,
        # Kite passes over a price that the kind of order has no use for.
        price_paise=_price("price", form.get("price")) if kind is OrderKind.LIMIT else None,
        trigger_paise=_price("trigger_price", form.get("trigger_price")) if kind is OrderKind.STOP else None,
        market_protection=protection if kind is not OrderKind.LIMIT else None,
        validity=form.get("validity") or "DAY",
    )


def refusal(error: RefusedError) -> KiteError:
    """Turn the engine's refusal of an order into Kite's answer."""
    reasons = str(error).removeprefix("paper broker: ").removesuffix("; nothing was placed")
    text = reasons.partition(": ")[2] or reasons
    if text.startswith("margin: "):
        return KiteError(f"Insufficient funds. {text}.", "MarginException")
    return KiteError(f"{text[:1].upper()}{text[1:]}.")


def _kind(text: str) -> OrderKind:
    if text == "SL":
        raise KiteError("The sandbox does not simulate SL orders; it takes MARKET, LIMIT and SL-M.")
    try:
        return OrderKind(text)
    except ValueError as error:
        raise KiteError("Invalid `order_type`.") from error


def _side(text: str) -> Side:
    try:
        return Side(text)
    except ValueError as error:
        raise KiteError("Invalid `transaction_type`.") from error


def _tag(text: str | None) -> str:
    if not text:
        return ""
    if len(text) > _LONGEST_TAG or text.startswith(NO_TAG) or not (text.isascii() and text.isalnum()):
        raise KiteError(f"Invalid `tag`. Expected at most {_LONGEST_TAG} letters and digits.")
    return text


def _whole(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise _undecoded(name, text, "int")
    return int(text)


def _price(name: str, text: str | None) -> Paise | None:
    value = _decimal(name, text)
    if not value:
        raise KiteError(f"Invalid `{name}`.")
    try:
        return paise(value)
    except ValueError as error:
        raise KiteError(
            "Tick size for this script is 0.05. Kindly enter price in the multiple of tick size."
        ) from error


def _protection(text: str | None) -> Decimal | None:
    return _decimal("market_protection", text)


def _decimal(name: str, text: str | None) -> Decimal | None:
    if not text:
        return None
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise _undecoded(name, text, "decimal") from error
    if not value.is_finite() or len(text) > _MOST_DIGITS:
        raise _undecoded(name, text, "decimal")
    return value


def _undecoded(name: str, text: str, expected: str) -> KiteError:
    return KiteError(f"Invalid request (failed to decode {name}, got: {text[:_MOST_DIGITS]} (expected {expected}))")
