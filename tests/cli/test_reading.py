"""The verbs that only read: check, status, journal, diagram."""

from __future__ import annotations

import json
import os
import sqlite3
import xml.etree.ElementTree as ET
from contextlib import closing
from pathlib import Path

import pytest

from fsm_trader.journal.anchor import path_of
from fsm_trader.journal.chain import GENESIS, row_hash


def test_check_shows_the_day_and_its_limits_and_starts_nothing(folder):
    said = folder.do("check")

    assert said.code == 0
    for shown in ("09:20-15:00 entries", "15:10", "10,000.00 rupees", "stop 20%", "target 30%", "at most 0:30:00"):
        assert shown in said.out
    assert not (folder.path / "var").exists()


def test_check_for_programs_names_the_machines_by_their_digests(folder):
    answer = json.loads(folder.do("check", "--json").out)

    assert answer["ok"] is True
    assert {len(digest) for digest in answer["machines"].values()} == {64}
    assert answer["settings"]["session"]["name"] == "nifty-intraday"


@pytest.mark.parametrize("verb", ["status", "journal list", "journal verify", "journal export"])
def test_before_the_first_run_there_is_no_journal_to_read_and_none_is_made(folder, verb):
    said = folder.do(verb)

    assert said.code == 2
    assert f"{folder.journal}: no journal here yet" in said.err
    assert not (folder.path / "var").exists()


def test_status_after_the_day_says_how_it_went(played):
    said = played.do("status")

    assert said.code == 0
    for shown in ("session 2026-06-17 ", "not running", "CLOSED since 15:10:01", "none is open", "8 closed"):
        assert shown in said.out
    assert "net 4,516.55 rupees" in said.out


def test_status_for_programs_is_json_with_whole_paise(played):
    answer = json.loads(played.do("status", "--json").out)

    assert (answer["state"], answer["open_trades"], len(answer["closed"])) == ("CLOSED", [], 8)
    assert answer["net_paise"] == answer["gross_paise"] - answer["charges_paise"] == 451655
    assert answer["rows"] == len(played.entries())


def test_a_listing_is_narrowed_by_trade_kind_session_and_number(played):
    def seqs(*options: str) -> list[int]:
        return [row["seq"] for row in json.loads(played.do("journal list", "--json", *options).out)]

    rows = played.entries()
    of_trade = [row.seq for row in rows if getattr(row.record, "trade_id", None) == "20260617-003"]

    assert seqs() == [row.seq for row in rows][-50:]
    assert seqs("--last", "0") == [row.seq for row in rows]
    assert seqs("--trade", "20260617-003") == of_trade
    assert seqs("--trade", "20260617-003", "--last", "2") == of_trade[-2:]
    assert seqs("--kind", "run_stopped") == [rows[-1].seq]
    assert seqs("--session", "2026-06-17", "--last", "0") == [row.seq for row in rows]
    assert seqs("--session", "2026-06-18") == []


def test_a_listing_for_people_is_a_line_a_row(played):
    said = played.do("journal list", "--trade", "20260617-001", "--kind", "trade_moved")

    lines = said.out.splitlines()
    assert len(lines) == 4
    assert "2026-06-17 09:42:00  20260617-001 IDLE -> PENDING_ENTRY" in lines[0]


def test_exported_rows_are_json_lines_whose_chain_can_be_recomputed(played):
    rows = [json.loads(line) for line in played.do("journal export").out.splitlines()]

    head = GENESIS
    for row in rows:
        body = json.dumps(row["body"], separators=(",", ":"), ensure_ascii=False)
        head = row_hash(head, (row["seq"], row["at"], row["session"], row["trade_id"], row["kind"], body))
        assert head == row["hash"]
    assert [row["seq"] for row in rows] == list(range(1, len(played.entries()) + 1))
    assert head == json.loads(played.do("journal verify", "--json").out)["head"]


def test_an_export_to_a_file_holds_what_an_export_to_standard_output_says(played):
    said = played.do("journal export", "-o", str(played.path / "rows.jsonl"))

    written = (played.path / "rows.jsonl").read_text(encoding="utf-8")
    assert said == (0, f"{len(played.entries())} rows: {played.path / 'rows.jsonl'}\n", "")
    assert written == played.do("journal export").out


def test_an_export_into_nowhere_is_refused_with_its_place(played):
    said = played.do("journal export", "-o", str(played.path / "absent" / "rows.jsonl"))

    assert said.code == 2
    assert f"{played.path / 'absent' / 'rows.jsonl'}: cannot be written" in said.err


def test_a_flipped_byte_of_the_file_is_found_and_its_row_named(played):
    data = bytearray(played.journal.read_bytes())
    bodies = {row["seq"]: row["body"] for row in json.loads(played.do("journal list", "--json", "--last", "0").out)}
    place = data.index(b'"index_paise":') + len(b'"index_paise":')
    data[place] ^= 1
    played.journal.write_bytes(data)

    said = played.do("journal verify")
    answer = json.loads(played.do("journal verify", "--json").out)

    assert (said.code, answer["ok"]) == (6, False)
    bad = answer["rows"] + 1
    assert "index_paise" in bodies[bad]
    assert f"row {bad} " in said.err
    assert f"row {bad} " in answer["fault"]


def test_a_row_that_is_missing_is_found(played):
    with closing(sqlite3.connect(played.journal)) as connection:
        connection.execute("DROP TRIGGER events_no_delete")
        connection.execute("DELETE FROM events WHERE seq = 100")
        connection.commit()

    said = played.do("journal verify")

    assert said.code == 6
    assert "row 101 where row 100 was expected" in said.err


def test_a_verification_for_programs_gives_rows_and_head(played):
    said = played.do("journal verify", "--json")

    answer = json.loads(said.out)
    assert (said.code, answer["ok"], answer["rows"], answer["fault"]) == (0, True, len(played.entries()), None)
    assert len(answer["head"]) == 64
    assert answer["note"] == ""


def test_rows_that_are_gone_from_the_end_are_found_by_the_anchor(played):
    with closing(sqlite3.connect(played.journal)) as connection:
        connection.execute("DROP TRIGGER events_no_delete")
        connection.execute("DELETE FROM events WHERE seq > 600")
        connection.commit()

    said = played.do("journal verify")

    assert said.code == 6
    assert f"{path_of(played.journal)}: {played.journal} had come to row" in said.err
    assert "and ends with row 600: rows 601 to" in said.err
    assert "the hashes of its 600 rows fit" in said.err


def test_a_copy_without_its_anchor_verifies_with_a_note(played):
    path_of(played.journal).unlink()

    said = played.do("journal verify")
    answer = json.loads(played.do("journal verify", "--json").out)

    assert (said.code, said.err) == (0, "")
    assert f"note: {path_of(played.journal)}: there is no anchor" in said.out
    assert (answer["ok"], answer["fault"]) == (True, None)
    assert answer["note"] in said.out


def test_a_diagram_is_six_files_that_carry_the_digest(folder):
    said = folder.do("diagram", "--json", "-o", str(folder.path / "out"))

    written = json.loads(said.out)
    digests = json.loads(folder.do("check", "--json").out)["machines"]
    assert said.code == 0
    assert sorted(path.name for path in (folder.path / "out").iterdir()) == sorted(
        f"{machine}.{form}" for machine in ("session", "trade") for form in ("mmd", "dot", "svg")
    )
    for machine, files in written.items():
        assert files["digest"] == digests[machine]
        for form in ("mmd", "dot", "svg"):
            assert digests[machine][:12] in Path(files[form]).read_text(encoding="utf-8")
        # The file was just written by the command under test, so parsing it is safe.
        assert ET.parse(files["svg"]).getroot().tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 - see above


def test_a_diagram_that_cannot_be_written_is_refused_with_its_place(folder):
    (folder.path / "out").write_text("not a folder")

    said = folder.do("diagram", "-o", str(folder.path / "out"))

    assert said.code == 2
    assert f"{folder.path / 'out'}: cannot be written" in said.err


@pytest.mark.parametrize("name", ["strategies.yaml", "own.py"])
def test_an_export_never_takes_the_name_of_a_file_that_people_write(played, name):
    before = (played.path / "strategies.yaml").read_bytes()

    said = played.do("journal export", "-o", str(played.path / name))

    assert said.code == 2
    assert (played.path / "strategies.yaml").read_bytes() == before


def test_an_export_replaces_no_pipe_and_no_link(played):
    os.mkfifo(played.path / "pipe")
    (played.path / "link").symlink_to(played.path / "elsewhere")

    for name in ("pipe", "link"):
        assert played.do("journal export", "-o", str(played.path / name)).code == 2
    assert (played.path / "link").is_symlink()
    assert not list(played.path.glob("*.part"))
