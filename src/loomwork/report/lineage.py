"""The lineage graph as a picture: what was made from what, from the top down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from loomwork.report.layers import Edge, Layout, layout
from loomwork.report.svg import WIDE, Svg, drawing, empty, label, number, rect, tag, text_width

State = Literal["ran", "cached", "named", "refused", "stale"]
_STATES: tuple[State, ...] = ("ran", "cached", "named", "refused", "stale")
_BOX_WIDTH, BOX_HEIGHT = 156.0, 44.0
_GAP, _ROW, _BEND = 18.0, 84.0, 10.0  # px between boxes, from row to row, and for an edge that passes a row
_EDGE_ROOM = 3.0


@dataclass(frozen=True)
class Node:
    """An artifact or a step in the graph.

    Args:
        id: what the edges refer to.
        label: its name, e.g. the step's name in the recipe.
        kind: "dataset", "model", "scores", "verdict", "index" or any other word; decides the small mark.
        sublabel: a few words under the label; the kind where it is empty.
        state: "ran", "cached", "named" (a name points at it), "refused" or "stale".
    """

    id: str
    label: str
    kind: str = ""
    sublabel: str = ""
    state: State = "ran"


def lineage_graph(nodes: Sequence[Node], edges: Sequence[Edge], *, title: str = "Lineage") -> Svg:
    """Draw the graph in its natural width: a page lets it scroll where that is more than it has.

    Args:
        nodes: in the order they were made; a second node of the same id is left out.
        edges: (from id, to id); those to unknown ids are left out.
        title: what it shows, for screen readers.
    """
    by_id = {n.id: n for n in reversed(nodes)}
    unique = [n for n in dict.fromkeys(n.id for n in nodes) if n in by_id]
    if not unique:
        return empty(WIDE, title, "Nothing was made.")
    plan = layout(unique, edges, node_width=_BOX_WIDTH, gap=_GAP, bend_width=_BEND)
    states, states_width = legend([by_id[i] for i in unique])
    width = max(plan.width, states_width) + 2 * _EDGE_ROOM
    shift = (width - plan.width) / 2
    top = 40.0
    drawn = [
        _edge(e, plan, shift, top) for e in dict.fromkeys(edges) if e[0] in by_id and e[1] in by_id and e[0] != e[1]
    ]
    boxes = [box(by_id[i], plan.x[i] + shift - _BOX_WIDTH / 2, top + plan.layer[i] * _ROW) for i in unique]
    height = top + (plan.rows - 1) * _ROW + BOX_HEIGHT + _EDGE_ROOM
    into: dict[str, list[str]] = {}
    for a, b in dict.fromkeys(edges):
        if a in by_id and b in by_id:
            into.setdefault(b, []).append(by_id[a].label)
    told = "; ".join(
        f"{by_id[i].label} ({by_id[i].state})" + (f" from {', '.join(into[i])}" if i in into else "") for i in unique
    )
    return drawing(width, height, title, told, [states, *drawn, *boxes])


def _edge(edge: Edge, plan: Layout, shift: float, top: float) -> Svg:
    """A smooth line from the foot of one box to the head of the other, by way of its bends."""

    def foot(i: int) -> float:
        return top + i * _ROW + BOX_HEIGHT

    x, row = plan.x[edge[0]] + shift, plan.layer[edge[0]]
    last = plan.layer[edge[1]]
    d = f"M{number(x)} {number(foot(row))}"
    stops = [*plan.bends.get(edge, ()), (last, plan.x[edge[1]])]
    y = foot(row)
    for at, centre in stops:
        to_x, head = centre + shift, top + at * _ROW
        end = head - (4 if at == last else 0)
        middle = (y + end) / 2
        d += f"C{number(x)} {number(middle)} {number(to_x)} {number(middle)} {number(to_x)} {number(end)}"
        x, y = to_x, end
        if at != last:
            y = head + BOX_HEIGHT
            d += f"V{number(y)}"
    tip = tag("path", d=f"M{number(x)} {number(y + 4)}l-3.5 -6h7z", class_="arrow")
    return tag("g", tag("path", d=d, class_="edge"), tip)


def box(node: Node, left: float, y: float, width: float = _BOX_WIDTH) -> Svg:
    """One node: its mark, label and sublabel; the whole of it as a tooltip."""
    state = node.state if node.state in _STATES else "ran"
    small = node.sublabel or node.kind
    title = " · ".join(dict.fromkeys(w for w in (node.label, node.kind, node.sublabel, state, node.id) if w))
    room = width - 42
    return tag(
        "g",
        tag("title", title),
        rect(left, y, width, BOX_HEIGHT, f"node {state}", radius=5),
        _mark(node.kind, left + 17, y + BOX_HEIGHT / 2),
        tag("g", label(left + 33, y + (19 if small else 26), node.label, class_="t bold", room=room, size=13.5)),
        label(left + 33, y + 34, small, class_="s", room=room, size=12) if small else Svg(""),
        class_=state,
    )


def _mark(kind: str, x: float, y: float) -> Svg:
    """A small shape for the kind, 12 px wide."""
    if kind == "dataset":
        return tag("g", *(rect(x - 6, y - 5.5 + 4 * i, 12, 2.5, "mark") for i in range(3)))
    if kind == "model":
        return tag("circle", cx=x, cy=y, r=5.5, class_="mark")
    if kind == "scores":
        return tag("g", *(rect(x - 6 + 4.5 * i, y + 5 - h, 3, h, "mark") for i, h in enumerate((5.0, 10.0, 7.5))))
    if kind == "verdict":
        return tag("path", d=f"M{number(x)} {number(y - 6.5)}l6.5 6.5l-6.5 6.5l-6.5 -6.5z", class_="mark")
    return rect(x - 5, y - 5, 10, 10, "mark", radius=1.5)


def legend(nodes: Sequence[Node]) -> tuple[Svg, float]:
    """The states that occur, each with its look, and how wide that is in px."""
    parts, x = [], _EDGE_ROOM
    for state in (s for s in _STATES if any(n.state == s for n in nodes)):
        box = rect(x, 4, 22, 13, f"node {state}", radius=3)
        parts.append(tag("g", box, label(x + 29, 15, state, class_="s", size=12)))
        x += 29 + text_width(state, 12) + 22
    return tag("g", *parts), x
