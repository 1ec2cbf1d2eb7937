"""The benchmarks do the work they time, and say what they saw. Nothing here looks at how long anything took."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

# After the line above: a benchmark is a program beside the package, found only through its own folder.
import commits
import drills
import durable
import fires
import processes
import replays
import restarts
import run
import ticks
import wire
from measure import Figure, NotMeasuredError, Sample, Sides, WrongResultError, conclude, expect, measure

Prepare = Callable[[Path], AbstractContextManager[Sides]]

TINY: dict[str, Prepare] = {
    "help": processes.help_sides,
    "status": processes.status_sides,
    "day": processes.day_sides,
    "commit": partial(commits.sides_of, commits=3),
    "commit-row": partial(commits.sides_of, commits=3, in_one_row=True),
    "dbos": partial(durable.sides_of, steps=2),
    "dbos-wal": partial(durable.sides_of, steps=2, journal_mode="wal"),
    "replay": partial(replays.replay_sides, least_rows=700),
    "fold": partial(replays.fold_sides, least_rows=700),
    "verify": partial(replays.verify_sides, least_rows=700),
    "restart": partial(restarts.restart_sides, long_rows=2000, short_rows=700),
    "refused": partial(fires.refused_sides, fires=2),
    "taken": partial(fires.taken_sides, fires=2),
    "simulate": partial(drills.seeded_sides, seeds=4),
    "recover": partial(drills.killed_sides, lives=2),
    "order": partial(wire.order_sides, orders=1),
    "order-commits": partial(wire.order_sides, orders=1, commits=True),
    "tick-exit": partial(wire.order_sides, orders=1, leg="exit"),
    "exit-commit": partial(wire.order_sides, orders=1, leg="exit", commits=True),
    "idle": partial(wire.idle_sides, idle_s=0.1, kept_s=5.0, warm_after_s=5.0),
    "ticks": partial(ticks.tick_sides, trades=2, messages=3),
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all figures: they share the byte-code cache and the finished day that lie beside theirs."""
    return tmp_path_factory.mktemp("bench")


def fresh(bench: Path, name: str) -> Path:
    folder = bench / name
    folder.mkdir()
    return folder


@contextmanager
def two_to_one(_folder: Path) -> Iterator[Sides]:
    yield Sides(lambda: Sample(2.0), lambda: Sample(1.0), lambda: None)


def figure(**changes: object) -> Figure:
    drawn = Figure(name="drawn", title="a", against="b", unit="s", repeats=3, sides=two_to_one)
    return msgspec.structs.replace(drawn, **changes)


def rounds(*pairs: tuple[float, float]) -> list[tuple[Sample, Sample]]:
    return [(Sample(ours), Sample(reference)) for ours, reference in pairs]


def test_every_figure_is_tried_here() -> None:
    assert [each.name for each in run.FIGURES] == list(TINY)


@pytest.mark.parametrize("name", [name for name in TINY if find_spec("dbos") or not name.startswith("dbos")])
def test_both_sides_of_a_figure_do_their_work_on_a_tiny_size(name: str, bench: Path) -> None:
    with TINY[name](fresh(bench, name)) as sides:
        samples = [sides.ours(), sides.reference()]
        sides.check()

    assert all(sample.each_s > 0 for sample in samples)
    tells_memory = name in ("help", "status", "day", "restart", "ticks")
    assert all((sample.peak_bytes is not None) == tells_memory for sample in samples)


def test_commits_that_only_one_side_made_give_no_figure(tmp_path: Path) -> None:
    with commits.sides_of(tmp_path, commits=2) as sides:
        sides.ours()

        with pytest.raises(WrongResultError, match="rows differ"):
            sides.check()


def test_the_two_sides_of_a_commit_write_the_same_bytes_into_the_same_table(tmp_path: Path) -> None:
    with commits.sides_of(tmp_path, commits=2) as sides:
        sides.ours()
        sides.reference()
        schemas = [commits.schema_of(tmp_path / name) for name in ("ours.db", "reference.db")]

    assert schemas[0] == schemas[1]
    assert len(schemas[0]) == 3  # the table and its two indexes


def test_a_long_journal_is_whole_days_of_a_session_each(bench: Path) -> None:
    file, rows = replays.build(fresh(bench, "long"), 700)

    sessions = replays.sessions_of(file)

    assert list(sessions) == ["2026-06-16", "2026-06-17"]
    assert sum(sessions.values()) == rows >= 700
    assert len(set(sessions.values())) == 1


def test_a_command_that_fails_or_says_something_else_gives_no_figure(bench: Path) -> None:
    folder = fresh(bench, "failing")

    with pytest.raises(WrongResultError, match="exit code 3"):
        processes.sample_of(folder, ("-c", "raise SystemExit(3)"))
    with pytest.raises(WrongResultError, match="expected 0 and 'done'"):
        processes.sample_of(folder, ("-c", "print('dome')"), expected="done")


def test_the_peak_memory_of_a_command_is_its_own_and_not_ours(bench: Path) -> None:
    ballast = bytearray(96_000_000)
    ballast[::4096] = b"x" * len(ballast[::4096])  # only a page that was written to counts
    folder = fresh(bench, "memory")

    small = processes.sample_of(folder, ("-c", "pass")).peak_bytes
    large = processes.sample_of(folder, ("-c", "held = b'x' * 60_000_000")).peak_bytes

    assert small is not None
    assert large is not None
    assert small < 60_000_000 < large < len(ballast)


def test_the_sides_take_turns_and_the_first_round_is_dropped(tmp_path: Path) -> None:
    calls: list[str] = []

    def side(name: str) -> Sample:
        calls.append(name)
        return Sample(float(len(calls)))

    @contextmanager
    def sides(_folder: Path) -> Iterator[Sides]:
        yield Sides(lambda: side("ours"), lambda: side("reference"), lambda: calls.append("check"))

    result = measure(figure(sides=sides, repeats=2), tmp_path)

    assert calls == ["ours", "reference"] * 3 + ["check"]
    assert result.rounds == tuple(rounds((3, 4), (5, 6)))


def test_the_ratio_is_the_median_of_the_rounds_ratios() -> None:
    result = conclude(figure(), rounds((2, 1), (30, 10), (4, 4)))

    # The ratio of the medians would be 4 / 4.
    assert (result.ratio.median, result.ratio.least, result.ratio.most) == (2, 1, 3)
    assert (result.ours_s.median, result.ours_s.least, result.ours_s.most) == (4, 2, 30)


def test_a_bound_that_does_not_hold_is_named_and_one_that_does_is_not() -> None:
    bounded = figure(most_s=5.0, most_ratio=1.5, most_bytes=200_000_000)
    samples = [(Sample(4.0, 201_000_000), Sample(2.0, 1)), (Sample(5.0, 1), Sample(2.0, 1))]

    result = conclude(bounded, samples)

    assert result.bounds == ("5 s", "1.5 x", "200 MB")
    assert result.missed == ("1.5 x", "200 MB")


@pytest.mark.parametrize(("peak", "missed"), [(240, ()), (241, ("1.2 x memory",)), (None, ("1.2 x memory",))])
def test_memory_is_held_against_that_of_the_reference(peak: int | None, missed: tuple[str, ...]) -> None:
    result = conclude(figure(most_peak_ratio=1.2), [(Sample(1.0, peak), Sample(1.0, 200))])

    assert (result.bounds, result.missed) == (("1.2 x memory",), missed)


@pytest.mark.parametrize(("least_rate", "missed"), [(200, ()), (201, ("201 rows/s",))])
def test_a_rate_is_held_against_the_median(least_rate: float, missed: tuple[str, ...]) -> None:
    bounded = figure(least_rate=least_rate, unit="rows/s")

    assert conclude(bounded, rounds((0.001, 1), (0.005, 1), (0.01, 1))).missed == missed


def test_without_dbos_its_figure_says_so_and_nothing_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(durable, "find_spec", lambda _name: None)
    monkeypatch.setattr(run, "_BUILD", tmp_path / "build")
    file = tmp_path / "bench.json"

    with pytest.raises(NotMeasuredError), durable.sides_of(tmp_path):
        pass

    assert run.main(["--only", "dbos", "--json", str(file)]) == 0
    assert "dbos: not measured: dbos is not installed" in capsys.readouterr().out
    assert msgspec.json.decode(file.read_bytes(), type=run.Report).unmeasured == {"dbos": "dbos is not installed"}


def test_a_rate_is_least_where_the_time_is_longest() -> None:
    taken = conclude(figure(), rounds((0.001, 1), (0.002, 1), (0.01, 1))).ours_s

    assert run.shown(taken, "rows/s") == "500 [100-1,000]"
    assert run.shown(taken, "us") == "2000 [1000-10000]"
    assert run.shown(taken, "s") == "0.002 [0.001-0.010]"


def test_a_wrong_result_says_what_was_seen() -> None:
    expect(True, "all is well")

    with pytest.raises(WrongResultError, match="1 row; expected 2; no figure is told"):
        expect(False, "1 row; expected 2")


@pytest.mark.parametrize(("most_ratio", "code", "said"), [(3.0, 0, "3 x ok"), (1.0, 1, "Missed: drawn: 1 x.")])
def test_the_program_prints_a_table_writes_json_and_fails_where_a_bound_is_missed(
    most_ratio: float,
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(run, "FIGURES", (figure(most_ratio=most_ratio), figure(name="other")))
    monkeypatch.setattr(run, "_BUILD", tmp_path / "build")
    file = tmp_path / "bench.json"

    assert run.main(["--only", "drawn", "--json", str(file)]) == code

    report = msgspec.json.decode(file.read_bytes(), type=run.Report)
    assert [result.name for result in report.results] == ["drawn"]
    assert report.results[0].ratio.median == 2
    assert said in capsys.readouterr().out
    assert list((tmp_path / "build").iterdir()) == []
