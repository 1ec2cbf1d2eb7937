"""Puts the sandbox together: a recorded day, a book of its own, an account, planned faults and a server."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections.abc import Callable
from datetime import datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from fsm_trader.app.files import recorded_day
from fsm_trader.broker.paper.book import PaperBook, World
from fsm_trader.config.paths import sqlite_file
from fsm_trader.core.settings import Settings
from fsm_trader.errors import Fault, SetupError, UnavailableError
from fsm_trader.market.recorded import RecordedDay, days
from fsm_trader.ops.clock import SystemClock
from fsm_trader.simulate.sandbox.account import API_KEY, API_SECRET, Account, Anchor
from fsm_trader.simulate.sandbox.clock import DayClock
from fsm_trader.simulate.sandbox.day import PlayedDay
from fsm_trader.simulate.sandbox.exchange import Exchange
from fsm_trader.simulate.sandbox.faults import FaultPlan, Faults
from fsm_trader.simulate.sandbox.kite import Kite
from fsm_trader.simulate.sandbox.limits import Limits
from fsm_trader.simulate.sandbox.service import Service
from fsm_trader.strict_yaml import Reader, read_file

DEFAULT_SPEED = 60.0
_MARK = "# Written by fsm_trader sandbox --write-session, which writes it anew each time.\n"
_NAME = re.compile(r"[^/\x00-\x1f]{1,60}")
_BEFORE_OPEN = timedelta(minutes=2)
_AFTER_CLOSE = timedelta(minutes=30)


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line asked for.

    Args:
        host, port: where to listen; port 0: the system chooses.
        speed: None: ``market.speed``, or 60 where that is ``max``.
        book: None: ``sandbox.db`` beside the paper broker's book.
        plan: what goes wrong.
        limits: whether Kite's rates are kept.
        catch_up: whether a day that was broken off went on meanwhile.
        redirect: where a login sends the browser.
    """

    host: str = "127.0.0.1"
    port: int = 0
    speed: float | None = None
    book: Path | None = None
    plan: FaultPlan = FaultPlan()
    limits: bool = True
    catch_up: bool = False
    redirect: str | None = None


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """All that a client needs to know of a sandbox that takes requests. *access_token* is None after a logout."""

    root: str
    stream_root: str
    login_url: str
    clock_url: str
    api_key: str
    api_secret: str
    access_token: str | None
    day: str
    now: str
    speed: float
    label: str


def serve_sandbox(settings: Settings, wishes: Wishes, ready: Callable[[Ready], None]) -> datetime:
    """Serve until SIGTERM or SIGINT, and return what the day had come to.

    Args:
        settings: the day and how the paper broker fills orders.
        wishes: the command line's.
        ready: told once requests are taken.

    Raises:
        SetupError: the day, the book, the address or the server's library cannot be used; nothing was started.
    """
    try:
        # Installed with the extra ``sandbox`` only: the trader itself has no use for an HTTP server.
        from fsm_trader.simulate.sandbox.server import Server  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise SetupError.at(
            "sandbox", f"{error.name} is not installed; expected it: pip install 'fsm-trader[sandbox]'"
        ) from error
    with PaperBook(_book_of(settings, wishes)) as book:
        service = open_service(settings, wishes, book)

        async def serve() -> None:
            server = Server(service, host=wishes.host, port=wishes.port)
            stop = asyncio.Event()
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, stop.set)
            await server.run(stop, lambda address: ready(_ready(service, address)))

        asyncio.run(serve())
        return service.kite.clock.now()


def open_service(settings: Settings, wishes: Wishes, book: PaperBook) -> Service:
    """Go on with the day that is being played in *book*, or begin the next one.

    Raises:
        SetupError: the data, the book and the tokens do not fit together.
    """
    world = book.world if book.world is not None and not book.world.finished else None
    recorded = _day_to_play(settings, book, world)
    underlying = settings.market.underlying
    try:
        listed = recorded.contracts(underlying.name, recorded.day)
    except UnavailableError as error:
        raise SetupError.at(str(settings.source), str(error), "$.market.underlying.name") from error
    world = world or book.begin(recorded.day, recorded.opens_at - _BEFORE_OPEN)
    zone = ZoneInfo(settings.session.timezone)
    wall = SystemClock(zone)
    wall.close()  # nobody waits for it: it is only asked for the time
    path = _book_of(settings, wishes)
    account = Account(path.with_name(f"{path.name}.tokens"), play=world.play, now=world.now)
    start = world.now.astimezone(zone)
    if wishes.catch_up and account.anchor is not None:
        start = max(start, _went_on(account.anchor, wall.now()).astimezone(zone))
    ends_at = recorded.closes_at + _AFTER_CLOSE
    _refuse_too_late(wishes.plan, ends_at.astimezone(zone).time())
    clock = DayClock(start, ends_at, _speed(settings, wishes))
    exchange = Exchange(settings.broker.paper, PlayedDay(recorded, listed, underlying.token), book)
    kite = Kite(exchange, account, clock, underlying, redirect=wishes.redirect)
    return Service(kite, Faults(wishes.plan), Limits(clock.speed) if wishes.limits else None, wall.now)


def _refuse_too_late(plan: FaultPlan, ends_at: time) -> None:
    late = [fault for fault in plan.faults if fault.since is not None and fault.since >= ends_at]
    if late:
        words = f"the played day is over at {ends_at}; expected an earlier one"
        raise SetupError([Fault("fault plan", "", f"{fault.kind} from {fault.since}: {words}") for fault in late])


def session_for(settings: Settings, ready: Ready) -> str:
    """Return the session file as text, changed so that the trader trades on the sandbox.

    Orders, candles and ticks come from the sandbox; journal and log are files of their own, because a journal belongs
    to one broker.

    Raises:
        SetupError: the session file cannot be read.
    """
    tree = Reader().plain(read_file(settings.source))
    tree["broker"] = {
        **{key: value for key, value in tree.get("broker", {}).items() if key not in ("kind", "paper", "kite")},
        "kind": "kite",
        "kite": {"root": ready.root, "api_key": "${KITE_API_KEY}", "access_token": "${KITE_ACCESS_TOKEN}"},
    }
    left_out = ("recorded", "day", "speed", "premiums", "lot_size")
    tree["market"] = {
        **{key: value for key, value in tree["market"].items() if key not in left_out},
        "recorded": None,
        "stream_root": ready.stream_root,
    }
    tree["journal"] = {"url": "sqlite:///var/on_sandbox.db"}
    tree["log"] = {**(tree.get("log") or {}), "file": "var/on_sandbox.log"}
    head = f"# {settings.source.name} on the sandbox: {ready.label}.\n"
    return _MARK + head + "".join(_yaml_lines(tree, 0))


def write_session(settings: Settings, ready: Ready, name: str) -> Path:
    """Write ``session_for`` beside the session file and return where.

    Raises:
        SetupError: as ``session_path`` says, or it cannot be written.
    """
    path = session_path(settings, name)
    try:
        path.write_text(session_for(settings, ready), encoding="utf-8")
    except OSError as error:
        raise SetupError.at(str(path), f"cannot be written ({error.strerror}); expected a file") from error
    return path


def session_path(settings: Settings, name: str) -> Path:
    """Return where ``write_session`` will write.

    Raises:
        SetupError: *name* is a path, a file that the session names or the session file itself, or a file that is there
            and that no sandbox wrote.
    """
    if not _NAME.fullmatch(name) or name in (".", ".."):
        raise SetupError.at(
            "--write-session",
            f"was {name!r}; expected the name of another file: it stands beside {settings.source.name}, because paths "
            "inside it start there",
        )
    path = settings.source.with_name(name)
    if path.resolve() in {each.resolve() for each in _own_files(settings)}:
        raise SetupError.at(
            "--write-session",
            f"was {name!r}, which {settings.source.name} itself is or names; expected the name of another file",
        )
    if (path.exists() or path.is_symlink()) and not _is_written_by_us(path):
        raise SetupError.at(
            "--write-session",
            f"was {name!r}, which is there, and no sandbox wrote it; expected the name of a new file, or of one that "
            "a sandbox wrote",
        )
    return path


def _own_files(settings: Settings) -> list[Path]:
    """Return the session file and every file it names."""
    tree, folder = Reader().plain(read_file(settings.source)), settings.source.parent
    strategies = (tree.get("strategies") or {}).get("file") or "strategies.yaml"
    named = (
        settings.session.calendar_file,
        settings.machines.session,
        settings.machines.trade,
        sqlite_file(settings.journal_url),
        settings.log.file,
        settings.broker.paper.book,
        settings.market.recorded,
    )
    return [settings.source, folder / strategies, *(each for each in named if isinstance(each, Path))]


def _is_written_by_us(path: Path) -> bool:
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(len(_MARK.encode())) == _MARK.encode()
    except OSError:
        return False


def _day_to_play(settings: Settings, book: PaperBook, world: World | None) -> RecordedDay:
    wanted = settings.market.day
    if world is not None:
        if wanted not in (None, world.day.isoformat()):
            raise SetupError.at(
                str(settings.source),
                f"was {wanted}, but {world.day} is being played in the sandbox and stands at {world.now:%H:%M:%S}; "
                "expected that day until it is over, or another --book",
                "$.market.day",
            )
        return recorded_day(settings, day=world.day.isoformat())
    if wanted is not None:
        return recorded_day(settings, day=wanted)
    there = days(settings.market, zone=ZoneInfo(settings.session.timezone))
    played = set(book.played_days())
    return recorded_day(settings, day=next((day for day in there if day not in played), there[0]).isoformat())


def _book_of(settings: Settings, wishes: Wishes) -> Path:
    return wishes.book or settings.broker.paper.book.with_name("sandbox.db")


def _went_on(anchor: Anchor, wall: datetime) -> datetime:
    return anchor.now + (wall - anchor.real) * anchor.speed


def _speed(settings: Settings, wishes: Wishes) -> float:
    return wishes.speed or settings.market.speed or DEFAULT_SPEED


def _ready(service: Service, address: str) -> Ready:
    kite = service.kite
    return Ready(
        root=f"http://{address}",
        stream_root=f"ws://{address}",
        login_url=f"http://{address}/connect/login?api_key={API_KEY}&v=3",
        clock_url=f"http://{address}/sandbox/clock",
        api_key=API_KEY,
        api_secret=API_SECRET,
        access_token=kite.account.newest_token(),
        day=kite.exchange.day.date.isoformat(),
        now=kite.clock.now().isoformat(),
        speed=kite.clock.speed,
        label=kite.exchange.day.label,
    )


def _yaml_lines(tree: dict[str, object], depth: int) -> list[str]:
    lines: list[str] = []
    for key, value in tree.items():
        indent = "  " * depth
        if isinstance(value, dict) and value:
            lines += [f"{indent}{key}:\n", *_yaml_lines(value, depth + 1)]
        else:
            # JSON is YAML on one line; a Decimal is written as its digits.
            lines.append(f"{indent}{key}: {json.dumps(value, default=float)}\n")
    return lines
