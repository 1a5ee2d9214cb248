"""A page: sections of blocks, made into one HTML file that needs nothing else.

    page = Page("docs-search", kicker="Run report", sections=[
        Section("Scores", "The tuned encoder leads.", [Table([Column("system"), Column("MRR@10", "number")], rows)]),
    ])
    path.write_text(render(page), encoding="utf-8")

All text is escaped; only pictures (Svg) are taken as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from loomwork.report.svg import NARROW, WIDE, Svg, figure_style, printable, width_of

_HERE = Path(__file__).parent
Verdict = Literal["good", "bad", "open"]


@dataclass(frozen=True)
class Paragraph:
    text: str
    block: ClassVar[str] = "paragraph"


@dataclass(frozen=True)
class KeyFigure:
    """One large number.

    Args:
        label: what it is.
        value: the number, with its unit.
        before: what it was, where there is a before.
        note: its interval, n, or what it is compared with.
    """

    label: str
    value: str
    before: str = ""
    note: str = ""


@dataclass(frozen=True)
class KeyFigures:
    figures: Sequence[KeyFigure]
    block: ClassVar[str] = "key_figures"


@dataclass(frozen=True)
class Column:
    """A column of a table. `kind`: "text", "number" (to the right, tabular figures), "code" (an id)."""

    title: str
    kind: Literal["text", "number", "code"] = "text"


@dataclass(frozen=True)
class Cell:
    """A cell with more than its text: a second, quiet line; the whole text where a short one is shown; a verdict."""

    text: str
    note: str = ""
    full: str = ""
    verdict: Verdict | None = None


@dataclass(frozen=True)
class Row:
    """A row; its first cell is its header. `strong` marks the one that matters."""

    cells: Sequence[Cell | str]
    strong: bool = False


@dataclass(frozen=True)
class Table:
    columns: Sequence[Column]
    rows: Sequence[Row]
    caption: str
    note: str = ""
    block: ClassVar[str] = "table"


@dataclass(frozen=True)
class Figure:
    """A picture.

    Args:
        wide: for a desk.
        narrow: for a phone; None where the wide one serves for both.
        caption: below it.
        natural: the wide one keeps its own width, takes the whole page, and scrolls where that is not enough.
    """

    wide: Svg
    narrow: Svg | None = None
    caption: str = ""
    natural: bool = False
    block: ClassVar[str] = "figure"

    @classmethod
    def of(cls, draw: Callable[[int], Svg], caption: str = "") -> Figure:
        """The picture that `draw(width in px)` makes, in both widths."""
        return cls(draw(WIDE), draw(NARROW), caption)

    @property
    def width(self) -> int:
        """Of the wide picture, in px."""
        return width_of(self.wide)


@dataclass(frozen=True)
class Terminal:
    """Commands to copy, each with what it does."""

    commands: Sequence[tuple[str, str]]
    block: ClassVar[str] = "terminal"


@dataclass(frozen=True)
class Ruled:
    """What was decided, in one word, with the reason and the numbers behind it."""

    subject: str
    word: str
    verdict: Verdict
    reason: str
    facts: Sequence[tuple[str, str]] = ()
    block: ClassVar[str] = "ruled"


@dataclass(frozen=True)
class Ranked:
    """A ranked list; `right` is the position of the right answer (from 0), None where it is not in the list."""

    title: str
    items: Sequence[str]
    right: int | None = None
    note: str = ""


@dataclass(frozen=True)
class Compared:
    """One question and the ranked lists that two systems gave."""

    question: str
    left: Ranked
    right: Ranked
    answer: str = ""
    block: ClassVar[str] = "compared"


@dataclass(frozen=True)
class Details:
    """Blocks that open on demand."""

    summary: str
    blocks: Sequence[Block]
    block: ClassVar[str] = "details"


Block = Paragraph | KeyFigures | Table | Figure | Terminal | Ruled | Compared | Details


@dataclass(frozen=True)
class Section:
    """A part of the page: title, a sentence that says what to see, and the blocks that show it."""

    title: str
    lead: str = ""
    blocks: Sequence[Block] = ()

    @property
    def anchor(self) -> str:
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-") or "section"


@dataclass(frozen=True)
class Page:
    """A whole page.

    Args:
        title: the subject.
        sections: in reading order; those without blocks and lead are left out.
        kicker: what kind of page it is, small above the title.
        lead: the one sentence to remember.
        lead_verdict: colours that sentence's mark.
        blocks: what stands before the first section.
        facts: (label, value) pairs in a quiet line: when, where, how long.
        footer: last line.
    """

    title: str
    sections: Sequence[Section] = ()
    kicker: str = ""
    lead: str = ""
    lead_verdict: Verdict | None = None
    blocks: Sequence[Block] = ()
    facts: Sequence[tuple[str, str]] = ()
    footer: str = ""
    language: str = field(default="en", kw_only=True)


def render(page: Page) -> str:
    """The page as one HTML document without references to anything outside of it."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    environment.globals["cell"] = lambda value: value if isinstance(value, Cell) else Cell(value)
    shown = [s for s in page.sections if s.blocks or s.lead]
    style = Svg(figure_style() + (_HERE / "page.css").read_text(encoding="utf-8"))
    return environment.get_template("page.html").render(page=page, sections=shown, style=style).lstrip()
