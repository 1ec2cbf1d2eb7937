"""One line of plain words for every kind of journal row: the log, ``journal list`` and the console all say the same."""

from __future__ import annotations

from fsm_trader.core.money import show_rupees
from fsm_trader.core.records import (
    AlarmRaised,
    CancelAnswered,
    CancelIntended,
    CandlesSeen,
    DamageFound,
    EntryBlocked,
    FillSeen,
    HealthSeen,
    InputRefused,
    LevelsSet,
    OperatorAsked,
    OrderAdopted,
    OrderAnswered,
    OrderIntended,
    OrderSeen,
    Reconciled,
    Record,
    RunStarted,
    RunStopped,
    SessionMoved,
    SignalSeen,
    SoldOutside,
    TradeMoved,
    TradeOpened,
)
from fsm_trader.core.signals import Signal


def summarise(record: Record) -> str:
    """Say what a row says, in one printable line: what others put into a message cannot break or colour it."""
    words = _words(record)
    if words.isprintable():
        return words
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in words
    )


def _words(record: Record) -> str:  # noqa: C901, PLR0911, PLR0912 - one flat list: a row kind, its words
    match record:
        case TradeMoved() | SessionMoved():
            return _moved(record)
        case TradeOpened():
            contract = record.contract
            return (
                f"opened by {record.strategy}: {record.quantity} {contract.tradingsymbol}, "
                f"index {show_rupees(record.index_paise)}"
            )
        case OrderIntended():
            request = record.request
            return (
                f"intends {record.role} order, attempt {record.attempt}: {request.side} {request.quantity} "
                f"{request.tradingsymbol} {request.kind} tag {request.tag}"
            )
        case OrderAnswered() | CancelAnswered():
            what = "order" if isinstance(record, OrderAnswered) else "cancellation"
            return f"{what} {record.tag} {record.answer}{_said(record.message)}"
        case CancelIntended():
            return f"intends to cancel order {record.order_id} tag {record.tag}"
        case OrderSeen():
            report = record.report
            return (
                f"order {report.order_id} is {report.status} ({report.raw_status}), "
                f"{report.filled_quantity} of {report.quantity} filled{_said(report.message)}"
            )
        case FillSeen():
            return (
                f"filled {record.fill.quantity} at {show_rupees(record.fill.price_paise)}, order {record.fill.order_id}"
            )
        case LevelsSet():
            return _levels(record)
        case OrderAdopted() | SoldOutside() | Reconciled():
            return _standing(record)
        case SignalSeen():
            return (
                f"{record.strategy} says {Signal(record.signal).name} on the candle of {record.candle_start:%H:%M}, "
                f"index {show_rupees(record.index_paise)}"
            )
        case EntryBlocked():
            return f"{record.strategy}: BUY of {record.candle_start:%H:%M} not followed: {'; '.join(record.reasons)}"
        case CandlesSeen():
            return _candles(record)
        case HealthSeen():
            return "healthy" if not record.faults else f"not healthy: {'; '.join(record.faults)}"
        case InputRefused():
            return f"{record.what} skipped: {record.why}"
        case DamageFound():
            return f"rows of the journal are gone: {'; '.join(record.findings)}"
        case AlarmRaised():
            return f"ALARM level {record.level}: {record.text}"
        case OperatorAsked():
            return f"a person asked for {record.verb}{_said(record.by)}"
        case RunStarted():
            return f"run started for session {record.session} by process {record.pid}{_said(record.found)}"
        case RunStopped():
            left = f", open: {', '.join(record.open_trades)}" if record.open_trades else ""
            return f"run stopped with code {record.exit_code}: {record.reason}{left}"


def _standing(record: OrderAdopted | SoldOutside | Reconciled) -> str:
    if isinstance(record, OrderAdopted):
        return f"adopts order {record.report.order_id} tag {record.report.tag}: it belonged to no open trade"
    if isinstance(record, SoldOutside):
        return f"{record.quantity} units are gone{_said(record.text)}"
    found = "; ".join(f"{each.text} [{each.rule}]" for each in record.findings)
    return f"asked the broker: {found or 'nothing is held'}"


def _moved(record: TradeMoved | SessionMoved) -> str:
    way = record.source if record.source == record.dest else f"{record.source} -> {record.dest}"
    price = getattr(record, "price_paise", None)
    at = "" if price is None else f" at {show_rupees(price)}"
    reason = f" ({record.reason.replace('_', ' ')})" if record.reason else ""
    return f"{way} on {record.trigger}{reason}{at}{_said(getattr(record, 'detail', ''))}"


def _levels(record: LevelsSet) -> str:
    stop = "none" if record.stop_paise is None else show_rupees(record.stop_paise)
    target = "none" if record.target_paise is None else show_rupees(record.target_paise)
    until = "none" if record.hold_until is None else f"{record.hold_until:%H:%M:%S}"
    return f"stop {stop}, target {target}, held until {until} at the longest"


def _candles(record: CandlesSeen) -> str:
    if not record.candles:
        return "no candles"
    first, last = record.candles[0], record.candles[-1]
    when = f"{first.start:%H:%M}" if first is last else f"{first.start:%H:%M} to {last.start:%H:%M}"
    return f"{len(record.candles)} candle(s) of instrument {first.token}, {when}, close {show_rupees(last.close)}"


def _said(text: str) -> str:
    return f": {text}" if text else ""
