"""The house rules that no linter of ours knows, each as a function from text to the places that break it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

MODULE_LINES = 400
FUNCTION_LINES = 60
# Names that say nothing of what a thing is for.
EMPTY_WORDS = frozenset({"util", "utils", "helper", "helpers", "manager", "managers", "common"})
# Put together here, so that this file does not break its own rules.
_OPEN_WORK = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3, "HA" + "CK")) + r")\b")
_PLACES = re.compile(
    "|".join(
        (
            r"(?<![\w.}/-])/(?:" + "|".join(("wo" + "rk", "ro" + "ot", "ho" + "me", "Us" + "ers")) + r")/[\w.]",
            r"\b[A-Z]:\\(?:Us" + r"ers|Program)",
            r"\bpy" + r"pi\.\w",
            r"python" + r"hosted\.\w",
            r"--(?:extra-)?index" + r"-url",
            r"\bnpm" + r"js\.\w",
            r"\bana" + r"conda\.(?:org|com)",
        )
    )
)


def long_module(text: str) -> list[str]:
    """A module of more than 400 lines has more than one thing to say."""
    lines = text.count("\n")
    return [f"{lines} lines; expected at most {MODULE_LINES}"] if lines > MODULE_LINES else []


def long_functions(text: str) -> list[str]:
    """A function of more than 60 lines, its docstring not counted, does more than one thing."""
    return [
        f"{node.lineno}: {node.name} has {length} lines; expected at most {FUNCTION_LINES}"
        for node in _functions(text)
        if (length := _length(node)) > FUNCTION_LINES
    ]


def no_docstring(text: str) -> list[str]:
    """A module says what it is for."""
    return [] if (ast.get_docstring(ast.parse(text)) or "").strip() else ["no module docstring"]


def empty_names(path: str, text: str) -> list[str]:
    """Folders, modules, classes and functions are not called after nothing in particular."""
    defined = (
        (f"{node.lineno}: ", node.name)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    )
    parts = (("", part) for part in path.removesuffix(".py").split("/"))
    return [
        f"{where}{name} says nothing of what it is for"
        for where, name in (*parts, *defined)
        if EMPTY_WORDS & _words(name)
    ]


def blind_excepts(text: str) -> list[str]:
    """Whoever catches everything raises again, and names the cause."""
    tree = ast.parse(text)
    caught = [
        f"{node.lineno}: catches everything and does not raise from it"
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler) and _is_blind(node.type) and not _raises(node)
    ]
    suppressed = [
        f"{node.lineno}: suppresses everything"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and _name(node.func) == "suppress" and any(map(_is_blind, node.args))
    ]
    return caught + suppressed


def open_work(text: str) -> list[str]:
    """Open work lives in the issue tracker, not in a file."""
    return _found(_OPEN_WORK, text)


def machine_places(text: str) -> list[str]:
    """No file knows the folders of one machine, or where packages are fetched from."""
    return _found(_PLACES, text)


def _found(pattern: re.Pattern[str], text: str) -> list[str]:
    return [
        f"{number}: {found.group()}"
        for number, line in enumerate(text.splitlines(), 1)
        if (found := pattern.search(line)) is not None
    ]


def _functions(text: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = node.body[0]
    documented = ast.get_docstring(node, clean=False) is not None
    return _lines(node) - (_lines(first) if documented else 0)


def _lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _words(name: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name)}


def _is_blind(kind: ast.expr | None) -> bool:
    if kind is None:
        return True
    if isinstance(kind, ast.Tuple):
        return any(map(_is_blind, kind.elts))
    return _name(kind) in ("Exception", "BaseException")


def _raises(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and (last.exc is None or last.cause is not None)


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
