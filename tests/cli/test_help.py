"""Every verb explains itself, and the page about the command line says the same."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsm_trader.cli.main import _parser, main

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")


def _verbs(parser: argparse.ArgumentParser, words: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield every command and its parser, ``journal list`` and the like among them."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, verb in action.choices.items():
                yield f"{words}{name}", verb
                yield from _verbs(verb, f"{words}{name} ")


VERBS = dict(_verbs(_parser()))


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb, capsys):
    with pytest.raises(SystemExit) as left:
        main([*verb.split(), "--help"])

    said = capsys.readouterr().out
    assert left.value.code == 0
    assert f"example:\n  python -m fsm_trader {verb.split()[0]} " in said


@pytest.mark.parametrize("verb", VERBS)
def test_the_page_names_every_verb_and_each_of_its_options(verb):
    options = [option for action in VERBS[verb]._actions for option in action.option_strings]
    heading = f"\n## {verb.split()[0]}\n"
    assert heading in PAGE
    section = PAGE[PAGE.index(heading) + len(heading) :].partition("\n## ")[0]

    assert [
        option for option in options if option not in ("-h", "--help") and not re.search(rf"`{option}\b", section)
    ] == []
    assert f"python -m fsm_trader {verb}" in section


def test_the_page_explains_each_verb_once():
    titles = re.findall(r"^## (.+)$", PAGE, flags=re.MULTILINE)

    assert len(titles) == len(set(titles))


def test_the_page_names_no_verb_that_does_not_exist():
    named = set(re.findall(r"python -m fsm_trader ([a-z]+)\b(?!\.yaml)", PAGE))
    assert named

    assert named <= {verb.split()[0] for verb in VERBS}


def test_the_page_and_the_help_tell_the_same_exit_codes(capsys):
    assert main([]) == 0
    told = re.findall(r"^  (\d)  (.+)$", capsys.readouterr().out, flags=re.MULTILINE)

    assert len(told) == 7
    assert [row for row in told if f"| {row[0]} | {row[1]} |" not in PAGE] == []


@pytest.mark.parametrize("words", [["rnu"], ["rnu", "session.yaml"]])
def test_an_unknown_verb_is_refused_with_the_verbs_there_are(words, capsys):
    with pytest.raises(SystemExit) as left:
        main(words)

    said = capsys.readouterr().err
    assert left.value.code == 2
    assert "'rnu'" in said
    assert all(verb.split()[0] in said for verb in VERBS)


def test_help_loads_nothing_heavy():
    heavy = ("pyarrow", "requests", "sqlalchemy", "rich", "transitions", "yaml", "tenacity")
    code = (
        "import sys; from fsm_trader.cli.main import main\n"
        "try: main(['run', '--help'])\n"
        f"except SystemExit: print('LOADED', [name for name in {heavy} if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT)}
    )

    assert done.stdout.splitlines()[-1] == "LOADED []"
