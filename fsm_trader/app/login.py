"""A login at Kite: the page a person goes to, the request token that comes back, the file the access token goes to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from fsm_trader.config.load import load_for_login
from fsm_trader.core.settings import KiteSettings, Settings
from fsm_trader.errors import LoginRequiredError, SetupError, UnavailableError
from fsm_trader.kite.budgets import Budgets
from fsm_trader.kite.login import exchange, login_url
from fsm_trader.kite.root import check_root
from fsm_trader.kite.standing import NoTokenError
from fsm_trader.kite.tokens import StoredToken, app_of, is_of_another, read_token, store_token
from fsm_trader.kite.wire import KiteWire
from fsm_trader.ops.clock import SystemClock


class LoggedIn(msgspec.Struct, frozen=True, kw_only=True):
    """What a login came to, without the token.

    Args:
        user: the account, as Kite names it.
        issued_at, dies_at: of the token, by Kite's own time.
        file: where it is.
        doubt: why Kite did not confirm the token, empty when it did.
    """

    user: str
    issued_at: datetime
    dies_at: datetime
    file: Path
    doubt: str = ""


class Login:
    """One login of a session file's app.

    Args:
        settings: with the app's key and secret.

    Attributes:
        has_stored: whether a token was kept.

    Raises:
        SetupError: the session is none of Kite's, or its address cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        kite = settings.broker.kite
        if kite is None:
            raise SetupError.at(
                str(settings.source), "was paper, which needs no login; expected kind kite", "$.broker.kind"
            )
        check_root(kite.root)
        if kite.api_secret is None or kite.token_file is None:
            raise SetupError.at(str(settings.source), "has no api_secret; a login needs it", "$.broker.kite")
        self._settings = settings
        self._kite = kite
        self._secret = kite.api_secret
        self._file = kite.token_file
        self.has_stored = False

    def url(self, *, state: str = "") -> str:
        """Return the address of the page a person logs in at; *state* comes back with the redirect."""
        return login_url(self._kite.root, self._kite.api_key.reveal(), state=state)

    def finish(self, request_token: str) -> LoggedIn:
        """Exchange a request token, once, and keep the access token.

        Raises:
            LoginRequiredError: Kite did not take it, or another account has logged in than before; nothing was stored.
            SetupError: the file cannot be written.
        """
        self._refuse_other_app()
        key, secret = self._kite.api_key.reveal(), self._secret.reveal()
        with _wire(self._settings, self._kite, lambda: "") as wire:
            stored = exchange(wire, request_token, api_key=key, api_secret=secret)
        self._refuse_other_user(stored)
        store_token(self._file, stored)
        self.has_stored = True
        return LoggedIn(
            user=stored.user,
            issued_at=stored.issued_at,
            dies_at=stored.dies_at,
            file=self._file,
            doubt=self._doubt(stored),
        )

    def _before(self) -> StoredToken | None:
        try:
            return read_token(self._file)
        except NoTokenError:
            return None

    def _refuse_other_app(self) -> None:
        """Refuse to write over a token of today that somebody else trades with; nothing is exchanged yet."""
        if is_of_another(self._file):
            raise LoginRequiredError(
                f"login: {self._file} belongs to another user; expected the one the trader runs as: log in as that "
                "one, or remove the file first. Nothing was stored."
            )
        before = self._before()
        if before is None or before.app == app_of(self._kite.api_key.reveal()) or not before.is_alive(self._now()):
            return
        raise LoginRequiredError(
            f"login: {self._file} holds today's token of another app; expected a file of its own for each: name one in "
            "broker.kite.token_file. Nothing was stored."
        )

    def _refuse_other_user(self, stored: StoredToken) -> None:
        """Refuse a login of another account: the trader would go on on it with the positions of the first one."""
        before = self._before()
        if before is None or before.app != stored.app or before.user == stored.user:
            return
        raise LoginRequiredError(
            f"login: {stored.user} has logged in, and {self._file} is of {before.user}; expected the same account. "
            "Remove the file first if the other one is meant. Nothing was stored."
        )

    def _now(self) -> datetime:
        clock = SystemClock(ZoneInfo(self._settings.session.timezone))
        now = clock.now()
        clock.close()
        return now

    def _doubt(self, stored: StoredToken) -> str:
        with _wire(self._settings, self._kite, lambda: stored.token) as wire:
            try:
                wire.profile()
            except UnavailableError as error:
                return str(error)
        return ""


def login_of(path: Path, environ: dict[str, str]) -> Login:
    """Read a session file for a login.

    Raises:
        SetupError: a file is faulty, or the session is none of Kite's.
    """
    return Login(load_for_login(path, environ=environ))


@contextmanager
def _wire(settings: Settings, kite: KiteSettings, token: Callable[[], str]) -> Iterator[KiteWire]:
    clock = SystemClock(ZoneInfo(settings.session.timezone))
    wire = KiteWire(
        root=kite.root,
        api_key=kite.api_key.reveal(),
        token=token,
        timeout=kite.timeout,
        clock=clock,
        budgets=Budgets(clock),
        warm_after=None,
    )
    try:
        yield wire
    finally:
        wire.close()
        clock.close()
