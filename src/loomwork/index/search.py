"""A search index as an artifact: rows, BM25 and, where a model embedded them, vectors.

index.json          what is in it: counts, columns, the text column, and the model that embeds queries
rows/00000.parquet  the rows with all their columns and `row_id`, in small row groups
bm25/               see index/bm25.py
vectors.npy         see index/vectors.py
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from loomwork.core.artifact import Index, canonical_json
from loomwork.core.errors import InputError
from loomwork.index.bm25 import Bm25, build_bm25
from loomwork.index.fuse import best, convex
from loomwork.index.vectors import Precision, cosines, open_vectors, write_vectors

if TYPE_CHECKING:
    import pyarrow as pa

GROUP_ROWS = 64  # rows of one Parquet row group: what is read to show one hit
FORMAT = 1
# Of the vectors, beside the words, both standardised. On the quickstart's holdout (772 questions) MRR@10 is highest
# near here for the untouched encoder (.539; vectors alone .514, at 0.5 .499) and for the tuned one (.637, .634, .547).
VECTOR_WEIGHT = 0.8
Embed = Callable[[list[str]], np.ndarray]


@dataclass(frozen=True)
class Hit:
    """One answer.

    Args:
        row_id: of the row that answers, in hex.
        score: higher is better; comparable within one search only.
        text: the passage.
        columns: the row's other columns.
    """

    row_id: str
    score: float
    text: str
    columns: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SearchIndex:
    """An open index. Searching from several threads is safe.

    Args:
        about: the content of index.json.
        bm25: the lexical half.
        vectors: the dense half (rows, dim), or None.
    """

    about: dict[str, Any]
    bm25: Bm25
    vectors: np.ndarray | None
    _rows: Any
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def model(self) -> str:
        """The id of the model that has to embed queries; "" where the index has no vectors."""
        return str((self.about["vectors"] or {}).get("model", ""))

    def scores(
        self, query: str, query_vector: np.ndarray | None = None, *, weight: float = VECTOR_WEIGHT
    ) -> np.ndarray:
        """The score of every row: BM25 without a vector, else the weighted mean of both, each standardised.

        Args:
            query: the words.
            query_vector: the query embedded by `model` (dim,), or None.
            weight: of the vectors, 0 to 1.

        Raises:
            InputError: a vector was given and the index has none, or its length differs.
        """
        lexical = self.bm25.scores(query)
        if query_vector is None:
            return lexical
        if self.vectors is None:
            raise InputError("this index has no vectors", "make it with a model: {use: data.index, model: ...}")
        if np.shape(query_vector) != (self.vectors.shape[1],):
            raise InputError(
                f"the query vector has shape {np.shape(query_vector)}, the index holds {self.vectors.shape[1]} numbers",
                f"embed queries with the model of the index, {self.model[:12]}",
            )
        return convex(lexical, cosines(self.vectors, query_vector), weight)

    def search(
        self, query: str, query_vector: np.ndarray | None = None, k: int = 10, *, weight: float = VECTOR_WEIGHT
    ) -> list[Hit]:
        """The k best rows, best first. Without a vector, rows that share no word with the query are left out."""
        scores = self.scores(query, query_vector, weight=weight)
        rows = best(scores, k)
        if query_vector is None:
            rows = rows[scores[rows] > 0]
        return self._hits(rows, scores[rows])

    def _hits(self, rows: np.ndarray, scores: np.ndarray) -> list[Hit]:
        if rows.size == 0:
            return []
        groups, at = np.unique(rows // GROUP_ROWS, return_inverse=True)  # only the last group can be short
        with self._lock:  # one Parquet reader must not be used by two threads at once
            table = self._rows.read_row_groups(groups.tolist(), use_threads=False)
        hits = []
        for values, score in zip(table.take(at * GROUP_ROWS + rows % GROUP_ROWS).to_pylist(), scores, strict=True):
            row_id, text = values.pop("row_id"), values.pop(self.about["text"])
            values.pop("origin_ids", None)
            hits.append(Hit(row_id.hex(), float(score), text or "", values))
        return hits


def open_index(artifact: Index) -> SearchIndex:
    """Open an index for searching; its arrays stay on disk until they are read.

    Raises:
        InputError: it was made by a version of Loomwork that writes another format.
    """
    import pyarrow.parquet as pq

    about = artifact.read_json("index.json")
    if about.get("format") != FORMAT:
        raise InputError(
            f"index {artifact.path} has format {about.get('format')}, this Loomwork reads {FORMAT}",
            "make the index again",
        )
    bm25 = Bm25.load(artifact.path / "bm25", about["rows"])
    vectors = open_vectors(artifact.file("vectors.npy")) if about["vectors"] else None
    return SearchIndex(about, bm25, vectors, pq.ParquetFile(artifact.file("rows/00000.parquet"), memory_map=True))


def write_index(
    tables: Iterable[pa.Table],
    out: Path,
    *,
    text: str,
    embed: Embed | None = None,
    model: str = "",
    precision: Precision = "float32",
    batch_rows: int = 256,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Write an index of rows into an empty folder.

    Args:
        tables: the rows, with `row_id`; all with the same columns.
        out: the folder.
        text: the column that is searched.
        embed: gives L2-normalised vectors (texts, dim) of texts; None for an index without vectors.
        model: the id of the model behind `embed`.
        precision: how vectors are stored.
        batch_rows: how many texts are embedded at once.
        progress: is told the rows embedded so far, and all of them.

    Returns: the content of index.json.
    """
    names = _write_rows(tables, out / "rows")
    texts = _texts(out / "rows/00000.parquet", text)
    bm25 = build_bm25(texts)
    bm25.save(out / "bm25")
    about: dict[str, Any] = {
        "format": FORMAT,
        "rows": bm25.count,
        "columns": names,
        "text": text,
        "words": len(bm25.words),
        "postings": int(bm25.rows.size),
        "vectors": None,
    }
    if embed:
        batches = _embedded(texts, embed, batch_rows, progress)
        _, size = write_vectors(batches, out / "vectors.npy", rows=bm25.count, precision=precision)
        about["vectors"] = {"model": model, "dimensions": size, "precision": precision}
    (out / "index.json").write_bytes(canonical_json(about))
    return about


def _write_rows(tables: Iterable[pa.Table], folder: Path) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True)
    writer: Any = None
    waiting: list[pa.Table] = []
    for table in tables:
        if writer is None:
            writer = pq.ParquetWriter(folder / "00000.parquet", table.schema, compression="zstd")
        waiting.append(table.cast(writer.schema))
        merged = pa.concat_tables(waiting)
        whole = len(merged) // GROUP_ROWS * GROUP_ROWS  # every group but the last is full: a hit is found by division
        if whole:
            writer.write_table(merged.slice(0, whole), row_group_size=GROUP_ROWS)
        waiting = [merged.slice(whole)]
    if writer is None:
        raise InputError("there are no rows to index")
    if len(waiting[0]):
        writer.write_table(waiting[0], row_group_size=GROUP_ROWS)
    writer.close()
    return list(writer.schema.names)


def _texts(path: Path, column: str) -> list[str]:
    import pyarrow.parquet as pq

    return [text or "" for text in pq.read_table(path, columns=[column], partitioning=None).column(0).to_pylist()]


def _embedded(
    texts: list[str], embed: Embed, batch_rows: int, progress: Callable[[int, int], None]
) -> Iterable[np.ndarray]:
    for start in range(0, len(texts), batch_rows):
        yield embed(texts[start : start + batch_rows])
        progress(min(len(texts), start + batch_rows), len(texts))
