"""The pages as a whole (links, map, decisions) and the facts of the journal's and the money page."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import get_args

import pytest
import yaml

from fsm_trader.config.keys import SESSION_FILE, STRATEGIES_FILE
from fsm_trader.core.charges import charges, rates_on
from fsm_trader.core.money import show_rupees
from fsm_trader.core.records import Record
from fsm_trader.journal import tables

from .conftest import SampleDay
from .pages import PAGES, ROOT, blocks, missing_chunk, text_of

JOURNAL = text_of("docs/reference/journal.md")
MONEY = text_of("docs/explanation/money-and-charges.md")
DECISIONS = sorted((ROOT / "docs" / "adr").glob("*.md"))


def links(text: str) -> list[str]:
    """Return the targets of Markdown links, code blocks left out."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"\]\(([^)\s]+)\)", prose)


def anchors(page: Path) -> set[str]:
    """Return the anchors a page's titles give, the way GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken(page: Path, text: str) -> list[str]:
    """Return the relative links of *text*, a page's, that lead nowhere."""
    faults: list[str] = []
    for link in links(text):
        file, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            faults.append(link)
    return faults


def table_after(text: str, title: str) -> list[list[str]]:
    """Return the cells of the first table after a line that begins with *title*, its head left out."""
    lines = text[re.search(rf"^{re.escape(title)}", text, flags=re.MULTILINE).start() :].splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith("|"))
    rows: list[list[str]] = []
    for line in lines[first + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


@pytest.fixture
def journal(sample_day: SampleDay) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"file:{sample_day.folder}/var/fsm_trader.db?mode=ro", uri=True)) as connection:
        yield connection


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_of_a_page_leads_somewhere(page: Path) -> None:
    assert broken(page, page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("link", ["nowhere.md", "docs/README.md#no-such-title", "#no-such-title"])
def test_a_link_that_leads_nowhere_is_noticed(link: str) -> None:
    assert broken(ROOT / "README.md", f"See [this]({link}).") == [link]


def test_every_page_stands_on_the_map_of_the_documentation() -> None:
    here = ROOT / "docs"
    mapped = {(here / link.partition("#")[0]).resolve() for link in links(text_of("docs/README.md"))}

    assert {page for page in PAGES if here in page.parents} - mapped <= {here / "README.md"}


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_a_decision_has_its_four_headings_and_fits_on_a_page(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    assert re.findall(r"^## (.+)$", text, flags=re.MULTILINE) == ["Context", "Decision", "Status", "Consequences"]
    assert len(text.splitlines()) <= 60


def test_decisions_are_numbered_without_gaps_and_titled_alike_on_the_map() -> None:
    mapped = re.findall(r"^(\d+)\. \[(.+)\]\(adr/(.+\.md)\)$", text_of("docs/README.md"), flags=re.MULTILINE)
    titled = [page.read_text(encoding="utf-8").splitlines()[0] for page in DECISIONS]

    assert [int(page.name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))
    assert [f"# {number}. {title}" for number, title, _ in mapped] == titled
    assert [file for _, _, file in mapped] == [page.name for page in DECISIONS]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_yaml_block_is_yaml(page: Path) -> None:
    for block in blocks(page.read_text(encoding="utf-8"), "yaml", "yml"):
        assert yaml.safe_load(block) is not None


def test_every_section_of_both_settings_files_has_its_keys_on_its_page() -> None:
    for tables_of, page in ((SESSION_FILE, "session-yaml.md"), (STRATEGIES_FILE, "strategies-yaml.md")):
        text = text_of(f"docs/reference/{page}")
        for section, keys in tables_of.items():
            for key in (*keys.required, *keys.optional):
                name = f"{section}.{key}".lstrip(".")
                assert f"`{name}" in text or f"`{key}`" in text, name


def test_every_kind_of_record_is_on_the_journals_page_and_no_other() -> None:
    kinds = {str(record.__struct_config__.tag) for record in get_args(Record)}

    assert {row[0].strip("`") for row in table_after(JOURNAL, "## Kinds of record")} == kinds


@pytest.mark.parametrize("table", ["events", "definitions", "meta"])
def test_every_column_of_a_table_is_on_the_journals_page_and_no_other(table: str) -> None:
    documented = [row[0].strip("`") for row in table_after(JOURNAL, f"`{table}`, ")]

    assert documented == [column.name for column in tables.metadata.tables[table].columns]


def test_no_table_is_left_out_and_the_schemas_version_is_said() -> None:
    assert set(tables.metadata.tables) == {"events", "definitions", "meta"}
    assert table_after(JOURNAL, "`meta`, ")[1][1] == f"The schema's version, `{tables.SCHEMA_VERSION}`."


def test_every_view_has_its_columns_on_the_journals_page_and_no_other(journal: sqlite3.Connection) -> None:
    views = [name for (name,) in journal.execute("SELECT name FROM sqlite_master WHERE type = 'view'")]
    documented = {
        row[0].strip("`"): re.findall(r"`(\w+)`", row[1].replace("`session`)", ")"))
        for row in table_after(JOURNAL, "## Views")
    }

    assert documented == {
        view: [column[0] for column in journal.execute(f"SELECT * FROM {view}").description]  # noqa: S608 - names from the file itself
        for view in views
    }


@pytest.mark.parametrize("query", blocks(JOURNAL, "sql"), ids=lambda query: query.split("\n", 1)[0])
def test_every_query_of_the_journals_page_finds_rows(journal: sqlite3.Connection, query: str) -> None:
    assert journal.execute(query).fetchall() != []


def test_the_trades_way_on_the_journals_page_is_the_real_one(journal: sqlite3.Connection) -> None:
    shown = next(block for block in blocks(JOURNAL, "text") if block.startswith("seq"))
    found = journal.execute(blocks(JOURNAL, "sql")[0]).fetchall()
    written = "\n".join(" ".join(str(cell or "") for cell in row).strip() for row in found)

    assert missing_chunk(re.sub(" +", " ", "\n".join(shown.splitlines()[2:])), written, masked=True) is None


def test_the_gross_profits_of_the_journals_page_are_those_of_the_table(
    journal: sqlite3.Connection, sample_day: SampleDay
) -> None:
    for trade_id, gross_paise in journal.execute(blocks(JOURNAL, "sql")[1]):
        [row] = [line for line in sample_day.done.stdout.splitlines() if line.startswith(f" {trade_id}")]
        assert row.split()[-3] == show_rupees(gross_paise)


def test_the_chain_is_what_the_journals_page_says(journal: sqlite3.Connection) -> None:
    previous = "0" * 64
    for seq, at, session, trade_id, kind, body, found in journal.execute("SELECT * FROM events ORDER BY seq LIMIT 60"):
        trade = "-" if trade_id is None else f"{len(trade_id)}:{trade_id}"
        text = f"{previous}{seq}:{len(at)}:{at}{len(session)}:{session}{trade}{len(kind)}:{kind}{len(body)}:{body}"
        previous = hashlib.sha256(text.encode()).hexdigest()
        assert previous == found


def test_the_journal_refuses_a_change_in_the_words_of_its_page(sample_day: SampleDay, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    copy.write_bytes((sample_day.folder / "var" / "fsm_trader.db").read_bytes())

    with closing(sqlite3.connect(copy)) as connection:
        for statement in ("UPDATE events SET body = ''", "DELETE FROM events"):
            with pytest.raises(sqlite3.IntegrityError, match="the journal is append-only"):
                connection.execute(statement)

    assert "the journal is append-only" in JOURNAL


def test_the_charges_of_the_money_page_are_those_of_the_first_trade() -> None:
    day = date(2026, 6, 17)
    of_first = charges(day=day, bought_paise=65 * 18880, sold_paise=65 * 25260, orders=2)
    rows = {name: (rate, amount) for name, rate, _, amount in table_after(MONEY, "## Charges")}
    names = {"STT": "stt", "exchange transaction charges": "transaction", "SEBI fee": "sebi", "stamp duty": "stamp"}

    assert {name: amount for name, (_, amount) in rows.items()} == {
        "brokerage": show_rupees(of_first.brokerage),
        **{name: show_rupees(getattr(of_first, field)) for name, field in names.items()},
        "GST": show_rupees(of_first.gst),
    }
    assert all(rows[name][0] == f"{rates_on(day)[field].percent} %" for name, field in names.items())
    assert f"Its charges were {show_rupees(of_first.total)}" in MONEY
