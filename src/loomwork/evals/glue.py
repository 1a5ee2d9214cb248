"""The nine tasks of GLUE, from their official files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from loomwork.core.artifact import digest
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.ranges import Level, Seed
from loomwork.core.score import Score, write_scores
from loomwork.core.step import Card, step
from loomwork.evals._files import digest_of
from loomwork.evals._mean_score import Provenance, clusters_of, correlation_score, f1_score, mean_score, sums_score
from loomwork.evals._predictions import (
    UNKNOWN,
    complete,
    count_notes,
    either_files_or_rows,
    labels_and_predictions,
    texts,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from loomwork.stats.correlation import Kind

TaskName = Literal["cola", "sst-2", "mrpc", "sts-b", "qqp", "mnli-m", "mnli-mm", "qnli", "rte", "wnli"]


@step(makes="scores", uses=["numpy", "pyarrow", "scipy"])
def glue(
    rows: Dataset | None = None,
    *,
    task: TaskName,
    data: Path | None = None,
    predictions: Path | None = None,
    label: str = "label",
    prediction: str = "prediction",
    cluster: str = "",
    level: Level = 0.95,
    seed: Seed = 0,
    out: Path,
) -> Card:
    """Score predictions on a task of GLUE by its own metrics, as fractions of 1.

    cola: Matthews' correlation. sts-b: Pearson's and Spearman's correlation. mrpc, qqp: F1 of "1", and accuracy.
    mnli-m (matched), mnli-mm (mismatched), sst-2, qnli, rte, wnli: accuracy. An item without a prediction, or with
    one that is no label of the task, counts as wrong, and is counted; for sts-b it is refused. The items keep the
    sentences as `text`, and the file's other columns of short values, for evals.slices.

    Args:
        rows: instead of files, a dataset with a label and a prediction in each row.
        task: which.
        data: the official file with labels, such as dev.tsv; for rte also the XML of the challenges.
        predictions: index<TAB>prediction lines, as for the leaderboard; or one prediction a line.
        label: for rows, the column of labels, as text or numbers.
        prediction: for rows, the column of predictions; null counts as missing.
        cluster: a column; rows that agree in it are not independent. By default the premise (promptID) of mnli.
        level: of the intervals.
        seed: of the bootstrap.

    Raises:
        InputError: a file is not of its format, a label is not one of the task's, or no prediction of rows is.

    Source: Wang et al. (2018), GLUE, arXiv 1804.07461.
    """
    import pyarrow as pa

    from loomwork.core.tables import given_names
    from loomwork.evals._glue_files import TASKS, read_gold, read_predictions
    from loomwork.evals._sums import with_sums
    from loomwork.evals._task_scores import MEANT
    from loomwork.evals.tasks.documents import label_columns
    from loomwork.metrics.classification import binary_f1, matthews
    from loomwork.metrics.correlation import pearson_of_sums

    known = TASKS[task]
    data, predictions = either_files_or_rows(rows, data=data, predictions=predictions)
    counts: dict[str, int] = {}
    if rows is None:
        read = read_gold(data, known, cluster)
        by_id, counts["indices that stand twice in the predictions, the last one taken"] = read_predictions(
            predictions, read.ids
        )
        ids: pa.Array = pa.array(read.ids, pa.string())
        gold, said, clusters = read.labels, [by_id.get(name) for name in read.ids], read.clusters
        shown, others = read.texts, label_columns(read.others)
        counts["rows of the data without all their columns, left out"] = read.broken
        counts["predictions for unknown indices, left out"] = len(set(by_id) - set(read.ids))
        stated, unit = (digest_of(data), digest_of(predictions)), cluster or known.cluster or "item"
    else:
        rows.require(label, prediction)
        rows.require_rows()
        table = rows.table(["row_id", label, prediction])
        ids = table.column("row_id").combine_chunks()
        gold, said = complete(table, label), texts(table, prediction)
        if known.labels is not None:
            official = set(known.labels.values())
            gold, said = labels_and_predictions(table, label, prediction, official if set(gold) <= official else ())
        clusters = clusters_of(rows, cluster or None)
        shown, others = _texts_of(rows, known.texts), {}
        stated, unit = (rows.digest, "none"), cluster or "item"

    settings = {"metric": "glue", "task": task}
    given = Provenance(
        data=stated[0],
        model=stated[1],
        settings=digest(settings),
        cluster_unit=unit if clusters is not None else "item",
        clusters=clusters,
        contamination="unknown",
        note=UNKNOWN,
        level=level,
        seed=seed,
    )
    if known.labels is None:
        scores, columns = _similarity(gold, said, known.metrics, given)
    else:
        if rows is None:
            said = [s if s is None else known.labels.get(s, s) for s in said]
        labels = sorted(set(known.labels.values()) if rows is None else set(gold))
        counts["items without a prediction, which count as wrong"] = sum(s is None for s in said)
        counts[f"predictions that are not one of {', '.join(labels)}, which count as wrong"] = sum(
            s is not None and s not in labels for s in said
        )
        scores, columns = _classes(task, gold, said, known.metrics, given)
    items = {
        "row_id": ids,
        "cluster": pa.array(clusters if clusters is not None else [None] * len(gold), pa.string()),
        **columns,
        "label": pa.array(gold, pa.string()),
        "prediction": pa.array(said, pa.string()),
    }
    table = pa.table(items)
    for name, statistic in {"f1": binary_f1, "matthews": matthews, "pearson": pearson_of_sums}.items():
        if f"{name}:sums" in table.column_names:
            table = with_sums(table, name, table.column(f"{name}:sums").to_pylist(), statistic)
    if any(shown):
        table = table.append_column("text", pa.array(shown, pa.string()))
    for name, values in zip(given_names(list(others), [*table.column_names, *MEANT]), others.values(), strict=True):
        table = table.append_column(name, pa.array(values))
    write_scores(out, scores, table, {"settings": settings})
    missing = sum(s is None for s in said)
    return Card(
        metrics={"items": float(len(gold)), "missing_predictions": float(missing)},
        scores=scores,
        notes=count_notes(counts),
    )


def _texts_of(rows: Dataset, columns: Sequence[str]) -> list[str]:
    """The sentences of each row, a line each; none where the dataset has no such columns."""
    here = [name for name in columns if name in rows.schema.names]
    if not here:
        return []
    return ["\n".join(str(row[name]) for name in here if row[name] is not None) for row in rows.rows(here)]


def _classes(
    task: str, gold: list[Any], said: list[Any], metrics: tuple[str, ...], given: Provenance
) -> tuple[list[Score], dict[str, Any]]:
    import numpy as np
    import pyarrow as pa

    from loomwork.metrics.classification import binary_cells, matthews

    better: Literal["higher is better"] = "higher is better"
    right = np.array([g == s for g, s in zip(gold, said, strict=True)])
    is_one = np.array([g == "1" for g in gold])
    if len(metrics) > 1 or metrics[0] != "accuracy":
        if not is_one.any() and set(gold) != {"0"}:
            raise InputError(f"{task} needs labels 0 and 1, not {', '.join(sorted(set(gold))[:5])}")
        cells = binary_cells(is_one, np.where(right, is_one, ~is_one))  # what is no label is wrong
    prefix = {"mnli-m": "matched_", "mnli-mm": "mismatched_"}.get(task, "")
    scores, columns = [], {}
    for name in metrics:
        if name == "accuracy":
            scores.append(mean_score(prefix + name, right, "share of items", better, given))
            columns[prefix + name] = pa.array(right.astype(np.float64))
        elif name == "f1":
            scores.append(f1_score(name, cells, "F1 of class 1", given))
        else:
            scores.append(sums_score(name, cells, matthews, "Matthews' correlation", better, given, (-1.0, 1.0)))
        if name != "accuracy":
            columns[f"{name}:sums"] = pa.array(cells.tolist(), pa.list_(pa.float64()))
    return scores, columns


def _similarity(
    gold: list[Any], said: list[Any], metrics: tuple[str, ...], given: Provenance
) -> tuple[list[Score], dict[str, Any]]:
    import pyarrow as pa

    from loomwork.evals._glue_files import number
    from loomwork.metrics.correlation import pearson_sums

    if None in said:
        raise InputError(
            f"{said.count(None)} items have no prediction, the first is number {said.index(None)} (from 0)",
            "a correlation has no value for what is missing: predict all items",
        )
    x = [number(text, f"the label of item {i}") for i, text in enumerate(gold)]
    y = [number(text, f"the prediction of item {i}") for i, text in enumerate(said)]
    sums = pearson_sums(x, y)
    columns = {
        "gold_value": pa.array(x, pa.float64()),
        "predicted_value": pa.array(y, pa.float64()),
        "pearson": pa.array(sums[:, -1]),
        "pearson:sums": pa.array(sums.tolist(), pa.list_(pa.float64())),
    }
    kinds: dict[str, Kind] = {"pearson": "pearson", "spearman": "spearman"}
    return [correlation_score(name, x, y, kinds[name], given) for name in metrics], columns
