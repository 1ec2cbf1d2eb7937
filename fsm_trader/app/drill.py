"""The drill: the user's own settings and machines through the kill matrix and through seeded days.

Nothing of the user's is touched: every day has a broker, a journal and a clock in memory.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator

import msgspec

from fsm_trader.app.files import machines_of
from fsm_trader.core.settings import Settings
from fsm_trader.machines.spec import MachineSpec
from fsm_trader.simulate.drill.coverage import never_taken
from fsm_trader.simulate.drill.day import Outcome, play
from fsm_trader.simulate.drill.matrix import TROUBLES, Case, double, single
from fsm_trader.simulate.drill.report import DrillReport, Row
from fsm_trader.simulate.drill.scenario import Scenario, scenario_of
from fsm_trader.simulate.drill.stage import Stage, stage_of

SEEDED = "seeded days"

Tell = Callable[[DrillReport, str], None]
"""Told after every day: the report so far, and the row it belongs to."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a drill is made of.

    Args:
        matrix: whether every trouble is played with a process that ends at each boundary.
        is_double: whether each process that follows is ended too, at each boundary of its recovery.
        first_seed: of the seeded days, of which there are *seeds*.
    """

    matrix: bool = True
    is_double: bool = False
    first_seed: int = 0
    seeds: int = 0


class Drill:
    """A drill of one session file.

    Args:
        settings: the user's.

    Raises:
        SetupError: a machine definition has faults.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.specs: tuple[MachineSpec, MachineSpec] = machines_of(settings)
        self.stage: Stage = stage_of(settings, *self.specs)

    def scenario(self, seed: int) -> Scenario:
        """Return the day of a seed under this file."""
        broker = self._settings.broker
        return scenario_of(seed, strategies=len(self._settings.strategies), settle=broker.settle)

    def play(self, scenario: Scenario) -> Outcome:
        """Play one day."""
        # A day makes many small objects and next to no circles; looking for some takes a tenth of its time.
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            return play(self.stage, scenario)
        finally:
            if was_enabled:
                gc.enable()

    def run(self, wanted: Wanted, report: DrillReport, tell: Tell) -> None:
        """Play everything that is wanted into *report*, which is whole at the end of it."""
        if wanted.matrix:
            for trouble in TROUBLES:
                row = _row(report, trouble)
                for case in self._cases(trouble, row, report, is_double=wanted.is_double):
                    outcome = self.play(case.scenario)
                    self._count(outcome, row, report, case)
                    tell(report, trouble)
        row = _row(report, SEEDED)
        for seed in range(wanted.first_seed, wanted.first_seed + wanted.seeds):
            outcome = self.play(self.scenario(seed))
            report.coverage.add(outcome.coverage)
            row.count(outcome, option="--seed", value=str(seed))
            tell(report, SEEDED)
        report.is_whole = True

    def never_taken(self, report: DrillReport) -> list[str]:
        """Name the transitions of both machines that no day of the drill took."""
        return [f"{spec.kind}: {name}" for spec in self.specs for name in never_taken(report.coverage, spec)]

    def _cases(self, trouble: str, row: Row, report: DrillReport, *, is_double: bool) -> Iterator[Case]:
        """Play the day without an end first: it tells how many boundaries there are to end at."""
        whole = self.play(Case(trouble).scenario)
        self._count(whole, row, report, Case(trouble))
        for case in single(trouble, whole.boundaries[0]):
            yield case
            if is_double:
                yield from double(trouble, case.kills[0])

    def _count(self, outcome: Outcome, row: Row, report: DrillReport, case: Case) -> None:
        report.coverage.add(outcome.coverage)
        row.count(outcome, option="--case", value=str(case))


def _row(report: DrillReport, name: str) -> Row:
    row = Row(name=name)
    report.rows.append(row)
    return row
