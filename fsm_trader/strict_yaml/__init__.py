"""Read YAML strictly: what a reader could take in two ways is refused with file, line, column and ``$.path``.

The one door to ``yaml``. It knows nothing of sessions, strategies or machines.

YAML 1.1 reads an unquoted ``15:20`` as 920, ``NO`` as false and ``010`` as 8, and keeps the last of two equal keys
without a word. Here all of these are faults, and every fault of a file is collected before one error is raised.
``${NAME}`` may stand unquoted everywhere, inside ``{...}`` too, where plain YAML would take its braces for a mapping.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from fsm_trader.errors import Fault, SetupError
from fsm_trader.strict_yaml.durations import parse_duration, show_duration
from fsm_trader.strict_yaml.nodes import MOST_SHOWN, Node, Scanned, did_you_mean, shown, sorted_faults
from fsm_trader.strict_yaml.reader import Reader

__all__ = [
    "Node",
    "Reader",
    "Scanned",
    "did_you_mean",
    "parse",
    "parse_duration",
    "read_file",
    "scan",
    "scan_file",
    "show_duration",
    "sorted_faults",
]

_MOST_BYTES = 1_000_000
_MOST_DEPTH = 30

_CONSTANTS = {"": None, "~": None, "null": None, "Null": None, "NULL": None, "true": True, "false": False}
_BOOL_LIKE = re.compile(r"true|false|yes|no|on|off", re.IGNORECASE)
_CLOCK_LIKE = re.compile(r"[-+]?[0-9][0-9_]*(:[0-9]+)+(\.[0-9_]*)?")
_PLAIN_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,39})")
_PLAIN_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]{0,39})\.[0-9]{1,40}")
_NUMBER_LIKE = re.compile(
    r"[-+]?([0-9][0-9_]*(\.[0-9_]*)?(e[-+]?[0-9]+)?|\.[0-9][0-9_]*(e[-+]?[0-9]+)?|0[xob][0-9a-f_]+|\.inf|\.nan)",
    re.IGNORECASE,
)
_DOUBTFUL = (
    (_CLOCK_LIKE, ""),
    (_BOOL_LIKE, "true, false or "),
    (_NUMBER_LIKE, "plain decimal digits or "),
)
_BARE_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,59}")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
# Each stands for one character of ${...}, so that columns stay true.
_DOLLAR, _OPEN, _CLOSE = "\ue000", "\ue001", "\ue002"
_SHIELD = str.maketrans({_DOLLAR: "$", _OPEN: "{", _CLOSE: "}"})


def parse(text: str | bytes, *, source: str) -> Node:
    """Parse one YAML document; *source* names it in faults.

    Raises:
        SetupError: the text is not strict YAML; every fault is listed.
    """
    return _tree_of(scan(text, source=source))


def read_file(path: Path) -> Node:
    """Parse the YAML document in a file of at most 1 MB.

    Raises:
        SetupError: the file cannot be read or is not strict YAML; every fault is listed.
    """
    return _tree_of(scan_file(path))


def scan_file(path: Path) -> Scanned:
    """Parse a file and return its faults instead of raising them, so that several files are judged together."""
    try:
        if path.exists() and not path.is_file():
            return Scanned(None, [Fault(str(path), "", "is not a file; expected a YAML file")], b"")
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return Scanned(None, [Fault(str(path), "", "not found; expected a YAML file")], b"")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return Scanned(None, [Fault(repr(str(path)), "", f"cannot be read ({reason}); expected a YAML file")], b"")
    return scan(data, source=str(path))


def scan(text: str | bytes, *, source: str) -> Scanned:
    """Parse one YAML document and return its faults instead of raising them; refused nodes are marked."""
    data = text if isinstance(text, bytes) else text.encode(errors="surrogatepass")
    if len(data) > _MOST_BYTES:
        return Scanned(None, [Fault(source, "", "is larger than 1 MB; expected a file written by a person")], data)
    try:
        decoded = data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        fault = Fault(_place(source, before), "", f"holds the byte 0x{data[error.start]:02x}; expected UTF-8 text")
        return Scanned(None, [fault], data)
    return _Scan(decoded, source).run(data)


def _tree_of(scanned: Scanned) -> Node:
    if scanned.faults or scanned.node is None:
        raise SetupError(sorted_faults(scanned.faults))
    return scanned.node


class _Scan:
    """Turn YAML events into nodes. Events, not PyYAML's nodes, still know of anchors and tags."""

    def __init__(self, text: str, source: str) -> None:
        self._source = source
        self._text = text
        self._faults: list[Fault] = []
        self._events: Iterator[Any] = iter(())

    def run(self, data: bytes) -> Scanned:
        own = re.search(f"[{_DOLLAR}-{_CLOSE}]", self._text)
        if own:
            message = "holds a private-use character (U+E000 to U+E002); expected text without it"
            return Scanned(None, [Fault(_place(self._source, self._text[: own.start()]), "", message)], data)
        root: Node | None = None
        try:
            shielded = _VARIABLE.sub(rf"{_DOLLAR}{_OPEN}\1{_CLOSE}", self._text)
            self._events = yaml.parse(shielded, Loader=yaml.SafeLoader)
            root = self._document()
        except yaml.YAMLError as error:
            self._faults.append(self._syntax_fault(error))
            root = None
        return Scanned(root, self._faults, data)

    def _document(self) -> Node | None:
        root: Node | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    self._fault(event, "$", "a second document starts here; expected one document in a file")
                    return root
                if event.version or event.tags:
                    self._fault(event, "$", "a % directive; expected none")
            elif isinstance(event, yaml.NodeEvent):
                root = self._node(event, "$", 0)
        if root is None or (root.kind == "scalar" and root.value is None and not root.refused):
            self._faults.append(Fault(f"{self._source}:1:1", "", "is empty; expected a YAML mapping"))
            return None
        return root

    def _node(self, event: Any, path: str, depth: int) -> Node:
        if depth > _MOST_DEPTH:
            raise yaml.MarkedYAMLError(
                problem=f"nested deeper than {_MOST_DEPTH} levels", problem_mark=event.start_mark
            )
        faults_before = len(self._faults)
        self._check_extras(event, path)
        if isinstance(event, yaml.MappingStartEvent):
            return self._make(event, path, kind="mapping", pairs=self._pairs(path, depth))
        if isinstance(event, yaml.SequenceStartEvent):
            return self._make(event, path, kind="sequence", items=self._items(path, depth))
        if isinstance(event, yaml.AliasEvent):
            return self._make(event, path, kind="scalar", refused=True)
        text = event.value.translate(_SHIELD)
        value, fault = _plain_scalar(text) if event.style is None else (text, None)
        if fault and len(self._faults) == faults_before:
            self._fault(event, path, fault)
        refused = len(self._faults) > faults_before
        return self._make(event, path, kind="scalar", value=value, text=text, refused=refused)

    def _pairs(self, path: str, depth: int) -> tuple[tuple[Node, Node], ...]:
        pairs: dict[str, tuple[Node, Node]] = {}
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            faults_before = len(self._faults)
            name = self._key(event, path, depth)
            below = f"{path}.{name}" if _BARE_KEY.fullmatch(name) else f"{path}[{json.dumps(name[:MOST_SHOWN])}]"
            refused = len(self._faults) > faults_before
            key = self._make(event, below, kind="scalar", value=name, text=name, refused=refused)
            value = self._node(next(self._events), below, depth + 1)
            if name in pairs:
                first = pairs[name][0].where
                self._fault(event, below, f"key {shown(name)} stands here again; expected it once, as at {first}")
            else:
                pairs[name] = (key, value)
        return tuple(pairs.values())

    def _key(self, event: Any, path: str, depth: int) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            self._node(event, path, depth + 1)
            self._fault(event, path, "a key that is not text; expected a name")
            return ""
        self._check_extras(event, path)
        name: str = event.value.translate(_SHIELD)
        if event.style is not None:
            return name
        if name == "<<":
            self._fault(event, path, "a merge key (<<); expected every key written out")
        elif name in _CONSTANTS and _CONSTANTS[name] is None:
            self._fault(event, path, "an empty key; expected a name")
        elif not isinstance(_plain_scalar(name)[0], str):
            reads = _yaml_reading(name)
            quoted = json.dumps(name[:MOST_SHOWN])
            message = (
                f"key {name[:MOST_SHOWN]} without quotes, which YAML reads as {reads}; expected a name or {quoted}"
            )
            self._fault(event, path, message)
        return name

    def _items(self, path: str, depth: int) -> tuple[Node, ...]:
        items: list[Node] = []
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            items.append(self._node(event, f"{path}[{len(items)}]", depth + 1))
        return tuple(items)

    def _check_extras(self, event: Any, path: str) -> None:
        if isinstance(event, yaml.AliasEvent):
            self._fault(event, path, "an alias (*); expected the value itself")
        elif event.anchor is not None:
            self._fault(event, path, "an anchor (&); expected the value alone")
        if getattr(event, "tag", None) is not None:
            self._fault(event, path, f"a tag ({shown(event.tag)}); expected a plain value")

    def _make(self, event: Any, path: str, **fields: Any) -> Node:
        mark = event.start_mark
        return Node(source=self._source, line=mark.line + 1, column=mark.column + 1, path=path, **fields)

    def _fault(self, event: Any, path: str, message: str) -> None:
        mark = event.start_mark
        self._faults.append(Fault(f"{self._source}:{mark.line + 1}:{mark.column + 1}", path, message))

    def _syntax_fault(self, error: yaml.YAMLError) -> Fault:
        if isinstance(error, yaml.reader.ReaderError):
            place = _place(self._source, self._text[: error.position])
            return Fault(place, "", f"holds the character U+{ord(self._text[error.position]):04X}; expected text")
        if not isinstance(error, yaml.MarkedYAMLError):
            return Fault(self._source, "", "cannot be read as YAML")
        mark = error.problem_mark or error.context_mark
        where = f"{self._source}:{mark.line + 1}:{mark.column + 1}" if mark else self._source
        problem = " ".join(str(part) for part in (error.problem, error.context) if part).translate(_SHIELD)
        hint = "; expected spaces, not a tab" if "'\\t'" in problem else ""
        return Fault(where, "", f"not readable as YAML: {problem}{hint}")


def _plain_scalar(text: str) -> tuple[Any, str | None]:
    """Return the value of an unquoted scalar, and what is wrong with leaving its quotes out."""
    if text in _CONSTANTS:
        return _CONSTANTS[text], None
    if _PLAIN_INTEGER.fullmatch(text):
        return int(text), None
    if _PLAIN_DECIMAL.fullmatch(text):
        return Decimal(text), None
    for pattern, instead in _DOUBTFUL:
        if pattern.fullmatch(text):
            start = text[:MOST_SHOWN]
            wanted = f"{instead}{json.dumps(start)}"
            return None, f"was {start} without quotes, which YAML reads as {_yaml_reading(text)}; expected {wanted}"
    return text, None


def _yaml_reading(text: str) -> str:
    """Say what plain YAML makes of a doubtful scalar; such text is short and of digits and a few letters only."""
    try:
        value = yaml.safe_load(text) if len(text) <= MOST_SHOWN else text
    except ValueError:  # PyYAML's own answer to "0x_"
        value = text
    if isinstance(value, bool):
        return "true" if value else "false"
    return "text or as a number, depending on the reader" if isinstance(value, str) else f"the number {value}"


def _place(source: str, before: str) -> str:
    return f"{source}:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
