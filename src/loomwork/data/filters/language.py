"""Rule: texts in other languages."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from annotated_types import MinLen

from loomwork.core.dataset import Dataset
from loomwork.core.ranges import Share
from loomwork.data._languages import identifier

if TYPE_CHECKING:
    import polars as pl

USES = ("numba", "numpy", "py3langid")


def language(
    data: Dataset,
    *,
    column: str,
    keep: Annotated[list[str], MinLen(1)],
    min_score: Share = 0.0,
    among: list[str] = [],  # noqa: B006
) -> Callable[[pl.DataFrame], pl.Series]:
    """Texts whose language is not one of some: {language: {keep: [en, de], min_score: 0.5}}.

    The language is found as `data.language` finds it. Where that step has run before, an `expression` on its column is
    cheaper: {expression: {keep: "language = 'en'"}}.

    Args:
        data: rows with a text column.
        column: the text column.
        keep: ISO 639 codes of the languages that are kept.
        min_score: how sure the language must be, from 0 to 1.
        among: the languages to choose from, where it is known that there are no others; by default all of the model.

    Raises:
        InputError: the model does not know a language.
    """
    import polars as pl

    identify = identifier("the filter rule language", [*among, *(keep if among else [])], 0.0)
    identifier("the filter rule language", keep, min_score)  # both are checked
    name, score = pl.col("language"), pl.col("score")
    verdict = (
        pl.when(~name.is_in(keep))
        .then(pl.format("other language: {} {}", name, score))
        .when(score < min_score)
        .then(pl.format("unsure: {} {}", name, score))
        .otherwise(pl.lit(""))
    )
    return lambda rows: identify(rows[column]).select(reason=verdict).to_series()
