"""Odd input and doubtful machines: refused or warned of in words, never a traceback and never in silence."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest

from .conftest import Folder

_TRADE = files("fsm_trader.machines").joinpath("trade.yaml").read_text()


def with_machine(folder: Folder, *changes: tuple[str, str]) -> Folder:
    text = _TRADE
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    (folder.path / "my.yaml").write_text(text)
    folder.edit("trade: builtin", "trade: my.yaml")
    return folder


SILENT = ("conditions: exit_rejected, after: alarm,", "conditions: exit_rejected,")


def test_a_doubtful_machine_is_checked_with_a_warning_at_its_line_and_code_0(folder):
    said = with_machine(folder, SILENT).do("check")

    first, *rest = said.out.splitlines()
    assert said.code == 0
    assert first.startswith(f"warning: {folder.path / 'my.yaml'}:14:5 $.states[3]: PENDING_EXIT raises no alarm")
    assert rest[0].endswith("nothing is wrong with it or the files it names.")


def test_warnings_are_in_the_json_of_check_too(folder):
    assert json.loads(folder.do("check", "--json").out)["warnings"] == []

    (warning,) = json.loads(with_machine(folder, SILENT).do("check", "--json").out)["warnings"]

    assert "nobody is told when an exit is rejected" in warning


def test_a_dangerous_machine_is_refused_with_code_2_and_its_line(folder):
    said = with_machine(folder, ("{after: exit_timeout, trigger", "{after: 10m, trigger")).do("check")

    assert said.code == 2
    assert said.err.startswith(f"{folder.path / 'my.yaml'}:14:5 $.states[3]: timeout of PENDING_EXIT is 10m")


@pytest.mark.parametrize("count", ["9" * 20, "-1", "1e3", "\u0663", "ten", ""])
def test_a_number_of_rows_that_is_none_is_refused_in_words(played, count, capsys):
    with pytest.raises(SystemExit) as ended:
        played.do("journal list", f"--last={count}")

    assert ended.value.code == 2
    assert f"was {count!r}; expected a whole number from 0 to 1000000000" in capsys.readouterr().err


def test_the_largest_number_of_rows_there_may_be_lists_them_all(played):
    assert len(played.do("journal list", "--last=1000000000").out.splitlines()) == len(played.entries())


@pytest.mark.parametrize("limit", ["1e999999999", '"1e999999999"', "9" * 60])
def test_an_amount_beyond_all_bounds_is_refused_in_words(folder, limit):
    folder.edit("max_daily_loss: 10000", f"max_daily_loss: {limit}")

    said = folder.do("check")

    assert said.code == 2
    assert "$.risk.max_daily_loss" in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize("price", ["1e999999999", "-1e999999999", "1e-999999999", "NaN", "Infinity", "9" * 60])
def test_a_recorded_price_beyond_all_bounds_is_left_out_and_counted(folder, price):
    table = folder.record() / "index.csv"
    head, first, *rest = table.read_text().splitlines()
    cells = first.split(",")
    cells[2] = price
    table.write_text("\n".join([head, ",".join(cells), *rest]) + "\n")

    said = folder.do("check")

    assert (said.code, "Traceback" in said.err) == (0, False)
