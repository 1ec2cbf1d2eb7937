"""The unmodified kiteconnect client against the sandbox: what it sends is understood, what it gets it can read."""

from __future__ import annotations

import hashlib
import urllib.request
from datetime import date, datetime

import pytest
from kiteconnect import exceptions

from fsm_trader.market.instruments import parse_instruments

from .conftest import SYMBOL, buy

INDEX = "NSE:NIFTY 50"


def test_a_market_order_goes_through_kites_statuses_and_fills(sandbox):
    client = sandbox.client()
    sandbox.at("09:30:00")

    order_id = buy(client)

    seen = [client.orders()[0]["status"]]
    for clock in ("09:30:00.110000", "09:30:00.210000", "09:30:00.300000"):
        sandbox.at(clock)
        seen.append(client.orders()[0]["status"])
    assert seen == ["PUT ORDER REQ RECEIVED", "VALIDATION PENDING", "OPEN PENDING", "COMPLETE"]
    assert [row["status"] for row in client.order_history(order_id)] == [*seen[:3], "OPEN", "COMPLETE"]
    row = client.orders()[0]
    assert (row["order_type"], row["tag"], row["tags"]) == ("LIMIT", "tag1", ["tag1", "mktp"])
    assert (row["filled_quantity"], row["pending_quantity"], len(row["order_id"])) == (65, 0, 19)
    trade = client.trades()[0]
    assert trade == client.order_trades(order_id)[0]
    assert (trade["order_id"], trade["quantity"], trade["average_price"]) == (order_id, 65, row["average_price"])
    held = client.positions()["net"][0]
    assert (held["tradingsymbol"], held["quantity"], held["product"]) == (SYMBOL, 65, "MIS")
    assert held["value"] == -65 * row["average_price"]
    assert client.margins("equity")["net"] == pytest.approx(10_000_000 - 65 * row["average_price"])
    assert client.margins()["equity"] == client.margins("equity")


def test_an_order_that_rests_can_be_cancelled_once(sandbox):
    client = sandbox.client()
    sandbox.at("09:30:00")
    order_id = buy(client, order_type="LIMIT", price=1.05, market_protection=None)
    sandbox.at("09:30:01")

    assert client.cancel_order("regular", order_id) == order_id

    assert client.orders()[0]["status"] == "CANCEL PENDING"
    sandbox.at("09:30:02")
    row = client.orders()[0]
    assert (row["status"], row["cancelled_quantity"], row["pending_quantity"]) == ("CANCELLED", 65, 65)
    assert [row["status"] for row in client.order_history(order_id)][-3:] == ["OPEN", "CANCEL PENDING", "CANCELLED"]
    with pytest.raises(exceptions.OrderException, match="cannot be cancelled"):
        client.cancel_order("regular", order_id)
    assert client.positions() == {"net": [], "day": []}


def test_a_closed_position_stays_as_a_row_of_nothing(sandbox):
    client = sandbox.client()
    sandbox.at("09:30:00")
    buy(client)
    sandbox.at("09:31:00")
    buy(client, tag="tag2", transaction_type="SELL")
    sandbox.at("09:32:00")

    row = client.positions()["net"][0]

    assert (row["quantity"], row["buy_quantity"], row["sell_quantity"], row["average_price"]) == (0, 65, 65, 0)
    assert row["pnl"] == pytest.approx(row["sell_value"] - row["buy_value"])


def test_an_order_without_a_tag_has_none(sandbox):
    client = sandbox.client()
    sandbox.at("09:30:00")

    buy(client, tag=None, order_type="LIMIT", price=1.05)

    row = client.orders()[0]
    assert row["tag"] is None
    assert "tags" not in row


REFUSED = [
    ({"market_protection": None}, "InputException", "Market orders without market protection are not allowed via API"),
    (
        {"market_protection": "True"},
        "InputException",
        r"failed to decode market_protection, got: True \(expected decimal",
    ),
    ({"market_protection": "NaN"}, "InputException", "failed to decode market_protection"),
    ({"quantity": 64}, "InputException", "multiple of the lot of 65"),
    ({"quantity": "1e3"}, "InputException", "failed to decode quantity"),
    ({"quantity": 1820}, "InputException", "freeze quantity of 1800"),
    ({"transaction_type": "SELL"}, "GeneralException", "Insufficient funds"),
    ({"order_type": "LIMIT", "price": 100.07}, "InputException", "multiple of the tick of 0.05"),
    ({"order_type": "LIMIT", "price": "100.051"}, "InputException", "Tick size"),
    ({"order_type": "LIMIT"}, "InputException", "Invalid `price`"),
    ({"order_type": "SL", "price": 100, "trigger_price": 101}, "InputException", "does not simulate SL orders"),
    ({"order_type": "BEST"}, "InputException", "Invalid `order_type`"),
    ({"tag": "a" * 21}, "InputException", "Invalid `tag`"),
    ({"tag": "sbxNoTag1"}, "InputException", "Invalid `tag`"),
    ({"tradingsymbol": "NIFTY2662399999CE"}, "InputException", "is not listed"),
    ({"exchange": "NSE"}, "InputException", "is listed on NFO"),
    ({"product": ""}, "InputException", "Missing or empty field `product`"),
    ({"product": "CNC"}, "InputException", "Product 'CNC'"),
    ({"variety": "amo"}, "InputException", "does not simulate amo orders"),
    ({"variety": "strange"}, "InputException", "Invalid `variety`"),
]


def test_a_refused_order_leaves_no_row_and_says_why_in_kites_words(sandbox):
    client = sandbox.client()
    sandbox.at("09:30:00")

    for fields, kind, words in REFUSED:
        with pytest.raises(getattr(exceptions, kind), match=words) as refused:
            buy(client, **fields)
        assert refused.value.code == 400

    assert client.orders() == []


def test_orders_are_taken_in_the_markets_hours_only(sandbox):
    client = sandbox.client()

    with pytest.raises(exceptions.InputException, match="orders are taken from"):
        buy(client)
    sandbox.at("15:30:00")
    with pytest.raises(exceptions.InputException, match="orders are taken from"):
        buy(client)


def test_quotes_show_the_same_price_and_leave_out_what_has_none(sandbox):
    client = sandbox.client()
    option = f"NFO:{SYMBOL}"
    client.profile()
    assert client.ltp(INDEX, option) == {}
    sandbox.at("09:30:45")

    quotes = client.quote(INDEX, option, "NFO:NOSUCH", "NSE:" + SYMBOL)

    assert set(quotes) == {INDEX, option}
    ltp, ohlc = client.ltp([INDEX, option]), client.ohlc([INDEX, option])
    for key in (INDEX, option):
        assert ltp[key]["last_price"] == ohlc[key]["last_price"] == quotes[key]["last_price"]
        assert ohlc[key]["ohlc"] == quotes[key]["ohlc"]
    quote = quotes[option]
    assert quote["last_trade_time"] == datetime(2026, 6, 17, 9, 30, 40)
    assert quote["timestamp"] == datetime(2026, 6, 17, 9, 30, 45)
    assert quote["depth"]["buy"][0]["price"] < quote["last_price"] < quote["depth"]["sell"][0]["price"]


def test_candles_come_with_the_one_in_progress_only_when_it_is_asked_for(sandbox):
    client = sandbox.client()
    sandbox.at("09:25:30")

    whole = client.historical_data(256265, "2026-06-17 09:15:00", "2026-06-17 09:24:59", "minute")
    running = client.historical_data(256265, "2026-06-17 09:15:00", "2026-06-17 09:25:30", "minute")
    five = client.historical_data(256265, "2026-06-17 09:15:00", "2026-06-17 09:24:59", "5minute", oi=True)
    days = client.historical_data(256265, "2026-06-17", "2026-06-17", "day")

    assert [f"{row['date']:%H:%M}" for row in whole] == [f"09:{minute}" for minute in range(15, 25)]
    assert running[:-1] == whole
    assert running[-1]["date"].isoformat() == "2026-06-17T09:25:00+05:30"
    assert [f"{row['date']:%H:%M}" for row in five] == ["09:15", "09:20"]
    assert five[0]["high"] == max(row["high"] for row in whole[:5])
    assert five[0]["open"] == whole[0]["open"]
    assert five[0]["oi"] == 0
    assert days[0]["close"] == running[-1]["close"]
    assert client.historical_data(256265, "2026-06-16", "2026-06-16", "day") == []
    with pytest.raises(exceptions.InputException, match="interval"):
        client.historical_data(256265, "2026-06-17", "2026-06-17", "2minute")
    with pytest.raises(exceptions.InputException, match="instrument_token"):
        client.historical_data(7, "2026-06-17", "2026-06-17", "minute")


def test_candles_are_those_of_the_recorded_day(sandbox):
    client = sandbox.client()
    sandbox.at("15:30:00")

    rows = client.historical_data(256265, "2026-06-17 09:15:00", "2026-06-17 15:30:00", "minute")

    day = sandbox.service.kite.exchange.day
    candles = day.candles(256265, after=None, now=day.closes_at)
    assert [(row["date"], round(row["close"] * 100), round(row["low"] * 100)) for row in rows] == [
        (candle.start, candle.close, candle.low) for candle in candles
    ]


def test_the_dump_passes_the_checks_of_a_real_one(sandbox):
    client = sandbox.client()

    nfo, nse, both = client.instruments("NFO"), client.instruments("NSE"), client.instruments()
    with urllib.request.urlopen(f"http://{sandbox.address}/instruments/NFO", timeout=5) as answer:
        lines = answer.read().decode().splitlines(keepends=True)

    assert [(row["tradingsymbol"], row["instrument_token"]) for row in nse] == [("NIFTY 50", 256265)]
    assert len(both) == len(nfo) + 1
    contracts = parse_instruments(lines, "NIFTY", where="dump", day=date(2026, 6, 17))
    assert contracts == tuple(
        contract for contract in sandbox.service.kite.exchange.day.contracts if contract.name == "NIFTY"
    )


def test_a_login_gives_a_token_that_works_and_a_logout_ends_it(sandbox):
    client = sandbox.client("nothing")
    with pytest.raises(exceptions.TokenException, match="Incorrect `api_key` or `access_token`"):
        client.profile()
    request_token = _request_token(sandbox)

    session = client.generate_session(request_token, "sandboxsecret000000000000000001")

    assert client.profile()["user_id"] == session["user_id"]
    assert session["login_time"] == datetime(2026, 6, 17, 9, 13)
    with pytest.raises(exceptions.TokenException):  # it is good once
        client.generate_session(request_token, "sandboxsecret000000000000000001")
    assert client.invalidate_access_token(session["access_token"]) is True
    with pytest.raises(exceptions.TokenException):
        client.profile()
    assert sandbox.client().profile()  # the other token lives


def test_a_login_with_the_wrong_secret_or_too_late_gives_nothing(sandbox):
    client = sandbox.client()
    with pytest.raises(exceptions.TokenException, match="checksum"):
        client.generate_session(_request_token(sandbox), "another secret")
    late = _request_token(sandbox)
    sandbox.service.kite.account._requests[late] -= 301

    with pytest.raises(exceptions.TokenException, match="expired"):
        client.generate_session(late, "sandboxsecret000000000000000001")

    with pytest.raises(urllib.error.HTTPError) as refused:
        _get(sandbox, "/connect/login?api_key=other")
    refused.value.close()
    assert refused.value.code == 400


def test_a_login_redirects_where_the_app_was_registered(sandbox_with):
    sandbox = sandbox_with(redirect="http://127.0.0.1:1/back?app=1")
    seen = []

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, req, fp, code, msg, headers, newurl):
            seen.append((code, newurl))

    with pytest.raises(urllib.error.HTTPError) as stayed:
        urllib.request.build_opener(Stay).open(f"http://{sandbox.address}/connect/login?api_key=sandboxkey000001&v=3")
    stayed.value.close()

    (code, url), token = seen[0], seen[0][1].rpartition("=")[2]
    assert code == 302
    assert url.startswith("http://127.0.0.1:1/back?app=1&action=login&type=login&status=success&request_token=")
    checksum = hashlib.sha256(f"sandboxkey000001{token}sandboxsecret000000000000000001".encode()).hexdigest()
    assert sandbox.on_loop(
        lambda: sandbox.service.kite.account.exchange(
            "sandboxkey000001", token, checksum, sandbox.service.kite.clock.now()
        )
    )


def test_the_day_waits_for_the_first_request_with_a_token(sandbox):
    sandbox.hand.seconds += 60
    assert _clock(sandbox)["state"] == "waiting"
    with pytest.raises(exceptions.TokenException):
        sandbox.client("wrong").profile()
    sandbox.hand.seconds += 60
    assert _clock(sandbox)["now"] == "2026-06-17T09:13:00+05:30"

    sandbox.client().profile()

    sandbox.hand.seconds += 60
    assert _clock(sandbox) == {
        "now": "2026-06-17T09:14:00+05:30",
        "speed": 25.0,
        "state": "running",
        "day": "2026-06-17",
        "opens_at": "2026-06-17T09:15:00+05:30",
        "closes_at": "2026-06-17T15:30:00+05:30",
    }
    sandbox.at("16:00:00")
    sandbox.hand.seconds += 3600
    assert _clock(sandbox)["state"] == "over"
    assert _clock(sandbox)["now"] == "2026-06-17T16:00:00+05:30"
    assert sandbox.book.played_days() == (date(2026, 6, 17),)


def test_what_is_not_simulated_is_refused_in_words(sandbox):
    client = sandbox.client()
    sandbox.at("09:30:00")
    order_id = buy(client)

    for act, words in (
        (lambda: client.modify_order("regular", order_id, quantity=130), "does not simulate modifications"),
        (client.mf_orders, "Route not found"),
        (lambda: client.order_history("1"), "Couldn't find that `order_id`"),
        (lambda: client.cancel_order("regular", "1"), "Couldn't find that `order_id`"),
        (lambda: client.quote(*(f"NSE:{n}" for n in range(501))), "At most 500"),
        (client.quote, "No instruments"),
    ):
        with pytest.raises(exceptions.KiteException, match=words):
            act()
    assert client.holdings() == []


def test_another_version_of_the_protocol_is_refused(sandbox):
    client = sandbox.client()
    client.kite_header_version = "2"

    with pytest.raises(exceptions.InputException, match="X-Kite-Version"):
        client.profile()


@pytest.mark.parametrize(
    ("call", "passes"),
    [("quote", 1), ("historical", 3), ("orders", 10)],
)
def test_requests_above_kites_rates_are_refused_as_kite_does(sandbox_with, call, passes):
    sandbox = sandbox_with()
    client = sandbox.client()
    acts = {
        "quote": lambda: client.ltp(INDEX),
        "historical": lambda: client.historical_data(256265, "2026-06-17", "2026-06-17", "minute"),
        "orders": client.orders,
    }
    for _ in range(passes):
        acts[call]()

    with pytest.raises(exceptions.NetworkException, match="Too many requests") as refused:
        acts[call]()

    assert refused.value.code == 429
    sandbox.hand.seconds += 1
    acts[call]()


def _get(sandbox, path):
    with urllib.request.urlopen(f"http://{sandbox.address}{path}", timeout=5) as answer:
        return answer.read().decode()


def _request_token(sandbox):
    return _get(sandbox, "/connect/login?api_key=sandboxkey000001&v=3").partition("<code>")[2].partition("<")[0]


def _clock(sandbox):
    import json

    return json.loads(_get(sandbox, "/sandbox/clock"))["data"]
