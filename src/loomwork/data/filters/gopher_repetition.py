"""Rule: Gopher's signs of repetitive text."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Le

from loomwork.core.dataset import Dataset
from loomwork.core.ranges import Count, Share
from loomwork.data.filters._measured import Limit, broken, in_blocks, need_numba

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

Length = Annotated[int, Ge(1), Le(100)]
TOP: dict[int, float] = {2: 0.2, 3: 0.18, 4: 0.16}
DUPLICATE: dict[int, float] = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}


def gopher_repetition(
    data: Dataset,
    *,
    column: str,
    max_paragraphs: Share | None = 0.3,
    max_paragraph_chars: Share | None = 0.2,
    max_lines: Share | None = 0.3,
    max_line_chars: Share | None = 0.2,
    max_top_ngrams: dict[Length, Share] = TOP,
    max_duplicate_ngrams: dict[Length, Share] = DUPLICATE,
    marks_apart: bool = False,
    min_words: Count = 0,
) -> Callable[[pl.DataFrame], pl.Series]:
    """Texts in which lines, paragraphs or runs of words stand again and again, by Gopher's limits; empty texts too.

    A word is a run of characters between white space. A piece is a duplicate when the same one stood before it in
    the text. For the same words the verdicts are datatrove's, but that line feeds before the first and after the last
    line make no empty lines here, and that an n-gram is a sequence of words (in datatrove "ab c" and "a bc" are the
    same).

    Args:
        data: rows with a text column.
        column: the text column.
        max_paragraphs, max_lines: the share of duplicates.
        max_paragraph_chars, max_line_chars: the share of characters in duplicates.
        max_top_ngrams: by n, the share of characters in the most frequent run of n words.
        max_duplicate_ngrams: by n, the share of characters in runs of n words that stood before.
        marks_apart: a punctuation mark is a word of its own, nearly as in datatrove's words.
        min_words: texts of fewer words pass, empty ones apart: in a short text a run of words that stands once is a
            large share of it. Gopher kept none below 50; datatrove looks at all.

    Source: Rae et al. (2021), Scaling language models, table A1.
    """
    need_numba("gopher_repetition")
    from loomwork.text.repetition import repetition
    from loomwork.text.spans import split_words

    def limits(texts: np.ndarray, offsets: np.ndarray) -> list[Limit]:
        import numpy as np

        top, duplicate = sorted(max_top_ngrams), sorted(max_duplicate_ngrams)
        words = split_words(texts, offsets, marks_apart=marks_apart)
        found = repetition(texts, offsets, words, top=top, duplicate=duplicate)
        long = np.diff(words.rows) >= min_words
        every = [found.paragraphs, found.paragraph_chars, found.lines, found.line_chars, *found.top.values()]
        for share in (*every, *found.duplicate.values()):
            share[~long] = 0
        return [
            Limit("empty text", np.diff(offsets), least=1),
            Limit("duplicate paragraphs", found.paragraphs, most=max_paragraphs),
            Limit("characters in duplicate paragraphs", found.paragraph_chars, most=max_paragraph_chars),
            Limit("duplicate lines", found.lines, most=max_lines),
            Limit("characters in duplicate lines", found.line_chars, most=max_line_chars),
            *(Limit(f"characters in the top {n}-gram", found.top[n], most=max_top_ngrams[n]) for n in top),
            *(
                Limit(f"characters in duplicate {n}-grams", found.duplicate[n], most=max_duplicate_ngrams[n])
                for n in duplicate
            ),
        ]

    return lambda rows: broken(in_blocks(rows[column], limits))
