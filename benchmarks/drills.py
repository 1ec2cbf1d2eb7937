"""How fast a drill plays: whole seeded days with faults, and processes that are killed and take up the day again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

from measure import Figure, Sample, Sides, WrongResultError
from msgspec.structs import replace

from fsm_trader.app.drill import Drill
from fsm_trader.app.files import settings_of
from fsm_trader.core.ledger import Ledger
from fsm_trader.simulate.drill.day import Outcome
from fsm_trader.simulate.drill.matrix import TROUBLES

_SESSION = Path(__file__).resolve().parents[1] / "session.yaml"
_SEEDS = 200
# Boundaries of a life that has taken up the trade: far enough to have asked the broker and looked at the price.
_LIFE = 15
_LIVES = 30


@contextmanager
def _quiet() -> Iterator[None]:
    """Log nothing: the engine tells of every trouble that is planned, and a table of figures has no room for it."""
    logger = logging.getLogger("fsm_trader")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def seeded_sides(_folder: Path, seeds: int = _SEEDS) -> Iterator[Sides]:
    """Seeded days from the first process to the end, every invariant watched; beside it only their journals folded."""
    drill = Drill(settings_of(_SESSION))
    played: list[Outcome] = []

    def days() -> int:
        played[:] = [drill.play(drill.scenario(seed)) for seed in range(seeds)]
        return len(played)

    def folds() -> int:
        return sum(1 for outcome in played if Ledger().fold(outcome.entries).seq)

    def check() -> None:
        breaches = [breach for outcome in played for breach in outcome.breaches]
        killed = sum(outcome.killed for outcome in played)
        if len(played) != seeds or breaches or killed < seeds / 2:
            raise WrongResultError(f"{len(played)} days, {killed} kills, breaches {breaches[:3]}; expected {seeds}")

    with _quiet():
        yield Sides(lambda: _timed(days), lambda: _timed(folds), check)


@contextmanager
def killed_sides(_folder: Path, lives: int = _LIVES) -> Iterator[Sides]:
    """One day whose process is killed again and again with a trade open; beside it the same day without a kill."""
    drill = Drill(settings_of(_SESSION))
    whole = replace(TROUBLES["no trouble"], is_short=False, roughness=0.0, signals=(((2, 1),),), pauses_s=())
    killed = replace(whole, kills=(-30, *([-_LIFE] * lives)))
    played: dict[str, Outcome] = {}

    def again_and_again() -> int:
        played["killed"] = drill.play(killed)
        return played["killed"].killed

    def once() -> int:
        played["whole"] = drill.play(whole)
        return 1

    def check() -> None:
        outcome = played["killed"]
        states = {state for state, _ in outcome.coverage.ends}
        if outcome.breaches or outcome.killed <= lives or "ACTIVE" not in states:
            raise WrongResultError(f"{outcome.killed} kills, {outcome.breaches[:3]}; expected {lives + 1} in a trade")

    with _quiet():
        yield Sides(lambda: _timed(again_and_again), lambda: _timed(once), check)


def _timed(work: Callable[[], int]) -> Sample:
    start = perf_counter()
    done = work()
    return Sample((perf_counter() - start) / max(done, 1))


FIGURES = (
    Figure(
        name="simulate",
        title="a seeded day with faults and kills",
        against="folding its journal",
        unit="/s",
        repeats=5,
        sides=seeded_sides,
        least_rate=100,
    ),
    Figure(
        name="recover",
        title="a kill and the recovery from it",
        against="the same day, not killed",
        unit="/s",
        repeats=5,
        sides=killed_sides,
        least_rate=100,
    ),
)
