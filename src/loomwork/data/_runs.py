"""Runs of words of a whole dataset, on disk, and which of them stand more than once."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from loomwork.core.context import context
from loomwork.core.dataset import Dataset
from loomwork.core.errors import MissingDependency

if TYPE_CHECKING:
    import numpy as np

    from loomwork.text.minhash import Texts
    from loomwork.text.overlap import FoldedWords

MEMORY_BYTES = 512 << 20  # that sorting hashes may take


def require_kernels(step: str) -> None:
    """Refuse early where Numba is missing."""
    try:
        importlib.import_module("loomwork.text.overlap")
    except ModuleNotFoundError as error:
        raise MissingDependency(step, error.name or "numba", "dedup") from None


def shard_words(data: Dataset, column: str) -> Iterator[tuple[Path, Texts, FoldedWords]]:
    """Each shard with its texts and their words."""
    import pyarrow as pa

    from loomwork.core.tables import read_shard
    from loomwork.text.minhash import Texts
    from loomwork.text.overlap import folded_words

    done, total = 0, len(data)
    for shard in data.shards():
        table = read_shard(shard, [column])
        texts = Texts.of_column(table.column(column) if column in table.column_names else pa.nulls(len(table)))
        yield shard, texts, folded_words(texts)
        done += len(texts)
        context().progress(done, total, "rows")


class Runs:
    """The hashes of all runs of `words` words of a dataset, 8 bytes a word on disk.

    Args:
        data: rows with a text column.
        column: which.
        words: the length of a run.
        folder: where the file lies until the step ends.
    """

    def __init__(self, data: Dataset, column: str, words: int, folder: Path) -> None:
        import numpy as np

        self.file = folder / "runs.tmp"
        self.sizes: list[int] = []  # words of each shard
        rows: list[np.ndarray] = []  # words of each row
        with self.file.open("wb") as stream:
            for _, _, found in shard_words(data, column):
                stream.write(found.runs(words).tobytes())
                self.sizes.append(len(found))
                rows.append(np.diff(found.rows))
        self.row_sizes = np.concatenate(rows) if rows else np.empty(0, np.int64)
        self.total = sum(self.sizes)

    def close(self) -> None:
        self.file.unlink(missing_ok=True)

    def groups(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Runs that stand more than once, part by part: (places, which are the first of their kind).

        Places are numbers of words, ordered so that equal runs follow each other, the first of them first.
        """
        import numpy as np

        if not self.total:
            return
        hashes = np.memmap(self.file, np.uint64, "r")
        parts = 1 + self.total * 32 // MEMORY_BYTES
        for part in range(parts):
            pieces, places = [], []
            for start in range(0, self.total, 1 << 22):
                block = np.asarray(hashes[start : start + (1 << 22)])
                mine = np.flatnonzero((block != 0) & (block % np.uint64(parts) == part))
                pieces.append(block[mine])
                places.append(mine + start)
            values, at = np.concatenate(pieces), np.concatenate(places)
            order = np.argsort(values, kind="stable")
            values, at = values[order], at[order]
            first = np.concatenate(([True], values[1:] != values[:-1])) if values.size else np.zeros(0, bool)
            alone = first & np.concatenate((first[1:], [True])) if values.size else first
            yield at[~alone], first[~alone]
