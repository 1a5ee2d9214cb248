"""The search page: made here, works without JavaScript, loads nothing."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from loomwork.report.svg import figure_style
from loomwork.serve.answer import SOURCES, TITLES, first_column
from loomwork.serve.pinned import Pinned

if TYPE_CHECKING:
    from loomwork.index.search import Hit

SHOWN_CHARACTERS = 450  # of a passage
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Passage:
    """A hit as the page shows it."""

    title: str
    source: str
    paragraphs: list[Markup]
    score: str
    row_id: str


def render(pinned: Pinned, query: str, hits: Sequence[Hit] | None, k: int, problem: str = "") -> str:
    """The page.

    Args:
        hits: None before a question was asked.
        problem: said instead of hits.
    """
    passages = [_passage(hit, query) for hit in hits or ()]
    template = _templates().get_template("search.html")
    index = pinned.answers.index.id if pinned.answers else ""
    return template.render(
        name=pinned.name, query=query, passages=passages, asked=hits is not None, k=k, problem=problem, index=index,
        by_words=bool(pinned.answers and pinned.answers.encoder is None), remarks=pinned.remarks,
        model=pinned.answers.model.id if pinned.answers and pinned.answers.model else "", style=Markup(style()),  # noqa: S704
    )  # fmt: skip


def policy() -> str:
    """The page's content security policy: its own style sheet and nothing else."""
    mark = base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{mark}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"


@cache
def style() -> str:
    return figure_style() + (_HERE / "search.css").read_text(encoding="utf-8")


def _passage(hit: Hit, query: str) -> Passage:
    title = first_column(hit, TITLES)
    return Passage(title, first_column(hit, SOURCES), _paragraphs(hit.text, query), f"{hit.score:.2f}", hit.row_id)


def _paragraphs(text: str, query: str) -> list[Markup]:
    """The beginning of a passage."""
    shown = text.strip()
    if len(shown) > SHOWN_CHARACTERS:
        shown = shown[:SHOWN_CHARACTERS].rsplit(None, 1)[0] + " …"
    return [marked(paragraph, query) for paragraph in re.split(r"\n\s*\n", shown)]


def marked(shown: str, query: str) -> Markup:
    """A text, escaped, with the words of the question marked."""
    words = {re.escape(word) for word in re.findall(r"\w+", query) if len(word) > 2}
    if not words:
        return escape(shown)
    pieces = re.split(rf"\b({'|'.join(sorted(words))})\b", shown, flags=re.IGNORECASE)
    mark = Markup("<mark>{}</mark>")
    return Markup("").join(mark.format(piece) if i % 2 else escape(piece) for i, piece in enumerate(pieces))


@cache
def _templates() -> Environment:
    return Environment(loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
                       lstrip_blocks=True)  # fmt: skip
