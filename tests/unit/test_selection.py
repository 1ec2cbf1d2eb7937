"""Option selection, against a reference that tries every contract."""

from __future__ import annotations

from datetime import date, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm_trader.core.contracts import OptionContract, OptionKind
from fsm_trader.core.money import Paise
from fsm_trader.core.settings import OptionRule
from fsm_trader.errors import TraderError
from fsm_trader.market.selection import SelectionError, monthly_expiries, select_option

DAY = date(2026, 6, 17)


def contract(strike: int, kind: OptionKind = OptionKind.CE, expiry: date = date(2026, 6, 23), name: str = "NIFTY"):
    symbol = f"{name}{expiry:%y%m%d}{strike}{kind}"
    return OptionContract("NFO", symbol, hash((strike, kind, expiry)), name, expiry, Paise(strike * 100), kind, 65, 5)


def rule(
    strike: str = "nearest", expiry: str = "nearest", kind: OptionKind = OptionKind.CE, skip: int = 0
) -> OptionRule:
    return OptionRule(kind=kind, strike=strike, expiry=expiry, skip_days=skip)


CHAIN = [
    contract(strike, kind, expiry)
    for expiry in (date(2026, 6, 16), date(2026, 6, 23), date(2026, 6, 30), date(2026, 7, 7), date(2026, 7, 28))
    for strike in range(24400, 24850, 50)
    for kind in OptionKind
]


@pytest.mark.parametrize(
    ("strike", "spot", "chosen"),
    [
        ("nearest", 2461000, 24600),
        ("nearest", 2463000, 24650),
        ("at_or_above", 2460005, 24650),
        ("at_or_above", 2460000, 24600),
        ("at_or_below", 2464995, 24600),
        ("at_or_below", 2465000, 24650),
        ("nearest", 9900000, 24800),
    ],
)
def test_the_strike_follows_the_rule(strike: str, spot: int, chosen: int) -> None:
    assert select_option(CHAIN, rule(strike), spot_paise=spot, day=DAY).strike_paise == chosen * 100


def test_a_spot_half_way_goes_to_the_strike_in_the_money() -> None:
    call = select_option(CHAIN, rule(), spot_paise=2462500, day=DAY)
    put = select_option(CHAIN, rule(kind=OptionKind.PE), spot_paise=2462500, day=DAY)

    assert (call.strike_paise, put.strike_paise) == (2460000, 2465000)
    assert (call.kind, put.kind) == (OptionKind.CE, OptionKind.PE)


@pytest.mark.parametrize(
    ("expiry", "skip", "day", "chosen"),
    [
        ("nearest", 0, DAY, date(2026, 6, 23)),
        ("nearest", 0, date(2026, 6, 23), date(2026, 6, 23)),
        ("nearest", 1, date(2026, 6, 23), date(2026, 6, 30)),
        ("nearest", 7, DAY, date(2026, 6, 30)),
        ("nearest_monthly", 0, DAY, date(2026, 6, 30)),
        ("nearest_monthly", 14, DAY, date(2026, 7, 28)),
    ],
)
def test_the_expiry_follows_the_rule(expiry: str, skip: int, day: date, chosen: date) -> None:
    assert select_option(CHAIN, rule(expiry=expiry, skip=skip), spot_paise=2460000, day=day).expiry == chosen


@pytest.mark.parametrize(
    ("contracts", "asked", "spot", "told"),
    [
        ([], rule(), 2460000, "expected a nearest expiry"),
        (CHAIN, rule(skip=99), 2460000, "on or after 2026-09-24"),
        (CHAIN, rule("at_or_above"), 2480005, "at_or_above"),
        (CHAIN, rule("at_or_below"), 2439995, "at_or_below"),
        (CHAIN, rule(), 0, "spot 0"),
        ([*CHAIN, contract(24600, name="BANKNIFTY")], rule(), 2460000, "one underlying"),
        ([contract(24600)], rule(kind=OptionKind.PE), 2460000, "none of PE"),
    ],
)
def test_nothing_that_fits_is_an_error_in_words(contracts, asked, spot, told) -> None:
    with pytest.raises(SelectionError, match=told) as caught:
        select_option(contracts, asked, spot_paise=spot, day=DAY)

    assert isinstance(caught.value, TraderError)
    assert isinstance(caught.value, ValueError)


def test_a_month_ends_with_its_last_listed_expiry() -> None:
    days = [date(2026, 6, 30), date(2026, 6, 23), date(2026, 7, 7), date(2027, 6, 29)]

    assert monthly_expiries(days) == [date(2026, 6, 30), date(2026, 7, 7), date(2027, 6, 29)]


def reference(contracts, asked: OptionRule, spot: int, day: date):
    def fits(one) -> bool:
        month_end = not any(
            other.expiry > one.expiry and (other.expiry.year, other.expiry.month) == (one.expiry.year, one.expiry.month)
            for other in contracts
            if other.kind is asked.kind
        )
        return (
            one.kind is asked.kind
            and one.expiry >= day + timedelta(days=asked.skip_days)
            and (asked.expiry == "nearest" or month_end)
        )

    listed = [one for one in contracts if fits(one)]
    first = min((one.expiry for one in listed), default=None)
    sides = {"nearest": lambda _: True, "at_or_above": lambda k: k >= spot, "at_or_below": lambda k: k <= spot}
    listed = [one for one in listed if one.expiry == first and sides[asked.strike](one.strike_paise)]
    least = min((abs(one.strike_paise - spot) for one in listed), default=None)
    tied = sorted((one for one in listed if abs(one.strike_paise - spot) == least), key=lambda one: one.strike_paise)
    if not tied:
        return None
    return tied[0] if asked.kind is OptionKind.CE else tied[-1]


contracts_drawn = st.lists(
    st.builds(
        contract,
        st.integers(1, 12).map(lambda n: 24000 + 50 * n),
        st.sampled_from(OptionKind),
        st.integers(0, 70).map(lambda n: DAY + timedelta(days=n)),
    ),
    max_size=25,
    unique_by=lambda one: one.tradingsymbol,
)
rules_drawn = st.builds(
    rule,
    st.sampled_from(["nearest", "at_or_above", "at_or_below"]),
    st.sampled_from(["nearest", "nearest_monthly"]),
    st.sampled_from(OptionKind),
    st.integers(0, 20),
)


@given(contracts_drawn, rules_drawn, st.integers(2_395_000, 2_465_000).map(lambda n: n // 500 * 500))
def test_the_choice_is_the_one_of_a_search_through_all_contracts(contracts, asked, spot) -> None:
    expected = reference(contracts, asked, spot, DAY)
    try:
        chosen = select_option(contracts, asked, spot_paise=spot, day=DAY)
    except SelectionError:
        chosen = None

    assert chosen == expected


@given(contracts_drawn.flatmap(lambda chain: st.tuples(st.just(chain), st.permutations(chain))), rules_drawn)
def test_the_order_of_the_dump_does_not_matter(chains, asked) -> None:
    def choice(contracts):
        try:
            return select_option(contracts, asked, spot_paise=2_430_000, day=DAY)
        except SelectionError as error:
            return str(error)

    assert choice(chains[0]) == choice(chains[1])


def test_of_a_strike_that_a_dump_lists_twice_the_first_symbol_is_taken_and_of_a_symbol_the_first_row() -> None:
    one, other = contract(24600), contract(24600, name="NIFTY")
    later = msgspec.structs.replace(one, tradingsymbol=one.tradingsymbol + "X")
    again = msgspec.structs.replace(other, token=7)

    assert select_option([later, one, again], rule(), spot_paise=2460000, day=DAY) is one
