"""From committed rows to people: the log says every row, notices say what a person wants to be woken for."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from fsm_trader.core.ledger import Ledger
from fsm_trader.core.money import nearest_paise
from fsm_trader.core.orders import Role
from fsm_trader.core.records import (
    AlarmRaised,
    CandlesSeen,
    Entry,
    OrderAnswered,
    RunStarted,
    SessionMoved,
    SignalSeen,
    TradeMoved,
    kind_of,
    trade_of,
)
from fsm_trader.core.results import trade_result
from fsm_trader.core.signals import Signal
from fsm_trader.core.summary import summarise
from fsm_trader.core.trades import Trade
from fsm_trader.notify import messages
from fsm_trader.notify.protocol import Notice, Notifier
from fsm_trader.notify.spacing import Spacing
from fsm_trader.ops.logs import step

_LOG = logging.getLogger(__name__)
_SESSION_NEWS: dict[str, messages.SessionNews] = {
    "TRADING": "healthy",
    "UNHEALTHY": "unhealthy",
    "LOGIN_REQUIRED": "login_required",
    "HALTED": "halted",
    "SQUARING_OFF": "squaring_off",
    "CLOSED": "closed",
}


class LogObserver:
    """Writes one structured line for each committed row."""

    def committed(self, entries: Sequence[Entry], ledger: Ledger) -> None:
        """Log the rows; candles, which come every minute, at DEBUG."""
        for entry in entries:
            record = entry.record
            step(
                _LOG,
                kind_of(record),
                session=entry.session,
                trade=trade_of(record),
                seq=entry.seq,
                level=_level_of(entry),
                state=ledger.state,
                text=summarise(record),
            )

    def passed(self, now: datetime) -> None:
        """Say nothing: time alone is no news."""


class NoticeObserver:
    """Tells a notifier what a person wants to know, in the words of ``notify.messages``.

    An alarm of a trade that is raised again and again is told further and further apart; the journal has each.
    """

    def __init__(self, notifier: Notifier, *, underlying: str) -> None:
        self._notifier = notifier
        self._underlying = underlying
        self._spacing = Spacing()

    def committed(self, entries: Sequence[Entry], ledger: Ledger) -> None:
        """Turn rows into notices; most rows are none."""
        for entry in entries:
            text = self._text(entry, ledger)
            if text is not None:
                self._notifier.tell(Notice(f"{entry.session}/{entry.seq}", text, critical=_is_critical(entry)))

    def passed(self, now: datetime) -> None:
        """Say nothing: time alone is no news."""

    def _text(self, entry: Entry, ledger: Ledger) -> str | None:
        record = entry.record
        match record:
            case SignalSeen():
                return self._signal(record, ledger)
            case OrderAnswered():
                return _order_text(ledger.trades[record.trade_id], record)
            case TradeMoved():
                if record.source != record.dest:
                    self._spacing.forget(record.trade_id)
                return _trade_text(ledger.trades[record.trade_id], record)
            case AlarmRaised():
                return self._alarm(record, ledger)
            case RunStarted() | SessionMoved():
                return _session_news(entry, ledger)
            case _:
                return None

    def _alarm(self, record: AlarmRaised, ledger: Ledger) -> str | None:
        trade_id = record.trade_id
        if trade_id is not None and not self._spacing.is_due(trade_id, record.level):
            return None
        trade = None if trade_id is None else ledger.trades.get(trade_id)
        return messages.alarm_text(
            text=record.text,
            level=record.level,
            trade_id=trade_id,
            may_be_held=trade is not None and trade.state == "PENDING_ENTRY",
        )

    def _signal(self, record: SignalSeen, ledger: Ledger) -> str | None:
        is_in = any(trade.strategy == record.strategy for trade in ledger.open_trades)
        if record.signal == Signal.EXIT and not is_in:
            return None  # An EXIT with nothing to leave is no news (the journal has it).
        return messages.signal_text(
            strategy=record.strategy,
            signal=Signal(record.signal),
            underlying=self._underlying,
            index_paise=record.index_paise,
            candle_start=record.candle_start,
            to_open_trade=is_in,
        )


def _order_text(trade: Trade, record: OrderAnswered) -> str | None:
    order = trade.order(record.tag)
    if order.role is Role.ENTRY:
        if record.answer != "accepted":
            return None  # A refused entry is told by the transition to FAILED.
        return messages.entry_placed_text(
            trade_id=trade.trade_id,
            symbol=trade.contract.tradingsymbol,
            quantity=order.request.quantity,
            lots=order.request.quantity // trade.contract.lot_size,
            order_id=record.order_id,
        )
    if record.answer == "accepted":
        return messages.exit_placed_text(
            trade_id=trade.trade_id,
            symbol=trade.contract.tradingsymbol,
            quantity=order.request.quantity,
            reason=trade.exit_reason,
            price_paise=None,
            order_id=record.order_id,
        )
    return messages.exit_trouble_text(
        trade_id=trade.trade_id,
        symbol=trade.contract.tradingsymbol,
        quantity=order.request.quantity,
        reason=f"{record.answer}: {record.message}",
        attempt=order.attempt,
    )


def _trade_text(trade: Trade, record: TradeMoved) -> str | None:
    if record.source == record.dest:
        return None
    match record.dest:
        case "ACTIVE":
            return _confirmed(trade)
        case "FAILED":
            last = trade.last_order(Role.ENTRY)
            return messages.entry_failed_text(
                trade_id=trade.trade_id,
                symbol=trade.contract.tradingsymbol,
                quantity=trade.quantity,
                reason=f"{record.reason}{': ' + last.message if last is not None and last.message else ''}",
                sends=0 if last is None else last.sends,
            )
        case "CLOSED":
            return _summary(trade)
        case _:
            return None


def _confirmed(trade: Trade) -> str | None:
    average = trade.average_paise(Role.ENTRY)
    if average is None or trade.filled_at is None:
        return None
    return messages.entry_confirmed_text(
        messages.ConfirmedEntry(
            trade_id=trade.trade_id,
            symbol=trade.contract.tradingsymbol,
            quantity=trade.filled(Role.ENTRY),
            ordered=trade.quantity,
            average_paise=nearest_paise(average),
            at=trade.filled_at,
            stop_paise=trade.stop_paise,
            target_paise=trade.target_paise,
            hold_until=trade.hold_until,
        )
    )


def _summary(trade: Trade) -> str | None:
    result = trade_result(trade)
    if result.entry_paise is None or result.exit_paise is None or trade.filled_at is None:
        return None
    return messages.trade_summary_text(
        messages.TradeSummary(
            trade_id=trade.trade_id,
            strategy=trade.strategy,
            symbol=trade.contract.tradingsymbol,
            quantity=result.quantity,
            index_paise=trade.index_paise,
            signal_at=trade.candle_start,
            entry_paise=result.entry_paise,
            entry_at=trade.filled_at,
            entry_order_ids=_ids(trade, Role.ENTRY),
            exit_paise=result.exit_paise,
            exit_at=max(fill.at for order in trade.orders_of(Role.EXIT) for fill in order.fills),
            exit_order_ids=_ids(trade, Role.EXIT),
            stop_paise=trade.stop_paise,
            target_paise=trade.target_paise,
            reason=trade.exit_reason,
            gross_paise=result.gross_paise,
            charges_paise=result.charges_paise,
        )
    )


def _session_news(entry: Entry, ledger: Ledger) -> str | None:
    record = entry.record
    if isinstance(record, RunStarted):
        news: messages.SessionNews | None = "resumed" if record.found else "started"
        details = [record.found] if record.found else []
        if ledger.halted:
            what = "everything out and no entries" if ledger.flatten_asked else "no entries"
            details.append(f"halted by a person: {what} until resume")
    elif isinstance(record, SessionMoved):
        news = _SESSION_NEWS.get(record.dest) if record.source != record.dest else None
        details = [record.reason.replace("_", " ")] if record.reason else []
    else:
        return None
    if news is None:
        return None
    return messages.session_text(
        news=news,
        session=entry.session,
        at=entry.at,
        details=details,
        open_trades=[trade.trade_id for trade in ledger.open_trades],
    )


def _ids(trade: Trade, role: Role) -> tuple[str, ...]:
    return tuple(order.order_id for order in trade.orders_of(role) if order.fills and order.order_id is not None)


def _is_critical(entry: Entry) -> bool:
    record = entry.record
    if isinstance(record, AlarmRaised):
        return True
    if isinstance(record, SessionMoved):
        return record.dest in ("UNHEALTHY", "LOGIN_REQUIRED")
    return isinstance(record, OrderAnswered) and record.answer != "accepted"


def _level_of(entry: Entry) -> int:
    record = entry.record
    if isinstance(record, AlarmRaised):
        return logging.ERROR
    if isinstance(record, OrderAnswered) and record.answer != "accepted":
        return logging.WARNING
    return logging.DEBUG if isinstance(record, CandlesSeen) else logging.INFO
