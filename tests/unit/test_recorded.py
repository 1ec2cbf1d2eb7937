"""Recorded days: what is played, what is left out, and what is refused."""

from __future__ import annotations

import gzip
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from fsm_trader.core.candles import PriceSeen
from fsm_trader.core.contracts import OptionKind
from fsm_trader.core.settings import MarketSettings, UnderlyingSettings
from fsm_trader.errors import SetupError, UnavailableError
from fsm_trader.market.calendar import calendar_for
from fsm_trader.market.modelled import weekly_expiries
from fsm_trader.market.recorded import RecordedDay, days, open_recorded
from fsm_trader.market.recorded_contracts import tokens_for

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data folder is not beside the checkout")
ZONE = ZoneInfo("Asia/Kolkata")
INDEX = 256265
INDEX_HEAD = "ts,open,high,low,close"
OPTION_HEAD = "ts,tradingsymbol,name,expiry,strike,instrument_type,open,high,low,close,volume"
TERMS = "NIFTY2662324600CE,NIFTY,2026-06-23,24600,CE"
DUMP = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,"
    "instrument_type,segment,exchange\n"
    "11547650,45108,NIFTY2662324600CE,NIFTY,0.0,2026-06-23,24600.0,0.05,65,CE,NFO-OPT,NFO\n"
    "11547906,45109,NIFTY2662324600PE,NIFTY,0.0,2026-06-23,24600.0,0.05,65,PE,NFO-OPT,NFO\n"
)


def settings(recorded: Path | str | None, day: str | None = None, **changes: object) -> MarketSettings:
    values: dict[str, object] = {
        "underlying": UnderlyingSettings("NIFTY", "NIFTY 50", "NSE", INDEX),
        "recorded": recorded,
        "day": day,
        "speed": 0.0,
        "premiums": "recorded",
        "lot_size": None,
        "feed": "poll",
        "stream_root": None,
        "max_candle_age": timedelta(seconds=150),
    }
    return MarketSettings(**(values | changes))


def played(recorded: Path | str, day: str | None = None, **changes: object) -> RecordedDay:
    return open_recorded(settings(recorded, day, **changes), zone=ZONE)


def refused(recorded: Path | str | None, day: str | None = None, **changes: object) -> str:
    with pytest.raises(SetupError) as caught:
        open_recorded(settings(recorded, day, **changes), zone=ZONE)
    return str(caught.value)


def at(text: str, day: str = "2026-06-17") -> datetime:
    return datetime.fromisoformat(f"{day}T{text}").replace(tzinfo=ZONE)


def index_row(minute: int, prices: str = "24600,24610,24590,24605", day: str = "2026-06-17") -> str:
    return f"{day}T09:{minute}:00+05:30,{prices}"


def option_row(minute: int, prices: str = "180,190,170,185,650") -> str:
    return f"2026-06-17T09:{minute}:00+05:30,{TERMS},{prices}"


def text_of(head: str, rows: list[str]) -> str:
    return "\n".join([head, *rows, ""])


def day_folder(folder: Path, *, index: list[str] | None = None, options: list[str] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    index = [index_row(minute) for minute in range(15, 20)] if index is None else index
    options = [option_row(minute) for minute in range(15, 20)] if options is None else options
    (folder / "index.csv").write_text(text_of(INDEX_HEAD, index))
    (folder / "options.csv").write_text(text_of(OPTION_HEAD, options))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return day_folder(tmp_path / "2026-06-17")


def option_token(day: RecordedDay) -> int:
    return day.contracts("NIFTY", day.day)[0].token


# What is played


def test_candles_appear_when_they_are_complete_and_not_before(folder: Path) -> None:
    day = played(folder)

    assert day.candles(INDEX, after=None, now=at("09:15:59")) == ()
    assert [c.start for c in day.candles(INDEX, after=None, now=at("09:17:00"))] == [at("09:15"), at("09:16")]
    assert [c.start for c in day.candles(INDEX, after=at("09:15"), now=at("09:17:30"))] == [at("09:16")]
    assert len(day.candles(INDEX, after=None, now=at("15:30"))) == 5


def test_prices_are_exact_paise(folder: Path) -> None:
    day = played(day_folder(folder, index=[index_row(15, "24600.05,24600.1,24599.95,24600.1")]))

    candle = day.candles(INDEX, after=None, now=at("10:00"))[0]

    assert (candle.open, candle.high, candle.low, candle.close) == (2460005, 2460010, 2459995, 2460010)


def test_the_price_inside_a_rising_minute_goes_by_low_then_high(folder: Path) -> None:
    day = played(folder)

    assert day.price(INDEX, at("09:14:59")) is None
    assert day.price(INDEX, at("09:15:00")) == PriceSeen(INDEX, 2460000, at("09:15:00"))
    assert [day.price(INDEX, at(f"09:15:{s}")).last for s in (19, 20, 39, 40, 58, 59)] == [
        2460000, 2459000, 2459000, 2461000, 2461000, 2460500,
    ]  # fmt: skip
    assert day.price(INDEX, at("15:00")) == PriceSeen(INDEX, 2460500, at("09:19:59"))


def test_the_price_inside_a_falling_minute_goes_by_high_then_low(folder: Path) -> None:
    day = played(day_folder(folder, index=[index_row(15, "24605,24610,24590,24600")]))

    assert [day.price(INDEX, at(f"09:15:{s}")).last for s in (20, 40)] == [2461000, 2459000]


def test_the_path_between_two_instants_is_closed_by_the_price_that_stands(folder: Path) -> None:
    day = played(folder)
    token = option_token(day)

    assert day.prices(token, after=at("09:15:10"), until=at("09:15:45")) == (
        (at("09:15:20"), 17000),
        (at("09:15:40"), 19000),
        (at("09:15:45"), 19000),
    )
    assert day.prices(token, after=at("09:15:21"), until=at("09:15:39")) == ((at("09:15:39"), 17000),)
    assert day.prices(token, after=at("09:15:20"), until=at("09:15:20")) == ((at("09:15:20"), 17000),)
    assert day.prices(token, after=at("09:00"), until=at("09:14")) == ()


def test_the_next_candle_is_known_until_none_is_left(folder: Path) -> None:
    day = played(folder)

    assert day.next_candle_at(at("09:00")) == at("09:16")
    assert day.next_candle_at(at("09:16")) == at("09:17")
    assert day.next_candle_at(at("09:19:59")) == at("09:20")
    assert day.next_candle_at(at("09:20")) is None


def test_an_unknown_token_name_or_day_is_an_unavailable_read(folder: Path) -> None:
    day = played(folder)

    with pytest.raises(UnavailableError, match="no instrument with token 5"):
        day.price(5, at("10:00"))
    with pytest.raises(UnavailableError, match="'SENSEX'"):
        day.contracts("SENSEX", day.day)
    with pytest.raises(UnavailableError, match="2026-06-18"):
        day.contracts("NIFTY", date(2026, 6, 18))


def test_contracts_without_a_dump_come_from_the_table_with_the_dated_lot(folder: Path) -> None:
    (contract,) = played(folder).contracts("NIFTY", date(2026, 6, 17))

    assert (contract.tradingsymbol, contract.expiry, contract.kind) == (
        "NIFTY2662324600CE", date(2026, 6, 23), OptionKind.CE,
    )  # fmt: skip
    assert (contract.strike_paise, contract.tick_paise, contract.lot_size) == (2460000, 5, 65)
    assert contract.token == option_token(played(folder))


def test_the_lot_size_can_be_given_where_the_data_names_none(folder: Path) -> None:
    assert played(folder, lot_size=30).contracts("NIFTY", date(2026, 6, 17))[0].lot_size == 30


def test_an_underlying_without_a_known_lot_is_refused(folder: Path) -> None:
    underlying = UnderlyingSettings("NIFTYX", "NIFTY X", "NSE", INDEX)
    rows = [option_row(15).replace(",NIFTY,", ",NIFTYX,")]

    assert "market.lot_size" in refused(day_folder(folder, options=rows), underlying=underlying)


def test_a_dump_beside_the_day_gives_tokens_and_lists_what_did_not_trade(folder: Path) -> None:
    (folder / "instruments.csv").write_text(DUMP)

    day = played(folder)

    assert [contract.token for contract in day.contracts("NIFTY", day.day)] == [11547650, 11547906]
    assert day.price(11547650, at("09:15")).last == 18000
    assert day.candles(11547906, after=None, now=at("15:00")) == ()
    assert day.price(11547906, at("15:00")) is None


def test_a_cut_dump_beside_the_day_is_refused(folder: Path) -> None:
    (folder / "instruments.csv").write_text(DUMP[:-20])

    assert "cut off" in refused(folder)


def test_options_that_are_not_in_the_dump_are_left_out_and_counted(folder: Path) -> None:
    (folder / "instruments.csv").write_text(DUMP.replace("NIFTY2662324600CE", "NIFTY2662324650CE"))

    assert any("5 rows skipped: trading symbol" in reason for reason in played(folder).skipped)


def test_csv_gzip_and_parquet_play_the_same_day(folder: Path, tmp_path: Path) -> None:
    import pyarrow.csv as pa_csv
    import pyarrow.parquet as pq

    packed, columns = tmp_path / "gz" / "2026-06-17", tmp_path / "parquet" / "2026-06-17"
    for place in (packed, columns):
        place.mkdir(parents=True)
    for stem in ("index", "options"):
        data = (folder / f"{stem}.csv").read_bytes()
        (packed / f"{stem}.csv.gz").write_bytes(gzip.compress(data))
        pq.write_table(pa_csv.read_csv(folder / f"{stem}.csv"), columns / f"{stem}.parquet")

    plain, *others = (played(place) for place in (folder, packed, columns))

    token = option_token(plain)
    for other in others:
        assert other.contracts("NIFTY", plain.day) == plain.contracts("NIFTY", plain.day)
        for one in (INDEX, token):
            assert other.candles(one, after=None, now=at("15:30")) == plain.candles(one, after=None, now=at("15:30"))


def test_times_without_a_zone_are_local_and_others_are_converted(folder: Path) -> None:
    rows = ["2026-06-17 09:15:00,1,1,1,1", "2026-06-17T03:46:00Z,1,1,1,1", "2026-06-17T09:17:00+0530,1,1,1,1"]

    candles = played(day_folder(folder, index=rows)).candles(INDEX, after=None, now=at("15:00"))

    assert [candle.start for candle in candles] == [at("09:15"), at("09:16"), at("09:17")]


# What is left out


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (index_row(16, "0,24610,0,24605"), "price of zero or below"),
        (index_row(16, "nan,24610,24590,24605"), "not a finite number"),
        (index_row(16, "x,24610,24590,24605"), "not a finite number"),
        (index_row(16, ",24610,24590,24605"), "not a finite number"),
        (index_row(16, "inf,24610,24590,24605"), "not a finite number"),
        (index_row(16, "24600,24590,24610,24605"), "do not enclose"),
        (index_row(15), "given twice, with the same values"),
        (index_row(15, "1,1,1,1"), "given twice, with other values"),
        ("2026-06-17T09:16:30+05:30,1,1,1,1", "not at the start of a minute"),
        ("yesterday,1,1,1,1", "time cannot be read"),
        (index_row(16, day="2026-06-16"), "of another day"),
        ("2026-06-17T09:07:00+05:30,1,1,1,1", "before the open (09:15)"),
        ("2026-06-17T15:30:00+05:30,1,1,1,1", "after the close (15:30)"),
    ],
)
def test_a_bad_row_is_left_out_and_told_with_its_line(folder: Path, row: str, told: str) -> None:
    day = played(day_folder(folder, index=[index_row(15), row, index_row(17)]))

    assert [c.start for c in day.candles(INDEX, after=None, now=at("15:30"))] == [at("09:15"), at("09:17")]
    (reason,) = day.skipped
    assert reason.startswith("index.csv: 1 row ")
    assert told in reason
    assert "(row 3)" in reason


def test_reasons_are_counted_so_that_a_bad_file_gives_few_of_them(folder: Path) -> None:
    rows = [index_row(15), *(index_row(minute, "0,0,0,0") for minute in range(16, 60))]

    assert played(day_folder(folder, index=rows)).skipped == (
        "index.csv: 44 rows skipped: price of zero or below (rows 3, 4, 5, ...)",
    )


def test_rows_out_of_order_are_put_in_order_and_told(folder: Path) -> None:
    day = played(day_folder(folder, index=[index_row(17), index_row(15), index_row(16)]))

    assert [c.start.minute for c in day.candles(INDEX, after=None, now=at("15:30"))] == [15, 16, 17]
    assert "out of time order" in day.skipped[0]


def test_a_half_written_last_line_is_left_out_and_told(folder: Path) -> None:
    path = folder / "index.csv"
    path.write_text(path.read_text()[:-6])

    day = played(folder)

    assert len(day.candles(INDEX, after=None, now=at("15:30"))) == 4
    assert day.skipped == ("index.csv:6: last line has no line end, taken as half-written; skipped",)


def test_options_play_to_their_own_later_close_and_the_index_to_half_past_three(tmp_path: Path) -> None:
    late = ["2026-08-05T15:29:00+05:30", "2026-08-05T15:39:00+05:30", "2026-08-05T15:40:00+05:30"]
    terms = "NIFTY2681124600CE,NIFTY,2026-08-11,24600,CE,1,1,1,1,0"
    day = played(
        day_folder(
            tmp_path / "2026-08-05",
            index=[f"{stamp},1,1,1,1" for stamp in late],
            options=[f"{stamp},{terms}" for stamp in late],
        )
    )

    assert day.closes_at == at("15:40", "2026-08-05")
    assert len(day.candles(INDEX, after=None, now=day.closes_at)) == 1
    assert len(day.candles(option_token(day), after=None, now=day.closes_at)) == 2


# What is refused


def test_without_any_usable_index_candle_the_day_is_refused(folder: Path) -> None:
    assert "no usable index candle" in refused(day_folder(folder, index=[index_row(15, "0,0,0,0")]))


def test_a_missing_options_file_is_refused_with_the_way_out(folder: Path) -> None:
    (folder / "options.csv").unlink()

    told = refused(folder)

    assert "no options are recorded" in told
    assert "market.premiums: model" in told


def test_a_missing_index_file_is_refused_with_what_was_found(folder: Path) -> None:
    (folder / "index.csv").unlink()

    assert "no index file, found options.csv" in refused(folder)
    assert "no index file, found options.csv" in refused(folder.parent)


def test_an_empty_folder_and_a_missing_one_are_refused(tmp_path: Path) -> None:
    assert "found nothing" in refused(tmp_path)
    assert "does not exist" in refused(tmp_path / "nowhere")
    assert "is null" in refused(None)


def test_a_day_that_is_not_there_is_refused_with_its_neighbours(folder: Path) -> None:
    day_folder(folder.parent / "2026-06-18")

    told = refused(folder.parent, "2026-06-19")

    assert "'2026-06-19'" in told
    assert "2 days, such as 2026-06-17, 2026-06-18" in told


def test_two_files_of_one_kind_are_refused(folder: Path) -> None:
    (folder / "index.csv.gz").write_bytes(gzip.compress((folder / "index.csv").read_bytes()))

    assert "holds index.csv and index.csv.gz" in refused(folder)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the file is empty"),
        (INDEX_HEAD + "\n", "has no rows"),
        ("ts,open,high,low\n2026-06-17T09:15:00+05:30,1,1,1\n", "no column 'close'"),
        ("ts,open,open,low,close\n2026-06-17T09:15:00+05:30,1,1,1,1\n", "'open' stands more than once"),
        (INDEX_HEAD + "\n2026-06-17T09:15:00+05:30,1,1\n2026-06-17T09:16:00+05:30,1,1,1,1\n", "index.csv:2: 3 fields"),
        (INDEX_HEAD + '\n"2026-06-17T09:15:00+05:30,1,1,1,1\n', "is not CSV"),
    ],
)
def test_a_file_of_the_wrong_structure_is_refused(folder: Path, text: str, told: str) -> None:
    (folder / "index.csv").write_text(text)

    assert told in refused(folder)


def test_all_missing_columns_are_told_at_once(folder: Path) -> None:
    (folder / "options.csv").write_text("ts,tradingsymbol,open,high,low,close\n2026-06-17T09:15,A,1,1,1,1\n")

    told = refused(folder)

    assert all(f"no column {name!r}" in told for name in ("expiry", "strike", "instrument_type"))


def test_a_damaged_parquet_or_gzip_file_is_refused(folder: Path) -> None:
    (folder / "index.csv").unlink()
    (folder / "index.parquet").write_bytes(b"PAR1 not really")
    assert "cannot be read" in refused(folder)

    (folder / "index.parquet").unlink()
    (folder / "index.csv.gz").write_bytes(gzip.compress(b"x" * 1000)[:-9])
    assert "cannot be read" in refused(folder)


def test_parquet_times_may_be_local_and_its_cells_empty(folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (folder / "index.csv").unlink()
    stamps = [datetime(2026, 6, 17, 9, minute) for minute in (15, 16)]
    prices = {name: [1.05, None, 1.0] for name in ("open", "high", "low", "close")}
    pq.write_table(pa.table({"ts": [*stamps, None], **prices}), folder / "index.parquet")

    day = played(folder)

    assert [(c.start, c.open) for c in day.candles(INDEX, after=None, now=at("15:30"))] == [(at("09:15"), 105)]
    assert day.skipped == (
        "index.parquet: 1 row skipped: not a finite number (row 2)",
        "index.parquet: 1 row skipped: time cannot be read (row 3)",
    )


def test_parquet_columns_of_lists_count_as_missing(folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (folder / "index.csv").unlink()
    pq.write_table(pa.table({name: [[1.0]] for name in INDEX_HEAD.split(",")}), folder / "index.parquet")

    assert "no column 'open'" in refused(folder)


def test_a_contract_described_in_two_ways_is_refused(folder: Path) -> None:
    rows = [option_row(15), option_row(16).replace(",24600,", ",24650,")]

    assert "is described as" in refused(day_folder(folder, options=rows))


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("2026-06-23", "soon", "soon"),
        (",24600,", ",0,", "expected a number above zero"),
        (",CE,", ",XX,", "expected CE or PE"),
        (",NIFTY,", ",BANKNIFTY,", "no options on 'NIFTY'; found BANKNIFTY"),
    ],
)
def test_a_contract_that_cannot_be_understood_is_refused(folder: Path, right: str, wrong: str, told: str) -> None:
    rows = [option_row(15).replace(right, wrong)]

    assert told in refused(day_folder(folder, options=rows))


# Choosing days, and days with an index only


def test_the_first_day_is_played_unless_another_is_named(folder: Path) -> None:
    later = [row.replace("-17T", "-18T") for row in (index_row(15), option_row(15))]
    day_folder(folder.parent / "2026-06-18", index=[later[0]], options=[later[1]])
    (folder.parent / "notes").mkdir()

    assert days(settings(folder.parent), zone=ZONE) == (date(2026, 6, 17), date(2026, 6, 18))
    assert played(folder.parent).day == date(2026, 6, 17)
    assert played(folder.parent, "2026-06-18").day == date(2026, 6, 18)


def test_a_folder_of_any_name_can_be_a_day_itself(tmp_path: Path) -> None:
    place = day_folder(tmp_path / "monday")

    assert days(settings(place), zone=ZONE) == (date(2026, 6, 17),)
    assert played(place).day == date(2026, 6, 17)


def test_a_single_file_of_several_days_plays_one_with_computed_premiums(tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    path.write_text(text_of(INDEX_HEAD, [index_row(15, day=f"2026-06-{day}") for day in (17, 18, 19)]))

    day = played(path, "2026-06-18", premiums="model")

    assert days(settings(path), zone=ZONE)[-1] == date(2026, 6, 19)
    assert (day.day, day.skipped) == (date(2026, 6, 18), ())
    assert "premiums computed" in day.label
    contracts = day.contracts("NIFTY", day.day)
    assert all(contract.tradingsymbol.startswith("MODEL-") for contract in contracts)
    assert {contract.lot_size for contract in contracts} == {65}


def test_computed_premiums_follow_the_index(tmp_path: Path) -> None:
    path = tmp_path / "one.csv"
    path.write_text(
        text_of(INDEX_HEAD, [index_row(15, "24600,24600,24600,24600"), index_row(16, "24700,24700,24700,24700")])
    )
    day = played(path, premiums="model")
    near = [c for c in day.contracts("NIFTY", day.day) if c.expiry == date(2026, 6, 23) and c.strike_paise == 2460000]

    changes = {c.kind: [candle.close for candle in day.candles(c.token, after=None, now=at("10:00"))] for c in near}

    assert changes[OptionKind.CE][0] < changes[OptionKind.CE][1]
    assert changes[OptionKind.PE][0] > changes[OptionKind.PE][1]
    assert all(price % 5 == 0 and price > 0 for prices in changes.values() for price in prices)


def test_weekly_expiries_follow_the_rule_of_their_time_and_step_back_before_holidays() -> None:
    nse = calendar_for("NSE")

    assert weekly_expiries(date(2024, 1, 22), nse)[:2] == (date(2024, 1, 25), date(2024, 2, 1))
    assert weekly_expiries(date(2024, 4, 8), nse)[0] == date(2024, 4, 10)  # Thursday 11 April was a holiday
    assert weekly_expiries(date(2025, 8, 25), nse)[:2] == (date(2025, 8, 28), date(2025, 9, 2))
    assert date(2026, 11, 23) in weekly_expiries(date(2026, 11, 2), nse)
    assert weekly_expiries(date(2021, 6, 14), nse)[0] == date(2021, 6, 17)


def test_made_up_tokens_are_stable_and_never_shared() -> None:
    symbols = [f"NIFTY{n}" for n in range(2_000)]

    tokens = tokens_for(symbols)

    assert len(set(tokens.values())) == 2_000
    assert tokens_for(["NIFTY7"])["NIFTY7"] == tokens["NIFTY7"]


# Real recordings


@needs_shared
def test_a_real_day_with_options_opens_and_plays_unaltered() -> None:
    day = played(SHARED / "options" / "nifty_1min", "2021-06-14")
    contracts = day.contracts("NIFTY", day.day)

    assert (day.opens_at, day.closes_at) == (at("09:15", "2021-06-14"), at("15:30", "2021-06-14"))
    assert len(contracts) == 12
    assert {contract.lot_size for contract in contracts} == {75}
    for token in (INDEX, *(contract.token for contract in contracts)):
        candles = day.candles(token, after=None, now=day.closes_at)
        assert len(candles) == 375
        assert candles[0].start == day.opens_at
    assert day.candles(INDEX, after=None, now=day.closes_at)[0].open == 1579140
    assert len(day.skipped) == 2
    assert "183 rows skipped: after the close (15:30)" in day.skipped[0]
    assert "60 rows skipped: after the close (15:30)" in day.skipped[1]


@needs_shared
def test_a_real_day_without_an_index_is_a_clear_refusal() -> None:
    assert "2023-06-05: no index file, found options.parquet" in refused(
        SHARED / "options" / "nifty_1min", "2023-06-05"
    )


@needs_shared
@pytest.mark.parametrize(
    ("day", "candles", "closes"),
    [
        ("2024-01-01", 375, "15:30"),
        ("2024-01-20", 375, "15:30"),
        ("2024-03-02", 105, "12:30"),
        ("2024-05-18", 105, "12:30"),
        ("2024-06-28", 375, "15:30"),
    ],
)
def test_real_index_only_days_play_with_computed_premiums(day: str, candles: int, closes: str) -> None:
    path = SHARED / "index" / "nifty50_1min_2024-01-01_2024-06-28.parquet"

    opened = played(path, day, premiums="model")

    assert opened.closes_at == at(closes, day)
    assert len(opened.candles(INDEX, after=None, now=opened.closes_at)) == candles
    token = option_token(opened)
    assert len(opened.candles(token, after=None, now=opened.closes_at)) == candles
    # The recording of 2024-01-20 goes on with 167 still rows after the close.
    assert bool(opened.skipped) == (day == "2024-01-20")
