"""Exact deduplication."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.errors import InputError
from loomwork.core.step import Card, step
from loomwork.data._rows import column_types, counted

if TYPE_CHECKING:
    import polars as pl


@step(makes="dataset", uses=["polars"])
def exact_dedup(data: Dataset, *, columns: list[str], ignore_case: bool = False, out: Path) -> Card:
    """Drop the rows that agree with an earlier row in all the given columns.

    Rows are compared by a 128-bit hash of these columns, so only 24 bytes a row are held in memory.

    Args:
        data: rows in any order; the first of equal rows is kept.
        columns: what has to be equal.
        ignore_case: text that differs only in upper and lower case is equal.
    """
    import numpy as np
    import polars as pl

    data.require_rows()
    if not columns:
        raise InputError("exact_dedup needs at least one column to compare", "for example columns: [text]")
    data.require(*columns)
    hashes, ids = [], []
    kinds = column_types(data, columns)
    for table in data.tables([*columns, "row_id"]):
        hashes.append(_hashes(pl.DataFrame(table.select(columns).cast(kinds)), ignore_case))
        ids.append(np.frombuffer(b"".join(table.column("row_id").to_pylist()), dtype="V16"))
    frame = pl.concat(hashes).with_row_index("row").with_columns(first=pl.col("row").first().over("one", "two"))
    first = frame["first"].to_numpy()
    all_ids = np.concatenate(ids)
    start = 0
    with DatasetWriter(out) as writer:
        for shard, size in zip(data.shards(), map(len, hashes), strict=True):
            span = first[start : start + size]
            kept = span == np.arange(start, start + size)
            reasons = [
                "" if k else f"duplicate: of {all_ids[f].tobytes().hex()}" for k, f in zip(kept, span, strict=True)
            ]
            writer.keep(shard, kept, reasons)
            start += size
    return counted(writer)


def _hashes(frame: pl.DataFrame, ignore_case: bool) -> pl.DataFrame:
    """Two independent 64-bit hashes of each row, as the columns `one` and `two`."""
    import polars as pl
    import polars.selectors as cs

    nested = [name for name, kind in frame.schema.items() if kind.is_nested()]
    if nested:
        raise InputError(f"column {nested[0]!r} holds {frame.schema[nested[0]]}; exact_dedup compares plain values")
    if ignore_case:
        frame = frame.with_columns(cs.string().str.to_lowercase())
    row = pl.struct(frame.columns)
    return frame.select(one=row.hash(1), two=row.hash(2))
