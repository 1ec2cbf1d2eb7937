"""One simulated day: real engine, real machines, real recovery; a shaky broker, and any number of processes."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec

from fsm_trader.broker.paper.matching import Market, Matching, Progress
from fsm_trader.core.candles import Candle
from fsm_trader.core.events import Asked, Event, StopAsked
from fsm_trader.core.ledger import Ledger
from fsm_trader.core.records import DamageFound, Entry, RunStarted, RunStopped
from fsm_trader.core.signals import Signal
from fsm_trader.engine import loop
from fsm_trader.engine.act import Effects
from fsm_trader.engine.floor import Floor
from fsm_trader.engine.signals import Seat
from fsm_trader.engine.trader import Trader
from fsm_trader.engine.work import Inbox, InlineWorker
from fsm_trader.errors import HaltError
from fsm_trader.journal.memory import MemoryJournal
from fsm_trader.simulate.drill.broker import ShakyBroker
from fsm_trader.simulate.drill.coverage import Coverage
from fsm_trader.simulate.drill.crash import Boundaries, Killed, LifeJournal
from fsm_trader.simulate.drill.market import PromptWalkingMarket, WalkingMarket
from fsm_trader.simulate.drill.oracles import UNSURE, Oracles
from fsm_trader.simulate.drill.scenario import Scenario, Word
from fsm_trader.simulate.drill.stage import DAY, MINUTES, SPOT_PAISE, Stage

_SESSION = DAY.isoformat()
_MOST_LIVES = 40
# A day needs some hundreds; a loop that spins needs millions.
_MOST_WAITS = 20_000
_DAMAGED = "rows of the journal are gone (planned)"


class NeverEndsError(BaseException):
    """The loop goes on long after the day, or spins. Nothing may catch this but the drill."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a day came to.

    Args:
        breaches: of the invariants; empty when all held.
        entries: the journal.
        boundaries: crossed by each process, in order; *killed* processes were ended at one.
        coverage: what the day came by.
        ledger: the present at its end.
    """

    breaches: tuple[str, ...]
    entries: tuple[Entry, ...]
    boundaries: tuple[int, ...]
    killed: int
    coverage: Coverage
    ledger: Ledger


class DayClock:
    """The world's time: it stops at every moment at which the world or a person does something."""

    is_virtual = True

    def __init__(self, start: datetime, latest: datetime) -> None:
        self._now = start
        self._latest = latest
        self._number = itertools.count()
        self._plans: list[tuple[datetime, int, Callable[[], None]]] = []
        self._is_woken = False
        self._waits = 0
        self.on_wait: Callable[[datetime, datetime], None] = lambda _now, _moment: None

    def now(self) -> datetime:
        """Return the present."""
        return self._now

    def plan(self, at: datetime, action: Callable[[], None]) -> None:
        """Have *action* done at a moment."""
        heapq.heappush(self._plans, (at, next(self._number), action))

    def sleep(self, seconds: float) -> None:
        """Let time pass whatever happens meanwhile."""
        self.pass_until(self._now + timedelta(seconds=seconds))

    def wait_until(self, moment: datetime) -> None:
        """Let time pass until *moment*, or until something is put into the inbox."""
        self.on_wait(self._now, moment)
        self._waits += 1
        if self._now > self._latest or self._waits > _MOST_WAITS:
            raise NeverEndsError
        self._is_woken = False
        while not self._is_woken and self._step(moment):
            pass
        if not self._is_woken and moment > self._now:
            self._now = moment

    def pass_until(self, moment: datetime) -> None:
        """Let time pass until *moment*."""
        while self._step(moment):
            pass
        self._now = max(self._now, moment)

    def wake(self) -> None:
        """End a wait."""
        self._is_woken = True

    def _step(self, moment: datetime) -> bool:
        if not self._plans or self._plans[0][0] > moment:
            return False
        at, _, action = heapq.heappop(self._plans)
        self._now = max(self._now, at)
        action()
        return True


class ScriptedStrategy:
    """Says what the scenario has for the start of a candle, and HOLD else."""

    warmup = 0

    def __init__(self, script: dict[datetime, Signal]) -> None:
        self._script = script

    def update(self, candle: Candle) -> Signal:
        """Return the word on a candle."""
        return self._script.get(candle.start, Signal.HOLD)


class SimulatedDay:
    """A day from its first process to its end.

    Args:
        stage: what all days share.
        scenario: what happens on this one.
    """

    def __init__(self, stage: Stage, scenario: Scenario) -> None:
        self._stage = stage
        self._scenario = scenario
        self._settings = stage.settings_of(scenario)
        opens_at = stage.opens_at
        closes_at = opens_at + timedelta(minutes=MINUTES)
        self._clock = DayClock(opens_at + timedelta(seconds=scenario.starts_s), closes_at)
        self._rows = MemoryJournal()
        self._commits: list[int] = []
        self._tags: set[str] = set()
        self._breaches: list[str] = []
        self._coverage = Coverage()
        self._crossed: list[int] = []
        self._killed = 0
        self._contracts = stage.contracts_of(scenario)
        find = {contract.tradingsymbol: contract for contract in self._contracts}.get
        self._market = (PromptWalkingMarket if scenario.is_prompt else WalkingMarket)(
            opens_at,
            MINUTES,
            seed=scenario.seed,
            roughness=scenario.roughness,
            index=self._settings.market.underlying.token,
            spot_paise=SPOT_PAISE,
            contracts=self._contracts,
            is_silent=self._is_silent,
            price_age=self._price_age,
        )
        truth = Matching(
            self._settings.broker.paper,
            Market(self._market, find, opens_at=opens_at, closes_at=closes_at),
            id_prefix="D",
            progress=Progress(self._clock.now()),
            may_short=True,
        )
        self._broker = ShakyBroker(
            truth, self._clock, find_contract=find, opens_at=opens_at, scenario=scenario, later=self._clock.plan
        )
        self._oracles = Oracles(
            plan=stage.plan_of(scenario),
            settings=self._settings,
            broker=self._broker,
            tags=self._tags,
            edges=stage.edges,
            breaches=self._breaches,
        )
        self._broker.watch = self._oracles.sending
        self._inbox = Inbox(self._clock)
        self._machine = stage.digests[0]
        self._is_damaged = False
        self._plan_world()

    def play(self) -> Outcome:
        """Play the day: processes follow each other until one ends it."""
        ledger = Ledger()
        for life in range(_MOST_LIVES):
            ledger, is_over = self._live(life)
            if is_over:
                break
        else:
            self._breaches.append(f"I5: the day is not over after {_MOST_LIVES} processes")
        self._broker.settle()
        self._oracles.ends(ledger)
        self._coverage.read(self._rows.entries)
        self._coverage.outcomes.update(self._broker.met)
        return Outcome(
            breaches=tuple(dict.fromkeys(self._breaches)),
            entries=tuple(self._rows.entries),
            boundaries=tuple(self._crossed),
            killed=self._killed,
            coverage=self._coverage,
            ledger=ledger,
        )

    def _is_silent(self, now: datetime, is_index: bool) -> bool:  # noqa: FBT001 - the market asks by place
        return self._broker.is_silent(now, is_index)

    def _price_age(self, now: datetime) -> timedelta:
        return self._broker.price_age(now)

    def _plan_world(self) -> None:
        opens_at = self._stage.opens_at
        other = self._contracts[-1]
        for hand in self._scenario.hands:
            by_hand = partial(self._broker.hand, hand.kind, other=other)
            self._clock.plan(opens_at + timedelta(seconds=hand.at_s), by_hand)
        for number, word in enumerate(self._scenario.words):
            said = partial(self._inbox.put, _said(word, number))
            self._clock.plan(opens_at + timedelta(seconds=word.at_s), said)

    def _live(self, life: int) -> tuple[Ledger, bool]:
        """Live one process to its end; True when the day is over."""
        kills = self._scenario.kills
        self._market.forget()
        boundaries = self._broker.boundaries = Boundaries(kills[life] if life < len(kills) else None)
        journal = LifeJournal(self._rows, boundaries, commits=self._commits, tags=self._tags, breaches=self._breaches)
        ledger = Ledger().fold(self._rows.entries)
        self._oracles.begins(ledger, self._rows.entries)
        floor = self._floor(journal, ledger)
        trader = self._trader(floor)
        self._clock.on_wait = lambda now, moment: self._oracles.waiting(trader, now, moment)
        is_over = True
        try:
            self._begin(floor, life)
            loop.run(trader, inbox=self._inbox, clock=self._clock)
            is_over = trader.session.is_over and not ledger.open_trades
            # The exit codes of ``run``: still open, over and not compared for want of a login, over.
            code = 3 if not is_over else UNSURE if trader.ended_logged_out else 0
            floor.commit(RunStopped(code, trader.stop_reason))
        except Killed:
            is_over = False
            self._killed += 1
            self._coverage.ended(ledger, boundaries.last)
        except NeverEndsError:
            self._breaches.append(f"I5: at {self._clock.now():%H:%M} the loop still runs, or spins")
        except HaltError as error:
            self._breaches.append(f"halt: {error}")
        if floor.fault:
            self._breaches.append(f"defect: {floor.fault}")
        journal.is_dead = True
        self._crossed.append(boundaries.count)
        if not is_over:
            self._between(life)
        return ledger, is_over

    def _between(self, life: int) -> None:
        """Let time pass while nothing runs. Answers to a dead process reach nobody; a person's words lie in files."""
        if life == 0 and self._scenario.edits_machine:
            self._machine = self._stage.digests[1]
        lost = self._scenario.lost_commits
        if life == 0 and 0 < lost < len(self._commits):
            # A transaction is lost as a whole. The one that begins the session stays.
            del self._commits[-lost:]
            del self._rows.entries[self._commits[-1] :]
            self._is_damaged = True
        pauses = self._scenario.pauses_s
        if life < len(pauses):
            self._clock.pass_until(self._clock.now() + timedelta(seconds=pauses[life]))
        kept: list[Event] = []
        while (event := self._inbox.take()) is not None:
            kept += [event] if isinstance(event, Asked) else []
        for event in kept:
            self._inbox.put(event)

    def _floor(self, journal: LifeJournal, ledger: Ledger) -> Floor:
        stage = self._stage
        return Floor(
            settings=self._settings,
            plan=stage.plan_of(self._scenario),
            session=_SESSION,
            clock=self._clock,
            journal=journal,
            ledger=ledger,
            effects=Effects(
                broker=self._broker, feed=self._market, clock=self._clock, session_machine=stage.session.spec
            ),
            worker=InlineWorker(self._inbox),
            session_machine=stage.session,
            trade_machine=stage.trades[self._machine],
            trade_machines=dict(stage.trades),
            observers=(self._oracles,),
        )

    def _trader(self, floor: Floor) -> Trader:
        scripts = self._scripts()
        seats = [
            Seat(each, ScriptedStrategy(scripts[place] if place < len(scripts) else {}))
            for place, each in enumerate(self._settings.strategies)
        ]
        return Trader(floor, feed=self._market, contracts=self._contracts, seats=seats)

    def _scripts(self) -> Sequence[dict[datetime, Signal]]:
        opens_at = self._stage.opens_at
        return [
            {opens_at + timedelta(minutes=minute): Signal(value) for minute, value in script}
            for script in self._scenario.signals
        ]

    def _begin(self, floor: Floor, life: int) -> None:
        rows: list[Any] = [RunStarted(_SESSION, "drill", self._settings.digest, {"trade": self._machine}, life)]
        if self._is_damaged:
            self._is_damaged = False
            rows.append(DamageFound((_DAMAGED,)))
        floor.commit(*rows)


def _said(word: Word, number: int) -> Event:
    if word.verb == "stop":
        return StopAsked("SIGTERM")
    return Asked(word.verb, "drill", f"word-{number}")


def play(stage: Stage, scenario: Scenario) -> Outcome:
    """Play one day from beginning to end."""
    return SimulatedDay(stage, scenario).play()
