"""Rule: texts with words or phrases of a list."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.ranges import Count
from loomwork.core.step import Files
from loomwork.data.filters._lists import read_list, words_apart

if TYPE_CHECKING:
    import polars as pl


def terms(
    data: Dataset,
    *,
    column: str,
    drop: list[str] = [],  # noqa: B006 (never changed)
    file: Annotated[Path | None, Files()] = None,
    max_count: Count = 0,
    ignore_case: bool = True,
    whole_words: bool = True,
) -> Callable[[pl.DataFrame], pl.Series]:
    """Texts that hold more than `max_count` words or phrases of a list: {terms: {drop: [acme, project x]}}.

    Args:
        data: rows with a text column.
        column: the text column.
        drop: the words and phrases.
        file: more of them, one a line; lines that begin with # are comments.
        max_count: how many may occur, counting each time.
        ignore_case: upper and lower case are the same.
        whole_words: "ass" is not found in "class"; what stands between words does not matter ("project-x" is found).
            Set it to false for languages without spaces between words.

    Raises:
        InputError: the list is empty, or an entry has no letter or digit where whole words are sought.
    """
    import polars as pl

    listed = [*drop, *(read_list(file) if file else [])]

    def folded(texts: pl.Expr) -> pl.Expr:
        texts = texts.str.to_lowercase() if ignore_case else texts
        return words_apart(texts) if whole_words else texts

    spelled = pl.DataFrame({"term": listed}, schema={"term": pl.String}).select("term", sought=folded(pl.col("term")))
    empty = spelled.filter(pl.col("sought").str.strip_chars() == "")["term"].to_list()
    if not listed or empty:
        what = f"rule terms: {empty[0]!r} has no letter or digit" if empty else "rule terms has no words to look for"
        raise InputError(what, "set whole_words: false" if empty else "for example {terms: {drop: [acme]}}")
    sought = spelled["sought"].unique(maintain_order=True)
    found = folded(pl.col(column).fill_null("")).str.extract_many(sought.to_list(), leftmost=True)
    reason = (
        pl.when(pl.col("found").list.len() > max_count)
        .then(pl.format("listed term: {}", pl.col("found").list.first().str.strip_chars().str.replace_all("  ", " ")))
        .otherwise(pl.lit(""))
    )
    return lambda rows: rows.select(found=found).select(reason=reason).to_series()
