"""The session machine: the day's windows and health, from clock, calendar and journal."""

from __future__ import annotations

from datetime import datetime, timedelta

from fsm_trader.core.events import HealthRead
from fsm_trader.core.facts import SessionFacts
from fsm_trader.core.ledger import SESSION_INITIAL
from fsm_trader.core.records import AlarmRaised, Deadline, HealthSeen, OperatorAsked, Record, SessionMoved
from fsm_trader.engine.floor import Floor
from fsm_trader.engine.polls import LOST_AFTER, next_on_grid
from fsm_trader.machines.run import Step

FINAL = "CLOSED"
_HALTED = "HALTED"
# WAITING -> HEALTH_CHECK -> TRADING -> SQUARING_OFF -> CLOSED is the longest way; more moves at once are a circle.
_MOVES_AT_ONCE = 8
_JUST_AFTER = timedelta(milliseconds=1)


class SessionDesk:
    """Moves the session through its day.

    Rows are written for changes of state only: a check that finds nothing new is no news.
    """

    def __init__(self, floor: Floor) -> None:
        self._floor = floor
        self._health: HealthRead | None = None
        self._due: Deadline | None = None
        self._checking_since: datetime | None = None
        self._lost_at: datetime | None = None
        # What the machine was asked last about the clock, and led nowhere: the same question has the same answer.
        self._asked_last: tuple[str, SessionFacts] | None = None

    @property
    def state(self) -> str:
        """The session machine's state."""
        return self._floor.ledger.state

    @property
    def is_over(self) -> bool:
        """True when the session has ended."""
        return self.state == FINAL

    @property
    def login_required(self) -> bool:
        """True while the newest word on our health is that no token works."""
        return self._health is not None and self._health.login_required

    def check_now(self) -> None:
        """Ask for our health at once, if nobody is asking."""
        if self._checking_since is None:
            self._checking_since = self._floor.clock.now()
            self._check_health()

    def start(self) -> None:
        """Take up the day where clock, calendar and journal say it is."""
        self._due = self._deadline(self.state)
        self._fire("started")
        self._heed()
        self.on_time(self._floor.clock.now())

    def on_time(self, now: datetime) -> None:
        """Fire what is due, then ask the machine whether the facts lead on."""
        if self._checking_since is not None and now - self._checking_since >= LOST_AFTER:
            # An answer this old would say nothing of now, and an old "healthy" must not stand for ever.
            self._lost_at = now
            self.health_read(HealthRead((f"no answer to a health check for {LOST_AFTER}",)))
        if self._due is not None and now >= self._due.at:
            trigger = self._due.trigger
            self._due = self._deadline(self.state)
            self._fire(trigger)
        for _ in range(_MOVES_AT_ONCE):
            question = (self.state, self._facts(now))
            if question == self._asked_last or not self._fire("clock", question[1]):
                self._asked_last = question
                return

    def next_moment(self, now: datetime) -> datetime | None:
        """Return when the session must be looked at again."""
        if self.is_over:
            return None
        if (self.state, self._facts(now)) != self._asked_last:
            # What was just read changes the answer: a dead token must not wait for the next poll to be heeded.
            return now
        moments = [self._floor.plan.next_boundary(now), self._due.at if self._due else None, self._stale_at(now)]
        return min((moment for moment in moments if moment is not None), default=None)

    def _stale_at(self, now: datetime) -> datetime | None:
        """Return when the newest candle becomes too old, None where it is or there is none."""
        candle = self._floor.ledger.last_candle.get(self._floor.settings.market.underlying.token)
        stale_at = None if candle is None else candle.end + self._floor.settings.market.max_candle_age + _JUST_AFTER
        return stale_at if stale_at is not None and stale_at > now else None

    def health_read(self, event: HealthRead) -> None:
        """Take the answer of a health check; it is journaled when it says something new."""
        if event.asked_at is not None and self._lost_at is not None and event.asked_at <= self._lost_at - LOST_AFTER:
            return  # The answer to a check that was given up as lost: it says nothing of now.
        self._checking_since = None
        event = HealthRead(event.faults, event.login_required)
        changed = self._health is None or self._health != event
        self._health = event
        self._floor.logged_out = event.login_required
        if changed:
            self._floor.commit(HealthSeen(event.faults, event.login_required))
        self._fire("health_seen")

    def asked(self, row: OperatorAsked, *, fault: str = "") -> None:
        """Take a person's order, with the alarm of a *fault* in it; it holds until the next one, over restarts too."""
        self._floor.commit(row, *([AlarmRaised(fault)] if fault else []))
        self._fire(row.verb)

    def _heed(self) -> None:
        """Follow a person's word that was journaled by a process that ended before it could."""
        ledger = self._floor.ledger
        if not ledger.halted:
            if self.state == _HALTED:
                self._fire("resume")
        elif self.state not in (SESSION_INITIAL, _HALTED):
            # A session that has not begun asks about a halt when the clock says so: on a holiday it closes instead.
            self._fire("flatten" if ledger.flatten_asked else "halt")

    def _facts(self, now: datetime) -> SessionFacts:
        plan, ledger, health = self._floor.plan, self._floor.ledger, self._health
        candle = ledger.last_candle.get(self._floor.settings.market.underlying.token)
        age = None if candle is None else now - candle.end
        return SessionFacts(
            trading_day=plan.why_closed is None,
            health_window=plan.health_start <= now < plan.health_end,
            trading_window=plan.trading_start <= now < plan.trading_end,
            past_trading=now >= plan.trading_end,
            past_square_off=now >= plan.square_off,
            healthy=health is not None and not health.faults,
            unhealthy=health is not None and bool(health.faults),
            login_required=health is not None and health.login_required,
            candles_stale=age is None or age > self._floor.settings.market.max_candle_age,
            halted=ledger.halted,
            flat=not ledger.open_trades,
        )

    def _fire(self, trigger: str, facts: SessionFacts | None = None) -> bool:
        """Let the machine decide; True when the session moved to another state (or entered the same one anew)."""
        machine = self._floor.session_machine
        step = machine.fire(self.state, trigger, facts or self._facts(self._floor.clock.now()))
        if step is None:
            return False
        if step.entered:
            self._due = self._deadline(step.dest)
            rows: list[Record] = [
                SessionMoved(trigger, step.source, step.dest, step.reason, self._due, self._floor.plan.why_closed or "")
            ]
            self._floor.commit(*rows, *self._alarms(step))
        elif "alarm" in step.actions:
            self._floor.commit(*self._alarms(step))
        if "check_health" in step.actions:
            self.check_now()
        return step.entered

    def _alarms(self, step: Step) -> list[Record]:
        return [AlarmRaised(self._why(step))] if "alarm" in step.actions else []

    def _check_health(self) -> None:
        policy = self._floor.session_machine.spec.policy_of("check_health")
        if policy is None:
            raise KeyError("check_health has no retry policy; the loader refuses such a definition")
        market = self._floor.settings.market
        self._floor.worker.submit(
            self._floor.effects.check_health(market.underlying.token, market.max_candle_age, policy)
        )

    def _deadline(self, state: str) -> Deadline | None:
        timeout = self._floor.session_machine.spec.state(state).timeout
        if timeout is None:
            return None
        session = self._floor.settings.session
        named = {"health_interval": session.health_interval, "poll_interval": session.poll_interval}
        after = timeout.after if isinstance(timeout.after, timedelta) else named[timeout.after]
        return Deadline(next_on_grid(self._floor.clock.now(), after), timeout.trigger)

    def _why(self, step: Step) -> str:
        faults = "; ".join(self._health.faults) if self._health and self._health.faults else ""
        said = step.reason.replace("_", " ") or step.trigger
        return f"session is {step.dest}: {said}{': ' + faults if faults else ''}. No entries are taken."
