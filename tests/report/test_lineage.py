"""The lineage graph: layers lead downward, boxes never overlap, any graph is drawn, the same one the same way."""

from __future__ import annotations

import itertools
import random
import re
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.report.layers import _crossings, _isotonic, layout
from loomwork.report.lineage import Node, lineage_graph
from loomwork.report.lineage_list import _lanes, lineage_list

NS = "{http://www.w3.org/2000/svg}"
WIDTH, GAP, BEND = 156.0, 18.0, 10.0


def place(nodes, edges):
    return layout(nodes, edges, node_width=WIDTH, gap=GAP, bend_width=BEND)


@st.composite
def graphs(draw):
    n = draw(st.integers(1, 24))
    ids = [f"n{i}" for i in range(n)]
    return ids, draw(st.lists(st.tuples(st.sampled_from(ids), st.sampled_from(ids)), max_size=60))


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_boxes_never_overlap_and_stay_inside(graph):
    ids, edges = graph  # circles and loops included
    plan = place(ids, edges)
    for row in range(plan.rows):
        xs = sorted(plan.x[n] for n in ids if plan.layer[n] == row)
        assert all(b - a >= WIDTH + GAP - 1e-6 for a, b in itertools.pairwise(xs))
        assert all(WIDTH / 2 - 1e-6 <= x <= plan.width - WIDTH / 2 + 1e-6 for x in xs)
    ElementTree.fromstring(lineage_graph([Node(i, i) for i in ids], edges))


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_without_circles_every_edge_leads_downward(graph):
    ids, edges = graph
    forward = [(a, b) for a, b in edges if int(a[1:]) < int(b[1:])]
    plan = place(ids, forward)
    assert all(plan.layer[a] < plan.layer[b] for a, b in forward)
    assert all(len(plan.bends.get(e, ())) == plan.layer[e[1]] - plan.layer[e[0]] - 1 for e in forward)


def test_a_chain_is_straight():
    ids = [f"n{i}" for i in range(30)]
    plan = place(ids, list(itertools.pairwise(ids)))
    assert len(set(plan.x.values())) == 1
    assert plan.rows == 30


def test_crossings_that_can_be_avoided_are():
    plan = place(["a", "b", "c", "d"], [("a", "d"), ("b", "c")])
    assert (plan.x["a"] - plan.x["b"]) * (plan.x["d"] - plan.x["c"]) > 0


def test_crossings_are_counted():
    below = {"a": ["y"], "b": ["x"], "c": ["x", "y"]}
    assert _crossings([["a", "b", "c"], ["x", "y"]], below) == 2


def test_isotonic_is_the_least_squares_fit():
    assert _isotonic([3.0, 1.0, 2.0], [1.0, 1.0, 1.0]) == [2.0, 2.0, 2.0]
    assert _isotonic([1.0, 5.0, 2.0], [1.0, 1.0, 2.0]) == [1.0, 3.0, 3.0]


def test_two_hundred_nodes_are_drawn_and_always_the_same():
    chance = random.Random(3)
    ids = [f"step {i}" for i in range(200)]
    edges = [(ids[chance.randrange(max(0, i - 30), i)], ids[i]) for i in range(1, 200) for _ in range(2)]
    nodes = [Node(i, i, "dataset", "7,412 rows") for i in ids]
    svg = lineage_graph(nodes, edges)
    assert svg == lineage_graph(nodes, edges)
    root = ElementTree.fromstring(svg)
    boxes = [r for r in root.iter(NS + "rect") if r.attrib["class"] == "node ran" and r.attrib["height"] == "44"]
    assert len(boxes) == 200
    assert len(root.findall(f".//{NS}path[@class='edge']")) == len(set(edges))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for d in (p.attrib["d"] for p in root.iter(NS + "path")):
        for x, y in re.findall(r"(?<![\d.l-])(-?[\d.]+) (-?[\d.]+)", d.split("l")[0]):
            assert 0 <= float(x) <= width
            assert 0 <= float(y) <= height


def test_states_kinds_and_hostile_labels():
    nodes = [
        Node("1", "<b>raw</b>", "dataset", state="cached"),
        Node("2", "x" * 400, "model", "<script>", state="refused"),
        Node("3", "gone", "a new kind", state="stale"),
        Node("3", "twice"),
    ]
    svg = lineage_graph(nodes, [("1", "2"), ("2", "unknown"), ("2", "3"), ("3", "3")])
    root = ElementTree.fromstring(svg)
    assert "<b>" not in svg
    assert "twice" not in svg
    assert {"node cached", "node refused", "node stale"} <= {r.attrib["class"] for r in root.iter(NS + "rect")}
    assert "from <b>raw</b>" in root.find(NS + "desc").text


def test_nothing_is_said():
    assert "Nothing was made" in lineage_graph([], [])


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_the_list_draws_every_edge_in_a_lane_of_its_own(graph):
    ids, edges = graph
    svg = lineage_list([Node(i, i) for i in ids], edges)
    drawn = ElementTree.fromstring(svg).findall(f".//{NS}path[@class='edge']")
    assert len(drawn) == len({(a, b) for a, b in edges if a != b})
    children = {}
    for a, b in edges:
        if a != b:
            children.setdefault(ids.index(a), []).append(ids.index(b))
    lanes = _lanes(children)
    spans = {a: (min(a, *b), max(a, *b)) for a, b in children.items()}
    for a, b in itertools.combinations(spans, 2):
        assert lanes[a] != lanes[b] or spans[a][1] < spans[b][0] or spans[b][1] < spans[a][0]
