"""Every plot is well-formed SVG inside its viewBox, whatever the numbers and the labels."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.report.curve import Line, line_chart, smoothed, thinned
from loomwork.report.forest import Estimate, forest_plot
from loomwork.report.funnel import Stage, funnel
from loomwork.report.numbers import Scale, bytes_, decimals_for, domain, plain, seconds, tick_labels, ticks
from loomwork.report.scatter import Mark, scatter
from loomwork.report.svg import NARROW, WIDE, Svg, clip, label, standalone, tag, text_width

NS = "{http://www.w3.org/2000/svg}"
finite = st.floats(allow_nan=False, allow_infinity=False)
any_float = st.floats()
names = st.text(max_size=60)
widths = st.sampled_from([WIDE, NARROW])


def check_inside(svg: str) -> ElementTree.Element:
    """Parse, and find every coordinate inside the viewBox (a stroke's width aside)."""
    root = ElementTree.fromstring(svg)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    assert root[0].tag == NS + "title"
    assert root[0].text
    assert root[1].tag == NS + "desc"

    def inside(x: float, y: float) -> None:
        assert -0.01 <= x <= width + 0.01, f"{x} outside of {width}"
        assert -0.01 <= y <= height + 0.01, f"{y} outside of {height}"

    for element in root.iter():
        at = {k: float(v) for k, v in element.attrib.items() if re.fullmatch(r"(c?[xy]|[xy][12]|width|height)", k)}
        kind = element.tag.removeprefix(NS)
        if kind == "line":
            inside(at["x1"], at["y1"])
            inside(at["x2"], at["y2"])
        elif kind == "rect":
            inside(at["x"], at["y"])
            inside(at["x"] + at["width"], at["y"] + at["height"])
        elif kind == "circle":
            inside(at["cx"], at["cy"])
        elif kind == "text":
            inside(at["x"], at["y"])
        elif kind == "path" and set(re.findall("[A-Za-z]", element.attrib["d"])) <= {"M", "L"}:
            for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", element.attrib["d"]):
                inside(float(x), float(y))
    return root


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(any_float, any_float), max_size=60), names, widths)
def test_curves_hold_any_numbers(points, name, width):
    check_inside(line_chart([Line(name, points), Line("b", points[::2])], title=name, y_label=name, width=width))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(names, any_float, any_float, any_float, st.none() | any_float), max_size=8),
    st.booleans(),
    st.booleans(),
    widths,
)
def test_forests_hold_any_numbers(rows, zero, lower, width):
    estimates = [Estimate(n, *sorted((a, b, c)), note=n, margin=m) for n, a, b, c, m in rows]
    check_inside(forest_plot(estimates, title="t", x_label="x", zero=zero, lower_is_better=lower, width=width))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(names, st.integers(0, 10**15), st.dictionaries(names, st.integers(0, 10**12), max_size=4)), max_size=6
    ),
    widths,
)
def test_funnels_hold_any_counts(stages, width):
    check_inside(funnel([Stage(*s) for s in stages], title="t", width=width))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(names, any_float, any_float, st.none() | any_float), max_size=12), widths)
def test_scatters_hold_any_numbers(marks, width):
    check_inside(
        scatter([Mark(n, x, y, low, low) for n, x, y, low in marks], title="t", x_label="x", y_label="y", width=width)
    )


@pytest.mark.parametrize(
    "draw",
    [
        lambda: line_chart([], title="t"),
        lambda: line_chart([Line("", [(1, math.nan)])], title="t"),
        lambda: forest_plot([], title="t", x_label="x"),
        lambda: funnel([], title="t"),
        lambda: scatter([], title="t", x_label="x", y_label="y"),
    ],
)
def test_no_data_is_said(draw: Callable[[], Svg]):
    root = check_inside(draw())
    assert root.find(NS + "text").text[:2] == "No"


def test_points_that_are_not_finite_are_counted():
    svg = line_chart([Line("", [(1, 2.0), (2, math.nan), (3, math.inf), (4, 1.0)])], title="loss")
    assert "2 not finite, left out" in svg
    svg = forest_plot([Estimate("a", 1, 0, 2), Estimate("b", math.nan, 0, 1)], title="t", x_label="x")
    assert "1 not finite, left out" in svg


def test_smoothing_follows_without_lag():
    line = [(float(i), 2.0 * i) for i in range(200)]
    assert all(abs(y - 2 * x) <= 5 for x, y in smoothed(line))  # the last window is half a window short
    assert smoothed(line)[100][1] == pytest.approx(200)


@settings(deadline=None)
@given(st.lists(st.tuples(finite, finite), min_size=1, max_size=500), st.integers(1, 50))
def test_thinning_keeps_the_extremes(points, buckets):
    kept = thinned(sorted(points), buckets)
    assert len(kept) <= max(2 * buckets, 1) or len(kept) == len(points)
    assert {min(y for _, y in points), max(y for _, y in points)} <= {y for _, y in kept}


@settings(deadline=None)
@given(st.lists(finite, min_size=1, max_size=5), st.integers(2, 8))
def test_ticks_are_few_and_inside(values, count):
    low, high = domain(values)
    assert low < high
    found = ticks(low, high, count)
    assert 1 <= len(found) <= 3 * count
    assert all(low - (high - low) * 1e-6 <= t <= high + (high - low) * 1e-6 for t in found)
    assert len(tick_labels(found)) == len(found)


def test_ticks_are_round():
    assert ticks(0, 1, 5) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert ticks(-3, 97, 4) == pytest.approx([0, 25, 50, 75])
    assert tick_labels(ticks(0.25, 1.25, 4)) == ["0.25", "0.50", "0.75", "1.00", "1.25"]
    assert Scale(1e6, 1e9, 0, 1, log=True).ticks() == pytest.approx([1e6, 1e7, 1e8, 1e9])


def test_numbers_are_written_for_people():
    assert plain(-0.0161, 3) == "−0.016"
    assert plain(-0.0001, 2) == "0.00"
    assert plain(1234567) == "1,234,567"
    assert plain(0.08, 3, sign=True) == "+0.080"
    assert plain(0.0005) == "0.0005"
    assert decimals_for(0.548, 0.634) == 3
    assert decimals_for(-0.0071, 0.0018) == 4
    assert decimals_for(10, 40) == 0
    assert bytes_(24_641_112) == "24.6\u00a0MB"
    assert bytes_(999) == "999\u00a0B"
    assert [seconds(s) for s in (0.0107, 4.2, 147, 11100)] == [
        "10.7\u00a0ms",
        "4.2\u00a0s",
        "2\u00a0min 27\u00a0s",
        "3\u00a0h 05\u00a0min",
    ]


def test_text_is_escaped_and_clipped():
    shown = label(0, 0, "<script>alert(1)</script> & more", room=60)
    assert "<script" not in shown
    assert "…" in shown
    assert ElementTree.fromstring(shown)[0].text == "<script>alert(1)</script> & more"
    assert 'a="&quot;&lt;"' in tag("g", a='"<')
    assert text_width(clip("W" * 100, 50), 13) <= 50
    assert ElementTree.fromstring(tag("text", "a\x00\ud800b")).text == "a\ufffd\ufffdb"


def test_a_picture_can_stand_alone():
    root = ElementTree.fromstring(standalone(funnel([Stage("read", 10, {"short": 1})], title="Rows")))
    assert root[0].tag == NS + "style"
    assert "--accent" in root[0].text
