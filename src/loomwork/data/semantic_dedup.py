"""Removal of texts that say the same in other words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Gt, Le

from loomwork.core.artifact import Model
from loomwork.core.context import context
from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.errors import MissingDependency, Stopped
from loomwork.core.ranges import Seed
from loomwork.core.step import Card, step
from loomwork.data._rows import counted, require_text

if TYPE_CHECKING:
    import numpy as np

EXACT_ROWS = 50_000  # up to here all pairs are compared: some seconds on two cores
BLOCK_ROWS = 2048


@step(makes="dataset", uses=["torch", "numpy"], heavy=True)
def semantic_dedup(
    data: Dataset,
    model: Model,
    *,
    column: str = "text",
    threshold: Annotated[float, Gt(0), Le(1)] = 0.95,
    keep: Literal["longest", "first"] = "longest",
    clusters: Annotated[int, Ge(1)] | None = None,
    max_tokens: Annotated[int, Ge(1)] | None = None,
    seed: Seed = 7,
    out: Path,
) -> Card:
    """Drop texts whose embedding is nearly that of a text that is kept.

    In order of preference, a row is kept unless its cosine similarity to a row that is kept already reaches the
    threshold; the reason names that row and the similarity. All pairs are compared, up to 50,000 rows; beyond, rows
    are put into clusters by k-means and compared within them, so that pairs across a border are missed. Embeddings
    (4 bytes a dimension and row) are held in memory. Rows without text are kept.

    Args:
        data: rows with a text column.
        model: an encoder; what counts as the same depends on it. Look at dropped rows before you trust a threshold.
        column: which text.
        threshold: the cosine similarity from which two texts are the same.
        keep: what is preferred: the longest text (in characters; of equals the first), or the first.
        clusters: how many; None takes one, or beyond 50,000 rows one for every 5,000.
        max_tokens: how much of each text is embedded; by default as much as the model says.
        seed: of the clusters.

    Raises:
        InputError: the column is no text.
        MissingDependency: scikit-learn is needed for clusters, and not installed.

    Source: Abbas et al. (2023), SemDeDup: data-efficient learning at web-scale through semantic deduplication.
    """
    import numpy as np

    require_text(data, column)
    texts = [t or "" for table in data.tables([column]) for t in table.column(column).to_pylist()]
    ids = [i for table in data.tables(["row_id"]) for i in table.column("row_id").to_pylist()]
    vectors = _embedded(model, texts, max_tokens)
    filled = np.array([bool(t.strip()) for t in texts])
    order = np.arange(len(texts))
    if keep == "longest":
        order = np.argsort([-len(t) for t in texts], kind="stable")
    order = order[filled[order]]
    cluster_of = _clusters(vectors, clusters or (1 if len(texts) <= EXACT_ROWS else len(texts) // 5000), seed)
    kept_for = np.arange(len(texts))
    similarity = np.ones(len(texts))
    for cluster in range(int(cluster_of.max(initial=0)) + 1):
        _drop_within(vectors, order[cluster_of[order] == cluster], threshold, kept_for, similarity)
    start = 0
    with DatasetWriter(out) as writer:
        for shard, size in zip(data.shards(), _sizes(data), strict=True):
            rows = range(start, start + size)
            reasons = [
                "" if kept_for[r] == r else f"same meaning: cosine {similarity[r]:.3f} with {ids[kept_for[r]].hex()}"
                for r in rows
            ]
            writer.keep(shard, [not r for r in reasons], reasons)
            start += size
    return counted(writer, clusters=int(cluster_of.max(initial=0)) + 1, rows_without_text=int((~filled).sum()))


def _sizes(data: Dataset) -> list[int]:
    import pyarrow.parquet as pq

    return [pq.read_metadata(shard).num_rows for shard in data.shards()]


def _embedded(model: Model, texts: list[str], max_tokens: int | None) -> np.ndarray:
    """Unit vectors, float32 (rows, dimensions)."""
    import numpy as np

    from loomwork.models.encoder import load_encoder

    running = context()
    encoder = load_encoder(model, threads=running.threads)
    pieces = []
    for at in range(0, len(texts), BLOCK_ROWS):
        pieces.append(np.asarray(encoder.embed(texts[at : at + BLOCK_ROWS], max_tokens=max_tokens), np.float32))
        running.progress(min(at + BLOCK_ROWS, len(texts)), len(texts), "rows embedded")
        if running.stop_requested:
            raise Stopped(f"stopped after embedding {at} of {len(texts)} rows")
    return np.concatenate(pieces)


def _clusters(vectors: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The cluster of each row, int64 (rows,)."""
    import numpy as np

    if count <= 1:
        return np.zeros(len(vectors), np.int64)
    try:
        from sklearn.cluster import MiniBatchKMeans
    except ModuleNotFoundError as error:
        raise MissingDependency("data.semantic_dedup", error.name or "scikit-learn", "curate") from None
    found = MiniBatchKMeans(min(count, len(vectors)), random_state=seed, n_init=1, batch_size=4096).fit(vectors)
    return np.asarray(found.labels_, np.int64)


def _drop_within(
    vectors: np.ndarray, order: np.ndarray, threshold: float, kept_for: np.ndarray, similarity: np.ndarray
) -> None:
    """Go through rows in order of preference, block by block; write whom each dropped row is dropped for."""
    import numpy as np

    kept = np.empty(order.size, np.int64)
    count = 0
    for at in range(0, order.size, BLOCK_ROWS):
        block = order[at : at + BLOCK_ROWS]
        best, best_row = np.full(block.size, -1.0, np.float32), np.zeros(block.size, np.int64)
        for start in range(0, count, BLOCK_ROWS):
            others = kept[start : min(count, start + BLOCK_ROWS)]
            found = vectors[block] @ vectors[others].T  # (block, others)
            top = found.argmax(axis=1)
            higher = found[np.arange(block.size), top] > best
            best[higher], best_row[higher] = found[np.arange(block.size), top][higher], others[top][higher]
        inside = vectors[block] @ vectors[block].T
        mine: list[int] = []  # places in the block that are kept
        for i, row in enumerate(block):
            if mine:
                j = int(inside[i, mine].argmax())
                if inside[i, mine[j]] > best[i]:
                    best[i], best_row[i] = inside[i, mine[j]], block[mine[j]]
            if best[i] >= threshold:
                kept_for[row], similarity[row] = best_row[i], min(1.0, float(best[i]))
            else:
                mine.append(i)
                kept[count] = row
                count += 1
