"""Places the parts of a machine's drawing: boxes in one column, wires on lanes beside it. Pure geometry.

The states stand below each other in the order of the file. A move to the next state is a straight arrow between the
two boxes. Every other move leaves its box sideways (downwards on the right, upwards on the left) and joins the lane of
its destination: all ways into one state share one lane, so there are never more lanes than states. Each wire carries
its label where it leaves the box, in a zone that no lane enters; so labels cannot meet boxes, lanes or each other.

It must not know what a machine means. Lengths are SVG user units, y grows downwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

GAP = 58
PORT = 26
RADIUS = 8
LANE = 20
MARGIN = 18

Side = Literal["left", "right", "down"]


class Node(msgspec.Struct, frozen=True):
    """A box to be placed, with the least size its text needs."""

    name: str
    width: int
    height: int


class Link(msgspec.Struct, frozen=True):
    """An arrow between two different nodes and the width of its label."""

    source: str
    dest: str
    label_width: int


class Box(msgspec.Struct, frozen=True):
    """A placed node."""

    name: str
    x: int
    y: int
    width: int
    height: int


class Wire(msgspec.Struct, frozen=True):
    """A placed link.

    Args:
        path: SVG path data, from the source's edge to the destination's.
        side: where it leaves and arrives: the boxes' left, their right, or straight down.
        tip_x, tip_y: end of the path, where the arrow points.
        label_x, label_y: middle of the label.
        lane: number of its lane, the same for all wires into one node on one side; None for a straight arrow.
    """

    source: str
    dest: str
    path: str
    side: Side
    tip_x: int
    tip_y: int
    label_x: int
    label_y: int
    lane: int | None


class Picture(msgspec.Struct, frozen=True):
    """Everything placed, inside *width* by *height*."""

    boxes: tuple[Box, ...]
    wires: tuple[Wire, ...]
    width: int
    height: int


def arrange(nodes: Sequence[Node], links: Sequence[Link]) -> Picture:
    """Place *nodes* below each other in their order and *links* between them; equal input gives an equal picture."""
    rank = {node.name: index for index, node in enumerate(nodes)}
    sides: dict[Side, list[Link]] = {"left": [], "right": [], "down": []}
    for link in links:
        sides[_side(rank[link.source], rank[link.dest])].append(link)
    lanes = {side: _Lanes(sides[side], rank, side) for side in _FLANKS}
    ports = {node.name: max(lanes[side].ports_at(node.name) for side in _FLANKS) for node in nodes}
    width = max((node.width for node in nodes), default=0)
    left = MARGIN + lanes["left"].width
    boxes: dict[str, Box] = {}
    y = MARGIN + GAP
    for node in nodes:
        height = max(node.height, ports[node.name] * PORT + PORT // 2)
        boxes[node.name] = Box(node.name, left, y, width, height)
        y += height + GAP
    wires = [_straight(link, boxes) for link in sides["down"]]
    offset = 0
    for side in _FLANKS:
        wires.extend(lanes[side].wires(boxes, offset))
        offset += len(lanes[side].order)
    total = left + width + lanes["right"].width + MARGIN
    return Picture(tuple(boxes.values()), tuple(wires), total, y - GAP + MARGIN)


_FLANKS: tuple[Side, ...] = ("left", "right")


def _side(source: int, dest: int) -> Side:
    if dest == source + 1:
        return "down"
    return "right" if dest > source else "left"


def _straight(link: Link, boxes: dict[str, Box]) -> Wire:
    above, below = boxes[link.source], boxes[link.dest]
    x = above.x + above.width // 2
    start, end = above.y + above.height, below.y
    path = f"M{x} {start}V{end}"
    return Wire(link.source, link.dest, path, "down", x, end, label_x=x, label_y=(start + end) // 2 - 3, lane=None)


class _Lanes:
    """The wires of one side. Lanes nest by destination, the nearest innermost, so that arriving wires cross none."""

    def __init__(self, links: Iterable[Link], rank: dict[str, int], side: Side) -> None:
        self.links = list(links)
        self._right = side == "right"
        dests = {link.dest for link in self.links}
        self.order = sorted(dests, key=lambda name: rank[name] if self._right else -rank[name])
        self._labels = max((link.label_width for link in self.links), default=0)
        self._ports: dict[str, list[str]] = {}
        for name in rank:
            self._ports[name] = self._ports_of(name)

    @property
    def width(self) -> int:
        """Room the labels and lanes take beside the boxes."""
        return self._labels + 2 * MARGIN + LANE * len(self.order) if self.links else 0

    def ports_at(self, name: str) -> int:
        """Return how many wires meet this side of a box."""
        return len(self._ports[name])

    def _ports_of(self, name: str) -> list[str]:
        """Return where wires go from or come to, from the top; the empty word is the arriving lane.

        The way to the outermost lane starts farthest back against the lane's direction: then no two wires of one box
        cross.
        """
        leaving = [dest for dest in reversed(self.order) if any((k.source, k.dest) == (name, dest) for k in self.links)]
        arriving = [""] if name in self.order else []
        ports = arriving + leaving
        return ports if self._right else ports[::-1]

    def wires(self, boxes: dict[str, Box], offset: int) -> list[Wire]:
        """Place every wire of this side; lanes are numbered from *offset*."""
        return [self._wire(link, boxes, offset) for link in self.links]

    def _wire(self, link: Link, boxes: dict[str, Box], offset: int) -> Wire:
        source, dest = boxes[link.source], boxes[link.dest]
        index = self.order.index(link.dest)
        out = 1 if self._right else -1
        edge = source.x + source.width if self._right else source.x
        reach = self._labels + 2 * MARGIN + LANE * index
        lane = edge + out * reach
        start, end = self._port_y(source, link.dest), self._port_y(dest, "")
        path = (
            f"M{edge} {start}H{lane - out * RADIUS}Q{lane} {start} {lane} {start + out * RADIUS}"
            f"V{end - out * RADIUS}Q{lane} {end} {lane - out * RADIUS} {end}H{edge}"
        )
        label_x = edge + out * (MARGIN + link.label_width // 2)
        side: Side = "right" if self._right else "left"
        return Wire(link.source, link.dest, path, side, edge, end, label_x=label_x, label_y=start, lane=offset + index)

    def _port_y(self, box: Box, port: str) -> int:
        ports = self._ports[box.name]
        spare = box.height - len(ports) * PORT
        return box.y + spare // 2 + ports.index(port) * PORT + PORT // 2
