"""Kite's order routes over a paper broker, on this machine: just enough of them for the broker contract."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

from fsm_trader.broker.protocol import Broker
from fsm_trader.core.money import paise, rupees
from fsm_trader.core.orders import OrderKind, OrderReport, OrderRequest, OrderStatus, Side
from fsm_trader.errors import OutcomeUnknownError, RefusedError

from .scripted import CALL, INDIA

TIME = "%Y-%m-%d %H:%M:%S"


class NoAnswerError(Exception):
    """The connection is to be closed without a word."""


def _request(form: dict[str, str]) -> OrderRequest:
    def price(key: str):
        return paise(Decimal(form[key])) if key in form else None

    protection = form.get("market_protection")
    return OrderRequest(
        tag=form["tag"],
        exchange=form["exchange"],
        tradingsymbol=form["tradingsymbol"],
        token=CALL.token,
        side=Side(form["transaction_type"]),
        quantity=int(form["quantity"]),
        product=form["product"],
        kind=OrderKind(form["order_type"]),
        price_paise=price("price"),
        trigger_paise=price("trigger_price"),
        market_protection=None if protection is None else Decimal(protection),
        validity=form["validity"],
    )


def _row(report: OrderReport) -> dict[str, object]:
    return {
        "order_id": report.order_id,
        "status": "OPEN" if report.status is OrderStatus.WORKING else report.status.value,
        "status_message": report.message or None,
        "order_timestamp": report.updated_at.astimezone(INDIA).strftime(TIME),
        "exchange": report.exchange,
        "tradingsymbol": report.tradingsymbol,
        "instrument_token": report.token,
        "transaction_type": report.side.value,
        "product": report.product,
        "quantity": report.quantity,
        "filled_quantity": report.filled_quantity,
        "tag": report.tag,
    }


class KiteOverPaper:
    """Answers as Kite would: data, or the status and the error that go with a refusal."""

    def __init__(self, paper: Broker) -> None:
        self._paper = paper
        self.lock = threading.Lock()

    def answer(self, method: str, path: str, form: dict[str, str]) -> tuple[int, dict[str, object]]:
        try:
            return 200, {"status": "success", "data": self._data(method, path, form)}
        except RefusedError as error:
            if method == "DELETE":
                # Kite says this of an order that is done, and of one it does not know.
                return 400, _error("OrderException", "Order cannot be cancelled as it is being processed. Try later.")
            if "margin" in str(error):
                return 400, _error("MarginException", "Insufficient funds. Required margin is 1.00.")
            return 400, _error("InputException", str(error))
        except OutcomeUnknownError as error:
            raise NoAnswerError from error

    def _data(self, method: str, path: str, form: dict[str, str]) -> object:
        match (method, path.strip("/").split("/")):
            case ("GET", ["user", "profile"]):
                return {"user_id": "AB1234", "exchanges": ["NSE", "NFO"]}
            case ("POST", ["orders", "regular"]):
                return {"order_id": self._paper.place(_request(form))}
            case ("DELETE", ["orders", "regular", order_id]):
                self._paper.cancel(order_id)
                return {"order_id": order_id}
            case ("GET", ["orders"]):
                return [_row(report) for report in self._paper.book().orders]
            case ("GET", ["trades"]):
                return [
                    {
                        "trade_id": fill.fill_id,
                        "order_id": fill.order_id,
                        "quantity": fill.quantity,
                        "average_price": float(rupees(fill.price_paise)),
                        "fill_timestamp": fill.at.astimezone(INDIA).strftime(TIME),
                    }
                    for fill in self._paper.book().fills
                ]
            case ("GET", ["portfolio", "positions"]):
                net = [
                    {name: getattr(held, name) for name in ("exchange", "tradingsymbol", "product", "quantity")}
                    for held in self._paper.positions()
                ]
                return {"net": net, "day": []}
            case _:
                raise AssertionError(f"{method} {path} is not served here")


def _error(kind: str, message: str) -> dict[str, object]:
    return {"status": "error", "error_type": kind, "message": message, "data": None}


@contextmanager
def kite_over(paper: Broker) -> Iterator[str]:
    """Serve a paper broker as Kite on a port of this machine, and return the root."""
    kite = KiteOverPaper(paper)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        timeout = 10

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            try:
                with kite.lock:
                    status, answer = kite.answer(self.command, self.path.partition("?")[0], dict(parse_qsl(body)))
            except NoAnswerError:
                self.close_connection = True
                return
            raw = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        do_GET = do_POST = do_DELETE = _serve  # noqa: N815 - the names http.server looks for

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    # What a connection still waits for ends with it: the client closes them all.
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
