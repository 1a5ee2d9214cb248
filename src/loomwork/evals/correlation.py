"""How an automatic score agrees with people: Pearson's, Spearman's and Kendall's correlation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from loomwork.core.artifact import digest
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.ranges import Level
from loomwork.core.score import write_scores
from loomwork.core.step import Card, step
from loomwork.evals._mean_score import Provenance, correlation_score
from loomwork.evals._predictions import UNKNOWN, count_notes

if TYPE_CHECKING:
    import numpy as np

    from loomwork.stats.correlation import Kind

KINDS: tuple[Kind, ...] = ("pearson", "spearman", "kendall")


@step(makes="scores", uses=["numpy", "pyarrow", "scipy"])
def correlation(
    data: Dataset,
    *,
    score: str = "score",
    human: str = "human",
    cluster: str = "",
    level: Level = 0.95,
    out: Path,
) -> Card:
    """Correlate two columns of numbers, such as a metric and people's ratings of the same systems or segments.

    Rows without a number in either column are counted and left out. Kendall's is tau-b.

    Args:
        data: one row a system or a segment.
        score: the column of automatic scores.
        human: the column of ratings.
        cluster: a column; rows that agree in it (segments of one document, ratings of one segment) are not independent.
        level: of the intervals.

    Raises:
        InputError: a column is not of numbers or does not vary, or there are fewer than five rows or clusters.
    """
    import numpy as np
    import pyarrow as pa

    from loomwork.evals._sums import with_sums
    from loomwork.metrics.correlation import pearson_of_sums, pearson_sums

    data.require(score, human, *([cluster] if cluster else []))
    data.require_rows()
    table = data.table(list(dict.fromkeys(["row_id", score, human, *([cluster] if cluster else [])])))
    x, y = _numbers(table, score), _numbers(table, human)
    both = np.isfinite(x) & np.isfinite(y)
    table, x, y = table.filter(pa.array(both)), x[both], y[both]
    labels = [str(v) for v in table.column(cluster).to_pylist()] if cluster else None
    settings = {"score": score, "human": human}
    given = Provenance(
        data=data.digest,
        model="none",
        settings=digest(settings),
        cluster_unit=cluster or "item",
        clusters=labels,
        contamination="unknown",
        note=UNKNOWN,
        level=level,
        seed=0,
    )
    scores = [correlation_score(kind, x, y, kind, given) for kind in KINDS]
    items = {
        "row_id": table.column("row_id").combine_chunks(),
        "cluster": pa.array(labels if labels is not None else [None] * len(x), pa.string()),
        "score": pa.array(x),
        "human": pa.array(y),
        "pearson": pa.array((sums := pearson_sums(x, y))[:, -1]),
    }
    write_scores(out, scores, with_sums(pa.table(items), "pearson", sums, pearson_of_sums), {"settings": settings})
    left = int((~both).sum())
    notes = count_notes({"rows without a number in both columns, left out": left})
    return Card(metrics={"items": float(len(x)), "left_out": float(left)}, scores=scores, notes=notes)


def _numbers(table: object, column: str) -> np.ndarray:
    """A column of numbers, also of those that a file has as text; NaN where there is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    assert isinstance(table, pa.Table)
    try:
        values = pc.cast(table.column(column), pa.float64())
    except pa.ArrowInvalid as error:
        raise InputError(f"column {column!r} is not of numbers: {error}") from None
    except pa.ArrowNotImplementedError:  # Arrow has no such cast, as from a list
        raise InputError(f"column {column!r} is {table.column(column).type}, not numbers") from None
    found: np.ndarray = values.to_numpy(zero_copy_only=False)
    return found
