"""The scores and the items of tasks that were asked: of all documents together, and of each task apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from loomwork.core.errors import InputError
from loomwork.evals._contamination import CLEAN, Overlap, of_some
from loomwork.evals._slicing import LENGTH

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from loomwork.core.score import Score
    from loomwork.evals._mean_score import Provenance
    from loomwork.evals.tasks.asked import Asked
    from loomwork.evals.tasks.measured import Measured
    from loomwork.evals.tasks.results import Key
    from loomwork.evals.tasks.task import Task

MEANT = ("weight",)  # a column of items that other steps read


def measured_of(asked: Sequence[Asked]) -> list[tuple[Measured, str]]:
    """The metrics: those that all tasks share, over all their documents, and the others of each task that has them.

    Returns: each with the name of the task that it is of, "" for one of all tasks.

    Raises:
        InputError: a task's `process_results` gives none of its metrics.
    """
    from loomwork.evals.tasks.measured import measure

    keys = {a.task.name: _keys(a) for a in asked}
    found = []
    for key in dict.fromkeys(key for own in keys.values() for key in own):
        having = [a for a in asked if key in keys[a.task.name]]
        metrics = {a.task.name: next(m for m in a.task.metrics if m.name == key[0]) for a in having}
        alike = len({(str(m.aggregation), m.higher_is_better) for m in metrics.values()}) == 1
        together = len(having) == len(asked) and alike
        for one in asked[:1] if together else having:
            name = key[0] if len({way for _, way in keys[one.task.name]}) == 1 else f"{key[0]}, {key[1]}"
            mine = asked if together else [one]
            values = [None if v is None or a not in mine else v.get(key) for a in asked for v in a.values]
            of = "" if together else one.task.name
            suffix = f" [task={of}]" if of else ""
            found.append((measure(metrics[one.task.name], name + suffix, values), of))
    return found


def _keys(asked: Asked) -> list[Key]:
    """The metrics that a task names and its documents have, each with its pipeline."""
    named = named_by(asked.task)
    given = {key for values in asked.values if values is not None for key in values}
    kept = [key for key in named if key in given]
    if not kept:
        names, got = [m.name for m in asked.task.metrics], sorted({name for name, _ in given})
        gives = f"task {asked.task.name}: `process_results` gives {', '.join(got) or 'nothing'}"
        raise InputError(
            f"{gives}, and the metrics of the task are {', '.join(names)}", "it returns a value for each, by its name"
        )
    return kept


def named_by(task: Task) -> list[Key]:
    """The metrics that a task names, each with every pipeline."""
    ways = [p.name for p in task.pipelines] if task.output_type == "generate_until" else ["none"]
    return [(metric.name, way) for metric in task.metrics for way in ways]


def scores_of(
    measured: Sequence[tuple[Measured, str]],
    asked: Sequence[Asked],
    items: pa.Table,
    given: Provenance,
    leak: Overlap,
    *,
    group: bool,
) -> list[Score]:
    """Of every metric the score of all documents, of those that were not found in the training data, and of each task.

    Args:
        items: with the columns of `leak`.
        group: whether each task has scores of its own.

    Raises:
        InputError: too few documents were answered.
    """
    import numpy as np

    everything = np.ones(len(items), bool)
    failed = np.array([bool(why) for a in asked for why in a.failed])
    scores = [m.score(everything, given, failed=failed) for m, of in measured if not of]
    if leak.clean is not None:
        scores += [s for m, of in measured if not of and (s := _of(m, leak.clean, failed, given, CLEAN))]
    names = np.array([a.task.name for a in asked for _ in a.items])
    for name in dict.fromkeys(names.tolist()) if group else ():
        inside = names == name
        mine, clean = of_some(items, inside, given)
        here = [(m, "" if of else f" [task={name}]") for m, of in measured if of in ("", name)]
        scores += [s for m, suffix in here if (s := _of(m, inside, failed, mine, suffix))]
        if clean is not None:
            scores += [s for m, suffix in here if (s := _of(m, clean, failed, mine, suffix + CLEAN))]
    if not scores:
        raise InputError("no task has two documents that were answered", "an interval needs two")
    return scores


def _of(measured: Measured, chosen: np.ndarray, failed: np.ndarray, given: Provenance, suffix: str) -> Score | None:
    """The score of some items; None where they are too few."""
    try:
        return measured.score(chosen, given, suffix, failed)
    except InputError:
        return None


def items_of(
    asked: Sequence[Asked],
    clusters: list[str] | None,
    measured: Sequence[tuple[Measured, str]],
    leak: Overlap,
    *,
    group: bool,
) -> pa.Table:
    """What is kept of each document: how it was asked and answered, its metrics, its own columns of short values."""
    import pyarrow as pa

    from loomwork.core.tables import given_names
    from loomwork.evals.tasks.documents import label_columns

    ids = [row_id for a in asked for row_id in a.ids]
    documents = [item for a in asked for item in a.items]
    columns: dict[str, Any] = {
        "row_id": pa.array(ids, pa.binary(16)),
        "cluster": pa.array(clusters if clusters is not None else [None] * len(ids), pa.string()),
        **({"task": pa.array([a.task.name for a in asked for _ in a.items])} if group else {}),
        "question": pa.array([question for a in asked for question in a.questions]),
        "target": pa.array([text for a in asked for text in a.targets]),
        "answer": pa.array([text for a in asked for text in a.answers]),
        "confidence": pa.array([sure for a in asked for sure in a.confidence], from_pandas=True),
        "failed": pa.array([why or None for a in asked for why in a.failed], pa.string()),
    }
    items = pa.table(columns)
    for m, _ in measured:
        items = m.add_to(items)
    for column, values in leak.columns.items():
        items = items.append_column(column, values)
    own = label_columns([item.document for item in documents])
    for name, kept in zip(given_names(list(own), [*items.column_names, *MEANT]), own.values(), strict=True):
        items = items.append_column(name, pa.array(kept))
    if LENGTH not in items.column_names:  # of the whole: a long question is kept in part
        items = items.append_column(LENGTH, pa.array([len(item.question) for item in documents]))
    return items
