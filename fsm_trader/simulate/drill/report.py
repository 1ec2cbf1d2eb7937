"""What a drill found, row by row of its matrix and seed by seed. Data and sums; printing is for others."""

from __future__ import annotations

import msgspec

from fsm_trader.simulate.drill.coverage import Coverage
from fsm_trader.simulate.drill.day import Outcome

# As many failures of a row are kept as a person reads; the rest is counted.
_KEPT = 3


class Failure(msgspec.Struct, frozen=True):
    """One day on which an invariant did not hold: ``--case`` or ``--seed`` and its value play it again."""

    option: str
    value: str
    breaches: tuple[str, ...]


class Row(msgspec.Struct, kw_only=True):
    """The days of one kind.

    Args:
        name: a trouble of the matrix, or ``seeded days``.
        days: played.
        ends: processes that were ended.
        failed: days with a breach; *failures* the first of them.
    """

    name: str
    days: int = 0
    ends: int = 0
    failed: int = 0
    failures: list[Failure] = msgspec.field(default_factory=list)

    def count(self, outcome: Outcome, *, option: str, value: str) -> None:
        """Count one day."""
        self.days += 1
        self.ends += outcome.killed
        if outcome.breaches:
            self.failed += 1
            if len(self.failures) < _KEPT:
                self.failures.append(Failure(option, value, outcome.breaches))


class DrillReport(msgspec.Struct, kw_only=True):
    """A whole drill; *is_whole* is False where it was interrupted."""

    rows: list[Row] = msgspec.field(default_factory=list)
    coverage: Coverage = msgspec.field(default_factory=Coverage)
    is_whole: bool = False

    @property
    def days(self) -> int:
        """Days played."""
        return sum(row.days for row in self.rows)

    @property
    def failed(self) -> int:
        """Days on which an invariant did not hold."""
        return sum(row.failed for row in self.rows)
