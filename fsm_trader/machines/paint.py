"""Writes a placed drawing as SVG text. It knows colours, fonts and XML, and nothing of machines.

The paper is painted, light or dark as the reader's screen asks, so the drawing is readable wherever it is put.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

import msgspec

from fsm_trader.machines.layout import Box, Picture, Side, Wire

# The stylesheet asks for fonts whose letters are all about 0.6 of the font size wide; texts are measured with that.
CHARACTER = 7.3
LINE = 17
_HEAD = 64
_BADGE = 18
_COLUMNS = ("", "trigger", "from", "to", "guards", "actions", "reason")
_COLOURS = ("#2f7ed8", "#d9730d", "#1a936f", "#b5489a", "#8a6d1d", "#7359c7", "#c8404c", "#3a8fa3")

_STYLE = """
  text { font: 12px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #1b2330; white-space: pre; }
  .paper { fill: #ffffff; }
  .title { font-size: 19px; font-weight: 700; }
  .soft { fill: #5c6675; }
  .name { font-weight: 700; }
  .box { fill: #f3f5f8; stroke: #8a94a3; stroke-width: 1.3; }
  .ring { fill: none; stroke: #8a94a3; stroke-width: 1.3; }
  .held { fill: #c8404c; }
  .maybe { fill: #d9970d; }
  .none { fill: #8a94a3; }
  .wire { fill: none; stroke-width: 1.7; }
  .spine { stroke: #1b2330; }
  .spine.tip { fill: #1b2330; }
  .badge { fill: #ffffff; stroke-width: 1.3; }
  .number { text-anchor: middle; }
  .rule { stroke: #8a94a3; stroke-width: 0.6; opacity: 0.6; }
"""
_DARK = """
  @media (prefers-color-scheme: dark) {
    text { fill: #e8ecf2; }
    .paper, .badge { fill: #12161c; }
    .soft { fill: #a3adba; }
    .box { fill: #1d242e; }
    .held { fill: #ef6b76; }
    .maybe { fill: #efb63e; }
    .spine { stroke: #e8ecf2; }
    .spine.tip { fill: #e8ecf2; }
  }
"""
_LANES = "".join(
    f"  .lane{index} {{ stroke: {colour}; }}\n  .lane{index}.tip {{ fill: {colour}; }}\n"
    for index, colour in enumerate(_COLOURS)
)


class StateText(msgspec.Struct, frozen=True, kw_only=True):
    """What a box says, and the size its text needs."""

    name: str
    lines: tuple[str, ...]
    position: str
    final: bool
    stays: tuple[str, ...]
    again: tuple[str, ...]
    width: int
    height: int


class Row(msgspec.Struct, frozen=True):
    """One row of the legend; a cell is a stack of lines."""

    number: int
    cells: tuple[tuple[str, ...], ...]


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """Everything there is to say; *numbers* and *triggers* are those of each pair of states."""

    title: str
    digest: str
    initial: str
    states: tuple[StateText, ...]
    numbers: dict[tuple[str, str], tuple[int, ...]]
    triggers: dict[tuple[str, str], tuple[str, ...]]
    legend: tuple[Row, ...]


def label_width(numbers: Sequence[int]) -> int:
    """Return the width of a badge with these numbers."""
    return round(len(_numbers(numbers)) * CHARACTER) + 14


def paint(sheet: Sheet, picture: Picture) -> str:
    """Return the drawing as a complete SVG document."""
    left = picture.width + 24
    legend, legend_width, legend_height = _legend(sheet, left)
    width = left + legend_width + 24
    height = max(_HEAD + picture.height, legend_height) + 44
    states = {state.name: state for state in sheet.states}
    parts = [
        _root(width, height),
        f"<title>{escape(sheet.title)}</title>",
        f"<metadata>sha256 {escape(sheet.digest)}</metadata>",
        f"<style>{_STYLE}{_LANES}{_DARK}</style>",
        f'<rect class="paper" width="{width}" height="{height}"/>',
        f'<text class="title" x="24" y="38">{escape(sheet.title)}</text>',
        f'<g transform="translate(0 {_HEAD - 18})">',
        *[_wire(sheet, wire) for wire in picture.wires],
        *[_box(states[box.name], box) for box in picture.boxes],
        *[_badge(sheet, wire) for wire in picture.wires],
        *[_start(box) for box in picture.boxes if box.name == sheet.initial],
        "</g>",
        *legend,
        _foot(height),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _root(width: int, height: int) -> str:
    space = "http://www.w3.org/2000/svg"
    return f'<svg xmlns="{space}" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">'


def _numbers(numbers: Sequence[int]) -> str:
    return " ".join(str(number) for number in numbers)


def _colour(wire: Wire) -> str:
    return "spine" if wire.lane is None else f"lane{wire.lane % len(_COLOURS)}"


def _wire(sheet: Sheet, wire: Wire) -> str:
    triggers = " ".join(sheet.triggers[wire.source, wire.dest])
    return (
        f'<path class="wire {_colour(wire)}" d="{wire.path}" '
        f"data-source={quoteattr(wire.source)} data-dest={quoteattr(wire.dest)} data-triggers={quoteattr(triggers)}/>"
        f"{_tip(_colour(wire), wire.tip_x, wire.tip_y, wire.side)}"
    )


def _tip(colour: str, x: int, y: int, side: Side) -> str:
    """Return an arrowhead that ends at (x, y); *side* is the face of the box it points at, down its upper one."""
    if side == "down":
        corners = f"M{x - 4} {y - 9}L{x} {y}L{x + 4} {y - 9}Z"
    else:
        back = x + 9 if side == "right" else x - 9
        corners = f"M{back} {y - 4}L{x} {y}L{back} {y + 4}Z"
    return f'<path class="tip {colour}" d="{corners}"/>'


def _badge(sheet: Sheet, wire: Wire) -> str:
    numbers = sheet.numbers[wire.source, wire.dest]
    width = label_width(numbers)
    return (
        f'<rect class="badge {_colour(wire)}" x="{wire.label_x - width // 2}" y="{wire.label_y - _BADGE // 2}" '
        f'width="{width}" height="{_BADGE}" rx="{_BADGE // 2}"/>'
        f'<text class="number" x="{wire.label_x}" y="{wire.label_y + 4}">{_numbers(numbers)}</text>'
    )


def _box(state: StateText, box: Box) -> str:
    shape = f'x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="9"'
    told = [("data-state", state.name), ("data-stays", " ".join(state.stays)), ("data-again", " ".join(state.again))]
    attributes = " ".join(f"{name}={quoteattr(value)}" for name, value in told)
    parts = [f"<g {attributes}>", f'<rect class="box" {shape}/>']
    if state.final:
        parts.append(
            f'<rect class="ring" x="{box.x + 4}" y="{box.y + 4}" width="{box.width - 8}" height="{box.height - 8}" '
            'rx="6"/>'
        )
    bar = 14
    parts.append(
        f'<rect class="{escape(state.position)}" x="{box.x + bar}" y="{box.y + bar}" width="5" '
        f'height="{box.height - 2 * bar}" rx="2"/>'
    )
    top = box.y + (box.height - state.height) // 2 + 24
    parts.append(_text(box.x + 30, top, state.name, "name"))
    parts += [_text(box.x + 30, top + LINE * (index + 1), line, "") for index, line in enumerate(state.lines)]
    return "".join([*parts, "</g>"])


def _start(box: Box) -> str:
    x = box.x + box.width // 2
    return (
        f'<circle class="spine tip" cx="{x}" cy="{box.y - 34}" r="6"/>'
        f'<path class="wire spine" d="M{x} {box.y - 34}V{box.y}"/>{_tip("spine", x, box.y, "down")}'
    )


def _text(x: float, y: float, words: str, style: str) -> str:
    return f'<text class="{style}" x="{round(x)}" y="{round(y)}">{escape(words)}</text>' if words else ""


def _legend(sheet: Sheet, left: int) -> tuple[list[str], int, int]:
    """Return the table's elements, its width and the y of its lower end."""
    starts = _column_starts(sheet, left)
    y = _HEAD
    parts = [_text(x, y, word, "soft") for x, word in zip(starts, _COLUMNS, strict=False)]
    end = starts[-1]
    y += 8
    for row in sheet.legend:
        parts.append(f'<line class="rule" x1="{left}" y1="{y}" x2="{end}" y2="{y}"/>')
        tall = max(len(cell) for cell in row.cells)
        parts.append(_text(starts[0], y + 17, str(row.number), "name"))
        for x, cell in zip(starts[1:], row.cells, strict=False):
            parts += [_text(x, y + 17 + LINE * index, line, "") for index, line in enumerate(cell)]
        y += LINE * tall + 8
    return parts, end - left, y


def _column_starts(sheet: Sheet, left: int) -> list[int]:
    """Return where each column begins, and at last where the table ends."""
    starts = [left]
    longest = [2] + [
        max([len(title), *(len(line) for row in sheet.legend for line in row.cells[index])])
        for index, title in enumerate(_COLUMNS[1:])
    ]
    for length in longest:
        starts.append(starts[-1] + round(length * CHARACTER) + 18)
    return starts


def _foot(height: int) -> str:
    words = (
        "Of one state and trigger, the lowest number whose guards pass is taken.   "
        "Bar: position held (red), maybe (amber), none (grey).   Double line: final."
    )
    return _text(24, height - 18, words, "soft")
