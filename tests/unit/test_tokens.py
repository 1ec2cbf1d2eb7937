"""The token file: for its owner alone, whole or not at all, of today, and read anew when it changes."""

from __future__ import annotations

import errno
import os
import stat
import threading
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm_trader.errors import SetupError
from fsm_trader.kite.standing import NoTokenError
from fsm_trader.kite.tokens import INDIA, FixedToken, StoredToken, TokenFile, app_of, read_token, store_token
from fsm_trader.ops.clock import VirtualClock

KEY = "key0123456789"
HUSH = "hush9hush9hush9"
TEN = datetime(2026, 6, 17, 10, 0, tzinfo=INDIA)


def stored(issued_at: datetime = TEN, token: str = HUSH, key: str = KEY) -> StoredToken:
    return StoredToken(app=app_of(key), user="SB0001", issued_at=issued_at, token=token)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "var" / "kite_token.json"


@pytest.fixture
def tokens(path):
    return TokenFile(path, api_key=KEY, clock=VirtualClock(TEN + timedelta(hours=1)), how="login session.yaml")


def why_not(tokens: TokenFile) -> str:
    with pytest.raises(NoTokenError) as refused:
        tokens.worth_trying()
    assert HUSH not in str(refused.value)
    return str(refused.value)


def test_what_was_stored_is_read_back_and_is_its_owners_alone(path, tokens):
    old_mask = os.umask(0)
    try:
        store_token(path, stored())
    finally:
        os.umask(old_mask)

    assert read_token(path) == stored()
    assert tokens.worth_trying() == HUSH
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_the_token_shows_in_no_repr(path, tokens):
    store_token(path, stored())

    assert HUSH not in f"{stored()!r} {stored()} {tokens!r}"


def test_a_token_that_is_not_there_yet_is_taken_up_when_it_comes(path, tokens):
    before = why_not(tokens)
    first = tokens.changed()
    store_token(path, stored())
    changes = [tokens.changed(), tokens.changed()]
    store_token(path, stored(token=HUSH + "2"))

    assert f"there is no access token yet: {path} is not there; a person must log in (login session.yaml)" in before
    assert (first, changes, tokens.changed()) == (False, [True, False], True)
    assert tokens.worth_trying() == HUSH + "2"


@pytest.mark.parametrize(
    ("issued", "now", "is_good"),
    [
        ("2026-06-17 07:40", "2026-06-17 15:30", True),
        ("2026-06-17 07:40", "2026-06-18 05:59", True),
        ("2026-06-17 07:40", "2026-06-18 06:00", False),
        ("2026-06-17 05:59", "2026-06-17 06:01", False),
        ("2026-06-16 23:00", "2026-06-17 05:00", True),
        ("2026-06-16 23:00", "2026-06-17 09:15", False),
        ("2026-06-18 07:00", "2026-06-17 09:15", False),
    ],
)
def test_a_token_of_another_day_is_not_used(path, issued, now, is_good):
    clock = VirtualClock(datetime.fromisoformat(now).replace(tzinfo=INDIA))
    tokens = TokenFile(path, api_key=KEY, clock=clock, how="login session.yaml")
    store_token(path, stored(datetime.fromisoformat(issued).replace(tzinfo=INDIA)))

    if is_good:
        assert tokens.worth_trying() == HUSH
    else:
        assert f"the token in {path} is of {issued[:10]} and died at " in why_not(tokens)


@given(st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 30)))
def test_a_token_lives_at_most_a_day_and_to_the_next_six_in_the_morning(naive):
    token = stored(naive.replace(tzinfo=INDIA))

    assert timedelta(0) < token.dies_at - token.issued_at <= timedelta(days=1)
    assert (token.dies_at.hour, token.dies_at.minute) == (6, 0)
    assert token.is_alive(token.issued_at)
    assert not token.is_alive(token.dies_at)


def test_a_token_of_another_app_is_not_used(path, tokens):
    store_token(path, stored(key="another"))

    assert f"the token in {path} is of another app" in why_not(tokens)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "does not hold a token as login writes it"),
        (HUSH.encode(), "does not hold a token as login writes it"),
        (b"\xff\xfe", "does not hold a token as login writes it"),
        (msgspec.json.encode({"app": "x", "user": "y", "token": HUSH}), "does not hold a token as login writes it"),
        (msgspec.json.encode(stored(TEN.replace(tzinfo=None))), "does not hold a token as login writes it"),
        (msgspec.json.encode(stored(token="")), "does not hold a token as login writes it"),
    ],
)
def test_a_file_that_is_none_of_ours_is_not_used_and_not_shown(path, tokens, data, words):
    path.parent.mkdir()
    path.write_bytes(data)
    path.chmod(0o600)

    assert words in why_not(tokens)


def test_a_file_that_others_may_read_is_not_used_until_it_is_closed_to_them(path, tokens):
    store_token(path, stored())
    path.chmod(0o640)
    before = why_not(tokens)
    path.chmod(0o600)

    assert f"{path} may be read by others (mode 0640; expected 0600), so its token is not used" in before
    assert tokens.worth_trying() == HUSH


def test_a_pipe_in_the_place_of_the_token_holds_nobody_up(path, tokens):
    path.parent.mkdir()
    os.mkfifo(path, 0o600)

    assert f"{path} cannot be read (it is no file)" in why_not(tokens)


def test_a_token_that_belongs_to_another_user_is_not_used_until_it_is_ours(path, tokens, monkeypatch):
    store_token(path, stored())
    owner = os.geteuid()
    if owner == 0:
        os.chown(path, 4711, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 4711)
    before = why_not(tokens)
    if owner == 0:
        os.chown(path, 0, -1)
    else:
        monkeypatch.undo()
        path.touch()

    assert f"{path} belongs to another user (id " in before
    assert "so its token is not used" in before
    assert tokens.worth_trying() == HUSH


def test_a_disk_that_is_full_leaves_no_half_of_a_token(path, monkeypatch):
    store_token(path, stored())

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(SetupError, match="No space left on device"):
        store_token(path, stored(token=HUSH + "2"))

    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert read_token(path) == stored()


def test_a_folder_that_cannot_be_written_is_told_and_an_old_token_stays(path):
    store_token(path, stored())
    path.with_name(path.name + ".part").mkdir()

    with pytest.raises(SetupError, match="cannot be written") as refused:
        store_token(path, stored(token=HUSH + "2"))

    assert HUSH not in str(refused.value)
    assert read_token(path) == stored()


def test_many_threads_see_whole_tokens_only(path, tokens):
    store_token(path, stored())
    seen: set[str] = set()
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            seen.add(tokens.worth_trying())

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(30):
        store_token(path, stored(token=f"{HUSH}{number}"))
    over.set()
    for thread in threads:
        thread.join(20)

    assert seen <= {HUSH, *(f"{HUSH}{number}" for number in range(30))}
    assert tokens.worth_trying() == f"{HUSH}29"


def test_a_token_from_outside_is_used_as_it_is():
    fixed = FixedToken(HUSH)

    assert (fixed.worth_trying(), fixed.changed()) == (HUSH, False)
