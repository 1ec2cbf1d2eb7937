"""A live trader killed in each state goes on from its journal and the broker's book, over real HTTP."""

from __future__ import annotations

import signal

from fsm_trader.core.records import RunStarted

from .conftest import Desk, moves

# Said again for a busy machine, on which the first requests may take a minute of the day.
AGAIN = dict.fromkeys(("09:16", "09:17", "09:18"), "BUY")


def test_a_trader_killed_in_every_state_of_a_trade_leads_it_to_its_end(desk: Desk):
    # Orders take long, so that the trade can be caught in each state; the price falls through the stop.
    desk.write(prices={"09:15": 100, "09:20": 75}, says=AGAIN, latency="25s", square_off="09:40")
    desk.serve(risk__max_trades_per_day=1)
    for state, answers in (("PENDING_ENTRY", 1), ("ACTIVE", 1), ("PENDING_EXIT", 2)):
        process = desk.start("--quiet")
        desk.wait_for_state(process, state)
        # Killed with its order on the way the trade would take another one, which other tests take.
        desk.wait_for(
            process, "SELECT 1 FROM events WHERE kind = 'order_answered' GROUP BY kind HAVING count(*) >= ?", answers
        )
        process.send_signal(signal.SIGKILL)
        assert desk.ended(process) == -signal.SIGKILL
        (open_trade,) = desk.ledger().open_trades
        assert open_trade.state == state
    last = desk.start("--quiet")
    desk.wait_for_state(last, "CLOSED")
    last.terminate()

    code = desk.ended(last)

    found = [row.found for row in desk.rows(RunStarted)]
    assert code == 0
    assert moves(desk) == [
        ("PENDING_ENTRY", "signal"),
        ("ACTIVE", "filled"),
        ("PENDING_EXIT", "stop_loss"),
        ("CLOSED", ""),
    ]
    assert [len(found), "ACTIVE, 130 units held" in found[2], "PENDING_EXIT, 130 units held" in found[3]] == [
        4,
        True,
        True,
    ]
    desk.assert_sound()


def test_a_sandbox_that_dies_and_comes_back_is_waited_for_and_the_stop_holds(desk: Desk):
    desk.write(prices={"09:15": 100, "09:20": 75}, says=AGAIN, square_off="09:40")
    first = desk.serve(risk__max_trades_per_day=1)
    process = desk.start("--quiet")
    desk.wait_for_state(process, "ACTIVE")
    port = int(first.address.rpartition(":")[2])
    first.close()
    # Nobody listens now: readings fail until it is back, at the same address, where its day stood.
    desk.wait_for(process, "SELECT 1 FROM events WHERE kind = 'health_seen' AND body LIKE '%no connection%'")

    desk.serve_again(port)

    desk.wait_for_state(process, "CLOSED")
    process.terminate()
    assert desk.ended(process) == 0
    assert [reason for dest, reason in moves(desk) if dest == "PENDING_EXIT"] == ["stop_loss"]
    assert "UNHEALTHY" in desk.states()
    desk.assert_sound()
