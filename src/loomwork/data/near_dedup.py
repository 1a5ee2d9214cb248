"""Near-duplicate removal."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from loomwork.core.context import context
from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.errors import InputError, MissingDependency
from loomwork.core.step import Card, step
from loomwork.data._rows import counted, require_text

if TYPE_CHECKING:
    import pyarrow as pa

    from loomwork.text.minhash import Texts


@step(makes="dataset", uses=["numba", "numpy"], heavy=True)
def near_dedup(
    data: Dataset,
    *,
    column: str = "text",
    threshold: float = 0.8,
    shingle_words: int = 5,
    keep: Literal["longest", "first"] = "longest",
    out: Path,
) -> Card:
    """Drop near-duplicate texts, keeping one of each group.

    Two texts are near duplicates when the Jaccard similarity of their sets of word shingles reaches the threshold.
    MinHash bands propose pairs, every pair is verified exactly, and groups are what such pairs join, in chains too;
    the reason of a dropped row gives its similarity to the row that was kept for it. The texts are held in a
    temporary file, the sketches (512 bytes a row) in memory.

    Args:
        data: rows with a text column.
        column: what is compared.
        threshold: the similarity from which two texts are near duplicates.
        shingle_words: the length of a shingle, in words.
        keep: the longest text of a group is kept, or the first.
    """
    require_text(data, column)
    if not 0 < threshold <= 1 or shingle_words < 1:
        raise InputError(
            f"threshold is {threshold}, shingle_words is {shingle_words}",
            "the threshold lies above 0 and at most at 1, a shingle has at least one word",
        )
    try:
        from loomwork.text.minhash import near_duplicates
    except ModuleNotFoundError as error:
        raise MissingDependency("data.near_dedup", error.name or "numba", "dedup") from None
    running = context()
    with tempfile.TemporaryFile(dir=out) as spill:
        found = near_duplicates(
            _spilled(data, column, spill),
            threshold=threshold,
            words=shingle_words,
            keep=keep,
            threads=running.threads,
            progress=lambda share: running.progress(round(100 * share), 100, "% of sketches"),
        )
    tables = [table.column("row_id").to_pylist() for table in data.tables(["row_id"])]
    ids, sizes = [i for table in tables for i in table], [len(table) for table in tables]
    start = 0
    with DatasetWriter(out) as writer:
        for shard, size in zip(data.shards(), sizes, strict=True):
            rows = range(start, start + size)
            kept = [int(found.kept[row]) == row for row in rows]
            reasons = [
                "" if mine else f"near-duplicate: jaccard {found.jaccard[row]:.2f} with {ids[found.kept[row]].hex()}"
                for row, mine in zip(rows, kept, strict=True)
            ]
            writer.keep(shard, kept, reasons)
            start += size
    return counted(writer, pairs_verified=found.verified)


def _spilled(data: Dataset, column: str, file: IO[bytes]) -> Texts:
    """All texts of a column, written to `file` and mapped, so that memory does not bound the corpus."""
    import numpy as np
    import pyarrow as pa

    from loomwork.text.minhash import Texts

    ends = [np.zeros(1, np.int64)]
    file.write(b"\0")  # an empty file cannot be mapped
    for table in data.tables([column]):
        for chunk in table.column(column).cast(pa.large_string()).chunks:
            offsets, content = _buffers(chunk)
            file.write(content)
            ends.append(offsets[1:] - offsets[0] + ends[-1][-1])
    file.flush()
    return Texts(np.memmap(file, np.uint8, "r")[1:], np.concatenate(ends))


def _buffers(chunk: pa.Array) -> tuple[Any, memoryview]:
    """Offsets (rows + 1,) and the bytes between the first and the last of them."""
    import numpy as np

    _, offset_buffer, content = chunk.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
    return offsets, memoryview(content or b"")[int(offsets[0]) : int(offsets[-1])]
