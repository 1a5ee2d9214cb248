"""Retrieval: does each query find its own passage among all of them?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from loomwork.core.artifact import Model, digest
from loomwork.core.context import context
from loomwork.core.dataset import Dataset
from loomwork.core.ranges import Count, Level, Seed
from loomwork.core.score import Score, write_scores
from loomwork.core.step import Card, TrainedOn, step
from loomwork.evals._contamination import CLEAN, Overlap, look
from loomwork.evals._mean_score import Provenance, clusters_of, mean_score, model_digest, texts_of
from loomwork.models.engines import library_versions

if TYPE_CHECKING:
    import numpy as np

BLOCK_CELLS = 1 << 24  # of the table queries x passages that is held at once
NO_TRAINING = Overlap("checked", "BM25 is not trained: nothing can have leaked")


@step(makes="scores", uses=["numpy", "pyarrow", "scipy"], heavy=True, version=library_versions())
def retrieval(
    data: Dataset,
    model: Model | None = None,
    seen: Annotated[list[Dataset] | None, TrainedOn("model")] = None,
    *,
    query: str = "query",
    passage: str = "passage",
    cluster: str | None = None,
    k: Annotated[int, Ge(1)] = 10,
    level: Level = 0.95,
    seed: Seed = 0,
    top: Count = 5,
    max_tokens: Annotated[int, Ge(1)] | None = None,
    out: Path,
) -> Card:
    """Rank all passages for each row's query; the row's own passage is the right one.

    A passage that ties with the right one counts as ranked above it. Scores: mrr@k, recall@1 and recall@k. Each query
    with its passage is looked for in what the model was trained on, in runs of 13 words; where some are found, the
    scores of the other queries are given too.

    Args:
        data: rows with a query and a passage.
        model: a text encoder; without one BM25 ranks.
        seen: what the model was trained on; by default all that the ledger knows of.
        query: the column of queries.
        passage: the column of passages.
        cluster: a column; rows that agree in it are not independent, and intervals count them as one draw.
        k: how many ranks count.
        level: of the intervals.
        seed: of the bootstrap.
        top: how many of the first passages' row ids are kept for each query.
        max_tokens: how much of each text the encoder reads; by default as much as the model says.

    Raises:
        InputError: a text is empty, or there are fewer than two rows or clusters.
    """
    import numpy as np
    import pyarrow as pa

    from loomwork.metrics.retrieval import rank_of, recall, reciprocal_rank

    data.require(query, passage, "row_id", *([cluster] if cluster else []))
    data.require_rows()
    queries, passages = texts_of(data, query), texts_of(data, passage)
    row_id = data.table(["row_id"]).column("row_id").combine_chunks()
    clusters = clusters_of(data, cluster)

    ranks, first = np.zeros(len(queries), dtype=np.int64), []
    done = 0
    for block in _score_blocks(queries, passages, model, max_tokens):  # (block, passages)
        rows = np.arange(done, done + len(block))
        ranks[rows] = rank_of(block, rows)
        first.append(_best(block, top))
        done += len(block)
        context().progress(done, len(queries), "queries")
    top_ids = [[row_id[int(i)] for i in best] for best in np.concatenate(first)]

    pairs = [f"{q}\n{p}" for q, p in zip(queries, passages, strict=True)]
    found = look(pairs, clusters, model=model, seen=seen) if model else NO_TRAINING
    settings = {"query": query, "passage": passage, "k": k, **_method(model, max_tokens)}
    given = Provenance(
        data=data.digest,
        model=model_digest(model),
        settings=digest(settings),
        cluster_unit=cluster or "item",
        clusters=clusters,
        contamination=found.word,
        note=found.note,
        level=level,
        seed=seed,
    )
    values = {f"mrr@{k}": reciprocal_rank(ranks, k), "recall@1": recall(ranks, 1), f"recall@{k}": recall(ranks, k)}
    units = {name: "mean reciprocal rank" if name.startswith("mrr") else "share of queries" for name in values}
    scores: list[Score] = [mean_score(n, v, units[n], "higher is better", given) for n, v in values.items()]
    clean = {}
    if found.clean is not None:
        kept = given.only(found.clean)
        for n, v in values.items():
            scores.append(mean_score(n + CLEAN, v[found.clean], units[n], "higher is better", kept))
            clean[n + CLEAN] = pa.array(v, mask=~found.clean)
    columns = {
        "row_id": row_id,
        "cluster": pa.array(clusters if clusters is not None else [None] * len(ranks), pa.string()),
        "rank": pa.array(ranks),
        **{name: pa.array(v) for name, v in values.items()},
        "top_ids": pa.array(top_ids, pa.list_(pa.binary(16))),
        **clean,
        **found.columns,
    }
    write_scores(out, scores, pa.table(columns), {"settings": settings})
    repeated = len(passages) - len(set(passages))
    notes = [f"{repeated} passages repeat another's text; each counts against the other"] if repeated else []
    metrics = {"queries": len(queries), "repeated_passages": repeated, **found.metrics}
    return Card(metrics=metrics, scores=scores, notes=[*notes, found.note])


def _score_blocks(
    queries: list[str], passages: list[str], model: Model | None, max_tokens: int | None
) -> Iterator[np.ndarray]:
    """Scores of all passages for some queries at a time.  # (block, passages)"""
    import numpy as np

    size = max(1, BLOCK_CELLS // len(passages))
    blocks = (queries[start : start + size] for start in range(0, len(queries), size))
    if model is None:
        from loomwork.index.bm25 import build_bm25

        index = build_bm25(passages)
        for block in blocks:
            yield np.stack([index.scores(text) for text in block])
    else:
        from loomwork.models.encoder import load_encoder

        encoder = load_encoder(model)
        vectors = encoder.embed(passages, max_tokens=max_tokens)  # (passages, dim)
        for block in blocks:
            yield encoder.embed(block, max_tokens=max_tokens) @ vectors.T


def _method(model: Model | None, max_tokens: int | None) -> dict[str, str | int | None]:
    return {"method": "encoder", "max_tokens": max_tokens} if model else {"method": "bm25"}


def _best(scores: np.ndarray, top: int) -> np.ndarray:
    """The columns of the `top` highest scores of each row; the earlier of two equal ones first.  # (rows, top)"""
    import numpy as np

    from loomwork.index.fuse import best

    return np.stack([best(row, top) for row in np.nan_to_num(scores, nan=-np.inf)])
