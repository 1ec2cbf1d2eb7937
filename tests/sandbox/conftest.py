"""A sandbox in this process, served to real clients from a thread of its own, on a day whose time is in our hand."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kiteconnect import KiteConnect

from fsm_trader.app.files import recorded_day, settings_of
from fsm_trader.app.sandbox import Wishes, open_service
from fsm_trader.broker.paper.book import PaperBook
from fsm_trader.core.settings import Settings
from fsm_trader.market.recorded import RecordedDay
from fsm_trader.simulate.sandbox.clock import DayClock
from fsm_trader.simulate.sandbox.fault_file import read_plan
from fsm_trader.simulate.sandbox.server import Server
from fsm_trader.simulate.sandbox.service import Service

ROOT = Path(__file__).resolve().parents[2]
MOCKS = ROOT.parent / "shared" / "kite-mocks"
SYMBOL = "NIFTY2662324600CE"
LONGEST_S = 10
SPEED = 25.0


class Hand:
    """Seconds of the day that have passed."""

    def __init__(self) -> None:
        self.seconds = 0.0


class Sandbox:
    """One running sandbox."""

    def __init__(self, settings: Settings, faults: tuple[str, ...], wishes: dict[str, Any]) -> None:
        self.hand = Hand()
        wish = Wishes(plan=read_plan(None, faults), speed=1.0, **wishes)
        self.book = PaperBook(settings.broker.paper.book.with_name("sandbox.db"))
        self.service: Service = open_service(settings, wish, self.book)
        kite = self.service.kite
        # The server looks as often as a fast day needs; time itself moves by the hand alone.
        end = kite.exchange.day.closes_at + timedelta(minutes=30)
        kite.clock = DayClock(kite.clock.now(), end, SPEED, seconds=lambda: self.hand.seconds / SPEED)
        self.token = kite.account.newest_token()
        self._clients: list[KiteConnect] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(),))
        self._thread.start()
        assert self._ready.wait(LONGEST_S)

    def client(self, token: str | None = None, *, timeout: float = 5) -> KiteConnect:
        client = KiteConnect("sandboxkey000001", token or self.token, root=f"http://{self.address}", timeout=timeout)
        client.reqsession.trust_env = False
        self._clients.append(client)
        return client

    def at(self, clock: str) -> datetime:
        """Let the day come to a time, and the market with it."""
        kite = self.service.kite
        moment = datetime.fromisoformat(f"2026-06-17T{clock}+05:30")
        self.on_loop(self.service.begin)
        assert moment >= kite.clock.now()
        self.hand.seconds += (moment - kite.clock.now()).total_seconds()
        self.on_loop(self.service.tick)
        return moment

    def on_loop(self, act: Callable[[], Any]) -> Any:
        async def do() -> Any:
            return act()

        return asyncio.run_coroutine_threadsafe(do(), self._loop).result(LONGEST_S)

    def close(self) -> None:
        for client in self._clients:
            client.reqsession.close()
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(LONGEST_S)
        assert not self._thread.is_alive()
        self.book.close()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        await Server(self.service).run(self._stop, self._listening)

    def _listening(self, address: str) -> None:
        self.address = address
        self._ready.set()


_READ: dict[str | None, RecordedDay] = {}


def _read_once(settings: Settings, *, day: str | None = None) -> RecordedDay:
    """Read the sample day for the first test only: it is the same for all, and nobody changes it."""
    if day not in _READ:
        _READ[day] = recorded_day(settings, day=day)
    return _READ[day]


@pytest.fixture(scope="session")
def loaded() -> Settings:
    return settings_of(ROOT / "session.yaml")


@pytest.fixture
def settings(loaded: Settings, tmp_path: Path) -> Settings:
    paper = msgspec.structs.replace(loaded.broker.paper, book=tmp_path / "paper.db")
    return msgspec.structs.replace(loaded, broker=msgspec.structs.replace(loaded.broker, paper=paper))


@pytest.fixture
def sandbox_with(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Sandbox]]:
    """Start a sandbox with planned faults and wishes; it is ended with the test."""
    monkeypatch.setattr("fsm_trader.app.sandbox.recorded_day", _read_once)
    running: list[Sandbox] = []

    def start(*faults: str, **wishes: Any) -> Sandbox:
        running.append(Sandbox(settings, faults, wishes))
        return running[-1]

    yield start
    for each in running:
        each.close()


@pytest.fixture
def sandbox(sandbox_with: Callable[..., Sandbox]) -> Sandbox:
    return sandbox_with(limits=False)


def buy(client: KiteConnect, *, tag: str | None = "tag1", **fields: Any) -> str:
    """Place the order that most tests place, changed as they like."""
    form = {
        "variety": "regular",
        "exchange": "NFO",
        "tradingsymbol": SYMBOL,
        "transaction_type": "BUY",
        "quantity": 65,
        "product": "MIS",
        "order_type": "MARKET",
        "market_protection": -1,
        "tag": tag,
        **fields,
    }
    order_id: str = client.place_order(**form)
    return order_id
