"""The README, the changelog and every command on a page, held against the program."""

from __future__ import annotations

import re
import shlex
import signal
import sys
from pathlib import Path

import pytest
import yaml

from fsm_trader.cli import main as cli

from .conftest import SampleDay
from .pages import PAGES, ROOT, blocks, commands, missing_chunk, read_until, running, text_of, trader

README = text_of("README.md")
CHANGELOG = text_of("CHANGELOG.md")
# A page of its own accord looks ahead to a verb that this version does not have.


def _section(title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", README, flags=re.MULTILINE | re.DOTALL)
    assert found is not None, f"README has no section {title!r}"
    return found[1]


def _verb_of(words: list[str]) -> str:
    """Return the verb of a command, as the program itself sees it."""
    parser = cli._parser()
    verbs = cli._verbs(parser)
    if words[0] not in verbs and not words[0].startswith("-"):
        assert words[0].endswith(".yaml"), f"no verb and no file: {words}"
        words = ["run", *words]
    parser.parse_args(words)
    return words[0]


def test_the_readme_has_its_sections_in_order_and_prose_by_line_three() -> None:
    titles = re.findall(r"^## (.+)$", README, flags=re.MULTILINE)

    assert README.splitlines()[0] == "# fsm_trader"
    assert re.match(r"[a-z]", README.splitlines()[2])
    assert titles == [
        "Two commands",
        "What may happen is data",
        "Kill it in mid-trade",
        "What is promised, and what is not",
        "Money",
        "Install",
        "Map",
        "Exit codes",
        "Licence",
    ]


def test_the_machine_in_the_readme_is_fourteen_lines_of_the_one_that_runs() -> None:
    [excerpt] = blocks(README, "yaml")

    assert excerpt in text_of("fsm_trader/machines/trade.yaml")
    assert len(excerpt.splitlines()) == 14
    assert all(move["source"] in ("ACTIVE", "PENDING_EXIT") for move in yaml.safe_load(excerpt))


def test_the_output_in_the_readme_is_what_the_sample_day_prints(sample_day: SampleDay) -> None:
    [excerpt] = blocks(_section("What may happen is data"), "console")
    command, _, shown = excerpt.partition("\n")

    assert command == "$ make run"
    assert missing_chunk(shown, sample_day.done.stdout) is None


def test_the_killed_trade_of_the_readme_goes_on_as_shown(two_files: Path) -> None:
    [excerpt] = blocks(_section("Kill it in mid-trade"), "console")
    before, status, after = (part.partition("\n")[2] for part in excerpt.split("$ ")[1:])
    calm = (two_files / "session.yaml").read_text(encoding="utf-8")
    (two_files / "session.yaml").write_text(calm.replace("market:\n", "market:\n  speed: 400\n"), encoding="utf-8")

    with running([sys.executable, "-m", "fsm_trader", "session.yaml"], two_files) as process:
        printed = read_until(process, "held until")
        process.send_signal(signal.SIGKILL)
        process.wait()
    (two_files / "session.yaml").write_text(calm, encoding="utf-8")
    told = trader("status", "session.yaml", folder=two_files)
    resumed = trader("session.yaml", "--log", "none", folder=two_files)

    assert missing_chunk(before.replace("Killed\n", ""), printed, masked=True) is None
    assert missing_chunk(status, told.stdout, masked=True) is None
    assert missing_chunk(after, resumed.stdout, masked=True) is None
    assert "20260617-001 ACTIVE, 65 units held" in resumed.stdout
    assert resumed.returncode == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_on_a_page_is_one_the_program_and_the_makefile_know(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):.*## ", text_of("Makefile"), flags=re.MULTILINE))
    text = page.read_text(encoding="utf-8")
    typed = [*commands(text), *(line for block in blocks(text, "bash") for line in block.splitlines())]

    for command in typed:
        words = shlex.split(command, comments=True)
        if words[:1] == ["make"]:
            assert set(words[1:]) <= targets, command
        if "fsm_trader" in words:
            _verb_of(words[words.index("fsm_trader") + 1 :])


def test_every_verb_has_its_line_in_the_readme_and_no_other() -> None:
    shown = re.findall(r"^\| `python -m fsm_trader ([^`]+)` \|", _section("Install"), flags=re.MULTILINE)

    assert {_verb_of(shlex.split(line)) for line in shown} == set(cli._verbs(cli._parser()))


def test_the_exit_codes_of_the_readme_are_those_of_the_program() -> None:
    shown = re.findall(r"^\| (\d+) \| (.+) \|$", _section("Exit codes"), flags=re.MULTILINE)

    assert shown == re.findall(r"^  (\d+)  (.+)$", cli._CODES, flags=re.MULTILINE)


def test_a_root_in_the_clear_is_refused_as_the_readme_says(two_files: Path) -> None:
    file = two_files / "session.yaml"
    text = (
        file.read_text(encoding="utf-8")
        .replace("kind: paper", "kind: kite")
        .replace("recorded: sample", "recorded: null")
    )
    keys = "  kite: {root: 'http://kite.example', api_key: '${KEY}', access_token: '${KEY}'}\n"
    file.write_text(text.replace("  product: MIS\n", f"  product: MIS\n{keys}"), encoding="utf-8")
    (two_files / "KEY").write_text("x\n", encoding="utf-8")

    done = trader("session.yaml", folder=two_files, CREDENTIALS_DIRECTORY=str(two_files))

    assert done.returncode == 2
    assert "plain http to kite.example" in done.stderr


def test_every_file_and_folder_of_the_map_exists() -> None:
    rows = re.findall(r"^\| (.+?) \| ", _section("Map"), flags=re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"`([\w./]+)`", row)]

    assert len(names) > 10
    for name in names:
        assert (ROOT / name).exists() or (ROOT / "fsm_trader" / name).is_dir(), name


def test_the_changelog_answers_both_questions_for_each_release() -> None:
    releases = dict(re.findall(r"^## (\d\S*)\n(.*?)(?=^## |\Z)", CHANGELOG, flags=re.MULTILINE | re.DOTALL))

    assert cli.__version__ in releases
    assert "## Unreleased" in CHANGELOG
    for text in releases.values():
        assert "**May I upgrade with a position open?**" in text
        assert "**Do old journals replay?**" in text


def test_a_made_up_line_is_noticed(sample_day: SampleDay) -> None:
    output = sample_day.done.stdout
    first, second, third = output.splitlines()[:3]

    assert missing_chunk(f"{first}\n...\n{third}\n", output) is None
    assert missing_chunk(f"{first}\n{third}\n", output) == [first, third]
    assert missing_chunk(f"{third}\n...\n{first}\n", output) == [first]
    assert missing_chunk(second.replace("run started", "run began"), output) is not None
