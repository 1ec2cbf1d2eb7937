"""Recorded days with faults: what is structural refuses the start, what is of single rows is journaled and left out."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from fsm_trader.core.records import CandlesSeen, InputRefused, RunStopped, TradeOpened

INDEX = 256265
HEADER = "ts,open,high,low,close\n"


def lines_of(place: Path, name: str = "index.csv") -> list[str]:
    return (place / name).read_text(encoding="utf-8").splitlines(keepends=True)


def write(place: Path, lines: list[str], name: str = "index.csv") -> None:
    (place / name).write_text("".join(lines), encoding="utf-8")


def reasons(folder) -> str:
    return "\n".join(entry.record.why for entry in folder.rows_of(InputRefused))


def index_candles(folder) -> int:
    rows = [entry.record for entry in folder.rows_of(CandlesSeen)]
    return sum(candle.token == INDEX for row in rows for candle in row.candles)


REFUSED = [
    pytest.param("index.csv", lambda text: "", "the file is empty", id="empty"),
    pytest.param("index.csv", lambda text: HEADER, "no rows", id="header only"),
    pytest.param("index.csv", lambda text: text.replace("close", "klose", 1), "no column 'close'", id="column missing"),
    pytest.param("index.csv", lambda text: text.replace(",24600.00", "", 1), "index.csv:2: 4 fields", id="short line"),
    pytest.param("index.csv", lambda text: text.replace(HEADER, "", 1), "no column 'ts'", id="no header"),
    pytest.param("index.csv", lambda text: HEADER + "9:15,0,0,0,0\n", "no usable index candle", id="no usable row"),
    pytest.param("options.csv", lambda text: "", "the file is empty", id="options empty"),
    pytest.param("instruments.csv", lambda text: text[: len(text) // 2 - 10], "instruments.csv", id="dump cut off"),
    pytest.param(
        "instruments.csv", lambda text: text.splitlines()[0] + "\n", "instruments.csv", id="dump without rows"
    ),
]


@pytest.mark.parametrize(("name", "change", "words"), REFUSED)
def test_a_file_with_a_fault_of_structure_refuses_the_start(folder, name, change, words):
    place = folder.record()
    text = (place / name).read_text(encoding="utf-8")
    assert change(text) != text
    (place / name).write_text(change(text), encoding="utf-8")

    said = folder.run()

    assert (said.code, said.out) == (2, "")
    assert words in said.err
    assert str(place) in said.err or f"{name}" in said.err
    folder.assert_nothing_was_started()
    assert folder.do("check").code == 2


def test_a_packed_file_that_was_cut_off_refuses_the_start(folder):
    place = folder.record()
    packed = gzip.compress((place / "options.csv").read_bytes())
    (place / "options.csv").unlink()
    (place / "options.csv.gz").write_bytes(packed[: len(packed) // 2])

    said = folder.run()

    assert said.code == 2
    assert f"{place / 'options.csv.gz'}: cannot be read" in said.err
    folder.assert_nothing_was_started()


def test_a_folder_without_a_day_is_refused(folder):
    (folder.path / "days").mkdir()
    folder.edit("recorded: sample", "recorded: days")

    said = folder.run()

    assert said.code == 2
    assert f"{folder.path / 'days'}: no index file, found nothing" in said.err
    folder.assert_nothing_was_started()


def test_a_folder_that_does_not_exist_is_refused(folder):
    folder.edit("recorded: sample", "recorded: days")

    said = folder.run()

    assert said.code == 2
    assert "session.yaml:21:13 $.market.recorded" in said.err
    assert f"{folder.path / 'days'} does not exist" in said.err
    folder.assert_nothing_was_started()


def test_a_day_that_is_not_there_is_refused_with_those_that_are(folder):
    folder.record("2026-06-17")
    folder.edit("recorded: days/2026-06-17", 'recorded: days\n  day: "2026-06-19"')

    said = folder.run()

    assert said.code == 2
    assert "2026-06-19" in said.err
    assert "2026-06-17" in said.err
    folder.assert_nothing_was_started()


def test_a_half_written_last_line_is_left_out_and_the_day_runs(folder):
    place = folder.record()
    lines = lines_of(place)
    write(place, [*lines[:-1], lines[-1][:30]])

    said = folder.run("--quiet")

    assert said.code == 0
    assert f"index.csv:{len(lines)}: last line has no line end" in reasons(folder)
    assert folder.entries()[-1].record == RunStopped(0, "flat", ())


BAD_ROWS = [
    pytest.param("0", "price of zero or below", id="zero"),
    pytest.param("-24600", "price of zero or below", id="negative"),
    pytest.param("nan", "not a finite number", id="nan"),
    pytest.param("inf", "not a finite number", id="infinite"),
    pytest.param("", "not a finite number", id="blank"),
    pytest.param("1.00", "low and high do not enclose", id="not enclosed"),
]


@pytest.mark.parametrize(("price", "words"), BAD_ROWS)
def test_a_row_with_an_unusable_price_is_left_out_and_the_day_runs(folder, whole_day, price, words):
    place = folder.record()
    lines = lines_of(place)
    cells = lines[10].split(",")
    write(place, [*lines[:10], ",".join([*cells[:-1], f"{price}\n"]), *lines[11:]])

    said = folder.run("--quiet")

    assert said.code == 0
    assert f"index.csv: 1 row skipped: {words}" in reasons(folder)
    assert "(row 11)" in reasons(folder)
    assert "gap of 1 missing minute" in reasons(folder)
    assert folder.entries()[-1].record.exit_code == 0


def test_rows_out_of_order_are_put_in_order(folder):
    place = folder.record()
    lines = lines_of(place)
    write(place, [lines[0], *lines[200:], *lines[1:200]])

    said = folder.run("--quiet")

    assert said.code == 0
    assert "1 row out of time order; put in order" in reasons(folder)
    assert len(folder.rows_of(TradeOpened)) == 8


@pytest.mark.parametrize(("price", "words"), [(None, "the same values"), ("24600.05", "other values")])
def test_a_minute_that_is_there_twice_counts_once(folder, price, words):
    place = folder.record()
    lines = lines_of(place)
    again = lines[10] if price is None else ",".join([*lines[10].split(",")[:-1], f"{price}\n"])
    write(place, [*lines, again])

    said = folder.run("--quiet")

    assert said.code == 0
    assert f"1 row skipped: minute given twice, with {words} (row {len(lines) + 1})" in reasons(folder)
    assert len(folder.rows_of(TradeOpened)) == 8


def test_a_gap_is_journaled_and_no_entry_is_taken_on_old_candles(folder):
    place = folder.record()
    lines = lines_of(place)
    # 09:35 to 09:44 are missing: the BUY of 09:41 was never seen.
    write(place, [*lines[:21], *lines[31:]])

    said = folder.run("--quiet")

    assert said.code == 0
    assert "gap of 10 missing minutes" in reasons(folder)
    opened = [f"{entry.record.candle_start:%H:%M}" for entry in folder.rows_of(TradeOpened)]
    assert opened
    assert not [start for start in opened if "09:35" <= start <= "09:44"]
    assert index_candles(folder) <= 375 - 10


def test_what_is_left_out_is_journaled_once_for_the_day_not_for_each_start(folder):
    place = folder.record()
    write(place, [*lines_of(place), lines_of(place)[10]])
    assert folder.run("--quiet").code == 0
    once = len(folder.rows_of(InputRefused))

    said = folder.run("--quiet")

    assert said.code == 0
    assert len(folder.rows_of(InputRefused)) == 2 * once
