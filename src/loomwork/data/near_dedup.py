"""Near-duplicate removal."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Le

from loomwork.core.context import context
from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.errors import InputError, MissingDependency
from loomwork.core.step import Card, step
from loomwork.data._rows import counted, require_one_schema, require_text

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

LEAST = 0.05  # the lowest threshold: 128 bands of one bin find 99.5 % of the pairs at .041


@step(makes="dataset", uses=["numba", "numpy"], heavy=True)
def near_dedup(
    data: Dataset,
    known: Dataset | None = None,
    *,
    column: str = "text",
    threshold: Annotated[float, Ge(LEAST), Le(1)] = 0.8,
    shingle_words: Annotated[int, Ge(1)] = 5,
    keep: Literal["longest", "first", "best"] = "longest",
    by: str = "",
    index: bool = False,
    out: Path,
) -> Card:
    """Drop near-duplicate texts, keeping the longest, the first or the best.

    Two texts are near duplicates when the Jaccard similarity of their sets of word shingles reaches the threshold.
    MinHash bands propose pairs, every pair is verified exactly. In order of preference, a row is kept unless it is a
    near duplicate of a row that is kept already; the reason of a dropped row names that row and their similarity. (Rows
    are not joined in chains, whose ends may be unlike: nothing goes whose like does not stay.) Memory does not bound
    the corpus: past 256 MB, sketches and shingles lie in temporary files (512 bytes a row, 4 bytes a word), and some
    100 bytes a row in memory.

    A second run on the result drops nothing. With "longest" and "best", the order of the rows does not change which
    texts are kept: what is equal in length (and in `by`) is decided by a hash of the text. Of rows with the very same
    text, the first is kept. Rows whose text is null or has no words are kept, and counted.

    New documents are added to an earlier result with `data=new, known=earlier`: the new version shares all shards of
    `known`, followed by the rows of `data` that are kept. Rows of `known` are never dropped, are not compared with
    one another, and are preferred to all of `data`; so of the new rows those are kept that a run with keep="first" on
    the rows of `known` and then those of `data` would keep, all ordered as `keep` says among themselves. With
    `index=True` the result has a part `+near_dedup` from which the next run learns its rows without reading a text,
    and in it nothing of the old is written again. It takes more room than the texts do, so it is there when asked for;
    it is a part and no sidecar because readers of the rows have no use for it, and no artifact of its own because it
    is true of these rows alone. Without it, or made with another column or shingle length, `known` is read anew.

    Args:
        data: rows with a text column.
        known: rows that are kept as they are: the result of an earlier run, or any other dataset.
        column: what is compared.
        threshold: the similarity from which two texts are near duplicates, at least 0.05: below that, sketches find
            too few of the pairs.
        shingle_words: the length of a shingle, in words.
        keep: what is preferred: the longest text (in bytes), the first, or the one that is best by a column.
        by: for "best", the column whose highest value is best; null is the worst, and of equals the longest is kept.
        index: keep what a later run with `known` needs.

    Raises:
        InputError: `keep` and `by` do not go together, or a column is missing or of the wrong type.
        MissingDependency: Numba is not installed.
    """
    _check(data, column, keep, by)
    if known is not None:
        require_one_schema({"data": data, "known": known})
    try:
        importlib.import_module("loomwork.text.minhash")
    except ModuleNotFoundError as error:
        raise MissingDependency("data.near_dedup", error.name or "numba", "dedup") from None
    import numpy as np

    from loomwork.data import _near_index as near
    from loomwork.text.minhash import near_duplicates, preferred

    rank = _rank(data, by) if keep == "best" else None
    files = near.index_files(known, column, shingle_words) if known is not None else []
    if known is not None and not files and len(known):
        require_text(known, column)

    def rows_of_known() -> Iterator[near.KnownRows]:
        return near.indexed(files) if files or known is None else near.unindexed(known, column, shingle_words)

    with near.Spill(out, shingle_words) as spill, DatasetWriter(out) as writer:
        spill.read(data, column)
        texts = spill.all()
        rows = len(texts)
        order = preferred(texts, keep, rank)
        mates = 0
        if known is not None:
            mates = near.add_mates(spill, rows_of_known(), texts.sketches[texts.counts > 0], threshold)
        if mates:
            texts = spill.all()
            order = np.concatenate((np.arange(rows, rows + mates), order))
        found = near_duplicates(texts, threshold=threshold, order=order, known=mates, threads=context().threads)
        ids = np.concatenate(spill.ids)
        mine = found.kept[:rows] == np.arange(rows)
        for shard in known.shards() if known is not None else []:
            writer.share(shard)
        more = {"rows_known": writer.counts["data"]} if known is not None else {}
        start = 0
        for shard, size, table in zip(data.shards(), spill.sizes, spill.tables, strict=True):
            dropped = start + np.flatnonzero(~mine[start : start + size])
            reasons = _reasons(found.jaccard[dropped], ids[found.kept[dropped]])
            writer.keep(shard, mine[start : start + size], reasons, table=table)
            start += size
    if index:
        kept = near.kept_rows(texts, ids, np.flatnonzero(mine))
        near.write_index(out, kept, rows_of_known(), files, column, shingle_words, writer)
    without = int((texts.counts[:rows] == 0).sum())
    return counted(writer, pairs_verified=found.verified, rows_without_text=without, **more)


def _check(data: Dataset, column: str, keep: str, by: str) -> None:
    require_text(data, column)
    if (keep == "best") != bool(by):
        raise InputError(f"keep is {keep!r} and by is {by!r}", "keep=best needs by=COLUMN, and only it")
    if by:
        data.require(by)


def _rank(data: Dataset, column: str) -> np.ndarray:
    """1 for the rows with the highest value of a column, and so on; nulls last, equal values alike."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    values = data.table([column]).column(column)
    if pa.types.is_null(values.type):
        return np.zeros(len(values), np.int64)
    try:
        ranks = pc.rank(values, sort_keys=[(column, "descending", "at_end")], tiebreaker="dense")
    except pa.ArrowNotImplementedError:  # Arrow orders no lists and no structs
        raise InputError(
            f"column {column!r} holds {values.type}, which has no order", "give a column of numbers"
        ) from None
    return np.asarray(ranks).astype(np.int64)


def _reasons(similar: np.ndarray, kept: np.ndarray) -> pa.Array:
    """One reason for each dropped row, from its similarity to the kept row and that row's id, uint8 (rows, 16)."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    hundredths = pa.array([f"{n / 100:.2f}" for n in range(101)]).take(pa.array(np.rint(100 * similar), pa.int64()))
    ends = 32 * np.arange(len(kept) + 1, dtype=np.int32)
    ids = [None, pa.py_buffer(ends), pa.py_buffer(np.ascontiguousarray(kept).tobytes().hex().encode())]
    hexes = pa.Array.from_buffers(pa.string(), len(kept), ids)
    return pc.binary_join_element_wise("near-duplicate: jaccard ", hundredths, " with ", hexes, "")
