"""Read a machine definition strictly: every fault of the file at once, each with line, column and ``$.path``.

It knows the vocabulary (``names``) and the rules (``check``) and must not know what guards and actions do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from datetime import timedelta
from decimal import Decimal
from difflib import get_close_matches
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal, TypedDict

import msgspec

from fsm_trader.errors import SetupError
from fsm_trader.machines.caution import check_new
from fsm_trader.machines.check import check_machine, check_retries
from fsm_trader.machines.names import (
    POLICIES,
    SESSION_ACTIONS,
    SESSION_CALLS,
    SESSION_TRIGGERS,
    TIMEOUT_SETTINGS,
    TRADE_ACTIONS,
    TRADE_TRIGGERS,
    MachineKind,
    guards_of,
)
from fsm_trader.machines.spec import (
    LONGEST_WAIT,
    MachineSpec,
    PolicySpec,
    Position,
    StateSpec,
    TimeoutSpec,
    TransitionSpec,
)
from fsm_trader.strict_yaml import Node, Reader, did_you_mean, parse

MOST_ATTEMPTS = 10
LONGEST_JITTER = timedelta(seconds=10)
MOST_BACKOFF = Decimal(10)
SHORTEST_WITHIN, LONGEST_WITHIN = timedelta(milliseconds=100), timedelta(hours=1)
SHORTEST_TIMEOUT = timedelta(milliseconds=100)
LONGEST_TIMEOUT = timedelta(hours=24)

_RETRY_ON: tuple[Literal["not_done", "unavailable"], ...] = ("not_done", "unavailable")
_ONE = Decimal(1)
_STATE_NAME = r"[A-Z][A-Z0-9_]*"
_REASON = r"[a-z][a-z0-9_]*"


class _Details(TypedDict):
    conditions: tuple[str, ...]
    unless: tuple[str, ...]
    before: tuple[str, ...]
    after: tuple[str, ...]
    reason: str


def load_machine(path: Path | None, kind: MachineKind) -> MachineSpec:
    """Read, check and return a definition; *path* None is the built-in one.

    Raises:
        SetupError: the file cannot be read or is not a sound definition of this kind; it lists every fault.
    """
    if path is None:
        name = f"{kind}.yaml"
        raw = resources.files("fsm_trader.machines").joinpath(name).read_bytes()
        return _parse(raw, kind=kind, source=f"built-in {name}", is_new=True)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise SetupError.at(
            str(path), f"cannot be read ({error.strerror}); expected the YAML of a {kind} machine"
        ) from error
    return _parse(raw, kind=kind, source=str(path), is_new=True)


@cache
def builtin_session() -> MachineSpec:
    """Return the built-in session machine: what a definition of an earlier form leaves unsaid is as it is there."""
    return load_machine(None, "session")


def parse_machine(text: str, *, kind: MachineKind, source: str) -> MachineSpec:
    """Check and return a definition from its text, such as the text the journal keeps.

    Messages call the text *source*.

    Raises:
        SetupError: the text is not a sound definition of this kind; it lists every fault.
    """
    return _parse(text.encode(), kind=kind, source=source, is_new=False)


def _parse(raw: bytes, *, kind: MachineKind, source: str, is_new: bool) -> MachineSpec:
    root = parse(raw, source=source)
    reading = _Reading(kind)
    spec = reading.machine(root, text=raw.decode(), source=source)
    if spec is None:
        raise SetupError(reading.reader.faults)
    check = check_machine if reading.is_whole else check_retries
    reading.reader.faults.extend(check(spec, reading.places))
    if is_new and not reading.reader.faults:
        reading.reader.faults.extend(check_new(spec, reading.places))
    reading.reader.finish()
    return _completed(spec)


def _completed(spec: MachineSpec) -> MachineSpec:
    """Add the calls a session definition does not list, and the policies of those that it does not define."""
    if spec.kind != "session":
        return spec
    calls = {**SESSION_CALLS, **spec.calls}
    missing = set(calls.values()) - spec.policies.keys()
    policies = dict(spec.policies)
    if missing:
        policies.update({name: builtin_session().policies[name] for name in sorted(missing)})
    return msgspec.structs.replace(spec, calls=calls, policies=policies)


class _Reading:
    """One pass over one document.

    A name that is almost right is reported and then read as the name it resembles, so that one slip of the pen does
    not hide what else is wrong. Faults of any other sort leave holes, filled with something harmless that nobody gets
    to see; the checks of the whole would only repeat such faults in other words, and are left out.
    """

    def __init__(self, kind: MachineKind) -> None:
        self.reader = Reader()
        self.places: dict[str, tuple[str, str]] = {}
        self._kind = kind
        self._mended = 0
        self._triggers = TRADE_TRIGGERS if kind == "trade" else SESSION_TRIGGERS
        self._actions = TRADE_ACTIONS if kind == "trade" else SESSION_ACTIONS
        self._guards = tuple(guards_of(kind))
        self._settings = TIMEOUT_SETTINGS[kind]

    @property
    def is_whole(self) -> bool:
        """True when the document was read without holes."""
        return len(self.reader.faults) == self._mended

    def machine(self, root: Node, *, text: str, source: str) -> MachineSpec | None:
        """Read the whole document; None where its frame is missing."""
        sections = ("machine", "initial", "states", "transitions", "actions", "retries")
        parts = self.reader.mapping(root, required=sections, optional=("calls",) if self._kind == "session" else ())
        if any(section not in parts for section in sections):
            return None
        self.places.update({name: (node.where, node.path) for name, node in parts.items()})
        self._check_kind(parts["machine"])
        states = tuple(self._states(parts["states"]))
        initial = self._name(parts["initial"], [state.name for state in states], "a state of this file")
        policies = self._policies(parts["retries"])
        return MachineSpec(
            kind=self._kind,
            initial=initial or "",
            states=states,
            transitions=tuple(self._transitions(parts["transitions"], states)),
            actions=self._action_policies(parts["actions"], policies),
            policies=policies,
            digest=hashlib.sha256(text.encode()).hexdigest(),
            text=text,
            source=source,
            calls=self._call_policies(parts["calls"], policies) if "calls" in parts else {},
        )

    def _check_kind(self, node: Node) -> None:
        written = self.reader.text(node)
        if written is not None and written != self._kind:
            self.reader.fault(
                node, f"was {written!r}; expected {self._kind!r}: this file is read as a {self._kind} machine"
            )

    def _states(self, node: Node) -> Iterable[StateSpec]:
        first: dict[str, str] = {}
        for item in self.reader.sequence(node):
            parts = self.reader.mapping(
                item, required=("name", "position"), optional=("final", "timeout", "on_enter", "on_exit")
            )
            if "name" not in parts:
                continue
            name = self.reader.text(parts["name"], pattern=_STATE_NAME, expected="capital letters, digits and _")
            if name is None:
                continue
            if name in first:
                self.reader.fault(parts["name"], f"state {name} is already defined at {first[name]}; expected it once")
            first.setdefault(name, item.where)
            yield StateSpec(
                name=name,
                position=self._position(parts.get("position")),
                final=bool(self.reader.flag(parts["final"])) if "final" in parts else False,
                timeout=self._timeout(parts["timeout"]) if "timeout" in parts else None,
                on_enter=self._done(parts.get("on_enter")),
                on_exit=self._done(parts.get("on_exit")),
                where=item.where,
            )

    def _position(self, node: Node | None) -> Position:
        written = None if node is None else self.reader.text(node, choices=[str(kind) for kind in Position])
        return Position.NONE if written is None else Position(written)

    def _timeout(self, node: Node) -> TimeoutSpec | None:
        parts = self.reader.mapping(node, required=("after", "trigger"))
        if "after" not in parts or "trigger" not in parts:
            return None
        trigger = self._name(parts["trigger"], self._triggers, "a trigger the engine fires")
        after: str | timedelta | None
        if isinstance(parts["after"].value, str) and parts["after"].value[:1].isalpha():
            after = self._name(parts["after"], self._settings, 'a setting, or a duration such as "20s"')
        else:
            after = self.reader.duration(parts["after"], least=SHORTEST_TIMEOUT, most=LONGEST_TIMEOUT)
        return None if trigger is None or after is None else TimeoutSpec(after, trigger)

    def _transitions(self, node: Node, states: Sequence[StateSpec]) -> Iterable[TransitionSpec]:
        for item in self.reader.sequence(node):
            parts = self.reader.mapping(
                item,
                required=("trigger", "source", "dest"),
                optional=("conditions", "unless", "before", "after", "reason"),
            )
            if "trigger" not in parts or "source" not in parts or "dest" not in parts:
                continue
            trigger = self._name(parts["trigger"], self._triggers, "a trigger the engine fires")
            facts = self._details(parts)
            for sources, dest in self._ways(parts["source"], parts["dest"], states):
                yield TransitionSpec(trigger=trigger or "", sources=sources, dest=dest, where=item.where, **facts)

    def _details(self, parts: dict[str, Node]) -> _Details:
        return {
            "conditions": self._asked(parts.get("conditions")),
            "unless": self._asked(parts.get("unless")),
            "before": self._done(parts.get("before")),
            "after": self._done(parts.get("after")),
            "reason": self._reason(parts["reason"]) if "reason" in parts else "",
        }

    def _ways(self, source: Node, dest: Node, states: Sequence[StateSpec]) -> list[tuple[tuple[str, ...], str | None]]:
        """Return sources and destination; a reflexive transition ("=") becomes one for each source."""
        known = [state.name for state in states]
        if source.value == "*":
            sources = tuple(state.name for state in states if not state.final)
        else:
            sources = self._names(source, known, 'a state of this file or "*" for all that are not final')
        if self.reader.is_null(dest):
            return [(sources, None)]
        if dest.value == "=":
            return [((name,), name) for name in sources]
        name = self._name(dest, known, 'a state of this file, null (stay) or "=" (enter again)')
        return [] if name is None else [(sources, name)]

    def _reason(self, node: Node) -> str:
        return self.reader.text(node, pattern=_REASON, expected="one word in small letters, digits and _") or ""

    def _asked(self, node: Node | None) -> tuple[str, ...]:
        return () if node is None else self._names(node, self._guards, "a guard")

    def _done(self, node: Node | None) -> tuple[str, ...]:
        return () if node is None else self._names(node, self._actions, "an action")

    def _action_policies(self, node: Node, policies: Collection[str]) -> dict[str, str | None]:
        chosen: dict[str, str | None] = {}
        for key, item in self.reader.open_mapping(node).items():
            name = self._resolve(item, key, self._actions, "an action")
            parts = self.reader.mapping(item, optional=("retry",))
            policy = self._name(parts["retry"], policies, "a policy of `retries`") if "retry" in parts else None
            if name is not None:
                chosen[name] = policy
                self.places[f"actions.{name}"] = (item.where, item.path)
        return chosen

    def _call_policies(self, node: Node, policies: Collection[str]) -> dict[str, str]:
        chosen: dict[str, str] = {}
        for key, item in self.reader.open_mapping(node).items():
            name = self._resolve(item, key, tuple(SESSION_CALLS), "a call of the session")
            parts = self.reader.mapping(item, required=("retry",))
            policy = self._name(parts["retry"], policies, "a policy of `retries`") if "retry" in parts else None
            if name is not None and policy is not None:
                chosen[name] = policy
        return chosen

    def _policies(self, node: Node) -> dict[str, PolicySpec]:
        policies: dict[str, PolicySpec] = {}
        for key, item in self.reader.open_mapping(node).items():
            name = self._resolve(item, key, POLICIES, "a retry policy")
            policies[name or key] = self._policy(name or key, item)
            self.places[f"retries.{name or key}"] = (item.where, item.path)
        return policies

    def _policy(self, name: str, node: Node) -> PolicySpec:
        """Read one policy; what is faulty is replaced, so that the actions that name it need no fault of their own."""
        parts = self.reader.mapping(
            node, required=("attempts", "wait", "retry_on"), optional=("backoff", "jitter", "within")
        )
        attempts = self.reader.integer(parts["attempts"], least=1, most=MOST_ATTEMPTS) if "attempts" in parts else None
        written: tuple[str, ...] = ()
        if "retry_on" in parts:
            written = self._names(parts["retry_on"], _RETRY_ON, "an outcome that may be tried again")
        backoff = self.reader.number(parts["backoff"], least=_ONE, most=MOST_BACKOFF) if "backoff" in parts else None
        within = None
        if "within" in parts:
            within = self.reader.duration(parts["within"], least=SHORTEST_WITHIN, most=LONGEST_WITHIN)
        return PolicySpec(
            name=name,
            attempts=attempts or 1,
            wait=self._pause(parts.get("wait"), LONGEST_WAIT),
            jitter=self._pause(parts.get("jitter"), LONGEST_JITTER),
            on=tuple(outcome for outcome in _RETRY_ON if outcome in written),
            backoff=backoff or _ONE,
            within=within,
        )

    def _pause(self, node: Node | None, most: timedelta) -> timedelta:
        read = None if node is None else self.reader.duration(node, least=timedelta(0), most=most)
        return read or timedelta(0)

    def _names(self, node: Node, known: Collection[str], expected: str) -> tuple[str, ...]:
        """Read one name or a list of different names."""
        names: list[str] = []
        for item in self.reader.sequence(node) if node.kind == "sequence" else [node]:
            name = self._name(item, known, expected)
            if name is not None and name in names:
                self.reader.fault(item, f"was {name} a second time; expected each name once")
            elif name is not None:
                names.append(name)
        return tuple(names)

    def _name(self, node: Node, known: Collection[str], expected: str) -> str | None:
        written = self.reader.text(node)
        return None if written is None else self._resolve(node, written, known, expected)

    def _resolve(self, node: Node, written: str, known: Collection[str], expected: str) -> str | None:
        """Return the known name that is written, or the one it resembles after noting the fault."""
        if written in known:
            return written
        code = "a definition holds names, never code; " if "." in written or "(" in written else ""
        self.reader.fault(node, f"was {written!r}; {code}expected {expected}.{did_you_mean(written, known)}")
        resembled = get_close_matches(written, list(known), n=1)
        if not resembled:
            return None
        self._mended += 1
        return resembled[0]
