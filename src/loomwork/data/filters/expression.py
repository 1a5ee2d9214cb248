"""Rule: any condition on the columns of a row."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator

from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError, did_you_mean

if TYPE_CHECKING:
    import polars as pl

# Nodes of an expression whose value depends on other rows: the verdict would depend on how rows lie in shards.
ACROSS_ROWS = {"Agg", "Over", "Window", "Len", "Rank", "IntRange", "Quantile", "Correlation", "Shift", "Explode"}
VALUES = ("Column", "Scalar")  # below these stand the user's words
QUOTED = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"")
CLOCK = re.compile(r"\b(?:now|current_date|current_time|current_timestamp|localtime|localtimestamp)\b", re.IGNORECASE)


def parsed(sql: str) -> pl.Expr:
    """The Polars expression of an SQL condition.

    Raises:
        ValueError: it is no SQL expression, or depends on more than its row.
    """
    import polars as pl

    try:
        found = pl.sql_expr(sql)
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"it is not an SQL condition: {error}") from None
    nodes = set(_nodes(json.loads(found.meta.serialize(format="json"))))
    if "Alias" in nodes:  # "detected INN ('en')" is read as a column with a new name
        raise ValueError("it has a word too many, or a misspelt operator: a condition is true or false")
    across = sorted(ACROSS_ROWS & nodes)
    if across:
        raise ValueError(f"it looks at more than one row ({', '.join(across)}); a condition sees one row at a time")
    if CLOCK.search(QUOTED.sub("", sql)):
        raise ValueError("it asks the clock, so the same rows would not always give the same result; write the date")
    return found


def _nodes(tree: Any) -> Iterator[str]:
    """The names of the nodes of a serialised expression."""
    if isinstance(tree, dict):
        for name, inner in tree.items():
            yield name
            if name not in VALUES:
                yield from _nodes(inner)
    elif isinstance(tree, list):
        for inner in tree:
            yield from _nodes(inner)
    elif isinstance(tree, str):
        yield tree


def _checked(sql: str) -> str:
    parsed(sql)
    return sql


def expression(
    data: Dataset, *, column: str, keep: Annotated[str, AfterValidator(_checked)]
) -> Callable[[pl.DataFrame], pl.Series]:
    """Rows for which an SQL condition does not hold: {expression: {keep: "language = 'en' AND n > 3"}}.

    It is Polars' SQL, on all columns of the row; nothing in it is run as Python. A row for which it is null (a
    column is) is dropped too.

    Args:
        data: any rows.
        column: not used; the condition names its columns.
        keep: what holds for the rows that are kept.

    Raises:
        InputError: it names a column that is not there, or is not true or false.
    """
    import polars as pl

    condition = parsed(keep)
    have = next(data.tables()).column_names
    for name in condition.meta.root_names():
        if name not in have:
            raise InputError(f"rule expression: there is no column {name!r} in {keep!r}", did_you_mean(name, have))

    def rule(rows: pl.DataFrame) -> pl.Series:
        try:
            kept = rows.with_columns(kept=condition)["kept"]
        except pl.exceptions.PolarsError as error:
            raise InputError(f"rule expression: {keep!r} cannot be worked out: {error}") from None
        if kept.dtype not in (pl.Boolean, pl.Null):
            raise InputError(f"rule expression: {keep!r} gives {kept.dtype}, not true or false", "compare it: n > 3")
        told = pl.when(kept.is_null()).then(pl.lit("unknown: a value is null")).otherwise(pl.lit("not so"))
        return rows.select(reason=pl.when(kept.fill_null(False)).then(pl.lit("")).otherwise(told)).to_series()

    return rule
