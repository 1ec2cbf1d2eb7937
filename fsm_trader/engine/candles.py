"""Candles and prices as they come in: checked, kept, shown to strategies and open trades."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from fsm_trader.core.candles import Candle, PriceSeen
from fsm_trader.core.money import Paise
from fsm_trader.core.records import AlarmRaised, CandlesSeen, EntryBlocked, InputRefused, Record, SignalSeen
from fsm_trader.core.signals import Signal
from fsm_trader.core.trades import Trade
from fsm_trader.engine.effort import Seen
from fsm_trader.engine.entries import EntryDesk
from fsm_trader.engine.floor import Floor
from fsm_trader.engine.signals import Said, Seat
from fsm_trader.engine.trades import TradeDesk
from fsm_trader.market.candles import CandleSeries

_LOOKS_AHEAD_AFTER = timedelta(seconds=5)


class CandleDesk:
    """Takes market facts in. Unusable ones are journaled and skipped, never guessed."""

    def __init__(self, floor: Floor, trades: TradeDesk, entries: EntryDesk, seats: Sequence[Seat]) -> None:
        self._floor = floor
        self._trades = trades
        self._entries = entries
        self._seats = tuple(seats)
        self._index = floor.settings.market.underlying.token
        self._series: dict[int, CandleSeries] = {}
        self._forming: dict[int, datetime] = {}
        self._frozen: set[str] = set()
        self._looked_on: Candle | None = None

    def newest(self, token: int) -> datetime | None:
        """Return the start of the newest candle this process has taken of an instrument."""
        last = self._series[token].last if token in self._series else None
        return None if last is None else last.start

    def candles_read(self, token: int, candles: Sequence[Candle], now: datetime) -> None:
        """Take what a feed gave: index candles go to the strategies, option candles to the trades that hold them."""
        complete = [candle for candle in candles if not _is_forming(candle, now)]
        accepted, reasons = self._series.setdefault(token, CandleSeries(token)).accept(complete)
        known = self._floor.ledger.last_candle.get(token)
        new = [candle for candle in accepted if known is None or candle.start > known.start]
        refused = [InputRefused("candle", reason) for reason in (*self._still_forming(token, candles, now), *reasons)]
        if token == self._index:
            self._entries.give_up_late(now)
            # What an earlier run of this session decided on is only shown to the strategies again, for their memory.
            for candle in accepted[: len(accepted) - len(new)]:
                self._ask(candle)
            self._index_candles(new, refused, now)
        else:
            self._option_candles(token, accepted, [*refused, *([CandlesSeen(tuple(new))] if new else [])])

    def price_read(self, price: PriceSeen, now: datetime) -> None:
        """Show a price to the trades that hold its contract, unless it is older than the position (I12).

        Then to the entries that wait for it.
        """
        seen = Seen(low=price.last, high=price.last, last=price.last)
        for trade in self._holding(price.token):
            self._tell_of_age(trade, price, now)
            if trade.filled_at is None or price.at >= trade.filled_at:
                self._floor.guard(partial(self._trades.step, trade, "check", seen=seen), of=trade.trade_id)
        self._entries.price_read(price, now)

    def _tell_of_age(self, trade: Trade, price: PriceSeen, now: datetime) -> None:
        """Raise an alarm once while a held contract does not trade: its stop and target see nothing new."""
        if now - price.at <= self._floor.settings.market.max_candle_age:
            self._frozen.discard(trade.trade_id)
        elif trade.trade_id not in self._frozen:
            self._frozen.add(trade.trade_id)
            symbol = trade.contract.tradingsymbol
            text = (
                f"{trade.trade_id}: {symbol} was last traded at {price.at:%H:%M:%S}; stop and target see nothing new."
            )
            self._floor.commit(AlarmRaised(text, trade.trade_id))

    def _index_candles(self, new: Sequence[Candle], refused: Sequence[Record], now: datetime) -> None:
        says = [said for candle in new for said in self._ask(candle) if said.signal is not Signal.HOLD]
        fresh = [said for said in says if now - said.candle.end <= self._floor.settings.market.max_candle_age]
        rows: list[Record] = list(refused)
        if new:
            rows.append(CandlesSeen(tuple(new)))
        rows += [self._row(said) for said in says if said in fresh or self._is_in(said.settings.name)]
        entered = self._entered(new, says, fresh, rows, now) if new else None
        if rows and (not new or self._floor.ledger.last_candle.get(self._index) != new[-1]):
            self._floor.commit(*rows)
        for trade in self._floor.ledger.open_trades:
            if any(said.settings.name == trade.strategy and said.signal is Signal.EXIT for said in says):
                step = partial(self._trades.step, self._floor.ledger.trades[trade.trade_id], "check")
                self._floor.guard(step, of=trade.trade_id)
        for said in fresh:
            if said is entered:
                continue
            if said.signal is Signal.BUY and said.candle.end == new[-1].end:
                self._entries.consider(said, now)
            elif said.signal is Signal.BUY:
                late = f"said on a candle that ended at {said.candle.end:%H:%M}, known only after a later one"
                self._floor.commit(EntryBlocked(said.settings.name, said.candle.start, (late,)))

    def _entered(
        self, new: Sequence[Candle], says: Sequence[Said], fresh: Sequence[Said], rows: Sequence[Record], now: datetime
    ) -> Said | None:
        """Enter on the only thing that was said in the commit that says it: a second one costs the order its place."""
        if not self._floor.effects.is_prompt or len(says) != 1 or len(fresh) != 1:
            return None
        if says[0].signal is not Signal.BUY or says[0].candle.end != new[-1].end:
            return None
        entered: list[bool] = []
        self._floor.guard(lambda: entered.append(self._entries.at_once(says[0], rows, now)))
        return says[0] if entered == [True] else None

    def on_time(self, now: datetime) -> None:
        """Look ahead some time after a candle, when whatever followed from it has left."""
        candle = self._floor.ledger.last_candle.get(self._index)
        if candle is None or candle is self._looked_on or now < candle.end + _LOOKS_AHEAD_AFTER:
            return
        self._looked_on = candle
        self._entries.look_ahead((seat.settings for seat in self._seats), candle.close)

    def _option_candles(self, token: int, accepted: Sequence[Candle], rows: Sequence[Record]) -> None:
        """Show candles to the trades that hold the contract.

        After a restart that is all candles of the day, those in the journal too: the process may have ended between
        writing a candle down and acting on it. A candle that was acted on has nothing left to say.
        """
        if rows:
            self._floor.commit(*rows)
        for trade in self._holding(token):
            seen = _since_entry(trade, accepted)
            if seen is not None:
                self._floor.guard(partial(self._trades.step, trade, "check", seen=seen), of=trade.trade_id)

    def _still_forming(self, token: int, candles: Sequence[Candle], now: datetime) -> list[str]:
        """Name each candle that is not complete yet once; it is asked for again until it is."""
        told = self._forming.get(token)
        starts = [candle.start for candle in candles if _is_forming(candle, now)]
        fresh = sorted(start for start in starts if told is None or start > told)
        if fresh:
            self._forming[token] = fresh[-1]
        return [f"candle {start:%Y-%m-%d %H:%M:%S} of token {token}: is not complete yet; skipped" for start in fresh]

    def _ask(self, candle: Candle) -> list[Said]:
        says: list[Said] = []
        for seat in self._seats:
            was_well = not seat.fault
            says += seat.take(candle)
            if was_well and seat.fault:
                self._floor.commit(
                    AlarmRaised(
                        f"strategy {seat.settings.name} failed on the candle of {candle.start:%H:%M}: {seat.fault}. "
                        "It gives no more signals; its open trades keep their stop, target and time limits."
                    )
                )
        return says

    def _row(self, said: Said) -> SignalSeen:
        return SignalSeen(said.settings.name, int(said.signal), said.candle.start, said.candle.close)

    def _is_in(self, strategy: str) -> bool:
        return any(trade.strategy == strategy for trade in self._floor.ledger.open_trades)

    def _holding(self, token: int) -> list[Trade]:
        return [trade for trade in self._floor.ledger.open_trades if trade.contract.token == token and trade.held > 0]


def _is_forming(candle: Candle, now: datetime) -> bool:
    """Tell whether a candle may still change: a decision on it could be one on a price that never was its close."""
    return candle.start.utcoffset() is not None and candle.end > now


def _since_entry(trade: Trade, candles: Sequence[Candle]) -> Seen | None:
    """Return the extremes a trade lived through.

    Of the candle in which the entry filled only the close is taken: its low and high may lie before the entry, and a
    stop must neither be hit by a price the trade never saw nor stay blind until the next minute.
    """
    start = trade.filled_at or trade.opened_at
    lows: list[Paise] = []
    highs: list[Paise] = []
    for candle in candles:
        if candle.end <= start:
            continue
        whole = candle.start >= start
        lows.append(candle.low if whole else candle.close)
        highs.append(candle.high if whole else candle.close)
    if not lows:
        return None
    return Seen(low=min(lows), high=max(highs), last=candles[-1].close)
