"""session.yaml and strategies.yaml into settings: both files are judged together, all faults in one error.

It reads no environment of its own and starts nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from fsm_trader.config.broker import read_broker, read_kind, with_token_file
from fsm_trader.config.fields import Section
from fsm_trader.config.files import is_file
from fsm_trader.config.keys import OPEN_PLACES, SECRET_PLACES, SESSION_FILE, STRATEGIES_FILE
from fsm_trader.config.market import read_market
from fsm_trader.config.paths import read_journal_url, read_path
from fsm_trader.config.secrets import Secrets
from fsm_trader.config.session import read_risk, read_session
from fsm_trader.config.strategies import CheckStrategy, choose_active, read_strategies
from fsm_trader.config.surroundings import read_log, read_machines, read_telegram
from fsm_trader.core.settings import MachineFiles, Settings, StrategySettings
from fsm_trader.errors import Fault
from fsm_trader.strict_yaml import Node, Reader, scan_file, sorted_faults

# Where the secrets stand that a verb needs; those of the journal are looked up always.
_OF_KITE = "$.broker.kite."
_NOWHERE = "(none)"
# All that a journal is read with, beside the names of the strategies.
_READ_WITH = ("$.session", "$.journal", "$.risk")


# Says what is wrong with the file of a machine of that kind.
CheckMachine = Callable[[Path, Literal["session", "trade"]], Sequence[Fault]]


def load_settings(
    path: Path,
    *,
    environ: Mapping[str, str],
    check_strategy: CheckStrategy | None = None,
    check_machine: CheckMachine | None = None,
) -> Settings:
    """Read a session file, the strategies file it names and the secrets it asks for.

    Args:
        path: the session file; paths inside it start at its folder.
        environ: where ``${NAME}`` is looked up.
        check_strategy: says what is wrong with an active strategy's class name and params, or None.
        check_machine: says what is wrong with the file of a machine; None: its YAML alone is checked.

    Raises:
        SetupError: something cannot be used; every fault of all files is listed.
    """
    reader = Reader()
    settings = _settings(reader, path, Secrets(reader, environ), check_strategy, check_machine)
    reader.finish()
    return settings


def load_for_login(path: Path, *, environ: Mapping[str, str]) -> Settings:
    """Read a session file for a login: the app's key and secret are looked up, and no other secret of a section.

    Args:
        path: the session file; paths inside it start at its folder.
        environ: where they are looked up.

    Raises:
        SetupError: something cannot be used; every fault of all files is listed.
    """
    reader = Reader()
    settings = _settings(reader, path, Secrets(reader, environ, only=_OF_KITE), None, None, logs_in=True)
    reader.finish()
    return settings


def load_for_reading(path: Path, *, environ: Mapping[str, str]) -> tuple[Settings, tuple[Fault, ...]]:
    """Read a session file for a verb that only reads its journal, and return what else is wrong with the files.

    That takes the sections session, journal and risk and the names of the strategies. Secrets of others are not looked
    up, strategies are not imported, and what is faulty or missing anywhere else has a stand-in.

    Args:
        path: the session file; paths inside it start at its folder.
        environ: where the journal's password is looked up.

    Raises:
        SetupError: the journal cannot be found or understood with this file; every fault is listed.
    """
    reader = Reader()
    settings = _settings(reader, path, Secrets(reader, environ, only=_NOWHERE), None, None)
    if any(_hinders_reading(fault, path) for fault in reader.faults):
        reader.finish()
    return settings, tuple(sorted_faults(reader.faults))


def _hinders_reading(fault: Fault, path: Path) -> bool:
    is_of_session_file = fault.where == str(path) or fault.where.startswith(f"{path}:")
    return is_of_session_file and (fault.path in ("", "$") or fault.path.startswith(_READ_WITH))


def _settings(
    reader: Reader,
    path: Path,
    secrets: Secrets,
    check_strategy: CheckStrategy | None,
    check_machine: CheckMachine | None,
    *,
    logs_in: bool = False,
) -> Settings:
    """Read the files; where the reader has faults afterwards the settings hold stand-ins."""
    root, session_text = _read(reader, path)
    if root is None:
        reader.finish()
    top = Section(reader, root, SESSION_FILE[""])
    folder = path.absolute().parent
    session, broker = read_session(top, folder), read_broker(top, folder, secrets, logs_in=logs_in)
    market = read_market(top, folder, read_kind(top))
    journal_url = read_journal_url(reader, _journal_node(top), folder, secrets)
    broker = with_token_file(broker, journal_url, folder)
    telegram, risk = read_telegram(top, secrets), read_risk(top)
    machines, log = read_machines(top, folder), read_log(top, folder)
    # The other files come last, so that faults are told in the order in which a person meets the files.
    strategies, strategies_text = _read_strategies(reader, top, path.parent, check_strategy)
    texts = [session_text, strategies_text, *_machine_texts(reader, machines, check_machine)]
    digest = _digest([*texts, *([] if session.calendar_file is None else [session.calendar_file.read_bytes()])])
    return Settings(
        source=path.absolute(),
        session=session,
        broker=broker,
        market=market,
        journal_url=journal_url,
        telegram=telegram,
        risk=risk,
        strategies=strategies,
        machines=machines,
        log=log,
        digest=digest,
    )


def _read(reader: Reader, path: Path) -> tuple[Node | None, bytes]:
    node, faults, data = scan_file(path)
    reader.faults.extend(_hushed(fault) for fault in faults)
    return node, data


def _hushed(fault: Fault) -> Fault:
    if not fault.path.startswith(SECRET_PLACES) or fault.path in OPEN_PLACES:
        return fault
    return Fault(fault.where, fault.path, "not a plain YAML value (not shown); expected ${NAME} where it is a secret")


def _read_strategies(
    reader: Reader, top: Section, folder: Path, check: CheckStrategy | None
) -> tuple[tuple[StrategySettings, ...], bytes]:
    if top.get("strategies") is None:
        return (), b""
    section = top.section("strategies", SESSION_FILE["strategies"])
    node, text = _read(reader, read_path(reader, section.get("file"), folder, "strategies.yaml"))
    defined = None if node is None else read_strategies(Section(reader, node, STRATEGIES_FILE[""]))
    return choose_active(section, defined or None, check), text


def _journal_node(top: Section) -> Node | None:
    return top.section("journal", SESSION_FILE["journal"]).get("url")


def _machine_texts(reader: Reader, machines: MachineFiles, check: CheckMachine | None) -> list[bytes]:
    kinds: tuple[Literal["session", "trade"], ...] = ("session", "trade")
    texts: list[bytes] = []
    for kind, path in zip(kinds, (machines.session, machines.trade), strict=True):
        if path is None or not is_file(path):
            continue
        scanned = scan_file(path)
        texts.append(scanned.data)
        # The whole check reads the file anew, and tells of its YAML too.
        reader.faults.extend(scanned.faults if check is None else check(path, kind))
    return texts


def _digest(texts: Sequence[bytes]) -> str:
    """Return the SHA-256 of the files as they stand, ``${NAME}`` unresolved; lengths keep their borders apart."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(len(text).to_bytes(8, "big"))
        digest.update(text)
    return digest.hexdigest()
