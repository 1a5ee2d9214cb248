"""Cleaning of texts: the same characters for the same content, and nothing that is not text.

A column is cleaned by Polars expressions; each pass touches only the rows in which a fast search finds something for
it, so that a text that needs nothing costs the searches alone.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import polars as pl

UnicodeForm = Literal["NFC", "NFKC"]
Spaces = Literal["keep", "single"]

# In Rust's notation, in which a text has no surrogates.
LINE_ENDS = r"\r\n?|[\x0b\x0c\x{85}\x{2028}\x{2029}]"
# C0 and C1 controls but tab and line feed, soft hyphens, word joiners, byte-order marks, interlinear marks and
# non-characters. Joiners and marks of direction stay: Persian, Hindi and emoji are written with them.
CONTROLS = r"[\x00-\x08\x0e-\x1f\x7f-\x{84}\x{86}-\x{9f}\x{ad}\x{2060}\x{feff}\x{fff9}-\x{fffb}\x{fffe}\x{ffff}]"
ZERO_WIDTH_SPACE = r"\x{200b}"
SPACELESS = r"[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"  # they end words with it
ASCII_CONTROLS = r"[\x00-\x08\x0e-\x1f\x7f]"
TRAILING = r"(?m)[^\S\n]+$"
SPACES = r"[^\S\n]+"
UNDERLINE = re.compile(r"([=\-~^*#\"'`+.:_])\1{2,}")
SENTENCE_END = re.compile(r"(?<=[.!?])(?<!\be\.g\.)(?<!\bi\.e\.)\s|(?<=[。！？])|\n\s*\n")


def clean_texts(texts: pl.Series, *, form: UnicodeForm = "NFC", spaces: Spaces = "keep") -> pl.Series:
    """Normalise texts: a Unicode form, one kind of line ending, no control characters, no trailing white space,
    at most one blank line in a row. Cleaning twice changes nothing more.

    Args:
        texts: a column of texts without nulls.
        form: NFC keeps every character's look; NFKC also folds compatibility characters (ligatures, full width).
        spaces: "single" makes every run of spaces and tabs one space, and none where a line begins.
    """
    texts = _where(texts, texts.str.contains(LINE_ENDS), lambda t: t.str.replace_all(LINE_ENDS, "\n"))
    wide = texts.str.len_bytes() != texts.str.len_chars()  # ASCII needs no normal form, and has fewer controls
    texts = _where(texts, ~wide, lambda t: _without(t, ASCII_CONTROLS))
    texts = _where(texts, wide, lambda t: _normalised(_without(_without_zero_width(t), CONTROLS), form))
    if spaces == "single":
        uneven = texts.str.contains(r"[^\S\n ]|  |\n |^ ")
        texts = _where(texts, uneven, lambda t: t.str.replace_all(SPACES, " ").str.replace_all("(?m)^ ", ""))
    texts = _where(texts, texts.str.contains(r"[^\S\n]\n"), lambda t: t.str.replace_all(TRAILING, ""))
    texts = _where(texts, texts.str.contains("\n\n\n", literal=True), lambda t: t.str.replace_all("\n{3,}", "\n\n"))
    ragged = texts.str.tail(1).str.contains(r"\s") | texts.str.starts_with("\n")
    return _where(texts, ragged, lambda t: t.str.strip_chars_end().str.strip_chars_start("\n"))


def clean_text(text: str) -> str:
    """`clean_texts` of one text; lone surrogates, which no column can hold, are removed."""
    import polars as pl

    cleaned: str = clean_texts(pl.Series([text.encode(errors="ignore").decode()], dtype=pl.String))[0]
    return cleaned


def _where(texts: pl.Series, rows: pl.Series, change: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """The texts with some rows changed."""
    if rows.all():
        return change(texts)
    if not rows.any():
        return texts
    places = rows.arg_true()
    before = texts.gather(places)
    after = change(before)
    return texts if after is before else texts.clone().scatter(places, after)  # scatter changes a series in place


def _without(texts: pl.Series, pattern: str) -> pl.Series:
    return _where(texts, texts.str.contains(pattern), lambda t: t.str.replace_all(pattern, ""))


def _without_zero_width(texts: pl.Series) -> pl.Series:
    rows = texts.str.contains(ZERO_WIDTH_SPACE) & ~texts.str.contains(SPACELESS)
    return _where(texts, rows, lambda t: _without(t, ZERO_WIDTH_SPACE))


def _normalised(texts: pl.Series, form: UnicodeForm) -> pl.Series:
    import polars as pl

    is_normalized, normalize = unicodedata.is_normalized, unicodedata.normalize
    given = texts.to_list()
    rows = [i for i, text in enumerate(given) if not is_normalized(form, text)]
    if not rows:
        return texts
    return texts.clone().scatter(rows, pl.Series([normalize(form, given[i]) for i in rows], dtype=pl.String))


def fold(text: str) -> str:
    """Every run of white space becomes one space; none at the ends."""
    return " ".join(text.split())


def split_heading(text: str) -> tuple[str, str]:
    """A first line that is underlined (reStructuredText, Markdown), and the text after it.

    Returns: (heading, body); the heading is "" where there is none.
    """
    lines = text.split("\n", 2)
    if len(lines) > 1 and lines[0].strip() and UNDERLINE.fullmatch(lines[1].strip()):
        return lines[0].strip(), lines[2].strip() if len(lines) > 2 else ""
    return "", text


def first_sentence(text: str) -> tuple[str, str]:
    """A text's first sentence and the rest, each with its white space folded.

    A sentence ends at a full stop, question or exclamation mark before white space, or at a blank line.
    """
    pieces = SENTENCE_END.split(text.strip(), maxsplit=1)
    return fold(pieces[0]), fold(pieces[1]) if len(pieces) > 1 else ""
