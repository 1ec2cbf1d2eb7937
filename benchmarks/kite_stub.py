"""The least that Kite can be: a server that says when it held an order, in a process of its own.

    python benchmarks/kite_stub.py [CERTIFICATE_AND_KEY IDLE_S]

It prints its port, and ends with its input. An order is filled as it comes, at the price that was set; its id is the
moment at which the whole request had come, in nanoseconds of ``time.perf_counter``, which all processes of this machine
share. With a certificate it speaks TLS, and closes a connection that was idle for so long, as servers do.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import sys
import threading
import time
from collections import Counter, deque
from typing import Any
from urllib.parse import parse_qsl

_READ_BYTES = 65_536
_ORDERS_KEPT = 4  # What a broker has seen once it does not forget: the older ones are only more to read.


class Stub:
    """The account: what was ordered, what is held, and how many connections and orders there were."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._orders: deque[dict[str, Any]] = deque(maxlen=_ORDERS_KEPT)
        self._held: Counter[str] = Counter()
        self._at, self._price = "2026-06-17 09:15:00", 100.0
        self.connections = self._count = 0

    def answer(self, method: str, path: str, body: str, came_ns: int) -> object:
        """Return what the request gets; *came_ns* is when it had come."""
        with self._lock:
            if method == "POST":
                return self._order(dict(parse_qsl(body)), str(came_ns))
            path, _, query = path.partition("?")
            if path == "/set":
                asked = dict(parse_qsl(query))
                self._at, self._price = asked["at"], float(asked["price"])
                return {}
            answers: dict[str, object] = {
                "/seen": {"connections": self.connections, "orders": self._count},
                "/user/profile": {"user_id": "AB1234", "exchanges": ["NSE", "NFO"]},
                "/orders": list(self._orders),
                "/trades": [self._trade(order) for order in self._orders],
                "/portfolio/positions": {"net": self._positions(), "day": []},
                "/quote": {},
            }
            return answers[path] if path in answers else {"candles": [self._candle(dict(parse_qsl(query))["to"])]}

    def _candle(self, end: str) -> list[object]:
        """Return the last candle of those asked for: what came before says nothing, what follows the stream has."""
        return [f"{end[:16].replace(' ', 'T')}:00+0530", *([self._price] * 4), 65]

    def _order(self, form: dict[str, str], order_id: str) -> dict[str, str]:
        quantity, side = int(form["quantity"]), form["transaction_type"]
        self._orders.append(
            {
                "order_id": order_id,
                "status": "COMPLETE",
                "order_timestamp": self._at,
                "filled_quantity": quantity,
                "average_price": self._price,
                **form,
                "quantity": quantity,
            }
        )
        self._held[form["tradingsymbol"]] += quantity if side == "BUY" else -quantity
        self._count += 1
        return {"order_id": order_id}

    def _trade(self, order: dict[str, Any]) -> dict[str, Any]:
        return {
            "trade_id": f"T{order['order_id']}",
            "order_id": order["order_id"],
            "quantity": order["quantity"],
            "average_price": order["average_price"],
            "fill_timestamp": order["order_timestamp"],
        }

    def _positions(self) -> list[dict[str, object]]:
        return [
            {"exchange": "NFO", "tradingsymbol": symbol, "product": "MIS", "quantity": quantity}
            for symbol, quantity in self._held.items()
        ]


def serve(stub: Stub, connection: socket.socket, tls: ssl.SSLContext | None, idle_s: float | None) -> None:
    """Answer one connection until either side ends it."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.settimeout(idle_s)
    with contextlib.suppress(OSError):
        if tls is not None:
            connection = tls.wrap_socket(connection, server_side=True)
        while (request := _read(connection)) is not None:
            head, body, came_ns = request
            method, path, _ = head.split(" ", 2)
            said = json.dumps({"status": "success", "data": stub.answer(method, path, body, came_ns)}).encode()
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(said), said)
            )
    connection.close()


def _read(connection: socket.socket) -> tuple[str, str, int] | None:
    """Return head and body of the next request, and when its last byte had come."""
    data = b""
    while (end := data.find(b"\r\n\r\n")) < 0 or len(data) < end + 4 + _length(data[:end]):
        part = connection.recv(_READ_BYTES)
        if not part:
            return None
        data += part
    came_ns = time.perf_counter_ns()
    return data[:end].decode("latin-1"), data[end + 4 :].decode(), came_ns


def _length(head: bytes) -> int:
    found = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return int(found[0].split(b":")[1]) if found else 0


def _accept(stub: Stub, listener: socket.socket, tls: ssl.SSLContext | None, idle_s: float | None) -> None:
    while True:
        connection, _ = listener.accept()
        stub.connections += 1
        threading.Thread(target=serve, args=(stub, connection, tls, idle_s), daemon=True).start()


def main(arguments: list[str]) -> None:
    tls, idle_s = None, None
    if arguments:
        tls, idle_s = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), float(arguments[1])
        tls.load_cert_chain(arguments[0])
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_accept, args=(Stub(), listener, tls, idle_s), daemon=True).start()
    print(listener.getsockname()[1], flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
