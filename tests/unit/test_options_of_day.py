"""The day's options are asked for until they are there: further and further apart, and at once after a login."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from fsm_trader.app.options_of_day import KnownContracts, OptionsOfDay
from fsm_trader.core.day import DayPlan
from fsm_trader.core.events import ContractsRead, ReadFailed
from fsm_trader.errors import LoginRequiredError, UnavailableError
from fsm_trader.market.kite.instruments import Known
from fsm_trader.ops.clock import VirtualClock

from .rows import CONTRACT

INDIA = ZoneInfo("Asia/Kolkata")


def moment(clock: str) -> datetime:
    return datetime.fromisoformat(f"2026-06-17T{clock}+05:30").astimezone(INDIA)


def plan(why_closed: str | None = None) -> DayPlan:
    times = {name: moment("09:15") for name in ("health_start", "health_end", "trading_start", "trading_end")}
    return DayPlan(day=moment("09:15").date(), why_closed=why_closed, square_off=moment("15:10"), **times)


class Store:
    """Gives what it was told to give."""

    def __init__(self, *answers: Known | Exception) -> None:
        self.answers = list(answers)

    def contracts(self, name, day):
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def bench():
    def make(*answers, start="09:00", why_closed=None):
        clock = VirtualClock(moment(start))
        known = KnownContracts({})
        options = OptionsOfDay(Store(*answers), "NIFTY", plan=plan(why_closed), clock=clock, known=known.add)
        return clock, options, known

    return make


def whole(note: str = "") -> Known:
    return Known((CONTRACT,), moment("08:40"), note)


def test_what_is_there_is_taken_once(bench):
    clock, options, known = bench(whole())

    assert options.is_due(clock.now())
    assert options.job() == ContractsRead((CONTRACT,))
    clock.sleep(86_000)
    assert not options.is_due(clock.now())
    assert known.find(CONTRACT.tradingsymbol) == CONTRACT
    assert known.find("nothing") is None


def test_it_is_not_asked_for_twice_at_a_time(bench):
    clock, options, _ = bench(whole())

    assert [options.is_due(clock.now()) for _ in range(3)] == [True, False, False]


def test_what_cannot_be_had_is_asked_for_at_growing_distances(bench):
    errors = [UnavailableError("cut")] * 8
    clock, options, _ = bench(*errors, whole())
    distances: list[float] = []

    assert options.is_due(clock.now())
    for _ in errors:
        failed = options.job()
        assert failed == ReadFailed("instruments", "cut")
        before = clock.now()
        while not options.is_due(clock.now()):
            clock.sleep(1)
        distances.append((clock.now() - before).total_seconds())

    assert distances == [5, 10, 20, 40, 80, 120, 120, 120]


def test_what_nobody_planned_for_is_told_and_asked_for_again(bench, caplog):
    clock, options, known = bench(ValueError("'name' is not in list"), whole())
    assert options.is_due(clock.now())

    failed = options.job()
    clock.sleep(5)

    assert failed == ReadFailed("instruments", "unexpected ValueError: 'name' is not in list")
    assert "Traceback" in caplog.text
    assert options.is_due(clock.now())
    assert options.job() == ContractsRead((CONTRACT,))
    assert known.find(CONTRACT.tradingsymbol) == CONTRACT


def test_a_login_is_followed_by_the_next_try_at_once(bench):
    clock, options, _ = bench(LoginRequiredError("no token"), whole())
    options.is_due(clock.now())
    assert options.job() == ReadFailed("instruments", "no token", None, login_required=True)
    before = options.is_due(clock.now())

    options.hurry()

    assert not before
    assert options.is_due(clock.now())


def test_a_doubtful_dump_serves_is_told_once_and_asked_for_again_once_kite_has_made_the_days(bench):
    clock, options, _ = bench(whole("early"), whole("older"), whole(), start="07:00")
    told, asked, stale = [], [], []

    assert options.is_due(clock.now())
    for _ in range(3):
        asked.append(f"{clock.now():%H:%M}")
        answered = options.job()
        told.append(answered.note)
        stale.append(answered.stale)
        for _ in range(2 * 60):
            clock.sleep(60)
            if options.is_due(clock.now()):
                break

    assert told == ["early", "", ""]
    assert stale == ["early", "older", ""]
    assert asked == ["07:00", "08:31", "08:32"]


def test_a_day_that_is_not_traded_asks_for_nothing(bench):
    clock, options, _ = bench(why_closed="Sunday")

    options.hurry()
    clock.wait_until(clock.now() + timedelta(hours=5))

    assert not options.is_due(clock.now())
