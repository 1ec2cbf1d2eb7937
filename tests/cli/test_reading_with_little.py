"""Reading a journal takes little: no secret of others, no strategy's code, and no file but session.yaml's own parts."""

from __future__ import annotations

import json

import pytest

from fsm_trader.ops.requests import Requests

READING = ["status", "journal list", "journal verify", "journal export"]
TELEGRAM = 'notify: {telegram: {token: "${TELEGRAM_BOT_TOKEN}", chat_id: "${TELEGRAM_CHAT_ID}"}}\nrisk:'
NOTE = "; this verb does without it, run would not"


@pytest.mark.parametrize("verb", READING)
def test_no_secret_of_telegram_is_needed_to_read(played, verb):
    before = played.do(verb)
    played.edit("risk:", TELEGRAM)
    assert played.do("check").code == 2

    assert played.do(verb) == before
    assert before.code == 0


@pytest.mark.parametrize("verb", READING)
def test_no_secret_of_kite_is_needed_to_read(played, verb):
    before = played.do(verb)
    played.edit(
        "kind: paper\n", 'kind: kite\n  kite: {api_key: "${KITE_API_KEY}", access_token: "${KITE_ACCESS_TOKEN}"}\n'
    )
    played.edit("recorded: sample", "recorded: null")
    assert played.do("check").code == 2

    assert played.do(verb) == before
    assert before.code == 0


@pytest.mark.parametrize("verb", READING)
def test_no_code_of_a_strategy_runs_to_read(played, verb):
    (played.path / "mine.py").write_text("raise SystemExit('must not be imported')\n", encoding="utf-8")
    played.edit("DonchianBreakout", "mine:Mine", "strategies.yaml")
    played.edit("params: {length: 20, exit_option: 2}", "params: {}", "strategies.yaml")

    said = played.do(verb)

    assert (said.code, said.err) == (0, "")


BROKEN = [
    pytest.param("strategies.yaml", "lots: 1", "lots: 0", "strategies.yaml:8:11 $.strategies.donchian_ce", id="lots"),
    pytest.param("strategies.yaml", "  donchian_ce:", "\tdonchian_ce:", "strategies.yaml:3:1", id="tab"),
    pytest.param("strategies.yaml", "  donchian_ce:", "  another:", "$.strategies.active[0]: unknown", id="name"),
    pytest.param("session.yaml", "recorded: sample", "recorded: gone", "$.market.recorded: ", id="data gone"),
    pytest.param("session.yaml", "trade: builtin", "trade: gone.yaml", "$.machines.trade: ", id="machine gone"),
    pytest.param("session.yaml", "settle: 90s", "settle: 90", "$.broker.settle: ", id="broker"),
]


@pytest.mark.parametrize("verb", READING)
@pytest.mark.parametrize(("name", "old", "new", "place"), BROKEN)
def test_what_is_wrong_elsewhere_is_said_and_the_journal_read(played, verb, name, old, new, place):
    before = played.do(verb)
    played.edit(old, new, name)

    said = played.do(verb)

    assert (said.code, said.out) == (0, before.out)
    assert place in said.err
    assert all(line.startswith("note: ") and line.endswith(NOTE) for line in said.err.splitlines())


def test_a_strategies_file_that_is_gone_is_said_and_its_names_are_shown(played):
    (played.path / "strategies.yaml").unlink()

    said = played.do("status", "--json")

    assert said.code == 0
    assert [each["name"] for each in json.loads(said.out)["strategies"]] == ["donchian_ce"]
    assert "strategies.yaml: not found" in said.err


@pytest.mark.parametrize("verb", READING)
@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        pytest.param("  name: nifty-intraday", "  name: [nifty", "session.yaml:6:", id="malformed"),
        pytest.param("Asia/Kolkata", "Asia/Calcuta", "$.session.timezone", id="zone"),
        pytest.param("sqlite:///var", "sqlite:var", "$.journal.url", id="journal"),
        pytest.param("max_open_trades: 1", "max_open_trades: 0", "$.risk.max_open_trades", id="risk"),
        pytest.param("\nsession:", "\nsesion:", "'session' is missing", id="no session"),
    ],
)
def test_what_a_journal_is_read_with_must_be_right(played, verb, old, new, place):
    played.edit(old, new)

    said = played.do(verb)

    assert (said.code, said.out) == (2, "")
    assert place in said.err
    assert "note: " not in said.err


def test_the_journals_own_password_is_looked_up_to_read(folder, monkeypatch):
    folder.edit("sqlite:///var/fsm_trader.db", "${JOURNAL_URL}")
    missing = folder.do("status")
    monkeypatch.setenv("JOURNAL_URL", "sqlite:///elsewhere.db")

    found = folder.do("status")

    assert missing.code == found.code == 2
    assert "environment variable JOURNAL_URL is not set" in missing.err
    assert f"{folder.path / 'elsewhere.db'}: no journal here yet" in found.err


@pytest.mark.parametrize("verb", ["flatten", "halt", "resume"])
def test_a_word_to_the_trader_takes_as_little(folder, verb):
    folder.edit("risk:", TELEGRAM)
    folder.edit("lots: 1", "lots: 0", "strategies.yaml")

    said = folder.do(verb)

    assert said.code == 0
    assert len(Requests(folder.journal).waiting()) == 1
    assert "strategies.yaml:8:11" in said.err
