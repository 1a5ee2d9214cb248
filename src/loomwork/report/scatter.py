"""Scatter plots of cost against quality, every point labelled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from loomwork.report.forest import Tone
from loomwork.report.numbers import Scale, domain, is_finite, short, tick_labels
from loomwork.report.svg import WIDE, Svg, clip, drawing, empty, label, line, tag, text_width

Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class Mark:
    """One point.

    Args:
        label: its name.
        x, y: where it lies.
        low, high: the interval of y, where there is one.
        tone: "on" for the one that matters, "off" for one that was refused.
    """

    label: str
    x: float
    y: float
    low: float | None = None
    high: float | None = None
    tone: Tone = "plain"


def scatter(
    marks: Sequence[Mark],
    *,
    title: str,
    x_label: str,
    y_label: str,
    x_format: Callable[[float], str] = short,
    width: int = WIDE,
) -> Svg:
    """Points with their names; the x axis is logarithmic where the values span more than twenty times.

    Args:
        marks: the points.
        title: what the plot shows, for screen readers.
        x_format: how a value of the x axis is written, e.g. as bytes.
        width: in px.
    """
    kept = [m for m in marks if is_finite(m.x) and is_finite(m.y)]
    lost = len(marks) - len(kept)
    if not kept:
        return empty(width, title, "No finite point.")
    height = round(width * 0.44) if width >= 500 else round(width * 0.85)
    bounds = [v for m in kept for v in (m.y, m.low, m.high) if v is not None]
    y_axis = Scale(*domain(bounds, pad=0.08), height - 40, 26)
    left = min(max((text_width(t, 12) for t in tick_labels(y_axis.ticks())), default=30) + 10, 90)
    x_axis = _x_axis([m.x for m in kept], left, width - 8)
    parts = _frame(x_axis, y_axis, x_label, y_label, x_format, width, height)
    taken: list[Box] = [box for m in kept for box in _around(m, x_axis, y_axis)]
    for m in kept:
        parts.append(_point(m, x_axis, y_axis))
    for m in sorted(kept, key=lambda m: m.tone != "on"):
        parts.append(_name(m, x_axis(m.x), y_axis(m.y), taken, left, width, height))
    if lost:
        parts.append(label(width, height - 6, f"{lost} not finite, left out", class_="s bad end"))
    told = "; ".join(f"{m.label}: {x_format(m.x)}, {short(m.y)}" for m in kept)
    return drawing(width, height, title, told, parts)


def _x_axis(values: Sequence[float], start: float, end: float) -> Scale:
    low, high = min(values), max(values)
    if low > 0 and high / low > 20:
        return Scale(max(low / 1.6, 1e-300), min(high * 1.6, 1e300), start, end, log=True)
    low, high = domain([*values, 0.0] if low >= 0 else values, pad=0.08)
    return Scale(max(low, 0.0) if min(values) >= 0 else low, high, start, end)


def _frame(
    x_axis: Scale,
    y_axis: Scale,
    x_label: str,
    y_label: str,
    x_format: Callable[[float], str],
    width: float,
    height: float,
) -> list[Svg]:
    parts = [label(0, 13, y_label, class_="s", room=width, size=12)]
    for value, shown in zip(y_axis.ticks(), tick_labels(y_axis.ticks()), strict=True):
        y = y_axis(value)
        parts.append(line(x_axis.start, y, x_axis.end, y, "grid"))
        parts.append(label(x_axis.start - 8, y + 4, shown, class_="s end"))
    floor = y_axis.start
    parts.append(line(x_axis.start, floor, x_axis.end, floor, "axis"))
    free = -1.0
    for value in x_axis.ticks(6 if width >= 500 else 4):
        x, shown = x_axis(value), x_format(value)
        half = text_width(shown, 12) / 2
        at = min(max(x, half), width - half)
        parts.append(line(x, floor, x, floor + 4, "axis"))
        if at - half > free:
            parts.append(label(at, floor + 17, shown, class_="s", anchor="middle"))
            free = at + half + 6
    parts.append(label(x_axis.start, height - 6, x_label, class_="s", room=width * 0.7, size=12))
    return parts


def _point(m: Mark, x_axis: Scale, y_axis: Scale) -> Svg:
    tone = "" if m.tone == "plain" else f" {m.tone}"
    x, y = x_axis(m.x), y_axis(m.y)
    parts = []
    if m.low is not None and m.high is not None and is_finite(m.low) and is_finite(m.high):
        parts.append(line(x, y_axis(m.low), x, y_axis(m.high), "whisker" + tone))
    parts.append(tag("circle", cx=x, cy=y, r=5, class_="dot" + tone))
    return tag("g", tag("title", m.label), *parts)


def _around(m: Mark, x_axis: Scale, y_axis: Scale) -> list[Box]:
    """What a label must not hide: the point and its whisker."""
    x, y = x_axis(m.x), y_axis(m.y)
    dot = (x - 7, y - 7, x + 7, y + 7)
    if m.low is None or m.high is None or not (is_finite(m.low) and is_finite(m.high)):
        return [dot]
    return [dot, (x - 3, y_axis(m.high), x + 3, y_axis(m.low))]


def _name(m: Mark, x: float, y: float, taken: list[Box], left: float, width: float, height: float) -> Svg:
    """The label at the first of a few places around its point where it hides nothing."""
    text = clip(m.label, width * 0.4)
    w = text_width(text)
    inner = (left, 18.0, float(width), height - 42.0)
    for step in range(6):
        shift = step * 15
        for at, base in ((x + 11, y + 4 + shift), (x - 11 - w, y + 4 + shift), (x + 11, y + 4 - shift),
                         (x - 11 - w, y + 4 - shift)):  # fmt: skip
            box = (at, base - 11, at + w, base + 3)
            inside = box[0] >= inner[0] and box[2] <= inner[2] and box[1] >= inner[1] and box[3] <= inner[3]
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                return _written(m, text, at, base)
    return _written(m, text, min(max(x + 11, left), width - w), min(max(y + 4, 29.0), height - 45.0))


def _written(m: Mark, text: str, x: float, y: float) -> Svg:
    words = {"on": "t strong", "off": "t bad", "plain": "t"}[m.tone]
    title = [tag("title", m.label)] if text != m.label else []
    return tag("text", text, *title, x=x, y=y, class_=words)


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
