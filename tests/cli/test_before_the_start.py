"""What a start would refuse is refused before anything begins, and check says it too."""

from __future__ import annotations

import json

import pytest

from fsm_trader.broker.paper.book import PaperBook
from fsm_trader.core.money import show_rupees
from fsm_trader.machines.load import load_machine

from .conftest import Folder

TELEGRAM = 'notify: {telegram: {token: "${TELEGRAM_BOT_TOKEN}", chat_id: "${TELEGRAM_CHAT_ID}"}}\nrisk:'
KITE = 'kind: kite\n  kite: {api_key: "${KITE_API_KEY}", access_token: "${KITE_ACCESS_TOKEN}"}\n'
SECRET = "not/a/real/token"  # noqa: S105 - made up, and malformed on purpose


def assert_refused_alike(folder: Folder, *words: str) -> None:
    """Both verbs end with 2 and the same words, and no world was begun."""
    checked = folder.do("check")
    ran = folder.run()

    assert (ran.code, ran.out) == (2, "")
    assert (checked.code, checked.err) == (2, ran.err)
    for word in words:
        assert word in ran.err
    assert ran.err.endswith("Nothing was started.\n")
    if (folder.path / "var" / "paper.db").exists():
        with PaperBook(folder.path / "var" / "paper.db") as book:
            assert book.world is None
    folder.assert_nothing_was_started()


def test_a_bot_token_that_is_none(folder, monkeypatch):
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", SECRET)
    monkeypatch.setenv("TELEGRAM_CHAT_ID", "42")
    folder.edit("risk:", TELEGRAM)

    assert_refused_alike(folder, "$.notify.telegram.token", "TELEGRAM_BOT_TOKEN is no bot token")

    assert SECRET not in folder.run().err


def test_a_log_that_is_a_folder(folder):
    (folder.path / "var" / "fsm_trader.log").mkdir(parents=True)

    assert_refused_alike(folder, "$.log.file: cannot be written (it is a folder)")


def test_a_log_whose_folder_is_a_file(folder):
    (folder.path / "logs").write_text("in the way", encoding="utf-8")
    folder.edit("risk:", "log: {file: logs/today/x.log}\nrisk:")

    assert_refused_alike(folder, "$.log.file", f"{folder.path / 'logs'} is no folder")


def test_a_journal_that_is_a_folder(folder):
    (folder.path / "elsewhere").mkdir()
    folder.edit("var/fsm_trader.db", "elsewhere")

    assert_refused_alike(folder, "$.journal.url: cannot be written (it is a folder)")


@pytest.mark.parametrize("kind", ["postgres", "oracle"])
def test_a_journal_that_no_driver_speaks_to(folder, kind):
    folder.edit("sqlite:///var/fsm_trader.db", f"{kind}://journal.example/trader")

    assert_refused_alike(folder, f"journal.url: is of kind {kind}")


def test_a_broker_whose_token_would_travel_in_the_clear(folder, monkeypatch):
    for name in ("KITE_API_KEY", "KITE_ACCESS_TOKEN"):
        monkeypatch.setenv(name, "not-a-real-key")
    folder.edit("kind: paper\n", KITE.replace("kite: {", "kite: {root: 'http://kite.example', "))
    folder.edit("recorded: sample", "recorded: null")

    assert_refused_alike(folder, "$.broker.kite.root")


def test_all_that_stands_against_a_start_is_told_at_once(folder, monkeypatch):
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", SECRET)
    monkeypatch.setenv("TELEGRAM_CHAT_ID", "42")
    folder.edit("risk:", TELEGRAM)
    (folder.path / "var" / "fsm_trader.log").mkdir(parents=True)

    assert_refused_alike(folder, "$.notify.telegram.token", "$.log.file")


def test_a_day_from_before_the_table_of_charges(folder):
    folder.record("2016-06-17")

    assert_refused_alike(
        folder, "$.market.recorded: 2016-06-17 lies before 2017-07-01, where the table of charges begins"
    )


def test_a_day_that_was_asked_for_from_before_the_table_of_charges(folder):
    folder.record("2016-06-17")
    folder.edit("recorded: days/2016-06-17", "recorded: days\n  day: 2016-06-17")

    assert_refused_alike(folder, "$.market.day: 2016-06-17 lies before")


def test_the_first_day_of_the_table_of_charges_is_played(folder):
    folder.record("2017-07-03")

    assert folder.run("--quiet").code == 0


def test_a_refused_log_holds_the_next_start_to_no_day(folder):
    (folder.path / "var" / "fsm_trader.log").mkdir(parents=True)
    assert folder.run().code == 2
    (folder.path / "var" / "fsm_trader.log").rmdir()
    folder.record("2026-06-16")

    assert folder.run("--quiet").code == 0

    with PaperBook(folder.path / "var" / "paper.db") as book:
        assert [f"{day}" for day in book.played_days()] == ["2026-06-16"]


def test_faults_of_the_session_file_and_of_its_machines_are_told_together(folder):
    text = load_machine(None, "trade").text
    (folder.path / "mine.yaml").write_text(text.replace("conditions: stop_hit", "conditions: stop_hot", 1))
    folder.edit("trade: builtin", "trade: mine.yaml")
    folder.edit("settle: 90s", "settle: 90")

    assert_refused_alike(folder, "$.broker.settle", "mine.yaml:", "stop_hot")


def test_a_retry_policy_that_nothing_uses(folder):
    text = load_machine(None, "trade").text
    (folder.path / "mine.yaml").write_text(
        text.replace("retries:\n", "retries:\n  notify: {attempts: 3, wait: 3s, retry_on: [not_done]}\n", 1)
    )
    folder.edit("trade: builtin", "trade: mine.yaml")

    assert_refused_alike(folder, "$.retries.notify: retry policy notify is used by no action")


def test_status_of_a_day_without_known_charges_says_so_and_counts_them_as_zero(played, monkeypatch):
    day = played.rows_of(object)[0].at.date()
    monkeypatch.setattr("fsm_trader.core.results.FIRST_DAY", day.replace(year=day.year + 1))

    said, told = played.do("status"), json.loads(played.do("status", "--json").out)

    assert said.code == 0
    assert "note       charges before 2017-07-01 are not known and count as zero" in said.out
    assert (told["charges_are_known"], told["charges_paise"], told["net_paise"]) == (False, 0, told["gross_paise"])
    assert f"charges 0.00, net {show_rupees(told['gross_paise'])} rupees" in said.out
