"""Finds and builds strategies by the names and params of strategies.yaml. It knows no file and no broker."""

from __future__ import annotations

import difflib
import inspect
import re
import traceback
from collections.abc import Iterable
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from fsm_trader.errors import SetupError
from fsm_trader.strategy.protocol import Strategy

GROUP = "fsm_trader.strategies"
"""Entry-point group under which an installed package registers its strategies."""

# Known without an installed distribution, so that a plain checkout runs; pyproject.toml registers the same.
BUILT_IN = {
    "DonchianBreakout": "fsm_trader.strategy.donchian:DonchianBreakout",
    "MovingAverageCross": "fsm_trader.strategy.moving_average:MovingAverageCross",
    "OpeningRange": "fsm_trader.strategy.opening_range:OpeningRange",
}
_TARGET = re.compile(r"(?P<module>[^\W\d]\w*(\.[^\W\d]\w*)*):(?P<name>[^\W\d]\w*)")


def find(class_name: str) -> type[Strategy]:
    """Return the strategy class that a registered name or ``package.module:Class`` stands for.

    Built-in names come first and cannot be taken by a plug-in. Finding a class imports its module.

    Raises:
        SetupError: there is none, its module cannot be imported, or it is not a strategy class.
    """
    target = _target(class_name)
    match = _TARGET.fullmatch(target)
    if match is None:
        raise _fault(class_name, f"was {target!r}; expected a registered name or package.module:Class")
    module = _import(class_name, match["module"])
    return _class_in(module, class_name, match["name"])


def build(class_name: str, params: dict[str, Any]) -> Strategy:
    """Build a strategy with *params* as keyword arguments.

    Numbers that are not whole arrive as ``Decimal``.

    Raises:
        SetupError: the class is not found, does not take *params*, or does not keep the Strategy protocol.
    """
    found = find(class_name)
    _check_names(class_name, found, params)
    try:
        strategy = found(**params)
        warmup = getattr(strategy, "warmup", None)
    except (TypeError, ValueError) as error:
        raise _fault(class_name, f"params do not fit: {error}") from error
    # Anyone's code runs here; what goes wrong in it becomes a fault of the file.
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        raise _fault(class_name, f"building it failed with {_told(error)}") from error
    _check_built(class_name, strategy, warmup)
    return strategy


def check(class_name: str, params: dict[str, Any]) -> str | None:
    """Say why a strategy cannot be built from *params*, or None when it can; tried by building one."""
    try:
        build(class_name, params)
    except SetupError as error:
        return "; ".join(f"{fault.where}: {fault.message}" for fault in error.faults)
    return None


def _target(class_name: str) -> str:
    if ":" in class_name:
        return class_name
    if class_name in BUILT_IN:
        return BUILT_IN[class_name]
    installed = entry_points(group=GROUP)
    targets = sorted({entry.value for entry in installed if entry.name == class_name})
    if len(targets) > 1:
        raise _fault(
            class_name, f"registered as {' and as '.join(targets)}; expected one: write it as package.module:Class"
        )
    if targets:
        return targets[0]
    raise _fault(class_name, _unknown(class_name, {*BUILT_IN, *installed.names}))


def _unknown(class_name: str, known: set[str]) -> str:
    package, dot, name = class_name.rpartition(".")
    if dot:
        return f"unknown strategy; expected a colon before the class: {package}:{name}"
    return f"unknown strategy{_meant(class_name, known)}; known: {_listed(known)}, or package.module:Class"


def _import(class_name: str, name: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            message = f"no module {error.name!r}; expected it beside the session file or installed"
            raise _fault(class_name, message) from error
        raise _fault(class_name, f"importing module {name!r} failed with {_told(error)}") from error
    # Anyone's code runs here, and one that ends the process must not do so without a word.
    except (Exception, SystemExit) as error:
        raise _fault(class_name, f"importing module {name!r} failed with {_told(error)}") from error


def _class_in(module: ModuleType, class_name: str, name: str) -> type[Strategy]:
    found = getattr(module, name, None)
    if found is None:
        classes = {key for key, value in vars(module).items() if inspect.isclass(value) and not key.startswith("_")}
        place = getattr(module, "__file__", None) or "built into Python"
        raise _fault(class_name, f"module {module.__name__!r} ({place}) has no {name!r}{_meant(name, classes)}")
    if not inspect.isclass(found):
        raise _fault(class_name, f"{name!r} is of type {type(found).__name__}; expected a class")
    if not callable(getattr(found, "update", None)):
        raise _fault(class_name, "the class has no method update(candle); expected one and a property warmup")
    return cast("type[Strategy]", found)


def _check_names(class_name: str, found: type[Strategy], params: dict[str, Any]) -> None:
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):  # A class written in C may not tell; building it will.
        return
    known = [parameter for parameter in signature.parameters.values() if parameter.kind not in _OPEN]
    names = {parameter.name for parameter in known}
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in signature.parameters.values())
    faults = [
        f"unknown parameter {name!r}{_meant(str(name), names)}; known: {_listed(names)}"
        for name in params
        if name not in names and not takes_any
    ]
    missing = [item.name for item in known if item.default is item.empty and item.name not in params]
    faults += [f"parameter {name!r} is missing; expected a value" for name in missing]
    if faults:
        raise _fault(class_name, "; ".join(faults))


_OPEN = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _check_built(class_name: str, strategy: Strategy, warmup: object) -> None:
    if not isinstance(warmup, int) or isinstance(warmup, bool) or warmup < 0:
        raise _fault(class_name, f"warmup was {warmup!r}; expected a property that gives a number of candles from 0")
    try:
        inspect.signature(strategy.update).bind(None)
    except TypeError as error:
        raise _fault(class_name, f"update does not take one candle ({error}); expected update(candle)") from error


def _told(error: BaseException) -> str:
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, SyntaxError):  # It names its own place; the frames are the importer's.
        return text
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{text} ({Path(frame.filename).name}, line {frame.lineno})"


def _meant(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _fault(class_name: str, message: str) -> SetupError:
    return SetupError.at(f"strategy class {class_name!r}", message)
