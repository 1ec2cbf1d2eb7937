"""What stands around trading: sections notify, machines and log."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from fsm_trader.config.fields import Section
from fsm_trader.config.files import is_file
from fsm_trader.config.keys import SESSION_FILE
from fsm_trader.config.paths import read_path, read_root
from fsm_trader.config.secrets import STAND_IN, Secrets
from fsm_trader.core.settings import LogSettings, MachineFiles, Secret, TelegramSettings

_TELEGRAM = "https://api.telegram.org"
_LEVELS: tuple[Literal["DEBUG", "INFO", "WARNING", "ERROR"], ...] = ("DEBUG", "INFO", "WARNING", "ERROR")
_MEGABYTE = 1_000_000


def read_telegram(top: Section, secrets: Secrets) -> TelegramSettings | None:
    """Read ``notify.telegram``; None when it is left out."""
    notify = top.section("notify", SESSION_FILE["notify"])
    if notify.given("telegram") is None:
        return None
    section = notify.section("telegram", SESSION_FILE["notify.telegram"])
    node = section.given("root")
    root = None if node is None else read_root(section.reader, node, secure="https", plain="http")
    return TelegramSettings(
        root=root or _TELEGRAM,
        token=_secret(section, "token", secrets),
        chat_id=_secret(section, "chat_id", secrets),
        timeout=section.duration("timeout", "10s", "100ms", "1m"),
    )


def _secret(section: Section, key: str, secrets: Secrets) -> Secret:
    node = section.get(key)
    return STAND_IN if node is None else secrets.read(node)


def read_machines(top: Section, folder: Path) -> MachineFiles:
    """Read ``machines``; a file of the user's own must exist."""
    section = top.section("machines", SESSION_FILE["machines"])
    return MachineFiles(session=_machine(section, "session", folder), trade=_machine(section, "trade", folder))


def _machine(section: Section, key: str, folder: Path) -> Path | None:
    node = section.get(key)
    if node is None or node.value == "builtin":
        return None
    path = read_path(section.reader, node, folder, "builtin")
    if isinstance(node.value, str) and not is_file(path):
        section.reader.fault(node, f"{path} is not a file; expected builtin or the path of a machine definition")
    return path


def read_log(top: Section, folder: Path) -> LogSettings:
    """Read ``log``."""
    section = top.section("log", SESSION_FILE["log"])
    return LogSettings(
        file=read_path(section.reader, section.get("file"), folder, "var/fsm_trader.log"),
        level=section.choice("level", _LEVELS, "INFO"),
        max_bytes=section.integer("max_size", 10, 1, 1000) * _MEGABYTE,
        backups=section.integer("backups", 5, 0, 100),
    )
