"""Small SVG builder: escaped elements, text that is measured and clipped."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from pathlib import Path

WIDE = 720  # width in px that a figure is drawn at for a desk
NARROW = 352  # and for a phone; text keeps its size, the layout changes

_HERE = Path(__file__).parent
# What XML 1.0 cannot hold, and lone surrogates, which UTF-8 cannot.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_THIN = frozenset("iljtfrI.,:;'|!()[]{}`1 ")
_BROAD = frozenset("mwMW@%—…")


class Svg(str):
    """Markup that is already escaped. Only this module makes it; every other string is escaped on the way to a page."""

    __slots__ = ()

    def __html__(self) -> str:
        return str(self)


def printable(text: str) -> str:
    """The text without characters that neither XML nor UTF-8 can hold."""
    return _UNPRINTABLE.sub("\ufffd", text)


def number(value: float) -> str:
    """A coordinate: two decimals at most, no negative zero."""
    short = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if short in ("-0", "") else short


def tag(name: str, *children: str, **attributes: str | float | None) -> Svg:
    """An element. Children that are not Svg are escaped; `class_` is class, `stroke_width` is stroke-width.

    Attributes that are None are left out.
    """
    parts = [name]
    for key, value in attributes.items():
        if value is not None:
            shown = value if isinstance(value, str) else number(value)
            parts.append(f'{key.rstrip("_").replace("_", "-")}="{escape(printable(shown))}"')
    inside = "".join(c if isinstance(c, Svg) else escape(printable(c), quote=False) for c in children)
    head = " ".join(parts)
    return Svg(f"<{head}>{inside}</{name}>" if inside else f"<{head}/>")


def label(
    x: float,
    y: float,
    text: str,
    *,
    class_: str = "t",
    anchor: str = "start",
    room: float | None = None,
    size: float = 13,
) -> Svg:
    """Text at a baseline; clipped to `room` px, with the whole text as its tooltip when it was clipped."""
    shown = text if room is None else clip(text, room, size)
    full = [tag("title", text)] if shown != text else []
    align = None if anchor == "start" else anchor
    return tag("text", shown, *full, x=x, y=y, class_=class_, text_anchor=align)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Svg:
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def rect(x: float, y: float, width: float, height: float, class_: str, radius: float | None = None) -> Svg:
    return tag("rect", x=x, y=y, width=max(width, 0.0), height=max(height, 0.0), rx=radius, class_=class_)


def path(points: Iterable[tuple[float, float]], class_: str) -> Svg:
    """A line through the points."""
    return tag("path", d="M" + "L".join(f"{number(x)} {number(y)}" for x, y in points), class_=class_)


def drawing(width: float, height: float, title: str, description: str, children: Iterable[Svg]) -> Svg:
    """A whole picture, with the title and description that a screen reader speaks."""
    return tag(
        "svg",
        tag("title", title or "Figure"),
        tag("desc", description),
        *children,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {number(width)} {number(height)}",
        width=width,
        height=height,
        role="img",
        class_="figure",
    )


def empty(width: float, title: str, reason: str) -> Svg:
    """The picture of no data: it says so."""
    return drawing(width, 48, title, reason, [label(0, 28, reason, class_="t soft", room=width)])


def width_of(svg: Svg) -> int:
    """Width of a whole picture in px."""
    found = re.search(r' width="(\d+)', svg)
    return int(found[1]) if found else WIDE


def standalone(svg: Svg) -> str:
    """The picture as a file of its own: with its colours, light and dark."""
    style = f"<style>{figure_style()}</style>"
    at = svg.index(">") + 1
    return svg[:at] + style + svg[at:] + "\n"


def figure_style() -> str:
    """The style sheet that every figure needs; a page holds it once."""
    return (_HERE / "figure.css").read_text(encoding="utf-8")


def text_width(text: str, size: float = 13) -> float:
    """How wide a text will be in px, estimated for a common sans-serif (the reader's font is not known here)."""
    return size * sum(_em(c) for c in text)


def _em(char: str) -> float:
    if char in _THIN:
        return 0.31
    if char in _BROAD:
        return 0.9
    if char >= "\u1100":  # Hangul, CJK, symbols and pictures: a full square
        return 1.02
    return 0.66 if char.isupper() else 0.56


def clip(text: str, room: float, size: float = 13) -> str:
    """The text, shortened at its end to fit `room` px."""
    text = " ".join(text.split())
    if text_width(text, size) <= room:
        return text
    left = room - size * _em("…")
    for at, char in enumerate(text):
        left -= size * _em(char)
        if left < 0:
            return text[:at].rstrip() + "…"
    return text
