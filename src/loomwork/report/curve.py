"""Line charts of a value over training steps: the raw points faint, a smoothed line over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from loomwork.report.numbers import Scale, domain, held, is_finite, plain, tick_labels
from loomwork.report.svg import WIDE, Svg, drawing, empty, label, line, path, tag, text_width

Point = tuple[float, float]
_STYLES = ("", " second", " third")
_TOP, _BOTTOM = 26, 40  # room in px for the axis names and the tick labels


@dataclass(frozen=True)
class Line:
    """One series of a chart.

    Args:
        name: written at the line's end; "" where it is the only one.
        points: (step, value) pairs; those that are not finite are left out, and that is said.
        smooth: draw a moving average over the raw points.
    """

    name: str
    points: Sequence[Point]
    smooth: bool = True


def line_chart(
    lines: Sequence[Line], *, title: str, x_label: str = "step", y_label: str = "", width: int = WIDE
) -> Svg:
    """A chart of one to a few lines over a shared axis.

    Args:
        lines: the series, the most important first.
        title: what the chart shows, for screen readers.
        width: in px; the height follows from it.

    Returns:
        The picture; of nothing but a sentence where no point is finite.
    """
    kept = [(ln, sorted((held(x), held(y)) for x, y in ln.points if is_finite(x) and is_finite(y))) for ln in lines]
    lost = sum(len(ln.points) for ln in lines) - sum(len(points) for _, points in kept)
    kept = [(ln, points) for ln, points in kept if points]
    if not kept:
        return empty(width, title, "No finite value was recorded.")
    height = round(width * 0.42) if width >= 500 else round(width * 0.68)
    everything = [p for _, points in kept for p in points]
    y_low, y_high = domain((y for _, y in everything), pad=0.05)
    x_low, x_high = domain(x for x, _ in everything)
    y_marks = Scale(y_low, y_high, 0, 1).ticks(5)
    left = min(max((text_width(t, 12) for t in tick_labels(y_marks)), default=30) + 10, 90)
    names = [ln.name for ln, _ in kept if ln.name] if len(kept) > 1 else []
    right = min(max((text_width(n, 13) for n in names), default=0) + 12, width / 4)
    x_axis = Scale(x_low, x_high, left, width - right)
    y_axis = Scale(y_low, y_high, height - _BOTTOM, _TOP)
    parts = [*_frame(x_axis, y_axis, y_marks, x_label, y_label, width, height)]
    ends: list[float] = []
    for (ln, points), style in zip(kept, _STYLES * len(kept), strict=False):
        parts += _draw(ln, points, x_axis, y_axis, style)
        if names and ln.name:
            ends.append(_free(y_axis(_last(ln, points)), ends, 15))
            parts.append(label(width - right + 8, ends[-1] + 4, ln.name, class_=f"t{style}", room=right - 8))
    if lost:
        parts.append(label(width, height - 6, f"{lost} not finite, left out", class_="s bad end", size=12))
    return drawing(width, height, title, _describe(kept, lost), parts)


def smoothed(points: Sequence[Point]) -> list[Point]:
    """Centred moving average over about a twentieth of the points.

    At the start, which is steep, the window shrinks evenly; at the end, which is not, only its right side does.
    """
    half = max(len(points) // 40, 1)
    sums = [0.0, *accumulate(y for _, y in points)]
    out = []
    for i, (x, _) in enumerate(points):
        first, last = i - min(half, i), i + min(half, i, len(points) - 1 - i)
        out.append((x, (sums[last + 1] - sums[first]) / (last + 1 - first)))
    return out


def thinned(points: Sequence[Point], buckets: int) -> list[Point]:
    """At most two points a bucket, its lowest and highest, so that no spike is lost."""
    if len(points) <= 2 * buckets:
        return list(points)
    size = len(points) / buckets
    out = []
    for i in range(buckets):
        part = points[round(i * size) : round((i + 1) * size)]
        out += sorted({min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1])})
    return out


def _draw(ln: Line, points: list[Point], x_axis: Scale, y_axis: Scale, style: str) -> list[Svg]:
    def place(some: Sequence[Point]) -> list[Point]:
        return [(x_axis(x), y_axis(y)) for x, y in some]

    if len(points) == 1:
        (x, y) = place(points)[0]
        return [tag("circle", cx=x, cy=y, r=3.5, class_="dot on")]
    buckets = int(x_axis.end - x_axis.start)
    if not ln.smooth or len(points) < 20:
        return [path(place(thinned(points, buckets)), "curve" + style)]
    raw = path(place(thinned(points, buckets)), "raw" + style)
    return [raw, path(place(thinned(smoothed(points), buckets // 2)), "curve" + style)]


def _last(ln: Line, points: list[Point]) -> float:
    return smoothed(points)[-1][1] if ln.smooth and len(points) >= 20 else points[-1][1]


def _free(y: float, taken: Sequence[float], apart: float) -> float:
    """The nearest place below `y` that keeps its distance from the labels already there."""
    while any(abs(y - other) < apart for other in taken):
        y += 1
    return y


def _frame(
    x_axis: Scale, y_axis: Scale, y_marks: Sequence[float], x_label: str, y_label: str, width: float, height: float
) -> list[Svg]:
    floor = height - _BOTTOM
    parts = [label(0, 13, y_label, class_="s", room=width, size=12)] if y_label else []
    for value, shown in zip(y_marks, tick_labels(y_marks), strict=True):
        y = y_axis(value)
        parts.append(line(x_axis.start, y, x_axis.end, y, "grid"))
        parts.append(label(x_axis.start - 8, y + 4, shown, class_="s end"))
    parts.append(line(x_axis.start, floor, x_axis.end, floor, "axis"))
    x_marks = x_axis.ticks(6 if width >= 500 else 4)
    for value, shown in zip(x_marks, tick_labels(x_marks), strict=True):
        x = x_axis(value)
        half = text_width(shown, 12) / 2
        at = min(max(x, half), width - half)
        parts += [line(x, floor, x, floor + 4, "axis"), label(at, floor + 17, shown, class_="s", anchor="middle")]
    parts.append(label(x_axis.start, height - 6, x_label, class_="s", room=width / 2, size=12))
    return parts


def _describe(kept: Sequence[tuple[Line, list[Point]]], lost: int) -> str:
    told = []
    for ln, points in kept:
        ys = [y for _, y in points]
        told.append(
            f"{ln.name or 'The line'}: {len(points)} points from {plain(ys[0])} to {plain(ys[-1])}, "
            f"lowest {plain(min(ys))}, highest {plain(max(ys))}."
        )
    return " ".join(told) + (f" {lost} points were not finite and are left out." if lost else "")
