"""Rule: texts that are too short or too long."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.ranges import Count

if TYPE_CHECKING:
    import polars as pl

UNITS = {"characters": "chars", "words": "words", "lines": "lines"}  # as reasons say them: as settings name them


def length(
    data: Dataset,
    *,
    column: str,
    min_chars: Count = 0,
    max_chars: Count | None = None,
    min_words: Count = 0,
    max_words: Count | None = None,
    min_lines: Count = 0,
    max_lines: Count | None = None,
) -> Callable[[pl.DataFrame], pl.Series]:
    """Texts outside a range of characters, of words between white space, or of lines that are not blank.

    Args:
        data: rows with a text column.
        column: the text column.
        min_chars, max_chars: Unicode characters; white space counts.
        min_words, max_words: runs of characters without white space.
        min_lines, max_lines: lines with anything but white space.
    """
    import polars as pl

    text = pl.col(column).fill_null("")
    measures = {
        "characters": (text.str.len_chars(), min_chars, max_chars),
        "words": (text.str.count_matches(r"\S+"), min_words, max_words),
        "lines": (text.str.count_matches(r"(?m)^.*\S"), min_lines, max_lines),
    }
    verdict = pl.lit("")
    for unit, (measure, least, most) in reversed(measures.items()):
        if most is not None and most < least:
            name = UNITS[unit]
            raise InputError(f"rule length: max_{name} {most} is below min_{name} {least}", "no text would be kept")
        if most is not None:
            told = pl.format("too many {}: {}", pl.lit(unit), measure)
            verdict = pl.when(measure > most).then(told).otherwise(verdict)
        if least > 0:
            told = pl.format("too few {}: {}", pl.lit(unit), measure)
            verdict = pl.when(measure < least).then(told).otherwise(verdict)
    if not any(least > 0 or most is not None for _, least, most in measures.values()):
        raise InputError("rule length has no limit", "for example {length: {min_words: 50}}")
    return lambda rows: rows.select(verdict.alias("reason")).to_series()
