"""What an error of a Kite request means: one table from what was seen to *refused*, *retryable* or *unknown*.

The rules are tried in the order they stand. For orders the table is a short list of proofs that nothing was done;
whatever is on no line of it may have been done, HTTP 400 included (research: an order "timed out" with 400 and filled
eight seconds later). It must not know sockets or clients: it is handed names, numbers and words.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

__all__ = ["RULES", "Call", "OddAnswerError", "Rule", "Seen", "Verdict", "judge"]

Call = Literal["place", "cancel", "read"]
Verdict = Literal["refused", "retryable", "unknown"]
Standing = Literal["", "address", "spent"]

_ANY_4XX = (400, 499)


class OddAnswerError(Exception):
    """The server answered, and not as Kite does: a success without its data, or with a failing status."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a failed request.

    Args:
        call: what was asked; every read is one kind.
        raised: names of the exception's class and of its bases.
        left: a byte of the request may have reached the server.
        status: HTTP status of the answer, None when none came.
        words: the server's own words, secrets masked; empty when there were none.
    """

    call: Call
    raised: frozenset[str]
    left: bool
    status: int | None = None
    words: str = ""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table.

    Args:
        name: what it is called in tests and pages.
        verdict: for an order or a cancellation. *refused* and *retryable* are proofs that nothing was done.
        meaning: for people, in a few words.
        login: a person must log in.
        standing: a refusal that meets every further order too: entries stop until it is known to be over.
        calls, raised, left, status, words: what it asks for; a field left out asks for nothing. *status* is the
            first and the last one meant, *words* is searched without regard to case.
    """

    name: str
    verdict: Verdict
    meaning: str
    login: bool = False
    standing: Standing = ""
    calls: tuple[Call, ...] = ()
    raised: tuple[str, ...] = ()
    left: bool | None = None
    status: tuple[int, int] | None = None
    words: str = ""

    def fits(self, seen: Seen) -> bool:
        """Say whether this line is about what was seen."""
        return (
            (not self.calls or seen.call in self.calls)
            and (not self.raised or not seen.raised.isdisjoint(self.raised))
            and (self.left is None or self.left is seen.left)
            and (self.status is None or (seen.status is not None and self.status[0] <= seen.status <= self.status[1]))
            and (not self.words or re.search(self.words, seen.words, re.IGNORECASE) is not None)
        )


_ANSWERS = ("KiteException",)
_LOGIN_WORDS = r"token is invalid|has expired|(incorrect|invalid) `?(api_key|access_token)`?"
_ADDRESS_WORDS = r"\bIPs?\b.{0,40}(not allowed|configured|registered|whitelist)|(static|source) IP\b"
_REFUSAL_WORDS = (
    r"insufficient (funds|margin|holding)|required margin is|margin exceed|\bRMS\b.{0,12}(margin|block)"
    r"|market orders? without market protection"
    r"|exceeds circuit limits|far away from the LTP"
    r"|\bLPP\b.{0,12}(range|limit)|(outside|out of|beyond) .{0,12}\bLPP\b"
    r"|tick size|freeze (quantity|limit)|multiples? of ((the )?lot|\d)"
    r"|\b(MIS|NRML|intraday) orders? (is|are) (currently )?(not allowed|blocked|disabled)"
    r"|markets? (is|are) (\w+ )?closed|trading (is|has been) (blocked|restricted|disabled)"
)

RULES: tuple[Rule, ...] = (
    Rule(
        name="not sent",
        verdict="retryable",
        meaning="no connection: nothing left this machine",
        left=False,
        raised=("ConnectionError", "Timeout"),
    ),
    Rule(
        name="not sendable",
        verdict="refused",
        meaning="the request could not be built: nothing left this machine",
        left=False,
    ),
    Rule(
        name="token",
        verdict="refused",
        meaning="Kite does not take our token; a person must log in",
        login=True,
        raised=("TokenException",),
    ),
    Rule(
        name="token by its words",
        verdict="refused",
        meaning="Kite does not take our token; a person must log in",
        login=True,
        raised=_ANSWERS,
        status=(401, 403),
        words=_LOGIN_WORDS,
    ),
    Rule(
        name="timed out inside",
        verdict="unknown",
        meaning="Kite lost sight of the request itself",
        raised=_ANSWERS,
        words=r"timed out|check the order ?book|before placing again",
    ),
    Rule(
        name="day's requests spent",
        verdict="refused",
        meaning="the account has no order request left today; leave what is held by hand",
        standing="spent",
        raised=_ANSWERS,
        words=r"maximum allowed order requests exceeded",
    ),
    Rule(name="too many requests", verdict="retryable", meaning="Kite is asked too often", status=(429, 429)),
    Rule(
        name="nothing to cancel",
        verdict="refused",
        meaning="this order cannot be cancelled; the book says what became of it",
        calls=("cancel",),
        raised=_ANSWERS,
        status=_ANY_4XX,
        words=r"cannot be (cancelled|canceled|modified)|being processed|(could ?n.t|could not|not) (be )?f(ind|ound)"
        r"|does not exist|already (been )?(cancelled|complete|rejected)",
    ),
    Rule(
        name="address",
        verdict="refused",
        meaning="Kite takes no orders from this machine's address; register its IP in the developer console",
        standing="address",
        raised=_ANSWERS,
        status=_ANY_4XX,
        words=_ADDRESS_WORDS,
    ),
    Rule(
        name="permission",
        verdict="refused",
        meaning="the account or the app may not do this",
        raised=("PermissionException",),
        status=_ANY_4XX,
    ),
    Rule(
        name="input",
        verdict="refused",
        meaning="Kite found a fault in the request",
        raised=("InputException",),
        status=_ANY_4XX,
    ),
    Rule(
        name="refused by its words",
        verdict="refused",
        meaning="Kite's risk checks turned the order away",
        raised=_ANSWERS,
        status=_ANY_4XX,
        words=_REFUSAL_WORDS,
    ),
    Rule(
        name="order system",
        verdict="unknown",
        meaning="Kite and its order system could not speak to each other",
        raised=("NetworkException",),
    ),
    Rule(
        name="order error",
        verdict="unknown",
        meaning="an error of the order system that proves nothing",
        raised=("OrderException",),
    ),
    Rule(
        name="not Kite's answer",
        verdict="unknown",
        meaning="a page or a text where Kite's JSON was expected",
        raised=("DataException",),
    ),
    Rule(
        name="other error of Kite",
        verdict="unknown",
        meaning="an error whose words are on no list of refusals",
        raised=_ANSWERS,
    ),
    Rule(name="no answer in time", verdict="unknown", meaning="no whole answer in time", raised=("Timeout",)),
    Rule(
        name="connection lost",
        verdict="unknown",
        meaning="the connection broke after the request had left",
        raised=("ConnectionError", "ChunkedEncodingError", "ContentDecodingError"),
    ),
    Rule(
        name="malformed answer",
        verdict="unknown",
        meaning="an answer that is not built as Kite's are",
        raised=("OddAnswerError", "KeyError", "TypeError", "AttributeError", "UnboundLocalError", "ValueError"),
    ),
    Rule(name="anything else", verdict="unknown", meaning="an error nobody planned for"),
)
"""Tried in this order; the last one fits everything."""


def judge(seen: Seen) -> Rule:
    """Return the first rule that fits what was seen."""
    return next(rule for rule in RULES if rule.fits(seen))
