"""Requests from another shell: durable files, handed on once and in order, and never misread as something milder."""

from __future__ import annotations

import json
import logging
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fsm_trader.core.events import Asked
from fsm_trader.errors import SetupError
from fsm_trader.ops.requests import Requests, RequestWatcher

NOON = datetime(2026, 6, 17, 12, tzinfo=UTC)
WAIT_S = 10.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "var" / "journal.db.requests"


@pytest.fixture
def requests(tmp_path: Path) -> Requests:
    return Requests(tmp_path / "var" / "journal.db")


def test_a_request_is_a_file_beside_the_journal_and_says_who_wants_what(requests, folder) -> None:
    request = requests.leave("flatten", by="ops", at=NOON)

    assert requests.waiting() == (request,)
    assert requests.read(request) == Asked("flatten", "ops", request)
    assert [path.name for path in folder.iterdir()] == [f"{request}.request.json"]


def test_requests_wait_in_the_order_they_were_left_even_when_the_clock_goes_back(requests) -> None:
    left = [
        requests.leave(verb, by="ops", at=NOON - timedelta(minutes=number))
        for number, verb in enumerate(("halt", "flatten", "resume"))
    ]

    assert requests.waiting() == tuple(left)
    assert len(set(left)) == 3


def test_a_request_that_is_met_waits_no_more(requests, folder) -> None:
    first, second = (requests.leave(verb, by="ops", at=NOON) for verb in ("halt", "resume"))

    requests.met(first)
    requests.met(first)

    assert requests.waiting() == (second,)
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b'{"verb": "flatten"',
        b'{"verb": "sell", "by": "x"}',
        b'{"verb": "halt", "by": "x", "to": 1}',
        b"\xff",
    ],
    ids=["empty", "cut", "half", "unknown verb", "unknown key", "not text"],
)
def test_a_file_that_cannot_be_read_is_a_halt_with_a_fault_and_is_kept_aside(requests, folder, data) -> None:
    request = requests.leave("flatten", by="ops", at=NOON)
    (folder / f"{request}.request.json").write_bytes(data)

    asked = requests.read(request)
    requests.met(request)

    assert (asked.verb, asked.request) == ("halt", request)
    assert f"{request}.request.json cannot be read" in asked.fault
    assert "taken as halt" in asked.fault
    assert requests.waiting() == ()
    assert (folder / f"{request}.request.unreadable").read_bytes() == data


def test_a_folder_in_the_place_of_a_request_is_a_halt_too(requests, folder) -> None:
    request = "20260617T120000000000-1"
    (folder / f"{request}.request.json").mkdir(parents=True)

    asked = requests.read(request)
    requests.met(request)

    assert (asked.verb, bool(asked.fault)) == ("halt", True)
    assert requests.waiting() == ()


def test_only_names_of_its_own_count_as_requests(requests, folder) -> None:
    requests.prepare()
    for name in ("flatten.request.json", "20260617T120000000000-1.request.draft", "notes.txt"):
        (folder / name).write_text(json.dumps({"verb": "flatten", "by": "me"}), encoding="utf-8")

    assert requests.waiting() == ()


def test_a_name_with_an_impossible_date_does_not_stand_in_the_way(requests, folder) -> None:
    requests.prepare()
    (folder / "99999999T999999999999-1.request.json").write_text("{}", encoding="utf-8")

    request = requests.leave("halt", by="ops", at=NOON)

    assert request.startswith("20260617T120000000000-")
    assert request in requests.waiting()


def test_a_request_that_is_gone_asks_for_nothing(requests) -> None:
    assert requests.read("20260617T120000000000-1") is None
    assert requests.waiting() == ()


def test_a_request_can_be_read_by_the_trader_whatever_the_umask_of_the_one_who_asks(requests, folder) -> None:
    before = os.umask(0o077)
    try:
        request = requests.leave("halt", by="root", at=NOON)
    finally:
        os.umask(before)

    assert (folder / f"{request}.request.json").stat().st_mode & 0o777 == 0o644


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make files for another user")
def test_a_folder_that_root_makes_belongs_to_the_owner_of_the_journals_folder(requests, folder) -> None:
    folder.parent.mkdir()
    os.chown(folder.parent, 65534, 65534)

    requests.leave("halt", by="root", at=NOON)

    assert (folder.stat().st_uid, folder.stat().st_gid) == (65534, 65534)


@pytest.mark.parametrize("act", [Requests.prepare, lambda found: found.leave("halt", by="ops", at=NOON)])
def test_a_folder_that_cannot_be_made_is_refused_in_words(requests, folder, act) -> None:
    folder.parent.write_text("not a folder", encoding="utf-8")

    with pytest.raises(SetupError, match=r"journal\.db\.requests: cannot be (used|written)"):
        act(requests)

    assert folder.parent.read_text(encoding="utf-8") == "not a folder"


def test_what_waits_is_said_for_people_without_what_was_met(requests) -> None:
    met, waits = (requests.leave(verb, by="ops", at=NOON) for verb in ("halt", "flatten"))

    assert requests.words(met=frozenset([met])) == ("flatten by ops",)
    assert requests.words(met=frozenset([met, waits])) == ()


class Told:
    """Takes what a watcher hands on, from any thread."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._new = threading.Condition()

    def __call__(self, asked: Asked) -> None:
        with self._new:
            self.asked.append(asked)
            self._new.notify()

    def wait_for(self, count: int) -> list[str]:
        with self._new:
            assert self._new.wait_for(lambda: len(self.asked) >= count, WAIT_S)
            return [asked.verb for asked in self.asked]


def test_what_waits_at_the_start_is_handed_on_before_anything_else(requests) -> None:
    for verb in ("halt", "flatten"):
        requests.leave(verb, by="ops", at=NOON)
    told = Told()

    watcher = RequestWatcher(requests, told)

    assert [asked.verb for asked in told.asked] == ["halt", "flatten"]
    watcher.close()


def test_what_is_left_later_is_handed_on_once_and_in_order(requests) -> None:
    told = Told()
    watcher = RequestWatcher(requests, told)

    for verb in ("flatten", "resume"):
        requests.leave(verb, by="ops", at=NOON)
    told.wait_for(2)
    for _ in range(3):
        watcher.look()

    assert told.wait_for(2) == ["flatten", "resume"]
    watcher.close()


def test_after_the_end_nothing_is_handed_on(requests) -> None:
    told = Told()
    watcher = RequestWatcher(requests, told)
    watcher.close()

    requests.leave("halt", by="ops", at=NOON)

    assert not any(thread.name == "requests" for thread in threading.enumerate())
    assert told.asked == []
    assert len(requests.waiting()) == 1


def test_a_folder_that_cannot_be_read_is_said_once_and_looked_at_again(requests, folder, caplog) -> None:
    told = Told()
    watcher = RequestWatcher(requests, told)
    watcher.close()
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("in the way", encoding="utf-8")

    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            watcher.look()
    folder.unlink()
    requests.leave("halt", by="ops", at=NOON)
    watcher.look()

    assert caplog.text.count("requests from other shells cannot be read") == 1
    assert told.wait_for(1) == ["halt"]


def test_a_pipe_in_the_place_of_a_request_is_a_halt_and_hangs_nobody(tmp_path):
    requests = Requests(tmp_path / "journal.db")
    requests.prepare()
    name = "20200101T000000000002-1"
    os.mkfifo(tmp_path / "journal.db.requests" / f"{name}.request.json")

    asked = requests.read(name)

    assert asked is not None
    assert (asked.verb, "is no file" in asked.fault) == ("halt", True)
