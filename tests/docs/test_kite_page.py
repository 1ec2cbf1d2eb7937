"""The page about Kite against the code: the table of errors and the budgets."""

from __future__ import annotations

from fsm_trader.kite.budgets import Limits
from fsm_trader.kite.faults import RULES

from .pages import text_of
from .test_reference import table_after

PAGE = text_of("docs/explanation/kite.md")


def test_every_line_of_the_table_of_errors_is_on_the_page_in_its_place() -> None:
    assert [(name, verdict) for name, _, verdict in table_after(PAGE, "## What an error means")] == [
        (rule.name, rule.verdict) for rule in RULES
    ]


def test_the_budgets_on_the_page_are_the_defaults() -> None:
    limits = Limits()
    longer = 1 + limits.margin.total_seconds()
    rows = {name: (ours, kept) for name, ours, _, kept in table_after(PAGE, "## Budgets")}

    assert rows == {
        "orders in a second": (f"{limits.orders_per_second}", f"{limits.kept_per_second}"),
        "orders in a minute": (f"{limits.orders_per_minute}", f"{limits.kept_per_minute}"),
        "orders in a day": (f"{limits.orders_per_day:,}", f"{limits.kept_per_day:,}"),
        f"quotes in {longer:g} seconds": (f"{limits.quotes_per_second}", ""),
        f"historical candles in {longer:g} seconds": (f"{limits.historical_per_second}", ""),
        "others in a second": (f"{limits.others_per_second}", f"{limits.kept_others}"),
    }
