"""Summaries against references: ROUGE."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import MinLen

from loomwork.core.artifact import digest
from loomwork.core.context import context
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError, Stopped
from loomwork.core.ranges import Level, Seed
from loomwork.core.score import write_scores
from loomwork.core.step import Card, step
from loomwork.evals._mean_score import Provenance, mean_score
from loomwork.evals._predictions import UNKNOWN, count_notes, referenced

Measure = Literal["rouge1", "rouge2", "rouge3", "rougeL", "rougeLsum"]
BLOCK = 256  # items between two looks at whether to stop


@step(makes="scores", uses=["numpy", "pyarrow", "scipy", "rouge-score"])
def summary(
    data: Dataset,
    *,
    prediction: str = "prediction",
    reference: str = "reference",
    metrics: Annotated[list[Measure], MinLen(1)] = ["rouge1", "rouge2", "rougeL", "rougeLsum"],  # noqa: B006
    stemmer: bool = False,
    cluster: str = "",
    level: Level = 0.95,
    seed: Seed = 0,
    out: Path,
) -> Card:
    """Score summaries by ROUGE, F-measure from 0 to 1; of several references the best counts.

    rouge-score knows Latin letters and digits only: texts in other scripts score 0, and are counted.

    Args:
        data: a summary and its reference(s) in each row.
        prediction: the column of summaries.
        reference: the column of references: a text or a list of texts.
        metrics: rouge1, rouge2, rouge3, rougeL, rougeLsum; rougeLsum takes each line as a sentence.
        stemmer: compare English words by their stems.
        cluster: a column; rows that agree in it are not independent.
        level: of the intervals.
        seed: of the bootstrap.

    Raises:
        InputError: a text is missing.
        MissingDependency: rouge-score is not installed.

    Source: Lin (2004), ROUGE: a package for automatic evaluation of summaries.
    """
    import numpy as np
    import pyarrow as pa

    from loomwork.metrics.summary import rouge

    if len(set(metrics)) < len(metrics):
        raise InputError(f"metrics is {metrics}: name each measure once", "rouge1, rouge2, rougeL, rougeLsum")
    data.require(prediction, reference)
    data.require_rows()
    said, wanted, clusters = referenced(data, prediction, reference, cluster)
    fewest, most = min(map(len, wanted)), max(map(len, wanted))
    blocks = []
    for start in range(0, len(said), BLOCK):
        if context().stop_requested:
            raise Stopped(f"stopped after {start} of {len(said)} summaries")
        part = slice(start, start + BLOCK)
        blocks.append(rouge(said[part], wanted[part], names=metrics, stemmer=stemmer))
        context().progress(min(start + BLOCK, len(said)), len(said), "summaries")
    found = np.concatenate(blocks)  # (items, metrics, 3)
    settings = {
        "metrics": list(metrics),
        "stemmer": stemmer,
        "references": most if fewest == most else f"{fewest} to {most}",
    }
    given = Provenance(
        data=data.digest,
        model="none",
        settings=digest(settings),
        cluster_unit=cluster or "item",
        clusters=clusters,
        contamination="unknown",
        note=UNKNOWN,
        level=level,
        seed=seed,
    )
    scores = [
        mean_score(name, found[:, i, 2], "mean F-measure", "higher is better", given) for i, name in enumerate(metrics)
    ]
    columns: dict[str, Any] = {
        "row_id": data.table(["row_id"]).column("row_id").combine_chunks(),
        "cluster": pa.array(clusters if clusters is not None else [None] * len(said), pa.string()),
    }
    for i, name in enumerate(metrics):
        columns[name] = pa.array(found[:, i, 2])
        columns[f"{name}_precision"], columns[f"{name}_recall"] = (pa.array(found[:, i, k]) for k in (0, 1))
    columns["prediction"] = pa.array(said, pa.string())
    columns["references"] = pa.array(wanted, pa.list_(pa.string()))
    write_scores(out, scores, pa.table(columns), {"settings": settings})
    foreign = sum(not any(_has_words(text) for text in texts) for texts in wanted)
    notes = count_notes(
        {
            "summaries are empty": sum(not text.strip() for text in said),
            "references have no Latin letter or digit, and score 0": foreign,
        }
    )
    if fewest < most:
        notes.append(f"rows have {fewest} to {most} references: the best of many is easily better than the best of few")
    return Card(metrics={"items": float(len(said)), "references": float(most)}, scores=scores, notes=notes)


def _has_words(text: str) -> bool:
    return any(c.isascii() and c.isalnum() for c in text)
