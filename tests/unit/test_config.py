"""session.yaml and strategies.yaml become settings, or one error that names every fault of both."""

import hashlib
import json
import os
import re
import shutil
from datetime import time, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from fsm_trader.config import describe, load_settings
from fsm_trader.config.keys import SESSION_FILE, STRATEGIES_FILE
from fsm_trader.config.load import load_for_login
from fsm_trader.core.contracts import OptionKind
from fsm_trader.core.settings import Window
from fsm_trader.errors import Fault, SetupError
from fsm_trader.strict_yaml import parse_duration

REPO = Path(__file__).resolve().parents[2]
HUSH = "hush9hush9hush"

SESSION = """\
session:
  name: test
  health_check: {start: "09:15", end: "09:20"}
  trading: {start: "09:20", end: "15:00"}
  square_off: "15:10"
market:
  underlying: {name: NIFTY, symbol: "NIFTY 50", exchange: NSE, token: 256265}
strategies: {active: [one]}
"""
STRATEGIES = """\
strategies:
  one:
    class: DonchianBreakout
    option: {type: CE}
    exits: {stop_loss: 20%}
"""
KITE_ENVIRON = {"KITE_API_KEY": HUSH, "KITE_ACCESS_TOKEN": HUSH + "2"}
KITE = """\
broker:
  kind: kite
  kite: {api_key: "${KITE_API_KEY}", access_token: "${KITE_ACCESS_TOKEN}"}
"""
TELEGRAM = "notify: {telegram: {token: ${BOT}, chat_id: ${CHAT}}}\n"


@pytest.fixture
def load(tmp_path):
    """Return a function that writes both files and loads them."""

    def write_and_load(session=SESSION, strategies=STRATEGIES, environ=None, **more):
        (tmp_path / "session.yaml").write_text(session)
        (tmp_path / "strategies.yaml").write_text(strategies)
        return load_settings(tmp_path / "session.yaml", environ=environ or {}, **more)

    return write_and_load


@pytest.fixture
def faults_of(load, tmp_path):
    """Return a function that loads both files and returns the faults, file names without their folder."""

    def load_and_fail(*args, **kwargs):
        with pytest.raises(SetupError) as caught:
            load(*args, **kwargs)
        assert HUSH not in str(caught.value)
        return [str(fault).removeprefix(f"{tmp_path}/") for fault in caught.value.faults]

    return load_and_fail


def with_key(path, text):
    """Return SESSION with one key of a section, such as ``broker.settle``, set to *text*."""
    section, _, key = path.partition(".")
    line = f"  {key.replace('.', ': {')}: {text}{'}' * key.count('.')}\n"
    if f"\n{section}:\n" in f"\n{SESSION}":
        kept = re.sub(rf"(?m)^  {key}:.*\n", "", SESSION)
        return kept.replace(f"{section}:\n", f"{section}:\n{line}")
    return f"{SESSION}{section}:\n{line}"


# -------------------------------------------------------------------------------------------------- what is understood


def test_the_repo_s_own_files_load_from_an_empty_folder_without_any_environment(tmp_path):
    for name in ("session.yaml", "strategies.yaml"):
        shutil.copy(REPO / name, tmp_path)

    settings = load_settings(tmp_path / "session.yaml", environ={})

    assert settings.session.name == "nifty-intraday"
    assert settings.session.trading == Window(time(9, 20), time(15))
    assert settings.session.square_off == time(15, 10)
    assert (settings.broker.kind, settings.broker.kite, settings.telegram) == ("paper", None, None)
    assert settings.market.recorded == "sample"
    assert settings.journal_url == f"sqlite:///{tmp_path}/var/fsm_trader.db"
    assert settings.risk.max_daily_loss_paise == 1_000_000
    (strategy,) = settings.strategies
    assert strategy.params == {"length": 20, "exit_option": 2}
    assert (strategy.option.kind, strategy.interval_s, strategy.lots) == (OptionKind.CE, 60, 1)
    assert (strategy.exits.stop_loss, strategy.exits.target) == (Decimal("0.20"), Decimal("0.30"))
    assert strategy.exits.max_hold == timedelta(minutes=30)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["session.yaml", "strategies.yaml"]


def test_every_key_of_the_contract_is_taken_as_it_is_written_there(load, tmp_path):
    session = """\
session:
  name: nifty-intraday
  timezone: Asia/Kolkata
  calendar: NSE                       # "always" for a test bench: every day is a trading day
  health_check: {start: "09:15", end: "09:20"}
  trading:      {start: "09:20", end: "15:00"}     # entries
  square_off: "15:10"
  poll_interval: 5s
  on_stop: leave
broker:
  kind: paper                         # paper | kite
  product: MIS
  entry_timeout: 20s
  exit_timeout: 10s
  settle: 90s
  kite:
    root: null
    api_key: ${KITE_API_KEY}
    access_token: ${KITE_ACCESS_TOKEN}
    timeout: 7s
    market_protection: -1
market:
  underlying: {name: NIFTY, symbol: "NIFTY 50", exchange: NSE, token: 256265}
  recorded: sample
  feed: poll
  stream_root: null
  max_candle_age: 150s
journal: {url: "sqlite:///var/fsm_trader.db"}
notify:
  telegram: {root: null, token: ${TELEGRAM_BOT_TOKEN}, chat_id: ${TELEGRAM_CHAT_ID}}
risk:
  {max_open_trades: 1, max_trades_per_day: 10, max_daily_loss: 10000, max_orders_per_second: 5, max_orders_per_day: 200}
strategies: {file: strategies.yaml, active: [one]}
machines: {session: builtin, trade: builtin}
"""

    settings = load(session, environ={"TELEGRAM_BOT_TOKEN": "t", "TELEGRAM_CHAT_ID": "-100123"})

    assert settings.telegram is not None
    assert settings.telegram.root == "https://api.telegram.org"
    assert settings.telegram.chat_id.reveal() == "-100123"
    assert settings.broker.kite is None
    assert settings.broker.settle == timedelta(seconds=90)
    assert settings.log.file == tmp_path / "var/fsm_trader.log"


def test_the_long_form_of_a_strategy_is_understood(load):
    strategies = """\
strategies:
  one:
    class: my_package.rules:MyRule
    params: {factor: 1.10, deep: {names: [a, b]}, on_gap: true}
    interval: 1h
    option: {type: PE, strike: at_or_below, expiry: {rule: nearest_monthly, skip_days: 2}}
    lots: 3
    exits: {stop_loss: 12.5%, max_hold: null}
"""

    (strategy,) = load(strategies=strategies).strategies

    assert strategy.class_name == "my_package.rules:MyRule"
    assert strategy.params == {"factor": Decimal("1.10"), "deep": {"names": ["a", "b"]}, "on_gap": True}
    assert strategy.interval_s == 3600
    assert (strategy.option.expiry, strategy.option.skip_days) == ("nearest_monthly", 2)
    assert (strategy.exits.stop_loss, strategy.exits.target, strategy.exits.max_hold) == (Decimal("0.125"), None, None)


def test_active_strategies_come_in_the_order_they_are_named_and_others_stay_out(load):
    one = STRATEGIES.partition("\n")[2]
    strategies = STRATEGIES + one.replace("one:", "two:") + one.replace("one:", "three:")

    settings = load(SESSION.replace("[one]", "[three, one]"), strategies)

    assert [strategy.name for strategy in settings.strategies] == ["three", "one"]


@pytest.mark.parametrize(
    ("key", "text", "seen"),
    [
        ("market.speed", "max", 0.0),
        ("market.speed", "60", 60.0),
        ("market.speed", "0.5", 0.5),
        ("market.day", "2026-06-17", "2026-06-17"),
        ("market.lot_size", "75", 75),
        ("market.stream_root", "ws://127.0.0.1:8080/", "ws://127.0.0.1:8080"),
        ("market.stream_root", "wss://ws.kite.trade", "wss://ws.kite.trade"),
        ("market.premiums", "model", "model"),
        ("broker.product", "NRML", "NRML"),
        ("broker.order_poll_interval", "250ms", timedelta(milliseconds=250)),
        ("broker.reconcile_interval", "30s", timedelta(seconds=30)),
        ("broker.paper.partial_fills", "12.5%", Decimal("0.125")),
        ("broker.paper.latency", "0s", timedelta(0)),
        ("session.calendar", "always", "always"),
        ("session.timezone", "UTC", "UTC"),
        ("log.level", "DEBUG", "DEBUG"),
    ],
)
def test_a_key_is_read_into_its_setting(load, key, text, seen):
    settings = load(with_key(key, text))

    value = settings
    for name in key.split("."):
        value = getattr(value, name)
    assert value == seen


def test_amounts_are_whole_paise(load):
    assert load(with_key("risk.max_daily_loss", "1234.5")).risk.max_daily_loss_paise == 123_450


def test_the_log_s_size_is_given_in_megabytes(load):
    assert load(with_key("log.max_size", "3")).log.max_bytes == 3_000_000


def test_a_section_without_required_keys_may_be_empty(load):
    settings = load(f"{SESSION}risk:\nbroker: null\nnotify:\nlog:\njournal:\nmachines:\n")

    assert settings.risk.max_open_trades == 1
    assert settings.broker.kind == "paper"
    assert settings.telegram is None


# --------------------------------------------------------------------------------------------------------------- paths


def test_paths_are_relative_to_the_file_they_stand_in(load, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "trade.yaml").write_text("machine: trade\n")
    (tmp_path / "mine" / "s.yaml").write_text(STRATEGIES)
    (tmp_path / "days").mkdir()
    session = with_key("market.recorded", "days").replace("{active:", "{file: mine/s.yaml, active:")

    settings = load(f"{session}machines: {{trade: mine/trade.yaml}}\nlog: {{file: /tmp/x.log}}\n", "not: read")

    assert settings.machines.trade == tmp_path / "mine" / "trade.yaml"
    assert settings.machines.session is None
    assert settings.market.recorded == tmp_path / "days"
    assert settings.broker.paper.book == tmp_path / "var/paper.db"
    assert settings.log.file == Path("/tmp/x.log")  # noqa: S108 - an absolute path that nothing is written to
    assert settings.source == tmp_path / "session.yaml"


def test_a_relative_session_file_gives_absolute_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("session.yaml").write_text(SESSION)
    Path("strategies.yaml").write_text(STRATEGIES)

    settings = load_settings(Path("session.yaml"), environ={})

    assert settings.source == tmp_path / "session.yaml"
    assert settings.journal_url == f"sqlite:///{tmp_path}/var/fsm_trader.db"


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("sqlite:///x.db", "sqlite:///{folder}/x.db"),
        ("sqlite+pysqlite:///a/x.db", "sqlite+pysqlite:///{folder}/a/x.db"),
        ("sqlite:////abs/x.db", "sqlite:////abs/x.db"),
        ("postgresql://trader@db/x", "postgresql://trader@db/x"),
    ],
)
def test_a_sqlite_journal_is_relative_to_the_file_and_other_addresses_stay(load, tmp_path, url, seen):
    assert load(with_key("journal.url", url)).journal_url == seen.format(folder=tmp_path)


def test_a_folder_name_with_odd_characters_still_names_the_same_journal(tmp_path):
    from sqlalchemy.engine import make_url

    folder = tmp_path / "a b?c%20d"
    folder.mkdir()
    (folder / "session.yaml").write_text(SESSION)
    (folder / "strategies.yaml").write_text(STRATEGIES)

    url = load_settings(folder / "session.yaml", environ={}).journal_url

    assert make_url(url).database == str(folder / "var/fsm_trader.db")


# ------------------------------------------------------------------------------------------------------------- secrets


def test_a_kite_session_takes_its_secrets_from_the_environment(load):
    settings = load(SESSION + KITE, environ=KITE_ENVIRON)

    kite = settings.broker.kite
    assert kite is not None
    assert kite.access_token is not None
    assert (kite.api_key.reveal(), kite.access_token.reveal()) == (HUSH, HUSH + "2")
    assert (kite.root, kite.token_file, kite.market_protection) == (None, None, Decimal(-1))
    assert kite.order_type == "market"
    assert settings.market.recorded is None


def test_a_secret_may_come_from_a_file_that_the_environment_names_or_from_systemd(load, tmp_path):
    (tmp_path / "key").write_text(f"{HUSH}\n")
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "KITE_ACCESS_TOKEN").write_text(f" {HUSH}2 \n")

    settings = load(
        SESSION + KITE,
        environ={"KITE_API_KEY_FILE": str(tmp_path / "key"), "CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")},
    )

    assert settings.broker.kite is not None
    assert settings.broker.kite.api_key.reveal() == HUSH
    assert settings.broker.kite.access_token is not None
    assert settings.broker.kite.access_token.reveal() == HUSH + "2"


def test_a_token_file_replaces_the_access_token(load, tmp_path):
    session = SESSION + KITE.replace('access_token: "${KITE_ACCESS_TOKEN}"', "token_file: var/token")

    kite = load(session, environ=KITE_ENVIRON).broker.kite

    assert kite is not None
    assert (kite.access_token, kite.token_file) == (None, tmp_path / "var/token")


@pytest.mark.parametrize(
    ("journal", "expected"),
    [
        ("", "var/kite_token.json"),
        ('journal: {url: "sqlite:///here/j%20x.db"}\n', "here/kite_token.json"),
        ('journal: {url: "postgresql://db/x"}\n', "var/kite_token.json"),
    ],
)
def test_a_token_that_was_not_placed_is_kept_beside_the_journal(load, tmp_path, journal, expected):
    session = SESSION + KITE.replace(', access_token: "${KITE_ACCESS_TOKEN}"', "") + journal

    kite = load(session, environ=KITE_ENVIRON).broker.kite

    assert kite is not None
    assert (kite.access_token, kite.token_file) == (None, tmp_path / expected)


def test_the_apps_secret_is_looked_up_for_a_login_alone(load, tmp_path):
    session = SESSION + KITE.replace('access_token: "${KITE_ACCESS_TOKEN}"', 'api_secret: "${KITE_API_SECRET}"')

    trading = load(session + TELEGRAM, environ={**KITE_ENVIRON, "BOT": HUSH, "CHAT": HUSH}).broker.kite
    environ = {"KITE_API_KEY": HUSH, "KITE_API_SECRET": HUSH + "3"}
    login = load_for_login(tmp_path / "session.yaml", environ=environ).broker.kite

    assert trading is not None
    assert trading.api_secret is None
    assert login is not None
    assert login.api_secret is not None
    assert (login.api_key.reveal(), login.api_secret.reveal()) == (HUSH, HUSH + "3")


@pytest.mark.parametrize(
    ("kite", "message"),
    [
        ("{api_key: '${KITE_API_KEY}'}", "kite.api_secret is missing; a login needs it"),
        (
            "{api_key: '${KITE_API_KEY}', api_secret: '${KITE_API_SECRET}', access_token: '${KITE_ACCESS_TOKEN}'}",
            "login keeps the token in a file; expected it to be left out",
        ),
        ("{api_key: '${KITE_API_KEY}', api_secret: '${ABSENT}'}", "environment variable ABSENT is not set"),
        ("{api_key: '${KITE_API_KEY}', api_secret: hush9hush9hush}", "was a literal value (not shown)"),
    ],
)
def test_a_login_without_just_what_it_needs_is_refused(load, tmp_path, kite, message):
    with pytest.raises(SetupError):
        load(f"{SESSION}broker: {{kind: kite, kite: {kite}}}\n", environ={})

    with pytest.raises(SetupError) as refused:
        load_for_login(tmp_path / "session.yaml", environ={"KITE_API_KEY": HUSH, "KITE_API_SECRET": HUSH})

    assert message in str(refused.value)
    assert HUSH not in str(refused.value)


def test_no_secret_shows_in_settings_or_in_their_description(load):
    session = f"{SESSION}{KITE}{TELEGRAM}journal: {{url: 'postgresql://trader:${{PG}}@db/x'}}\n"

    settings = load(session, environ={**KITE_ENVIRON, "BOT": HUSH, "CHAT": HUSH, "PG": f"{HUSH}/@"})

    assert settings.journal_url == f"postgresql://trader:{HUSH}%2F%40@db/x"
    for shown in (repr(settings), str(settings), f"{settings}", json.dumps(describe(settings))):
        assert HUSH not in shown
    assert "environment variable KITE_API_KEY" in json.dumps(describe(settings))


def test_params_are_described_for_json_without_losing_a_digit(load):
    params = "{factor: 1.10, deep: [{on_gap: true, steps: 3}]}"

    shown = describe(load(strategies=STRATEGIES.replace("    option", f"    params: {params}\n    option")))

    assert shown["strategies"]["one"]["params"] == {"factor": "1.10", "deep": [{"on_gap": True, "steps": 3}]}
    assert json.loads(json.dumps(shown)) == shown


def test_a_secret_s_file_that_is_not_text_is_refused(faults_of, tmp_path):
    (tmp_path / "key").write_bytes(b"\xff\xfe")

    (fault,) = faults_of(
        SESSION + KITE, environ={"KITE_ACCESS_TOKEN": HUSH, "KITE_API_KEY_FILE": str(tmp_path / "key")}
    )

    assert "is not UTF-8 text" in fault


def test_a_whole_journal_address_may_be_a_secret(load):
    settings = load(with_key("journal.url", "${JOURNAL}"), environ={"JOURNAL": f"postgresql://u:{HUSH}@db/x"})

    assert settings.journal_url == f"postgresql://u:{HUSH}@db/x"
    assert HUSH not in repr(settings)
    assert HUSH not in json.dumps(describe(settings))


@pytest.mark.parametrize("literal", [HUSH, f"'{HUSH}'", f"0{'1' * 8}", f"x${{{HUSH}}}", f"[{HUSH}]", f"!x {HUSH}", "7"])
@pytest.mark.parametrize(
    "place",
    [
        "broker: {{kind: kite, kite: {{api_key: {}, access_token: ${{KITE_ACCESS_TOKEN}}}}}}",
        "broker: {{kite: {{access_token: {}}}}}",
        "notify: {{telegram: {{token: {}, chat_id: ${{KITE_API_KEY}}}}}}",
        "notify: {{telegram: {{chat_id: {}, token: ${{KITE_API_KEY}}}}}}",
    ],
)
def test_a_secret_written_out_is_refused_and_not_shown(faults_of, place, literal):
    session = SESSION + place.format(literal)

    (fault,) = faults_of(session, environ=KITE_ENVIRON)

    assert "(not shown)" in fault
    assert "expected ${NAME}" in fault
    assert "1111" not in fault


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://trader:{HUSH}@db/x",
        f"postgresql://trader:a/{HUSH}@db/x",
        f"postgresql://db/x?password={HUSH}",
        f"'postgresql://trader:${{KITE_API_KEY}}@db/x?sslpassword={HUSH}'",
        f"postgresql+psycopg://:{HUSH}@db/x",
    ],
)
def test_a_password_in_the_journal_s_address_is_refused_and_not_shown(faults_of, url):
    (fault,) = faults_of(with_key("journal.url", url), environ=KITE_ENVIRON)

    assert fault.startswith("session.yaml:10:8 $.journal.url: holds a literal password (not shown)")


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({}, "environment variable KITE_API_KEY is not set"),
        ({"KITE_API_KEY": "  "}, "the value of KITE_API_KEY from environment variable KITE_API_KEY is empty"),
        ({"KITE_API_KEY": f"{HUSH}\n{HUSH}"}, "is not one line of visible ASCII characters"),
        ({"KITE_API_KEY_FILE": "/nowhere/at/all"}, "the file named by KITE_API_KEY_FILE cannot be read"),
        ({"CREDENTIALS_DIRECTORY": "/nowhere/at/all"}, "environment variable KITE_API_KEY is not set"),
    ],
)
def test_a_secret_that_cannot_be_had_is_a_fault_where_it_is_asked_for(faults_of, environ, message):
    (fault,) = faults_of(SESSION + KITE, environ={"KITE_ACCESS_TOKEN": HUSH, **environ})

    assert fault.startswith("session.yaml:11:19 $.broker.kite.api_key: ")
    assert message in fault


def test_a_pipe_in_the_place_of_a_secret_holds_nobody_up(faults_of, tmp_path):
    os.mkfifo(tmp_path / "pipe")

    (fault,) = faults_of(SESSION + KITE, environ={"KITE_ACCESS_TOKEN": HUSH, "KITE_API_KEY_FILE": f"{tmp_path}/pipe"})

    assert fault.endswith("the file named by KITE_API_KEY_FILE is no file; expected a file with the secret alone")


@pytest.mark.parametrize(
    ("kite", "message"),
    [
        (
            "{api_key: '${KITE_API_KEY}', access_token: '${KITE_ACCESS_TOKEN}', token_file: t}",
            "kite.access_token and kite.token_file: both are given",
        ),
        ("{access_token: '${KITE_ACCESS_TOKEN}'}", "kite.api_key is missing"),
    ],
)
def test_a_kite_session_without_just_what_it_needs_is_refused(faults_of, kite, message):
    (fault,) = faults_of(f"{SESSION}broker: {{kind: kite, kite: {kite}}}\n", environ=KITE_ENVIRON)

    assert message in fault


def test_a_kite_session_without_a_kite_section_says_all_that_is_missing(faults_of):
    (fault,) = faults_of(f"{SESSION}broker: {{kind: kite}}\n", environ=KITE_ENVIRON)

    assert "kite.api_key is missing" in fault


# ------------------------------------------------------------------------------------------------------------ refusals


def test_faults_of_both_files_are_told_at_once_each_with_its_place(faults_of):
    session = """\
session:
  name: a b
  timezone: Asia/Kolkatta
  health_check: {start: "09:20", end: "09:15"}
  trading: {start: "09:20", end: "15:20"}
  square_off: "15:10"
  poll_interval: 90
  colour: red
broker: {kind: papr, settle: 2h, paper: {rejects: 5}, kite: {api_key: abcdef}}
market:
  underlying: {name: NIFTY, symbol: "NIFTY 50", exchange: NSE}
  recorded: no_such_folder
journal: {url: "sqlite://"}
risk: {max_open_trades: 0, max_daily_loss: 0.001, max_orders_per_second: true}
strategies: {active: [one, one, won]}
machines: {trade: none.yaml}
log: {level: LOUD}
colour: red
at: 15:10
"""
    strategies = """\
strategies:
  one:
    class: 5
    interval: 2m
    option: {type: CALL, expiry: {rule: weekly, skip_days: -1}}
    lots: 0
    exits: {stop_loss: 100%, target: 0%, max_hold: 30}
  two:
    class: X
    option: {type: CE}
    exits: {target: 20%}
  three: {option: null}
"""

    faults = faults_of(session, strategies)

    assert [fault.split(": ")[0] for fault in faults] == [
        "session.yaml:2:9 $.session.name",
        "session.yaml:3:13 $.session.timezone",
        "session.yaml:4:39 $.session.health_check.end",
        "session.yaml:6:15 $.session.square_off",
        "session.yaml:7:18 $.session.poll_interval",
        "session.yaml:8:3 $.session.colour",
        "session.yaml:9:16 $.broker.kind",
        "session.yaml:9:30 $.broker.settle",
        "session.yaml:9:51 $.broker.paper.rejects",
        "session.yaml:9:71 $.broker.kite.api_key",
        "session.yaml:11:15 $.market.underlying",
        "session.yaml:12:13 $.market.recorded",
        "session.yaml:13:16 $.journal.url",
        "session.yaml:14:25 $.risk.max_open_trades",
        "session.yaml:14:44 $.risk.max_daily_loss",
        "session.yaml:14:74 $.risk.max_orders_per_second",
        "session.yaml:15:28 $.strategies.active[1]",
        "session.yaml:15:33 $.strategies.active[2]",
        "session.yaml:16:19 $.machines.trade",
        "session.yaml:17:14 $.log.level",
        "session.yaml:18:1 $.colour",
        "session.yaml:19:1 $.at",
        "session.yaml:19:5 $.at",
        "strategies.yaml:3:12 $.strategies.one.class",
        "strategies.yaml:4:15 $.strategies.one.interval",
        "strategies.yaml:5:20 $.strategies.one.option.type",
        "strategies.yaml:5:41 $.strategies.one.option.expiry.rule",
        "strategies.yaml:5:60 $.strategies.one.option.expiry.skip_days",
        "strategies.yaml:6:11 $.strategies.one.lots",
        "strategies.yaml:7:24 $.strategies.one.exits.stop_loss",
        "strategies.yaml:7:38 $.strategies.one.exits.target",
        "strategies.yaml:7:52 $.strategies.one.exits.max_hold",
        "strategies.yaml:11:12 $.strategies.two.exits",
        "strategies.yaml:12:10 $.strategies.three",
        "strategies.yaml:12:10 $.strategies.three",
        "strategies.yaml:12:19 $.strategies.three.option",
    ]


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("session.calendar", "BSE", "Known: NSE, always."),
        ("session.timezone", "Asia", "unknown time zone 'Asia'"),
        ("session.timezone", "../etc/passwd", "unknown time zone"),
        ("session.timezone", "Asia/Kolkatta", "Did you mean 'Asia/Kolkata'?"),
        ("session.poll_interval", "5", 'was 5 (no unit); expected a duration such as "5s"'),
        ("session.poll_interval", "1h", "was '1h'; expected a duration from 100ms to 5m"),
        ("session.on_stop", "leav", "Did you mean 'leave'?"),
        ("session.square_off", "'14:59'", "was 14:59; expected square_off not before trading.end, which is 15:00"),
        ("session.square_off", "15:10", "reads as the number 910"),
        ("session.trading", "{start: '09:19', end: '15:00'}", "not before health_check.end, which is 09:20"),
        ("session.trading", "{start: '15:00', end: '15:00'}", "expected trading.end later than trading.start"),
        ("session.trading", "{start: '09:20'}", "key 'end' is missing"),
        ("session.trading", "", "was empty; expected a mapping"),
        ("session.name", "a/b", "expected 1 to 40 letters"),
        ("session.colour", "red", "unknown key 'colour'"),
        ("market.recorded", "null", "live candles come with broker.kind: kite"),
        ("market.recorded", "nowhere", "does not exist; expected sample, or a folder or file of recorded days"),
        ("market.recorded", f"{'x' * 300}", "does not exist"),
        ("market.day", "2026-02-30", "which is no day of the calendar"),
        ("market.day", "today", "expected a day such as 2026-06-17"),
        ("market.speed", "0", "expected a number from 0.01 to 100000"),
        ("market.speed", "fast", "was 'fast'; expected max or a number"),
        ("market.stream_root", "ws://example.com", "the token would travel in the clear"),
        ("market.stream_root", "https://example.com", "is not such an address"),
        ("market.lot_size", "0", "expected a whole number from 1"),
        ("market.max_candle_age", "5s", "expected a duration from 10s to 1h"),
        ("risk.max_daily_loss", "100.001", "expected rupees with at most two decimals"),
        ("risk.max_daily_loss", "-5", "expected a number from 1"),
        ("risk.max_open_trades", "0", "expected a whole number from 1 to 20"),
        ("risk.max_orders_per_second", "11", "expected a whole number from 1 to 10"),
        ("risk.max_trades_per_day", "1.5", "expected a whole number"),
        ("broker.kind", "paperr", "Did you mean 'paper'?"),
        ("broker.paper.rejects", "5", "was 5 (no %)"),
        ("broker.paper.seed", "-1", "expected a whole number from 0"),
        (
            "broker.kite.root",
            "http://api.kite.trade",
            "plain http to api.kite.trade: the token would travel in the clear",
        ),
        ("broker.kite.root", "http://127.0.0.1.example.com", "the token would travel in the clear"),
        (
            "broker.kite.root",
            f"https://a:{HUSH}@api.kite.trade",
            "holds a user, password, query or fragment (not shown)",
        ),
        ("broker.kite.root", f"'https://api.kite.trade?token={HUSH}'", "(not shown)"),
        ("broker.kite.root", "http://127.0.0.1:99999", "is not such an address"),
        ("broker.kite.root", "https://api.kite.trade/v3", "has a path, which would be left out"),
        ("broker.kite.root", "'http://[::1'", "is not such an address"),
        ("broker.kite.order_type", "stop", "Known: market, limit"),
        ("broker.kite.market_protection", "0", "expected -1 (Kite's choice) or a percentage above 0"),
        ("broker.kite.market_protection", "-0.5", "expected -1 (Kite's choice) or a percentage above 0"),
        ("broker.kite.market_protection", "101", "expected a number from -1 to 100"),
        ("journal.url", "sqlite://", "names no file"),
        ("journal.url", "'sqlite:///:memory:'", "a journal in memory forgets the open trade in a crash"),
        ("journal.url", "sqlite://var/x.db", "expected three slashes"),
        ("journal.url", "'sqlite:///var/'", "cannot be the name of a file"),
        ("journal.url", "'sqlite:///%00'", "cannot be the name of a file"),
        ("journal.url", "'sqlite:///x.db?timeout=abc'", "expected none: how the file is written is fixed"),
        ("journal.url", "'sqlite+aiosqlite:///x.db'", "asks for the driver aiosqlite"),
        ("journal.url", "var/x.db", "is not an SQLAlchemy URL"),
        ("journal.url", "'sqlite:///${DIR}/x.db'", "in the middle"),
        ("journal.url", "${NOT_SET}", "environment variable NOT_SET is not set"),
        ("machines.trade", "none.yaml", "is not a file; expected builtin or the path of a machine definition"),
        ("machines.trade", ".", "is not a file"),
        ("log.file", "~/x.log", "expected a path (~ is not expanded)"),
        ("log.level", "debug", "Known: DEBUG"),
        ("log.max_size", "0", "expected a whole number from 1 to 1000"),
    ],
)
def test_a_wrong_value_in_the_session_file_is_one_fault_at_its_key(faults_of, key, text, message):
    (fault,) = faults_of(with_key(key, text))

    assert re.match(rf"session\.yaml:[0-9]+:[0-9]+ \$\.{re.escape(key)}", fault)
    assert message in fault


@pytest.mark.parametrize(
    "root", ["http://127.0.0.1:8000", "http://localhost:1", "http://[::1]:8000", "https://api.kite.trade"]
)
def test_a_root_on_this_machine_may_be_plain_and_elsewhere_it_is_encrypted(load, root):
    settings = load(SESSION + KITE.replace("{api_key", f"{{root: '{root}/', api_key"), environ=KITE_ENVIRON)

    assert settings.broker.kite is not None
    assert settings.broker.kite.root == root


@pytest.mark.parametrize("protection", ["-1", "0.5", "100"])
def test_a_market_protection_that_kite_takes_is_taken(load, protection):
    settings = load(
        SESSION + KITE.replace("{api_key", f"{{market_protection: {protection}, api_key"), environ=KITE_ENVIRON
    )

    assert settings.broker.kite is not None
    assert settings.broker.kite.market_protection == Decimal(protection)


@pytest.mark.parametrize("recorded", ["sample", "."])
def test_real_orders_on_recorded_data_are_refused(faults_of, recorded):
    (fault,) = faults_of(with_key("market.recorded", recorded) + KITE, environ=KITE_ENVIRON)

    assert "$.market.recorded: recorded data with broker.kind kite; expected null" in fault


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        ("20%", "0%", ".exits.stop_loss", "expected a percentage from 0.01% to 99.99%"),
        ("20%", "100%", ".exits.stop_loss", "expected a percentage from 0.01% to 99.99%"),
        ("20%", "20", ".exits.stop_loss", "was 20 (no %)"),
        ("stop_loss: 20%", "target: 20%", ".exits", "no stop_loss; expected one such as stop_loss: 20%"),
        ("{stop_loss: 20%}", "{}", ".exits", "no stop_loss"),
        ("stop_loss: 20%", "stop_loss: null", ".exits.stop_loss", "was null; expected a percentage"),
        ("exits: {stop_loss: 20%}", "lots: 1", "", "key 'exits' is missing"),
        ("20%", "20%, target: 0%", ".exits.target", "expected a percentage from 0.01%"),
        ("20%", "20%, max_hold: 0s", ".exits.max_hold", "expected a duration from 1s to 12h"),
        ("CE}", "CALL}", ".option.type", "was 'CALL', which is unknown. Known: CE, PE."),
        ("CE}", "CE, expiry: weekly}", ".option.expiry", "Known: nearest, nearest_monthly."),
        ("CE}", "CE, expiry: {rule: nearest, skip: 1}}", ".option.expiry.skip", "Did you mean 'skip_days'?"),
        ("CE}", "CE, expiry: {skip_days: 61}}", ".option.expiry.skip_days", "from 0 to 60"),
        ("CE}", "CE, strike: at_or_abov}", ".option.strike", "Did you mean 'at_or_above'?"),
        ("    option", "    lots: 0\n    option", ".lots", "expected a whole number from 1 to 100"),
        ("    option", "    interval: 2m\n    option", ".interval", "expected one of 1m, 3m, 5m, 10m, 15m, 30m, 60m"),
        ("    option", "    interval: 90s\n    option", ".interval", "expected one of 1m"),
        ("    option", "    params: [1]\n    option", ".params", "was a sequence; expected a mapping"),
        ("    option", "    parms: {}\n    option", ".parms", "Did you mean 'params'?"),
        ("DonchianBreakout", "a-b", ".class", "expected a registered name or package.module:Class"),
    ],
)
def test_a_wrong_value_in_the_strategies_file_is_one_fault_at_its_key(faults_of, old, new, place, message):
    (fault,) = faults_of(strategies=STRATEGIES.replace(old, new))

    assert re.match(rf"strategies\.yaml:[0-9]+:[0-9]+ \$\.strategies\.one{re.escape(place)}: ", fault)
    assert message in fault


@pytest.mark.parametrize(
    ("active", "message"),
    [
        ("[]", "$.strategies.active: is empty; expected at least one strategy"),
        ("[one, one]", "$.strategies.active[1]: 'one' stands here again"),
        ("[on_e]", "$.strategies.active[0]: unknown strategy 'on_e'. Did you mean 'one'? Known: one."),
        ("one", "$.strategies.active: was 'one'; expected a sequence"),
        ("[5]", "$.strategies.active[0]: was 5; expected the name of a strategy"),
    ],
)
def test_active_names_strategies_of_the_file_each_once(faults_of, active, message):
    (fault,) = faults_of(SESSION.replace("[one]", active))

    assert message in fault


def test_a_missing_strategies_file_is_refused_without_blaming_the_names(faults_of):
    (fault,) = faults_of(SESSION.replace("{active", "{file: none.yaml, active"))

    assert fault == "none.yaml: not found; expected a YAML file"


def test_a_missing_session_file_is_refused(tmp_path):
    with pytest.raises(SetupError, match=r"session\.yaml: not found; expected a YAML file"):
        load_settings(tmp_path / "session.yaml", environ={})


@pytest.mark.parametrize(
    ("text", "count"), [("", 1), ("[a]", 1), ("x: [", 1), ("session:\nmarket:\nstrategies:\n", 3), ("{}", 3)]
)
def test_a_session_file_with_next_to_nothing_in_it_is_refused_in_few_words(faults_of, text, count):
    assert len(faults_of(text)) == count


@pytest.mark.parametrize("strategies", ["strategies: {}", "strategies: [a]", "strategies:"])
def test_a_strategies_file_with_none_is_refused_without_blaming_the_names(faults_of, strategies):
    (fault,) = faults_of(strategies=strategies)

    assert fault.startswith("strategies.yaml:1:")


def test_a_machine_file_of_one_s_own_is_read_as_strictly(faults_of, tmp_path):
    (tmp_path / "trade.yaml").write_text("machine: trade\nat: 15:20\n")

    (fault,) = faults_of(f"{SESSION}machines: {{trade: trade.yaml}}\n")

    assert fault.startswith("trade.yaml:2:5 $.at: was 15:20")


# ---------------------------------------------------------------------------------------------------- strategy classes


def test_active_strategies_are_shown_to_the_registry_and_its_answer_is_a_fault_at_the_class(faults_of):
    asked = []

    def check(class_name, params):
        asked.append((class_name, params))
        return "unknown strategy class"

    strategies = STRATEGIES.replace("    option", "    params: {length: 20}\n    option")
    idle = STRATEGIES.partition("\n")[2].replace("one:", "idle:")

    (fault,) = faults_of(strategies=strategies + idle, check_strategy=check)

    assert fault == "strategies.yaml:3:12 $.strategies.one.class: unknown strategy class"
    assert asked == [("DonchianBreakout", {"length": 20})]


def test_a_strategy_the_registry_takes_loads(load):
    assert load(check_strategy=lambda _name, _params: None).strategies[0].name == "one"


@pytest.mark.parametrize("params", ["{length: 010}", "[1]"])
def test_the_registry_is_not_asked_about_a_strategy_with_other_faults(faults_of, params):
    def check(class_name, params):
        raise AssertionError(f"asked about {class_name}, {params}")

    strategies = STRATEGIES.replace("    option", f"    params: {params}\n    option")

    assert len(faults_of(strategies=strategies, check_strategy=check)) == 1


# -------------------------------------------------------------------------------------------------------------- digest


def test_the_digest_changes_with_every_file_and_never_with_a_secret(load, tmp_path):
    (tmp_path / "trade.yaml").write_text("machine: trade\n")
    own_machine = f"{SESSION}machines: {{trade: trade.yaml}}\n"
    digests = [load(SESSION + KITE, environ={**KITE_ENVIRON, "KITE_API_KEY": key}).digest for key in ("a", "b")]
    others = [load().digest, load(f"{SESSION}# x\n").digest, load(strategies=f"{STRATEGIES}# x\n").digest]
    others.append(load(own_machine).digest)
    (tmp_path / "trade.yaml").write_text("machine: trade # x\n")
    others.append(load(own_machine).digest)

    assert digests[0] == digests[1]
    assert len({digests[0], *others}) == 6
    assert len(digests[0]) == len(hashlib.sha256().hexdigest())


def test_text_moved_from_one_file_to_the_other_is_another_digest(load):
    assert load(f"{SESSION}#\n", STRATEGIES).digest != load(SESSION, f"#\n{STRATEGIES}").digest


# ----------------------------------------------------------------------------------------------------- reference pages


def documented(page):
    """Return key -> default of the tables of a reference page."""
    text = (REPO / "docs" / "reference" / page).read_text()
    return dict(re.findall(r"^\| `([A-Za-z_.]+)` \| ([^|]*) \|", text, re.MULTILINE))


def accepted(tables):
    """Return the dotted name of every key that holds no further section."""
    names = {
        f"{section}.{key}".lstrip(".") for section, keys in tables.items() for key in (*keys.required, *keys.optional)
    }
    return {name for name in names if name not in tables}


def test_every_key_of_the_session_file_is_in_its_reference_page_and_no_other():
    assert set(documented("session-yaml.md")) == accepted(SESSION_FILE) - {"notify.telegram"}


def test_every_key_of_the_strategies_file_is_in_its_reference_page_and_no_other():
    names = accepted(STRATEGIES_FILE) - {"strategies"} | {"NAME.option.expiry"}

    assert set(documented("strategies-yaml.md")) == names


def same(default, value, folder):
    """Return whether a documented default says the same as a described value."""
    if default in ("null", "{}"):
        return value in (None, {})
    if re.fullmatch("([0-9]+(h|m|s|ms))+", default) and isinstance(value, str):
        return parse_duration(default) == parse_duration(value)
    return str(value).replace(f"{folder}/", "").removesuffix(".00") == default


@pytest.mark.parametrize("page", ["session-yaml.md", "strategies-yaml.md"])
def test_every_documented_default_is_what_a_key_left_out_means(load, tmp_path, page):
    bot = {"BOT": "x", "CHAT": "y"}
    shown = describe(load(SESSION + TELEGRAM, environ=bot))
    kite = KITE.replace(', access_token: "${KITE_ACCESS_TOKEN}"', "")
    live = describe(load(SESSION + TELEGRAM + kite, environ={**bot, **KITE_ENVIRON}))
    shown["broker"]["kite"] = live["broker"]["kite"]
    shown["strategies"]["file"] = "strategies.yaml"
    shown["NAME"] = shown["strategies"]["one"]

    for key, default in documented(page).items():
        value = shown
        if not default.startswith("`") or key == "NAME.option.expiry":
            continue
        for name in key.split("."):
            value = value[name]
        assert same(default.strip("`"), value, tmp_path), f"{key}: documented {default}, is {value!r}"


@pytest.mark.parametrize("orders", [1, 4])
def test_fewer_orders_a_day_than_an_entry_and_its_way_out_need_are_refused(faults_of, orders):
    (fault,) = faults_of(with_key("risk.max_orders_per_day", orders))

    assert (
        f"$.risk.max_orders_per_day: was {orders}; expected at least 5: an entry, and the 4 orders that are kept"
        in fault
    )


def test_as_many_orders_a_day_as_one_trade_needs_are_taken(load):
    assert load(with_key("risk.max_orders_per_day", 5)).risk.max_orders_per_day == 5


@pytest.mark.parametrize("broker", ["", "broker: {kind: paper}\n"])
def test_a_stream_with_the_paper_broker_is_refused(faults_of, broker):
    (fault,) = faults_of(with_key("market.feed", "stream") + broker)

    assert "$.market.feed: was stream with broker.kind paper; expected poll" in fault


def test_a_stream_with_the_real_broker_is_taken(load):
    assert load(with_key("market.feed", "stream") + KITE, environ=KITE_ENVIRON).market.feed == "stream"


def test_what_a_machine_is_faulted_for_is_told_with_the_faults_of_the_session_file(faults_of, tmp_path):
    (tmp_path / "mine.yaml").write_text("machine: trade\n")
    asked = []

    def check(path, kind):
        asked.append((path, kind))
        return [Fault(f"{path}:1:1", "$", "is not whole")]

    text = with_key("broker.settle", "90") + "machines: {trade: mine.yaml}\n"
    first, second = faults_of(text, check_machine=check)

    assert "$.broker.settle" in first
    assert second == "mine.yaml:1:1 $: is not whole"
    assert asked == [(tmp_path / "mine.yaml", "trade")]
