"""Thousands of seeded days: signals, prices, trouble at the broker, hands, words and kills; every invariant holds."""

from __future__ import annotations

import pytest

from fsm_trader.core.ledger import Ledger
from fsm_trader.core.records import AlarmRaised, Entry
from fsm_trader.journal.memory import MemoryJournal
from fsm_trader.simulate.drill.coverage import Coverage, never_taken
from fsm_trader.simulate.drill.crash import Boundaries, Killed, LifeJournal
from fsm_trader.simulate.drill.scenario import scenario_of

from .conftest import AGAIN, IS_SOAK

CHUNK = 250
SEEDS = 100_000 if IS_SOAK else 2_500
COVERED = 1_000
# Ways of a session that a day of a drill comes by once in thousands, if at all.
RARE = {"WAITING", "UNHEALTHY", "LOGIN_REQUIRED", "HEALTH_CHECK", "HALTED"}
STATES = {"none", "PENDING_ENTRY", "ACTIVE", "PENDING_EXIT"}
BOUNDARIES = {"journal begin", "journal commit", "book called", "book returned"}
SENDING = {"place called", "place returned"}


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_every_seeded_day_keeps_every_invariant_and_ends_flat(drill, first):
    for seed in range(first, first + CHUNK):
        outcome = drill.play(drill.scenario(seed))

        assert outcome.breaches == (), f"{outcome.breaches[0]}\n{AGAIN} --seed {seed}"
        assert Ledger().fold(outcome.entries).trades == outcome.ledger.trades


def test_one_seed_is_one_day(drill):
    for seed in range(300, 340):
        first, again = (drill.play(drill.scenario(seed)) for _ in range(2))

        assert first.entries == again.entries, f"{AGAIN} --seed {seed}"
        assert first.boundaries == again.boundaries


def test_the_days_come_by_what_can_happen(drill):
    coverage = Coverage()
    for seed in range(COVERED):
        coverage.add(drill.play(drill.scenario(seed)).coverage)

    session, trade = drill.specs
    print(_told(coverage))
    assert never_taken(coverage, trade) == []
    assert {name.split(": ")[1].split(" ")[0] for name in never_taken(coverage, session)} <= RARE
    assert {state for state, _ in coverage.ends} == STATES
    for state in STATES:
        assert {boundary for met, boundary in coverage.ends if met == state} >= BOUNDARIES
    for state in ("PENDING_ENTRY", "PENDING_EXIT"):
        assert {boundary for met, boundary in coverage.ends if met == state} >= SENDING
    for call, kinds in {"place": 6, "cancel": 4, "spell": 12, "hand": 4, "found": 6}.items():
        assert sum(1 for name in coverage.outcomes if name.startswith(f"{call} ")) >= kinds, call


def _told(coverage: Coverage) -> str:
    rows = [f"{count:6} {name}" for name, count in sorted(coverage.outcomes.items())]
    rows += [f"{count:6} {' '.join(key)}" for key, count in sorted(coverage.moves.items())]
    rows += [f"{count:6} ended in {state} at {boundary}" for (state, boundary), count in sorted(coverage.ends.items())]
    return "\n".join(rows)


def test_a_process_ends_at_its_boundary_and_not_before():
    boundaries = Boundaries(3)
    boundaries.cross("one")
    boundaries.cross("two")

    with pytest.raises(Killed, match="three"):
        boundaries.cross("three")
    assert boundaries.count == 3


def test_a_process_may_end_at_a_boundary_of_its_trade():
    boundaries = Boundaries(-2)
    for name in ("one", "two", "three"):
        boundaries.cross(name)
    boundaries.is_in_trade = True
    boundaries.cross("four")

    with pytest.raises(Killed, match="five"):
        boundaries.cross("five")


def test_a_dead_process_that_writes_is_a_breach(drill):
    breaches: list[str] = []
    journal = LifeJournal(MemoryJournal(), Boundaries(None), commits=[], tags=set(), breaches=breaches)
    journal.is_dead = True

    entries: tuple[Entry, ...] = journal.append(drill.stage.opens_at, "2026-06-17", [AlarmRaised("still here")])

    assert len(entries) == 1
    assert [breach.split(":")[0] for breach in breaches] == ["I7"]


def test_nothing_stays_hidden_longer_than_the_settling_time_but_a_late_entry(drill):
    settle = drill.stage.settings.broker.settle
    for seed in range(500):
        scenario = scenario_of(seed, strategies=1, settle=settle)

        assert all(spell.delay_s < settle.total_seconds() / 2 for spell in scenario.spells)
        late = [mishap for mishap in scenario.mishaps if mishap.delay_s > settle.total_seconds() / 2]
        assert {mishap.side for mishap in late} <= {"B"}
