"""Real days, unaltered, through the real command line."""

from __future__ import annotations

import pytest

from fsm_trader.core.records import FillSeen, OrderIntended, RunStopped, SessionMoved, TradeMoved, TradeOpened

from .conftest import BANKNIFTY, NIFTY

OPTIONS = "options/nifty_1min/2021-06-14"
NIFTY_2024 = "index/nifty50_1min_2024-01-01_2024-06-28.parquet"
BANKNIFTY_2024 = "index/banknifty_1min_2024-01-01_2024-06-28.parquet"
NIFTY_2019 = "index/nifty50_1min_lean_2019-01-01_2019-01-03.parquet"


def assert_every_trade_is_over(folder) -> None:
    """Every trade is closed by a known reason, with as much sold as was bought, and the journal verifies."""
    ends = {entry.record.trade_id: entry.record for entry in folder.rows_of(TradeMoved)}
    assert {move.dest for move in ends.values()} <= {"CLOSED", "FAILED"}
    sides = {entry.record.request.tag: entry.record.request.side for entry in folder.rows_of(OrderIntended)}
    bought = {entry.record.trade_id: 0 for entry in folder.rows_of(TradeOpened)}
    for entry in folder.rows_of(FillSeen):
        sign = 1 if sides[entry.record.tag] == "BUY" else -1
        bought[entry.record.trade_id] += sign * entry.record.fill.quantity
    assert set(bought.values()) <= {0}
    assert folder.entries()[-1].record.exit_code == 0
    assert folder.do("journal verify").code == 0


def test_a_real_day_of_index_and_options_is_traded_to_its_end(folder, data):
    folder.play(data(OPTIONS))

    said = folder.run()

    opened = [entry.record for entry in folder.rows_of(TradeOpened)]
    assert (said.code, said.err) == (0, "")
    assert "2021-06-14, recorded index and options" in said.out
    assert len(opened) >= 3
    assert {trade.contract.lot_size for trade in opened} == {75}
    assert {trade.contract.tradingsymbol[:10] for trade in opened} == {"NIFTY21617"}
    assert_every_trade_is_over(folder)


def test_every_index_candle_of_that_day_up_to_the_close_of_the_session_was_seen(folder, data):
    folder.play(data(OPTIONS))

    assert folder.run().code == 0

    starts = folder.index_starts()
    closed = folder.rows_of(SessionMoved)[-1]
    assert starts == sorted(set(starts))
    assert starts[0] == "09:15"
    minutes = (closed.at.hour - 9) * 60 + closed.at.minute - 15
    assert minutes - 1 <= len(starts) <= minutes
    assert minutes >= 345


def test_rows_after_the_close_are_journaled_and_left_out(folder, data):
    folder.play(data(OPTIONS))

    assert folder.run().code == 0

    assert "index.parquet: 183 rows skipped: after the close (15:30)" in folder.reasons()
    assert "options.parquet: 60 rows skipped: after the close (15:30)" in folder.reasons()
    assert max(folder.index_starts()) < "15:30"


def test_options_without_an_index_are_refused_and_nothing_is_started(folder, data):
    folder.play(data("options/nifty_1min/2023-06-05"))

    said = folder.run()

    assert (said.code, said.out) == (2, "")
    assert "2023-06-05: no index file, found options.parquet" in said.err
    assert not (folder.path / "var" / "fsm_trader.db").exists()


MODEL_DAYS = [
    pytest.param("2024-01-01", 50, 340, id="Monday"),
    pytest.param("2024-01-20", 50, 340, id="Saturday session"),
    pytest.param("2024-03-02", 50, 95, id="Saturday in two parts, March"),
    pytest.param("2024-05-18", 25, 95, id="Saturday in two parts, May"),
    pytest.param("2024-06-04", 25, 340, id="election day: a fall of 6 percent"),
    pytest.param("2024-06-28", 25, 340, id="Friday"),
]


@pytest.mark.parametrize(("day", "lot_size", "least_candles"), MODEL_DAYS)
def test_a_real_index_day_is_traded_with_computed_premiums(folder, data, day, lot_size, least_candles):
    folder.play(data(NIFTY_2024), day=f'"{day}"', premiums="model")

    said = folder.run()

    opened = [entry.record for entry in folder.rows_of(TradeOpened)]
    assert (said.code, said.err) == (0, "")
    assert "premiums computed (Black-Scholes" in said.out
    assert {entry.session for entry in folder.entries()} == {day}
    assert len(opened) >= 1
    assert {trade.contract.lot_size for trade in opened} == {lot_size}
    assert all(trade.contract.tradingsymbol.startswith("MODEL-NIFTY-") for trade in opened)
    assert least_candles <= len(folder.index_starts()) <= 375
    assert_every_trade_is_over(folder)


@pytest.mark.parametrize("day", ["2024-03-02", "2024-05-18"])
def test_a_position_on_a_day_that_closes_early_is_sold_before_the_close(folder, data, day):
    (folder.path / "patient.py").write_text(
        "from fsm_trader.core.signals import Signal\n\n\n"
        "class Buys:\n    warmup = 0\n\n    def update(self, candle):\n        return Signal.BUY\n"
    )
    strategies = (folder.path / "strategies.yaml").read_text(encoding="utf-8")
    for old, new in (
        ("class: DonchianBreakout", "class: patient:Buys"),
        ("params: {length: 20, exit_option: 2}", "params: {}"),
        ("exits: {stop_loss: 20%, target: 30%, max_hold: 30m}", "exits: {stop_loss: 99%}"),
    ):
        assert old in strategies
        strategies = strategies.replace(old, new)
    (folder.path / "strategies.yaml").write_text(strategies, encoding="utf-8")
    folder.play(data(NIFTY_2024), day=f'"{day}"', premiums="model")

    said = folder.run()

    fills = [entry.record.fill for entry in folder.rows_of(FillSeen)]
    assert said.code == 0
    assert f"{fills[-1].at:%H:%M}" == "12:25"
    assert [entry.record.reason for entry in folder.rows_of(TradeMoved) if entry.record.dest == "PENDING_EXIT"] == [
        "square_off"
    ]
    assert_every_trade_is_over(folder)


def test_a_pause_in_the_day_stops_entries_until_candles_come_again(folder, data):
    folder.play(data(NIFTY_2024), day='"2024-03-02"', premiums="model")

    assert folder.run().code == 0

    moves = [(f"{entry.at:%H:%M}", entry.record.dest, entry.record.reason) for entry in folder.rows_of(SessionMoved)]
    assert ("10:02", "UNHEALTHY", "candles_stale") in moves
    assert ("11:31", "TRADING", "healthy_again") in moves
    assert not [entry for entry in folder.rows_of(TradeOpened) if "10:02" < f"{entry.at:%H:%M}" < "11:31"]
    assert "gap of 90 missing minutes" in folder.reasons()


def test_bars_of_an_evening_after_the_close_are_left_out(folder, data):
    folder.play(data(NIFTY_2024), day='"2024-01-20"', premiums="model")

    assert folder.run().code == 0

    assert "167 rows skipped: after the close (15:30)" in folder.reasons()


def test_a_day_of_another_year_with_bars_before_the_open_is_traded(folder, data):
    folder.play(data(NIFTY_2019), premiums="model")

    said = folder.run()

    assert said.code == 0
    assert {entry.session for entry in folder.entries()} == {"2019-01-01"}
    assert "before the open (09:15)" in folder.reasons()
    assert folder.index_starts()[0] == "09:15"
    assert_every_trade_is_over(folder)


def test_another_underlying_is_traded_when_its_lot_size_is_given(folder, data):
    place = data(BANKNIFTY_2024)
    folder.edit('name: NIFTY, symbol: "NIFTY 50"', 'name: BANKNIFTY, symbol: "NIFTY BANK"')
    folder.edit(str(NIFTY), str(BANKNIFTY))
    folder.play(place, day='"2024-01-03"', premiums="model", lot_size="15")

    said = folder.run()

    opened = [entry.record for entry in folder.rows_of(TradeOpened)]
    assert said.code == 0
    assert opened
    assert {trade.quantity for trade in opened} == {15}
    assert all(trade.contract.name == "BANKNIFTY" for trade in opened)
    assert len(folder.index_starts(BANKNIFTY)) >= 340
    assert_every_trade_is_over(folder)


def test_another_underlying_without_a_lot_size_is_refused(folder, data):
    place = data(BANKNIFTY_2024)
    folder.edit('name: NIFTY, symbol: "NIFTY 50"', 'name: BANKNIFTY, symbol: "NIFTY BANK"')
    folder.play(place, day='"2024-01-03"', premiums="model")

    said = folder.run()

    assert said.code == 2
    assert "market.lot_size" in said.err
    assert "BANKNIFTY" in said.err
    assert not (folder.path / "var" / "fsm_trader.db").exists()


def test_a_day_that_was_not_recorded_is_refused_with_its_neighbours(folder, data):
    folder.play(data(NIFTY_2024), day='"2024-02-01"', premiums="model")

    said = folder.run()

    assert said.code == 2
    assert "2024-01-31" in said.err
    assert "2024-02-02" in said.err


def test_five_days_in_a_row_are_one_journal(folder, data):
    folder.play(data(NIFTY_2024), premiums="model")

    codes = [folder.run().code for _ in range(5)]

    sessions = list(dict.fromkeys(entry.session for entry in folder.entries()))
    assert codes == [0] * 5
    assert sessions == ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05"]
    assert [entry.record.exit_code for entry in folder.rows_of(RunStopped)] == codes
    assert_every_trade_is_over(folder)
