"""How a figure is measured: ours and its reference take turns, and what is told is medians and ratios of one round.

It must not know what is measured. A shared machine is fast in one minute and slow in the next: two things timed in
different minutes cannot be compared, two timed in turns can.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal

import msgspec

Unit = Literal["s", "us", "rows/s", "/s"]


class WrongResultError(Exception):
    """What was timed did not do its work: its time says nothing."""


class NotMeasuredError(Exception):
    """What a figure needs is not on this machine: there is nothing to tell, and nothing is missed."""


class Sample(msgspec.Struct, frozen=True):
    """One round of one side.

    Args:
        each_s: seconds of one operation (a command, a commit, a row).
        peak_bytes: most memory the process held, None where it was not measured.
    """

    each_s: float
    peak_bytes: int | None = None


class Sides(msgspec.Struct, frozen=True):
    """What is compared. Each call runs one round, on results that *check* is asked about at the end.

    Args:
        check: raises WrongResultError when either side did not do all of its work.
    """

    ours: Callable[[], Sample]
    reference: Callable[[], Sample]
    check: Callable[[], None]


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One measured figure.

    Args:
        name: what ``--only`` takes.
        title: what is measured, in a few words.
        against: the reference, in a few words.
        unit: how times are shown; rates are operations in a second.
        repeats: rounds that count; one more is run first and dropped.
        sides: prepares both sides in an empty folder; what it opened is closed when it is left.
        most_s: bound on the median time of one operation.
        least_rate: bound on the median, in operations a second.
        most_ratio: bound on the median ratio to the reference.
        most_bytes: bound on the largest peak memory.
        most_peak_ratio: bound on the largest peak memory divided by the reference's.
    """

    name: str
    title: str
    against: str
    unit: Unit
    repeats: int
    sides: Callable[[Path], AbstractContextManager[Sides]]
    most_s: float | None = None
    least_rate: float | None = None
    most_ratio: float | None = None
    most_bytes: int | None = None
    most_peak_ratio: float | None = None


class Spread(msgspec.Struct, frozen=True):
    """Median, least and greatest of the rounds."""

    median: float
    least: float
    most: float


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A figure as it was measured.

    Args:
        ours_s, reference_s: seconds of one operation.
        ratio: our time divided by the reference's, round by round; below 1 ours is faster.
        peak_bytes, reference_peak_bytes: largest of all rounds.
        missed: bounds that do not hold, in words.
        rounds: what each round gave, (ours, reference).
    """

    name: str
    title: str
    against: str
    unit: Unit
    ours_s: Spread
    reference_s: Spread
    ratio: Spread
    bounds: tuple[str, ...]
    missed: tuple[str, ...]
    rounds: tuple[tuple[Sample, Sample], ...]
    peak_bytes: int | None = None
    reference_peak_bytes: int | None = None


def measure(figure: Figure, folder: Path) -> Result:
    """Run a figure's rounds in *folder*, which is empty.

    Raises:
        NotMeasuredError: what the figure needs is not here.
        WrongResultError: a side did not do its work.
    """
    with figure.sides(folder) as sides:
        rounds = [(sides.ours(), sides.reference()) for _ in range(figure.repeats + 1)]
        sides.check()
    return conclude(figure, rounds[1:])


def conclude(figure: Figure, rounds: Sequence[tuple[Sample, Sample]]) -> Result:
    """Fold rounds into what is told of them; *rounds* holds at least one, the warm-up already dropped."""
    ours = spread([sample.each_s for sample, _ in rounds])
    ratio = spread([sample.each_s / reference.each_s for sample, reference in rounds])
    peak, reference_peak = _peak([sample for sample, _ in rounds]), _peak([reference for _, reference in rounds])
    held = _held(figure, ours=ours, ratio=ratio, peaks=(peak, reference_peak))
    return Result(
        name=figure.name,
        title=figure.title,
        against=figure.against,
        unit=figure.unit,
        ours_s=ours,
        reference_s=spread([reference.each_s for _, reference in rounds]),
        ratio=ratio,
        bounds=tuple(words for words, _ in held),
        missed=tuple(words for words, holds in held if not holds),
        rounds=tuple(rounds),
        peak_bytes=peak,
        reference_peak_bytes=reference_peak,
    )


def spread(values: Sequence[float]) -> Spread:
    """Return median, least and greatest of at least one value."""
    return Spread(statistics.median(values), min(values), max(values))


def expect(holds: bool, what: str) -> None:  # noqa: FBT001 - reads as a sentence, like assert, and survives python -O
    """Refuse a result.

    Raises:
        WrongResultError: *holds* is False; *what* says what was seen and what was expected.
    """
    if not holds:
        raise WrongResultError(f"{what}; no figure is told")


def _held(
    figure: Figure, *, ours: Spread, ratio: Spread, peaks: tuple[int | None, int | None]
) -> list[tuple[str, bool]]:
    peak, reference_peak = peaks
    held: list[tuple[str, bool]] = []
    if figure.most_s is not None:
        held.append((f"{figure.most_s:g} s", ours.median <= figure.most_s))
    if figure.least_rate is not None:
        held.append((f"{figure.least_rate:,.0f} {figure.unit}", ours.median * figure.least_rate <= 1))
    if figure.most_ratio is not None:
        held.append((f"{figure.most_ratio:g} x", ratio.median <= figure.most_ratio))
    if figure.most_bytes is not None:
        held.append((f"{figure.most_bytes / 1e6:.0f} MB", peak is not None and peak <= figure.most_bytes))
    if figure.most_peak_ratio is not None:
        is_within = peak is not None and reference_peak is not None and peak <= figure.most_peak_ratio * reference_peak
        held.append((f"{figure.most_peak_ratio:g} x memory", is_within))
    return held


def _peak(samples: Sequence[Sample]) -> int | None:
    return max((sample.peak_bytes for sample in samples if sample.peak_bytes is not None), default=None)
