"""The page about running a recorded day, followed to the letter."""

from __future__ import annotations

import re
import subprocess
import sys

from .conftest import ROOT

PAGE = (ROOT / "docs" / "how-to" / "run-a-recorded-day.md").read_text(encoding="utf-8")
LONGEST_RUN_S = 30


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


def test_the_pages_files_and_commands_play_a_real_day(folder, data):
    recorded = data("options/nifty_1min/2021-06-14")
    (folder.path / "days").mkdir()
    (folder.path / "days" / "2021-06-14").symlink_to(recorded)
    folder.session.write_text(blocks("yaml")[0], encoding="utf-8")
    run, listing = (block.removeprefix("$ ").split() for block in blocks("console"))

    said = [
        subprocess.run(
            [sys.executable, *words[1:]],
            cwd=folder.path,
            env={"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=LONGEST_RUN_S,
            check=False,
        )
        for words in (run, listing)
    ]

    assert run == ["python", "-m", "fsm_trader", "session.yaml"]
    assert [done.returncode for done in said] == [0, 0]
    assert "Trades of 2021-06-14" in said[0].stdout
    assert said[0].stdout.rstrip().endswith("Flat.")
    assert "after the close (15:30)" in said[1].stdout


def test_the_pages_index_only_day_is_played(folder, data):
    recorded = data("index/nifty50_1min_2024-01-01_2024-06-28.parquet")
    (folder.path / "nifty50_1min.parquet").symlink_to(recorded)
    whole, market = blocks("yaml")
    rest = re.sub(r"^market:\n(?:  .*\n)+", "", whole, flags=re.MULTILINE)
    folder.session.write_text(rest + market, encoding="utf-8")

    said = folder.run()

    assert said.code == 0
    assert "Trades of 2024-01-20" in said.out


def test_the_pages_session_file_needs_nothing_that_is_not_on_it(folder):
    (folder.path / "days").mkdir()
    folder.session.write_text(blocks("yaml")[0], encoding="utf-8")

    said = folder.run()

    assert said.code == 2
    assert len(said.err.splitlines()) == 2
    assert f"{folder.path / 'days'}: no index file" in said.err
