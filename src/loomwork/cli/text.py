"""How things are written for people: aligned columns, sizes, times, and colour where a terminal wants it."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import textwrap
import time
from collections.abc import Iterable, Sequence
from typing import IO, Any

import typer

MARKS = {"hit": "=", "ran": "✓", "failed": "✗", "skipped": "–", "stopped": "■"}
COLOURS = {"hit": "dim", "ran": "green", "failed": "red", "skipped": "yellow", "stopped": "yellow"}
WIDEST = 130  # letters in a line of wrapped text
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def has_colour(stream: IO[str] | None = None) -> bool:
    """Whether colour may be written: to a terminal, unless NO_COLOR is set."""
    stream = stream or sys.stdout
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, style: str, stream: IO[str] | None = None) -> str:
    """The text in a style ("bold", "dim", or a colour), or as it is where there is no colour."""
    if not style or not has_colour(stream):
        return text
    if style in ("bold", "dim"):
        return typer.style(text, bold=style == "bold" or None, dim=style == "dim" or None)
    return typer.style(text, fg=style)


def width_of(text: str) -> int:
    return len(_ANSI.sub("", text))


def columns(
    rows: Iterable[Sequence[object]],
    *,
    header: Sequence[str] = (),
    indent: int = 2,
    right: str = "",
    wrap: bool = False,
) -> str:
    """Rows as aligned columns.

    Args:
        rows: cells; what is not text is written with str().
        header: titles, dimmed.
        indent: spaces before each line.
        right: the letters of the columns to be aligned right, counted "a", "b", "c"...
        wrap: break the last column, which must be plain text, at the terminal's width.
    """
    cells = [[str(c) for c in row] for row in rows]
    if header and cells:
        cells.insert(0, [paint(h, "dim") for h in header])
    if not cells:
        return ""
    count = max(map(len, cells))
    widths = [max((width_of(row[i]) for row in cells if i < len(row)), default=0) for i in range(count)]
    flush = {ord(letter) - ord("a") for letter in right}
    lines = []
    for row in _wrapped(cells, widths, indent) if wrap else cells:
        padded = []
        for i, cell in enumerate(row):
            gap = " " * (widths[i] - width_of(cell))
            padded.append(gap + cell if i in flush else cell + gap)
        lines.append((" " * indent + "  ".join(padded)).rstrip())
    return "\n".join(lines)


def _wrapped(cells: list[list[str]], widths: list[int], indent: int) -> list[list[str]]:
    """The rows with their last cells broken into lines, each line a row of its own."""
    taken = indent + sum(w + 2 for w in widths[:-1])
    room = max(40, min(WIDEST, shutil.get_terminal_size((100, 24)).columns) - taken)
    found = []
    for row in cells:
        first, *more = textwrap.wrap(row[-1], room) or [""] if len(row) == len(widths) else [row[-1]]
        found.append([*row[:-1], first])
        found += [[*[""] * (len(widths) - 1), line] for line in more]
    return found


def heading(text: str) -> str:
    return paint(text, "bold")


def size(count: float) -> str:
    """1536 -> "1.5 kB" (powers of 1000, as disks are sold)."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 99.95 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def duration(seconds: float) -> str:
    """0.012 -> "12 ms", 0.41 -> "0.4 s", 130 -> "2 min 10 s"."""
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def ago(moment: float) -> str:
    """How long ago a time stamp is, for people."""
    seconds = max(0.0, time.time() - moment)
    for limit, unit, name in ((90, 1, "s"), (5400, 60, "min"), (129600, 3600, "h"), (float("inf"), 86400, "days")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name} ago"
    return ""


def when(moment: float) -> str:
    """A time stamp in local time: "2026-11-20 14:03:11"."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))


def short(identifier: str) -> str:
    return identifier[:12]


def number(value: float) -> str:
    """A plain number as people read it: 6812 -> "6,812", 0.59312 -> "0.5931"."""
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"


def echo_json(value: Any) -> None:
    """One JSON object on standard output."""
    typer.echo(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, default=str))


def clip(text: str, limit: int = 100) -> str:
    """The first line of a text, cut to a length."""
    line = text.split("\n", 1)[0]
    return line if len(line) <= limit else line[: limit - 1] + "…"
