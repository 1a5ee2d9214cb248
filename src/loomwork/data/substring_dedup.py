"""Removal of long repeated runs of words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from loomwork.core.context import context
from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.ranges import Count
from loomwork.core.step import Card, step
from loomwork.data._rows import counted, keep_cut, require_text, shard_tables, write_changed

if TYPE_CHECKING:
    import numpy as np


@step(makes="dataset", uses=["numba", "numpy"], heavy=True)
def substring_dedup(
    data: Dataset, *, column: str = "text", words: Annotated[int, Ge(2)] = 50, min_chars: Count = 1, out: Path
) -> Card:
    """Cut out of texts every run of at least `words` words that stood earlier, in the same text or in another.

    The first occurrence stays; what is cut is kept in the part `cut`. Words are compared without case and punctuation.
    A changed text has a new id, and its old id as its origin; a text of which too little is left is dropped. Hashes lie
    on disk (8 bytes a word); one byte a word is held in memory.

    Args:
        data: rows with a text column.
        column: which.
        words: the shortest run that is cut out, in words; below 10 ordinary phrases are.
        min_chars: the shortest text that is kept after a cut, in characters.

    Raises:
        InputError: the column is no text.
        MissingDependency: Numba is not installed.

    Source: Lee et al. (2022), Deduplicating training data makes language models better (there by a suffix array, over
    50 tokens).
    """
    import numpy as np

    from loomwork.data._runs import Runs, require_kernels

    require_text(data, column)
    require_kernels("data.substring_dedup")
    from loomwork.text.minhash import Texts
    from loomwork.text.overlap import covered, folded_words

    runs = Runs(data, column, words, out)
    try:
        again = np.zeros(runs.total, dtype=bool)  # the words at which a run begins that stood earlier
        for places, first in runs.groups():
            again[places[~first]] = True
    finally:
        runs.close()
    start = done = changed = cut = 0
    with DatasetWriter(out) as writer:
        for (shard, table), size in zip(shard_tables(data), runs.sizes, strict=True):
            mine = again[start : start + size]
            start += size
            done += len(table)
            context().progress(done, len(data), "rows")
            if not mine.any():
                writer.share(shard)
                continue
            old = table.column(column).to_pylist()
            texts = Texts.of_column(table.column(column))
            found = folded_words(texts)
            out_of = covered(mine, words)
            new = list(old)
            reasons = [""] * len(table)
            gone: list[str] = []
            origins: list[bytes] = []
            for row in np.unique(found.row_of[np.flatnonzero(mine)]):
                span = slice(found.rows[row], found.rows[row + 1])
                ends = texts.offsets[row], texts.offsets[row + 1]
                kept, pieces = _parted(texts.data, *ends, found.starts[span], out_of[span])
                new[row] = kept
                gone += pieces
                origins += [table.column("row_id")[row].as_py()] * len(pieces)
                cut += len(old[row]) - len(kept)
                reasons[row] = "" if len(kept.strip()) >= min_chars else "repeated text"
            keep_cut(writer, column, gone, "repeated text", origins)
            changed += write_changed(writer, shard, table, column, new, reasons)
    return counted(writer, rows_changed=changed, characters_cut=cut)


def _parted(data: np.ndarray, start: int, end: int, starts: np.ndarray, out_of: np.ndarray) -> tuple[str, list[str]]:
    """A text without its marked words and without what follows each of them up to the next word, and those runs."""
    kept: list[str] = []
    gone: list[str] = []
    at, previous = start, False
    for begin, marked in zip((*starts, end), (*out_of, None), strict=True):
        if marked != previous:
            (gone if previous else kept).append(bytes(data[at:begin]).decode("utf-8", "replace"))
            at, previous = begin, marked
    return "".join(kept).rstrip(), [run.rstrip() for run in gone]
