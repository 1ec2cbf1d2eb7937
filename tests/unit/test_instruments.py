"""Instrument dumps: the real one reads, and a wrong one is refused with every fault."""

from __future__ import annotations

import gzip
from datetime import date
from pathlib import Path

import pytest

from fsm_trader.core.contracts import OptionKind
from fsm_trader.errors import SetupError
from fsm_trader.market.contract_terms import freeze_quantity_for, lot_size_for
from fsm_trader.market.instruments import COLUMNS, parse_instruments, read_instruments

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
DUMP = SHARED / "instruments" / "kite_instruments_nfo_2026-08_a.csv.gz"
DAY = date(2026, 6, 17)
HEADER = ",".join(COLUMNS)
CALL = "11547650,45108,NIFTY2662324450CE,NIFTY,0.0,2026-06-23,24450.0,0.05,65,CE,NFO-OPT,NFO"
PUT = "11547906,45109,NIFTY2662324450PE,NIFTY,0.0,2026-06-23,24450.0,0.05,65,PE,NFO-OPT,NFO"
FUTURE = "14866434,58072,NIFTY26JUNFUT,NIFTY,0.0,2026-06-30,0.0,0.1,65,FUT,NFO-FUT,NFO"
BANK = "14900002,58203,BANKNIFTY26JUN55000CE,BANKNIFTY,0.0,2026-06-30,55000.0,0.05,30,CE,NFO-OPT,NFO"


def dump(*rows: str) -> list[str]:
    return [line + "\n" for line in (HEADER, *rows)]


def parse(lines: list[str], name: str = "NIFTY", day: date = DAY, least_rows: int = 1):
    return parse_instruments(lines, name, where="dump.csv", day=day, least_rows=least_rows)


def faults(lines: list[str], name: str = "NIFTY", day: date = DAY, least_rows: int = 1) -> list[str]:
    with pytest.raises(SetupError) as caught:
        parse(lines, name, day, least_rows)
    return [str(fault) for fault in caught.value.faults]


def test_only_the_options_of_the_underlying_are_returned_with_exact_money() -> None:
    call, put = parse(dump(FUTURE, CALL, BANK, PUT))

    assert (call.tradingsymbol, call.kind, put.kind) == ("NIFTY2662324450CE", OptionKind.CE, OptionKind.PE)
    assert (call.token, call.strike_paise, call.tick_paise, call.lot_size) == (11547650, 2445000, 5, 65)
    assert (call.exchange, call.expiry, call.freeze_quantity) == ("NFO", date(2026, 6, 23), 1800)


def test_columns_may_stand_in_any_order() -> None:
    cells = dict(zip(COLUMNS, CALL.split(","), strict=True))
    names = sorted(COLUMNS)

    (call,) = parse([",".join(names) + "\n", ",".join(cells[name] for name in names) + "\n"])

    assert call.tradingsymbol == "NIFTY2662324450CE"


def test_expired_contracts_are_left_out() -> None:
    expired = CALL.replace("2026-06-23", "2026-06-16").replace("NIFTY26623", "NIFTY26616").replace("11547650", "99")

    assert [contract.tradingsymbol for contract in parse(dump(expired, PUT))] == ["NIFTY2662324450PE"]


def test_a_dump_of_expired_contracts_only_is_stale() -> None:
    assert "stale" in faults(dump(CALL, PUT), day=date(2026, 6, 24))[0]


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        (",65,", ",0,", "lot_size '0'"),
        (",65,", ",65.0,", "lot_size '65.0'"),
        ("24450.0", "0.0", "strike '0.0'"),
        ("24450.0", "24450.005", "strike '24450.005'"),
        ("24450.0", "nan", "strike 'nan'"),
        ("0.05", "0.001", "tick_size '0.001'"),
        ("0.05", "0", "tick_size '0'"),
        ("2026-06-23", "23-06-2026", "expiry '23-06-2026'"),
        ("2026-06-23", "", "expiry ''"),
        (",CE,", ",FUT,", "instrument_type 'FUT'"),
        ("11547650", "x", "instrument_token 'x'"),
        (",NFO\n", ",N\n", "exchange 'N'"),
    ],
)
def test_a_wrong_cell_refuses_the_dump_with_its_line(right: str, wrong: str, told: str) -> None:
    lines = dump(PUT, CALL)
    assert right in lines[2]
    lines[2] = lines[2].replace(right, wrong)

    found = faults(lines)

    assert found[0].startswith("dump.csv:3: ")
    assert told in found[0]


def test_all_faults_are_told_at_once() -> None:
    lines = dump(CALL.replace(",65,", ",0,"), PUT.replace("0.05", "-1"))

    assert len(faults(lines)) == 2


def test_of_many_faults_the_first_twenty_are_told_and_the_rest_counted() -> None:
    lines = dump(
        *(CALL.replace("11547650", str(n)).replace("24450CE", f"{n}CE").replace("0.05", "0") for n in range(1, 31))
    )

    found = faults(lines)

    assert len(found) == 21
    assert "10 more" in found[-1]


def test_a_missing_column_is_named() -> None:
    assert "no column lot_size" in faults([HEADER.replace("lot_size,", "") + "\n", CALL + "\n"])[0]


def test_a_cut_last_line_is_refused() -> None:
    lines = dump(CALL, PUT)
    lines[-1] = lines[-1][:40]

    assert any("cut off" in fault for fault in faults(lines))
    assert any("dump.csv:3: 5 fields" in fault or "fields; expected 12" in fault for fault in faults(lines))


def test_a_last_line_cut_right_before_its_end_is_refused() -> None:
    lines = dump(CALL, PUT)
    lines[-1] = lines[-1].rstrip("\n")

    assert any("cut off" in fault for fault in faults(lines))


def test_too_few_rows_are_taken_as_a_cut_dump() -> None:
    assert "looks cut" in faults(dump(CALL, PUT), least_rows=1000)[0]


def test_an_empty_dump_is_refused() -> None:
    assert "empty" in faults([])[0]


def test_a_token_or_symbol_given_twice_is_refused() -> None:
    found = faults(dump(CALL, PUT.replace("11547906", "11547650"), PUT))

    assert any("instrument_token 11547650 stands also in line 2" in fault for fault in found)
    assert any("tradingsymbol NIFTY2662324450PE stands also in line 3" in fault for fault in found)


def test_a_token_shared_with_another_underlying_is_refused() -> None:
    assert "stands also" in faults(dump(CALL, BANK.replace("14900002", "11547650")))[0]


def test_mixed_lot_sizes_within_an_expiry_are_refused() -> None:
    assert "lot sizes [65, 75] within expiry 2026-06-23" in faults(dump(CALL, PUT.replace(",65,", ",75,")))[0]


def test_an_unknown_underlying_gets_a_suggestion() -> None:
    assert "did you mean NIFTY" in faults(dump(CALL, BANK), name="NIFY")[0]


def test_a_gzipped_file_reads_like_a_plain_one(tmp_path: Path) -> None:
    plain, packed = tmp_path / "a.csv", tmp_path / "a.csv.gz"
    plain.write_text("".join(dump(CALL, PUT)))
    packed.write_bytes(gzip.compress(plain.read_bytes()))

    read = [read_instruments(path, "NIFTY", day=DAY, least_rows=2) for path in (plain, packed)]

    assert read[0] == read[1]
    assert len(read[0]) == 2


def test_a_gzipped_file_that_was_cut_is_refused(tmp_path: Path) -> None:
    packed = tmp_path / "a.csv.gz"
    packed.write_bytes(gzip.compress("".join(dump(CALL, PUT)).encode())[:-12])

    with pytest.raises(SetupError, match="cannot be read"):
        read_instruments(packed, "NIFTY", day=DAY, least_rows=1)


def test_lots_and_freeze_quantities_follow_their_dates() -> None:
    expiries = [
        date(2021, 7, 29),
        date(2021, 8, 5),
        date(2024, 4, 25),
        date(2024, 5, 2),
        date(2025, 1, 2),
        date(2026, 1, 6),
    ]

    assert [lot_size_for("NIFTY", expiry) for expiry in expiries] == [75, 50, 50, 25, 75, 65]
    assert lot_size_for("SENSEX", DAY) is None
    assert (freeze_quantity_for("NIFTY", DAY), freeze_quantity_for("NIFTY", date(2021, 6, 14))) == (1800, None)


@pytest.mark.skipif(not DUMP.is_file(), reason="the shared data folder with the real dump is not beside the checkout")
def test_a_real_dump_reads_under_the_full_validation() -> None:
    contracts = read_instruments(DUMP, "NIFTY", day=date(2026, 8, 12))

    assert len(contracts) > 1_000
    assert {contract.lot_size for contract in contracts} == {65}
    assert {contract.tick_paise for contract in contracts} == {5}
    assert min(contract.expiry for contract in contracts) == date(2026, 8, 18)
