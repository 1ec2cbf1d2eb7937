"""Without a token nothing is sent, a person is told, and all goes on by itself once somebody has logged in."""

from __future__ import annotations

import io
import json
import os
import stat
import threading
import urllib.error
import urllib.parse
import urllib.request

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm_trader.core.records import HealthSeen, OrderAnswered
from fsm_trader.errors import LoginRequiredError
from fsm_trader.kite.login import login_url, request_token_of
from fsm_trader.kite.tokens import INDIA, StoredToken, app_of, read_token, store_token
from fsm_trader.ops.clock import SystemClock

from .conftest import API_KEY, API_SECRET, Desk, moves

FALLS = {"09:15": 100, "09:19": 75}


def log_in(desk: Desk, monkeypatch: pytest.MonkeyPatch, sandbox, *options: str) -> int:
    return desk.do(monkeypatch, "login", "--request-token", sandbox.request_token(), *options)


def test_a_start_without_a_token_waits_for_a_login_and_a_death_in_mid_trade_too(desk: Desk, monkeypatch, capsys):
    desk.write(prices=FALLS, says={"09:16": "BUY", "09:17": "BUY"}, square_off="09:40")
    sandbox = desk.serve('{kind: token_death, from: "09:18:50"}', logs_in=True, market__feed="stream")
    process = desk.start("--quiet")
    desk.wait_for_state(process, "LOGIN_REQUIRED")
    assert log_in(desk, monkeypatch, sandbox) == 0
    desk.wait_for_state(process, "ACTIVE")
    # The token dies, then the price falls through the stop: the exit is refused, and waits for the next login.
    desk.wait_for(process, "SELECT 1 FROM events WHERE kind = 'order_answered' AND body LIKE '%log in%'")
    assert log_in(desk, monkeypatch, sandbox) == 0
    desk.wait_for_state(process, "CLOSED")
    process.terminate()

    code = desk.ended(process)

    out, err = capsys.readouterr()
    desk.said.append(out + err)
    refused = [row for row in desk.rows(OrderAnswered) if row.answer == "refused"]
    file = desk.folder / "var" / "kite_token.json"
    assert code == 0
    assert [reason for dest, reason in moves(desk) if dest == "PENDING_EXIT"] == ["stop_loss"]
    assert desk.states().count("LOGIN_REQUIRED") == 2
    assert "session is LOGIN_REQUIRED: token refused" in desk.alarms()
    assert f"{file} is not there; a person must log in (python -m fsm_trader login on.yaml)" in desk.alarms()
    # No storm: an exit that cannot be taken is tried at a pace, and at once after the login.
    assert 1 <= len(refused) <= 3
    assert len(desk.rows(HealthSeen)) < 20
    assert out.startswith("SB0001 is logged in until 2026-06-18 06:00; the token is in ")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    desk.assert_sound()


def test_a_day_that_ends_flat_and_logged_out_says_so_by_its_exit_code(desk: Desk):
    desk.write(prices=FALLS, says={}, square_off="09:40")
    desk.serve('{kind: token_death, from: "09:39:40"}', begins="09:39:20", broker__reconcile_interval="10s")

    code = desk.ended(desk.start("--quiet"))

    assert code == 5
    assert desk.ledger().state == "CLOSED"
    desk.assert_sound()


def test_a_day_that_is_not_traded_ends_at_once_though_nobody_has_logged_in(desk: Desk):
    desk.write(prices=FALLS, says={})
    (desk.folder / "days.toml").write_text(
        '[[holidays]]\nsource = "the exchange"\ndays = {2026-06-17 = "declared late"}\n'
    )
    desk.serve(logs_in=True, session__calendar="NSE", session__calendar_file="days.toml")

    code = desk.ended(desk.start("--quiet"), within_s=15)

    assert code == 0
    assert desk.ledger().reason == "not_a_trading_day"


def test_a_redirect_is_caught_on_this_machine_and_only_the_one_of_this_login(desk: Desk, monkeypatch, capsys):
    desk.write(prices=FALLS, says={})
    sandbox = desk.serve(logs_in=True)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay())
    done: list[int] = []
    opened = threading.Event()
    seen: list[str] = []

    def browse(url: str) -> bool:
        seen.append(url)
        opened.set()
        return True

    monkeypatch.setattr("webbrowser.open", browse)
    for name, value in desk.environ.items():
        monkeypatch.setenv(name, value)
    redirects: list[object] = []
    from fsm_trader.cli import login as verb

    class Kept(verb.Redirect):
        def __init__(self, port: int) -> None:
            super().__init__(port)
            redirects.append(self)

    monkeypatch.setattr(verb, "Redirect", Kept)
    waiting = threading.Thread(
        target=lambda: done.append(verb_main(["login", str(desk.session), "--listen", "0", "--open", "--json"]))
    )
    waiting.start()
    assert opened.wait(20)
    here = f"http://127.0.0.1:{redirects[0].port}/"
    state = urllib.parse.parse_qs(urllib.parse.parse_qs(urllib.parse.urlsplit(seen[0]).query)["redirect_params"][0])
    token = sandbox.request_token()

    def get(**asked: str) -> int:
        try:
            with opener.open(f"{here}?{urllib.parse.urlencode(asked)}", timeout=5) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            error.close()
            return error.code

    strange = [get(), get(request_token=token), get(request_token=token, state="another")]
    ours = get(request_token=token, status="success", state=state["state"][0])
    waiting.join(20)

    out, err = capsys.readouterr()
    assert strange == [404, 404, 404]
    assert ours == 200
    assert done == [0]
    assert json.loads(out)["user"] == "SB0001"
    assert API_SECRET not in out + err
    assert token not in out + err
    assert API_KEY in seen[0]


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_given):
        return None


def verb_main(words: list[str]) -> int:
    from fsm_trader.cli.main import main

    return main(words)


@pytest.mark.parametrize(
    ("pasted", "words"),
    [
        ("", "no request token in what was given"),
        ("https://127.0.0.1/?status=success", "no request token in what was given"),
        ("nosuchtoken0001" * 2 + "xx", "Kite does not take our token"),
        ("i", "is no request token (not shown); expected 32 letters and digits. Kite was not asked"),
        (f"http://127.0.0.1/?status=cancelled&request_token={'a1' * 16}", "of a login that did not succeed"),
        (f"http://evil.example/?status=success&request_token={'a1' * 16}", "is not the end of this login"),
        (f"http://127.0.0.1/?request_token={'a1' * 16}&state=another", "is not the end of this login"),
    ],
)
def test_what_is_no_login_ends_with_its_own_code_and_stores_nothing(desk: Desk, monkeypatch, capsys, pasted, words):
    desk.write(prices=FALLS, says={})
    desk.serve(logs_in=True)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{pasted}\n"))

    code = desk.do(monkeypatch, "login")

    out, err = capsys.readouterr()
    assert code == 5
    assert words in err
    assert "Nothing was stored" in err
    assert len(pasted) < 6 or pasted not in err
    assert len(pasted) >= 6 or "***" not in err
    assert "http://127.0.0.1" in out
    assert not (desk.folder / "var" / "kite_token.json").exists()


def test_a_secret_that_does_not_fit_the_key_is_told_as_that_and_not_as_a_bad_login(desk: Desk, monkeypatch, capsys):
    desk.write(prices=FALLS, says={})
    sandbox = desk.serve(logs_in=True)
    desk.environ["KITE_API_SECRET"] = "another-secret-0001"  # noqa: S105 - made up

    code = log_in(desk, monkeypatch, sandbox)

    err = capsys.readouterr().err
    assert code == 5
    assert "broker.kite.api_secret does not fit broker.kite.api_key" in err
    assert "Invalid `checksum`" in err
    assert "another-secret-0001" not in err
    assert not (desk.folder / "var" / "kite_token.json").exists()


@pytest.mark.parametrize(
    ("moment", "words"),
    [("sys.stdin.readline", "nothing was stored"), ("fsm_trader.kite.wire.KiteWire.profile", "the token was stored")],
)
def test_a_login_that_is_broken_off_says_whether_a_token_was_stored(desk: Desk, monkeypatch, capsys, moment, words):
    class Pasted(io.StringIO):
        """What a person pastes."""

    def broken_off(*_given: object) -> str:
        raise KeyboardInterrupt

    desk.write(prices=FALLS, says={})
    sandbox = desk.serve(logs_in=True)
    monkeypatch.setattr("sys.stdin", Pasted(f"{sandbox.request_token()}\n"))
    monkeypatch.setattr(moment, broken_off)

    code = desk.do(monkeypatch, "login")

    assert code == 130
    assert f"login: broken off; {words}" in capsys.readouterr().err
    assert (desk.folder / "var" / "kite_token.json").exists() is (words == "the token was stored")


def test_an_address_of_this_very_login_is_taken_and_a_token_by_itself_too():
    token, state = "a1" * 16, "thestate"
    whole = f"https://here.example/done?action=login&status=success&request_token={token}&state={state}"

    assert request_token_of(whole, state=state) == token
    assert request_token_of(f"{token}\n", state=state) == token
    assert request_token_of(f"request_token={token}&status=success&state={state}", state=state) == token
    assert request_token_of(whole) == token
    with pytest.raises(LoginRequiredError, match="not the end of this login"):
        request_token_of(whole, state="another")
    for address in (f"evil.example?status=success&request_token={token}", f"request_token={token}", f"?x={token}"):
        with pytest.raises(LoginRequiredError, match="Nothing was stored"):
            request_token_of(address, state=state)
    with pytest.raises(LoginRequiredError, match="no request token"):
        request_token_of(f"{whole}&request_token={token}", state=state)


def test_a_token_that_belongs_to_another_user_is_not_written_over(desk: Desk, monkeypatch, capsys):
    desk.write(prices=FALLS, says={})
    sandbox = desk.serve(logs_in=True)
    assert log_in(desk, monkeypatch, sandbox) == 0
    file = desk.folder / "var" / "kite_token.json"
    before = file.read_bytes()
    if os.geteuid() == 0:
        os.chown(file, 4711, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 4711)

    code = log_in(desk, monkeypatch, sandbox)

    assert code == 5
    assert f"{file} belongs to another user" in capsys.readouterr().err
    assert file.read_bytes() == before


def test_todays_token_of_another_app_is_not_written_over(desk: Desk, monkeypatch, capsys):
    desk.write(prices=FALLS, says={})
    sandbox = desk.serve(logs_in=True)
    file = desk.folder / "var" / "kite_token.json"
    clock = SystemClock(INDIA)
    other = StoredToken(app=app_of("another"), user="ZZ0009", issued_at=clock.now(), token="othertoken")  # noqa: S106
    clock.close()
    store_token(file, other)

    code = log_in(desk, monkeypatch, sandbox)

    assert code == 5
    assert "holds today's token of another app" in capsys.readouterr().err
    assert read_token(file) == other


def test_the_sandbox_sends_back_what_goes_with_a_login(desk: Desk):
    desk.write(prices=FALLS, says={})
    sandbox = desk.serve(logs_in=True)
    sandbox.service.kite._redirect = "http://127.0.0.1:1/done"
    url = login_url(f"http://{sandbox.address}", API_KEY, state="abc")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay())

    with pytest.raises(urllib.error.HTTPError) as sent:
        opener.open(url, timeout=5)

    location = urllib.parse.urlsplit(sent.value.headers["Location"])
    sent.value.close()
    asked = urllib.parse.parse_qs(location.query)
    assert (location.port, asked["state"], asked["status"]) == (1, ["abc"], ["success"])
    assert request_token_of(location.geturl()) == asked["request_token"][0]


def test_zerodhas_own_page_is_the_one_for_real_orders():
    assert login_url(None, "k1") == "https://kite.zerodha.com/connect/login?v=3&api_key=k1"
    assert login_url("https://kite.example", "k1").startswith("https://kite.zerodha.com/")
    assert login_url(None, "k1", state="x y").endswith("&redirect_params=state%3Dx%2By")


@given(st.text(max_size=80))
def test_whatever_is_pasted_is_a_request_token_or_refused_without_being_shown(pasted):
    try:
        request_token_of(f"§{pasted}")
    except LoginRequiredError as error:
        said = str(error)
    else:
        said = ""

    assert "§" not in said


def test_another_account_than_the_one_before_is_not_traded_on(desk: Desk, monkeypatch, capsys):
    desk.write(prices=FALLS, says={})
    sandbox = desk.serve(logs_in=True)
    assert log_in(desk, monkeypatch, sandbox) == 0
    file = desk.folder / "var" / "kite_token.json"
    before = file.read_text().replace("SB0001", "ZZ0009")
    file.write_text(before)

    code = log_in(desk, monkeypatch, sandbox)

    assert code == 5
    assert "is of ZZ0009; expected the same account" in capsys.readouterr().err
    assert file.read_text() == before
