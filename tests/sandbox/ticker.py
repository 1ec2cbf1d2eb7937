"""The unmodified KiteTicker for a few real seconds, in a process of its own: its reactor can run only once in one.

    python ticker.py WS_ROOT TOKEN SECONDS INDEX OPTION [SYMBOL REST_ROOT]

Says when it is connected or turned away, and at last what it saw, as one JSON document. With a symbol it buys one lot
once it is connected.
"""

from __future__ import annotations

import json
import sys
import threading

from kiteconnect import KiteConnect, KiteTicker


def main() -> None:
    root, token, seconds, index, option = sys.argv[1:6]
    seen: dict[str, list] = {"ticks": [], "updates": [], "errors": [], "closes": [], "messages": []}
    connected = threading.Event()

    def on_connect(ws, _response):
        ws.subscribe([int(index), int(option), 1])
        ws.set_mode(ws.MODE_FULL, [int(option)])
        connected.set()

    def on_error(_ws, code, reason):
        seen["errors"].append([code, str(reason)])
        connected.set()

    ticker = KiteTicker("sandboxkey000001", token, root=root, reconnect=False)
    ticker.on_connect = on_connect
    ticker.on_ticks = lambda _ws, ticks: seen["ticks"].extend(
        {name: tick[name] for name in ("instrument_token", "mode", "last_price")} for tick in ticks
    )
    ticker.on_order_update = lambda _ws, row: seen["updates"].append(row)
    ticker.on_error = on_error
    ticker.on_close = lambda _ws, code, reason: seen["closes"].append([code, str(reason)])
    ticker.on_message = lambda _ws, payload, is_binary: seen["messages"].append(len(payload) if is_binary else 0)
    ticker.connect(threaded=True)
    connected.wait(5)
    print("connected", flush=True)
    if len(sys.argv) > 6:
        kite = KiteConnect("sandboxkey000001", token, root=sys.argv[7])
        kite.reqsession.trust_env = False
        kite.place_order("regular", "NFO", sys.argv[6], "BUY", 65, "MIS", "MARKET", market_protection=-1, tag="ticker1")
    threading.Event().wait(float(seconds))
    ticker.close()
    json.dump(seen, sys.stdout, default=str)


main()
