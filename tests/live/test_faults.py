"""What goes wrong between us and Kite costs no position and doubles no order, and is told in words."""

from __future__ import annotations

from fsm_trader.core.orders import Role

from .conftest import Desk, blocks, moves

FALLS = {"09:15": 100, "09:19": 75}
AGAIN = dict.fromkeys(("09:16", "09:17", "09:18"), "BUY")
ALWAYS = {f"09:{minute}": "BUY" for minute in range(16, 24)}


def test_lost_answers_resets_and_gateway_pages_lose_nothing_and_double_nothing(desk: Desk):
    desk.write(prices={"09:15": 100, "09:22": 75}, says=AGAIN, square_off="09:40")
    desk.serve(
        # The entry is taken and nobody hears of it; the exit is taken and its answer cut off.
        "{kind: lost_answer, call: place, times: 1, delay: 4s}",
        "{kind: reset_after, call: place, times: 1}",
        '{kind: html_error, call: [profile, positions, quote, historical], status: 502, chance: 30%, from: "09:20"}',
        '{kind: unsorted, call: [orders, trades], from: "09:17"}',
        '{kind: malformed, call: orders, times: 2, from: "09:20"}',
        broker__kite__timeout="300ms",
    )
    process = desk.start("--quiet")
    desk.wait_for_state(process, "CLOSED")
    process.terminate()

    code = desk.ended(process)

    (trade,) = desk.ledger().session_trades
    assert code == 0
    assert [order.answer for order in trade.orders] == ["unknown", "unknown"]
    assert [len(trade.orders_of(role)) for role in (Role.ENTRY, Role.EXIT)] == [1, 1]
    assert moves(desk)[-2:] == [("PENDING_EXIT", "stop_loss"), ("CLOSED", "")]
    desk.assert_sound()


def test_an_entry_that_was_lost_on_its_way_is_given_up_and_never_sent_again(desk: Desk):
    desk.write(prices=FALLS, says=AGAIN, square_off="09:40")
    desk.serve(
        "{kind: lost_request, call: place, times: 1, delay: 4s}",
        broker__kite__timeout="300ms",
        risk__max_trades_per_day=1,
    )
    process = desk.start("--quiet")
    desk.wait_for_state(process, "FAILED")
    process.terminate()

    code = desk.ended(process)

    (trade,) = desk.ledger().session_trades
    assert code == 0
    assert (trade.state, trade.reason, len(trade.orders)) == ("FAILED", "entry_absent", 1)
    # It is looked up for broker.settle before it counts as absent.
    assert (trade.since - trade.opened_at).total_seconds() >= 60
    desk.assert_sound()


def test_an_address_that_may_not_send_orders_ends_the_entries_and_says_why(desk: Desk):
    desk.write(prices=FALLS, says=ALWAYS, square_off="09:40")
    words = "No IPs configured for this app. Add allowed IPs on the developer console."
    desk.serve(f'{{kind: http_error, call: place, status: 403, error_type: PermissionException, message: "{words}"}}')
    process = desk.start("--quiet")
    desk.wait_for(process, "SELECT 1 FROM events WHERE kind = 'entry_blocked' AND body LIKE '%UNHEALTHY%'")
    process.terminate()

    code = desk.ended(process)

    (trade,) = desk.ledger().session_trades
    assert code == 0
    assert (trade.state, trade.reason) == ("FAILED", "entry_refused")
    assert "UNHEALTHY" in desk.states()
    assert "UNHEALTHY" in blocks(desk)
    assert f"so no entry is sent: Kite, order {trade.orders[0].tag}" in desk.alarms()
    assert words in desk.alarms()
    desk.assert_sound()


def test_a_dump_that_is_cut_is_asked_for_again_and_nothing_is_bought_before_it_is_whole(desk: Desk):
    desk.write(prices=FALLS, says=ALWAYS, square_off="09:40")
    desk.serve('{kind: half_dump, until: "09:19:40"}')
    process = desk.start("--quiet")
    desk.wait_for_state(process, "ACTIVE")
    process.terminate()

    code = desk.ended(process)

    (trade,) = desk.ledger().open_trades
    assert code == 3
    assert "instruments: no usable answer 3 times in a row" in desk.alarms()
    assert "today's options are not known yet" in blocks(desk)
    assert f"{trade.candle_start:%H:%M}" >= "09:18"
    desk.assert_no_secret_is_told()
