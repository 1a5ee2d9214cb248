"""Forest plots: an estimate and its interval on each line, with a reference line and margins where they belong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from loomwork.report.numbers import Scale, decimals_for, domain, is_finite, plain, tick_labels
from loomwork.report.svg import WIDE, Svg, drawing, empty, label, line, rect, tag, text_width

Tone = Literal["plain", "on", "off"]


@dataclass(frozen=True)
class Estimate:
    """One line of a forest plot.

    Args:
        label: what was measured.
        value: the point estimate, between low and high.
        low, high: its interval.
        note: small text under the label.
        tone: "on" for the one that matters, "off" for one that was refused.
        margin: the value beyond which the line would be refused; None where no gate was set.
    """

    label: str
    value: float
    low: float
    high: float
    note: str = ""
    tone: Tone = "plain"
    margin: float | None = None


def forest_plot(
    rows: Sequence[Estimate],
    *,
    title: str,
    x_label: str,
    zero: bool = False,
    lower_is_better: bool = False,
    width: int = WIDE,
) -> Svg:
    """Estimates and their intervals under one another, over one axis.

    Args:
        rows: the lines, in order.
        title: what the plot shows, for screen readers.
        x_label: what the axis measures, with its unit.
        zero: draw a line at zero and show signs (paired differences).
        lower_is_better: the refused side of a margin is the right one.
        width: in px.

    Returns:
        The picture. Lines that are not finite are left out, and that is said.
    """
    kept = [r for r in rows if is_finite(r.value) and is_finite(r.low) and is_finite(r.high)]
    lost = len(rows) - len(kept)
    if not kept:
        return empty(width, title, "No finite estimate.")
    numbers = [_number(r, zero) for r in kept]
    frame = _frame(kept, numbers, zero, width)
    parts = [_zones(kept, frame, lower_is_better), _axis(len(kept), frame, zero, x_label)]
    parts += [_row(row, shown, frame, i) for i, (row, shown) in enumerate(zip(kept, numbers, strict=True))]
    floor = frame.top(len(kept)) + 6
    if lost:
        parts.append(label(width, floor + 36, f"{lost} not finite, left out", class_="s bad end"))
    told = "; ".join(f"{r.label}: {n}" for r, n in zip(kept, numbers, strict=True))
    return drawing(width, floor + 42, title, told, parts)


@dataclass(frozen=True)
class _Frame:
    """Where things lie: on a desk the label stands beside its whisker, on a phone above it.

    Args:
        axis: value to px.
        wide: whether it is the desk's.
        pitch: height of a row.
        middle: of the whisker, from the top of its row.
        band: top and bottom of the area in a row that belongs to the axis.
        room: for the label.
    """

    axis: Scale
    wide: bool
    width: float
    pitch: float
    middle: float
    band: tuple[float, float]
    room: float

    def top(self, row: int) -> float:
        return 8 + self.pitch * row


def _frame(rows: Sequence[Estimate], numbers: Sequence[str], zero: bool, width: float) -> _Frame:
    ends = [v for r in rows for v in (r.low, r.high, r.value, r.margin) if v is not None] + ([0.0] if zero else [])
    low, high = domain(ends, pad=0.06)
    right = min(max(text_width(n) for n in numbers) + 4, width * 0.6)
    if width < 500:
        head = 36.0 if any(r.note for r in rows) else 20.0
        band = (head, head + 28)
        return _Frame(Scale(low, high, 2, width - 2), False, width, head + 38, head + 14, band, width - right - 12)
    left = min(max(max(text_width(r.label), text_width(r.note, 12)) for r in rows) + 20, width * 0.32)
    return _Frame(Scale(low, high, left, width - right - 20), True, width, 40, 20, (0, 40), left - 16)


def _number(row: Estimate, sign: bool) -> str:
    digits = decimals_for(row.low, row.high)
    value, low, high = (plain(v, digits, sign=sign) for v in (row.value, row.low, row.high))
    return f"{value} [{low}, {high}]"


def _zones(rows: Sequence[Estimate], frame: _Frame, lower_is_better: bool) -> Svg:
    """Behind each line with a margin: where it would be refused."""
    parts = []
    for i, row in enumerate(rows):
        if row.margin is None or not is_finite(row.margin):
            continue
        first, last = (frame.top(i) + y for y in frame.band)
        edge = frame.axis(row.margin)
        start, end = (edge, frame.axis.end) if lower_is_better else (frame.axis.start, edge)
        parts += [rect(start, first, end - start, last - first, "zone"), line(edge, first, edge, last, "margin")]
    return tag("g", *parts)


def _axis(rows: int, frame: _Frame, zero: bool, x_label: str) -> Svg:
    axis, floor = frame.axis, frame.top(rows) + 6
    parts = [line(axis.start, floor, axis.end, floor, "axis")]

    def upright(x: float, class_: str) -> list[Svg]:
        if frame.wide:
            return [line(x, frame.top(0), x, floor, class_)]
        return [line(x, frame.top(i) + frame.band[0], x, frame.top(i) + frame.band[1], class_) for i in range(rows)]

    marks = axis.ticks(6 if frame.wide else 4)
    for value, shown in zip(marks, tick_labels(marks, sign=zero), strict=True):
        x = axis(value)
        half = text_width(shown, 12) / 2
        at = min(max(x, half), frame.width - half)
        parts += [
            *upright(x, "grid"),
            line(x, floor, x, floor + 4, "axis"),
            label(at, floor + 17, shown, class_="s", anchor="middle"),
        ]
    if zero:
        parts += upright(axis(0), "zero")
    parts.append(label(axis.start, floor + 36, x_label, class_="s", room=axis.end - axis.start, size=12))
    return tag("g", *parts)


def _row(row: Estimate, shown: str, frame: _Frame, i: int) -> Svg:
    axis, middle = frame.axis, frame.top(i) + frame.middle
    tone = "" if row.tone == "plain" else f" {row.tone}"
    words = "t bold" if row.tone == "on" else "t bad" if row.tone == "off" else "t"
    base = middle + (-2 if row.note else 4) if frame.wide else frame.top(i) + 14
    parts = [label(0, base, row.label, class_=words, room=frame.room)]
    if row.note:
        parts.append(label(0, base + 15, row.note, class_="s", room=frame.room, size=12))
    low, high, x = axis(row.low), axis(row.high), axis(row.value)
    parts += [
        line(low, middle, high, middle, "whisker" + tone),
        line(low, middle - 4, low, middle + 4, "whisker" + tone),
        line(high, middle - 4, high, middle + 4, "whisker" + tone),
        tag("circle", cx=x, cy=middle, r=4.5 if row.tone != "plain" else 4, class_="dot" + tone),
        label(frame.width, middle + 4 if frame.wide else base, shown, class_=words + " end"),
    ]
    return tag("g", tag("title", f"{row.label}: {shown}{' · ' + row.note if row.note else ''}"), *parts)
