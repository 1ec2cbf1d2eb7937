"""The loader: the built-in definitions load, and whatever is wrong with a file is said, all of it, with its place."""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsm_trader.errors import SetupError
from fsm_trader.machines import names
from fsm_trader.machines.load import load_machine, parse_machine
from fsm_trader.machines.names import MachineKind
from fsm_trader.machines.spec import TimeoutSpec

TRADE = load_machine(None, "trade").text
SESSION = load_machine(None, "session").text


def refused(text: str, kind: MachineKind = "trade") -> str:
    with pytest.raises(SetupError) as caught:
        parse_machine(text, kind=kind, source="my.yaml")
    return str(caught.value)


def changed(old: str, new: str, text: str = TRADE) -> str:
    assert old in text
    return text.replace(old, new, 1)


def place_of(fragment: str, text: str, *, after: str = "") -> str:
    """Return where a fragment stands, as messages write it: line and column from 1."""
    before = text[: text.index(fragment, text.index(after))]
    return f"my.yaml:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"


@pytest.mark.parametrize("kind", ["trade", "session"])
def test_the_built_in_definition_keeps_its_text_and_is_known_by_its_hash(kind: MachineKind) -> None:
    spec = load_machine(None, kind)

    assert (spec.kind, spec.source) == (kind, f"built-in {kind}.yaml")
    assert spec.digest == hashlib.sha256(spec.text.encode()).hexdigest()


def test_a_file_is_read_as_the_built_in_one_is(tmp_path: Path) -> None:
    path = tmp_path / "trade.yaml"
    path.write_bytes(TRADE.encode())

    spec = load_machine(path, "trade")

    assert (spec.digest, spec.source) == (load_machine(None, "trade").digest, str(path))
    assert spec.states[1].where == f"{path}:12:5"


def test_the_text_the_journal_keeps_gives_the_same_definition_again() -> None:
    spec = load_machine(None, "trade")

    again = parse_machine(spec.text, kind="trade", source=spec.source)

    assert again == spec


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"gone\.yaml: cannot be read \(No such file"):
        load_machine(tmp_path / "gone.yaml", "trade")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trade.yaml"
    path.write_bytes(b"\xff\xfe\x00machine")

    with pytest.raises(SetupError, match=r"trade\.yaml"):
        load_machine(path, "trade")


def test_a_star_is_every_state_that_is_not_final() -> None:
    spec = parse_machine(
        changed("source: [HEALTH_CHECK, TRADING, UNHEALTHY, LOGIN_REQUIRED, HALTED, SQUARING_OFF], dest: null}",
                'source: "*", dest: null}', SESSION),
        kind="session",
        source="my.yaml",
    )  # fmt: skip

    seen = next(item for item in spec.transitions if item.trigger == "health_seen")
    assert seen.sources == tuple(state.name for state in spec.states if state.name != "CLOSED")


def test_an_equal_sign_enters_every_source_again() -> None:
    spec = parse_machine(
        changed("source: [HEALTH_CHECK, TRADING, UNHEALTHY, LOGIN_REQUIRED, HALTED, SQUARING_OFF], dest: null}",
                'source: [HALTED, TRADING], dest: "="}', SESSION),
        kind="session",
        source="my.yaml",
    )  # fmt: skip

    again = [(item.sources, item.dest) for item in spec.transitions if item.trigger == "health_seen"]
    assert again == [(("HALTED",), "HALTED"), (("TRADING",), "TRADING")]


def test_a_timeout_is_a_setting_or_a_duration() -> None:
    spec = parse_machine(
        changed("{after: entry_timeout, trigger", "{after: 1m30s, trigger"), kind="trade", source="my.yaml"
    )

    assert spec.state("PENDING_ENTRY").timeout == TimeoutSpec(timedelta(seconds=90), "entry_overdue")
    assert spec.state("PENDING_EXIT").timeout == TimeoutSpec("exit_timeout", "exit_overdue")


def test_a_policy_has_its_numbers_and_no_jitter_unless_said() -> None:
    plain = load_machine(None, "trade").policies["place"]
    shaken = parse_machine(changed("wait: 3s,", "wait: 3s, jitter: 500ms,"), kind="trade", source="my.yaml")

    assert (plain.attempts, plain.wait, plain.jitter, plain.on) == (
        3,
        timedelta(seconds=3),
        timedelta(0),
        ("not_done",),
    )
    assert shaken.policies["place"].jitter == timedelta(milliseconds=500)


@pytest.mark.parametrize(
    ("old", "new", "path", "words"),
    [
        ("dest: ACTIVE,", "dest: ACTVE,", "$.transitions[2].dest", "was 'ACTVE'; expected a state"),
        ("source: IDLE,", "source: IDEL,", "$.transitions[0].source", "Did you mean 'IDLE'?"),
        ("initial: IDLE", "initial: IDLEE", "$.initial", "was 'IDLEE'"),
        ("trigger: exit_absent,", "trigger: exit_absnt,", "$.transitions[23].trigger", "Did you mean 'exit_absent'?"),
        ("conditions: stop_hit", "conditions: stop_hitt", "$.transitions[13].conditions", "Did you mean 'stop_hit'?"),
        ("unless: entry_working", "unless: entry_workin", "$.transitions[9].unless", "Did you mean 'entry_working'?"),
        ("after: set_levels", "after: set_level", "$.transitions[2].after", "Did you mean 'set_levels'?"),
        ("after: set_levels", "before: set_level", "$.transitions[2].before", "Did you mean 'set_levels'?"),
        ("name: IDLE, position: none", "name: IDLE, position: non", "$.states[0].position", "'none'"),
        ("after: exit_timeout", "after: exit_timeot", "$.states[3].timeout.after", "Did you mean 'exit_timeout'?"),
        ("after: exit_timeout", "after: 0s", "$.states[3].timeout.after", "0s"),
        ("after: exit_timeout", "after: 90", "$.states[3].timeout.after", "90"),
        ("after: exit_timeout", "after: 25h", "$.states[3].timeout.after", "25h"),
        ("trigger: exit_overdue}}", "trigger: exit_overdu}}", "$.states[3].timeout.trigger", "'exit_overdue'?"),
        ("reason: stop_loss", "reason: Stop loss", "$.transitions[13].reason", "one word in small letters"),
        ("attempts: 3", "attempts: 0", "$.retries.place.attempts", "0"),
        ("attempts: 3", "attempts: 11", "$.retries.place.attempts", "11"),
        ("attempts: 3", "attempts: true", "$.retries.place.attempts", "true"),
        ("wait: 3s", "wait: 61s", "$.retries.place.wait", "61s"),
        ("wait: 3s", "wait: 3s, jitter: 11s", "$.retries.place.jitter", "11s"),
        ("retry_on: [not_done]", "retry_on: [unknown]", "$.retries.place.retry_on[0]", "was 'unknown'"),
        ("place_exit: {retry: place}", "place_exit: {retry: plaec}", "$.actions.place_exit.retry", "'place'?"),
        ("cancel: {att", "cansel: {att", "$.retries.cansel", "Did you mean 'cancel'?"),
        ("set_levels: {}", "set_levelz: {}", "$.actions.set_levelz", "Did you mean 'set_levels'?"),
        ("  alarm: {}", "  beep: {}", "$.actions.beep", "was 'beep'; expected an action"),
        ("name: IDLE, position", "name: idle, position", "$.states[0].name", "capital letters"),
        ("machine: trade", "machine: session", "$.machine", "was 'session'; expected 'trade'"),
        ("source: IDLE,", "source: [IDLE, IDLE],", "$.transitions[0].source[1]", "IDLE a second time"),
        ("conditions: stop_hit", "conditons: stop_hit", "$.transitions[13]", "conditons"),
        ("final: true}", "final: 1}", "$.states[4].final", "1"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_at_its_place(old: str, new: str, path: str, words: str) -> None:
    message = refused(changed(old, new))

    assert any(path in line and words in line for line in message.splitlines()), message
    assert message.endswith("Nothing was started.")


def test_the_line_and_column_are_those_of_the_value() -> None:
    text = changed("conditions: stop_hit", "conditions: stop_hitt")

    assert f"{place_of('stop_hitt', text)} $.transitions[13].conditions:" in refused(text)


@pytest.mark.parametrize("section", ["initial", "states", "actions", "retries"])
def test_a_missing_section_is_named(section: str) -> None:
    assert section in refused(changed(f"\n{section}:", f"\nx_{section}:"))


def test_code_in_the_place_of_a_name_is_refused_as_code() -> None:
    for place in ("conditions: stop_hit", "after: set_levels"):
        key = place.partition(":")[0]
        assert "holds names, never code" in refused(changed(place, f"{key}: os.getcwd"))


def test_a_state_that_is_defined_twice_is_refused_with_both_places() -> None:
    text = changed("  - {name: ACTIVE,", "  - {name: IDLE, position: none}\n  - {name: ACTIVE,")

    assert "state IDLE is already defined at my.yaml:11:5" in refused(text)


@pytest.mark.parametrize("bad", ["[]", "a", "null", "{}", "[1, 2]", '"text"'])
def test_what_is_no_machine_at_all_is_refused(bad: str) -> None:
    assert "my.yaml" in refused(bad)


@pytest.mark.parametrize("section", ["states", "transitions", "actions", "retries"])
@pytest.mark.parametrize("bad", ["null", "[]", "{}", "5", "[5]", "[[]]", "{place: 5}", "[{}]"])
def test_a_section_of_the_wrong_shape_is_refused(section: str, bad: str) -> None:
    lines = TRADE.splitlines()
    start = lines.index(f"{section}:")
    end = next((i for i in range(start + 1, len(lines)) if lines[i] and lines[i][0] not in " #"), len(lines))

    refused("\n".join([*lines[:start], f"{section}: {bad}", *lines[end:]]))


def test_every_fault_is_told_at_once() -> None:
    text = changed("dest: ACTIVE,", "dest: ACTVE,")
    text = changed("conditions: target_hit", "conditions: taget_hit", text)
    text = changed("attempts: 3", "attempts: 99", text)

    message = refused(text)

    assert [line.split(" ")[1] for line in message.splitlines()[:-1]] == [
        "$.transitions[2].dest:",
        "$.transitions[14].conditions:",
        "$.retries.place.attempts:",
    ]


def test_a_faulty_part_is_told_of_once_and_not_again_by_those_who_name_it() -> None:
    text = changed("name: ACTIVE, position: held", "name: ACTIVE, position: perhaps")
    text = changed("attempts: 3", "atempts: 3", text)

    places = [line.split(" ")[1] for line in refused(text).splitlines()[:-1]]

    assert set(places) == {"$.states[2].position:", "$.retries.place:", "$.retries.place.atempts:"}


def test_a_misspelt_name_does_not_hide_what_else_is_wrong_nor_add_to_it() -> None:
    text = changed("dest: ACTIVE,", "dest: ACTVE,")
    text = changed("conditions: is_flat}", "reason: done}", text)

    message = refused(text)

    assert "was 'ACTVE'" in message
    assert "a trade is CLOSED only by fills" in message
    assert "cannot be reached" not in message


def test_yaml_that_means_something_else_than_it_says_is_refused() -> None:
    assert "YAML reads as true" in refused(changed("retry_on: [not_done]", "on: [not_done]"))
    assert refused(changed("initial: IDLE", "initial: IDLE\ninitial: ACTIVE"))
    assert refused(changed("source: IDLE,", "source: *any,"))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_file_is_a_definition_or_a_setup_error_and_nothing_else(data: st.DataObject) -> None:
    kind: MachineKind = data.draw(st.sampled_from(["trade", "session"]))
    text = TRADE if kind == "trade" else SESSION
    start = data.draw(st.integers(0, len(text) - 1))
    length = data.draw(st.integers(0, 60))
    filler = data.draw(
        st.sampled_from(["", "IDLE", "null", "[", "}", ": ", "- ", "\n", "{}", "true", "5", "'", "&a ", "é"])
    )
    damaged = text[:start] + filler + text[start + length :]

    try:
        spec = parse_machine(damaged, kind=kind, source="my.yaml")
    except SetupError:
        return
    assert spec.text == damaged


REPO = Path(__file__).resolve().parents[2]


def test_every_name_a_definition_may_use_is_in_the_reference() -> None:
    page = (REPO / "docs" / "reference" / "machine-yaml.md").read_text(encoding="utf-8")
    known = {
        *names.TRADE_GUARDS, *names.SESSION_GUARDS, *names.TRADE_TRIGGERS, *names.SESSION_TRIGGERS,
        *names.TRADE_ACTIONS, *names.SESSION_ACTIONS, *names.TRADE_STATES, *names.SESSION_STATES, *names.POLICIES,
        *(setting for settings_of in names.TIMEOUT_SETTINGS.values() for setting in settings_of),
    }  # fmt: skip

    assert sorted(name for name in known if f"`{name}`" not in page) == []


def test_every_key_the_loader_takes_is_in_the_reference() -> None:
    page = (REPO / "docs" / "reference" / "machine-yaml.md").read_text(encoding="utf-8")
    message = refused(
        "machine: trade\ninitial: IDLE\nstates: [{x: 1, timeout: {x: 1}}]\ntransitions: [{x: 1}]\n"
        "actions: {alarm: {x: 1}}\nretries: {place: {x: 1}}\nx: 1\n"
    )

    known = {word.strip(" .") for line in message.splitlines() for word in line.partition("Known: ")[2].split(",")}
    assert {"states", "trigger", "retry_on", "retry", "position"} <= known
    assert sorted(word for word in known if word and not re.search(rf"[`.{{ ]{word}[`,:}}]", page)) == []


def test_the_how_to_shows_lines_that_are_in_the_built_in_definition() -> None:
    page = (REPO / "docs" / "how-to" / "change-a-machine.md").read_text(encoding="utf-8")

    shown = [line for line in page.splitlines() if line.startswith("  - {trigger")]

    assert len(shown) == 2
    assert all(line in TRADE.splitlines() for line in shown)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{after: entry_timeout, trigger: entry_overdue}", "{after: 45s, trigger: entry_overdue}"),
        ("after: place_exit, reason: stop_loss", "after: [place_exit, alarm], reason: stop_loss"),
        ("{attempts: 3, wait: 3s, retry_on", "{attempts: 5, wait: 2s, jitter: 500ms, retry_on"),
        (("  - {trigger: check, source: ACTIVE, dest: PENDING_EXIT, conditions: strategy_exit, after: place_exit, "
         "reason: strategy_exit}\n"), ""),
    ],
)  # fmt: skip
def test_the_changes_the_how_to_offers_are_accepted(old: str, new: str) -> None:
    assert parse_machine(changed(old, new), kind="trade", source="my.yaml").kind == "trade"


def test_a_retry_policy_that_no_action_names_is_refused_in_a_file_and_kept_where_a_trade_runs_under_it(tmp_path):
    text = changed("retries:\n", "retries:\n  notify: {attempts: 2, wait: 1s, retry_on: [not_done]}\n")
    path = tmp_path / "mine.yaml"
    path.write_text(text)

    with pytest.raises(
        SetupError, match=r"mine.yaml:\d+:\d+ .*retries.notify: retry policy notify is used by no action"
    ):
        load_machine(path, "trade")

    assert "notify" in parse_machine(text, kind="trade", source="kept").policies
