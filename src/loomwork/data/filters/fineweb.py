"""Rule: FineWeb's signs of lists, menus and other text without sentences."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from loomwork.core.dataset import Dataset
from loomwork.core.ranges import Count, Share
from loomwork.data.filters._measured import Limit, broken, in_blocks, need_numba

if TYPE_CHECKING:
    import numpy as np
    import polars as pl


def fineweb(
    data: Dataset,
    *,
    column: str,
    min_terminal_lines: Share = 0.12,
    max_short_lines: Share | None = 0.67,
    short_line_chars: Count = 30,
    max_duplicate_line_chars: Share | None = 0.01,
    max_feeds_per_word: Annotated[float, Ge(0)] | None = 0.3,
    marks_apart: bool = True,
) -> Callable[[pl.DataFrame], pl.Series]:
    """Texts with few lines that end a sentence, many short or repeated lines, or few words in a line.

    The lines are those of datatrove, which made FineWeb; the words are nearly its (spaCy's). Blank lines are left out
    of the shares.

    Args:
        data: rows with a text column.
        column: the text column.
        min_terminal_lines: share of lines that end with a character that ends a sentence.
        max_short_lines: share of lines with at most `short_line_chars` characters.
        short_line_chars: what counts as short.
        max_duplicate_line_chars: share of characters in lines that stood before.
        max_feeds_per_word: line feeds to a word.
        marks_apart: a punctuation mark is a word of its own.

    Source: Penedo et al. (2024), The FineWeb datasets, 3.6.
    """
    need_numba("fineweb")
    from loomwork.text.line_quality import line_quality
    from loomwork.text.spans import split_words

    def limits(texts: np.ndarray, offsets: np.ndarray) -> list[Limit]:
        words = split_words(texts, offsets, marks_apart=marks_apart)
        found = line_quality(texts, offsets, words, short_chars=short_line_chars)
        return [
            Limit("empty text", found.lines, least=1),
            Limit("few lines that end a sentence", found.terminal, least=min_terminal_lines),
            Limit("short lines", found.short, most=max_short_lines),
            Limit("characters in duplicate lines", found.duplicate_chars, most=max_duplicate_line_chars),
            Limit("line feeds to a word", found.feeds, most=max_feeds_per_word),
        ]

    return lambda rows: broken(in_blocks(rows[column], limits))
