"""Fault plans as people write them: a strict YAML file, or single faults as flow mappings on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from fsm_trader.errors import SetupError
from fsm_trader.simulate.sandbox.faults import CALLS, KINDS, OWN_CALLS, WRITES, FaultPlan, PlannedFault
from fsm_trader.strict_yaml import Node, Reader, parse, scan_file, sorted_faults

_Value = TypeVar("_Value")
_GROUPS = {"any": CALLS, "writes": WRITES, "reads": tuple(call for call in CALLS if call not in WRITES)}
_ERROR_TYPES = (
    "GeneralException",
    "InputException",
    "MarginException",
    "NetworkException",
    "OrderException",
    "PermissionException",
    "TokenException",
    "DataException",
)
_KEYS = (
    "call",
    "from",
    "until",
    "times",
    "skip",
    "tags",
    "chance",
    "status",
    "error_type",
    "message",
    "done",
    "delay",
    "age",
)
_NEEDS = {"http_error": ("status",), "html_error": ("status",), "delay": ("delay",), "token_death": ("from",)}
_ONLY = {
    "status": ("http_error", "html_error"),
    "error_type": ("http_error",),
    "message": ("http_error", "html_error"),
    "done": ("http_error", "html_error"),
    "delay": ("delay", "lost_request", "lost_answer"),
    "age": ("stale_positions",),
}
_STREAM = ("silent_stream", "closed_stream", "token_death")
_LEAST_CHANCE = Decimal("0.0001")
_OF_REQUESTS = ("call", "times", "skip", "tags", "chance")


def read_plan(file: Path | None, flags: Sequence[str] = ()) -> FaultPlan:
    """Return the plan of a file, followed by faults written as flow mappings.

    Args:
        file: strict YAML with ``seed`` and ``faults``; None: only the flags.
        flags: such as ``{kind: lost_answer, call: place}``.

    Raises:
        SetupError: every fault of the file, or else of the flags.
    """
    reader = Reader()
    seed, faults = (1, []) if file is None else _of_file(reader, file)
    for number, flag in enumerate(flags, start=1):
        source = "--fault" if len(flags) == 1 else f"--fault (number {number})"
        fault = _planned(reader, parse(flag, source=source))
        faults += [] if fault is None else [fault]
    reader.finish()
    return FaultPlan(seed=seed, faults=tuple(faults))


def _of_file(reader: Reader, file: Path) -> tuple[int, list[PlannedFault]]:
    scanned = scan_file(file)
    if scanned.node is None or scanned.faults:
        raise SetupError(sorted_faults(scanned.faults))
    found = reader.mapping(scanned.node, required=("faults",), optional=("seed",))
    seed = reader.integer(found["seed"], least=0, most=2**63 - 1) if "seed" in found else 1
    nodes = reader.sequence(found["faults"]) if "faults" in found else []
    return seed or 0, [fault for node in nodes if (fault := _planned(reader, node)) is not None]


def _planned(reader: Reader, node: Node) -> PlannedFault | None:
    before = len(reader.faults)
    found = reader.mapping(node, required=("kind",), optional=_KEYS)
    name = reader.text(found["kind"], choices=KINDS) if "kind" in found else None
    kind = next((each for each in KINDS if each == name), None)
    if kind is None:
        return None
    _check_keys(reader, node, found, kind)
    calls = _calls(reader, found, node, kind)
    windowed = "from" in found or "until" in found
    fault = PlannedFault(
        kind=kind,
        calls=calls,
        since=reader.time_of_day(found["from"]) if "from" in found else None,
        until=reader.time_of_day(found["until"]) if "until" in found else None,
        times=reader.integer(found["times"], least=1, most=10**6) if "times" in found else None if windowed else 1,
        skip=(reader.integer(found["skip"], least=0, most=10**6) if "skip" in found else 0) or 0,
        tags=_text(reader, found, "tags", "*"),
        chance=_or(reader.percent(found["chance"], least=_LEAST_CHANCE, most=Decimal(1)), Decimal(1))
        if "chance" in found
        else Decimal(1),
        status=(reader.integer(found["status"], least=400, most=599) if "status" in found else None) or 502,
        error_type=_choice(reader, found),
        message=_text(reader, found, "message", "Something went wrong."),
        done=bool(reader.flag(found["done"])) if "done" in found else False,
        delay=_duration(reader, found, "delay", timedelta(milliseconds=1), timedelta(minutes=2)),
        age=_duration(reader, found, "age", timedelta(seconds=1), timedelta(hours=6)),
    )
    if fault.since is not None and fault.until is not None and fault.until <= fault.since:
        reader.fault(found["until"], f"was {found['until'].text}; expected later than from, {found['from'].text}")
    return fault if len(reader.faults) == before else None


def _check_keys(reader: Reader, node: Node, found: dict[str, Node], kind: str) -> None:
    for name in _NEEDS.get(kind, ()):
        if name not in found:
            reader.fault(node, f"key {name!r} is missing; {kind} needs it")
    for name, value in found.items():
        kinds = _ONLY.get(name)
        if kinds is not None and kind not in kinds:
            reader.fault(value, f"{name} has no meaning for {kind}; it belongs to {', '.join(kinds)}")
        if kind in _STREAM and name in _OF_REQUESTS:
            reader.fault(value, f"{name} has no meaning for {kind}, which is about no single request; expected from")
    if kind == "token_death" and "until" in found:
        reader.fault(found["until"], "a dead token stays dead; expected from alone: a new login ends it")


def _calls(reader: Reader, found: dict[str, Node], node: Node, kind: str) -> tuple[str, ...]:
    own = next((calls for each, calls in OWN_CALLS.items() if each == kind), None)
    given = found.get("call")
    if given is None:
        if own is None:
            reader.fault(node, f"key 'call' is missing; expected one of {', '.join((*_GROUPS, *CALLS))}")
        return own or ()
    nodes = reader.sequence(given) if given.kind == "sequence" else [given]
    allowed = (*_GROUPS, *CALLS) if own is None else own
    names = [reader.text(each, choices=allowed) for each in nodes] if kind not in _STREAM else []
    calls = [call for name in names if name is not None for call in _GROUPS.get(name, (name,))]
    return tuple(dict.fromkeys(calls))


def _text(reader: Reader, found: dict[str, Node], name: str, default: str) -> str:
    if name not in found:
        return default
    return reader.text(found[name], pattern=r"[ -~]{1,200}", expected="1 to 200 plain characters") or default


def _choice(reader: Reader, found: dict[str, Node]) -> str:
    if "error_type" not in found:
        return "GeneralException"
    return reader.text(found["error_type"], choices=_ERROR_TYPES) or "GeneralException"


def _duration(reader: Reader, found: dict[str, Node], name: str, least: timedelta, most: timedelta) -> timedelta:
    default = timedelta(seconds=30)
    return _or(reader.duration(found[name], least=least, most=most), default) if name in found else default


def _or(value: _Value | None, default: _Value) -> _Value:
    return default if value is None else value
