"""From a BUY to a trade: limits first, then the contract and its price, then the intent. Every refusal is journaled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

import msgspec

from fsm_trader.core.candles import PriceSeen
from fsm_trader.core.contracts import OptionContract
from fsm_trader.core.ledger import TRADE_INITIAL
from fsm_trader.core.limits import age_block, entry_blocks, entry_facts
from fsm_trader.core.parts import count_parts, freeze_blocks
from fsm_trader.core.records import EntryBlocked, Record, TradeOpened
from fsm_trader.core.results import Nets
from fsm_trader.core.settings import StrategySettings
from fsm_trader.core.trades import open_trade
from fsm_trader.engine.floor import Floor
from fsm_trader.engine.signals import Said
from fsm_trader.engine.trades import TradeDesk
from fsm_trader.machines.moves import buys_in_parts
from fsm_trader.market.selection import SelectionError, Shelf

# A price is asked for right before the order. One that takes longer than this is of no use: the signal has moved on.
PRICE_WITHIN = timedelta(seconds=20)


class _Wish(msgspec.Struct, frozen=True):
    """An entry that waits for the price of its contract since *asked_at*."""

    said: Said
    contract: OptionContract
    asked_at: datetime


class EntryDesk:
    """Decides about entries. The newest refusal of each strategy stays readable in ``status``.

    An option that nobody trades has an old price, and an order at the market would meet whatever somebody asks for it:
    so its last trade is looked at before the order, and must be as new as a candle must be (I12). Nobody follows the
    price of what is not held, so it is asked for, and the entry follows with the answer. What is true then counts: the
    limits, the window and the candle are looked at anew.
    """

    def __init__(self, floor: Floor, trades: TradeDesk, contracts: Sequence[OptionContract]) -> None:
        self._floor = floor
        self._trades = trades
        self._contracts = contracts
        self._shelf = Shelf(contracts, floor.plan.day)
        self._day = f"{floor.plan.day:%Y%m%d}"
        self._waiting: dict[int, list[_Wish]] = {}
        self._nets = Nets()
        self._in_parts = buys_in_parts(floor.trade_machine.spec)

    def know(self, contracts: Sequence[OptionContract], stale: str = "") -> None:
        """Take the options that may be bought from now on; none where *stale* says why they may not be today's."""
        self._contracts = contracts
        self._floor.stale_options = stale
        self._shelf = Shelf(contracts, self._floor.plan.day)

    def consider(self, said: Said, now: datetime) -> None:
        """Ask for the option's price on a BUY, or journal every reason against it."""
        self.give_up_late(now)
        reasons, contract = self._reasons(said, now), None
        if not reasons:
            contract, reasons = self._contract(said, now)
        if contract is None:
            self._block(said, reasons)
            return
        self._waiting.setdefault(contract.token, []).append(_Wish(said, contract, now))
        self._floor.worker.submit(self._floor.effects.read_price(contract.token))

    def at_once(self, said: Said, rows: Sequence[Record], now: datetime) -> bool:
        """Open a trade in one commit with *rows*, which tell of the BUY; False when nothing was committed.

        That is so where anything is against it, and where the option's price would have to be asked for.
        """
        contract = None if self._reasons(said, now) else self._contract(said, now)[0]
        price = None if contract is None else self._floor.effects.price_at_hand(contract.token)
        if contract is None or price is None:
            return False
        if age_block(contract.tradingsymbol, price.at, now, self._floor.settings.market.max_candle_age):
            return False
        row = self._opened(said, contract)
        trade = open_trade(row, now, self._floor.session, TRADE_INITIAL)
        return self._trades.open(row, trade, before=rows)

    def look_ahead(self, strategies: Iterable[StrategySettings], spot_paise: int) -> None:
        """Have the prices at hand of what would be bought now; which contract it is in the end, its signal decides."""
        # What the trades have brought by now need not be reckoned while an order waits for it.
        self._nets.of(self._floor.ledger.session_trades, self._floor.ledger.marks)
        for strategy in strategies:
            with suppress(SelectionError):  # It is told when there is something to buy.
                self._floor.effects.watch(self._shelf.select(strategy.option, spot_paise=spot_paise))

    def price_read(self, price: PriceSeen, now: datetime) -> None:
        """Open the trades that waited for this price, or journal every reason against them."""
        self.give_up_late(now)
        for wish in self._waiting.pop(price.token, ()):
            reasons = self._reasons(wish.said, now, wish.contract)
            age = age_block(wish.contract.tradingsymbol, price.at, now, self._floor.settings.market.max_candle_age)
            if age:
                reasons = (*reasons, age)
            if reasons:
                self._block(wish.said, reasons)
            else:
                self._open(wish.said, wish.contract, now)

    def price_failed(self, token: int, why: str) -> None:
        """Journal that no entry follows without a price."""
        for wish in self._waiting.pop(token, ()):
            self._block(wish.said, (f"no price of {wish.contract.tradingsymbol}: {why}",))

    def give_up_late(self, now: datetime) -> None:
        """Journal the entries whose price did not come in time."""
        for token, wishes in list(self._waiting.items()):
            late = [wish for wish in wishes if now - wish.asked_at > PRICE_WITHIN]
            self._waiting[token] = [wish for wish in wishes if wish not in late]
            for wish in late:
                seconds = PRICE_WITHIN.total_seconds()
                self._block(wish.said, (f"no price of {wish.contract.tradingsymbol} within {seconds:g} s",))

    def _reasons(self, said: Said, now: datetime, contract: OptionContract | None = None) -> tuple[str, ...]:
        floor = self._floor
        more = self._trades.parts.beyond_the_first()
        if contract is not None:
            more += count_parts(said.settings.lots * contract.lot_size, contract) - 1
        facts = entry_facts(floor.ledger, floor.plan, said.settings.name, now, nets=self._nets, more_parts=more)
        reasons = entry_blocks(floor.settings.risk, facts)
        if now - said.candle.end > floor.settings.market.max_candle_age:
            reasons = (*reasons, f"said on a candle that ended at {said.candle.end:%H:%M}")
        if floor.stale_options:
            reasons = (*reasons, f"option selection: {floor.stale_options}; nothing is bought until today's is there")
        if floor.leaving:
            reasons = (*reasons, "the process was told to end")
        if floor.unreconciled:
            reasons = (*reasons, floor.unreconciled)
        if floor.fault:
            reasons = (*reasons, floor.fault)
        return reasons

    def _block(self, said: Said, reasons: tuple[str, ...]) -> None:
        self._floor.commit(EntryBlocked(said.settings.name, said.candle.start, reasons))

    def _open(self, said: Said, contract: OptionContract, now: datetime) -> None:
        row = self._opened(said, contract)
        trade = open_trade(row, now, self._floor.session, TRADE_INITIAL)
        if not self._trades.open(row, trade):
            self._block(said, ("the trade machine takes no entry now",))

    def _contract(self, said: Said, now: datetime) -> tuple[OptionContract | None, tuple[str, ...]]:
        if not self._contracts:
            return None, ("option selection: today's options are not known yet",)
        try:
            contract = self._shelf.select(said.settings.option, spot_paise=said.candle.close)
        except SelectionError as error:
            return None, (str(error),)
        quantity = said.settings.lots * contract.lot_size
        reasons = freeze_blocks(quantity, contract, in_parts=self._in_parts)
        if not reasons and count_parts(quantity, contract) > 1:
            reasons = self._reasons(said, now, contract)  # Each part needs orders of the day's limit.
        return (None, reasons) if reasons else (contract, ())

    def _opened(self, said: Said, contract: OptionContract) -> TradeOpened:
        number = self._floor.next_trade_number()
        return TradeOpened(
            trade_id=f"{self._day}-{number:03d}",
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
