"""Rule: Gopher's signs of text that is not prose."""

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


def gopher_quality(
    data: Dataset,
    *,
    column: str,
    min_words: Count = 50,
    max_words: Count | None = 100_000,
    min_mean_word_length: Annotated[float, Ge(0)] = 3,
    max_mean_word_length: Annotated[float, Ge(0)] | None = 10,
    max_symbol_ratio: Annotated[float, Ge(0)] | None = 0.1,
    max_bullet_lines: Share | None = 0.9,
    max_ellipsis_lines: Share | None = 0.3,
    min_alphabetic_words: Share = 0.8,
    min_stop_words: Count = 2,
    stop_words: list[str] | None = None,
    marks_apart: bool = False,
) -> Callable[[pl.DataFrame], pl.Series]:
    """Texts that are too short or too long, or do not look like English prose, by Gopher's limits.

    A word is a run of characters between white space; words that are only punctuation are left out of the number
    and of the mean length. For other languages give their stop words; languages without spaces need other rules.
    For the same words the verdicts are datatrove's. Its own are spaCy's, where a punctuation mark is a word without
    a letter, so that it drops more: `marks_apart` comes near to that.

    Args:
        data: rows with a text column.
        column: the text column.
        min_words, max_words: how many words.
        min_mean_word_length, max_mean_word_length: in characters.
        max_symbol_ratio: "#" to a word, and "..." or "…" to a word.
        max_bullet_lines: share of lines that begin with a bullet or a dash.
        max_ellipsis_lines: share of lines that end with an ellipsis.
        min_alphabetic_words: share of words with a letter.
        min_stop_words: how many different stop words occur at least.
        stop_words: the, be, to, of, and, that, have, with, if none are given; compared as they are written.
        marks_apart: a punctuation mark is a word of its own.

    Source: Rae et al. (2021), Scaling language models, A1.1.
    """
    need_numba("gopher_quality")
    from loomwork.text.quality import STOP_WORDS, quality
    from loomwork.text.spans import hashes_of, split_words

    stops = hashes_of(list(STOP_WORDS) if stop_words is None else stop_words)

    def limits(texts: np.ndarray, offsets: np.ndarray) -> list[Limit]:
        found = quality(texts, offsets, split_words(texts, offsets, marks_apart=marks_apart), stops)
        return [
            Limit("too few words", found.words, least=min_words),
            Limit("too many words", found.words, most=max_words),
            Limit("short words", found.mean_word_length, least=min_mean_word_length),
            Limit("long words", found.mean_word_length, most=max_mean_word_length),
            Limit("hash signs to a word", found.hash_ratio, most=max_symbol_ratio),
            Limit("ellipses to a word", found.ellipsis_ratio, most=max_symbol_ratio),
            Limit("lines with a bullet", found.bullet_lines, most=max_bullet_lines),
            Limit("lines ending in an ellipsis", found.ellipsis_lines, most=max_ellipsis_lines),
            Limit("few words with a letter", found.alphabetic_words, least=min_alphabetic_words),
            Limit("few stop words", found.stop_words, least=min_stop_words),
        ]

    return lambda rows: broken(in_blocks(rows[column], limits))
