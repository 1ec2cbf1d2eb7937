"""The drawings: each shows exactly what the runner holds, is legible, and cannot be broken by a name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from itertools import combinations
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsm_trader.machines.draw import dot, mermaid, svg
from fsm_trader.machines.layout import Box, Link, Node, Picture, arrange
from fsm_trader.machines.load import load_machine, parse_machine
from fsm_trader.machines.names import MachineKind
from fsm_trader.machines.run import Machine
from fsm_trader.machines.spec import MachineSpec, TimeoutSpec

SPACE = "{http://www.w3.org/2000/svg}"
LINE = re.compile(r"(\d+) (\w+)")
Edge = tuple[str, str, str | None]


@pytest.fixture(params=["trade", "session"])
def spec(request: pytest.FixtureRequest) -> MachineSpec:
    kind: MachineKind = request.param
    return load_machine(None, kind)


def parsed(text: str) -> Any:
    return ET.fromstring(text)  # noqa: S314  the text was just written by ourselves


def wordings(text: str, joint: str) -> list[str]:
    """Return the triggers of one label, a line for each transition."""
    found = [LINE.match(line.removeprefix("stays on ")) for line in text.split(joint)]
    return [match[2] for match in found if match]


def mermaid_edges(text: str) -> set[Edge]:
    names = {key: label.split("<br/>")[0] for label, key in re.findall(r'state "(.*)" as (\w+)', text)}
    edges: set[Edge] = set()
    for source, dest, label in re.findall(r"^    (s\d+) --> (s\d+) : (.*)$", text, re.MULTILINE):
        edges |= {(names[source], trigger, names[dest]) for trigger in wordings(label, "<br/>")}
    for label, key in re.findall(r'state "(.*)" as (\w+)', text):
        stays = [line for line in label.split("<br/>") if line.startswith("stays on ")]
        edges |= {(names[key], trigger, None) for line in stays for trigger in wordings(line, "<br/>")}
    return edges


def dot_edges(text: str) -> set[Edge]:
    edges: set[Edge] = set()
    for source, dest, label in re.findall(r'^  "(\w+)" -> "(\w+)" \[label="(.*)"\];$', text, re.MULTILINE):
        edges |= {(source, trigger, dest) for trigger in wordings(label, "\\l")}
    for name, label in re.findall(r'^  "(\w+)" \[label="(.*)", peripheries', text, re.MULTILINE):
        stays = [line for line in label.split("\\l") if line.startswith("stays on ")]
        edges |= {(name, trigger, None) for line in stays for trigger in wordings(line, "\\l")}
    return edges


def svg_edges(text: str) -> set[Edge]:
    edges: set[Edge] = set()
    for item in parsed(text).iter():
        told = item.attrib
        for trigger in told.get("data-triggers", "").split():
            edges.add((told["data-source"], trigger, told["data-dest"]))
        for trigger in told.get("data-stays", "").split():
            edges.add((told["data-state"], trigger, None))
        for trigger in told.get("data-again", "").split():
            edges.add((told["data-state"], trigger, told["data-state"]))
    return edges


@pytest.mark.parametrize(("draw", "read"), [(mermaid, mermaid_edges), (dot, dot_edges), (svg, svg_edges)])
def test_a_drawing_has_exactly_the_edges_of_the_running_machine(spec: MachineSpec, draw: Any, read: Any) -> None:
    assert read(draw(spec)) == Machine(spec).edges()


@pytest.mark.parametrize("draw", [mermaid, dot, svg])
def test_every_state_guard_action_reason_timeout_and_the_digest_is_shown(spec: MachineSpec, draw: Any) -> None:
    text = draw(spec)

    words = {spec.digest, f"{spec.kind} machine {spec.digest[:12]}"}
    for state in spec.states:
        words |= {state.name, *state.on_enter, *state.on_exit, f"position {state.position}"}
        if state.timeout:
            words.add(f"timeout {state.timeout.after} fires {state.timeout.trigger}")
    for item in spec.transitions:
        words |= {*item.conditions, *item.before, *item.after, item.reason, *(f"!{name}" for name in item.unless)}
    assert sorted(word for word in words if word not in text) == []


def test_a_timeout_in_time_is_shown_with_its_unit() -> None:
    spec = load_machine(None, "trade")
    states = list(spec.states)
    states[1] = msgspec.structs.replace(states[1], timeout=TimeoutSpec(timedelta(seconds=90), "entry_overdue"))
    timed = msgspec.structs.replace(spec, states=tuple(states))

    assert all("timeout 1m30s fires entry_overdue" in draw(timed) for draw in (mermaid, dot, svg))


def test_finals_and_the_start_are_marked(spec: MachineSpec) -> None:
    finals = sum(state.final for state in spec.states)

    assert mermaid(spec).count("--> [*]") == finals
    assert mermaid(spec).count("[*] --> ") == 1
    assert dot(spec).count("peripheries=2") == finals
    assert svg(spec).count('class="ring"') == finals
    assert svg(spec).count("<circle") == 1


def test_a_state_that_is_entered_again_is_shown() -> None:
    text = load_machine(None, "session").text.replace(
        "LOGIN_REQUIRED, HALTED, SQUARING_OFF], dest: null}", 'LOGIN_REQUIRED, HALTED], dest: "="}'
    )
    spec = parse_machine(text, kind="session", source="again.yaml")

    edges = Machine(spec).edges()

    assert ("TRADING", "health_seen", "TRADING") in edges
    assert [
        read(draw(spec)) == edges for draw, read in ((mermaid, mermaid_edges), (dot, dot_edges), (svg, svg_edges))
    ] == [
        True,
        True,
        True,
    ]


@pytest.mark.parametrize("draw", [mermaid, dot, svg])
def test_the_same_definition_gives_the_same_drawing(spec: MachineSpec, draw: Any) -> None:
    again = parse_machine(spec.text, kind=spec.kind, source="elsewhere.yaml")

    assert draw(spec) == draw(again)


HOSTILE = "\"]; x --> y : <b>&\\ '#%{|}"


def renamed(spec: MachineSpec) -> MachineSpec:
    """Put a hostile word wherever a definition holds a free one."""
    first = msgspec.structs.replace(spec.transitions[0], reason=HOSTILE, after=(HOSTILE,), conditions=(HOSTILE,))
    states = [msgspec.structs.replace(spec.states[0], on_exit=(HOSTILE,)), *spec.states[1:]]
    return msgspec.structs.replace(spec, transitions=(first, *spec.transitions[1:]), states=tuple(states))


def test_a_hostile_word_stays_text(spec: MachineSpec) -> None:
    hostile = renamed(spec)

    labels = [line.partition(" : ")[2] for line in mermaid(hostile).splitlines() if re.match(r"    s\d+ --> s", line)]
    texts = ["".join(item.itertext()) for item in parsed(svg(hostile)).iter(f"{SPACE}text")]
    drawn = dot(hostile)

    assert any(re.fullmatch(r"[\w ,.&!/()\[\]#;<>]*", label) and "#58;" in label for label in labels)
    assert all(not re.search(r"<(?!br/>)", label) for label in labels)
    assert HOSTILE in texts
    assert '\\"]; x --> y' in drawn
    assert not re.search(r'(?<!\\)"\]; x', drawn)


def corners(item: Any) -> tuple[float, float, float, float]:
    x, y, width, height = (float(item.attrib[key]) for key in ("x", "y", "width", "height"))
    return x, y, x + width, y + height


def meet(one: tuple[float, float, float, float], two: tuple[float, float, float, float]) -> bool:
    return one[0] < two[2] and two[0] < one[2] and one[1] < two[3] and two[1] < one[3]


def test_no_box_and_no_label_covers_another(spec: MachineSpec) -> None:
    root = parsed(svg(spec))
    shapes = [
        corners(item) for item in root.iter(f"{SPACE}rect") if item.attrib["class"].split()[0] in ("box", "badge")
    ]

    assert len(shapes) > len(spec.states)
    assert [pair for pair in combinations(shapes, 2) if meet(*pair)] == []


def test_every_text_of_a_box_fits_into_it(spec: MachineSpec) -> None:
    for group in parsed(svg(spec)).iter(f"{SPACE}g"):
        if "data-state" not in group.attrib:
            continue
        left, top, right, bottom = corners(next(iter(group.iter(f"{SPACE}rect"))))
        for item in group.iter(f"{SPACE}text"):
            x, y = float(item.attrib["x"]), float(item.attrib["y"])
            assert left < x
            assert x + len(item.text or "") * 7.3 < right
            assert top + 10 < y < bottom - 3


def runs(path: str) -> Iterator[tuple[int, int, int, int]]:
    """Yield the straight pieces of a wire as thin rectangles (left, top, right, bottom)."""
    x = y = 0
    for letter, numbers in re.findall(r"([MHVQ])([-\d ]+)", path):
        values = [int(number) for number in numbers.split()]
        x1, y1 = {"H": (values[-1], y), "V": (x, values[-1])}.get(letter, tuple(values[-2:]))
        if letter in "HV":
            yield min(x, x1), min(y, y1), max(x, x1), max(y, y1)
        x, y = x1, y1


names = st.integers(2, 7)


@st.composite
def pictures(draw: st.DrawFn) -> tuple[list[Link], Picture]:
    count = draw(names)
    nodes = [Node(f"n{index}", draw(st.integers(60, 300)), draw(st.integers(30, 120))) for index in range(count)]
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda pair: pair[0] != pair[1])
    chosen = draw(st.lists(pairs, unique=True, max_size=18))
    links = [Link(f"n{one}", f"n{two}", draw(st.integers(20, 90))) for one, two in chosen]
    return links, arrange(nodes, links)


@settings(max_examples=80, deadline=None)
@given(pictures())
def test_any_graph_is_laid_out_without_anything_on_top_of_something_else(drawn: tuple[list[Link], Picture]) -> None:
    links, picture = drawn
    boxes = [(box.x, box.y, box.x + box.width, box.y + box.height) for box in picture.boxes]
    widths = {(link.source, link.dest): link.label_width for link in links}
    labels = []
    for wire in picture.wires:
        half = widths[wire.source, wire.dest] // 2
        labels.append((wire.label_x - half, wire.label_y - 9, wire.label_x + half, wire.label_y + 9))

    assert {(wire.source, wire.dest) for wire in picture.wires} == widths.keys()
    assert [pair for pair in combinations([*boxes, *labels], 2) if meet(*pair)] == []
    assert all(
        x1 >= 0 and y1 >= 0 and x2 <= picture.width and y2 <= picture.height for x1, y1, x2, y2 in boxes + labels
    )
    for wire in picture.wires:
        for piece in runs(wire.path):
            assert piece[0] >= 0
            assert piece[2] <= picture.width
            assert not any(meet(piece, box) for box in boxes)


@settings(max_examples=80, deadline=None)
@given(pictures())
def test_every_wire_runs_from_its_source_to_its_destination(drawn: tuple[list[Link], Picture]) -> None:
    _, picture = drawn
    boxes = {box.name: box for box in picture.boxes}

    for wire in picture.wires:
        pieces = re.findall(r"-?\d+", wire.path)
        assert on_edge(boxes[wire.source], int(pieces[0]), int(pieces[1]))
        assert on_edge(boxes[wire.dest], wire.tip_x, wire.tip_y)


def on_edge(box: Box, x: int, y: int) -> bool:
    sideways = x in (box.x, box.x + box.width) and box.y < y < box.y + box.height
    upright = y in (box.y, box.y + box.height) and box.x < x < box.x + box.width
    return sideways or upright


@settings(max_examples=80, deadline=None)
@given(pictures())
def test_wires_into_different_boxes_share_no_lane(drawn: tuple[list[Link], Picture]) -> None:
    _, picture = drawn
    lanes: dict[int, set[tuple[str, str]]] = {}
    for wire in picture.wires:
        if wire.lane is not None:
            lanes.setdefault(wire.lane, set()).add((wire.dest, wire.side))

    assert all(len(ends) == 1 for ends in lanes.values())
