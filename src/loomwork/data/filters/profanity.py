"""Rule: texts with too many words of a list of profanities."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Lt

from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.step import Files
from loomwork.data.filters._lists import read_list, words_apart

if TYPE_CHECKING:
    import polars as pl


def profanity(
    data: Dataset,
    *,
    column: str,
    file: Annotated[Path | None, Files()] = None,
    words: list[str] = [],  # noqa: B006 (never changed)
    max_share: Annotated[float, Ge(0), Lt(1)] = 0.0,
    min_count: Annotated[int, Ge(1)] = 1,
) -> Callable[[pl.DataFrame], pl.Series]:
    """Texts of whose words too large a share is on a list: {profanity: {file: bad-words.txt, max_share: 0.01}}.

    The list is yours, because what is profane depends on who reads and on what for: lists that others made drop the
    words of dialects, of medicine, and of minorities about themselves. Whole words and phrases are found, in any case;
    what is disguised ("f**k") is not.

    Args:
        data: rows with a text column.
        column: the text column.
        file: the words and phrases, one a line; lines that begin with # are comments.
        words: more of them.
        max_share: the share of a text's words that may be on the list; 0 drops a text for one of them.
        min_count: fewer than so many of them never drop a text.

    Raises:
        InputError: there is no list, or an entry has no letter or digit.

    Source: Raffel et al. (2020), Exploring the limits of transfer learning, 2.2, for any word of a list; Dodge et al.
    (2021), Documenting large webtext corpora, section 5, for what such lists drop.
    """
    import polars as pl

    listed = [*words, *(read_list(file) if file else [])]
    if not listed:
        raise InputError("rule profanity has no list", "give a file with one word or phrase a line, or words")
    spelled = pl.DataFrame({"entry": listed}).select("entry", sought=words_apart(pl.col("entry").str.to_lowercase()))
    for entry in spelled.filter(pl.col("sought").str.strip_chars() == "")["entry"]:
        raise InputError(f"rule profanity: {entry!r} has no letter or digit")
    sought = spelled["sought"].unique(maintain_order=True).to_list()
    folded = words_apart(pl.col(column).cast(pl.String).fill_null("").str.to_lowercase())
    found, count = pl.col("found"), pl.col("count")
    verdict = (
        pl.when((found >= min_count) & (found > count * max_share))
        .then(pl.format("listed words: {} of {}", found, count))
        .otherwise(pl.lit(""))
    )

    def rule(rows: pl.DataFrame) -> pl.Series:
        texts = rows.select(text=folded)
        hits = pl.col("text").str.extract_many(sought, leftmost=True)
        # A phrase counts as many words as it has.
        measured = texts.select(
            found=hits.list.eval(pl.element().str.count_matches("[^ ]+")).list.sum(),
            count=pl.col("text").str.count_matches("[^ ]+"),
        )
        return measured.select(reason=verdict).to_series()

    return rule
