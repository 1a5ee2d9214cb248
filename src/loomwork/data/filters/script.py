"""Rule: texts written in other scripts than wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator

from loomwork.core.dataset import Dataset
from loomwork.core.ranges import Share

if TYPE_CHECKING:
    import polars as pl


def _checked(names: list[str]) -> list[str]:
    import polars as pl

    if not names:
        raise ValueError("name at least one script, as in [Latin]")
    for name in names:
        try:
            pl.Series([""]).str.contains(rf"\p{{Script={name}}}")
        except pl.exceptions.PolarsError:
            raise ValueError(f"Unicode knows no script {name!r}; write its name as in Latin, Cyrillic, Han") from None
    return names


def script(
    data: Dataset, *, column: str, keep: Annotated[list[str], AfterValidator(_checked)], min_share: Share = 0.5
) -> Callable[[pl.DataFrame], pl.Series]:
    """Texts of whose letters too few belong to the wanted scripts: {script: {keep: [Latin], min_share: 0.9}}.

    Marks that are joined to a letter, digits and punctuation are not counted. A text without letters is dropped.

    Args:
        data: rows with a text column.
        column: the text column.
        keep: Unicode names of scripts. Japanese is [Han, Hiragana, Katakana].
        min_share: the share of letters that belong to one of them.

    Source: Unicode Standard Annex 24, the property Script.
    """
    import polars as pl

    text = pl.col(column).fill_null("")
    letters = text.str.replace_all(r"\P{L}+", "").str.len_chars()
    wanted = "".join(rf"\p{{Script={name}}}" for name in keep)
    ours = text.str.replace_all(rf"[^{wanted}&&\p{{L}}]+", "").str.len_chars()
    reason = (
        pl.when(letters == 0)
        .then(pl.lit("no letters"))
        .when(ours < min_share * letters)
        .then(pl.format("few letters of the script: {}", (ours / letters).round(3)))
        .otherwise(pl.lit(""))
    )
    return lambda rows: rows.select(reason=reason).to_series()
