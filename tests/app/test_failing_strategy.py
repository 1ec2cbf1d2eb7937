"""A strategy is somebody else's code: when it fails, its position is still looked after."""

from __future__ import annotations

import uuid

import pytest

from fsm_trader.core.records import AlarmRaised, SignalSeen

_STRATEGY = '''
class FailsInTrade:
    """Buys on the 30th candle and breaks on the 33rd, while the trade is open."""

    warmup = 1

    def __init__(self):
        self.seen = 0

    def update(self, candle):
        self.seen += 1
        if self.seen == 33:
            raise DEFECT("a defect of the strategy")
        return 1 if self.seen == 30 else 0
'''


@pytest.mark.parametrize("defect", ["ZeroDivisionError", "SystemExit", "KeyboardInterrupt", "GeneratorExit"])
def test_a_strategy_that_raises_is_silenced_and_its_trade_is_managed_to_the_end(
    session_file, edit, run_day, journal, defect
):
    module = f"plugin_{uuid.uuid4().hex}"  # noqa: TID251 - a fresh module name, so that no earlier import is met
    session_file.with_name(f"{module}.py").write_text(_STRATEGY.replace("DEFECT", defect))
    edit("strategies.yaml", "class: DonchianBreakout", f'class: "{module}:FailsInTrade"')
    edit("strategies.yaml", "params: {length: 20, exit_option: 2}", "params: {}")

    outcome = run_day()

    (trade,) = outcome.ledger.session_trades
    alarms = [entry.record.text for entry in journal() if isinstance(entry.record, AlarmRaised)]
    signals = [entry for entry in journal() if isinstance(entry.record, SignalSeen)]
    assert outcome.exit_code == 0
    assert trade.state == "CLOSED"
    assert trade.held == 0
    assert trade.exit_reason in {"stop_loss", "target", "max_hold"}
    assert len([text for text in alarms if f"{defect}: a defect of the strategy" in text]) == 1
    assert len(signals) == 1
