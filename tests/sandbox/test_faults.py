"""Each planned fault as the unmodified client meets it: what it raises, and whether the order is there all the same."""

from __future__ import annotations

import urllib.request

import pytest
import requests
from kiteconnect import exceptions

from .conftest import SYMBOL, buy

INDEX = "NSE:NIFTY 50"
NO_ANSWER = (requests.exceptions.ReadTimeout, requests.exceptions.ConnectionError)

SPOILT_PLACES = [
    ("{kind: lost_request, call: place, delay: 200ms}", NO_ANSWER, False),
    ("{kind: lost_answer, call: place, delay: 200ms}", NO_ANSWER, True),
    ("{kind: lost_answer, call: place}", requests.exceptions.ReadTimeout, True),
    ("{kind: reset_before, call: place}", requests.exceptions.ConnectionError, False),
    ("{kind: reset_after, call: place}", requests.exceptions.ConnectionError, True),
    ("{kind: half_answer, call: place}", requests.exceptions.ChunkedEncodingError, True),
    ("{kind: malformed, call: place}", exceptions.DataException, True),
    ("{kind: empty_answer, call: place}", exceptions.DataException, True),
    ("{kind: html_error, call: place, status: 502}", exceptions.DataException, False),
    ("{kind: html_error, call: place, status: 504, done: true}", exceptions.DataException, True),
    (
        "{kind: http_error, call: place, status: 400, error_type: OrderException, message: Timed out., done: true}",
        exceptions.OrderException,
        True,
    ),
    ("{kind: http_error, call: place, status: 500}", exceptions.GeneralException, False),
    ("{kind: too_many, call: place}", exceptions.NetworkException, False),
]


@pytest.mark.parametrize(("fault", "raised", "is_placed"), SPOILT_PLACES, ids=[row[0] for row in SPOILT_PLACES])
def test_a_spoilt_order_is_there_or_not_as_planned_and_the_next_one_passes(sandbox_with, fault, raised, is_placed):
    sandbox = sandbox_with(fault, limits=False)
    client = sandbox.client(timeout=0.5)
    sandbox.at("09:30:00")

    with pytest.raises(raised):
        buy(client)

    assert [row["tag"] for row in client.orders()] == (["tag1"] if is_placed else [])
    assert buy(client, tag="tag2") == client.orders()[-1]["order_id"]


def test_a_delay_holds_the_answer_up_and_changes_nothing(sandbox_with):
    sandbox = sandbox_with("{kind: delay, call: orders, delay: 300ms}", limits=False)
    client = sandbox.client(timeout=0.1)

    with pytest.raises(requests.exceptions.ReadTimeout):
        client.orders()

    assert client.orders() == []


def test_a_fault_meets_the_orders_whose_tag_fits_and_no_others(sandbox_with):
    sandbox = sandbox_with("{kind: too_many, call: [place, cancel], tags: 'a*', times: 2}", limits=False)
    client = sandbox.client()
    sandbox.at("09:30:00")

    first = buy(client, tag="b1", order_type="LIMIT", price=1.05)
    with pytest.raises(exceptions.NetworkException):
        buy(client, tag="a1")
    client.cancel_order("regular", first)
    with pytest.raises(exceptions.NetworkException):
        buy(client, tag="a1")
    buy(client, tag="a1")

    assert [row["tag"] for row in client.orders()] == ["b1", "a1"]


def test_a_window_and_a_skip_say_which_requests_meet_a_fault(sandbox_with):
    sandbox = sandbox_with(
        '{kind: too_many, call: profile, from: "09:30", until: "09:31"}',
        "{kind: empty_answer, call: orders, skip: 1}",
        limits=False,
    )
    client = sandbox.client()
    client.profile()
    sandbox.at("09:30:00")
    for _ in range(2):
        with pytest.raises(exceptions.NetworkException):
            client.profile()
    sandbox.at("09:31:00")
    client.profile()

    assert client.orders() == []
    with pytest.raises(exceptions.DataException):
        client.orders()
    assert client.orders() == []


def test_a_chance_is_drawn_alike_in_every_run(sandbox_with):
    def run() -> list[bool]:
        client = sandbox.client()
        met = []
        for _ in range(40):
            try:
                client.orders()
                met.append(False)
            except exceptions.NetworkException:
                met.append(True)
        return met

    plan = '{kind: too_many, call: orders, chance: 50%, from: "00:00"}'
    sandbox = sandbox_with(plan, limits=False)
    first = run()
    sandbox.close()
    sandbox.close = lambda: None
    sandbox = sandbox_with(plan, limits=False)

    assert run() == first
    assert 8 < sum(first) < 32


def test_a_dead_token_is_refused_until_a_new_login(sandbox_with):
    sandbox = sandbox_with('{kind: token_death, from: "10:00"}', limits=False)
    client = sandbox.client()
    sandbox.at("09:59:59")
    client.profile()
    sandbox.at("10:00:00")

    for act in (client.profile, client.orders, lambda: buy(client)):
        with pytest.raises(exceptions.TokenException, match="Token is invalid or has expired"):
            act()

    sandbox.at("10:00:05")
    token = sandbox.on_loop(lambda: sandbox.service.kite.account.request_token("sandboxkey000001"))
    client.generate_session(token, "sandboxsecret000000000000000001")
    assert client.orders() == []


def test_histories_can_be_empty_books_unsorted_and_dumps_half(sandbox_with):
    sandbox = sandbox_with("{kind: empty_history}", "{kind: unsorted, call: orders}", "{kind: half_dump}", limits=False)
    client = sandbox.client()
    sandbox.at("09:30:00")
    ids = [buy(client, tag=f"t{number}", order_type="LIMIT", price=1.05) for number in range(6)]

    assert client.historical_data(256265, "2026-06-17", "2026-06-17", "day") == []
    mixed = [row["order_id"] for row in client.orders()]
    with urllib.request.urlopen(f"http://{sandbox.address}/instruments/NFO", timeout=5) as answer:
        half = answer.read().decode()

    assert mixed != ids
    assert sorted(mixed) == ids == [row["order_id"] for row in client.orders()]
    assert len(client.historical_data(256265, "2026-06-17", "2026-06-17", "day")) == 1
    whole = [row for row in client.instruments("NFO") if row["name"] == "NIFTY"]
    assert 0 < half.count(",NIFTY,") < len(whole)
    assert not half.endswith("\n")


def test_stale_positions_are_those_of_a_while_ago(sandbox_with):
    sandbox = sandbox_with("{kind: stale_positions, age: 1m, skip: 1}", limits=False)
    client = sandbox.client()
    sandbox.at("09:30:00")
    buy(client)
    sandbox.at("09:30:30")

    fresh, stale, after = client.positions(), client.positions(), client.positions()

    assert fresh == after
    assert fresh["net"][0]["quantity"] == 65
    assert stale == {"net": [], "day": []}


def test_every_other_client_and_call_is_left_alone(sandbox_with):
    sandbox = sandbox_with("{kind: html_error, call: quote, status: 503}", limits=False)
    client = sandbox.client()
    sandbox.at("09:30:00")

    with pytest.raises(exceptions.DataException):
        client.quote(INDEX)

    assert set(client.quote(INDEX, f"NFO:{SYMBOL}")) == {INDEX, f"NFO:{SYMBOL}"}
