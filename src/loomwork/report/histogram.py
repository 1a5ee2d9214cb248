"""Histograms: how many items have which value."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from loomwork.report.numbers import Scale, is_finite, plain, short, tick_labels
from loomwork.report.svg import WIDE, Svg, drawing, empty, label, line, rect, tag, text_width

_TOP, _BOTTOM = 26, 40  # room in px for the axis names and the tick labels
_LOG_FROM = 50  # times that the last edge is the first one


def histogram(
    edges: Sequence[float],
    counts: Sequence[int],
    *,
    title: str,
    x_label: str,
    y_label: str,
    mark: tuple[float, str] | None = None,
    form: Callable[[float], str] = short,
    width: int = WIDE,
) -> Svg:
    """Upright bars between edges; the x axis is logarithmic where the values span more than fifty times.

    Args:
        edges: ascending, one more than counts.
        counts: 0 or more.
        title: what the plot shows, for screen readers.
        x_label, y_label: what is counted, with its unit.
        mark: a value to mark, and what it is ("median 120").
        form: how a value of the x axis is written.
        width: in px.
    """
    if len(edges) != len(counts) + 1 or not counts or not all(is_finite(e) for e in edges) or edges[-1] <= edges[0]:
        return empty(width, title, "No spread to show.")
    height = round(width * 0.3) if width >= 500 else round(width * 0.6)
    highest = max(max(counts), 1)
    y_axis = Scale(0, highest, height - _BOTTOM, _TOP)
    y_marks = [v for v in y_axis.ticks(4) if v == int(v)]
    left = min(max((text_width(t, 12) for t in tick_labels(y_marks)), default=30) + 10, 90)
    log = edges[0] > 0 and edges[-1] / edges[0] > _LOG_FROM
    x_axis = Scale(edges[0], edges[-1], left, width - 8, log=log)
    parts = [label(0, 13, y_label, class_="s", room=width, size=12)]
    for value, shown in zip(y_marks, tick_labels(y_marks), strict=True):
        parts.append(line(left, y_axis(value), width - 8, y_axis(value), "grid"))
        parts.append(label(left - 8, y_axis(value) + 4, shown, class_="s end"))
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        x, top = x_axis(low), y_axis(count)
        piece = rect(x, top, max(x_axis(high) - x - 1, 0.75), y_axis.start - top, "bar")
        parts.append(tag("g", tag("title", f"{form(low)} to {form(high)}: {plain(count)}"), piece))
    parts += _floor(x_axis, y_axis.start, form, width)
    parts.append(label(left, height - 6, x_label, class_="s", room=width * 0.7, size=12))
    if mark and is_finite(mark[0]):
        x, room = x_axis(mark[0]), text_width(mark[1], 12)
        parts.append(line(x, _TOP - 8, x, y_axis.start, "zero"))
        at = min(max(x - room / 2, text_width(y_label, 12) + 12), width - room)
        parts.append(label(max(at, 0.0), 13, mark[1], class_="s", room=width - max(at, 0.0), size=12))
    told = f"{plain(sum(counts))} in {len(counts)} bars from {form(edges[0])} to {form(edges[-1])}"
    return drawing(width, height, title, told + (f"; {mark[1]}" if mark else ""), parts)


def _floor(x_axis: Scale, floor: float, form: Callable[[float], str], width: float) -> list[Svg]:
    parts = [line(x_axis.start, floor, x_axis.end, floor, "axis")]
    free = -1.0
    for value in x_axis.ticks(6 if width >= 500 else 4):
        x, shown = x_axis(value), form(value)
        half = text_width(shown, 12) / 2
        at = min(max(x, half), width - half)
        parts.append(line(x, floor, x, floor + 4, "axis"))
        if at - half > free:
            parts.append(label(at, floor + 17, shown, class_="s", anchor="middle"))
            free = at + half + 6
    return parts
