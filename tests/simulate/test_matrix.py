"""The kill matrix, exhaustive: every trouble, a kill at every boundary; and a second kill during recovery."""

from __future__ import annotations

import pytest

from fsm_trader.simulate.drill.matrix import RECOVERY, TROUBLES, Case, double, parse_case, single

from .conftest import AGAIN, IS_SOAK

# Of the second kills a part is tried here and all of them by `make soak`; the steps are prime to the three boundaries
# of a commit and the two of a call.
FIRST_STEP, SECOND_STEP = (1, 1) if IS_SOAK else (31, 5)


def played(drill, case: Case):
    outcome = drill.play(case.scenario)
    assert outcome.breaches == (), f'{outcome.breaches[0]}\n{AGAIN} --case "{case}"'
    return outcome


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_kill_at_any_boundary_under_any_trouble_ends_flat_with_every_invariant_held(drill, trouble):
    whole = played(drill, Case(trouble))
    ended = 0

    for case in single(trouble, whole.boundaries[0]):
        outcome = played(drill, case)
        ended += outcome.killed
        bought = [trade for trade in outcome.ledger.trades.values() if trade.filled("entry") > 0]
        assert len(bought) <= 1

    assert ended == whole.boundaries[0]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_second_kill_during_recovery_changes_nothing(drill, trouble):
    boundaries = played(drill, Case(trouble)).boundaries[0]
    ended = []

    for first in range(1, boundaries + 1, FIRST_STEP):
        ended += [played(drill, case).killed for case in list(double(trouble, first))[::SECOND_STEP]]

    assert sum(ended) > len(ended)


def test_a_case_is_read_as_it_is_written():
    for trouble in TROUBLES:
        for kills in ((), (4,), (41, 7)):
            case = Case(trouble, kills)
            assert parse_case(str(case)) == case


@pytest.mark.parametrize("text", ["", "exit: x", "no trouble,0", "no trouble,-1", "no trouble,x", "no trouble,1,"])
def test_a_case_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="expected a trouble and boundaries"):
        parse_case(text)


def test_a_recovery_is_tried_at_each_of_its_boundaries():
    assert [case.kills for case in double("no trouble", 9)] == [(9, number) for number in range(1, RECOVERY + 1)]
