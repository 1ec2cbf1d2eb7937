"""The whole error tree, sorted by what happens next.

    TraderError
    ├── SetupError            nothing was started                                  exit 2
    ├── RefusedError          known *not* done; the machine may choose what follows
    ├── OutcomeUnknownError   may be done: ask by tag before any new order
    ├── UnavailableError      a read failed; nothing changed; it is asked again
    │   └── LoginRequiredError    no token works: a person must log in             exit 5
    ├── JournalBusyError      another process holds the journal                    exit 4
    ├── VerificationError     a check of what was written failed                   exit 6
    ├── StuckTradeError       one trade needs a person; all others go on
    └── HaltError             an invariant is false: stop, keep the journal, call a person   exit 1

Every message says *where: what was seen; what was expected; what happens now*. None holds a secret.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

__all__ = [
    "Fault",
    "HaltError",
    "JournalBusyError",
    "LoginRequiredError",
    "OutcomeUnknownError",
    "RefusedError",
    "SetupError",
    "StuckTradeError",
    "TraderError",
    "UnavailableError",
    "VerificationError",
]


class Fault(msgspec.Struct, frozen=True):
    """One thing wrong with a file or a folder, and where.

    Args:
        where: file, and line and column where they are known (``session.yaml:4:3``).
        path: place inside the document (``$.session.square_off``), empty for a whole file.
        message: what was seen; what was expected.
    """

    where: str
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.where} {self.path}: {self.message}" if self.path else f"{self.where}: {self.message}"


class TraderError(Exception):
    """Base of every error this package raises on purpose."""


class SetupError(TraderError):
    """What the user gave cannot be used; every fault is listed and nothing was started."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults: tuple[Fault, ...] = tuple(faults)
        lines = [str(fault) for fault in self.faults]
        super().__init__("\n".join([*lines, "Nothing was started."]))

    @classmethod
    def at(cls, where: str, message: str, path: str = "") -> SetupError:
        """Build the error for a single fault."""
        return cls([Fault(where, path, message)])


class RefusedError(TraderError):
    """The broker said no: it is known that nothing was done.

    Args:
        message: the broker's own words and ours.
        may_pass: True when the same request may be accepted a little later (busy, refused connection).
    """

    def __init__(self, message: str, *, may_pass: bool = False) -> None:
        self.may_pass = may_pass
        super().__init__(message)


class OutcomeUnknownError(TraderError):
    """The request left and no clear answer came back: it may have been done."""


class UnavailableError(TraderError):
    """A read gave no answer, or one that cannot be used; nothing changed and it is asked again."""


class LoginRequiredError(UnavailableError):
    """The broker does not accept our token: a person must log in."""


class JournalBusyError(TraderError):
    """Another process writes this journal; this one did nothing."""


class VerificationError(TraderError):
    """What was written does not verify; the first bad row is named."""


class StuckTradeError(TraderError):
    """One trade cannot be led on without a person; the care of every other trade goes on."""


class HaltError(TraderError):
    """An invariant is false: this process stops, keeps the journal and calls a person."""
