"""Which recorded days are played: holidays and weekends are not, unless the calendar says always."""

from __future__ import annotations

import pytest

from fsm_trader.core.records import FillSeen, RunStopped, SessionMoved, TradeMoved, TradeOpened

CLOSED_DAYS = [
    pytest.param("2026-06-26", id="holiday"),
    pytest.param("2026-06-20", id="Saturday"),
    pytest.param("2026-06-21", id="Sunday"),
]


@pytest.mark.parametrize("day", CLOSED_DAYS)
def test_on_a_day_without_trading_the_session_closes_at_once_and_says_why(folder, day):
    folder.record(day)

    said = folder.run()

    (moved,) = folder.rows_of(SessionMoved)
    assert said.code == 0
    assert "No trade was opened." in said.out
    assert (moved.record.dest, moved.record.reason) == ("CLOSED", "not_a_trading_day")
    assert folder.entries()[-1].record == RunStopped(0, "not_a_trading_day", ())
    assert folder.rows_of(TradeOpened) == []


@pytest.mark.parametrize(
    ("day", "why"),
    [("2026-06-26", "holiday: Muharram"), ("2026-06-20", "Saturday")],
)
def test_check_says_why_a_recorded_day_is_not_traded(folder, day, why):
    folder.record(day)

    said = folder.do("check")

    assert said.code == 0
    assert f"{day} is not traded: {why}\n" in said.out


@pytest.mark.parametrize("day", CLOSED_DAYS)
def test_the_calendar_always_plays_every_day(folder, day):
    folder.record(day)
    folder.edit("calendar: NSE ", "calendar: always ")

    said = folder.run("--quiet")

    assert said.code == 0
    assert {entry.session for entry in folder.entries()} == {day}
    assert folder.rows_of(TradeOpened)


def test_a_recorded_day_outside_the_calendars_years_is_played(folder):
    folder.record("2021-06-16")

    said = folder.run("--quiet")

    assert said.code == 0
    assert len(folder.rows_of(TradeOpened)) == 8


def test_days_of_a_folder_are_played_one_after_another_and_then_again(folder):
    folder.record("2026-06-16")
    folder.edit("recorded: days/2026-06-16", "recorded: sample")
    folder.record("2026-06-17")
    folder.edit("recorded: days/2026-06-17", "recorded: days")

    codes = [folder.run("--quiet").code for _ in range(3)]

    sessions = list(dict.fromkeys(entry.session for entry in folder.entries()))
    assert codes == [0, 0, 0]
    assert sessions == ["2026-06-16", "2026-06-17", "2026-06-16.2"]
    assert folder.do("journal verify").code == 0


@pytest.mark.parametrize("square_off", ["15:30", "15:45", "23:00"])
def test_a_square_off_after_the_close_is_done_five_minutes_before_it(folder, square_off):
    folder.edit('"15:10"', f'"{square_off}"')
    folder.edit("exits: {stop_loss: 20%, target: 30%, max_hold: 30m}", "exits: {stop_loss: 99%}", "strategies.yaml")
    folder.edit("class: DonchianBreakout", "class: always:Buys", "strategies.yaml")
    folder.edit("params: {length: 20, exit_option: 2}", "params: {}", "strategies.yaml")
    (folder.path / "always.py").write_text(
        "from fsm_trader.core.signals import Signal\n\n\n"
        "class Buys:\n    warmup = 0\n\n    def update(self, candle):\n        return Signal.BUY\n"
    )

    checked = folder.do("check")
    said = folder.run("--quiet")

    moves = [entry.record for entry in folder.rows_of(TradeMoved)]
    last = [move for move in moves if move.dest == "PENDING_EXIT"][-1]
    assert said.code == 0
    assert last.reason == "square_off"
    assert "squared off at 15:25: the market closes soon after" in checked.out
    assert f"{folder.rows_of(SessionMoved)[-2].at:%H:%M:%S}" == "15:25:00"
    assert max(entry.record.fill.at for entry in folder.rows_of(FillSeen)).strftime("%H:%M") == "15:25"
