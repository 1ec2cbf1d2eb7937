"""A machine definition as data: states, transitions, time-outs and retry policies, frozen and hashed.

A definition says what may happen. It never holds code: guards and actions are names (``machines.names``).
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Literal

import msgspec

# However far a pause has grown by ``backoff``, it is never longer.
LONGEST_WAIT = timedelta(seconds=60)
# A digest's first bytes as a fraction of one: enough to tell pauses apart, and exact in a float.
_DRAW_BYTES = 6
_DRAWS = 1 << 8 * _DRAW_BYTES


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
        wait: pause after the first call.
        jitter: up to this much is added to each pause.
        on: what is tried again: ``not_done`` (proved that nothing happened and it may pass), ``unavailable`` (a read
            gave nothing). Anything else is never repeated.
        backoff: each pause is this many times the one before, at least 1, and at most ``LONGEST_WAIT``.
        within: no call begins later than this after the first one; None: *attempts* and the pauses alone bound it.
    """

    name: str
    attempts: int
    wait: timedelta
    jitter: timedelta
    on: tuple[Literal["not_done", "unavailable"], ...]
    backoff: Decimal = Decimal(1)
    within: timedelta | None = None

    def pause_s(self, attempt: int, key: str) -> float:
        """Return the seconds to wait after the failed *attempt* (from 1).

        The jitter is drawn from the policy, *key* and the attempt, never from chance: two orders that fail together
        are asked for again apart, and a replay waits as long as the day it replays.
        """
        pause_s = self._pause_s(attempt)
        if not self.jitter:
            return pause_s
        drawn = hashlib.sha256(f"{self.name}/{key}/{attempt}".encode()).digest()[:_DRAW_BYTES]
        part = int.from_bytes(drawn, "big") / _DRAWS
        return pause_s + part * self.jitter.total_seconds()

    @property
    def longest_pauses(self) -> timedelta:
        """The most that all pauses together can come to."""
        pauses_s = sum(self._pause_s(attempt) + self.jitter.total_seconds() for attempt in range(1, self.attempts))
        in_all = timedelta(milliseconds=round(pauses_s * 1000))
        return in_all if self.within is None else min(in_all, self.within)

    def _pause_s(self, attempt: int) -> float:
        grown: float = self.wait.total_seconds() * float(self.backoff) ** (attempt - 1)
        return min(grown, LONGEST_WAIT.total_seconds())


class MachineSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A whole definition.

    Args:
        kind: which machine this is.
        actions: action name -> policy name, None where the action calls nobody.
        policies: every policy by name, those a session takes over from the built-in definition among them.
        digest: SHA-256 of *text*, the identity of the definition.
        text: the YAML as written; the journal keeps it.
        source: where it was read from, for messages.
        calls: what the session asks of the world beside its actions -> policy name; empty for a trade.
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
    calls: dict[str, str] = {}

    def state(self, name: str) -> StateSpec:
        """Return a state by name; KeyError when there is none."""
        for state in self.states:
            if state.name == name:
                return state
        raise KeyError(name)

    def policy_of(self, action: str) -> PolicySpec | None:
        """Return the retry policy of an action or a call, None when it calls nobody."""
        name = self.actions.get(action) or self.calls.get(action)
        return None if name is None else self.policies[name]
