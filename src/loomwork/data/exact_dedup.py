"""Exact deduplication."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from annotated_types import MinLen

from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.errors import InputError
from loomwork.core.step import Card, step
from loomwork.data._rows import column_types, counted

if TYPE_CHECKING:
    import numpy as np
    import polars as pl


@step(makes="dataset", uses=["polars"])
def exact_dedup(
    data: Dataset, *, columns: Annotated[list[str], MinLen(1)], ignore_case: bool = False, out: Path
) -> Card:
    """Drop the rows that agree with an earlier row in all the given columns.

    Rows are compared by a 128-bit hash of these columns, so only 24 bytes a row are held in memory.

    Args:
        data: rows in any order; the first of equal rows is kept.
        columns: what has to be equal.
        ignore_case: text that differs only in upper and lower case is equal.

    Raises:
        InputError: a column is missing or holds lists.
    """
    import numpy as np
    import polars as pl
    import pyarrow as pa

    data.require_rows()
    data.require(*columns)
    hashes, ids = [], []
    kinds = column_types(data, columns)
    for table in data.tables([*columns, "row_id"]):
        hashes.append(row_hashes(pl.DataFrame(table.select(columns).cast(kinds)), ignore_case))
        ids.append(table.column("row_id").combine_chunks())
    first = first_of_equals(hashes)
    all_ids = pa.concat_arrays(ids)
    start = 0
    with DatasetWriter(out) as writer:
        for shard, size in zip(data.shards(), map(len, hashes), strict=True):
            span = first[start : start + size]
            kept = span == np.arange(start, start + size)
            same = pl.Series(all_ids.take(pa.array(span[~kept])).cast(pa.binary())).bin.encode("hex")
            writer.keep(shard, kept, "duplicate: of " + same)
            start += size
    return counted(writer)


def row_hashes(frame: pl.DataFrame, ignore_case: bool = False) -> pl.DataFrame:
    """Two independent 64-bit hashes of each row, as the columns `one` and `two`. They hold for this process only."""
    import polars as pl
    import polars.selectors as cs

    nested = [name for name, kind in frame.schema.items() if kind.is_nested()]
    if nested:
        raise InputError(f"column {nested[0]!r} holds {frame.schema[nested[0]]}; only plain values are compared")
    if ignore_case:
        frame = frame.with_columns(cs.string().str.to_lowercase())
    one, two = (frame.select(pl.all().hash(seed)) for seed in (1, 2))
    if len(frame.columns) > 1:
        one, two = one.select(pl.struct(pl.all()).hash(1)), two.select(pl.struct(pl.all()).hash(2))
    return pl.DataFrame({"one": one.to_series(), "two": two.to_series()})


def first_of_equals(hashes: list[pl.DataFrame]) -> np.ndarray:
    """For each row the number of the first row with the same hashes: itself, where it is new.

    Args:
        hashes: those of `row_hashes`, frame by frame; rows are numbered over all of them.

    Returns: int64, (rows,).
    """
    import numpy as np
    import polars as pl

    rows = pl.concat(hashes).with_row_index("row")
    first: np.ndarray = rows.select(pl.col("row").first().over("one", "two")).to_series().to_numpy()
    return first.astype(np.int64)
