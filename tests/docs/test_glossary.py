"""One word for each idea: the glossary's words are in the code, and the words it turns down are not."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from .pages import ROOT, text_of

PAGE = text_of("docs/reference/glossary.md")
ITEM = re.compile(r"^- \*\*(?P<word>[^*]+)\*\*: (?P<meaning>.*)$", flags=re.MULTILINE)
NOT = re.compile(r"\*not: ([^*]+)\.\*$")


def wanted_words() -> list[str]:
    return re.findall(r"\*\*([^*]+)\*\*", "\n".join(item[0] for item in ITEM.finditer(PAGE)))


def forbidden_words() -> list[str]:
    found = (NOT.search(item["meaning"]) for item in ITEM.finditer(PAGE))
    return [word for match in found if match is not None for word in match[1].split(", ")]


def names_in(source: str) -> Iterator[str]:
    """Yield every name that *source* gives to something: modules' own names, not those of libraries they use."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name
            case _:
                continue


def words_of(name: str) -> str:
    """Spell a name in small letters with underscores at both ends and between its words: ``_order_book_``."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return f"_{spaced.strip('_').lower()}_"


def turned_down(source: str, words: list[str]) -> list[str]:
    """Return the names in *source* that hold one of *words*, alone or in the plural."""
    return sorted(
        name for name in names_in(source) for word in words if re.search(rf"_{word}s?_", words_of(name)) is not None
    )


def package_files() -> list[Path]:
    return sorted((ROOT / "fsm_trader").rglob("*.py"))


@cache
def all_names() -> str:
    return "\n".join(words_of(name) for path in package_files() for name in names_in(path.read_text(encoding="utf-8")))


@cache
def all_values() -> str:
    """Return the modules whose values are words of the glossary: answers, statuses and kinds."""
    return "".join(text_of(f"fsm_trader/core/{name}.py") for name in ("records", "orders")).lower()


def test_every_line_of_the_glossary_is_an_entry_a_title_or_prose() -> None:
    bullets = [line for line in PAGE.splitlines() if line.startswith("- ")]

    assert len(bullets) == len(list(ITEM.finditer(PAGE))) > 50
    assert all(("*not: " in bullet) == (NOT.search(bullet) is not None) for bullet in bullets)


def test_no_word_is_both_wanted_and_turned_down() -> None:
    assert {word.replace(" ", "_") for word in wanted_words()}.isdisjoint(forbidden_words())


def test_no_word_is_explained_twice() -> None:
    words = wanted_words()

    assert sorted(words) == sorted(set(words))


@pytest.mark.parametrize("word", wanted_words())
def test_every_word_of_the_glossary_is_in_use(word: str) -> None:
    spelled = word.replace(" ", "_")

    in_names = re.search(rf"_{spelled}s?_", all_names()) is not None
    in_values = f'"{word}"' in all_values()
    is_module = any(spelled in (path.stem, path.parent.name) for path in package_files())

    assert in_names or in_values or is_module


@pytest.mark.parametrize("path", package_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_names_anything_with_a_word_the_glossary_turns_down(path: Path) -> None:
    assert turned_down(path.read_text(encoding="utf-8"), forbidden_words()) == []
    assert turned_down(f"{path.stem.strip('_') or 'package'} = 1", forbidden_words()) == []


@pytest.mark.parametrize(
    "source",
    ["qty = 1", "def send(order_qty): ...", "class TradeFees: ...", "self.lastLTP = 2", "max_qtys: int = 3"],
)
def test_a_turned_down_word_is_noticed_wherever_a_name_is_given(source: str) -> None:
    assert turned_down(source, ["qty", "fees", "ltp"]) != []


def test_a_word_inside_another_word_is_no_fault() -> None:
    assert turned_down("feeding = both = slow = 1", ["fee", "bot", "sl"]) == []
