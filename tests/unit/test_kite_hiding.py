"""With the libraries' loggers at DEBUG, and the client told to speak, no key, token, checksum or secret is shown."""

from __future__ import annotations

import hashlib
import io
import logging
from contextlib import closing

import pytest

from fsm_trader.errors import LoginRequiredError
from fsm_trader.kite.hiding import LIBRARIES, HiddenInLogs

from .kite_server import error, raw_reply, serving, success
from .kite_wires import KEY, ORDER, TOKEN, wire_to

REQUEST_TOKEN = "rrequesttoken0003"  # noqa: S105 - made up
SECRET = "ssecretsecret0004"  # noqa: S105 - made up
GIVEN = "ggiventoken0005"
CHECKSUM = hashlib.sha256(f"{KEY}{REQUEST_TOKEN}{SECRET}".encode()).hexdigest()
ALL = (KEY, TOKEN, REQUEST_TOKEN, SECRET, GIVEN, CHECKSUM)
SESSION = success({"user_id": "AB1234", "access_token": GIVEN, "refresh_token": GIVEN, "login_time": None})
ACCEPTED = success({"order_id": "1"})
ODD_HEADERS = raw_reply(
    f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nno colon {TOKEN}\r\n\r\n{{}}".encode(),
    keep=False,
)


@pytest.fixture
def loud():
    """Every logger there is at DEBUG, into one text: what a person does who looks for a fault."""
    root, text = logging.getLogger(), io.StringIO()
    handler, level = logging.StreamHandler(text), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield text
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def speaking(monkeypatch):
    """The client in its debug mode, which writes headers, forms and answers."""
    from fsm_trader.kite import line

    class Speaking(line.load_client()):
        def __init__(self, *args, **named):
            super().__init__(*args, **{**named, "debug": True})

    monkeypatch.setattr(line, "load_client", lambda: Speaking)


def assert_hidden(text: str) -> None:
    for secret in ALL:
        assert secret not in text


@pytest.mark.usefixtures("speaking")
def test_neither_requests_nor_answers_show_a_secret_at_debug(loud):
    dead = error(403, "TokenException", "Token is invalid.")
    with serving(ACCEPTED, dead) as server, closing(wire_to(server.root)) as wire:
        wire.place(ORDER, is_exit=True)
        with pytest.raises(LoginRequiredError):
            wire.profile()

    text = loud.getvalue()
    assert "Request: POST" in text
    assert "'tag': 'FT2606170K3E017QZ4MC'" in text
    assert "token ***" in text
    assert '"POST /orders/regular' in text
    assert_hidden(text)


@pytest.mark.usefixtures("speaking")
def test_an_exchange_of_a_request_token_shows_none_of_it_at_debug(loud):
    with serving(SESSION) as server, closing(wire_to(server.root, token=lambda: None)) as wire:
        wire.exchange(REQUEST_TOKEN, SECRET)

    assert "'checksum': '***'" in loud.getvalue()
    assert '"access_token": "***"' in loud.getvalue()
    assert_hidden(loud.getvalue())


@pytest.mark.usefixtures("speaking")
def test_a_logout_whose_address_holds_the_token_does_not_show_it_at_debug(loud):
    with serving(success(True)) as server, closing(wire_to(server.root)) as wire, wire._reading.lend() as line:
        # No verb of ours logs out; the client could.
        line.client.set_access_token(TOKEN)
        line.client.invalidate_access_token(GIVEN)

    assert "DELETE /session/token?api_key=***&access_token=***" in loud.getvalue()
    assert_hidden(loud.getvalue())


def test_what_a_library_warns_of_with_its_traceback_is_masked_too(loud):
    with serving(ODD_HEADERS) as server, closing(wire_to(server.root)) as wire, pytest.raises(Exception, match="Kite"):
        wire.profile()
    hidden = HiddenInLogs(KEY)
    try:
        int(f"{KEY} and token {KEY}:{TOKEN}")
    except ValueError:
        logging.getLogger("urllib3.connectionpool").exception("of %s", KEY)
    hidden.close()

    assert "*** and token ***" in loud.getvalue()
    assert_hidden(loud.getvalue())


def test_a_line_that_cannot_be_put_together_is_left_out_and_its_parts_with_it(loud, capsys):
    with closing(HiddenInLogs(KEY)):
        logging.getLogger("urllib3.connectionpool").debug("%s %s", *[KEY])

    assert loud.getvalue() == ""
    assert_hidden(capsys.readouterr().err)


def test_an_ordinary_line_stays_as_it_is_and_closing_leaves_no_filter(loud):
    with serving(ACCEPTED) as server, closing(wire_to(server.root)) as wire:
        wire.place(ORDER, is_exit=True)
    logging.getLogger("urllib3.connectionpool").debug("api_key=%s", "plain")

    assert "Starting new HTTP connection (1): 127.0.0.1:" in loud.getvalue()
    assert loud.getvalue().endswith("api_key=plain\n")
    assert not any(logging.getLogger(name).filters for name in LIBRARIES)
