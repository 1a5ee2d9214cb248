"""Lists in files, one entry a line, and texts in which their entries are looked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from loomwork.core.errors import InputError

if TYPE_CHECKING:
    import polars as pl


def read_list(path: Path) -> list[str]:
    """The entries of a list: its lines without the white space around them, blank lines and # comments left out.

    Raises:
        InputError: it is not UTF-8 text, or has no entries.
    """
    try:
        lines = path.read_text("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from None
    found = [entry for line in lines if (entry := line.strip()) and not entry.startswith("#")]
    if not found:
        raise InputError(f"{path} has no entries", "one a line; lines that begin with # are comments")
    return found


def words_apart(texts: pl.Expr) -> pl.Expr:
    """The words of texts, two spaces between them and one at each end: so the words of two neighbours share no space,
    and an entry that is spelled the same way is found as whole words, whatever stands between them.
    """
    words = texts.str.replace_all(r"[^\p{L}\p{M}\p{N}]+", " ").str.strip_chars(" ").str.replace_all(" ", "  ")
    return " " + words + " "
