"""What is legal and would still cost money: each a small edit of the built-in file, refused or warned of in words."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from fsm_trader.errors import SetupError
from fsm_trader.machines.caution import LONGEST_CALL_PAUSES, LONGEST_PENDING, warnings_of
from fsm_trader.machines.load import builtin_session, load_machine, parse_machine
from fsm_trader.machines.names import SESSION_CALLS, MachineKind

TEXTS: dict[str, str] = {"trade": load_machine(None, "trade").text, "session": builtin_session().text}
PLACE = "  place: {attempts: 3, wait: 3s, retry_on: [not_done]}"
READ = "  read: {attempts: 2, wait: 1s, within: 20s, retry_on: [unavailable]}"
ENTRY_UNFILLED = "conditions: entry_unfilled, reason: entry_unfilled}"
UNHEALTHY = "{trigger: clock, source: TRADING, dest: UNHEALTHY, conditions: candles_stale, reason: candles_stale}"
HEALTHY_AGAIN = "conditions: [is_healthy, in_trading_window], unless: candles_stale, reason: healthy_again}"

Change = tuple[str, str]


def edited(kind: MachineKind, *changes: Change) -> str:
    text = TEXTS[kind]
    for old, new in changes:
        assert text.count(old) == 1, (text.count(old), old)
        text = text.replace(old, new)
    return text


def faults(folder: Path, kind: MachineKind, *changes: Change) -> list[str]:
    path = folder / "my.yaml"
    path.write_text(edited(kind, *changes))
    try:
        load_machine(path, kind)
    except SetupError as error:
        return [str(fault).replace(str(path), "my.yaml") for fault in error.faults]
    return []


def line_of(kind: MachineKind, words: str, *changes: Change) -> int:
    return next(number for number, line in enumerate(edited(kind, *changes).splitlines(), 1) if words in line)


TRADE_FAULTS: dict[str, tuple[tuple[Change, ...], str, str]] = {
    "a pending exit looked at every ten minutes": (
        (("{after: exit_timeout, trigger", "{after: 10m, trigger"),),
        "{name: PENDING_EXIT", "timeout of PENDING_EXIT is 10m; expected at most 5m",
    ),
    "a pending entry looked at after a little more than five minutes": (
        (("{after: entry_timeout, trigger", "{after: 5m1s, trigger"),),
        "{name: PENDING_ENTRY", "timeout of PENDING_ENTRY is 5m1s; expected at most 5m",
    ),
    "an unfilled entry that only raises an alarm": (
        ((f"dest: FAILED, {ENTRY_UNFILLED}", f"dest: null, after: alarm, {ENTRY_UNFILLED}"),),
        "{name: PENDING_ENTRY", "PENDING_ENTRY must go to FAILED on entry_update when entry_unfilled",
    ),
    "an unfilled entry that is seen only when a person says so": (
        ((ENTRY_UNFILLED, "conditions: [entry_unfilled, flatten_asked], reason: entry_unfilled}"),),
        "{name: PENDING_ENTRY", "PENDING_ENTRY must go to FAILED on entry_update when entry_unfilled",
    ),
    "a refused entry that only raises an alarm": (
        (("{trigger: entry_refused, source: PENDING_ENTRY, dest: FAILED,",
          "{trigger: entry_refused, source: PENDING_ENTRY, dest: null, after: alarm,"),),
        "{name: PENDING_ENTRY", "PENDING_ENTRY must go to FAILED on entry_refused when entry_unfilled, whatever",
    ),
    "an absent entry that waits for the square-off": (
        (("{trigger: entry_absent, source: PENDING_ENTRY, dest: FAILED, conditions: entry_unfilled,",
          "{trigger: entry_absent, source: PENDING_ENTRY, dest: FAILED, conditions: [entry_unfilled, square_off_due],"),
         ),
        "{name: PENDING_ENTRY", "PENDING_ENTRY must go to FAILED on entry_absent when entry_unfilled, whatever",
    ),
    "an exit that nothing sends again": (
        (("dest: null, after: place_exit, reason: exit_absent", "dest: null, after: alarm, reason: exit_absent"),
         ("conditions: exit_cancelled, after: place_exit, reason", "conditions: exit_cancelled, after: alarm, reason"),
         ("conditions: no_exit_order, after: place_exit, reason", "conditions: no_exit_order, after: alarm, reason")),
        "{name: PENDING_EXIT", "PENDING_EXIT must place_exit again on exit_overdue when no_exit_order",
    ),
    "an overdue exit that is only told of": (
        (("conditions: no_exit_order, after: place_exit, reason", "conditions: no_exit_order, after: alarm, reason"),
         ("after: [cancel_exit, alarm]", "after: alarm")),
        "{name: PENDING_EXIT", "PENDING_EXIT must cancel_exit on exit_overdue when exit_working",
    ),
    "a timeout that nobody answers while a position is held": (
        (("{after: max_hold, trigger: check}", "{after: max_hold, trigger: exit_overdue}"),),
        "{name: ACTIVE", "timeout of ACTIVE fires exit_overdue, which no transition from ACTIVE answers",
    ),
    "a state that is entered again on every price": (
        (("conditions: is_adopted, after: place_exit, reason: adopted}\n",
          ("conditions: is_adopted, after: place_exit, reason: adopted}\n"
           '  - {trigger: check, source: ACTIVE, dest: "=", unless: stop_hit, after: set_levels}\n')),),
        'dest: "=", unless: stop_hit', "ACTIVE -> ACTIVE on check is a circle that takes no time",
    ),
    "an order tried again for minutes": (
        ((PLACE, "  place: {attempts: 10, wait: 30s, retry_on: [not_done]}"),),
        "attempts: 10", "policy place may wait 4m30s in all for place_exit; expected at most 1m",
    ),
    "an order whose pauses grow": (
        ((PLACE, "  place: {attempts: 6, wait: 4s, backoff: 2, retry_on: [not_done]}"),),
        "backoff: 2", "policy place may wait 2m in all",
    ),
    "attempts for nothing": (
        ((PLACE, "  place: {attempts: 3, wait: 3s, retry_on: []}"),),
        "retry_on: []", "policy place has 3 attempts and an empty retry_on; it tries once",
    ),
    "a policy nobody uses": (
        ((PLACE, PLACE + "\n  lookup: {attempts: 2, wait: 1s, retry_on: [unavailable]}"),),
        "  lookup:", "retry policy lookup is used by no action; expected one in `actions`",
    ),
    "an order repeated after silence": (
        ((PLACE, "  place: {attempts: 3, wait: 3s, within: 20s, retry_on: [not_done, unavailable]}"),),
        "within: 20s", "policy place would repeat place_exit when the broker gave no answer",
    ),
}  # fmt: skip

SESSION_FAULTS: dict[str, tuple[tuple[Change, ...], str, str]] = {
    "healthy again while the candles are stale": (
        ((HEALTHY_AGAIN, "conditions: [is_healthy, in_trading_window], reason: healthy_again}"),),
        UNHEALTHY,
        ("TRADING -> UNHEALTHY -> TRADING on clock is a circle that takes no time: it is gone round again and again "
         "while candles_stale and in_trading_window and is_healthy is true"),
    ),
    "unhealthy for a reason that does not keep it there": (
        ((UNHEALTHY, UNHEALTHY.replace("conditions: candles_stale,", "conditions: [candles_stale, trading_day],")),
         ("  - {trigger: clock, source: TRADING, dest: UNHEALTHY, conditions: is_unhealthy",
          ("  - {trigger: clock, source: TRADING, dest: UNHEALTHY, conditions: is_halted, reason: halted_before}\n"
           f"  - {UNHEALTHY}\n"
           "  - {trigger: clock, source: TRADING, dest: UNHEALTHY, conditions: is_unhealthy"))),
        "conditions: is_halted", "TRADING -> UNHEALTHY -> TRADING on clock is a circle that takes no time",
    ),
    "a login that is asked for and taken back": (
        (("source: LOGIN_REQUIRED, dest: HEALTH_CHECK, unless: login_required, reason",
          "source: LOGIN_REQUIRED, dest: HEALTH_CHECK, unless: past_trading, reason"),),
        "source: HEALTH_CHECK, dest: LOGIN_REQUIRED", "HEALTH_CHECK -> LOGIN_REQUIRED -> HEALTH_CHECK on clock",
    ),
    "a session that ends on less than flat": (
        (("source: SQUARING_OFF, dest: CLOSED, conditions: is_flat",
          "source: SQUARING_OFF, dest: CLOSED, conditions: past_square_off"),),
        "source: SQUARING_OFF, dest: CLOSED", "a session never ends with a trade open",
    ),
    "a reading that is asked for again for longer than it is waited for": (
        ((READ, "  read: {attempts: 5, wait: 20s, retry_on: [unavailable]}"),),
        "attempts: 5, wait: 20s", "policy read may wait 1m20s in all for check_health, read_candles",
    ),
    "a policy that no call names": (
        (("tell: {retry: notify}", "tell: {retry: lookup}"),),
        "  notify:", "retry policy notify is used by no action; expected one in `actions` or `calls`",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TRADE_FAULTS)
def test_a_dangerous_trade_definition_is_refused_at_its_line(name: str, tmp_path: Path) -> None:
    changes, at, words = TRADE_FAULTS[name]

    found = faults(tmp_path, "trade", *changes)

    line = line_of("trade", at, *changes)
    assert any(message.startswith(f"my.yaml:{line}:") and words in message for message in found), (line, found)


@pytest.mark.parametrize("name", SESSION_FAULTS)
def test_a_dangerous_session_definition_is_refused_at_its_line(name: str, tmp_path: Path) -> None:
    changes, at, words = SESSION_FAULTS[name]

    found = faults(tmp_path, "session", *changes)

    line = line_of("session", at, *changes)
    assert any(message.startswith(f"my.yaml:{line}:") and words in message for message in found), (line, found)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("trade", ("{after: exit_timeout, trigger", "{after: 5m, trigger")),
        ("trade", (PLACE, "  place: {attempts: 10, wait: 30s, within: 1m, retry_on: [not_done]}")),
        ("trade", (PLACE, "  place: {attempts: 1, wait: 0s, retry_on: []}")),
        (
            "session",
            ("  notify: {attempts: 5, wait: 1s, backoff: 2, within: 5m,", "  notify: {attempts: 10, wait: 60s,"),
        ),
        ("session", (HEALTHY_AGAIN, HEALTHY_AGAIN.replace("candles_stale", "[candles_stale, is_halted]"))),
    ],
)
def test_what_is_within_the_bounds_is_taken(kind: MachineKind, change: Change, tmp_path: Path) -> None:
    assert faults(tmp_path, kind, change) == []


def test_a_circle_that_an_earlier_transition_bars_is_none(tmp_path: Path) -> None:
    circle = (HEALTHY_AGAIN, "conditions: [is_healthy, in_trading_window], reason: healthy_again}")
    # Whatever would lead round the circle leads to HALTED first.
    bar = "{trigger: clock, source: TRADING, dest: HALTED, conditions: [candles_stale, is_healthy], reason: halt}"

    assert len(faults(tmp_path, "session", circle)) == 1
    assert faults(tmp_path, "session", circle, (f"  - {UNHEALTHY}\n", f"  - {bar}\n  - {UNHEALTHY}\n")) == []


def test_a_trade_goes_on_under_a_definition_that_would_be_refused_today() -> None:
    text = edited("trade", ("{after: exit_timeout, trigger", "{after: 10m, trigger"))

    assert parse_machine(text, kind="trade", source="kept").kind == "trade"


WARNINGS: dict[str, tuple[MachineKind, Change, str, str]] = {
    "a health check every hour": (
        "session",
        ("{name: TRADING, position: maybe, timeout: {after: health_interval,",
         "{name: TRADING, position: maybe, timeout: {after: 1h,"),
        "{name: TRADING", "TRADING is looked at every 1h only; a health check older than 15m says little of now",
    ),
    "a refused exit nobody is told of": (
        "trade",
        ("source: PENDING_EXIT, dest: null, after: alarm, reason: exit_refused",
         "source: PENDING_EXIT, dest: null, reason: exit_refused"),
        "{name: PENDING_EXIT", "PENDING_EXIT raises no alarm on exit_refused: nobody is told when an exit is refused",
    ),
    "a rejected exit nobody is told of": (
        "trade",
        ("conditions: exit_rejected, after: alarm,", "conditions: exit_rejected,"),
        "{name: PENDING_EXIT", "PENDING_EXIT raises no alarm on exit_update: nobody is told when an exit is rejected",
    ),
    "an unclear exit nobody is told of": (
        "trade",
        ("conditions: exit_unclear, after: alarm,", "conditions: exit_unclear,"),
        "{name: PENDING_EXIT", "nobody is told when nobody knows what became of an exit",
    ),
    "an entry that is not found and nobody is told": (
        "trade",
        ("unless: entry_working, after: alarm,", "unless: entry_working,"),
        "{name: PENDING_ENTRY", "PENDING_ENTRY raises no alarm on entry_overdue",
    ),
    "a target that is never taken": (
        "trade",
        (("  - {trigger: check, source: ACTIVE, dest: PENDING_EXIT, conditions: target_hit, after: place_exit, "
          "reason: target}\n"), ""),
        "{name: ACTIVE", "no transition out of ACTIVE asks target_hit: a target that a strategy is given is never",
    ),
    "a strategy that is not heard": (
        "trade",
        (("  - {trigger: check, source: ACTIVE, dest: PENDING_EXIT, conditions: strategy_exit, after: place_exit, "
          "reason: strategy_exit}\n"), ""),
        "{name: ACTIVE", "no transition out of ACTIVE asks strategy_exit: a strategy's EXIT is not heard",
    ),
    "an adopted position that stays": (
        "trade",
        (("  - {trigger: check, source: ACTIVE, dest: PENDING_EXIT, conditions: is_adopted, after: place_exit, "
          "reason: adopted}\n"), ""),
        "{name: ACTIVE", "no transition out of ACTIVE asks is_adopted",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WARNINGS)
def test_what_deserves_a_second_look_is_taken_with_a_warning_at_its_line(name: str, tmp_path: Path) -> None:
    kind, change, at, words = WARNINGS[name]
    path = tmp_path / "my.yaml"
    path.write_text(edited(kind, change))

    (warning,) = warnings_of(load_machine(path, kind))

    assert str(warning).startswith(f"{path}:{line_of(kind, at, change)}:5 $.states[")
    assert words in str(warning)


@pytest.mark.parametrize("kind", ["trade", "session"])
def test_the_built_in_definitions_deserve_no_second_look(kind: MachineKind) -> None:
    assert warnings_of(load_machine(None, kind)) == []


# The calls of a session and their policies.


def in_session(*changes: Change, kept: bool = False):
    text = edited("session", *changes)
    if not kept:
        text = text[: text.index("calls:")] + text[text.index("retries:") :]
    return parse_machine(text, kind="session", source="my.yaml")


OF_010 = (
    (READ, "  read: {attempts: 4, wait: 1s, retry_on: [unavailable]}"),
    ("  lookup: {attempts: 2, wait: 500ms, jitter: 250ms, within: 20s, retry_on: [unavailable]}\n", ""),
    ("  notify: {attempts: 5, wait: 1s, backoff: 2, within: 5m, retry_on: [unavailable]}\n", ""),
)


def test_the_built_in_session_names_every_call_and_its_policy() -> None:
    spec = builtin_session()

    assert spec.calls == dict(SESSION_CALLS)
    assert all(f"  {call}: {{retry: {policy}}}" in spec.text for call, policy in SESSION_CALLS.items())


def test_a_file_of_the_earlier_form_takes_what_it_does_not_say_from_the_built_in_one(tmp_path: Path) -> None:
    spec = in_session(*OF_010)
    path = tmp_path / "old.yaml"
    path.write_text(spec.text)

    assert load_machine(path, "session").calls == dict(SESSION_CALLS)
    assert spec.policies["read"].attempts == 4
    assert {name: spec.policies[name] for name in ("lookup", "notify")} == {
        name: builtin_session().policies[name] for name in ("lookup", "notify")
    }


def test_a_call_goes_under_the_policy_the_file_gives_it() -> None:
    spec = in_session(("read_price: {retry: read}", "read_price: {retry: lookup}"), kept=True)

    assert spec.calls == {**SESSION_CALLS, "read_price": "lookup"}
    assert spec.policy_of("read_price") == builtin_session().policies["lookup"]


def test_a_list_of_some_calls_leaves_the_others_as_they_are() -> None:
    text = edited("session", ("  read_book: {retry: lookup}\n", ""), ("  tell: {retry: notify}\n", ""))

    assert parse_machine(text, kind="session", source="my.yaml").calls == dict(SESSION_CALLS)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            "lookup: {attempts: 2, wait: 500ms, jitter: 250ms, within: 20s, retry_on: [unavailable]}",
            "lookup: {attempts: 4, wait: 500ms, backoff: 2, within: 20s, retry_on: [unavailable]}",
        ),
        ("read_price: {retry: read}", "read_price: {retry: lookup}"),
    ],
)
def test_the_changes_the_how_to_offers_are_accepted(old: str, new: str, tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "change-a-machine.md").read_text()

    assert f"`{new}`" in page
    assert faults(tmp_path, "session", (old, new)) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("read_book: {retry: lookup}", "read_book: {retry: look}"), "was 'look'; expected a policy of `retries`"),
        (("read_book: {retry: lookup}", "read_order_book: {retry: lookup}"), "expected a call of the session"),
        (("read_book: {retry: lookup}", "read_book: {}"), "key 'retry' is missing"),
        (("  lookup: {attempts", "  look_up: {attempts"), "expected a retry policy"),
        ((READ, "  read: {attempts: 2, wait: 1s, backoff: 0.5, retry_on: [unavailable]}"), "a number from 1 to 10"),
        ((READ, "  read: {attempts: 2, wait: 1s, backoff: 11, retry_on: [unavailable]}"), "a number from 1 to 10"),
        ((READ, "  read: {attempts: 2, wait: 1s, within: 2h, retry_on: [unavailable]}"), "from 100ms to 1h"),
    ],
)
def test_a_call_or_a_policy_that_is_none_is_refused_in_words(change: Change, words: str) -> None:
    with pytest.raises(SetupError) as refused:
        in_session(change, kept=True)

    assert words in str(refused.value)


def test_a_trade_definition_has_no_calls() -> None:
    with pytest.raises(SetupError, match="unknown key 'calls'"):
        parse_machine(f"{TEXTS['trade']}\ncalls: {{}}\n", kind="trade", source="my.yaml")


def test_every_built_in_policy_keeps_its_bound_with_room() -> None:
    specs = (builtin_session(), load_machine(None, "trade"))
    policies = {name: policy for spec in specs for name, policy in spec.policies.items()}

    assert sorted(policies) == ["cancel", "enter", "lookup", "notify", "place", "read"]
    assert all(policy.longest_pauses <= LONGEST_CALL_PAUSES / 2 for policy in policies.values())
    assert msgspec.structs.replace(policies["place"], attempts=10).longest_pauses.total_seconds() == 27
    assert LONGEST_PENDING.total_seconds() == 300


@pytest.mark.parametrize(
    ("words", "state", "trigger"),
    [("{trigger: adopt,", "IDLE", "adopt"), ("{trigger: position_gone,", "ACTIVE", "position_gone")],
)
def test_a_new_machine_without_an_answer_to_what_the_broker_shows_is_refused(tmp_path, words, state, trigger):
    line = next(line for line in TEXTS["trade"].splitlines() if words in line)

    found = faults(tmp_path, "trade", (line + "\n", ""))

    assert any(f"state {state} has no way on {trigger}" in fault for fault in found)


def test_an_open_trade_goes_on_under_a_machine_of_before_that_rule():
    line = next(line for line in TEXTS["trade"].splitlines() if "{trigger: position_gone," in line)

    assert parse_machine(edited("trade", (line + "\n", "")), kind="trade", source="journal").kind == "trade"
