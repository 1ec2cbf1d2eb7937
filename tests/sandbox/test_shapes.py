"""The sandbox's answers beside real ones, field by field: the same keys, and types that a real answer has."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest

from .conftest import MOCKS, SYMBOL, buy

pytestmark = pytest.mark.skipif(not MOCKS.is_dir(), reason="no kite-mocks in a folder shared beside the checkout")

# In some real answers and not in others, or of a kind the sandbox has not.
SOMETIMES = {"tags", "terminal_id", "auction_number", "order_timestamp_raw"}


def mock(name: str) -> Any:
    return json.loads((MOCKS / f"{name}.json").read_text(encoding="utf-8"))["data"]


def differences(ours: Any, real: Any, where: str = "$") -> list[str]:
    """Compare shapes: keys both ways, and the kind of each value; null fits anything."""
    if ours is None or real is None:
        return []
    if isinstance(real, dict):
        if not isinstance(ours, dict):
            return [f"{where}: {ours!r} is no object"]
        keys = (set(ours) ^ set(real)) - SOMETIMES
        return [f"{where}: {key} in one only" for key in keys] + [
            fault for key in set(ours) & set(real) for fault in differences(ours[key], real[key], f"{where}.{key}")
        ]
    if isinstance(real, list):
        if not isinstance(ours, list):
            return [f"{where}: {ours!r} is no list"]
        return [fault for each in ours[:1] for fault in differences(each, real[0], f"{where}[]")] if real else []
    kinds = [bool, (int, float), str]
    same = next(kind for kind in kinds if isinstance(real, kind))
    return [] if isinstance(ours, same) else [f"{where}: {ours!r}, where a real answer has {real!r}"]


@pytest.fixture
def get(sandbox):
    client = sandbox.client()
    sandbox.at("09:30:00")
    order_id = buy(client)
    sandbox.at("09:30:05")

    def read(path: str, method: str = "GET") -> Any:
        request = urllib.request.Request(
            f"http://{sandbox.address}{path.format(order_id=order_id)}",
            headers={"Authorization": f"token sandboxkey000001:{sandbox.token}", "X-Kite-Version": "3"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            return json.loads(answer.read())["data"]

    return read


def test_the_order_book_has_the_fields_of_a_real_one(get):
    assert differences(get("/orders")[0], mock("orders")[-1]) == []


def test_an_orders_history_has_at_least_the_fields_of_a_real_one(get):
    rows, real = get("/orders/{order_id}"), mock("order_info")

    assert set(real[0]) <= set(rows[0])
    assert [fault for fault in differences(rows[0], real[0]) if "in one only" not in fault] == []
    # Kite's own first three statuses, and the last.
    assert [row["status"] for row in rows][:4] == [row["status"] for row in real][:4]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/trades", "trades"),
        ("/orders/{order_id}/trades", "order_trades"),
        ("/user/profile", "profile"),
        ("/user/margins", "margins"),
        ("/user/margins/equity", "margins_equity"),
        ("/portfolio/positions", "positions"),
        ("/instruments/historical/256265/minute?from=2026-06-17+09:15:00&to=2026-06-17+09:30:00", "historical_minute"),
        (
            "/instruments/historical/256265/minute?from=2026-06-17+09:15:00&to=2026-06-17+09:30:00&oi=1",
            "historical_oi",
        ),
    ],
)
def test_an_answer_has_the_fields_of_a_real_one(get, path, name):
    assert differences(get(path), mock(name)) == []


def test_a_candle_has_as_many_columns_as_a_real_one(get):
    path = "/instruments/historical/256265/minute?from=2026-06-17+09:15:00&to=2026-06-17+09:30:00"

    assert len(get(path)["candles"][0]) == len(mock("historical_minute")["candles"][0])
    assert len(get(path + "&oi=1")["candles"][0]) == len(mock("historical_oi")["candles"][0])
    assert len(get(path)["candles"][0][0]) == len(mock("historical_minute")["candles"][0][0])


@pytest.mark.parametrize(("path", "name"), [("/quote", "quote"), ("/quote/ohlc", "ohlc"), ("/quote/ltp", "ltp")])
def test_a_quote_has_the_fields_of_a_real_one(get, path, name):
    ours = get(f"{path}?i=NFO:{SYMBOL}")[f"NFO:{SYMBOL}"]

    assert differences(ours, mock(name)["NSE:INFY"]) == []


def test_order_answers_have_the_fields_of_real_ones(sandbox):
    client = sandbox.client()
    sandbox.at("09:30:00")
    order_id = buy(client, order_type="LIMIT", price=1.05)
    answer = client.reqsession.delete(
        f"http://{sandbox.address}/orders/regular/{order_id}",
        headers={"Authorization": f"token sandboxkey000001:{sandbox.token}"},
    )

    assert answer.json()["data"] == {"order_id": order_id}
    assert set(mock("order_cancel")) == set(mock("order_response")) == {"order_id"}


def test_a_session_has_the_fields_of_a_real_one(sandbox):
    account, now = sandbox.service.kite.account, sandbox.service.kite.clock.now()
    client = sandbox.client()
    token = sandbox.on_loop(lambda: account.request_token("sandboxkey000001"))

    session = client.generate_session(token, "sandboxsecret000000000000000001")

    session["login_time"] = f"{now:%Y-%m-%d %H:%M:%S}"
    assert differences(session, mock("generate_session")) == []


def test_an_order_update_has_the_fields_of_a_real_one(sandbox):
    from fsm_trader.simulate.sandbox import order_rows

    client = sandbox.client()
    sandbox.at("09:30:00")
    order_id = buy(client)
    sandbox.at("09:30:05")
    exchange = sandbox.service.kite.exchange

    row = order_rows.update(exchange.order(order_id), exchange.fills_of(order_id), exchange.settings.latency, "secret")

    real = json.loads((MOCKS / "postback.json").read_text(encoding="utf-8"))
    assert differences(row, real) == []
    assert len(row["checksum"]) == len(real["checksum"])


def test_the_dump_has_the_columns_of_a_real_one(sandbox):
    with urllib.request.urlopen(f"http://{sandbox.address}/instruments", timeout=5) as answer:
        assert answer.headers["Content-Type"].startswith("text/csv")
        header = answer.readline()

    assert header.decode().strip() == (MOCKS / "instruments_all.csv").read_text(encoding="utf-8").splitlines()[0]
