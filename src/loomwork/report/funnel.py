"""Funnels: how many rows each step kept, and how many it dropped for which reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from loomwork.report.numbers import plain
from loomwork.report.svg import WIDE, Svg, drawing, empty, label, rect, tag, text_width


@dataclass(frozen=True)
class Stage:
    """One bar.

    Args:
        label: the step.
        kept: rows that came out.
        dropped: rows left out, by reason.
    """

    label: str
    kept: int
    dropped: Mapping[str, int] = field(default_factory=dict)

    @property
    def lost(self) -> int:
        return sum(self.dropped.values())


def funnel(stages: Sequence[Stage], *, title: str, unit: str = "rows", width: int = WIDE) -> Svg:
    """A bar per stage, all to one scale: what it kept, then what it dropped, reasons in words below.

    Args:
        stages: in the order of the work.
        title: what the plot shows, for screen readers.
        unit: what is counted.
        width: in px.
    """
    if not stages:
        return empty(width, title, "No step read or dropped anything.")
    wide = width >= 500
    shown = [plain(s.kept) for s in stages]
    right = max(text_width(n) for n in shown) + 14
    left = min(max(text_width(s.label) for s in stages) + 20, width * 0.28) if wide else 0.0
    most = max(max(s.kept + s.lost for s in stages), 1)
    per_row = (width - left - right) / most
    parts, y = [], 4.0
    for stage, kept in zip(stages, shown, strict=True):
        if not wide:
            parts.append(label(0, y + 14, stage.label, room=width))
            y += 20
        parts.append(_bar(stage, kept, left, y, per_row, width, wide, unit))
        y += 44 if stage.dropped else 30
    told = "; ".join(f"{s.label}: {plain(s.kept)} {unit} kept, {_reasons(s) or 'none dropped'}" for s in stages)
    return drawing(width, y, title, told, parts)


def _reasons(stage: Stage) -> str:
    ordered = sorted(stage.dropped.items(), key=lambda item: (-item[1], item[0]))
    return " · ".join(f"{plain(n)} {reason}" for reason, n in ordered if n)


def _bar(stage: Stage, kept: str, left: float, y: float, per_row: float, width: float, wide: bool, unit: str) -> Svg:
    parts = [label(0, y + 14, stage.label, room=left - 16)] if wide else []
    x = left + stage.kept * per_row
    parts.append(rect(left, y + 3, stage.kept * per_row, 14, "kept"))
    for i, (reason, n) in enumerate(sorted(stage.dropped.items(), key=lambda item: (-item[1], item[0]))):
        if n:
            piece = rect(x + 1, y + 3, max(n * per_row - 1, 1), 14, "lost" if i % 2 == 0 else "lost b")
            parts.append(tag("g", tag("title", f"{plain(n)} {unit} dropped: {reason}"), piece))
            x += n * per_row
    parts.append(label(width, y + 14, kept, class_="t end"))
    if stage.dropped:
        words = f"dropped: {_reasons(stage)}" if _reasons(stage) else "none dropped"
        parts.append(label(left, y + 32, words, class_="s", room=width - left, size=12))
    return tag("g", *parts)
