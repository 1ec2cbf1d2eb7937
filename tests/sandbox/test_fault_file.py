"""Plans of faults are read strictly: what could be meant in two ways, or does nothing, is refused with its place."""

from __future__ import annotations

from datetime import time, timedelta
from decimal import Decimal

import pytest

from fsm_trader.errors import SetupError
from fsm_trader.simulate.sandbox.fault_file import read_plan
from fsm_trader.simulate.sandbox.faults import CALLS, KINDS, WRITES, PlannedFault


def test_a_plan_says_all_that_its_file_says(tmp_path):
    file = tmp_path / "plan.yaml"
    file.write_text(
        'seed: 7\nfaults:\n  - {kind: lost_answer, call: writes, from: "10:00", until: "10:30:30", times: 2, skip: 1,\n'
        "     tags: 'e*', chance: 25%, delay: 9s}\n  - kind: silent_stream\n    from: \"11:00\"\n"
    )

    plan = read_plan(file, ["{kind: stale_positions, age: 5m}"])

    assert plan.seed == 7
    assert plan.faults == (
        PlannedFault(
            kind="lost_answer",
            calls=WRITES,
            since=time(10),
            until=time(10, 30, 30),
            times=2,
            skip=1,
            tags="e*",
            chance=Decimal("0.25"),
            delay=timedelta(seconds=9),
        ),
        PlannedFault(kind="silent_stream", since=time(11)),
        PlannedFault(kind="stale_positions", calls=("positions",), times=1, age=timedelta(minutes=5)),
    )


def test_without_a_window_a_fault_happens_once_and_inside_one_every_time():
    once, always = read_plan(
        None, ["{kind: too_many, call: any}", '{kind: too_many, call: any, until: "10:00"}']
    ).faults

    assert (once.times, always.times) == (1, None)
    assert once.calls == CALLS


def test_nothing_planned_is_nothing():
    assert read_plan(None).faults == ()


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("{kind: lost_anser, call: place}", "Did you mean 'lost_answer'?"),
        ("{call: place}", "key 'kind' is missing"),
        ("{kind: too_many}", "key 'call' is missing"),
        ("{kind: too_many, call: plac}", "Did you mean 'place'?"),
        ("{kind: too_many, call: place, tmes: 1}", "unknown key 'tmes'"),
        ("{kind: too_many, call: place, times: 0}", "a whole number from 1"),
        ("{kind: too_many, call: place, chance: 0.5}", "a percentage"),
        ("{kind: too_many, call: place, chance: 0%}", "0.01%"),
        ("{kind: too_many, call: place, from: 10:00}", "without quotes"),
        ('{kind: too_many, call: place, from: "10:00", until: "10:00"}', "expected later than from"),
        ("{kind: too_many, call: place, status: 500}", "status has no meaning for too_many"),
        ("{kind: html_error, call: place}", "key 'status' is missing"),
        ("{kind: html_error, call: place, status: 200}", "a whole number from 400"),
        ("{kind: http_error, call: place, status: 400, error_type: BadException}", "is unknown"),
        ("{kind: delay, call: place}", "key 'delay' is missing"),
        ("{kind: delay, call: place, delay: 5}", "no unit"),
        ("{kind: empty_history, call: orders}", "is unknown"),
        ("{kind: token_death}", "key 'from' is missing"),
        ('{kind: token_death, from: "10:00", until: "11:00"}', "a dead token stays dead"),
        ("{kind: silent_stream, times: 3}", "is about no single request"),
        ("{kind: closed_stream, call: quote}", "is about no single request"),
        ("not a mapping", "a mapping with the keys"),
        ("{kind: [}", "not readable as YAML"),
    ],
)
def test_a_fault_that_could_not_happen_is_refused(flag, words):
    with pytest.raises(SetupError) as refused:
        read_plan(None, [flag])

    assert words in str(refused.value)
    assert "--fault:1:" in str(refused.value)


def test_all_faults_of_a_plan_are_told_at_once(tmp_path):
    file = tmp_path / "plan.yaml"
    file.write_text("faults:\n  - {kind: too_many}\n  - {kind: nothing}\nsed: 1\n")

    with pytest.raises(SetupError) as refused:
        read_plan(file)

    assert [fault.where.rpartition("plan.yaml")[2] for fault in refused.value.faults] == [":2:5", ":3:12", ":4:1"]


@pytest.mark.parametrize("name", ["absent.yaml", "empty.yaml"])
def test_a_plan_that_is_none_is_refused(tmp_path, name):
    (tmp_path / "empty.yaml").write_text("")

    with pytest.raises(SetupError, match=name):
        read_plan(tmp_path / name)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_planned(kind):
    more = {
        "http_error": ", call: any, status: 500",
        "html_error": ", call: any, status: 500",
        "delay": ", call: any, delay: 1s",
        "token_death": ', from: "10:00"',
    }.get(kind, "")
    needs_call = kind not in ("empty_history", "stale_positions", "half_dump", "silent_stream", "closed_stream")
    call = ", call: orders" if needs_call and not more else ""

    assert read_plan(None, [f"{{kind: {kind}{more}{call}}}"]).faults[0].kind == kind


def test_of_several_faults_the_wrong_one_is_named_by_its_number():
    good = "{kind: too_many, call: place}"

    with pytest.raises(SetupError) as refused:
        read_plan(None, [good, "{kind: nothing}", good, "{kind: too_many}"])

    assert [fault.where for fault in refused.value.faults] == ["--fault (number 2):1:8", "--fault (number 4):1:1"]


def test_a_fault_that_begins_after_the_played_day_is_refused(sandbox_with) -> None:
    with pytest.raises(SetupError, match=r"token_death from 17:30:00: the played day is over at 16:\d\d:00"):
        sandbox_with('{kind: token_death, from: "17:30"}')
