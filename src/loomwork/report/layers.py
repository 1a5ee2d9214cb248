"""Layered layout of a directed graph: longest-path layers, barycentre order, exact placement within a layer.

Source: Sugiyama, Tagawa, Toda (1981), "Methods for Visual Understanding of Hierarchical System Structures".
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

Edge = tuple[str, str]
_SWEEPS = 12  # for the order within rows
_SETTLING = 80  # for the places; each is cheap
_Bend = tuple[Edge, int]  # where a long edge passes through a layer that is not its end
_Spot = str | _Bend
_Near = dict[_Spot, list[_Spot]]
_T = TypeVar("_T")


@dataclass(frozen=True)
class Layout:
    """Where everything lies.

    Args:
        x: centre of each node, in px from the left.
        layer: row of each node, 0 at the top.
        bends: for an edge that spans several rows, the centres (row, x) it passes.
        width: in px.
        rows: how many rows there are.
    """

    x: Mapping[str, float]
    layer: Mapping[str, int]
    bends: Mapping[Edge, Sequence[tuple[int, float]]]
    width: float
    rows: int


def layout(nodes: Sequence[str], edges: Sequence[Edge], *, node_width: float, gap: float, bend_width: float) -> Layout:
    """Place nodes in rows so that edges lead downward and cross little. The same input gives the same layout.

    Args:
        nodes: ids, each once.
        edges: (from, to) pairs of those ids; the ones that would close a circle are left out of the layout.
        node_width, gap, bend_width: in px; a bend is the place that a long edge keeps free on its way.
    """
    known = set(nodes)
    forward = _acyclic(nodes, [e for e in dict.fromkeys(edges) if e[0] in known and e[1] in known and e[0] != e[1]])
    layer = _layers(nodes, forward)
    rows: list[list[_Spot]] = [[] for _ in range(max(layer.values(), default=-1) + 1)]
    for node in nodes:
        rows[layer[node]].append(node)
    links: list[tuple[_Spot, _Spot]] = []
    for edge in forward:
        passed: list[_Bend] = [(edge, i) for i in range(layer[edge[0]] + 1, layer[edge[1]])]
        for bend in passed:
            rows[bend[1]].append(bend)
        links += itertools.pairwise([edge[0], *passed, edge[1]])
    above, below = _neighbours(links)
    rows = _ordered(rows, above, below)
    place = _placed(rows, above, below, node_width, gap, bend_width)
    bends = {
        edge: [(i, place[edge, i]) for i in range(layer[edge[0]] + 1, layer[edge[1]])]
        for edge in forward
        if layer[edge[1]] - layer[edge[0]] > 1
    }
    width = max((place[n] for n in nodes), default=0) + node_width / 2
    width = max([width, *(x + bend_width / 2 for points in bends.values() for _, x in points)])
    return Layout({n: place[n] for n in nodes}, layer, bends, width, len(rows))


def _acyclic(nodes: Sequence[str], edges: Sequence[Edge]) -> list[Edge]:
    """The edges without those that lead back to a node still being visited."""
    after: dict[str, list[str]] = {n: [] for n in nodes}
    for a, b in edges:
        after[a].append(b)
    state: dict[str, int] = {}
    back: set[Edge] = set()
    for root in nodes:
        if root in state:
            continue
        state[root] = 1
        stack = [(root, iter(after[root]))]
        while stack:
            node, rest = stack[-1]
            following = next(rest, None)
            if following is None:
                state[node] = 2
                stack.pop()
            elif state.get(following) == 1:
                back.add((node, following))
            elif following not in state:
                state[following] = 1
                stack.append((following, iter(after[following])))
    return [e for e in edges if e not in back]


def _layers(nodes: Sequence[str], edges: Sequence[Edge]) -> dict[str, int]:
    """Longest path from a source; sources then move down to just above their first reader."""
    above, below = _neighbours(edges)
    waiting = {n: len(above.get(n, [])) for n in nodes}
    layer = dict.fromkeys(nodes, 0)
    ready = [n for n in nodes if not waiting[n]]
    for node in ready:
        for child in below.get(node, []):
            layer[child] = max(layer[child], layer[node] + 1)
            waiting[child] -= 1
            if not waiting[child]:
                ready.append(child)
    for node in nodes:
        if not above.get(node) and below.get(node):
            layer[node] = min(layer[c] for c in below[node]) - 1
    return layer


def _neighbours(links: Sequence[tuple[_T, _T]]) -> tuple[dict[_T, list[_T]], dict[_T, list[_T]]]:
    above: dict[_T, list[_T]] = {}
    below: dict[_T, list[_T]] = {}
    for a, b in links:
        below.setdefault(a, []).append(b)
        above.setdefault(b, []).append(a)
    return above, below


def _ordered(rows: list[list[_Spot]], above: _Near, below: _Near) -> list[list[_Spot]]:
    """Barycentre sweeps down and up; the order with the fewest crossings wins."""
    best, fewest = [list(r) for r in rows], _crossings(rows, below)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        sides = above if down else below
        for i in range(1, len(rows)) if down else range(len(rows) - 2, -1, -1):
            beside = {spot: at for at, spot in enumerate(rows[i - 1 if down else i + 1])}
            rows[i] = _by_barycentre(rows[i], beside, sides)
        crossings = _crossings(rows, below)
        if crossings < fewest:
            best, fewest = [list(r) for r in rows], crossings
        if not fewest:
            break
    return best


def _by_barycentre(row: list[_Spot], beside: Mapping[_Spot, int], sides: _Near) -> list[_Spot]:
    centre = {}
    for at, spot in enumerate(row):
        near = [beside[s] for s in sides.get(spot, [])]
        centre[spot] = sum(near) / len(near) if near else float(at)
    return sorted(row, key=centre.__getitem__)  # stable: equal ones keep their order


def _crossings(rows: list[list[_Spot]], below: _Near) -> int:
    total = 0
    for upper, lower in itertools.pairwise(rows):
        at = {spot: i for i, spot in enumerate(lower)}
        seen: list[int] = []
        for spot in upper:
            ends = sorted(at[s] for s in below.get(spot, []))
            total += sum(len(seen) - bisect_left(seen, e + 1) for e in ends)
            for e in ends:
                insort(seen, e)
    return total


def _placed(
    rows: list[list[_Spot]], above: _Near, below: _Near, node_width: float, gap: float, bend_width: float
) -> dict[_Spot, float]:
    """Centres: each row as near to the means of its neighbours as its order and the gaps allow."""
    offsets = [_offsets(row, node_width, gap, bend_width) for row in rows]
    widest = max((o[-1] for o in offsets if o), default=0.0)
    place = {
        spot: o + (widest - offs[-1]) / 2
        for row, offs in zip(rows, offsets, strict=True)
        for spot, o in zip(row, offs, strict=True)
    }
    for sweep in range(_SETTLING):
        order = range(len(rows)) if sweep % 2 == 0 else range(len(rows) - 1, -1, -1)
        for i in order:
            wanted, weights = [], []
            for spot in rows[i]:
                near = [(place[a], _pull(a, spot, above, below)) for a in above.get(spot, [])]
                near += [(place[b], _pull(spot, b, above, below)) for b in below.get(spot, [])]
                weight = sum(w for _, w in near)
                wanted.append(sum(x * w for x, w in near) / weight if near else place[spot])
                weights.append(weight or 1.0)
            shifted = _isotonic([w - o for w, o in zip(wanted, offsets[i], strict=True)], weights)
            place |= {s: v + o for s, v, o in zip(rows[i], shifted, offsets[i], strict=True)}
    left = min((x - (bend_width if isinstance(s, tuple) else node_width) / 2 for s, x in place.items()), default=0.0)
    return {spot: x - left for spot, x in place.items()}


def _pull(a: _Spot, b: _Spot, above: _Near, below: _Near) -> float:
    """How straight a link wants to be: the inside of a long edge and a plain chain most of all."""
    if isinstance(a, tuple) or isinstance(b, tuple):
        return 8.0 if isinstance(a, tuple) and isinstance(b, tuple) else 2.0
    return 8.0 if len(below[a]) == 1 and len(above[b]) == 1 else 1.0


def _offsets(row: list[_Spot], node_width: float, gap: float, bend_width: float) -> list[float]:
    """Centres of a row packed as tightly as it may be."""
    out: list[float] = []
    at = 0.0
    for spot in row:
        half = (bend_width if isinstance(spot, tuple) else node_width) / 2
        at += half
        out.append(at)
        at += half + gap
    return out


def _isotonic(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The nearest sequence, in least squares, that never falls (pool adjacent violators)."""
    blocks: list[tuple[float, float, int]] = []  # mean, weight, length
    for value, weight in zip(values, weights, strict=True):
        mean, total, length = value, weight, 1
        while blocks and blocks[-1][0] > mean:
            before, heavy, size = blocks.pop()
            mean = (mean * total + before * heavy) / (total + heavy)
            total, length = total + heavy, length + size
        blocks.append((mean, total, length))
    return [mean for mean, _, length in blocks for _ in range(length)]
