"""halt, resume and flatten as verbs: what they say, how long they wait, and how they end."""

from __future__ import annotations

import json
import re
import time

import pytest

from fsm_trader.cli.main import main
from fsm_trader.core.events import Asked
from fsm_trader.ops.lock import WriterLock
from fsm_trader.ops.requests import Requests

from .conftest import Folder

VERBS = ["halt", "resume", "flatten"]


@pytest.mark.parametrize("verb", VERBS)
def test_a_request_is_left_for_the_next_start_while_nothing_runs(folder: Folder, verb):
    said = folder.do(verb)

    requests = Requests(folder.journal)
    (request,) = requests.waiting()
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"{verb} is asked for: ")
    assert "No trader runs now: the next start obeys it before it takes any entry." in said.out
    assert requests.read(request) == Asked(verb, requests.read(request).by, request)
    assert not folder.journal.exists()


def test_the_answer_for_programs_names_the_request_and_what_became_of_it(folder: Folder):
    said = folder.do("flatten", "--json")

    answer = json.loads(said.out)
    assert said.code == 0
    assert answer.pop("request") in Requests(folder.journal).waiting()
    assert answer == {
        "verb": "flatten",
        "running": None,
        "outcome": "left",
        "row": None,
        "trouble": answer["trouble"],
    }


def test_a_trader_that_does_not_take_a_request_in_time_is_no_success(folder: Folder):
    held = WriterLock(folder.journal)
    began = time.monotonic()

    said = folder.do("flatten", "--wait", "0.3")
    told = json.loads(folder.do("halt", "--wait", "0", "--json").out)

    held.release()
    assert said.code == 1
    assert time.monotonic() - began < 5
    assert said.out == ""
    assert "NOT YET IN FORCE: held by process" in said.err
    assert told["outcome"] == "waiting"
    assert len(Requests(folder.journal).waiting()) == 2


def test_a_request_that_waits_is_on_the_screen_of_status(played: Folder):
    played.do("flatten")

    screen = played.do("status")

    assert re.search(r"^asked +flatten by \S+.*: waits for a process to meet it$", screen.out, flags=re.MULTILINE)
    assert [words.partition(" ")[0] for words in json.loads(played.do("status", "--json").out)["waiting"]] == [
        "flatten"
    ]


@pytest.mark.parametrize("verb", VERBS)
def test_a_session_file_that_is_refused_leaves_no_request(folder: Folder, verb):
    folder.edit("Asia/Kolkata", "Asia/Kolkatta")

    said = folder.do(verb)

    assert said.code == 2
    assert "Kolkatta" in said.err
    assert not folder.journal.parent.exists()


def test_a_folder_that_cannot_be_written_is_refused_in_words(folder: Folder):
    folder.journal.parent.write_text("in the way", encoding="utf-8")

    said = folder.do("halt")

    assert said.code == 2
    assert "Nothing was asked" in said.err


def test_a_journal_that_is_no_file_has_no_place_for_requests(folder: Folder):
    folder.edit("sqlite:///var/fsm_trader.db", "postgresql://db/trades")

    said = folder.do("halt")

    assert said.code == 2
    assert "is no file, and a request is left beside one" in said.err
    assert not folder.journal.parent.exists()


@pytest.mark.parametrize("wait", ["-1", "nan", "601", "soon"])
def test_a_time_to_wait_out_of_bounds_is_refused(folder: Folder, capsys, wait):
    with pytest.raises(SystemExit) as left:
        main(["halt", str(folder.session), f"--wait={wait}"])

    assert left.value.code == 2
    assert f"was '{wait}'; expected seconds from 0 to 600" in capsys.readouterr().err
    assert not folder.journal.parent.exists()


def test_the_one_behind_sudo_is_named_in_the_request(folder: Folder, monkeypatch):
    monkeypatch.setenv("SUDO_USER", "priya")

    folder.do("halt")

    (request,) = Requests(folder.journal).waiting()
    assert Requests(folder.journal).read(request).by.endswith(" for priya")
