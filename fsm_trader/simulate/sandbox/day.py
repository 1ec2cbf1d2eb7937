"""A recorded day as Kite would number it: an option's token ends in the byte that says NFO.

Readers of the websocket tell a packet's price divisor by that byte, and days recorded without an instrument dump have
tokens of our own making (``market.recorded_contracts``). It must not know orders.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from fsm_trader.core.candles import Candle
from fsm_trader.core.contracts import OptionContract
from fsm_trader.core.money import Paise
from fsm_trader.market.recorded import RecordedDay

_SEGMENTS = 256
_NFO = 2


class PlayedDay:
    """A recorded day and its contracts, under Kite's tokens; a PriceSource.

    Args:
        recorded: the day.
        contracts: what may be traded on it.
        index_token: the index's own token, which is kept.
    """

    def __init__(self, recorded: RecordedDay, contracts: Sequence[OptionContract], index_token: int) -> None:
        self.date = recorded.day
        self.opens_at = recorded.opens_at
        self.closes_at = recorded.closes_at
        self.label = recorded.label
        self.index_token = index_token
        self._recorded = recorded
        self._tokens = {index_token: index_token}
        self.contracts = tuple(self._numbered(contract) for contract in contracts)

    def candles(self, token: int, *, after: datetime | None, now: datetime) -> tuple[Candle, ...]:
        """Return the one-minute candles that started later than *after* and are complete at *now*.

        Raises:
            UnavailableError: the token is not of this day.
        """
        return self._recorded.candles(self._tokens.get(token, -1), after=after, now=now)

    def prices(self, token: int, *, after: datetime, until: datetime) -> tuple[tuple[datetime, Paise], ...]:
        """Return the prices in (*after*, *until*], closed by the one that stands at *until*.

        Raises:
            UnavailableError: the token is not of this day.
        """
        return self._recorded.prices(self._tokens.get(token, -1), after=after, until=until)

    def _numbered(self, contract: OptionContract) -> OptionContract:
        token = contract.token if contract.token % _SEGMENTS == _NFO else contract.token // _SEGMENTS * _SEGMENTS + _NFO
        while token in self._tokens:
            token += _SEGMENTS
        self._tokens[token] = contract.token
        return msgspec.structs.replace(contract, token=token)
