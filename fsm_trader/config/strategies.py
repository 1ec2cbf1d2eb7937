"""What is traded on: strategies.yaml, and which of it the session uses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from fsm_trader.config.fields import Section
from fsm_trader.config.keys import STRATEGIES_FILE
from fsm_trader.core.contracts import OptionKind
from fsm_trader.core.settings import ExitRules, OptionRule, StrategySettings
from fsm_trader.strict_yaml import Node, Reader, did_you_mean

# Says what is wrong with a class name and its params, None when the class takes them.
CheckStrategy = Callable[[str, dict[str, Any]], str | None]

_NAME = r"[A-Za-z_][A-Za-z0-9_-]{0,39}"
_CLASS = r"[A-Za-z_][A-Za-z0-9_]*|[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*"
_KINDS = (OptionKind.CE, OptionKind.PE)
_STRIKES: tuple[Literal["nearest", "at_or_above", "at_or_below"], ...] = ("nearest", "at_or_above", "at_or_below")
_EXPIRIES: tuple[Literal["nearest", "nearest_monthly"], ...] = ("nearest", "nearest_monthly")
# Minutes; each divides an hour.
_INTERVALS = (1, 3, 5, 10, 15, 30, 60)
_LEAST, _BELOW_ALL, _MOST_TARGET = Decimal("0.0001"), Decimal("0.9999"), Decimal(100)


class Defined(NamedTuple):
    """One strategy of the file: what it says, where its class stands, and whether it is free of faults."""

    settings: StrategySettings
    place: Node
    is_sound: bool


def read_strategies(root: Section) -> dict[str, Defined]:
    """Read every strategy of the file, used or not."""
    node = root.get("strategies")
    if node is None:
        return {}
    places = root.reader.open_mapping(node)
    if not places and node.kind == "mapping":
        root.reader.fault(node, "is empty; expected at least one strategy")
    for key, _ in node.pairs:
        root.reader.text(key, pattern=_NAME, expected="a name of 1 to 40 letters, digits, _ or -")
    return {name: _strategy(root.reader, name, place) for name, place in places.items()}


def _strategy(reader: Reader, name: str, place: Node) -> Defined:
    section = Section(reader, place, STRATEGIES_FILE["NAME"])
    settings = StrategySettings(
        name=name,
        class_name=section.text("class", "", _CLASS, "a registered name or package.module:Class"),
        params=_params(section),
        interval_s=_interval(section),
        option=_option(section),
        lots=section.integer("lots", 1, 1, 100),
        exits=_exits(section),
    )
    is_sound = not any(f"{fault.path}.".startswith((f"{place.path}.", f"{place.path}[")) for fault in reader.faults)
    return Defined(settings, section.get("class") or place, is_sound)


def _params(section: Section) -> dict[str, Any]:
    node = section.given("params")
    if node is None:
        return {}
    return {key: section.reader.plain(value) for key, value in section.reader.open_mapping(node).items()}


def _interval(section: Section) -> int:
    interval = section.duration("interval", "1m", "1m", "60m")
    minutes, rest = divmod(interval, timedelta(minutes=1))
    node = section.get("interval")
    if node is not None and (rest or minutes not in _INTERVALS):
        known = ", ".join(f"{length}m" for length in _INTERVALS)
        section.reader.fault(node, f"was {node.text!r}; expected one of {known}")
    return minutes * 60


def _option(strategy: Section) -> OptionRule:
    section = strategy.section("option", STRATEGIES_FILE["NAME.option"])
    expiry, skip_days = _expiry(section)
    return OptionRule(
        kind=section.choice("type", _KINDS, OptionKind.CE),
        strike=section.choice("strike", _STRIKES, "nearest"),
        expiry=expiry,
        skip_days=skip_days,
    )


def _expiry(option: Section) -> tuple[Literal["nearest", "nearest_monthly"], int]:
    """Read the rule in its short form, ``nearest``, or its long one, ``{rule: nearest, skip_days: 2}``."""
    node = option.get("expiry")
    if node is None or node.kind != "mapping":
        return option.choice("expiry", _EXPIRIES, "nearest"), 0
    section = Section(option.reader, node, STRATEGIES_FILE["NAME.option.expiry"])
    return section.choice("rule", _EXPIRIES, "nearest"), section.integer("skip_days", 0, 0, 60)


def _exits(strategy: Section) -> ExitRules:
    """Read the exit rules. A stop-loss is required: without one a loss has no bound until the end of the day."""
    section = strategy.section("exits", STRATEGIES_FILE["NAME.exits"])
    place = section.place or strategy.place
    if strategy.get("exits") is not None and place is not None and section.get("stop_loss") is None:
        section.reader.fault(place, "no stop_loss; expected one such as stop_loss: 20%: without it a loss has no bound")
    return ExitRules(
        stop_loss=section.percent("stop_loss", _LEAST, _LEAST, _BELOW_ALL),
        target=section.percent("target", _LEAST, _LEAST, _MOST_TARGET) if section.given("target") else None,
        max_hold=section.duration("max_hold", "1m", "1s", "12h") if section.given("max_hold") else None,
    )


def choose_active(
    section: Section, defined: Mapping[str, Defined] | None, check: CheckStrategy | None
) -> tuple[StrategySettings, ...]:
    """Return the strategies that ``strategies.active`` names, in its order; a name without one has a stand-in.

    Args:
        section: the section ``strategies`` of session.yaml.
        defined: what strategies.yaml holds; None when it holds nothing to be read: names are then not checked.
        check: asked about the class and params of each active strategy that has no other fault.
    """
    node = section.get("active")
    if node is None:
        return ()
    reader = section.reader
    if node.kind == "sequence" and not node.items:
        reader.fault(node, "is empty; expected at least one strategy of the file")
    chosen: dict[str, Defined] = {}
    for item in reader.sequence(node):
        name = reader.text(item, expected="the name of a strategy")
        if name is None:
            continue
        if name in chosen:
            reader.fault(item, f"{name!r} stands here again; expected it once")
        elif defined is not None and name not in defined:
            reader.fault(item, f"unknown strategy {name[:60]!r}.{did_you_mean(name, defined)}")
        known = defined or {}
        chosen.setdefault(name, known[name] if name in known else _stand_in(name, item))
    if check is not None:
        _check_classes(reader, chosen.values(), check)
    return tuple(strategy.settings for strategy in chosen.values())


def _stand_in(name: str, place: Node) -> Defined:
    option = OptionRule(kind=OptionKind.CE, strike="nearest", expiry="nearest")
    settings = StrategySettings(
        name=name, class_name="", params={}, interval_s=60, option=option, lots=1, exits=ExitRules()
    )
    return Defined(settings, place, is_sound=False)


def _check_classes(reader: Reader, chosen: Iterable[Defined], check: CheckStrategy) -> None:
    for settings, place, is_sound in chosen:
        fault = check(settings.class_name, dict(settings.params)) if is_sound else None
        if fault:
            reader.fault(place, fault)
