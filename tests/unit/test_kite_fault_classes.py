"""Every class of error the client can raise is sorted on purpose, whether or not a byte has left this machine."""

from __future__ import annotations

import http.client
import inspect
import json
from types import ModuleType

import kiteconnect.exceptions
import pytest
import requests.exceptions
import urllib3.exceptions
from hypothesis import given
from hypothesis import strategies as st

from fsm_trader.core.orders import NetPosition
from fsm_trader.kite.faults import RULES, OddAnswerError, Seen, judge
from fsm_trader.kite.shapes import read_positions

CALLS = ("place", "cancel", "read")
# What each class of Kite's means as an answer whose words say nothing, with the status it comes with.
OF_KITE = {
    "KiteException": (500, "other error of Kite"),
    "GeneralException": (500, "other error of Kite"),
    "TokenException": (403, "token"),
    "PermissionException": (403, "permission"),
    "OrderException": (500, "order error"),
    "InputException": (400, "input"),
    "DataException": (502, "not Kite's answer"),
    "NetworkException": (503, "order system"),
}
LOST, LATE, ODD, ELSE = "connection lost", "no answer in time", "malformed answer", "anything else"
# Those of requests and urllib3 that say something of the connection, and what; all others say nothing we plan for.
OF_REQUESTS = {
    "ConnectionError": LOST,
    "ProxyError": LOST,
    "SSLError": LOST,
    "Timeout": LATE,
    "ConnectTimeout": LATE,
    "ReadTimeout": LATE,
    "ChunkedEncodingError": LOST,
    "ContentDecodingError": LOST,
    "JSONDecodeError": ODD,
    "MissingSchema": ODD,
    "InvalidSchema": ODD,
    "InvalidURL": ODD,
    "InvalidHeader": ODD,
    "InvalidProxyURL": ODD,
    "StreamConsumedError": ODD,
}
OF_URLLIB3 = {
    "ConnectionError": LOST,
    "LocationValueError": ODD,
    "LocationParseError": ODD,
    "URLSchemeUnknown": ODD,
    "ProxySchemeUnknown": ODD,
    "ResponseNotChunked": ODD,
}
OF_PYTHON: dict[type[BaseException], str] = {
    OddAnswerError: ODD,
    KeyError: ODD,
    TypeError: ODD,
    AttributeError: ODD,
    UnboundLocalError: ODD,
    ValueError: ODD,
    json.JSONDecodeError: ODD,
    UnicodeDecodeError: ODD,
    TimeoutError: ELSE,
    ConnectionResetError: LOST,
    BrokenPipeError: LOST,
    OSError: ELSE,
    RecursionError: ELSE,
    MemoryError: ELSE,
    http.client.RemoteDisconnected: LOST,
    http.client.BadStatusLine: ELSE,
    http.client.LineTooLong: ELSE,
}


def classes_of(module: ModuleType, base: type[BaseException]) -> list[type[BaseException]]:
    found = [each for _, each in inspect.getmembers(module, inspect.isclass) if issubclass(each, base)]
    assert found
    return found


def seen(kind: type[BaseException], *, call: str = "place", left: bool = True, status: int | None = None) -> Seen:
    return Seen(call=call, raised=frozenset(each.__name__ for each in kind.__mro__), left=left, status=status)


KITES = classes_of(kiteconnect.exceptions, kiteconnect.exceptions.KiteException)
REQUESTS = classes_of(requests.exceptions, requests.exceptions.RequestException)
URLLIB3 = classes_of(urllib3.exceptions, urllib3.exceptions.HTTPError)
WIRE = [*REQUESTS, *URLLIB3, *OF_PYTHON]


@pytest.mark.parametrize("kind", KITES, ids=lambda kind: kind.__name__)
def test_each_class_of_kites_has_its_line(kind):
    status, line = OF_KITE[kind.__name__]

    assert judge(seen(kind, status=status)).name == line


@pytest.mark.parametrize("kind", REQUESTS, ids=lambda kind: kind.__name__)
def test_each_class_of_requests_has_its_line(kind):
    expected = OF_REQUESTS.get(kind.__name__, ELSE)

    # Those that are also a ValueError are raised before anything leaves; after that they would be an odd answer.
    assert judge(seen(kind)).name == (ODD if issubclass(kind, ValueError) else expected)


@pytest.mark.parametrize("kind", URLLIB3, ids=lambda kind: kind.__name__)
def test_each_class_of_urllib3_has_its_line_should_requests_let_it_through(kind):
    assert judge(seen(kind)).name == OF_URLLIB3.get(kind.__name__, ELSE)


@pytest.mark.parametrize("kind", OF_PYTHON, ids=lambda kind: kind.__name__)
def test_each_error_of_a_malformed_answer_or_of_the_system_has_its_line(kind):
    assert judge(seen(kind)).name == OF_PYTHON[kind]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", WIRE, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_once_a_byte_has_left_no_error_without_an_answer_of_kites_proves_anything(kind, call):
    assert judge(seen(kind, call=call)).verdict == "unknown"


@pytest.mark.parametrize("kind", WIRE, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_before_a_byte_has_left_every_error_proves_that_nothing_was_done(kind):
    rule = judge(seen(kind, left=False))

    assert rule.verdict in ("refused", "retryable")
    # Only what time or the network can mend is tried again.
    assert (rule.verdict == "retryable") == any(
        each.__name__ in ("ConnectionError", "Timeout") for each in kind.__mro__
    )


@given(
    kinds=st.frozensets(st.sampled_from([kind.__name__ for kind in KITES] + ["Whatever"]), max_size=3),
    status=st.one_of(st.none(), st.integers(500, 599)),
    words=st.text(max_size=60),
    call=st.sampled_from(["place", "cancel"]),
)
def test_no_failing_server_refuses_an_order_but_for_a_token_or_in_words_that_are_a_proof(kinds, status, words, call):
    rule = judge(Seen(call=call, raised=kinds | {"KiteException"}, left=True, status=status, words=words))

    assert rule.verdict == "unknown" or rule.name in ("token", "day's requests spent")


def test_the_last_line_fits_everything_so_nothing_is_left_unsorted():
    assert RULES[-1].name == ELSE
    assert RULES[-1].fits(Seen(call="read", raised=frozenset(), left=True))


def test_prices_in_positions_however_stale_change_nothing_of_what_is_held():
    row = {"exchange": "NFO", "tradingsymbol": "NIFTY2662324400CE", "product": "MIS", "quantity": 65, "multiplier": 1}
    stale = [{}, {"last_price": 0, "pnl": -9e9}, {"last_price": None, "m2m": "x"}, {"last_price": -1.5, "value": []}]

    answers = [read_positions({"net": [{**row, **odd}], "day": []}) for odd in stale]

    assert answers == [(NetPosition("NFO", "NIFTY2662324400CE", "MIS", 65),)] * len(stale)
