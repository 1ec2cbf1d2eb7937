"""Each house rule finds what breaks it and leaves alone what keeps it."""

from __future__ import annotations

import pytest

from . import rules

LINE = "    x = 1\n"
WORK, HOST = "wo" + "rk", "py" + "pi.example"


def function(lines: int, *, docstring: int = 0) -> str:
    words = '    """' + "word\n" * docstring + '    """\n' if docstring else ""
    return "def f():\n" + words + LINE * (lines - 1)


def test_a_module_of_400_lines_is_the_longest_there_is() -> None:
    assert rules.long_module("\n" * 400) == []
    assert rules.long_module("\n" * 401) == ["401 lines; expected at most 400"]


@pytest.mark.parametrize("docstring", [0, 5, 80])
def test_a_function_of_60_lines_is_the_longest_whatever_its_docstring(docstring) -> None:
    assert rules.long_functions(function(60, docstring=docstring)) == []
    assert rules.long_functions(function(61, docstring=docstring)) == ["1: f has 61 lines; expected at most 60"]


def test_methods_and_coroutines_are_functions_too() -> None:
    method = "class A:\n" + "".join("    " + line + "\n" for line in function(61).splitlines())

    assert rules.long_functions(method) == ["2: f has 61 lines; expected at most 60"]
    assert rules.long_functions("async " + function(61)) == ["1: f has 61 lines; expected at most 60"]


@pytest.mark.parametrize("text", ["", "x = 1\n", '"""  """\n', "# a comment is no docstring\n", "x = 1\n'''late'''\n"])
def test_a_module_without_a_docstring_is_found(text) -> None:
    assert rules.no_docstring(text) == ["no module docstring"]
    assert rules.no_docstring('"""What it is for."""\n' + text) == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a/utils.py", ""),
        ("a/order_helpers.py", ""),
        ("a/common/orders.py", ""),
        ("a/orders.py", "class OrderManager: ..."),
        ("a/orders.py", "class A:\n    def common_part(self): ..."),
        ("a/orders.py", "async def helper(): ..."),
    ],
)
def test_a_name_that_says_nothing_is_found(path, text) -> None:
    (fault,) = rules.empty_names(path, text)

    assert fault.endswith("says nothing of what it is for")


def test_names_that_only_contain_such_a_word_are_left_alone() -> None:
    text = "from contextlib import contextmanager\nclass Commonwealth: ...\ndef utilise(): ..."

    assert rules.empty_names("a/uncommon.py", text) == []


@pytest.mark.parametrize(
    "handler",
    [
        "except Exception:\n    pass",
        "except Exception as error:\n    print(error)",
        "except:\n    pass",
        "except BaseException:\n    pass",
        "except (ValueError, Exception):\n    pass",
        "except builtins.Exception:\n    pass",
        "except Exception as error:\n    raise KeyError",
        "except Exception as error:\n    if error.args:\n        raise KeyError from error",
    ],
)
def test_a_blind_except_that_does_not_raise_from_it_is_found(handler) -> None:
    (fault,) = rules.blind_excepts(f"try:\n    f()\n{handler}\n")

    assert fault == "3: catches everything and does not raise from it"


@pytest.mark.parametrize(
    "handler",
    [
        "except ValueError:\n    pass",
        "except Exception as error:\n    raise KeyError from error",
        "except BaseException:\n    undo()\n    raise",
    ],
)
def test_an_except_that_is_narrow_or_raises_again_is_left_alone(handler) -> None:
    assert rules.blind_excepts(f"try:\n    f()\n{handler}\n") == []


def test_suppressing_everything_is_found() -> None:
    assert rules.blind_excepts("with suppress(KeyError, Exception):\n    f()") == ["1: suppresses everything"]
    assert rules.blind_excepts("with contextlib.suppress(Exception):\n    f()") == ["1: suppresses everything"]
    assert rules.blind_excepts("with suppress(KeyError):\n    f()") == []


@pytest.mark.parametrize("word", ["TO" + "DO", "FIX" + "ME", "X" * 3, "HA" + "CK"])
def test_open_work_is_found_with_its_line(word) -> None:
    assert rules.open_work(f"one\n# {word}: later\n") == [f"2: {word}"]
    assert rules.open_work(f"a {word.lower()} list, and {word}S\n") == []


@pytest.mark.parametrize(
    "text",
    [
        f"see /{WORK}/main",
        f'path = "/{WORK}/x"',
        "/" + "home/trader/x",
        "(/" + "root/.config)",
        "file: /" + "Users/me",
        "C:\\Us" + "ers\\me",
        f"https://{HOST}/simple",
        "https://files.python" + "hosted.org/x",
        "pip install --index" + "-url x",
    ],
)
def test_a_place_of_one_machine_or_a_package_index_is_found(text) -> None:
    (fault,) = rules.machine_places(f"fine\n{text}\n")

    assert fault.startswith("2: ")


@pytest.mark.parametrize(
    "text",
    [
        "var/journal.db",
        "sqlite:///var/journal.db",
        f"homework, frame{WORK}/x and tests/{WORK}/x",
        "https://api.kite.trade/orders",
        "/etc/systemd/system",
        "https://example.org/" + "home/page",
    ],
)
def test_other_paths_and_addresses_are_left_alone(text) -> None:
    assert rules.machine_places(text) == []
