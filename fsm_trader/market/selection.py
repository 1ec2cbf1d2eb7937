"""Which option to buy: a pure choice from the contracts the dump lists. Knows no price feed, clock or order."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from datetime import date, timedelta

from fsm_trader.core.contracts import OptionContract, OptionKind
from fsm_trader.core.money import Paise, show_rupees
from fsm_trader.core.settings import OptionRule
from fsm_trader.errors import TraderError


class SelectionError(TraderError, ValueError):
    """No listed contract fits the rule: there is nothing to buy, and nothing was sent."""


def select_option(
    contracts: Sequence[OptionContract], rule: OptionRule, *, spot_paise: int, day: date
) -> OptionContract:
    """Choose the contract a rule asks for.

    The expiry is chosen first, among all contracts of the rule's kind; then the strike, among those of that expiry.
    ``nearest_monthly`` takes the last expiry listed within a calendar month as that month's. A spot half-way between
    two strikes goes to the one in the money (lower for a call, higher for a put): it moves more with the index.

    Args:
        contracts: options of one underlying, in any order.
        rule: what is wanted.
        spot_paise: index in paise of a point; above zero.
        day: trading day; expiries before *day* plus the rule's ``skip_days`` are passed over.

    Raises:
        SelectionError: no contract fits, or the contracts are of several underlyings.
    """
    return Shelf(contracts, day).select(rule, spot_paise=spot_paise)


class Shelf:
    """The options of a day, chosen from again and again: what does not hang on the index is looked up once for a rule.

    Args:
        contracts: options of one underlying, in any order.
        day: trading day.
    """

    def __init__(self, contracts: Sequence[OptionContract], day: date) -> None:
        self._contracts = contracts
        self._day = day
        self._of_rule: dict[OptionRule, _Ladder] = {}

    def select(self, rule: OptionRule, *, spot_paise: int) -> OptionContract:
        """Choose as ``select_option`` does.

        Raises:
            SelectionError: as there.
        """
        if spot_paise <= 0:
            raise SelectionError(
                f"option selection: spot {spot_paise} paise; expected above zero; no option was chosen"
            )
        ladder = self._of_rule.get(rule)
        if ladder is None:
            ladder = self._of_rule[rule] = _Ladder(self._candidates(rule))
        return ladder.select(rule, spot_paise)

    def _candidates(self, rule: OptionRule) -> list[OptionContract]:
        names = sorted({contract.name for contract in self._contracts})
        if len(names) > 1:
            raise SelectionError(
                f"option selection: contracts of {names}; expected one underlying; no option was chosen"
            )
        of_kind = [contract for contract in self._contracts if contract.kind is rule.kind]
        expiry = _expiry(of_kind, rule, self._day)
        return [contract for contract in of_kind if contract.expiry == expiry]


class _Ladder:
    """Contracts of one kind and expiry by their strikes: found by halving, since an order waits for it."""

    def __init__(self, contracts: Iterable[OptionContract]) -> None:
        by_strike: dict[int, OptionContract] = {}
        # The symbol only makes the choice certain where a dump lists one strike twice: the first in order is kept.
        for contract in sorted(contracts, key=lambda contract: contract.tradingsymbol):
            by_strike.setdefault(contract.strike_paise, contract)
        self._strikes = sorted(by_strike)
        self._contracts = [by_strike[strike] for strike in self._strikes]

    def select(self, rule: OptionRule, spot_paise: int) -> OptionContract:
        """Return the contract whose strike is nearest to the spot, among those on the side that the rule allows."""
        above = bisect_left(self._strikes, spot_paise)  # The lowest strike that is not below the spot.
        below = bisect_right(self._strikes, spot_paise) - 1
        has_above = rule.strike != "at_or_below" and above < len(self._strikes)
        has_below = rule.strike != "at_or_above" and below >= 0
        if not has_above and not has_below:
            raise SelectionError(
                f"option selection: no {rule.kind} strike {rule.strike} spot {show_rupees(Paise(spot_paise))} is "
                "listed for the expiry; expected at least one; no option was chosen"
            )
        if has_above and has_below:
            up, down = self._strikes[above] - spot_paise, spot_paise - self._strikes[below]
            # Half-way between the two the one in the money is taken.
            has_above = up < down or (up == down and rule.kind is OptionKind.PE)
        return self._contracts[above if has_above else below]


def monthly_expiries(expiries: Iterable[date]) -> list[date]:
    """Return the last expiry listed in each calendar month, in order."""
    last: dict[tuple[int, int], date] = {}
    for expiry in expiries:
        month = (expiry.year, expiry.month)
        last[month] = max(expiry, last.get(month, expiry))
    return sorted(last.values())


def _expiry(contracts: Sequence[OptionContract], rule: OptionRule, day: date) -> date:
    listed = sorted({contract.expiry for contract in contracts})
    candidates = monthly_expiries(listed) if rule.expiry == "nearest_monthly" else listed
    earliest = day + timedelta(days=rule.skip_days)
    for expiry in candidates:
        if expiry >= earliest:
            return expiry
    seen = f"{len(listed)} expiries, the last {listed[-1]}" if listed else "none"
    raise SelectionError(
        f"option selection: {seen} of {rule.kind} listed; expected a {rule.expiry} expiry on or after {earliest}; "
        "no option was chosen"
    )
