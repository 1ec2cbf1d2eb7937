"""``drill``: a matrix that passes, a failure as one command, and nothing of the user's touched."""

from __future__ import annotations

import json

from fsm_trader.app.drill import Drill
from fsm_trader.core.records import OrderAnswered
from fsm_trader.engine.floor import Floor


def names_in(path) -> list[str]:
    return sorted(each.name for each in path.rglob("*"))


def test_seeded_days_pass_and_leave_nothing_behind(folder):
    before = names_in(folder.path)

    said = folder.do("drill", "--no-matrix", "--seeds", "20")

    assert (said.code, said.err) == (0, "")
    assert "seeded days" in said.out
    assert "20 days, all pass." in said.out
    assert names_in(folder.path) == before


def test_json_carries_every_row_and_the_coverage(folder):
    said = folder.do("drill", "--no-matrix", "--seeds", "5", "--first-seed", "7", "--json")

    answer = json.loads(said.out)
    assert (answer["ok"], answer["is_whole"], answer["days"], answer["failed"]) == (True, True, 5, 0)
    assert [row["name"] for row in answer["rows"]] == ["seeded days"]
    assert answer["coverage"]["transitions"]["session clock WAITING HEALTH_CHECK health_window"] > 0


def test_a_failure_ends_with_six_and_the_command_that_plays_it_again(folder, monkeypatch):
    commit = Floor.commit

    def forgetting(self, *rows, **named):
        commit(self, *rows, **named)
        if any(isinstance(row, OrderAnswered) for row in rows):
            self.ledger.orders_today += 1

    monkeypatch.setattr(Floor, "commit", forgetting)

    said = folder.do("drill", "--no-matrix", "--seeds", "3")

    assert said.code == 6
    assert "FAILED on" in said.out
    again = next(line for line in said.err.splitlines() if "again:" in line)
    assert f'drill {folder.session} --seed "' in again
    assert "replay: row" in said.err


def test_an_interrupted_drill_tells_what_was_played(folder, monkeypatch):
    play = Drill.play
    played = iter(range(7))

    def interrupted(self, scenario):
        if next(played, None) is None:
            raise KeyboardInterrupt
        return play(self, scenario)

    monkeypatch.setattr(Drill, "play", interrupted)

    said = folder.do("drill", "--no-matrix", "--seeds", "50")

    assert said.code == 130
    assert "7 days, all pass. Interrupted" in said.out


def test_one_seed_prints_its_journal_and_its_verdict(folder):
    said = folder.do("drill", "--seed", "4")

    assert said.code == 0
    assert "Scenario(seed=4" in said.out
    assert "RunStarted" in said.out
    assert "every invariant held" in said.out


def test_one_case_is_played_as_a_failure_names_it(folder):
    said = folder.do("drill", "--case", "exit: answer lost,41,7")

    assert said.code == 0
    assert "2 of 3 processes were ended" in said.out


def test_a_case_that_is_none_is_refused_in_words(folder):
    said = folder.do("drill", "--case", "exit: nonsense")

    assert said.code == 2
    assert "expected a trouble and boundaries" in said.err


def test_it_is_the_own_machine_that_is_drilled(folder):
    (folder.path / "trade.yaml").write_text("machine: trade\n", encoding="utf-8")
    folder.edit("trade: builtin", "trade: trade.yaml")

    said = folder.do("drill", "--no-matrix", "--seeds", "1")

    assert said.code == 2
    assert "trade.yaml" in said.err


def test_a_drill_of_nothing_is_refused(folder):
    said = folder.do("drill", "--no-matrix", "--seeds", "0")

    assert said.code == 2
    assert "expected a day to play" in said.err


def test_a_case_that_ends_no_process_is_refused(folder):
    said = folder.do("drill", "--case", "exit: answer lost,999999")

    assert said.code == 2
    assert "this day has the boundaries for 0" in said.err
