"""Rule: C4's signs of pages that are not text."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge
from pydantic import Field

from loomwork.core.dataset import Dataset
from loomwork.core.ranges import Count

if TYPE_CHECKING:
    import polars as pl

POLICY = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
CITATION = r"\[\d*\]|\[edit\]|\[citation needed\]"
SENTENCE_END = r"[.!?。！？]+[\"'”’»)\]]*(?:\s|$)"


def c4(
    data: Dataset,
    *,
    column: str,
    min_sentences: Count = 5,
    min_words_per_line: Count = 3,
    max_word_length: Annotated[int, Ge(1)] | None = 1000,
    end_marks: Annotated[str, Field(min_length=1)] = ".?!\"'",
    lorem_ipsum: bool = True,
    curly_bracket: bool = True,
    javascript: bool = True,
    policy: bool = True,
) -> Callable[[pl.DataFrame], pl.Series]:
    """Texts with "lorem ipsum" or a curly bracket, or with too few sentences in their good lines, as C4 was filtered.

    A line is good if it ends in an end mark and not in "...", has enough words, none of them too long, and does not
    speak of JavaScript or of cookies and terms of use. Only good lines are searched for lorem ipsum and brackets.
    This rule keeps or drops whole texts: C4 also left out the lines that are not good, which a filter cannot do.
    A sentence ends at one or more of ".!?。！？" (and closing quotes or brackets) before white space.

    Args:
        data: rows with a text column.
        column: the text column.
        min_sentences: how many sentences the good lines have at least.
        min_words_per_line: words between white space, of a good line.
        max_word_length: characters of the longest word of a good line.
        end_marks: what a good line ends in, each character one mark.
        lorem_ipsum, curly_bracket: drop a text with a good line that has one.
        javascript, policy: lines that speak of it are not good.

    Source: Raffel et al. (2020), Exploring the limits of transfer learning, 2.2, with the details of its code
    (tensorflow_datasets c4_utils.py) and of datatrove's, which adds "'" to the end marks.
    """
    import polars as pl

    line, lower = pl.col("line"), pl.col("line").str.to_lowercase()
    ends = pl.any_horizontal([line.str.ends_with(mark) for mark in end_marks]) & ~line.str.ends_with("...")
    unsaid = ~pl.col("lower").str.contains("javascript", literal=True) if javascript else pl.lit(True)
    allowed = ~pl.col("lower").str.contains_any(list(POLICY)) if policy else pl.lit(True)
    sentences = pl.max_horizontal(line.str.count_matches(SENTENCE_END), 1)
    found = [
        (pl.col("lower").str.contains("lorem ipsum", literal=True) & lorem_ipsum).any().alias("lorem"),
        (unsaid & line.str.contains("{", literal=True) & curly_bracket).any().alias("bracket"),
        pl.when(unsaid & allowed).then(sentences).otherwise(0).sum().alias("sentences"),
    ]
    reason = (
        pl.when("lorem")
        .then(pl.lit("lorem ipsum"))
        .when("bracket")
        .then(pl.lit("curly bracket"))
        .when(pl.col("sentences").fill_null(0) < min_sentences)
        .then(pl.format("too few sentences: {}", pl.col("sentences").fill_null(0)))
        .otherwise(pl.lit(""))
    )

    def rule(rows: pl.DataFrame) -> pl.Series:
        texts = rows.select(line=pl.col(column).fill_null("")).with_row_index("row")
        lines = texts.with_columns(line.str.split("\n")).explode("line").with_columns(line.str.strip_chars())
        lines = lines.filter(line.str.contains(rf"(?:\S+\s+){{{min_words_per_line - 1}}}\S") | (min_words_per_line < 1))
        if max_word_length is not None:
            lines = pl.concat(
                [lines.filter(line.str.len_chars() <= max_word_length), _of_words(lines, max_word_length)]
            )
        good = lines.with_columns(line.str.replace_all(CITATION, "")).filter(ends).with_columns(lower=lower)
        by_text = good.group_by("row").agg(found)
        return texts.join(by_text, on="row", how="left", maintain_order="left").select(reason=reason).to_series()

    return rule


def _of_words(lines: pl.DataFrame, longest: int) -> pl.DataFrame:
    """The lines with more than `longest` characters whose words are not longer. They are few."""
    import polars as pl

    line = pl.col("line")
    words = line.str.extract_all(r"\S+").list.eval(pl.element().str.len_chars())
    return lines.filter(line.str.len_chars() > longest).filter(words.list.max() <= longest)
