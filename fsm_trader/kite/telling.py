"""Errors of the wire in words that may be shown: short, on one line, without key or token."""

from __future__ import annotations

from fsm_trader.errors import LoginRequiredError, OutcomeUnknownError, RefusedError, TraderError, UnavailableError
from fsm_trader.kite.faults import Call, Rule

_LONGEST = 200
_CAUSES_MOST = 8
_STARS = "***"
_SHORTEST_SECRET = 6
# Kinds whose text is the server's own, or names a part of its answer; others may hold an address or a header.
_SPEAKING = frozenset({"KiteException", "OddAnswerError", "KeyError", "TypeError", "AttributeError"})


class Mask:
    """Keeps what is secret out of a text.

    Args:
        secrets: values that are never shown; one of a few letters is no secret, and would tear words apart.
    """

    def __init__(self, *secrets: str) -> None:
        self._secrets = secrets

    def over(self, text: str, *more: str) -> str:
        """Return *text* without the secrets, and without *more* of them."""
        # The longest first: a secret that is a part of another must not leave the rest of it standing.
        for secret in sorted((*self._secrets, *more), key=len, reverse=True):
            text = text.replace(secret, _STARS) if len(secret) >= _SHORTEST_SECRET else text
        return text


def words_of(error: BaseException) -> str:
    """Return what an error says, without what is ours in it; empty when it says nothing that may be shown."""
    if not _SPEAKING.isdisjoint(kind.__name__ for kind in type(error).__mro__):
        return " ".join(str(error).split())
    seen: BaseException | None = error
    for _ in range(_CAUSES_MOST):
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror
        seen = (seen.__cause__ or seen.__context__ or _reason(seen)) if seen is not None else None
    return ""


def cut(words: str) -> str:
    """Return words short enough for a message."""
    return words if len(words) <= _LONGEST else f"{words[:_LONGEST]} …"


def error_of(call: Call, rule: Rule, text: str) -> TraderError:
    """Make the error that a rule stands for.

    Args:
        call: what was asked.
        rule: what the table says of it.
        text: where, and what was seen.
    """
    if call == "read":
        if rule.login:
            return LoginRequiredError(f"{text}; nothing changed")
        return UnavailableError(f"{text}; nothing changed, it is asked again")
    if rule.verdict == "unknown":
        return OutcomeUnknownError(f"{text}; it may be done: the book tells")
    may_pass = rule.verdict == "retryable"
    return RefusedError(f"{text}; nothing was done{', it may be asked again' if may_pass else ''}", may_pass=may_pass)


def _reason(error: BaseException | None) -> BaseException | None:
    """Return the error inside one of the HTTP libraries', which hand it on as an argument and not as a cause."""
    inside = (getattr(error, "reason", None), *getattr(error, "args", ()))
    return next((each for each in inside if isinstance(each, BaseException)), None)
