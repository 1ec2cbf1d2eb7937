"""Draws a definition as Mermaid, Graphviz DOT or SVG. Each drawing shows every state, guard, action and time-out.

Transitions carry the number of their place in the file, which is the order they are tried in. The text of a drawing
depends on the definition alone, so drawings can be compared and kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from fsm_trader.machines.layout import Link, Node, arrange
from fsm_trader.machines.paint import CHARACTER, LINE, Row, Sheet, StateText, label_width, paint
from fsm_trader.machines.spec import MachineSpec, StateSpec, TransitionSpec
from fsm_trader.strict_yaml import show_duration

SHORT_DIGEST = 12
_LEGEND_COLUMN = 44


def mermaid(spec: MachineSpec) -> str:
    """Return the definition as a Mermaid ``stateDiagram-v2``."""
    ids = {state.name: f"s{index}" for index, state in enumerate(spec.states)}
    lines = [
        "---",
        f'title: "{_title(spec)}"',
        "---",
        f"%% sha256 {spec.digest}",
        "stateDiagram-v2",
        "    direction TB",
        f"    [*] --> {ids[spec.initial]}",
    ]
    for state in spec.states:
        text = [state.name, *_facts_of(state)]
        text += [f"stays on {wording(number, item)}" for number, item in _numbered(spec) if _stays(item, state.name)]
        lines.append(f'    state "{_mermaid_text(text)}" as {ids[state.name]}')
        if state.final:
            lines.append(f"    {ids[state.name]} --> [*]")
    for (source, dest), items in _pairs(spec).items():
        text = [wording(number, item) for number, item in items]
        lines.append(f"    {ids[source]} --> {ids[dest]} : {_mermaid_text(text)}")
    return "\n".join(lines) + "\n"


def dot(spec: MachineSpec) -> str:
    """Return the definition in Graphviz's DOT language."""
    lines = [
        f"// sha256 {spec.digest}",
        "digraph machine {",
        f"  label={_dot_text([_title(spec)])}; labelloc=t; rankdir=TB;",
        '  node [shape=box, style=rounded, fontname="monospace"]; edge [fontname="monospace", fontsize=10];',
        '  ".start" [shape=point, label=""];',
        f'  ".start" -> {_dot_text([spec.initial])};',
    ]
    for state in spec.states:
        text = [state.name, *_facts_of(state)]
        text += [f"stays on {wording(number, item)}" for number, item in _numbered(spec) if _stays(item, state.name)]
        peripheries = 2 if state.final else 1
        lines.append(f"  {_dot_text([state.name])} [label={_dot_text(text, end='l')}, peripheries={peripheries}];")
    for (source, dest), items in _pairs(spec).items():
        text = [wording(number, item) for number, item in items]
        lines.append(f"  {_dot_text([source])} -> {_dot_text([dest])} [label={_dot_text(text, end='l')}];")
    return "\n".join([*lines, "}"]) + "\n"


def svg(spec: MachineSpec) -> str:
    """Return the definition as a drawing with a numbered legend, readable on light and dark screens."""
    states = [_state_text(spec, state) for state in _in_column(spec)]
    wires = {pair: [number for number, _ in items] for pair, items in _pairs(spec).items() if pair[0] != pair[1]}
    picture = arrange(
        [Node(state.name, state.width, state.height) for state in states],
        [Link(source, dest, label_width(numbers)) for (source, dest), numbers in wires.items()],
    )
    triggers = {pair: tuple(dict.fromkeys(item.trigger for _, item in items)) for pair, items in _pairs(spec).items()}
    return paint(
        Sheet(
            title=_title(spec),
            digest=spec.digest,
            initial=spec.initial,
            states=tuple(states),
            numbers={pair: tuple(numbers) for pair, numbers in wires.items()},
            triggers=triggers,
            legend=tuple(_legend_row(number, item) for number, item in _numbered(spec)),
        ),
        picture,
    )


def wording(number: int, item: TransitionSpec) -> str:
    """Return one transition in a line: ``12 check [stop_hit & !is_flat] / place_exit (stop_loss)``."""
    guards = _guards_of(item)
    actions = ", ".join((*item.before, *item.after))
    words = [str(number), item.trigger, f"[{guards}]" if guards else "", f"/ {actions}" if actions else ""]
    return " ".join(word for word in [*words, f"({item.reason})" if item.reason else ""] if word)


def _guards_of(item: TransitionSpec) -> str:
    return " & ".join([*item.conditions, *(f"!{name}" for name in item.unless)])


def _title(spec: MachineSpec) -> str:
    return f"{spec.kind} machine {spec.digest[:SHORT_DIGEST]}"


def _facts_of(state: StateSpec) -> list[str]:
    facts = [f"position {state.position}{', final' if state.final else ''}"]
    if state.timeout is not None:
        after = state.timeout.after
        length = show_duration(after) if isinstance(after, timedelta) else after
        facts.append(f"timeout {length} fires {state.timeout.trigger}")
    if state.on_enter:
        facts.append(f"on enter {', '.join(state.on_enter)}")
    if state.on_exit:
        facts.append(f"on exit {', '.join(state.on_exit)}")
    return facts


def _numbered(spec: MachineSpec) -> Iterable[tuple[int, TransitionSpec]]:
    return enumerate(spec.transitions, start=1)


def _stays(item: TransitionSpec, state: str) -> bool:
    return item.dest is None and state in item.sources


def _pairs(spec: MachineSpec) -> dict[tuple[str, str], list[tuple[int, TransitionSpec]]]:
    """Return the transitions that enter a state, by source and destination."""
    pairs: dict[tuple[str, str], list[tuple[int, TransitionSpec]]] = {}
    for number, item in _numbered(spec):
        if item.dest is not None:
            for source in item.sources:
                pairs.setdefault((source, item.dest), []).append((number, item))
    return pairs


def _in_column(spec: MachineSpec) -> list[StateSpec]:
    return sorted(spec.states, key=lambda state: state.name != spec.initial)


def _state_text(spec: MachineSpec, state: StateSpec) -> StateText:
    stays = [(number, item) for number, item in _numbered(spec) if _stays(item, state.name)]
    again = [(number, item) for number, item in _pairs(spec).get((state.name, state.name), [])]
    lines = _facts_of(state)
    if stays:
        lines.append(f"stays on {', '.join(str(number) for number, _ in stays)}")
    if again:
        lines.append(f"enters again on {', '.join(str(number) for number, _ in again)}")
    longest = max(len(line) for line in [state.name, *lines])
    return StateText(
        name=state.name,
        lines=tuple(lines),
        position=state.position,
        final=state.final,
        stays=tuple(dict.fromkeys(item.trigger for _, item in stays)),
        again=tuple(dict.fromkeys(item.trigger for _, item in again)),
        width=round(longest * CHARACTER) + 46,
        height=LINE * (len(lines) + 1) + 22,
    )


def _legend_row(number: int, item: TransitionSpec) -> Row:
    dest = "stays" if item.dest is None else item.dest
    conditions = [*item.conditions, *(f"!{name}" for name in item.unless)]
    return Row(
        number=number,
        cells=(
            (item.trigger,),
            _wrapped(item.sources, ", "),
            (dest,),
            _wrapped(conditions, " & "),
            _wrapped((*item.before, *item.after), ", "),
            (item.reason,),
        ),
    )


def _wrapped(words: Iterable[str], joint: str) -> tuple[str, ...]:
    """Join words into lines of at most about 44 characters."""
    lines: list[str] = [""]
    for word in words:
        joined = f"{lines[-1]}{joint}{word}" if lines[-1] else word
        if len(joined) > _LEGEND_COLUMN and lines[-1]:
            lines[-1] += joint.rstrip()
            lines.append(word)
        else:
            lines[-1] = joined
    return tuple(lines)


def _mermaid_text(lines: Iterable[str]) -> str:
    """Write lines as one label; what Mermaid could read as syntax becomes a character code."""
    return "<br/>".join("".join(_mermaid_character(letter) for letter in line) for line in lines)


def _mermaid_character(letter: str) -> str:
    plain = letter.isascii() and (letter.isalnum() or letter in " _,.&!/()[]")
    return letter if plain else f"#{ord(letter)};"


def _dot_text(lines: Iterable[str], end: str = "") -> str:
    """Write lines as one quoted string; *end* is ``l`` for lines that begin at the left."""
    mark = f"\\{end}" if end else ""
    escaped = [line.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") for line in lines]
    return '"' + "".join(line + mark for line in escaped) + '"'
