"""Bars: how much of each of a few things there is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from loomwork.report.numbers import is_finite, plain
from loomwork.report.svg import WIDE, Svg, drawing, empty, label, rect, tag, text_width


@dataclass(frozen=True)
class Bar:
    """One line.

    Args:
        label: what it is.
        value: its length, 0 or more.
        shown: how the value is written; "" writes the number.
        off: a bar that stands out for the wrong reason.
    """

    label: str
    value: float
    shown: str = ""
    off: bool = False


def bar_chart(
    bars: Sequence[Bar], *, title: str, most: float = 0.0, form: Callable[[float], str] = plain, width: int = WIDE
) -> Svg:
    """A bar a line, all to one scale from zero, each with its number.

    Args:
        bars: in order; those that are not finite are left out, and that is said.
        title: what the plot shows, for screen readers.
        most: the value of a full bar, where that is more than the largest.
        form: writes a value that has no text of its own.
        width: in px.
    """
    kept = [b for b in bars if is_finite(b.value) and b.value >= 0]
    lost = len(bars) - len(kept)
    if not kept:
        return empty(width, title, "Nothing to show.")
    shown = [b.shown or form(b.value) for b in kept]
    wide = width >= 500
    right = min(max(text_width(s) for s in shown) + 14, width * 0.5)
    left = min(max(text_width(b.label) for b in kept) + 16, width * 0.34) if wide else 0.0
    full = max(most, max(b.value for b in kept)) or 1.0
    room = width - left - right
    parts, y = [], 4.0
    for bar, number in zip(kept, shown, strict=True):
        inner = [label(0, y + 14, bar.label, room=(left if wide else width) - 12)]
        y += 0 if wide else 20
        inner.append(rect(left, y + 3, room, 14, "rest"))
        inner.append(rect(left, y + 3, max(bar.value / full * room, 1 if bar.value else 0), 14, _tone(bar)))
        inner.append(label(width, y + 14, number, class_="t end", room=right))
        parts.append(tag("g", tag("title", f"{bar.label}: {number}"), *inner))
        y += 26
    if lost:
        parts.append(label(width, y + 14, f"{lost} not finite, left out", class_="s bad end"))
        y += 22
    told = "; ".join(f"{b.label}: {s}" for b, s in zip(kept, shown, strict=True))
    return drawing(width, y, title, told, parts)


def _tone(bar: Bar) -> str:
    return "bar off" if bar.off else "bar"
