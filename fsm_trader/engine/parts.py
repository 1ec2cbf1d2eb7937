"""Orders in parts, where a position is above what the exchange takes in one order: how large, and whether on with it.

That a part is due the trade tells (``core.parts``), what follows its machine says. Here is what neither can know:
today's contracts, and whether the decision to enter still stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from fsm_trader.core.contracts import OptionContract
from fsm_trader.core.limits import entry_facts, entry_part_blocks
from fsm_trader.core.parts import count_parts, next_part
from fsm_trader.core.results import Nets
from fsm_trader.core.trades import Trade
from fsm_trader.engine.floor import Floor


class Parts:
    """Knows how much of a contract one order may carry today."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor
        self._began = floor.clock.now()
        self._contracts: dict[tuple[str, str], OptionContract] = {}
        self._nets = Nets()

    def know(self, contracts: Sequence[OptionContract]) -> None:
        """Take today's options: the freeze quantity changes from month to month, whatever is held."""
        self._contracts = {(contract.exchange, contract.tradingsymbol): contract for contract in contracts}

    def next_of(self, trade: Trade, quantity: int) -> int:
        """Return how many of *quantity* units the trade's next order may have."""
        return next_part(quantity, self._today(trade))

    def beyond_the_first(self) -> int:
        """Return how many parts the open trades have beyond one each: orders are kept for the way out of all."""
        return sum(count_parts(trade.quantity, self._today(trade)) - 1 for trade in self._floor.ledger.open_trades)

    def may_buy_on(self, trade: Trade, now: datetime, *, within: timedelta) -> bool:
        """Tell whether the decision to enter still stands, so that a further part of it may be bought.

        It is the decision of this process, younger than *within*, and nothing has come since that would keep a new
        entry out (I9). The option's price was looked at when the signal came; the index is watched on (I12).
        """
        floor = self._floor
        if trade.opened_at < self._began or now >= trade.since + within:
            return False
        if floor.leaving or floor.unreconciled or floor.fault or floor.stale_options or floor.ledger.flatten_asked:
            return False
        candle = floor.ledger.last_candle.get(floor.settings.market.underlying.token)
        if candle is None or now - candle.end > floor.settings.market.max_candle_age:
            return False
        facts = entry_facts(
            floor.ledger, floor.plan, trade.strategy, now, nets=self._nets, more_parts=self.beyond_the_first()
        )
        return not entry_part_blocks(floor.settings.risk, facts)

    def _today(self, trade: Trade) -> OptionContract:
        own = trade.contract
        today = self._contracts.get((own.exchange, own.tradingsymbol))
        return own if today is None or today.freeze_quantity is None else today
