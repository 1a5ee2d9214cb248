"""Bars and histograms are well-formed SVG inside their viewBox, whatever the numbers."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from loomwork.report.bars import Bar, bar_chart
from loomwork.report.histogram import histogram
from loomwork.report.svg import NARROW, WIDE
from tests.report.test_plots import check_inside, names, widths


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(names, st.floats(), st.booleans()), max_size=8), st.floats(0, 1e9), widths)
def test_bars_hold_any_numbers(rows, most, width):
    check_inside(bar_chart([Bar(n, v, off=o) for n, v, o in rows], title="t", most=most, width=width))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-1e12, 1e12), min_size=2, max_size=20, unique=True),
    st.floats(),
    names,
    widths,
)
def test_histograms_hold_any_numbers(edges, mark, name, width):
    edges = sorted(edges)
    counts = [(i * 7) % 13 for i in range(len(edges) - 1)]
    check_inside(histogram(edges, counts, title=name, x_label=name, y_label=name, mark=(mark, name), width=width))


def test_a_bar_is_as_long_as_its_share():
    root = check_inside(bar_chart([Bar("a", 1), Bar("b", 0.25), Bar("none", 0)], title="t", width=WIDE))
    lengths = [float(e.get("width", "0")) for e in root.iter() if e.get("class") == "bar"]
    assert math.isclose(lengths[1] / lengths[0], 0.25, abs_tol=0.01)
    assert lengths[2] == 0


def test_a_wide_span_is_drawn_on_a_logarithmic_axis():
    for width in (WIDE, NARROW):
        root = check_inside(histogram([1, 10, 100, 1000], [5, 10, 5], title="t", x_label="x", y_label="n", width=width))
        bars = [float(e.get("width", "0")) for e in root.iter() if e.get("class") == "bar"]
        assert max(bars) - min(bars) < 0.1


def test_nothing_to_show_is_said():
    assert "Nothing to show" in bar_chart([], title="t")
    assert "No spread" in histogram([1, 1], [3], title="t", x_label="x", y_label="n")
