"""Which orders a broker turns away at its door, and in which words; every reason is named, not only the first.

Pure checks of one request. It must not know the state of the market beyond what it is handed.
"""

from __future__ import annotations

from collections.abc import Iterator

from fsm_trader.broker.paper.pricing import AUTO_PROTECTION
from fsm_trader.core.contracts import OptionContract
from fsm_trader.core.money import show_rupees
from fsm_trader.core.orders import OrderKind, OrderRequest, Side

LONGEST_TAG = 20
"""Kite Connect refuses longer tags; it does not cut them."""

_PRODUCTS = ("MIS", "NRML")
_VALIDITIES = ("DAY", "IOC")


def request_faults(request: OrderRequest, contract: OptionContract | None, *, sellable: int) -> tuple[str, ...]:
    """Return everything that keeps an order from being accepted, empty when nothing does.

    Args:
        request: what was asked.
        contract: the instrument under the request's trading symbol, None when it is not listed.
        sellable: units held long under the request's product that no working order sells yet.
    """
    faults = [*form_faults(request)]
    if contract is None:
        return (*faults, f"instrument {request.exchange}:{request.tradingsymbol} is not listed")
    faults += contract_faults(request, contract)
    if request.side is Side.SELL and request.quantity > sellable:
        faults.append(
            f"margin: SELL of {request.quantity} units with {max(sellable, 0)} long and free under {request.product}; "
            "the paper account has no margin to write options"
        )
    return tuple(faults)


def form_faults(request: OrderRequest) -> tuple[str, ...]:
    """Return what is wrong with a request whatever its instrument is: tag, product, validity, kind of price."""
    return (*_label_faults(request), *_price_rule_faults(request))


def contract_faults(request: OrderRequest, contract: OptionContract) -> tuple[str, ...]:
    """Return what does not go with the instrument: its exchange and token, lot, freeze quantity and tick."""
    return (
        *_instrument_faults(request, contract),
        *_quantity_faults(request, contract),
        *_tick_faults(request, contract.tick_paise),
    )


def _label_faults(request: OrderRequest) -> Iterator[str]:
    tag = request.tag
    if not 1 <= len(tag) <= LONGEST_TAG or not (tag.isascii() and tag.isalnum()):
        yield f"tag {tag!r} of {len(tag)} characters; expected 1 to {LONGEST_TAG} letters and digits"
    if request.product not in _PRODUCTS:
        yield f"product {request.product!r}; expected one of {', '.join(_PRODUCTS)}"
    if request.validity not in _VALIDITIES:
        yield f"validity {request.validity!r}; expected one of {', '.join(_VALIDITIES)}"


def _price_rule_faults(request: OrderRequest) -> Iterator[str]:
    kind, protection = request.kind, request.market_protection
    if (request.price_paise is not None) != (kind is OrderKind.LIMIT):
        yield f"price {request.price_paise} paise on a {kind} order; expected one on LIMIT orders and on no other"
    if (request.trigger_paise is not None) != (kind is OrderKind.STOP):
        yield f"trigger {request.trigger_paise} paise on a {kind} order; expected one on SL-M orders and on no other"
    if kind is OrderKind.LIMIT:
        return
    if not protection:
        # Kite's rule since 2026-04-01, for orders that come through an API.
        yield f"{kind} order without market protection; expected -1 or a percentage, or a LIMIT order"
    elif protection != AUTO_PROTECTION and not 0 < protection <= 100:
        yield f"market protection {protection}; expected -1, or above 0 and at most 100 percent"


def _instrument_faults(request: OrderRequest, contract: OptionContract) -> Iterator[str]:
    if request.exchange != contract.exchange:
        yield f"exchange {request.exchange!r}; {contract.tradingsymbol} is listed on {contract.exchange}"
    if request.token != contract.token:
        yield f"token {request.token}; {contract.tradingsymbol} has {contract.token} today"


def _quantity_faults(request: OrderRequest, contract: OptionContract) -> Iterator[str]:
    quantity, freeze = request.quantity, contract.freeze_quantity
    if quantity <= 0 or quantity % contract.lot_size:
        yield f"quantity {quantity}; expected a multiple of the lot of {contract.lot_size} above zero"
    if freeze is not None and quantity > freeze:
        yield f"quantity {quantity}; expected at most the freeze quantity of {freeze}"


def _tick_faults(request: OrderRequest, tick_paise: int) -> Iterator[str]:
    for name, price in (("price", request.price_paise), ("trigger", request.trigger_paise)):
        if price is not None and (price <= 0 or price % tick_paise):
            tick = show_rupees(tick_paise)
            yield f"{name} {show_rupees(price)}; expected a multiple of the tick of {tick} above zero"
