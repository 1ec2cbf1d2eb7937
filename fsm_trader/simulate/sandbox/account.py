"""Logging in to the sandbox: request tokens, the checksum, access tokens and their deaths.

Keys and tokens are made up and open paper money only; they are kept in a file of their own, so that a sandbox that was
killed still knows the token its client goes on with. It must not know HTTP.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec

from fsm_trader.errors import SetupError, UnavailableError
from fsm_trader.ops.clock import real_s
from fsm_trader.simulate.sandbox.forms import KiteError

API_KEY = "sandboxkey000001"
API_SECRET = "sandboxsecret000000000000000001"  # noqa: S105 - made up, and printed for everyone to use.
INVALID_TOKEN = "Token is invalid or has expired."  # noqa: S105 - Kite's words about a token.
WRONG_TOKEN = "Incorrect `api_key` or `access_token`."  # noqa: S105 - Kite's words about a token.

_REQUEST_TOKEN_LIVES_S = 300.0


class Token(msgspec.Struct, frozen=True):
    """An access token and when, on the played day, it was given out."""

    value: str
    issued_at: datetime


class Anchor(msgspec.Struct, frozen=True):
    """That the day stood at *now* when the machine's clock stood at *real*, and ran at *speed* from there."""

    now: datetime
    real: datetime
    speed: float


class Kept(msgspec.Struct, frozen=True):
    """What the file holds: of which play, the tokens that are good, how many were given out, and the day's anchor."""

    play: int
    tokens: tuple[Token, ...] = ()
    given_out: int = 0
    anchor: Anchor | None = None


class Account:
    """The one made-up account.

    Args:
        file: where tokens are kept; made when absent, readable by its owner only.
        play: the play they belong to; those of another one are forgotten, and a first one is given out.
        now: the day's present.
        seconds: real seconds that only go forward, for the short life of request tokens.

    Raises:
        SetupError: the file cannot be read or written.
    """

    def __init__(self, file: Path, *, play: int, now: datetime, seconds: Callable[[], float] = real_s) -> None:
        self._file = file
        self._seconds = seconds
        self._requests: dict[str, float] = {}
        self._asked = 0
        self._kept = _read(file)
        if self._kept is None or self._kept.play != play:
            self._kept = Kept(play)
            try:
                self._give_out(now)
            except UnavailableError as error:
                raise SetupError.at("sandbox", f"{error}; expected a folder to write in") from error

    @property
    def anchor(self) -> Anchor | None:
        """Where the day's clock was begun last."""
        return self._keeping.anchor

    def newest_token(self) -> str | None:
        """Return the token given out last of those that were not logged out, None when none is left."""
        tokens = self._keeping.tokens
        return tokens[-1].value if tokens else None

    def set_anchor(self, anchor: Anchor) -> None:
        """Keep where the day's clock was begun.

        Raises:
            UnavailableError: the file cannot be written.
        """
        self._keep(msgspec.structs.replace(self._keeping, anchor=anchor))

    def check(self, authorization: str | None, *, now: datetime, deaths: tuple[datetime, ...]) -> None:
        """Check an Authorization header, ``token api_key:access_token``.

        Args:
            authorization: the header.
            now: the day's present.
            deaths: moments at which all tokens given out before died.

        Raises:
            KiteError: it is not a good one.
        """
        scheme, _, rest = (authorization or "").partition(" ")
        key, _, value = rest.partition(":")
        if scheme != "token":
            raise _turned_away(WRONG_TOKEN)
        self.check_token(key, value, now=now, deaths=deaths)

    def check_token(self, api_key: str, access_token: str, *, now: datetime, deaths: tuple[datetime, ...]) -> None:
        """Check a key and a token; see ``check``."""
        token = next((each for each in self._keeping.tokens if each.value == access_token), None)
        if api_key != API_KEY or token is None:
            raise _turned_away(WRONG_TOKEN)
        if any(token.issued_at < death <= now for death in deaths):
            raise _turned_away(INVALID_TOKEN)

    def request_token(self, api_key: str) -> str:
        """Return a request token: good once, for a few minutes.

        Raises:
            KiteError: the key is not the account's.
        """
        if api_key != API_KEY:
            raise KiteError("Invalid `api_key`.")
        self._asked += 1
        token = _drawn(f"request {self._keeping.play} {self._keeping.given_out} {self._asked}")
        self._requests[token] = self._seconds()
        return token

    def exchange(self, api_key: str, request_token: str, proof: str, now: datetime) -> str:
        """Turn a request token into an access token, which is kept.

        Args:
            api_key: the account's.
            request_token: one of a few minutes ago.
            proof: SHA-256 of the key, the request token and the secret: Kite's checksum.
            now: the day's present.

        Raises:
            KiteError: the key, the request token or the checksum is not good.
            UnavailableError: the file cannot be written.
        """
        asked_s = self._requests.pop(request_token, None)
        if api_key != API_KEY or asked_s is None or self._seconds() - asked_s > _REQUEST_TOKEN_LIVES_S:
            raise _turned_away(INVALID_TOKEN)
        if proof != hashlib.sha256(f"{API_KEY}{request_token}{API_SECRET}".encode()).hexdigest():
            raise _turned_away("Invalid `checksum`.")
        return self._give_out(now)

    def log_out(self, access_token: str) -> None:
        """Forget a token; one that is not known is no fault.

        Raises:
            UnavailableError: the file cannot be written.
        """
        left = tuple(token for token in self._keeping.tokens if token.value != access_token)
        self._keep(msgspec.structs.replace(self._keeping, tokens=left))

    @property
    def _keeping(self) -> Kept:
        return self._kept or Kept(0)

    def _give_out(self, now: datetime) -> str:
        given_out = self._keeping.given_out + 1
        value = _drawn(f"access {self._keeping.play} {given_out}")
        tokens = (*self._keeping.tokens, Token(value, now))
        self._keep(msgspec.structs.replace(self._keeping, tokens=tokens, given_out=given_out))
        return value

    def _keep(self, kept: Kept) -> None:
        part = self._file.with_name(self._file.name + ".part")
        try:
            fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(fd, "wb") as stream:
                stream.write(msgspec.json.encode(kept))
            part.replace(self._file)
        except OSError as error:
            raise UnavailableError(f"{self._file}: cannot be written ({error.strerror}); nothing was saved") from error
        self._kept = kept


def _read(file: Path) -> Kept | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Kept)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise SetupError.at(
            str(file), f"cannot be read ({error}); expected the sandbox's tokens, or no file"
        ) from error


def _drawn(key: str) -> str:
    return hashlib.sha256(f"{API_SECRET} {key}".encode()).hexdigest()[:32]


def _turned_away(message: str) -> KiteError:
    return KiteError(message, "TokenException", 403)
