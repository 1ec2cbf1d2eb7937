"""From a BUY to a trade: limits first, then the contract, then the intent. Every refusal is journaled."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from fsm_trader.core.contracts import OptionContract
from fsm_trader.core.ledger import TRADE_INITIAL
from fsm_trader.core.limits import entry_blocks, entry_facts
from fsm_trader.core.records import EntryBlocked, TradeOpened
from fsm_trader.core.trades import open_trade
from fsm_trader.engine.floor import Floor
from fsm_trader.engine.signals import Said
from fsm_trader.engine.trades import TradeDesk
from fsm_trader.market.selection import SelectionError, select_option


class EntryDesk:
    """Decides about entries. The newest refusal of each strategy stays readable in ``status``."""

    def __init__(self, floor: Floor, trades: TradeDesk, contracts: Sequence[OptionContract]) -> None:
        self._floor = floor
        self._trades = trades
        self._contracts = contracts

    def consider(self, said: Said, now: datetime) -> None:
        """Open a trade on a BUY, or journal every reason against it."""
        floor = self._floor
        reasons = entry_blocks(floor.settings.risk, entry_facts(floor.ledger, floor.plan, said.settings.name, now))
        if floor.leaving:
            reasons = (*reasons, "the process was told to end")
        if floor.unreconciled:
            reasons = (*reasons, floor.unreconciled)
        if floor.fault:
            reasons = (*reasons, floor.fault)
        contract = None
        if not reasons:
            contract, reasons = self._contract(said)
        if contract is None:
            self._floor.commit(EntryBlocked(said.settings.name, said.candle.start, reasons))
            return
        row = self._opened(said, contract)
        trade = open_trade(row, now, self._floor.session, TRADE_INITIAL)
        if not self._trades.open(row, trade):
            reasons = ("the trade machine takes no entry now",)
            self._floor.commit(EntryBlocked(said.settings.name, said.candle.start, reasons))

    def _contract(self, said: Said) -> tuple[OptionContract | None, tuple[str, ...]]:
        try:
            contract = select_option(
                self._contracts, said.settings.option, spot_paise=said.candle.close, day=self._floor.plan.day
            )
        except SelectionError as error:
            return None, (str(error),)
        quantity = said.settings.lots * contract.lot_size
        freeze = contract.freeze_quantity
        if freeze is not None and quantity > freeze:
            return None, (f"{quantity} units of {contract.tradingsymbol} are above its freeze quantity of {freeze}",)
        return contract, ()

    def _opened(self, said: Said, contract: OptionContract) -> TradeOpened:
        number = self._floor.ledger.next_trade_number()
        return TradeOpened(
            trade_id=f"{self._floor.plan.day:%Y%m%d}-{number:03d}",
            number=number,
            strategy=said.settings.name,
            contract=contract,
            lots=said.settings.lots,
            quantity=said.settings.lots * contract.lot_size,
            product=self._floor.settings.broker.product,
            exits=said.settings.exits,
            machine=self._floor.trade_machine.spec.digest,
            candle_start=said.candle.start,
            index_paise=said.candle.close,
        )
