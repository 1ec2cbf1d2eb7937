"""Telegram settings that could show the token or cannot work are refused before anything starts."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from fsm_trader.core.settings import Secret, TelegramSettings
from fsm_trader.errors import SetupError
from fsm_trader.notify.telegram import TelegramNotifier
from fsm_trader.notify.telegram_settings import check_settings

TOKEN = "7001:AAE-not_a_real.token"  # noqa: S105 - made up for the tests
BROKEN_TOKEN = "7001:AA\n/../x"  # noqa: S105 - made up for the tests


def settings(root: str, token: str = TOKEN, chat_id: str = "-100500", timeout_s: int = 5) -> TelegramSettings:
    return TelegramSettings(
        root=root,
        token=Secret(token, "TELEGRAM_BOT_TOKEN"),
        chat_id=Secret(chat_id, "TELEGRAM_CHAT_ID"),
        timeout=timedelta(seconds=timeout_s),
    )


@pytest.mark.parametrize(
    "root",
    [
        "http://api.telegram.org",
        "http://10.0.0.1:8081",
        "ftp://127.0.0.1",
        "api.telegram.org",
        "https://",
        "https://user:pass@api.telegram.org",
        "https://api.telegram.org/?x=1",
        "https://api.telegram.org:port",
        "http://[::1",
        "",
    ],
)
def test_an_address_that_could_show_the_token_is_refused_before_anything_starts(root):
    before = threading.active_count()

    with pytest.raises(SetupError, match=r"\$\.notify\.telegram\.root: an address .*; expected an https://"):
        TelegramNotifier(settings(root))

    assert threading.active_count() == before


@pytest.mark.parametrize(
    "root", ["https://api.telegram.org", "http://127.0.0.1:1", "http://localhost", "http://[::1]:8"]
)
def test_https_and_addresses_of_this_machine_are_taken(root):
    check_settings(settings(root))


def test_all_faults_of_the_settings_are_said_at_once_and_no_secret():
    bad = settings("https://me:pw@host", token=BROKEN_TOKEN, chat_id=" ", timeout_s=0)

    with pytest.raises(SetupError) as caught:
        check_settings(bad)

    assert len(caught.value.faults) == 4
    text = str(caught.value)
    assert "the value from TELEGRAM_BOT_TOKEN is no bot token" in text
    assert "the value from TELEGRAM_CHAT_ID is empty" in text
    assert "7001" not in text
    assert "pw" not in text
