"""A machine definition as data: states, transitions, time-outs and retry policies, frozen and hashed.

A definition says what may happen. It never holds code: guards and actions are names (``machines.names``).
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Literal

import msgspec


class Position(StrEnum):
    """Whether a state may hold a position: a state that may needs an owner, a time-out and a path to flat (I5)."""

    NONE = "none"
    MAYBE = "maybe"
    HELD = "held"


class TimeoutSpec(msgspec.Struct, frozen=True):
    """When a state's time is up and which trigger is fired then.

    Args:
        after: a duration, or the name of a setting (``entry_timeout``, ``exit_timeout``, ``max_hold``,
            ``health_interval``); a setting that is not given means no deadline.
    """

    after: timedelta | str
    trigger: str


class StateSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One state; *on_enter* and *on_exit* are action names."""

    name: str
    position: Position
    final: bool = False
    timeout: TimeoutSpec | None = None
    on_enter: tuple[str, ...] = ()
    on_exit: tuple[str, ...] = ()
    where: str = ""


class TransitionSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One transition from one or more states.

    Args:
        dest: state name, or None for an internal transition: actions without leaving the state.
        conditions, unless: guard names; all conditions true and no unless true lets it pass.
        before, after: action names, in the order they are done.
        reason: word journaled with the transition (``stop_loss``), empty where none is needed.
        where: place in the file.
    """

    trigger: str
    sources: tuple[str, ...]
    dest: str | None
    conditions: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    reason: str = ""
    where: str = ""


class PolicySpec(msgspec.Struct, frozen=True, kw_only=True):
    """A retry policy by name.

    Args:
        attempts: most calls made, at least 1.
        wait: pause between two calls.
        jitter: up to this much is added to each pause.
        on: what is tried again: ``not_done`` (proved that nothing happened and it may pass), ``unavailable`` (a read
            gave nothing). Anything else is never repeated.
    """

    name: str
    attempts: int
    wait: timedelta
    jitter: timedelta
    on: tuple[Literal["not_done", "unavailable"], ...]


class MachineSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A whole definition.

    Args:
        kind: which machine this is.
        actions: action name -> policy name, None where the action calls nobody.
        digest: SHA-256 of *text*, the identity of the definition.
        text: the YAML as written; the journal keeps it.
        source: where it was read from, for messages.
    """

    kind: Literal["session", "trade"]
    initial: str
    states: tuple[StateSpec, ...]
    transitions: tuple[TransitionSpec, ...]
    actions: dict[str, str | None]
    policies: dict[str, PolicySpec]
    digest: str
    text: str
    source: str

    def state(self, name: str) -> StateSpec:
        """Return a state by name; KeyError when there is none."""
        for state in self.states:
            if state.name == name:
                return state
        raise KeyError(name)

    def policy_of(self, action: str) -> PolicySpec | None:
        """Return the retry policy of an action, None when it calls nobody."""
        name = self.actions.get(action)
        return None if name is None else self.policies[name]
