"""The lineage graph for a narrow page: one box under the other, what leads where drawn at their left."""

from __future__ import annotations

from collections.abc import Sequence

from loomwork.report.layers import Edge
from loomwork.report.lineage import BOX_HEIGHT, Node, box, legend
from loomwork.report.svg import NARROW, Svg, drawing, empty, number, tag

_PITCH = 54.0
_LANE, _LANES_ROOM = 9.0, 110.0  # px between lanes, and for all of them
_CORNER = 5.0


def lineage_list(nodes: Sequence[Node], edges: Sequence[Edge], *, title: str = "Lineage", width: int = NARROW) -> Svg:
    """Draw the graph as a list: each box has a lane that leads down to the boxes made from it.

    Args:
        nodes: in the order they were made; a second node of the same id is left out.
        edges: (from id, to id); those to unknown ids are left out.
        title: what it shows, for screen readers.
        width: in px.
    """
    unique = list({n.id: n for n in reversed(nodes)}.values())[::-1]
    if not unique:
        return empty(width, title, "Nothing was made.")
    row = {n.id: i for i, n in enumerate(unique)}
    children: dict[int, list[int]] = {}
    for a, b in dict.fromkeys(edges):
        if a in row and b in row and a != b:
            children.setdefault(row[a], []).append(row[b])
    lanes = _lanes(children)
    count = max(lanes.values(), default=-1) + 1
    pitch = min(_LANE, _LANES_ROOM / max(count, 1))
    left = 12 + count * pitch
    top = 36.0
    parts = [legend(unique)[0]]
    for source, targets in children.items():
        x = left - 12 - lanes[source] * pitch
        parts += [_link(x, left, _middle(top, source) + 7, _middle(top, t) - 7) for t in targets]
    parts += [box(n, left, top + i * _PITCH, width - left - 1) for i, n in enumerate(unique)]
    told = "; ".join(n.label for n in unique)
    return drawing(width, top + _PITCH * len(unique), title, told, parts)


def _middle(top: float, row: int) -> float:
    return top + row * _PITCH + BOX_HEIGHT / 2


def _lanes(children: dict[int, list[int]]) -> dict[int, int]:
    """The lane of each source: short ways nearest to the boxes, no two at one place in one lane."""
    spans = {a: (min(a, *b), max(a, *b)) for a, b in children.items()}
    taken: list[list[tuple[int, int]]] = []
    lanes = {}
    for source, (first, last) in sorted(spans.items(), key=lambda item: (item[1][1] - item[1][0], item[0])):
        free = (i for i, used in enumerate(taken) if all(last < a or b < first for a, b in used))
        lane = next(free, len(taken))
        if lane == len(taken):
            taken.append([])
        taken[lane].append((first, last))
        lanes[source] = lane
    return lanes


def _link(x: float, left: float, start: float, end: float) -> Svg:
    """From the side of one box along its lane to the side of another, with round corners."""
    turn = _CORNER if end > start else -_CORNER
    d = (
        f"M{number(left)} {number(start)}H{number(x + _CORNER)}"
        f"Q{number(x)} {number(start)} {number(x)} {number(start + turn)}"
        f"V{number(end - turn)}Q{number(x)} {number(end)} {number(x + _CORNER)} {number(end)}H{number(left - 5)}"
    )
    tip = tag("path", d=f"M{number(left - 1)} {number(end)}l-6 -3.5v7z", class_="arrow")
    return tag("g", tag("path", d=d, class_="edge"), tip)
